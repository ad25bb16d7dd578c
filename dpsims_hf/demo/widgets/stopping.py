# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What takes longer than a glance tells how far it is, and can be stopped."""

from collections.abc import Callable, Sequence

import gradio as gr
from gradio.events import Dependency

from ..assets import script
from ..server.events import LIGHT


def counter(progress: gr.Progress | None, unit: str) -> Callable[[int, int], None]:
    """Shows "3/16 images" on the page.

    Args:
        progress: of the event; None shows nothing.
        unit: what is counted, in the singular.
    """

    def each(done: int, total: int) -> None:
        if progress is not None and total > 1:
            progress((done, total), unit=f"{unit}s")

    return each


def stop_button(elem_id: str) -> gr.Button:
    """A button that is seen only while there is something to stop."""
    return gr.Button("Stop", variant="stop", size="sm", min_width=80, scale=0, visible=False, elem_id=elem_id)


def stoppable(
    button: gr.Button, start: Callable[..., Dependency], run: Callable[[], Sequence[Dependency]]
) -> Sequence[Dependency]:
    """Connect a stop button.

    Args:
        button: of `stop_button`.
        start: the listener that starts the events: `make.click`.
        run: connects the events that can be stopped to it.

    Returns:
        What `run` returns.
    """
    # In the browser, and first: it calls the listeners of an event one after the other.
    start(None, None, button, js=script("show_part"), show_progress="hidden", **LIGHT)
    events = run()
    for event in events:
        event.then(None, None, button, js=script("hide_part"), show_progress="hidden", **LIGHT)
    button.click(None, None, button, js=script("hide_part"), cancels=list(events), **LIGHT)
    return events


__all__ = ["counter", "stop_button", "stoppable"]

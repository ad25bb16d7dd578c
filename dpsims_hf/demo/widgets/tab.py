# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a tab gives the page to connect with the other tabs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency


class Event(NamedTuple):
    """A handler that several events share, with the components that it reads and changes.

    Args:
        handler, inputs, outputs: as a listener of gradio takes them.
        options: its keyword arguments, as in `server.events`.
    """

    handler: Callable
    inputs: Sequence[Component]
    outputs: Sequence[Component]
    options: dict[str, Any]

    def after(self, listener: Callable[..., Dependency]) -> Dependency:
        """Run it after something: `event.after(button.click)`."""
        return listener(self.handler, list(self.inputs), list(self.outputs), **self.options)


class Found(NamedTuple):
    """A look that a tab found, for other tabs.

    Args:
        look: what is in the inputs -> a Variant; a ValueError if there is none.
        inputs: components.
        buttons: that take it, by the ids of the tabs that they lead to.
    """

    look: Callable[..., Any]
    inputs: Sequence[Component]
    buttons: dict[str, gr.Button]


@dataclass(frozen=True, kw_only=True)
class Tab:
    """A tab that was laid out; one that has nothing to do with the others is `Tab()`.

    Args:
        opened: runs each time the tab is opened.
        taken: makes its label map the session's, from what the browser holds; the tabs that need one run it first.
        vary: button that takes the tab's label map to the Vary tab.
        seed: of its picture, if it has one of its own.
        found: the look that it finds.
        restored: run one after the other when the page was loaded, once the session's model is known.
        needs_scene: it works on the label map of the tab that was open before it.
    """

    opened: Event | None = None
    taken: Event | None = None
    vary: gr.Button | None = None
    seed: gr.Number | None = None
    found: Found | None = None
    restored: Sequence[Event] = ()
    needs_scene: bool = False


__all__ = ["Event", "Found", "Tab"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the tabs of one browser session share."""

from typing import NamedTuple

import gradio as gr

from ..drawing.scenes import Variant


SESSION_SECONDS = 3600  # an abandoned session's state is forgotten after it


class Session(NamedTuple):
    """One value per browser session, never shared.

    Args:
        model: str, the chosen model's name; "" is the page's default.
        scene: Scene or None, the label map that the tabs share.
        variant: Variant, the image looked at last: seed and re-rolls, which the tabs share.
        source: str, id of the tab with a label map that was open last.
        tab: str, id of the tab that is open.
        looks: tuple of NamedLook, that the visitor keeps.
    """

    model: gr.State
    scene: gr.State
    variant: gr.State
    source: gr.State
    tab: gr.State
    looks: gr.State


def new_session() -> Session:
    """Inside an open `gr.Blocks`."""
    values = ("", None, Variant(0), "sketch", "sketch", ())
    return Session(*(gr.State(value, time_to_live=SESSION_SECONDS) for value in values))


__all__ = ["SESSION_SECONDS", "Session", "new_session"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The browser tab keeps what belongs to a scene beside its map, and the server reads it again after a reload."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr

from ..assets import script
from ..canvas.label_canvas import LabelCanvas
from ..canvas.model_classes import kept_scene, model_classes
from ..drawing.kept_scene import Look, look_content, read_look
from ..drawing.variants import Grid
from ..models.library import LoadedModel, ModelLibrary
from ..server.events import LIGHT, TOAST_SECONDS
from .session import Session


RESTARTED = (
    "The server was started anew. Your drawing, model, seed and looks are as they were; the images of Vary are made "
    "again when you open it."
)


class Kept(NamedTuple):
    """The components that a reload fills again.

    Args:
        choice: the model picker.
        canvas, name, seed: of the Sketch tab.
        grid: gr.State, of the Vary tab.
    """

    choice: gr.Dropdown
    canvas: LabelCanvas
    name: gr.State
    seed: gr.Number
    grid: gr.State


def kept_component() -> gr.JSON:
    """What passes between page and server; in the page but never shown, since scripts read its value."""
    return gr.JSON(elem_id="kept-look", elem_classes="never-shown")


def keep_changes(demo: gr.Blocks, look: gr.JSON, session: Session, kept: Kept, loaded: Callable) -> None:
    """Whenever model, look or images change, the browser tab keeps them; and once when the page was `loaded`.

    What is kept tells which server said it: one that was started since does not know what the page was about.
    """

    def content(*values: Any) -> dict[str, Any]:
        return look_content(*values) | {"server": demo.app_id}

    inputs = [session.model, kept.name, session.variant, kept.grid, session.looks]
    for change in (loaded, *(state.change for state in inputs)):
        told = change(content, inputs, look, show_progress="hidden", **LIGHT)
        told.success(None, look, None, js=script("keep_look"), api_visibility="private")


class Restorer:
    """Reads what was kept.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    def restore(self, content: Any) -> tuple[Any, ...]:
        """Session model, picker, canvas, name, seed, variant, grid, looks: as they were, as far as it is possible."""
        content = content if isinstance(content, dict) else {}
        look = read_look(content.get("look"))
        if look is None:
            return (gr.skip(),) * 8
        if content.get("restarted") is True:
            gr.Info(RESTARTED, duration=TOAST_SECONDS)
        model = self._model(look)
        canvas = self._canvas(model, look, content.get("map"))
        name = gr.skip() if model is self.library.default else model.name
        grid = Grid(plan=look.plan)
        return name, model.name, canvas, look.name, look.variant.seed, look.variant, grid, look.looks

    def _model(self, look: Look) -> LoadedModel:
        try:
            return self.library.get(look.model)
        except ValueError as error:
            gr.Warning(f"{error}. Your drawing goes on with {self.library.default.name}.", duration=20)
            return self.library.default

    @staticmethod
    def _canvas(model: LoadedModel, look: Look, content: Any) -> Any:
        """The map, for a canvas that is not on the page yet; one that is has kept its own."""
        try:
            return LabelCanvas(kept_scene(model, look.name, content).label_map, **model_classes(model))
        except (ValueError, LookupError, TypeError):
            return gr.skip()


__all__ = ["Kept", "Restorer", "keep_changes", "kept_component"]

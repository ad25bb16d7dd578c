# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The head of the page: title, which model is open, and the choice of another."""

from typing import Any

import gradio as gr

from ..models.library import ModelLibrary
from ..server.events import LIGHT, LOADING, report_errors
from .html import header_html
from .session import Session


TITLE = "Paint a scene, get a picture"
TYPED = "Choose a model, or type {what} and press Enter"


def model_picker(library: ModelLibrary, session: Session) -> gr.Dropdown:
    """The head of the page in one line: its title, and the choice of a model."""
    what = "a checkpoint folder or Hub repository" if library.local_folders else "a Hub repository (user/name)"
    with gr.Row(equal_height=False, elem_id="head"):
        gr.HTML(header_html(TITLE), elem_id="title")
        choice = gr.Dropdown(
            library.names,
            value=library.default.name,
            label=TYPED.format(what=what),
            show_label=False,
            container=False,
            allow_custom_value=True,
            elem_id="model",
        )

    def choose(name: str | None, before: str) -> tuple[Any, Any]:
        """A picker that was only clicked, or left by Tab, changes nothing."""
        model = library.get(name)
        if model.name == library.get(before).name:
            return gr.skip(), model.name
        return model.name, model.name

    chosen = choice.input(report_errors(choose), [choice, session.model], [session.model, choice], **LOADING)
    chosen.failure(lambda before: library.get(before).name, session.model, choice, **LIGHT)
    return choice


__all__ = ["model_picker"]

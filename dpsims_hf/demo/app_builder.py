# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Puts the tabs of the Space together."""

import os
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from .api import api_endpoints
from .evaluate_tab import evaluate_tab
from .guard import SWEEP_SECONDS, Guard
from .limits import MAX_ARCHIVE_BYTES, MAX_WAITING, STORED_SECONDS
from .mask_upload_tab import mask_upload_tab
from .model_library import LoadedModel, ModelLibrary
from .model_tabs import card_tab, palette_tab, picker
from .page import Page
from .photo_tab import photo_tab
from .python_tab import python_tab
from .scenes import Scene
from .session import CAREFUL, HEAVY, LIGHT, LONG, in_words, new_session
from .sketch_tab import sketch_tab
from .style import css, theme
from .vary_tab import vary_tab


QUIET = {"show_progress": "hidden"}
SESSIONS = 300  # visitors whose state is kept, about half a megabyte each; who came first is forgotten first
THREADS = 80  # more than the events that run a model can hold while they wait for their turn


def build_demo(library: ModelLibrary) -> gr.Blocks:
    """The page.

    Args:
        library: the models that can be chosen; its default is open at first.

    Returns:
        Blocks with a queue, not launched. `launch(**launch_options())` gives it the theme.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")  # else a table of all events at each of them
    with Page(title="DP-SIMS", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, STORED_SECONDS)) as demo:
        api_endpoints(library)  # first, so that no event of the page takes one of their names
        session = new_session()
        picker(library, session)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Sketch", id="sketch") as sketch_page:
                sketch = sketch_tab(library, session)
            with gr.Tab("Upload a mask", id="upload") as upload_page:
                upload = mask_upload_tab(library, session)
            with gr.Tab("Vary", id="vary") as vary_page:
                vary = vary_tab(library, session)
            with gr.Tab("Photo", id="photo") as photo_page:
                photo = photo_tab(library, session)
            with gr.Tab("Evaluate", id="evaluate"):
                evaluate_tab(library, session)
            with gr.Tab("Python and API", id="python") as python_page:
                python = python_tab(library, session)
            with gr.Tab("Palette", id="palette"):
                palette_tab(library, session)
            with gr.Tab("Model card", id="card"):
                card_tab(library, session)
        for page, refresh in ((vary_page, vary.refresh), (python_page, python.refresh)):
            handler, inputs, outputs = refresh
            page.select(handler, inputs, outputs, show_progress="hidden", **CAREFUL)
        for button in (sketch.vary, upload.vary, photo.vary):
            handler, inputs, outputs = vary.refresh
            shown = button.click(lambda: gr.Tabs(selected="vary"), None, tabs, **LIGHT)
            shown = shown.then(handler, inputs, outputs, show_progress="hidden", **CAREFUL)
            shown.success(*vary.fill, **QUIET, **LONG)
        # Who comes back to a tab means the map on it.
        for page, tab in ((sketch_page, sketch), (photo_page, photo)):
            page.select(_SceneOf(library).canvas, [session.model, tab.canvas, tab.name], session.scene, **LIGHT)
        upload_page.select(lambda scene: scene or gr.skip(), upload.scene, session.scene, **LIGHT)
        edited = upload.edit.click(
            in_words(to_canvas), upload.scene, [sketch.canvas, sketch.name, tabs, session.scene], **CAREFUL
        )
        edited.success(*sketch.draw, **QUIET, **HEAVY)
        demo.load(*sketch.draw, **QUIET, **HEAVY)
    return demo.queue(max_size=MAX_WAITING, default_concurrency_limit=4, api_open=False)


class _SceneOf:
    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    def canvas(self, model_name: str, label_map: Any, name: str) -> Any:
        """The scene on a tab's canvas."""
        model: LoadedModel = self.library.get(model_name)
        return gr.skip() if label_map is None else Scene(name, label_map, model.labels)


def to_canvas(scene: Scene | None) -> tuple[Any, str, gr.Tabs, Scene]:
    """Take an uploaded map to the Sketch tab."""
    if scene is None:
        raise ValueError("no label map yet: click an example or upload a PNG first")
    return scene.label_map, scene.name, gr.Tabs(selected="sketch"), scene


def launch_options() -> dict[str, Any]:
    """Arguments of `launch` that belong to the page: look, upload limits, what strangers may ask, footer."""
    return {
        "theme": theme(),
        "css": css(),
        "max_file_size": MAX_ARCHIVE_BYTES,
        "max_threads": THREADS,
        "state_session_capacity": SESSIONS,
        "show_error": True,
        "footer_links": ["api"],
        "enable_monitoring": False,
        "app_kwargs": {"middleware": [Middleware(Guard)]},
    }


__all__ = ["build_demo", "launch_options"]

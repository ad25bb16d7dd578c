# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that says how to make the image on the page again outside of it, and lists the server's endpoints."""

import os
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from gradio.route_utils import get_request_origin

from ..drawing.scenes import Scene, Variant
from ..drawing.snippets import (
    API_ROUTE,
    Example,
    auto_model_snippet,
    client_snippet,
    curl_snippet,
    pipeline_snippet,
    recreate_command,
    recreate_snippet,
    served,
)
from ..models.library import LoadedModel, ModelLibrary
from ..server.endpoints import ENDPOINTS
from ..server.events import CAREFUL, LIGHT, report_errors
from ..widgets.live_picture import download_buttons
from ..widgets.session import Session
from ..widgets.tab import Event, Tab


NOTHING = "There is not a label map yet: paint or upload one, and its names and numbers appear here."


def python_tab(library: ModelLibrary, session: Session) -> Tab:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    handlers = _Handlers(library)
    inputs = [session.model, session.scene, session.variant]
    gr.Markdown("### Make this image in Python", elem_classes="step")
    files = gr.Markdown(NOTHING, elem_id="python-files")
    download_buttons("python", handlers.current, inputs, session.looks)
    pipeline = _code("Pipeline: the shortest way", "python", "pipeline")
    auto_model = _code("AutoModel and AutoImageProcessor: every step in sight", "python", "auto-model")
    gr.Markdown("### Make it again from the saved settings", elem_classes="step")
    gr.Markdown(
        "The JSON file holds everything, including the label map and the new noise of parts.", elem_classes="hint"
    )
    recreate = _code("In Python", "python", "recreate")
    command = _code("On the command line", "shell", "command")
    gr.Markdown("### Use this server", elem_classes="step")
    note = gr.Markdown(elem_id="python-served", elem_classes="hint")
    client = _code("gradio_client", "python", "client")
    curl = _code("curl", "shell", "curl")
    gr.Markdown("### All endpoints", elem_classes="step")
    gr.HTML(endpoints_html(), elem_id="python-endpoints")

    outputs = [files, pipeline, auto_model, recreate, command, note, client, curl]
    options = {"show_progress": "hidden"} | CAREFUL
    session.model.change(report_errors(handlers.texts), inputs, outputs, **LIGHT)
    return Tab(opened=Event(report_errors(handlers.texts), inputs, outputs, options), needs_scene=True)


def _code(label: str, language: str, name: str) -> gr.Code:
    return gr.Code(
        label=label,
        language=language,
        interactive=False,
        lines=1,
        show_line_numbers=False,
        wrap_lines=True,
        buttons=["copy"],
        elem_id=f"python-{name}",
    )


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    def current(self, model_name: str, scene: Scene | None, variant: Variant) -> tuple[LoadedModel, Scene, Variant]:
        """The session's model, scene and variant."""
        model = self.library.get(model_name)
        if scene is None:
            raise ValueError("no label map yet: paint or upload one first")
        if scene.labels != model.labels:
            raise ValueError("the label map has other classes than this model: paint or upload one for it")
        return model, scene, variant

    def texts(
        self, model_name: str, scene: Scene | None, variant: Variant, request: gr.Request
    ) -> tuple[str, str, str, str, str, str, str, str]:
        """Everything that depends on the image."""
        model = self.library.get(model_name)
        is_current = scene is not None and scene.labels == model.labels
        if not is_current:
            scene, variant = (
                Scene("label_map", np.zeros(model.training_size, dtype=np.int64), model.labels),
                Variant(0),
            )
        address = server_address(request)
        example = Example(
            model=model.name,
            scene=scene,
            variant=variant,
            server=os.environ.get("SPACE_ID") or address,
            page_model=None if model is self.library.default else model.name,
            dtype=model.dtype,
        )
        return (
            _files_note(example) if is_current else NOTHING,
            pipeline_snippet(example),
            auto_model_snippet(example),
            recreate_snippet(example),
            recreate_command(example),
            _served_note(example),
            client_snippet(example),
            curl_snippet(example, address),
        )


def _files_note(example: Example) -> str:
    return (
        f"Save the label map `{example.label_map}` and the settings `{example.settings}` into the folder where you "
        f"run these programs. They need this package installed and load the model `{example.model}`: a folder is "
        "looked for where they run, anything else on the Hub. On the same kind of machine, with as many threads, the "
        "image comes out bit for bit."
    )


def _served_note(example: Example) -> str:
    if served(example) is example:
        return f"Both send the label map `{example.label_map}`."
    return (
        f"Both send the label map `{example.label_map}`. The server's /generate re-samples whole classes only, "
        f"with a default seed: these two make the image of seed {example.variant.seed} without your new noise. "
        "The programs above make your image."
    )


def server_address(request: Any) -> str:
    """The address of this page, without a trailing slash.

    Args:
        request: gr.Request of an event.
    """
    return str(get_request_origin(request.request, "")).partition(API_ROUTE)[0].rstrip("/")


def endpoints_html() -> str:
    """The endpoints with their parameters and what comes back; the same words as in the server's own description."""
    parts = []
    for endpoint in ENDPOINTS:
        rows = [(parameter.signature, parameter.text) for parameter in endpoint.parameters]
        rows += [(f"returns {value.name}", value.text) for value in endpoint.returns]
        cells = "".join(
            f"<tr><td><code>{escape(left)}</code></td><td>{escape(right)}</td></tr>" for left, right in rows
        )
        parts.append(
            f'<h4 class="endpoint"><code>/{endpoint.name}</code></h4><p>{escape(endpoint.summary)}</p>'
            f'<table class="endpoints"><tbody>{cells}</tbody></table>'
        )
    return "".join(parts)


__all__ = ["endpoints_html", "python_tab", "server_address"]

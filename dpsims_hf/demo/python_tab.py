# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that says how to make the image on the page again outside of it, and lists the server's endpoints."""

import os
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from gradio.route_utils import get_request_origin

from .endpoints import ENDPOINTS
from .live_picture import download_buttons
from .model_library import LoadedModel, ModelLibrary
from .scenes import Scene, Variant
from .session import LIGHT, Session, in_words
from .snippets import (
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


NOTHING = "There is no label map yet: paint or upload one, and its own names and numbers stand here."
CSS = """
table.endpoints { border-collapse: collapse; width: 100%; font-size: 0.9rem; table-layout: fixed; }
table.endpoints, table.endpoints tr { border: 0 !important; }
table.endpoints td { vertical-align: top; text-align: left; padding: 6px 10px 6px 0; overflow-wrap: anywhere;
    border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
table.endpoints td:first-child { width: 30%; }
table.endpoints code { font-size: 0.85rem; }
h4.endpoint { margin: 18px 0 2px; overflow-wrap: anywhere; }
"""


class Python(NamedTuple):
    """What the page connects.

    Args:
        refresh: (handler, inputs, outputs) that writes the programs for the session's image.
    """

    refresh: tuple[Callable, list, list]


def python_tab(library: ModelLibrary, session: Session) -> Python:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    handlers = _Handlers(library)
    inputs = [session.model, session.scene, session.variant]
    gr.Markdown("### Make this image in Python", elem_classes="step")
    files = gr.Markdown(NOTHING, elem_id="python-files")
    download_buttons("python", handlers.current, inputs)
    pipeline = _code("Pipeline: the shortest way", "python", "pipeline")
    auto_model = _code("AutoModel and AutoImageProcessor: every step in sight", "python", "auto-model")
    gr.Markdown("### Make it again from the saved settings", elem_classes="step")
    gr.Markdown("The JSON file holds everything, label map and new noise for parts too.", elem_classes="hint")
    recreate = _code("In Python", "python", "recreate")
    command = _code("On the command line", "shell", "command")
    gr.Markdown("### Ask this server", elem_classes="step")
    note = gr.Markdown(elem_id="python-served", elem_classes="hint")
    client = _code("gradio_client", "python", "client")
    curl = _code("curl", "shell", "curl")
    gr.Markdown("### All that it can be asked", elem_classes="step")
    gr.HTML(endpoints_html(), elem_id="python-endpoints")

    outputs = [files, pipeline, auto_model, recreate, command, note, client, curl]
    refresh = (in_words(handlers.texts), inputs, outputs)
    session.model.change(*refresh, **LIGHT)
    return Python(refresh)


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
        """What is on the table."""
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
        f"Both send the label map `{example.label_map}`. The server's /generate knows new noise for whole classes "
        f"only, by a default seed: these two make the image of seed {example.variant.seed} without your new noise. "
        "The programs above make your image."
    )


def server_address(request: Any) -> str:
    """Where people reach this page, without a slash at the end.

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


__all__ = ["CSS", "Python", "endpoints_html", "python_tab", "server_address"]

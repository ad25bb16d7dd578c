# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The picture that follows the strokes, and its downloads.

A live picture changes several times a second. It travels inside the page's data, not as a file: one round trip less,
and an hour of painting leaves nothing on the server's disk. Files are made on request.
"""

import base64
import io
import tempfile
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import gradio as gr
from PIL import Image

from ..assets import script
from ..drawing.named_looks import NamedLook
from ..drawing.scenes import Scene, Variant, render
from ..drawing.settings import save_images
from ..models.library import LoadedModel
from ..server.events import HEAVY, on_gpu, report_errors


TYPES = {".png": "image/png", ".json": "application/json", ".zip": "application/zip"}


def picture_html(image: Image.Image | None, alt: str, empty: str = "") -> str:
    """An image as HTML that holds its exact pixels; without one, a sentence in its place."""
    if image is None:
        return f'<div class="live-picture"><div class="empty">{escape(empty)}</div></div>'
    ratio = f"--ratio:{image.width / image.height:.4f}"  # as high as the canvas beside it
    return f'<div class="live-picture"><img src="{data_url(image)}" alt="{escape(alt)}" style="{ratio}"></div>'


def data_url(image: Image.Image) -> str:
    """A PNG as a data URL."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def saved_file(name: str, content: bytes | Image.Image) -> tuple[str, str, str]:
    """(name, base64, type), as the script save_files.js takes a file."""
    if isinstance(content, Image.Image):
        return name, data_url(content).partition(",")[2], TYPES[".png"]
    return name, base64.b64encode(content).decode(), TYPES[Path(name).suffix]


def download_buttons(
    prefix: str, current: Callable[..., tuple[LoadedModel, Scene, Variant]], inputs: Sequence, looks: gr.State
) -> None:
    """Buttons in a row: the image, the label map as exact index PNG, the settings, and all three as a zip file.

    Args:
        prefix: of the elem_ids `PREFIX-download-image`, `-labels`, `-settings` and `-all`.
        current: inputs -> model, scene and variant of the tab; a ValueError if there is none.
        inputs: its components.
        looks: that the visitor keeps; the settings tell them.
    """
    # In the page but never shown, since the script below reads its value.
    files = gr.JSON(elem_id=f"{prefix}-download-files", elem_classes="never-shown")
    with gr.Row(elem_classes=["download-row", "two-by-two"]):
        for kind, label in (
            ("image", "Save image"),
            ("labels", "Save label map"),
            ("settings", "Save settings"),
            ("all", "Save all"),
        ):
            button = gr.Button(label, size="sm", min_width=110, elem_id=f"{prefix}-download-{kind}")
            handler = on_gpu(report_errors(_Maker(current, kind).files))
            event = button.click(handler, [looks, *inputs], files, show_progress="hidden", **HEAVY)
            event.success(None, files, None, js=script("save_files"), api_visibility="private")


class _Maker:
    def __init__(self, current: Callable[..., tuple[LoadedModel, Scene, Variant]], kind: str) -> None:
        self.current = current
        self.kind = kind

    def files(self, looks: tuple[NamedLook, ...], *inputs: Any) -> list[tuple[str, str, str]]:
        """(name, base64, type) of the file."""
        model, scene, variant = self.current(*inputs)
        with tempfile.TemporaryDirectory() as folder:
            saved = save_images(folder, model, scene, [variant], render(model, scene, [variant]), looks)
            files = {"image": saved.images[0], "labels": saved.label_map, "settings": saved.settings}
            if self.kind == "all":
                files["all"] = str(Path(saved.settings).with_suffix(".zip"))
                with ZipFile(files["all"], "w") as archive:
                    for kind in ("image", "labels", "settings"):
                        archive.write(files[kind], Path(files[kind]).name)
            path = Path(files[self.kind])
            return [saved_file(path.name, path.read_bytes())]


__all__ = ["data_url", "download_buttons", "picture_html", "saved_file"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The picture that follows the strokes, and its downloads.

A live picture changes several times a second. It travels inside the page's data, not as a file: one round trip less,
and a hour of painting leaves nothing on the server's disk. Files are made when somebody asks for them.
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

from .image_settings import save_images
from .model_library import LoadedModel
from .scenes import Scene, Variant, render
from .session import HEAVY, in_words, on_gpu


# The browser saves what the server just made: [name, base64, type] each.
SAVE = """(files) => {
  for (const [name, content, type] of files || []) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}"""
TYPES = {".png": "image/png", ".json": "application/json", ".zip": "application/zip"}
CSS = """
.live-picture { position: relative; }
.live-picture img { width: 100%; display: block; border-radius: var(--radius-lg); }
.live-picture .empty { display: grid; place-items: center; text-align: center; padding: 24px; aspect-ratio: 4 / 3;
    border: 1px dashed var(--border-color-primary); border-radius: var(--radius-lg);
    color: var(--body-text-color-subdued); }
.download-row { gap: 8px; }
.two-by-two { display: grid !important; grid-template-columns: 1fr 1fr; }
.never-shown { display: none !important; }
"""


def picture_html(image: Image.Image | None, alt: str, empty: str = "") -> str:
    """An image as HTML that holds its exact pixels; without one, a sentence in its place."""
    if image is None:
        return f'<div class="live-picture"><div class="empty">{escape(empty)}</div></div>'
    return f'<div class="live-picture"><img src="{data_url(image)}" alt="{escape(alt)}"></div>'


def data_url(image: Image.Image) -> str:
    """A PNG as a data URL."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def download_buttons(
    prefix: str, current: Callable[..., tuple[LoadedModel, Scene, Variant]], inputs: Sequence
) -> None:
    """Buttons in a row: the image, the label map as exact index PNG, the settings, and all three as a zip file.

    Args:
        prefix: of the elem_ids `PREFIX-download-image`, `-labels`, `-settings` and `-all`.
        current: inputs -> what is on the table; a ValueError if nothing is.
        inputs: its components.
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
            handler = on_gpu(in_words(_Maker(current, kind).files))
            event = button.click(handler, list(inputs), files, show_progress="hidden", **HEAVY)
            event.success(None, files, None, js=SAVE, api_visibility="private")


class _Maker:
    def __init__(self, current: Callable[..., tuple[LoadedModel, Scene, Variant]], kind: str) -> None:
        self.current = current
        self.kind = kind

    def files(self, *inputs: Any) -> list[tuple[str, str, str]]:
        """(name, base64, type) of the file."""
        model, scene, variant = self.current(*inputs)
        with tempfile.TemporaryDirectory() as folder:
            saved = save_images(folder, model, scene, [variant], render(model, scene, [variant]))
            files = {"image": saved.images[0], "labels": saved.label_map, "settings": saved.settings}
            if self.kind == "all":
                files["all"] = str(Path(saved.settings).with_suffix(".zip"))
                with ZipFile(files["all"], "w") as archive:
                    for kind in ("image", "labels", "settings"):
                        archive.write(files[kind], Path(files[kind]).name)
            path = Path(files[self.kind])
            return [(path.name, base64.b64encode(path.read_bytes()).decode(), TYPES[path.suffix])]


__all__ = ["CSS", "data_url", "download_buttons", "picture_html"]

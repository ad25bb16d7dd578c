# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that lists the model's classes with their colours, and gives them as files for drawing programs."""

import hashlib
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from ..drawing.palette_files import write_palette_files
from ..models.library import LoadedModel, ModelLibrary
from ..widgets.html import palette_html
from ..widgets.session import Session
from ..widgets.tab import Tab


PALETTE_NOTE = (
    "Paint with exactly these colours, or write the ids into a single-channel PNG. Turn antialiasing off: a soft "
    "edge between two classes is snapped to one of them. Any other colour goes to the nearest class and is reported; "
    "a file with more than {share:.0f} % of such pixels is refused."
)


def palette_tab(library: ModelLibrary, session: Session) -> Tab:
    """All classes with their colours, and files for drawing programs."""
    gr.Markdown(PALETTE_NOTE.format(share=100 * library.default.processor.max_unmatched_share))
    cache = Path(get_upload_folder())  # the page may serve what lies there
    kinds = (("png", "Chart (PNG)"), ("json", "Classes (JSON)"), ("gpl", "GIMP palette"))
    with gr.Row(elem_id="palette-downloads"):
        buttons = [
            gr.DownloadButton(label, value=path, size="sm", elem_id=f"palette-{suffix}")
            for (suffix, label), path in zip(kinds, _palette_files(cache, library.default), strict=True)
        ]
    table = gr.HTML(_palette_html(library.default))

    def change(name: str) -> list[Any]:
        model = library.get(name)
        return [*_palette_files(cache, model), _palette_html(model)]

    session.model.change(change, session.model, [*buttons, table], queue=False, api_visibility="private")
    return Tab()


def _palette_files(cache: Path, model: LoadedModel) -> list[str]:
    processor = model.processor
    content = repr((model.labels, processor.palette, processor.void_label_id))
    folder = cache / hashlib.sha256(content.encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    files = write_palette_files(folder, model.labels, processor.palette, processor.void_label_id)
    return [str(files[suffix]) for suffix in ("png", "json", "gpl")]


def _palette_html(model: LoadedModel) -> str:
    return palette_html(model.labels, model.processor.palette, model.processor.void_label_id)


__all__ = ["palette_tab"]

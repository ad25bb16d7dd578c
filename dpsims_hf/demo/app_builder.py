# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Puts the tabs of the Space together."""

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from .html import header_html, palette_html
from .mask_upload_tab import mask_upload_tab
from .model_text import model_facts, read_model_text
from .palette_files import write_palette_files
from .style import CSS, theme
from .synthesis import Synthesizer


TITLE = "Label map in, photo-like image out"
SUBTITLE = (
    "Semantic image synthesis: every pixel of a label map names a class, and the generator turns the map and a seed "
    "into an image in one forward pass."
)
CACHE_SECONDS = 3600


def build_demo(pipe: Any) -> gr.Blocks:
    """The page for one model.

    Args:
        pipe: a `SemanticImageSynthesisPipeline` with a generator and a processor.

    Returns:
        Blocks with a queue, not launched. `launch(**launch_options())` gives it the theme.
    """
    text = read_model_text(pipe)
    with gr.Blocks(title="DP-SIMS", analytics_enabled=False, delete_cache=(CACHE_SECONDS, CACHE_SECONDS)) as demo:
        gr.HTML(header_html(TITLE, SUBTITLE, model_facts(pipe, text)))
        with gr.Tab("Upload a label map", id="upload"):
            mask_upload_tab(Synthesizer(pipe))
            with gr.Accordion("What this model is, its data, terms and limits", open=False, elem_id="terms"):
                gr.Markdown(f"{text.summary}\n\n{text.terms}" if text.terms != text.summary else text.summary)
        with gr.Tab("Palette", id="palette"):
            _palette_tab(pipe.processor)
        with gr.Tab("Model card", id="card"):
            gr.Markdown(text.card)
    return demo.queue(max_size=16)


def launch_options() -> dict[str, Any]:
    """Arguments of `launch` that belong to the page: look, upload limit, footer."""
    return {"theme": theme(), "css": CSS, "max_file_size": "20mb", "show_error": True, "footer_links": ["api"]}


def _palette_tab(processor: Any) -> None:
    names, palette = list(processor.id2label.values()), processor.palette
    gr.Markdown(
        "Paint with exactly these colours, or write the ids into a single-channel PNG. Turn antialiasing off: a soft "
        "edge between two classes is snapped to one of them, other unknown colours are refused."
    )
    with (
        gr.Row(elem_id="palette-downloads"),
        tempfile.TemporaryDirectory() as folder,
    ):  # the buttons copy the files when they are made
        files = write_palette_files(Path(folder), names, palette, processor.void_label_id)
        for suffix, label in (
            ("png", "Download chart (PNG)"),
            ("json", "Download classes (JSON)"),
            ("gpl", "Download GIMP palette"),
        ):
            gr.DownloadButton(label, value=files[suffix], size="sm", elem_id=f"palette-{suffix}")
    gr.HTML(palette_html(names, palette, processor.void_label_id))

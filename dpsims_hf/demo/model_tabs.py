# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which model is open: its picker and facts at the head of the page, its palette, its card."""

import hashlib
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from .html import facts_html, header_html, palette_html
from .model_library import LoadedModel, ModelLibrary
from .model_text import model_facts
from .palette_files import write_palette_files
from .session import LOADING, Session, in_words


TITLE = "Paint a scene, get a picture"
SUBTITLE = (
    "Semantic image synthesis: every pixel of your map names a class, and the generator turns the map and a seed into "
    "a photo-like image in one forward pass."
)
PALETTE_NOTE = (
    "Paint with exactly these colours, or write the ids into a single-channel PNG. Turn antialiasing off: a soft "
    "edge between two classes is snapped to one of them. Any other colour goes to the nearest class and is reported; "
    "a file with more than {share:.0f} % of such pixels is refused."
)


def picker(library: ModelLibrary, session: Session) -> None:
    """The head of the page: title, the model's facts, and the choice of another model."""
    gr.HTML(header_html(TITLE, SUBTITLE))
    with gr.Row(equal_height=False, elem_id="model-row"):
        with gr.Column(scale=3, min_width=280):
            choice = gr.Dropdown(
                library.names,
                value=library.default.name,
                label="Model",
                info="Choose one, or type a checkpoint folder or Hub repository and press Enter."
                if library.local_folders
                else "Choose one, or type a Hub repository (user/name) and press Enter.",
                allow_custom_value=True,
                elem_id="model",
            )
        with gr.Column(scale=5, min_width=280):
            facts = gr.HTML(_facts(library.default), elem_id="facts")

    def choose(name: str | None, before: str) -> tuple[str, str, str]:
        model = library.get(name)
        return model.name, model.name, _facts(model)

    chosen = choice.input(in_words(choose), [choice, session.model], [session.model, choice, facts], **LOADING)

    def stay(before: str) -> tuple[str, str]:
        model = library.get(before)
        return model.name, _facts(model)

    chosen.failure(stay, session.model, [choice, facts], queue=False, api_visibility="private")


def _facts(model: LoadedModel) -> str:
    return facts_html(model_facts(model.pipe, model.text))


def palette_tab(library: ModelLibrary, session: Session) -> None:
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


def _palette_files(cache: Path, model: LoadedModel) -> list[str]:
    processor = model.processor
    content = repr((model.labels, processor.palette, processor.void_label_id))
    folder = cache / hashlib.sha256(content.encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    files = write_palette_files(folder, model.labels, processor.palette, processor.void_label_id)
    return [str(files[suffix]) for suffix in ("png", "json", "gpl")]


def _palette_html(model: LoadedModel) -> str:
    return palette_html(model.labels, model.processor.palette, model.processor.void_label_id)


def card_tab(library: ModelLibrary, session: Session) -> None:
    """What the model is, its data, terms and limits, and its whole card."""
    text = library.default.text
    terms = gr.Markdown(_terms(library.default), elem_id="terms")
    with gr.Accordion("The whole card", open=False):
        card = gr.Markdown(text.card)

    def change(name: str) -> tuple[str, str]:
        model = library.get(name)
        return _terms(model), model.text.card

    session.model.change(change, session.model, [terms, card], queue=False, api_visibility="private")


def _terms(model: LoadedModel) -> str:
    text = model.text
    return f"{text.summary}\n\n{text.terms}" if text.terms != text.summary else text.summary


__all__ = ["card_tab", "palette_tab", "picker"]

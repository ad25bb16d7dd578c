# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that shows what the model's card says."""

import gradio as gr

from ..models.card_text import model_facts
from ..models.library import LoadedModel, ModelLibrary
from ..widgets.html import facts_html
from ..widgets.session import Session
from ..widgets.tab import Tab


def card_tab(library: ModelLibrary, session: Session) -> Tab:
    """What the model is, its data, terms and limits, and its whole card."""
    text = library.default.text
    facts = gr.HTML(_facts(library.default), elem_id="facts")
    # No formulas: their marks go before those of code, which would then not be code.
    terms = gr.Markdown(_terms(library.default), elem_id="terms", latex_delimiters=[])
    with gr.Accordion("The whole card", open=False):
        card = gr.Markdown(text.card, latex_delimiters=[])

    def change(name: str) -> tuple[str, str, str]:
        model = library.get(name)
        return _facts(model), _terms(model), model.text.card

    session.model.change(change, session.model, [facts, terms, card], queue=False, api_visibility="private")
    return Tab()


def _facts(model: LoadedModel) -> str:
    return facts_html(model_facts(model.pipe, model.text))


def _terms(model: LoadedModel) -> str:
    text = model.text
    return f"{text.summary}\n\n{text.terms}" if text.terms != text.summary else text.summary


__all__ = ["card_tab"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that turns a photo into a label map, lets one edit it, and draws it again."""

import secrets
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

from .example_scenes import example_paths
from .html import legend_html
from .label_canvas import LabelCanvas
from .limits import check_photo
from .live_picture import data_url, download_buttons
from .model_library import LoadedModel, ModelLibrary
from .photo_segmentation import (
    GENERATED_SEED,
    cached_segmenter,
    generated_picture,
    propose,
    segmenter_source,
)
from .scenes import MAX_SEED, Scene, Variant, check_seed, file_stem, render
from .session import HEAVY, LIGHT, LOADING, SESSION_SECONDS, Session, in_words, on_gpu
from .sketch_tab import canvas_classes, eraser_label


DISCRIMINATOR, SEGMENTER = "discriminator", "segmenter"
LABELLERS = [("The model's own discriminator", DISCRIMINATOR), ("A segmenter from the Hub", SEGMENTER)]
HOW_TO = "JPEG, PNG or WebP, also from the clipboard. It is scaled to about the size that the model was trained at."
CSS = """
#photo-input img { object-fit: contain; }
#photo-legend { padding: 0 !important; }
"""


class Photo(NamedTuple):
    """What the page connects.

    Args:
        photo: the upload.
        canvas: holds the label map.
        name: gr.State, the scene's name.
        result: photo and picture under one slider.
        vary: the button that leads to the variants of this map.
    """

    photo: gr.Image
    canvas: LabelCanvas
    name: gr.State
    result: gr.ImageSlider
    vary: gr.Button


class _Layout(NamedTuple):
    """The components that events connect."""

    photo: gr.Image
    generated: gr.Button
    labeller: gr.Radio
    segmenter: gr.Textbox
    label: gr.Button
    note: gr.Markdown
    work: gr.Row
    canvas: LabelCanvas
    legend: gr.HTML
    result: gr.ImageSlider
    seed: gr.Number
    again: gr.Button
    vary: gr.Button


def photo_tab(library: ModelLibrary, session: Session) -> Photo:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    name, small = gr.State("photo"), gr.State(None, time_to_live=SESSION_SECONDS)
    handlers = _Handlers(library)
    with gr.Row(equal_height=False):
        upper = _input_row(library.default)
    with gr.Row(equal_height=False, visible=False) as work:
        with gr.Column(scale=7, min_width=320):
            gr.Markdown("### 3 · Edit the label map", elem_classes="step")
            canvas = LabelCanvas(
                classes=canvas_classes(library.default),
                eraser_label=eraser_label(library.default),
                label="Label map of the photo",
                elem_id="photo-canvas",
            )
            legend = gr.HTML(elem_id="photo-legend")
        with gr.Column(scale=5, min_width=320):
            result, seed, again, vary = _result_column()
            download_buttons("photo", handlers.current, [session.model, canvas, name, seed])
    tab = _Layout(*upper, work, canvas, legend, result, seed, again, vary)
    handlers.cache = tab.photo.GRADIO_CACHE
    _connect(tab, handlers, session, name, small)
    return Photo(tab.photo, canvas, name, result, vary)


def _input_row(model: LoadedModel) -> tuple:
    with gr.Column(scale=7, min_width=320):
        gr.Markdown("### 1 · Photo", elem_classes="step")
        photo = gr.Image(
            type="filepath",
            image_mode=None,  # the file as it is: its size is checked before it is decoded
            format="png",
            sources=["upload", "clipboard"],
            show_label=False,
            height=250,
            buttons=[],
            elem_id="photo-input",
        )
        gr.Markdown(HOW_TO, elem_classes="hint")
    with gr.Column(scale=5, min_width=320):
        gr.Markdown("### 2 · Who labels it", elem_classes="step")
        labeller = gr.Radio(
            LABELLERS, value=DISCRIMINATOR, show_label=False, container=False, elem_id="photo-labeller"
        )
        segmenter = gr.Textbox(
            label="Segmenter",
            info="Hub id or folder of a semantic segmentation model; its classes are matched by name.",
            placeholder="nvidia/segformer-b0-finetuned-ade-512-512",
            visible=False,
            elem_id="photo-segmenter",
        )
        label = gr.Button("Label the photo", variant="primary", elem_id="photo-label")
        generated = gr.Button(
            "No photo at hand? Use a generated picture",
            size="sm",
            visible=bool(example_paths(model.labels)),
            elem_id="photo-generated",
        )
        note = gr.Markdown(elem_id="photo-note", elem_classes="hint")
    return photo, generated, labeller, segmenter, label, note


def _result_column() -> tuple:
    gr.Markdown("### 4 · Photo (left), picture of this map (right)", elem_classes="step")
    result = gr.ImageSlider(
        type="pil",
        format="png",
        show_label=False,
        interactive=False,
        buttons=["fullscreen"],
        elem_id="photo-result",
    )
    with gr.Row(equal_height=False, elem_classes="controls"):
        seed = gr.Number(0, label="Seed", step=1, min_width=120, elem_id="photo-seed")
        again = gr.Button("Another look", min_width=120, elem_id="photo-random-seed", elem_classes="beside")
    vary = gr.Button("Vary this map", elem_id="photo-vary")
    return result, seed, again, vary


def _connect(tab: _Layout, handlers: "_Handlers", session: Session, name: gr.State, small: gr.State) -> None:
    label = {
        "fn": on_gpu(in_words(handlers.label)),
        "inputs": [session.model, tab.photo, tab.labeller, tab.segmenter],
        "outputs": [tab.work, tab.canvas, name, small, tab.note],
        "show_progress_on": tab.photo,
        **HEAVY,
    }
    draw = {
        "fn": on_gpu(in_words(handlers.draw)),
        "inputs": [session.model, tab.canvas, name, tab.seed, small],
        "outputs": [tab.result, tab.legend, session.scene, session.variant],
        "show_progress": "hidden",
        **HEAVY,
    }
    last = draw | {"trigger_mode": "always_last"}
    ready = {
        "fn": in_words(handlers.make_ready),
        "inputs": [session.model, tab.labeller, tab.segmenter],
        "show_progress_on": tab.photo,
        **LOADING,
    }
    made = tab.generated.click(
        on_gpu(in_words(handlers.generate)), session.model, tab.photo, show_progress_on=tab.photo, **HEAVY
    )
    for start in (tab.photo.upload, tab.label.click, made.success):
        start(**ready).success(**label).success(**draw)
    tab.canvas.paint(**last)
    tab.seed.change(**last)
    tab.again.click(lambda: secrets.randbelow(MAX_SEED + 1), None, tab.seed, **LIGHT)
    tab.labeller.change(lambda who: gr.Textbox(visible=who == SEGMENTER), tab.labeller, tab.segmenter, **LIGHT)
    cleared = [tab.work, tab.canvas, small, tab.note]
    tab.photo.clear(lambda: (gr.Row(visible=False), None, None, ""), None, cleared, **LIGHT)
    session.model.change(handlers.change_model, session.model, [*cleared, tab.generated], **LIGHT)


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library
        self.cache = ""  # folder that the page may serve files from

    def generate(self, model_name: str) -> str:
        """Path of a picture that stands in for a photo."""
        model = self.library.get(model_name)
        paths = example_paths(model.labels)
        if not paths:
            raise ValueError("the drawn examples have other classes than this model: upload a photo")
        image = generated_picture(model, paths[0])
        return save_pil_to_cache(image, self.cache, name=f"generated_{paths[0].stem}", format="png")

    def make_ready(self, model_name: str, labeller: str, name: str | None) -> None:
        """Load the segmenter before one takes one's turn among those that run a model."""
        self.load_segmenter(model_name, labeller, name)

    def load_segmenter(self, model_name: str, labeller: str, name: str | None) -> Any:
        """The segmenter; None if the discriminator labels."""
        if labeller != SEGMENTER:
            return None
        source = segmenter_source(name or "", self.library.local_folders)
        return cached_segmenter(source, str(self.library.get(model_name).pipe.generator_model.device))

    def label(
        self, model_name: str, path: str | None, labeller: str, segmenter_name: str | None
    ) -> tuple[gr.Row, LabelCanvas, str, Image.Image, str]:
        """The proposed map onto the canvas, over the photo."""
        if path is None:
            raise ValueError("no photo yet: upload one, or use a generated picture")
        model, photo = self.library.get(model_name), check_photo(path)
        proposal = propose(model, photo, self.load_segmenter(model_name, labeller, segmenter_name))
        canvas = LabelCanvas(
            proposal.label_map,
            classes=canvas_classes(model),
            eraser_label=eraser_label(model),
            underlay=data_url(proposal.photo),
        )
        name = file_stem(Path(path).name)
        return gr.Row(visible=True), canvas, name, proposal.photo, _note(name, photo, proposal.photo, proposal.notes)

    def current(
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None
    ) -> tuple[LoadedModel, Scene, Variant]:
        """What is on the canvas."""
        if label_map is None:
            raise ValueError("no label map yet: upload a photo first")
        model = self.library.get(model_name)
        return model, Scene(name, label_map, model.labels), Variant(check_seed(seed or 0))

    def draw(
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None, photo: Image.Image | None
    ) -> tuple[Any, ...]:
        """Photo and picture side by side, the legend, and the scene of the session."""
        if label_map is None:  # a new seed before the first photo
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        if photo is None:
            raise ValueError("the photo was forgotten after an hour: upload it again")
        model, scene, variant = self.current(model_name, label_map, name, seed)
        image = render(model, scene, [variant])[0]
        return (photo, image), legend_html(model.processor.legend(label_map)), scene, variant

    def change_model(self, model_name: str) -> tuple[gr.Row, LabelCanvas, None, str, gr.Button]:
        """The photo stays; its map was in the classes of another model."""
        model = self.library.get(model_name)
        canvas = LabelCanvas(None, classes=canvas_classes(model), eraser_label=eraser_label(model))
        return gr.Row(visible=False), canvas, None, "", gr.Button(visible=bool(example_paths(model.labels)))


def _note(name: str, photo: Image.Image, small: Image.Image, notes: tuple[str, ...]) -> str:
    """What became of the photo, in sentences."""
    sentences = [f"{photo.width} × {photo.height} pixels, used at {small.width} × {small.height}.", *notes]
    if name.startswith("generated_"):
        sentences.insert(
            0,
            f"A picture that this model drew itself from a drawn map with seed {GENERATED_SEED}; it is no photo. The "
            "discriminator was trained to tell such pictures from photos, and labels photos better.",
        )
    return " ".join(sentences)


__all__ = ["CSS", "Photo", "photo_tab"]

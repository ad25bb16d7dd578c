# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that turns a photo into a label map, lets one edit it, and draws it again."""

import secrets
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from ..canvas.label_canvas import LabelCanvas, encode_runs, runs_as_text
from ..canvas.model_classes import canvas_scene, kept_scene, model_classes
from ..drawing.photo_segmentation import cached_segmenter, propose, segmenter_source
from ..drawing.scenes import MAX_SEED, Scene, Variant, check_seed, file_stem, render, with_seed
from ..models.library import LoadedModel, ModelLibrary
from ..server.events import CAREFUL, HEAVY, LIGHT, LOADING, on_gpu, report_errors
from ..uploads.limits import check_photo
from ..widgets.html import legend_html
from ..widgets.kept_photo import Photo, PhotoKeeper, photo_file, read_photo
from ..widgets.live_picture import data_url, download_buttons
from ..widgets.photo_field import photo_field
from ..widgets.session import SESSION_SECONDS, Session
from ..widgets.tab import Event, Tab


DISCRIMINATOR, SEGMENTER = "discriminator", "segmenter"
LABELLERS = [("The model's own discriminator", DISCRIMINATOR), ("A segmenter from the Hub", SEGMENTER)]
HOW_TO = (
    "A photo of a street, taken from eye level, works best: JPEG, PNG or WebP, also from the clipboard. It is scaled "
    "to about the size that the model was trained at. This browser tab keeps it at that size, with your map, until it "
    "is closed; the server forgets it. No example photo comes with this page: "
    "those at hand may not be passed on, and a generated picture is no photo."
)


BACK = "It is back from this browser tab, with your map."


class _Layout(NamedTuple):
    """The components that events connect."""

    photo: gr.Image
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


def photo_tab(library: ModelLibrary, session: Session) -> Tab:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    name, small = gr.State("photo"), gr.State(None, time_to_live=SESSION_SECONDS)
    handlers = _Handlers(library)
    with gr.Row(equal_height=False):
        upper = _input_row()
    with gr.Row(equal_height=False, visible=False) as work:
        with gr.Column(scale=7, min_width=320):
            gr.Markdown("### 3 · Edit the label map", elem_classes="step")
            canvas = LabelCanvas(
                **model_classes(library.default),
                label="Label map of the photo",
                keep="photo",
                elem_id="photo-canvas",
            )
            legend = gr.HTML(elem_id="photo-legend")
        with gr.Column(scale=5, min_width=320):
            result, seed, again, vary = _result_column()
            download_buttons("photo", handlers.current, [session.model, canvas, name, seed], session.looks)
    tab = _Layout(*upper, work, canvas, legend, result, seed, again, vary)
    restored = _connect(tab, handlers, session, name, small)
    inputs, outputs = [session.model, canvas, name, seed, session.variant], [session.scene, session.variant]
    return Tab(restored=restored, taken=Event(handlers.scene, inputs, outputs, LIGHT), vary=vary, seed=seed)


def _input_row() -> tuple:
    with gr.Column(scale=7, min_width=320):
        gr.Markdown("### 1 · Photo", elem_classes="step")
        photo = photo_field("photo-input")
        gr.Markdown(HOW_TO, elem_classes="hint")
    with gr.Column(scale=5, min_width=320):
        gr.Markdown("### 2 · Labelled by", elem_classes="step")
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
        note = gr.Markdown(elem_id="photo-note", elem_classes="hint")
    return photo, labeller, segmenter, label, note


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


def _connect(
    tab: _Layout, handlers: "_Handlers", session: Session, name: gr.State, small: gr.State
) -> tuple[Event, Event]:
    """Returns what brings photo and map back after a reload."""
    keeper = PhotoKeeper("photo")
    label = {
        "fn": on_gpu(report_errors(handlers.label)),
        "inputs": [session.model, tab.photo, tab.labeller, tab.segmenter],
        "outputs": [tab.work, tab.canvas, name, small, tab.note],
        "show_progress_on": tab.photo,
        **HEAVY,
    }
    draw = {
        "fn": on_gpu(report_errors(handlers.draw)),
        "inputs": [session.model, tab.canvas, name, tab.seed, small],
        "outputs": [tab.result, tab.legend],
        "show_progress": "hidden",
        **HEAVY,
    }
    last = draw | {"trigger_mode": "always_last"}
    ready = {
        "fn": report_errors(handlers.make_ready),
        "inputs": [session.model, tab.labeller, tab.segmenter],
        "show_progress_on": tab.photo,
        **LOADING,
    }
    kept = [name, small, tab.seed]
    keeper.forget_at(tab.photo.upload)
    for start in (tab.photo.upload, tab.label.click):
        labelled = start(**ready).success(**label)
        labelled.success(**draw)
        keeper.keep_after(labelled.success, handlers.kept, kept)
    keeper.keep_after(tab.seed.change, handlers.kept, kept)
    keeper.forget_at(tab.photo.clear)
    tab.canvas.paint(**last)
    tab.seed.change(**last)
    tab.again.click(lambda: secrets.randbelow(MAX_SEED + 1), None, tab.seed, **LIGHT)
    tab.labeller.change(lambda who: gr.Textbox(visible=who == SEGMENTER), tab.labeller, tab.segmenter, **LIGHT)
    cleared = [tab.work, tab.canvas, small, tab.note]
    tab.photo.clear(lambda: (gr.Row(visible=False), None, None, ""), None, cleared, **LIGHT)
    session.model.change(handlers.change_model, session.model, tab.canvas, **LIGHT)
    again = [tab.photo, tab.work, tab.canvas, name, small, tab.note, tab.seed]
    back = Event(handlers.restore, [keeper.content, session.model], again, {"js": keeper.read} | CAREFUL)
    draw_options = {key: value for key, value in draw.items() if key not in ("fn", "inputs", "outputs")}
    return back, Event(draw["fn"], draw["inputs"], draw["outputs"], draw_options)


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    def make_ready(self, model_name: str, labeller: str, name: str | None) -> None:
        """Load the segmenter before waiting for a turn among the requests that run a model."""
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
            raise ValueError("no photo yet: upload one first")
        model, photo = self.library.get(model_name), check_photo(path)
        proposal = propose(model, photo, self.load_segmenter(model_name, labeller, segmenter_name))
        doubts = None if proposal.doubts is None else runs_as_text(encode_runs(proposal.doubts.astype(np.uint8)))
        canvas = _canvas(model, proposal.label_map, proposal.photo, doubts)
        name = file_stem(Path(path).name)
        return gr.Row(visible=True), canvas, name, proposal.photo, _note(photo, proposal.photo, proposal.notes)

    def current(
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None
    ) -> tuple[LoadedModel, Scene, Variant]:
        """What is on the canvas."""
        if label_map is None:
            raise ValueError("no label map yet: upload a photo first")
        model = self.library.get(model_name)
        return model, Scene(name, label_map, model.labels), Variant(check_seed(seed or 0))

    def scene(
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None, look: Variant
    ) -> tuple[Any, Any]:
        """Scene and seed of the session are those of this tab, if it has any."""
        if label_map is None:
            return gr.skip(), gr.skip()
        return canvas_scene(self.library.get(model_name), label_map, name), with_seed(look, seed)

    def draw(
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None, photo: Image.Image | None
    ) -> tuple[Any, Any]:
        """Photo and picture side by side, and the legend."""
        if label_map is None:  # a new seed before the first photo
            return gr.skip(), gr.skip()
        if photo is None:
            raise ValueError("the photo was forgotten after an hour: upload it again")
        model, scene, variant = self.current(model_name, label_map, name, seed)
        image = render(model, scene, [variant])[0]
        return (photo, image), legend_html(model.processor.legend(label_map))

    @staticmethod
    def kept(name: str, photo: Image.Image | None, seed: float | None) -> Photo | None:
        """What the browser keeps beside the map of the canvas."""
        return None if photo is None else Photo(name, photo, seed=with_seed(Variant(0), seed).seed)

    def restore(self, content: Any, model_name: str) -> tuple[Any, ...]:
        """Photo, map and seed of before a reload."""
        kept = read_photo(content)
        try:
            model = self.library.get(model_name)
            scene = kept_scene(model, kept.name, content["map"])
            canvas = _canvas(model, scene.label_map, kept.photo, None)
        except (ValueError, LookupError, TypeError, AttributeError):  # nothing was kept, or it is none
            return (gr.skip(),) * 7
        path, words = photo_file(kept.photo, kept.name), _note(kept.photo, kept.photo, (BACK,))
        return path, gr.Row(visible=True), canvas, kept.name, kept.photo, words, kept.seed

    def change_model(self, model_name: str) -> LabelCanvas:
        """Photo and edited map stay; the map goes on in the classes of the other model."""
        return LabelCanvas(**model_classes(self.library.get(model_name)))


def _canvas(model: LoadedModel, label_map: np.ndarray, photo: Image.Image, doubts: Any) -> LabelCanvas:
    """Of an event's answer. What is laid out hidden forgets its properties, so `keep` is told again."""
    shown = {"underlay": data_url(photo), "doubts": doubts, "keep": "photo"}
    return LabelCanvas(label_map, **model_classes(model), **shown)


def _note(photo: Image.Image, small: Image.Image, notes: tuple[str, ...]) -> str:
    """What became of the photo, in sentences."""
    return " ".join([f"{photo.width} × {photo.height} pixels, used at {small.width} × {small.height}.", *notes])


__all__ = ["photo_tab"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab on which one paints a scene, class by class, and sees the picture follow."""

import secrets
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from .example_scenes import blank_map, example_gallery, example_paths
from .label_canvas import LabelCanvas
from .label_files import read_label_file
from .live_picture import download_buttons, picture_html
from .model_library import LoadedModel, ModelLibrary
from .scenes import MAX_SEED, Scene, Variant, check_seed, file_stem, render
from .session import CAREFUL, HEAVY, LIGHT, SESSION_SECONDS, Session, in_words, on_gpu


EMPTY = "Your picture appears here as soon as you paint."
CSS = """
#sketch-file { align-self: center; }
#sketch-row { display: grid; grid-template-columns: minmax(0, 8fr) minmax(0, 5fr); grid-template-rows: auto 1fr;
    grid-template-areas: "canvas picture" "canvas controls"; }
#sketch-row .canvas-area { grid-area: canvas; }
#sketch-row .picture-area { grid-area: picture; }
#sketch-row .control-area { grid-area: controls; }
@media (max-width: 760px) { /* the picture stays in sight while one paints below it */
  #sketch-row { grid-template-columns: minmax(0, 1fr); grid-template-rows: none;
      grid-template-areas: "picture" "canvas" "controls"; }
  #sketch-row .picture-area { position: sticky; top: 0; z-index: 5; background: var(--body-background-fill); }
  #sketch-image img { max-height: 32vh; width: auto; max-width: 100%; margin: 0 auto; }
}
"""


class Sketch(NamedTuple):
    """What the page connects.

    Args:
        canvas: holds the label map.
        name: gr.State, the scene's name.
        vary: the button that leads to the variants of this map.
        draw: (handler, inputs, outputs) that draws what is on the canvas.
    """

    canvas: LabelCanvas
    name: gr.State
    vary: gr.Button
    draw: tuple


def canvas_classes(model: LoadedModel) -> list[dict[str, Any]]:
    """The classes of a model as `LabelCanvas` takes them."""
    palette = model.processor.palette
    return [{"id": i, "name": name, "color": list(palette[i])} for i, name in enumerate(model.labels)]


def sketch_tab(library: ModelLibrary, session: Session) -> Sketch:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    model, handlers = library.default, _Handlers(library)
    start_name, start_map = handlers.start(model)
    name = gr.State(start_name, time_to_live=SESSION_SECONDS)
    with gr.Row(equal_height=False, elem_id="sketch-row"):
        with gr.Column(elem_classes="canvas-area"):
            canvas = LabelCanvas(
                start_map,
                classes=canvas_classes(model),
                eraser_label=eraser_label(model),
                label="Your scene",
                elem_id="sketch-canvas",
            )
            examples, file = _start_row(model)
        with gr.Column(elem_classes="picture-area"):
            picture = gr.HTML(picture_html(None, "", EMPTY), elem_id="sketch-image")
        with gr.Column(elem_classes="control-area"):
            with gr.Row(equal_height=False, elem_classes="controls"):
                seed = gr.Number(0, label="Seed", step=1, min_width=120, elem_id="sketch-seed")
                again = gr.Button("Another look", min_width=120, elem_id="sketch-random-seed", elem_classes="beside")
            live = gr.Checkbox(True, label="Live: the picture follows the strokes", elem_id="sketch-live")
            go = gr.Button("Generate", variant="primary", visible=False, elem_id="sketch-go")
            vary = gr.Button("Vary this scene", elem_id="sketch-vary")
            inputs = [session.model, canvas, name, seed]
            download_buttons("sketch", handlers.current, inputs)
    draw = (on_gpu(in_words(handlers.draw)), inputs, [picture, session.scene, session.variant])

    canvas.paint(on_gpu(in_words(handlers.follow)), [live, *inputs], draw[2], **HEAVY)
    live.change(lambda on: gr.Button(visible=not on), live, go, **LIGHT)
    quiet = {"show_progress": "hidden", "trigger_mode": "always_last"} | HEAVY
    go.click(*draw, **quiet)
    seed.change(*draw, **quiet)
    again.click(lambda: secrets.randbelow(MAX_SEED + 1), None, seed, **LIGHT)
    examples.select(in_words(handlers.choose_example), session.model, [canvas, name], **CAREFUL).success(
        *draw, **quiet
    )
    read = file.upload(in_words(handlers.read), [session.model, file], [canvas, name], **CAREFUL)
    read.success(*draw, **quiet)
    changed = session.model.change(handlers.change_model, [session.model, canvas], [canvas, name, examples], **LIGHT)
    changed.success(*draw, **quiet)
    return Sketch(canvas, name, vary, draw)


def eraser_label(model: LoadedModel) -> int:
    """What is under the paint: the void class if there is one, else the first."""
    void = model.processor.void_label_id
    return 0 if void is None else void


def _start_row(model: LoadedModel) -> tuple[gr.Gallery, gr.UploadButton]:
    with gr.Row(equal_height=False, elem_id="sketch-start-row", elem_classes="controls"):
        gr.Markdown("### Start from another scene", elem_classes="step")
        file = gr.UploadButton("Open a label map (PNG)", size="sm", min_width=160, scale=0, elem_id="sketch-file")
    return example_gallery(model, "sketch-start"), file


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    @staticmethod
    def start(model: LoadedModel) -> tuple[str, np.ndarray]:
        """Name and map that the canvas opens with: the first example, or a plain field."""
        paths = example_paths(model.labels)
        if paths:
            return file_stem(paths[0].name), model.fit(read_label_file(paths[0], model.processor).label_map)
        return "sketch", blank_map(model)

    def current(
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None
    ) -> tuple[LoadedModel, Scene, Variant]:
        """What is on the canvas."""
        model = self.library.get(model_name)
        if label_map is None:
            raise ValueError("the canvas is empty: choose an example, or reload the page")
        return model, Scene(name, label_map, model.labels), Variant(check_seed(seed or 0))

    def draw(
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None
    ) -> tuple[str, Scene, Variant]:
        """The picture of the canvas."""
        model, scene, variant = self.current(model_name, label_map, name, seed)
        image = render(model, scene, [variant])[0]
        return picture_html(image, f"Generated picture of {name}, seed {variant.seed}"), scene, variant

    def follow(self, live: bool, *inputs: Any) -> tuple[Any, Scene, Variant]:
        """After a stroke: the picture, or in slow mode only the scene."""
        if live:
            return self.draw(*inputs)
        _, scene, variant = self.current(*inputs)
        return gr.skip(), scene, variant

    def choose_example(self, model_name: str, event: gr.SelectData) -> tuple[np.ndarray, str]:
        """An example onto the canvas; the entry after the last one is the empty canvas."""
        model = self.library.get(model_name)
        paths = example_paths(model.labels)
        if event.index >= len(paths):
            return blank_map(model), "sketch"
        path = paths[event.index]
        return model.fit(read_label_file(path, model.processor).label_map), file_stem(path.name)

    def read(self, model_name: str, path: str | None) -> tuple[np.ndarray, str]:
        """An uploaded label map onto the canvas."""
        if path is None:
            raise ValueError("no file arrived: upload it again")
        model = self.library.get(model_name)
        file = read_label_file(path, model.processor)
        for note in file.notes:
            gr.Warning(note)
        return model.fit(file.label_map), file_stem(file.name)

    def change_model(self, model_name: str, label_map: np.ndarray | None) -> tuple[Any, str, Any]:
        """The canvas in the classes of another model, with a scene in its label space."""
        model = self.library.get(model_name)
        name, start = self.start(model)
        canvas = LabelCanvas(start, classes=canvas_classes(model), eraser_label=eraser_label(model))
        return canvas, name, example_gallery(model, "sketch-start", render=False)


__all__ = ["CSS", "Sketch", "canvas_classes", "eraser_label", "sketch_tab"]

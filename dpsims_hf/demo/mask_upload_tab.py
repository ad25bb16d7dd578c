# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that turns an uploaded label map into an image, and says exactly what was read."""

import secrets
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from .example_scenes import example_gallery, example_paths
from .html import EMPTY_LEGEND, legend_html, translation_html, unmatched_html
from .label_files import LabelFile, label_spaces, read_label_file, size_note
from .live_picture import download_buttons, picture_html
from .model_library import LoadedModel, ModelLibrary
from .scenes import MAX_SEED, Scene, Variant, check_seed, file_stem, render
from .session import CAREFUL, HEAVY, LIGHT, SESSION_SECONDS, Session, UploadedFile, in_words, on_gpu


HOW_TO = (
    "One class per pixel: a PNG of class ids (8 or 16 bit), a palette PNG (its ids count), or a PNG painted in class "
    "colours without soft brushes. Any size. JPEG blurs colours at every border and is refused."
)
OWN_SPACE = "this model's own classes"
EMPTY = "The picture of your label map appears here."


class Upload(NamedTuple):
    """What the page connects.

    Args:
        scene: gr.State, the decoded scene of this tab, or None.
        edit: the button that takes the map to the canvas.
        vary: the button that leads to the variants of this map.
        draw: (handler, inputs, outputs) that draws the map.
    """

    scene: gr.State
    edit: gr.Button
    vary: gr.Button
    draw: tuple


def mask_upload_tab(library: ModelLibrary, session: Session) -> Upload:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    handlers = _Handlers(library)
    scene = gr.State(None, time_to_live=SESSION_SECONDS)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            examples, file, space, table = _input_column(library.default)
            shown = _decoded_column()
        with gr.Column(scale=7, min_width=320):
            gr.Markdown("### 2 · Image", elem_classes="step")
            picture = gr.HTML(picture_html(None, "", EMPTY), elem_id="upload-image")
            with gr.Row(equal_height=False, elem_classes="controls"):
                seed = gr.Number(0, label="Seed", step=1, elem_id="upload-seed")
                again = gr.Button("Another look", min_width=120, elem_id="upload-random-seed", elem_classes="beside")
            with gr.Row():
                vary = gr.Button("Vary this map", variant="primary", elem_id="upload-vary")
                edit = gr.Button("Edit it on the canvas", elem_id="upload-edit")
            inputs = [session.model, scene, seed]
            download_buttons("upload", handlers.current, inputs)
    draw = (on_gpu(in_words(handlers.draw)), inputs, [picture, session.scene, session.variant])
    quiet = {"trigger_mode": "always_last", "show_progress_on": picture} | HEAVY

    read = {
        "fn": in_words(handlers.read),
        "inputs": [session.model, file, space, table],
        "outputs": [scene, *shown],
        "show_progress": "minimal",
    } | CAREFUL
    examples.select(in_words(handlers.choose_example), session.model, file, **CAREFUL)
    events = [file.change(**read), space.change(**read), table.change(**read), session.model.change(**read)]
    for event in events:
        event.success(*draw, **quiet)
        event.failure(handlers.nothing, None, [scene, *shown, picture], **LIGHT)
    session.model.change(handlers.change_model, session.model, examples, **LIGHT)
    seed.change(*draw, **quiet)
    again.click(lambda: secrets.randbelow(MAX_SEED + 1), None, seed, **LIGHT)
    return Upload(scene, edit, vary, draw)


def _input_column(model: LoadedModel) -> tuple:
    gr.Markdown("### 1 · Label map", elem_classes="step")
    file = UploadedFile(label="Label map (PNG)", height=110, elem_id="upload-file")
    gr.Markdown(HOW_TO, elem_classes="hint")
    examples = example_gallery(model, "upload-examples", blank=False)
    with gr.Accordion("Other classes or colours", open=False, elem_id="upload-other"):
        space = gr.Dropdown(
            [OWN_SPACE, *label_spaces()],
            value=OWN_SPACE,
            label="The file is labelled in",
            info="Classes are carried over to the model's by name.",
            elem_id="upload-space",
        )
        table = UploadedFile(
            label="or a colour table (JSON or CSV: class name and colour)",
            file_types=[".json", ".csv"],
            height=110,
            elem_id="upload-table",
        )
    return examples, file, space, table


def _decoded_column() -> list[Any]:
    decoded = gr.Image(
        label="Classes that were read",
        show_label=False,
        type="pil",
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        elem_id="upload-label-map",
        elem_classes="pixels",
    )
    note = gr.Markdown(elem_id="upload-size-note", elem_classes="hint")
    legend = gr.HTML(EMPTY_LEGEND, elem_id="upload-legend")
    unmatched = gr.HTML(elem_id="upload-unmatched")
    return [decoded, note, legend, unmatched]


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    def choose_example(self, model_name: str, event: gr.SelectData) -> str:
        return str(example_paths(self.library.get(model_name).labels)[event.index])

    def read(self, model_name: str, path: str | None, space: str, table: str | None) -> tuple:
        """A label file -> scene, its colours, a sentence on its size, legend, what did not match."""
        if path is None:
            return None, None, "", EMPTY_LEGEND, ""
        model = self.library.get(model_name)
        own = space == OWN_SPACE
        file = read_label_file(path, model.processor, None if own else space, table)
        label_map = model.fit(file.label_map)
        scene = Scene(file_stem(file.name), label_map, model.labels)
        return scene, *self._shown(model, file, label_map)

    @staticmethod
    def _shown(model: LoadedModel, file: LabelFile, label_map: np.ndarray) -> tuple[Image.Image, str, str, str]:
        processor = model.processor
        details = unmatched_html(file.unmatched, file.unmatched_colors) + translation_html(file.translated)
        notes = " ".join([size_note(file, label_map.shape), f"Read as: {file.mode}.", *file.notes])
        return processor.colorize(label_map), notes, legend_html(processor.legend(label_map)), details

    @staticmethod
    def nothing() -> tuple:
        """After a file that was refused: no stale picture."""
        return None, None, "", EMPTY_LEGEND, "", picture_html(None, "", EMPTY)

    def change_model(self, model_name: str) -> Any:
        return example_gallery(self.library.get(model_name), "upload-examples", blank=False, render=False)

    def current(self, model_name: str, scene: Scene | None, seed: float | None) -> tuple[LoadedModel, Scene, Variant]:
        """What is on the table."""
        if scene is None:
            raise ValueError("no label map yet: click an example or upload a PNG first")
        model = self.library.get(model_name)
        return model, scene, Variant(check_seed(seed or 0))

    def draw(self, model_name: str, scene: Scene | None, seed: float | None) -> tuple[Any, Any, Any]:
        """The picture of the label map; without one, none."""
        if scene is None:
            return picture_html(None, "", EMPTY), gr.skip(), gr.skip()
        model, scene, variant = self.current(model_name, scene, seed)
        image = render(model, scene, [variant])[0]
        return picture_html(image, f"Generated picture of {scene.name}, seed {variant.seed}"), scene, variant


__all__ = ["Upload", "mask_upload_tab"]

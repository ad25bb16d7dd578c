# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that turns an uploaded label map into an image, and says exactly what was read."""

import secrets
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..drawing.example_maps import example_paths
from ..drawing.scenes import MAX_SEED, Scene, Variant, check_seed, file_stem, render, with_seed
from ..models.library import LoadedModel, ModelLibrary
from ..server.components import UploadedFile
from ..server.events import CAREFUL, HEAVY, LIGHT, on_gpu, report_errors
from ..uploads.label_files import READ_AS, LabelFile, label_spaces, read_label_file, size_note
from ..widgets.example_scenes import example_gallery
from ..widgets.html import EMPTY_LEGEND, legend_html, translation_html, unmatched_html
from ..widgets.live_picture import download_buttons, picture_html
from ..widgets.session import SESSION_SECONDS, Session
from ..widgets.tab import Event, Tab


HOW_TO = (
    "One class per pixel: a PNG of class ids (up to 16 bit), a palette PNG, or a PNG painted in class colours without "
    "soft brushes. Any size. It is read in the way that explains every pixel. JPEG blurs colours at every border and "
    "is refused."
)

OWN_SPACE = "this model's own classes"
EMPTY = "The picture of your label map appears here."


@dataclass(frozen=True, kw_only=True)
class Upload(Tab):
    """What the page connects.

    Args:
        scene: gr.State, the decoded scene of this tab, or None.
        edit: the button that takes the map to the canvas.
    """

    scene: gr.State
    edit: gr.Button


def upload_tab(library: ModelLibrary, session: Session) -> Upload:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    handlers = _Handlers(library)
    scene = gr.State(None, time_to_live=SESSION_SECONDS)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            examples, file, space, table, reading = _input_column(library.default)
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
            download_buttons("upload", handlers.current, inputs, session.looks)
    quiet = {"trigger_mode": "always_last", "show_progress_on": picture} | HEAVY
    draw = Event(on_gpu(report_errors(handlers.draw)), inputs, [picture], quiet)

    read = {
        "fn": report_errors(handlers.read),
        "inputs": [session.model, file, space, table, reading],
        "outputs": [scene, *shown],
        "show_progress": "minimal",
    } | CAREFUL
    examples.select(report_errors(handlers.choose_example), session.model, file, **CAREFUL)
    events = [part.change(**read) for part in (file, space, table, reading, session.model)]
    for event in events:
        draw.after(event.success)
        event.failure(handlers.nothing, None, [scene, *shown, picture], **LIGHT)
    session.model.change(handlers.change_model, session.model, examples, **LIGHT)
    draw.after(seed.change)
    again.click(lambda: secrets.randbelow(MAX_SEED + 1), None, seed, **LIGHT)
    taken = Event(handlers.scene, [scene, seed, session.variant], [session.scene, session.variant], LIGHT)
    return Upload(taken=taken, vary=vary, seed=seed, scene=scene, edit=edit)


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
            label="or a colour table (JSON, CSV, GIMP palette, or the class list of CVAT, COCO, Mapillary ...)",
            file_types=[".json", ".csv", ".txt", ".gpl"],
            height=110,
            elem_id="upload-table",
        )
        reading = gr.Dropdown(
            READ_AS,
            value="",
            label="Read the file as",
            info="Needed where a file can be read in two ways, or in none exactly.",
            elem_id="upload-reading",
        )
    return examples, file, space, table, reading


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

    def read(self, model_name: str, path: str | None, space: str, table: str | None, reading: str = "") -> tuple:
        """A label file -> scene, its colours, a sentence on its size, legend, what did not match."""
        if path is None:
            return None, None, "", EMPTY_LEGEND, ""
        model = self.library.get(model_name)
        own = space == OWN_SPACE
        file = read_label_file(path, model.processor, None if own else space, table, reading=reading or None)
        label_map = model.fit(file.label_map)
        scene = Scene(file_stem(file.name), label_map, model.labels)
        return scene, *self._shown(model, file, label_map)

    @staticmethod
    def _shown(model: LoadedModel, file: LabelFile, label_map: np.ndarray) -> tuple[Image.Image, str, str, str]:
        processor = model.processor
        details = unmatched_html(file.unmatched, file.unmatched_colors) + translation_html(file.translated)
        notes = " ".join([size_note(file, label_map.shape), f"Read as: {file.mode}; {file.reading.why}.", *file.notes])
        return processor.colorize(label_map), notes, legend_html(processor.legend(label_map)), details

    @staticmethod
    def nothing() -> tuple:
        """After a file that was refused: no stale picture."""
        return None, None, "", EMPTY_LEGEND, "", picture_html(None, "", EMPTY)

    @staticmethod
    def scene(scene: Scene | None, seed: float | None, look: Variant) -> tuple[Any, Any]:
        """Scene and seed of the session are those of this tab, if it has any."""
        return (gr.skip(), gr.skip()) if scene is None else (scene, with_seed(look, seed))

    def change_model(self, model_name: str) -> Any:
        return example_gallery(self.library.get(model_name), "upload-examples", blank=False, render=False)

    def current(self, model_name: str, scene: Scene | None, seed: float | None) -> tuple[LoadedModel, Scene, Variant]:
        """Model, scene and variant of this tab."""
        if scene is None:
            raise ValueError("no label map yet: click an example or upload a PNG first")
        model = self.library.get(model_name)
        return model, scene, Variant(check_seed(seed or 0))

    def draw(self, model_name: str, scene: Scene | None, seed: float | None) -> str:
        """The picture of the label map; without one, none."""
        if scene is None:
            return picture_html(None, "", EMPTY)
        model, scene, variant = self.current(model_name, scene, seed)
        image = render(model, scene, [variant])[0]
        return picture_html(image, f"Generated picture of {scene.name}, seed {variant.seed}")


__all__ = ["Upload", "upload_tab"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that draws the present scene in the colours of a photo."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from ...image_processing_label_files import save_ids
from ..assets import script
from ..drawing.example_photos import example_photos
from ..drawing.scenes import Scene, Variant, file_stem
from ..drawing.styles import SEEDS, Style, scaled, take_style
from ..models.library import LoadedModel, ModelLibrary
from ..server.events import CAREFUL, HEAVY, LIGHT, LONG, on_gpu, report_errors
from ..uploads.label_files import read_label_file
from ..uploads.limits import check_photo
from ..widgets.kept_photo import Photo, PhotoKeeper, photo_file, read_photo
from ..widgets.live_picture import picture_html, saved_file
from ..widgets.photo_field import photo_field
from ..widgets.session import SESSION_SECONDS, Session
from ..widgets.stopping import counter, stop_button, stoppable
from ..widgets.tab import Event, Found, Tab


HOW_TO = (
    "The scene of the tab that was open before gets the photo's colours, class by class. The model's discriminator "
    "says what is where in the photo, unless you have its label map. This browser tab keeps the photo, scaled down, "
    "until it is closed; the server forgets it."
)
EXAMPLES = "No photo at hand? Try one of these, painted by a program:"
EMPTY = "Upload a photo, and take its style."


class _Layout(NamedTuple):
    """The components that events connect."""

    photo: gr.Image
    words: gr.Markdown
    examples: gr.Gallery
    labels: gr.File
    per_class: gr.Checkbox
    make: gr.Button
    stop: gr.Button
    picture: gr.HTML
    note: gr.Markdown
    use: dict[str, gr.Button]
    files: gr.JSON
    save: gr.Button


def style_tab(library: ModelLibrary, session: Session) -> Tab:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    handlers = _Handlers(library)
    found = gr.State(None, time_to_live=SESSION_SECONDS)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            left = _input_column(library.default)
        with gr.Column(scale=7, min_width=320):
            right = _result_column()
    tab = _Layout(*left, *right)
    make = on_gpu(report_errors(handlers.make))
    inputs = [session.model, session.scene, tab.photo, tab.labels, tab.per_class]
    outputs = [found, tab.picture, tab.note]
    options = LONG | {"show_progress_on": [tab.picture]}
    stoppable(tab.stop, tab.make.click, lambda: [tab.make.click(make, inputs, outputs, **options)])
    saved = tab.save.click(report_errors(handlers.files), found, tab.files, show_progress="hidden", **HEAVY)
    saved.success(None, tab.files, None, js=script("save_files"), api_visibility="private")
    tab.photo.clear(lambda: (None, picture_html(None, "", EMPTY), ""), None, outputs, **LIGHT)
    sent = [tab.photo, tab.labels]
    chosen = tab.examples.select(report_errors(handlers.example), session.model, sent, **CAREFUL)
    chosen.success(None, js=script("press_style"), api_visibility="private")
    session.model.change(handlers.change_model, session.model, [tab.words, tab.examples], **LIGHT)
    keeper = PhotoKeeper("style")
    for part in sent:
        keeper.keep_after(part.change, handlers.kept, [session.model, *sent])
    restored = Event(handlers.restore, [keeper.content, session.model], sent, {"js": keeper.read} | CAREFUL)
    return Tab(restored=(restored,), needs_scene=True, found=Found(handlers.look, [found], tab.use))


def _input_column(model: LoadedModel) -> tuple:
    gr.Markdown("### 1 · Photo", elem_classes="step")
    photo = photo_field("style-photo")
    words = gr.Markdown(EXAMPLES, visible=bool(example_photos(model.labels)), elem_classes="hint")
    examples = photo_gallery(model)
    gr.Markdown(HOW_TO, elem_classes="hint")
    labels = gr.File(
        label="Its label map, if there is one (PNG)", file_types=[".png"], height=150, elem_id="style-labels"
    )
    per_class = gr.Checkbox(
        False,
        label="Each class by itself",
        info="Closer to the photo's colours, and less of one light.",
        elem_id="style-per-class",
    )
    with gr.Row(elem_classes="controls"):
        make = gr.Button("Take the style of this photo", variant="primary", elem_id="style-make")
        stop = stop_button("style-stop")
    return photo, words, examples, labels, per_class, make, stop


def _result_column() -> tuple:
    gr.Markdown("### 2 · The scene in its colours", elem_classes="step")
    picture = gr.HTML(picture_html(None, "", EMPTY), elem_id="style-picture")
    note = gr.Markdown(elem_id="style-note", elem_classes="hint")
    with gr.Row(equal_height=False):
        use = {
            "sketch": gr.Button("Use this look in Sketch", variant="primary", min_width=150, elem_id="style-sketch"),
            "vary": gr.Button("Use it in Vary", min_width=110, elem_id="style-vary"),
        }
    # In the page but never shown, since the script reads its value.
    files = gr.JSON(elem_id="style-files", elem_classes="never-shown")
    save = gr.Button("Save image and style", size="sm", elem_id="style-save")
    return picture, note, use, files, save


def photo_gallery(model: LoadedModel, render: bool = True) -> gr.Gallery:
    """Painted pictures to click, for models of a label space that has some."""
    entries = [(example.image, example.name) for example in example_photos(model.labels)]
    return gr.Gallery(
        entries,
        show_label=False,
        container=False,
        format="png",
        columns=3,
        rows=1,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="style-examples",
        elem_classes="thumbnails",
        visible=bool(entries),
        render=render,
    )


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    def make(
        self,
        model_name: str,
        scene: Scene | None,
        photo: str | None,
        labels: str | None,
        per_class: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio finds it here
    ) -> tuple[tuple[str, Style], str, str]:
        """The scene in the photo's colours."""
        if photo is None:
            raise ValueError("no photo yet: upload one first")
        if scene is None:
            raise ValueError("no label map yet: draw one under Sketch, or upload one")
        model, picture = self.library.get(model_name), check_photo(photo)
        given = None if labels is None else read_label_file(labels, model.processor).label_map
        stem = file_stem(Path(photo).name)
        style = take_style(model, scene, picture, given, bool(per_class), counter(progress, "image"), stem)
        name = f"{scene.name}_in_the_style_of_{stem}"
        return (name, style), picture_html(style.image, f"{scene.name} in the photo's colours"), _note(style)

    def example(self, model_name: str, event: gr.SelectData) -> tuple[str, str]:
        """A painted picture and its label map, as files."""
        example = example_photos(self.library.get(model_name).labels)[event.index]
        return self._files(example.name, example.image, example.label_map)

    def change_model(self, model_name: str) -> tuple[gr.Markdown, gr.Gallery]:
        """The pictures that are painted in the model's classes, if there are any."""
        model = self.library.get(model_name)
        return gr.Markdown(visible=bool(example_photos(model.labels))), photo_gallery(model, render=False)

    def kept(self, model_name: str, photo: str | None, labels: str | None) -> Photo | None:
        """What the browser keeps: the photo as it is compared."""
        if photo is None:
            return None
        try:
            model, picture = self.library.get(model_name), check_photo(photo)
            given = None if labels is None else read_label_file(labels, model.processor).label_map
            small, label_map = scaled(model, picture, given)
        except ValueError:  # it is refused when its style is taken
            return None
        return Photo(file_stem(Path(photo).name), small, label_map)

    def restore(self, content: Any, model_name: str) -> tuple[Any, Any]:
        """Photo and label map of before a reload."""
        photo = read_photo(content)
        return (gr.skip(), gr.skip()) if photo is None else self._files(photo.name, photo.photo, photo.labels)

    @staticmethod
    def _files(name: str, image: Image.Image, labels: np.ndarray | None) -> tuple[str, str | None]:
        path = photo_file(image, name)
        if labels is None:
            return path, None
        map_path = Path(path).with_name(f"{name}_labels.png")
        save_ids(labels, map_path)
        return path, str(map_path)

    @staticmethod
    def look(found: tuple[str, Style] | None) -> Variant:
        """What can be taken to other tabs."""
        if found is None:
            raise ValueError("no look yet: take the style of a photo first")
        return found[1].variant

    @staticmethod
    def files(found: tuple[str, Style] | None) -> list[tuple[str, str, str]]:
        """(name, base64, type) of the image and of the style."""
        if found is None:
            raise ValueError("nothing to save yet: take the style of a photo first")
        name, style = found
        text = json.dumps(style.content, indent=1).encode() + b"\n"
        return [saved_file(f"{name}.png", style.image), saved_file(f"{name}.json", text)]


def _note(style: Style) -> str:
    """How near it came, in a sentence."""
    content: dict[str, Any] = style.content
    return (
        f"Distance to the photo's colours, mean over {', '.join(content['labels'])}: "
        f"{content['color_distance']:.1f} LAB units; the best of {SEEDS} seeds ({content['best_seed']}) has "
        f"{content['best_seed_color_distance']:.1f}."
    )


__all__ = ["style_tab"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab for painting a scene, class by class, while the picture follows."""

import secrets
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from ..assets import script
from ..canvas.label_canvas import LabelCanvas
from ..canvas.model_classes import canvas_scene, model_classes
from ..drawing.example_maps import example_paths
from ..drawing.look_previews import look_name
from ..drawing.scenes import MAX_SEED, Scene, Variant, check_seed, file_stem, render
from ..drawing.variants import fitting, history
from ..models.library import LoadedModel, ModelLibrary
from ..server.events import CAREFUL, HEAVY, LIGHT, on_gpu, report_errors
from ..uploads.label_files import read_label_file
from ..widgets.example_scenes import blank_map, example_gallery
from ..widgets.kept_looks import kept_looks, look_words
from ..widgets.live_picture import download_buttons, picture_html
from ..widgets.look_strip import LookPicker
from ..widgets.session import SESSION_SECONDS, Session
from ..widgets.tab import Event, Tab


GUIDE = "Pick a class and draw: the picture follows."
OPEN = "Open a file (PNG, JSON, zip)"
EMPTY = "Your picture appears here as soon as you paint."


@dataclass(frozen=True, kw_only=True)
class Sketch(Tab):
    """What the page connects.

    Args:
        canvas: holds the label map.
        name: gr.State, the scene's name.
        draw: draws what is on the canvas.
        redraw: the same if seed and re-rolls are others than those of the picture.
        file: what is opened: a label map, or what the page saved.
    """

    canvas: LabelCanvas
    name: gr.State
    draw: Event
    redraw: Event
    file: gr.UploadButton


def sketch_tab(library: ModelLibrary, session: Session) -> Sketch:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    model, handlers = library.default, _Handlers(library)
    start_name, start_map = handlers.start(model)
    name = gr.State(start_name, time_to_live=SESSION_SECONDS)
    with gr.Row(equal_height=False, elem_id="sketch-row", elem_classes="workshop"):
        with gr.Column(elem_classes="canvas-area"):
            canvas = LabelCanvas(
                start_map,
                **model_classes(model),
                label="Your scene",
                keep="sketch",
                guide=GUIDE,
                elem_id="sketch-canvas",
            )
        with gr.Column(elem_classes="picture-area"):
            seed, again, live, go = _look_bar()
            picture = gr.HTML(picture_html(None, "", EMPTY), elem_id="sketch-image")
            rerolled, plain = _reroll_line()
        with gr.Column(elem_classes="control-area"):
            looks = LookPicker(library, session, "sketch-looks", "#sketch-image", "#sketch-seed input")
            vary = gr.Button("Vary this scene", variant="primary", elem_id="sketch-vary")
            inputs = [session.model, canvas, name, seed, session.variant]
            download_buttons("sketch", handlers.current, inputs, session.looks)
            kept = kept_looks(library, session, seed)
        with gr.Column(elem_classes="start-area"):
            examples, file = _start_row(model)
    quiet = {"show_progress": "hidden", "trigger_mode": "always_last"} | HEAVY
    drawn = gr.State(None, time_to_live=SESSION_SECONDS)
    draw = Event(on_gpu(report_errors(handlers.draw)), inputs, [picture, drawn], quiet)
    redraw = Event(on_gpu(report_errors(handlers.redraw)), [drawn, *inputs], draw.outputs, quiet)

    previews = looks.previews(handlers.current, inputs)  # who paints gives them up
    follow = on_gpu(report_errors(handlers.follow))
    canvas.paint(follow, [live, *inputs], draw.outputs, cancels=[previews], **HEAVY)
    look_taken = looks.taken(handlers.take_look, [], [session.variant, seed, kept.name])
    for event in (look_taken, kept.chosen):  # a look may have the seed that is there already
        redraw.after(event.success)
    live.change(lambda on: gr.Button(visible=not on), live, go, **LIGHT)
    draw.after(go.click)
    # the browser calls them one after the other, and drawing takes longest
    seed.change(None, seed, js=script("keep_seed"), api_visibility="private")
    seed.change(handlers.take_seed, [seed, session.variant], session.variant, **LIGHT)
    draw.after(seed.change)
    again.click(lambda: secrets.randbelow(MAX_SEED + 1), None, seed, **LIGHT)
    shown = [rerolled, plain]
    session.variant.change(handlers.show_rerolls, [session.model, canvas, name, session.variant], shown, **LIGHT)
    draw.after(plain.click(lambda variant: Variant(variant.seed), session.variant, session.variant, **LIGHT).success)
    chosen = examples.select(report_errors(handlers.choose_example), session.model, [canvas, name], **CAREFUL)
    draw.after(chosen.success)
    # With the classes of another model the canvas sends its map again, which draws it.
    session.model.change(handlers.change_model, session.model, [canvas, examples], **LIGHT)
    taken = Event(handlers.scene, [session.model, canvas, name], [session.scene, session.variant], LIGHT)
    opened = Event(handlers.reopen, [session.variant, seed], [seed], LIGHT)
    return Sketch(
        opened=opened,
        taken=taken,
        vary=vary,
        seed=seed,
        canvas=canvas,
        name=name,
        draw=draw,
        redraw=redraw,
        file=file,
    )


def _look_bar() -> tuple[gr.Number, gr.Button, gr.Checkbox, gr.Button]:
    with gr.Row(equal_height=False, elem_classes="look-bar"):
        seed = gr.Number(0, label="Seed", step=1, min_width=90, container=False, elem_id="sketch-seed")
        again = gr.Button("Another look", size="md", min_width=110, elem_id="sketch-random-seed")
        live = gr.Checkbox(True, label="Live", container=False, min_width=70, elem_id="sketch-live")
        go = gr.Button("Generate", variant="primary", size="md", min_width=90, visible=False, elem_id="sketch-go")
    return seed, again, live, go


def _reroll_line() -> tuple[gr.Markdown, gr.Button]:
    with gr.Row(equal_height=False, elem_classes="reroll-line"):
        words = gr.Markdown("", visible=False, elem_id="sketch-rerolls", elem_classes="hint")
        plain = gr.Button("Drop", size="sm", min_width=90, scale=0, visible=False, elem_id="sketch-plain")
    return words, plain


def _start_row(model: LoadedModel) -> tuple[gr.Gallery, gr.UploadButton]:
    with gr.Row(equal_height=False, elem_id="sketch-start-row", elem_classes="controls"):
        gr.Markdown("### Start from", elem_classes="step")
        file = gr.UploadButton(
            "Open a file (PNG, JSON, zip)", size="sm", min_width=190, scale=0, elem_id="sketch-file"
        )
    gr.Markdown("A label map, or settings that this page saved.", elem_classes="hint")
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
        self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None, look: Variant
    ) -> tuple[LoadedModel, Scene, Variant]:
        """What is on the canvas, in the look that was made in Vary or found for a photo."""
        model = self.library.get(model_name)
        if label_map is None:
            raise ValueError("the canvas is empty: choose an example, or reload the page")
        scene = Scene(name, label_map, model.labels)
        return model, scene, fitting(_with_typed_seed(look, seed), scene, model)

    def scene(self, model_name: str, label_map: np.ndarray | None, name: str) -> tuple[Any, Any]:
        """The session's scene is that of the canvas; seed and re-rolls are the session's already."""
        return canvas_scene(self.library.get(model_name), label_map, name), gr.skip()

    @staticmethod
    def take_seed(seed: float | None, look: Variant) -> Any:
        """The typed seed is that of the session; a wrong one is told where it is drawn."""
        try:
            variant = _with_typed_seed(look, seed)
            return gr.skip() if variant == look else variant
        except ValueError:
            return gr.skip()

    @staticmethod
    def take_look(model: LoadedModel, look: Variant) -> tuple[Variant, int, str]:
        """A look of the model, and its name for who keeps it."""
        return look, look.seed, look_name(model, look)

    @staticmethod
    def reopen(look: Variant, seed: float | None) -> Any:
        """The seed chosen in Vary."""
        return gr.skip() if seed == look.seed else look.seed

    def show_rerolls(
        self, model_name: str, label_map: np.ndarray | None, name: str, look: Variant
    ) -> tuple[gr.Markdown, gr.Button]:
        """Whether it is the look of a photo, and which parts have noise of their own."""
        if not look.is_special or label_map is None:
            return gr.Markdown("", visible=False), gr.Button(visible=False)
        model = self.library.get(model_name)
        shown = fitting(look, Scene(name, label_map, model.labels), model)
        found = look_words(look.noise, model.name, shown.noise is not None)
        if found and shown.noise is None:
            found += f"seed {look.seed} is drawn"
        parts = history(shown, Scene(name, label_map, model.labels)).partition(", then ")[2]
        words = ". ".join([found] * bool(found) + [f"Re-rolled: {parts}"] * bool(parts))
        return gr.Markdown(words, visible=bool(words)), gr.Button(visible=bool(words))

    def draw(self, model_name: str, label_map: np.ndarray | None, name: str, seed: float | None, look: Variant) -> str:
        """The picture of the canvas."""
        model, scene, variant = self.current(model_name, label_map, name, seed, look)
        image = render(model, scene, [variant])[0]
        return picture_html(image, f"Generated picture of {name}, seed {variant.seed}"), variant

    def redraw(self, drawn: Variant | None, *inputs: Any) -> tuple[Any, Any]:
        """The picture, if Vary left other re-rolls than it shows; a new seed draws by itself."""
        variant = self.current(*inputs)[2]
        if drawn is None or drawn.seed != variant.seed or drawn == variant:
            return gr.skip(), gr.skip()
        return self.draw(*inputs)

    def follow(self, live: bool, *inputs: Any) -> tuple[Any, Any]:
        """After a stroke: the picture, or in slow mode none."""
        return self.draw(*inputs) if live else (gr.skip(), gr.skip())

    def choose_example(self, model_name: str, event: gr.SelectData) -> tuple[np.ndarray, str]:
        """An example onto the canvas; the entry after the last one is the empty canvas."""
        model = self.library.get(model_name)
        paths = example_paths(model.labels)
        if event.index >= len(paths):
            return blank_map(model), "sketch"
        path = paths[event.index]
        return model.fit(read_label_file(path, model.processor).label_map), file_stem(path.name)

    def change_model(self, model_name: str) -> tuple[LabelCanvas, Any]:
        """The drawing goes on in the classes of another model."""
        model = self.library.get(model_name)
        return LabelCanvas(**model_classes(model)), example_gallery(model, "sketch-start", render=False)


def _with_typed_seed(look: Variant, seed: float | None) -> Variant:
    """The look, if the seed is its own; another seed has the same re-rolls, and no noise of a photo."""
    seed = check_seed(seed or 0)
    return look if seed == look.seed else Variant(seed, look.rerolls)


__all__ = ["Sketch", "sketch_tab"]

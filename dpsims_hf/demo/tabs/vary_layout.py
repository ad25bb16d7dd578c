# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the Vary tab looks like; `vary_handlers` says what it does."""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import gradio as gr
from gradio.blocks import Block

from ..assets import script
from ..drawing.scenes import MAX_IMAGES, MAX_STEPS
from ..widgets.live_picture import picture_html
from ..widgets.stopping import stop_button


IMAGES = 4
STEPS = 8
NO_SCENE = "No label map yet. Paint one in **Sketch** or upload one in **Upload**, then come back."

NO_COMPARISON = picture_html(None, "", "The two pictures appear here, with a handle to drag.")


class MapView(NamedTuple):
    """The label map, and which images are made of it.

    Args:
        note, picture: what the label map is.
        images, seed, random: number of images, seed of the first, and the button that draws one.
        make, stop: the buttons that make the images, and stop it.
    """

    note: gr.Markdown
    picture: gr.Image
    images: gr.Slider
    seed: gr.Number
    random: gr.Button
    make: gr.Button
    stop: gr.Button


class GridView(NamedTuple):
    """The images.

    Args:
        gallery: all of them.
        buttons: the row of `lock` and `fresh`, which lock the chosen image and replace those that are not locked.
    """

    gallery: gr.Gallery
    buttons: gr.Row
    lock: gr.Button
    fresh: gr.Button


class ChosenView(NamedTuple):
    """The chosen image, of which a part can get new noise.

    Args:
        label, part: the class to change, and what was chosen.
        reroll_seed, reroll, undo: change the part, and take it back.
        compared, before_after: the column of the slider between the image before the last change and after it.
        picture, history: the image, and how it was made.
    """

    label: gr.Dropdown
    part: gr.Markdown
    reroll_seed: gr.Textbox
    reroll: gr.Button
    undo: gr.Button
    compared: gr.Column
    before_after: gr.ImageSlider
    picture: gr.HTML
    history: gr.Markdown


class WalkView(NamedTuple):
    """A walk between two seeds.

    Args:
        start, end, steps, label, make, stop: what is asked for: seeds, number of frames, the class that changes.
        empty, results: what stands there before the first walk, and the column of its frames.
        scrub, frames: a slider over the frames, and the frames.
        video, gif, save_mp4, save_gif: the frames as animations.
    """

    start: gr.Number
    end: gr.Number
    steps: gr.Slider
    label: gr.Dropdown
    make: gr.Button
    stop: gr.Button
    empty: gr.HTML
    results: gr.Column
    scrub: gr.Slider
    frames: gr.Gallery
    video: gr.Video
    gif: gr.Image
    save_mp4: gr.DownloadButton
    save_gif: gr.DownloadButton


class CompareView(NamedTuple):
    """The chosen image by two models.

    Args:
        other, run, stop: the second model, and the buttons that ask it and stop it.
        slider, note: both images, and facts about the models.
    """

    other: gr.Dropdown
    run: gr.Button
    stop: gr.Button
    slider: gr.ImageSlider
    note: gr.HTML


class View(NamedTuple):
    """The components of the tab that events connect; `tools` is the column of the last three."""

    map: MapView
    grid: GridView
    tools: gr.Column
    chosen: ChosenView
    walk: WalkView
    compare: CompareView

    @property
    def components(self) -> list[Block]:
        """All of them."""
        return [*self.map, *self.grid, self.tools, *self.chosen, *self.walk, *self.compare]


def vary_layout(model_names: list[str], looks: Callable[[], None], downloads: Callable[[], None]) -> View:
    """Lay the tab out inside an open `gr.Tab`.

    Args:
        model_names: of the page, the open one first.
        looks, downloads: lay out the looks of the model, and the buttons that save the chosen image.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            label_map = _map_column(looks)
        with gr.Column(scale=7, min_width=320):
            grid = _grid_column()
    with gr.Column(visible=False, elem_id="vary-tools") as tools, gr.Tabs():
        with gr.Tab("One part", elem_id="vary-tab-part"):
            chosen = _chosen(downloads)
        with gr.Tab("Two seeds", elem_id="vary-tab-walk"):
            walk = _walk()
        with gr.Tab("Two models", elem_id="vary-tab-compare"):
            compare = _compare(model_names)
    return View(label_map, grid, tools, chosen, walk, compare)


def gallery_columns(images: int) -> int:
    """How many images of a grid stand side by side."""
    return 1 if images == 1 else 2 if images <= IMAGES else 4


def sides_html(sides: Sequence[tuple[str, Sequence[str]]]) -> str:
    """What stands under two images side by side.

    Args:
        sides: (title, facts) of the left and the right one.
    """
    columns = []
    for side, (title, facts) in zip(("left", "right"), sides, strict=True):
        chips = "".join(f'<span class="fact">{escape(fact)}</span>' for fact in facts)
        columns.append(f'<div class="side-{side}"><h4>{escape(title)}</h4><div class="facts">{chips}</div></div>')
    return f'<div class="vary-sides">{"".join(columns)}</div>'


def _hint(text: str, elem_id: str | None = None) -> gr.Markdown:
    return gr.Markdown(text, elem_classes="hint", elem_id=elem_id)


def _step(text: str) -> gr.Markdown:
    return gr.Markdown(f"### {text}", elem_classes="step")


def _seed(label: str, elem_id: str, value: int = 0, **options: object) -> gr.Number:
    return gr.Number(value, label=label, step=1, elem_id=elem_id, **options)


def _map_column(looks: Callable[[], None]) -> MapView:
    _step("1 · Label map")
    note = _hint(NO_SCENE, "vary-map-note")
    label_map = gr.Image(
        label="Label map",
        show_label=False,
        format="png",
        interactive=False,
        visible=False,
        buttons=["fullscreen"],
        elem_classes="pixels",
        elem_id="vary-map",
    )
    _step("2 · Seeds")
    _hint("A seed decides what the map leaves open: light, colours, materials. The same seed gives the same image.")
    looks()
    count = gr.Slider(1, MAX_IMAGES, IMAGES, step=1, label="Number of images", elem_id="vary-count")
    with gr.Row(equal_height=False, elem_classes="controls"):
        seed = _seed("Seed of the first image", "vary-seed", min_width=180, scale=3)
        random = gr.Button(
            "Random seed", size="md", min_width=130, scale=1, elem_classes="beside", elem_id="vary-random"
        )
    make = gr.Button("Make images", variant="primary", interactive=False, elem_id="vary-make")
    return MapView(note, label_map, count, seed, random, make, stop_button("vary-stop"))


def _grid_column() -> GridView:
    _step("3 · Images")
    _hint("Click an image to choose it. Lock the ones you like and give the others new seeds.")
    gallery = gr.Gallery(
        label="Images",
        show_label=False,
        format="png",
        columns=gallery_columns(IMAGES),
        height="auto",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=["download_all"],
        elem_id="vary-gallery",
    )
    with gr.Row(visible=False, elem_id="vary-grid-buttons") as buttons:
        lock = gr.Button("Lock", size="md", min_width=150, elem_id="vary-lock")
        fresh = gr.Button("New seeds for the rest", size="md", min_width=150, elem_id="vary-fresh")
    return GridView(gallery, buttons, lock, fresh)


def _chosen(downloads: Callable[[], None]) -> ChosenView:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            _hint("**Change a part, keep the rest.** Click the picture to take one region, or take a whole class:")
            label = gr.Dropdown([], value=None, label="Class", filterable=True, elem_id="vary-class")
            part = _hint("No part chosen yet.", "vary-part")
            with gr.Row(elem_classes="controls"):
                # gr.Number cannot be empty: it shows None as 0
                reroll_seed = gr.Textbox(
                    label="Seed of the part",
                    placeholder="random",
                    min_width=180,
                    scale=3,
                    elem_id="vary-reroll-seed",
                )
                undo = gr.Button(
                    "Undo",
                    interactive=False,
                    min_width=130,
                    scale=1,
                    elem_classes="beside",
                    elem_id="vary-undo",
                )
            reroll = gr.Button("Re-roll this part", variant="primary", interactive=False, elem_id="vary-reroll")
            with gr.Column(visible=False) as compared:
                _hint("Before the last re-roll (left) and after it (right). Drag the handle:")
                before_after = gr.ImageSlider(
                    label="Before and after the last re-roll",
                    show_label=False,
                    format="png",
                    interactive=False,
                    buttons=[],
                    elem_id="vary-before-after",
                )
        with gr.Column(scale=7, min_width=320, elem_id="vary-picture-column"):
            picture = gr.HTML(js_on_load=script("clicked_pixel"), elem_id="vary-picture")
            history = _hint("", "vary-history")
            downloads()
    return ChosenView(label, part, reroll_seed, reroll, undo, compared, before_after, picture, history)


def _walk() -> WalkView:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            _hint("Makes the images on the way from one seed to another, everywhere or in one class; re-rolls stay.")
            with gr.Row(elem_classes="controls"):
                start = _seed("From seed", "vary-walk-from", min_width=120)
                end = _seed("To seed", "vary-walk-to", value=1, min_width=120)
            steps = gr.Slider(2, MAX_STEPS, STEPS, step=1, label="Number of frames", elem_id="vary-steps")
            label = gr.Dropdown([("Whole image", "")], value="", label="What changes", elem_id="vary-walk-class")
            make = gr.Button("Make the frames", variant="primary", elem_id="vary-walk")
            stop = stop_button("vary-walk-stop")
        with gr.Column(scale=7, min_width=320):
            empty = gr.HTML(picture_html(None, "", "The frames appear here, and a slider to walk through them."))
            results = gr.Column(visible=False)
        with results:
            frames = gr.Gallery(
                label="Frames",
                show_label=False,
                format="png",
                preview=True,
                object_fit="contain",
                interactive=False,
                buttons=["download", "fullscreen"],
                elem_id="vary-frames",
            )
            scrub = gr.Slider(1, STEPS, 1, step=1, label="Frame", elem_id="vary-scrub")
            with gr.Row():
                video = gr.Video(
                    label="Video", min_width=120, loop=True, interactive=False, buttons=[], elem_id="vary-video"
                )
                gif = gr.Image(label="GIF", min_width=120, interactive=False, buttons=[], elem_id="vary-gif")
            with gr.Row():
                save_mp4 = gr.DownloadButton("Save video (MP4)", size="sm", min_width=120, elem_id="vary-download-mp4")
                save_gif = gr.DownloadButton(
                    "Save animation (GIF)", size="sm", min_width=120, elem_id="vary-download-gif"
                )
    return WalkView(
        start, end, steps, label, make, stop, empty, results, scrub, frames, video, gif, save_mp4, save_gif
    )


def _compare(model_names: list[str]) -> CompareView:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            _hint("Draws the chosen image, with the same label map and seeds, by a second model. Classes go by name.")
            other = gr.Dropdown(
                model_names[1:],  # the first is the one that is open
                value=None,
                label="Second model",
                info="Choose one, or type a Hub id 'user/name' or a folder.",
                allow_custom_value=True,
                elem_id="vary-other",
            )
            run = gr.Button("Compare", variant="primary", elem_id="vary-compare")
            stop = stop_button("vary-compare-stop")
        with gr.Column(scale=7, min_width=320):
            slider = gr.ImageSlider(
                label="Two models",
                show_label=False,
                format="png",
                interactive=False,
                visible=False,
                buttons=["fullscreen"],
                elem_id="vary-compare-slider",
            )
            note = gr.HTML(NO_COMPARISON, elem_id="vary-compare-note")
    return CompareView(other, run, stop, slider, note)


__all__ = [
    "NO_COMPARISON",
    "NO_SCENE",
    "ChosenView",
    "CompareView",
    "GridView",
    "MapView",
    "View",
    "WalkView",
    "gallery_columns",
    "sides_html",
    "vary_layout",
]

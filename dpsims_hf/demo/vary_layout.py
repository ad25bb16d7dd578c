# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the Vary tab looks like; what it does stands in vary_tab.py."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import gradio as gr

from .live_picture import picture_html
from .scenes import MAX_IMAGES, MAX_STEPS


IMAGES = 4
STEPS = 8
NO_SCENE = "No label map yet. Paint one in **Sketch** or bring a file in **Upload a mask**, then come back."

# gr.Image tells the right pixel only while the picture is not enlarged.
CLICKED_PIXEL = """
element.addEventListener("click", (event) => {
  const image = event.target.closest("img");
  if (!image) return;
  const box = image.getBoundingClientRect();
  const pixel = (offset, shown, size) => Math.min(size - 1, Math.max(0, Math.floor((offset / shown) * size)));
  const column = pixel(event.clientX - box.left, box.width, image.naturalWidth);
  const row = pixel(event.clientY - box.top, box.height, image.naturalHeight);
  trigger("select", { index: [column, row], value: "" });
});
"""
NO_COMPARISON = picture_html(None, "", "The two pictures appear here, with a handle to drag.")

CSS = """
#vary-map .image-frame, #vary-map img { width: auto; max-width: 100%; max-height: 200px; }
#vary-map .image-frame { margin: 0 auto; }
#vary-gif .image-frame, #vary-gif img { width: 100%; height: auto;
        object-fit: contain; }
#vary-picture img { cursor: crosshair; }
#vary-gallery .grid-wrap { min-height: 0 !important; max-height: none !important; height: auto !important;
        overflow: visible; }
#vary-gallery .grid-container { padding: 0; margin: 0; }
#vary-gallery .thumbnail-lg { aspect-ratio: auto; height: auto; cursor: pointer; }
#vary-gallery .thumbnail-lg img { width: 100%; height: auto; }
#vary-gallery .thumbnail-lg.selected { outline: 3px solid var(--color-accent); outline-offset: 1px; }
#vary-gallery .caption-label { position: static; display: block; max-width: none; width: 100%; text-align: left;
        white-space: normal; padding: 3px 6px; font-size: 0.75rem; }
#vary-frames .grid-wrap { display: none; }
#vary-frames .preview { position: static; backdrop-filter: none; background: none; }
#vary-frames .media-button { height: auto; width: 100%; }
#vary-frames .media-button img { width: 100%; height: auto; }
#vary-frames button[aria-label="Close"] { display: none; }
#vary-frames { contain: inline-size; } /* many thumbnails scroll instead of widening the page */
#vary-frames .thumbnails { position: static; overflow-x: auto; justify-content: safe center; }
#vary-picture .html-container { padding: 0; }
#vary-part p, #vary-history p { margin: 0; overflow-wrap: anywhere; }
.vary-sides { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
.vary-sides h4 { margin: 0 0 6px; font-size: 0.95rem; overflow-wrap: anywhere; }
.vary-sides .side-right { text-align: right; }
.vary-sides .side-right .facts { justify-content: flex-end; }
@media (max-width: 740px) {
  #vary-gallery .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  #vary-picture-column { order: -1; }
}
"""


class View(NamedTuple):
    """The components of the tab that events connect."""

    # the label map and its images
    map_note: gr.Markdown
    map_picture: gr.Image
    images: gr.Slider
    seed: gr.Number
    random: gr.Button
    make: gr.Button
    gallery: gr.Gallery
    grid_buttons: gr.Row
    lock: gr.Button
    fresh: gr.Button
    tools: gr.Column
    # the chosen image
    part_class: gr.Dropdown
    part: gr.Markdown
    reroll_seed: gr.Textbox
    reroll: gr.Button
    undo: gr.Button
    before_after_column: gr.Column
    before_after: gr.ImageSlider
    picture: gr.HTML
    history: gr.Markdown
    download_image: gr.DownloadButton
    download_map: gr.DownloadButton
    download_settings: gr.DownloadButton
    # a walk between two seeds
    walk_from: gr.Number
    walk_to: gr.Number
    steps: gr.Slider
    walk_class: gr.Dropdown
    walk: gr.Button
    walk_empty: gr.HTML
    walk_results: gr.Column
    scrub: gr.Slider
    frames: gr.Gallery
    video: gr.Video
    gif: gr.Image
    download_mp4: gr.DownloadButton
    download_gif: gr.DownloadButton
    # two models
    other: gr.Dropdown
    compare: gr.Button
    compare_slider: gr.ImageSlider
    compare_note: gr.HTML


def vary_layout(model_names: list[str]) -> View:
    """Lay the tab out inside an open `gr.Tab`."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            left = _map_column()
        with gr.Column(scale=7, min_width=320):
            right = _grid_column()
    with gr.Column(visible=False, elem_id="vary-tools") as tools, gr.Tabs():
        with gr.Tab("One part", elem_id="vary-tab-part"):
            chosen = _chosen()
        with gr.Tab("Two seeds", elem_id="vary-tab-walk"):
            walk = _walk()
        with gr.Tab("Two models", elem_id="vary-tab-compare"):
            compare = _compare(model_names)
    return View(*left, *right, tools, *chosen, *walk, *compare)


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


def _map_column() -> tuple:
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
    count = gr.Slider(1, MAX_IMAGES, IMAGES, step=1, label="Number of images", elem_id="vary-count")
    with gr.Row(equal_height=False, elem_classes="controls"):
        seed = _seed("Seed of the first image", "vary-seed", min_width=180, scale=3)
        random = gr.Button(
            "Random seed", size="md", min_width=130, scale=1, elem_classes="beside", elem_id="vary-random"
        )
    make = gr.Button("Make images", variant="primary", interactive=False, elem_id="vary-make")
    return note, label_map, count, seed, random, make


def _grid_column() -> tuple:
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
    return gallery, buttons, lock, fresh


def _chosen() -> tuple:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            _hint("**Change a part, keep the rest.** Click the picture to take one region, or take a whole class:")
            part_class = gr.Dropdown([], value=None, label="Class", filterable=True, elem_id="vary-class")
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
            with gr.Column(visible=False) as before_after_column:
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
            picture = gr.HTML(js_on_load=CLICKED_PIXEL, elem_id="vary-picture")
            history = _hint("", "vary-history")
            with gr.Row():
                downloads = [
                    gr.DownloadButton(label, size="sm", min_width=100, elem_id=f"vary-download-{kind}")
                    for kind, label in (
                        ("image", "Save image"),
                        ("map", "Save label map"),
                        ("settings", "Save settings"),
                    )
                ]
    return part_class, part, reroll_seed, reroll, undo, before_after_column, before_after, picture, history, *downloads


def _walk() -> tuple:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            _hint("Makes the images on the way from one seed to another, everywhere or in one class only.")
            with gr.Row(elem_classes="controls"):
                start = _seed("From seed", "vary-walk-from", min_width=120)
                end = _seed("To seed", "vary-walk-to", value=1, min_width=120)
            steps = gr.Slider(2, MAX_STEPS, STEPS, step=1, label="Number of frames", elem_id="vary-steps")
            part = gr.Dropdown([("Whole image", "")], value="", label="What changes", elem_id="vary-walk-class")
            walk = gr.Button("Make the frames", variant="primary", elem_id="vary-walk")
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
                mp4_file = gr.DownloadButton("Save video (MP4)", size="sm", min_width=120, elem_id="vary-download-mp4")
                gif_file = gr.DownloadButton(
                    "Save animation (GIF)", size="sm", min_width=120, elem_id="vary-download-gif"
                )
    return start, end, steps, part, walk, empty, results, scrub, frames, video, gif, mp4_file, gif_file


def _compare(model_names: list[str]) -> tuple:
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            _hint("Draws the chosen image, with the same label map and seeds, by a second model. Classes go by name.")
            other = gr.Dropdown(
                model_names,
                value=None,
                label="Second model",
                info="Choose one, or type a Hub id 'user/name' or a folder.",
                allow_custom_value=True,
                elem_id="vary-other",
            )
            compare = gr.Button("Compare", variant="primary", elem_id="vary-compare")
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
    return other, compare, slider, note


__all__ = ["CSS", "NO_COMPARISON", "NO_SCENE", "View", "gallery_columns", "sides_html", "vary_layout"]

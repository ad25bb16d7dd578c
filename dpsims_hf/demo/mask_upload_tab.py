# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that turns an uploaded label map into four images."""

import secrets
from pathlib import Path
from typing import NamedTuple

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

from .draw_examples import CLASSES, EXAMPLES_DIR
from .html import EMPTY_LEGEND, legend_html
from .synthesis import MAX_SEED, VARIANTS, LabelMapFile, Synthesizer


HOW_TO = (
    "One class per pixel: a PNG of class ids (8 or 16 bit), a palette PNG, or a PNG painted in the colours of the "
    "**Palette** tab without soft brushes. Any size; it is brought to about the size the model was trained at."
)
API_GENERATE = (
    f"Generates {VARIANTS} images. Inputs: label_map, a PNG with one class per pixel (ids, palette or colours); seed, "
    f"a whole number in 0..{MAX_SEED}, of the first image (image i has seed + i). Returns the images with their seeds "
    "as captions, and a note on size and time."
)


class _Tab(NamedTuple):
    """The components that events connect."""

    examples: gr.Gallery | None
    file: gr.File
    decoded: gr.Image
    size_note: gr.Markdown
    legend: gr.HTML
    seed: gr.Number
    random_seed: gr.Button
    generate: gr.Button
    gallery: gr.Gallery
    note: gr.Markdown


def example_paths(names: list[str]) -> list[Path]:
    """The drawn examples, if the model has the label space they are drawn in (a void class after it is fine).

    Args:
        names: of the model's classes, by id.
    """
    if names[: len(CLASSES)] != list(CLASSES):
        return []
    return sorted(EXAMPLES_DIR.glob("*.png"))


def mask_upload_tab(synthesizer: Synthesizer) -> None:
    """Lay out the tab inside an open `gr.Blocks` and connect its events."""
    examples = example_paths(list(synthesizer.processor.id2label.values()))
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            left = _input_column(examples)
        with gr.Column(scale=7, min_width=320):
            right = _output_column()
    tab = _Tab(*left, *right)
    _connect(tab, _Handlers(synthesizer, examples, cache=tab.gallery.GRADIO_CACHE))


def _input_column(examples: list[Path]) -> tuple:
    gallery = None
    gr.Markdown("### 1 · Label map", elem_classes="step")
    if examples:
        gr.set_static_paths([EXAMPLES_DIR])  # wherever the package is installed, the page may read them
        gallery = gr.Gallery(
            [(path, path.stem.replace("_", " ")) for path in examples],
            label="Examples",
            show_label=False,
            container=False,
            format="png",
            columns=len(examples),
            rows=1,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="examples",
        )
        gr.Markdown("Click one of these drawings, or bring your own:", elem_classes="hint")
    file = gr.File(label="Label map (PNG)", file_types=[".png"], height=110, elem_id="file")
    gr.Markdown(HOW_TO, elem_classes="hint")
    decoded = gr.Image(
        label="Classes that were read",
        show_label=False,
        type="pil",
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id="label-map",
    )
    size_note = gr.Markdown(elem_id="size-note", elem_classes="hint")
    legend = gr.HTML(EMPTY_LEGEND, elem_id="legend")
    return gallery, file, decoded, size_note, legend


def _output_column() -> tuple:
    gr.Markdown("### 2 · Images", elem_classes="step")
    with gr.Row(equal_height=False, elem_id="controls"):
        seed = gr.Number(
            0,
            label="Seed of the first image",
            precision=0,
            minimum=0,
            maximum=MAX_SEED,
            min_width=180,
            scale=3,
            elem_id="seed",
        )
        random_seed = gr.Button("Random seed", min_width=130, scale=1, elem_id="random-seed")
    generate = gr.Button(f"Generate {VARIANTS} images", variant="primary", elem_id="go")
    gallery = gr.Gallery(
        label="Variants",
        show_label=False,
        format="png",
        columns=2,
        height="auto",
        object_fit="contain",
        interactive=False,
        buttons=["download", "download_all", "fullscreen"],
        elem_id="variants",
    )
    note = gr.Markdown(elem_id="note", elem_classes="hint")
    return seed, random_seed, generate, gallery, note


class _Handlers:
    """What happens on the server; errors reach the reader as one line.

    Args:
        synthesizer: reads files and makes images.
        examples: the files behind the example gallery.
        cache: folder that the page may serve files from.
    """

    def __init__(self, synthesizer: Synthesizer, examples: list[Path], cache: str) -> None:
        self.synthesizer = synthesizer
        self.examples = examples
        self.cache = cache

    def choose_example(self, event: gr.SelectData) -> str:
        return str(self.examples[event.index])

    def decode(self, label_map: str | None) -> tuple[Image.Image | None, str, str]:
        """Path of a label file -> its colours, its legend, a sentence on the size."""
        if label_map is None:
            return None, EMPTY_LEGEND, ""
        file = self._read(label_map)
        for note in file.notes:
            gr.Warning(note)
        processor = self.synthesizer.processor
        return processor.colorize(file.label_map), legend_html(processor.legend(file.label_map)), file.describe_size()

    def generate(self, label_map: str | None, seed: int | None) -> tuple[list[tuple[str, str]], str]:
        """Path of a label file and a seed -> (image file, caption) per variant, a sentence on size and time."""
        if label_map is None:
            raise gr.Error("no label map yet: click an example or upload a PNG first", print_exception=False)
        file = self._read(label_map)
        try:
            images, seeds, seconds = self.synthesizer.variants(file, int(seed or 0))
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        stem = Path(file.name).stem
        gallery = [  # saved here, so that a download carries a name that says how to make the image again
            (save_pil_to_cache(image, self.cache, name=f"{stem}_seed_{number}", format="png"), f"seed {number}")
            for image, number in zip(images, seeds, strict=True)
        ]
        height, width = file.size
        return gallery, f"{len(images)} images of {file.name} at {width} × {height} in {seconds:.1f} s."

    def _read(self, path: str) -> LabelMapFile:
        try:
            return self.synthesizer.read(path)
        except ValueError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from error


def _connect(tab: _Tab, handlers: _Handlers) -> None:
    quick = {"queue": False, "api_visibility": "private"}
    shown = [tab.decoded, tab.legend, tab.size_note]
    if tab.examples is not None:
        tab.examples.select(handlers.choose_example, None, tab.file, **quick)
    tab.file.change(lambda: ([], ""), None, [tab.gallery, tab.note], **quick)
    tab.file.change(
        handlers.decode,
        tab.file,
        shown,
        api_name="decode",
        api_description="Reads a label map: its classes in colour, an HTML legend with shares, the working size.",
        show_progress="minimal",
    ).failure(lambda: (None, EMPTY_LEGEND, ""), None, shown, **quick)
    tab.random_seed.click(lambda: secrets.randbelow(MAX_SEED + 1), None, tab.seed, **quick)
    tab.generate.click(
        handlers.generate,
        [tab.file, tab.seed],
        [tab.gallery, tab.note],
        api_name="generate",
        api_description=API_GENERATE,
        concurrency_limit=1,
        concurrency_id="model",
        show_progress_on=tab.gallery,
    )

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that measures the model, on the drawn examples or on uploaded photos with label maps."""

import shutil
import uuid
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ...evaluation.report import draw_grid, write_report
from ..drawing.evaluation_request import MAX_SEEDS, METRICS, SECONDS, Evaluated, check_seeds, run_evaluation
from ..drawing.example_maps import example_paths
from ..drawing.photo_segmentation import segmenter_source
from ..drawing.scenes import Deadline, file_stem
from ..models.library import LoadedModel, ModelLibrary
from ..server.components import UploadedFile
from ..server.events import EVALUATION, LIGHT, on_gpu, report_errors
from ..uploads.label_files import READ_AS
from ..uploads.limits import MAX_PAIRS
from ..widgets.evaluation_charts import EMPTY, charts_html, report_html
from ..widgets.session import Session
from ..widgets.stopping import stop_button, stoppable
from ..widgets.tab import Tab


EXAMPLES, ARCHIVE = "examples", "archive"
SOURCES = [("The drawn examples (label maps without photos)", EXAMPLES), ("My photos with label maps (zip)", ARCHIVE)]
PICTURE_ROWS = 6
HOW_TO = (
    f"A zip file of at most {MAX_PAIRS} pairs: `images/NAME.jpg` (or `.png`) with `labels/NAME.png`, the label maps "
    "in this model's classes."
)


def evaluate_tab(library: ModelLibrary, session: Session) -> Tab:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            source, archive, reading, how_to, measures, downloads, segmenter, seeds, run, stop = _request(
                library.default
            )
        with gr.Column(scale=7, min_width=320):
            report, files = _answer()
    with gr.Column(visible=False) as more:
        pictures, charts = _pictures_and_charts()
    handlers = _Handlers(library, Path(files[0].GRADIO_CACHE))
    answer = [report, more, pictures, charts, *files]
    inputs = [session.model, source, archive, measures, downloads, segmenter, seeds, reading]
    measure = on_gpu(report_errors(handlers.evaluate), seconds=SECONDS)
    measured = stoppable(
        stop, run.click, lambda: [run.click(measure, inputs, answer, show_progress_on=report, **EVALUATION)]
    )
    measured[0].failure(_nothing, None, answer, **LIGHT)
    by_source = [archive, how_to, measures, downloads, reading]
    source.change(handlers.choose_source, source, by_source, **LIGHT)
    downloads.change(lambda chosen: gr.Textbox(visible="mean_iou" in chosen), downloads, segmenter, **LIGHT)
    changed = session.model.change(handlers.change_model, session.model, [source, *answer], **LIGHT)
    changed.success(handlers.choose_source, source, by_source, **LIGHT)
    return Tab()


def _request(model: LoadedModel) -> tuple:
    gr.Markdown("### 1 · What to measure on", elem_classes="step")
    start = _start_source(model)
    source = gr.Radio(SOURCES, value=start, show_label=False, container=False, elem_id="evaluate-source")
    is_archive = start == ARCHIVE
    archive = UploadedFile(
        label="Zip file of pairs", file_types=[".zip"], height=110, visible=is_archive, elem_id="evaluate-archive"
    )
    reading = gr.Dropdown(READ_AS, value="", label="Read the file as", visible=is_archive, elem_id="evaluate-reading")
    how_to = gr.Markdown(HOW_TO, elem_classes="hint", visible=is_archive)
    gr.Markdown("### 2 · What to measure", elem_classes="step")
    measures = gr.CheckboxGroup(
        **_measures(start), show_label=False, container=False, elem_id="evaluate-measures", elem_classes="one-a-line"
    )
    with gr.Accordion("Measures of papers, with networks that are downloaded once", open=False):
        downloads = gr.CheckboxGroup(
            **_downloads(start),
            show_label=False,
            container=False,
            elem_id="evaluate-downloads",
            elem_classes="one-a-line",
        )
        segmenter = gr.Textbox(
            label="Segmenter",
            info="Hub id or folder; empty: the published one for ADE20K, Cityscapes or COCO-Stuff. Its classes must "
            "have this model's names.",
            placeholder="facebook/mask2former-swin-large-ade-semantic",
            visible=False,
            elem_id="evaluate-segmenter",
        )
    seeds = gr.Textbox(
        "0",
        label="Seeds",
        info=f"1 to {MAX_SEEDS} whole numbers; with several, the table shows the spread.",
        elem_id="evaluate-seeds",
    )
    run = gr.Button("Measure", variant="primary", elem_id="evaluate-run")
    stop = stop_button("evaluate-stop")
    gr.Markdown(
        f"About half a second per picture on two processor cores; stops after {SECONDS // 60} minutes.",
        elem_classes="hint",
    )
    return source, archive, reading, how_to, measures, downloads, segmenter, seeds, run, stop


def _answer() -> tuple[gr.HTML, list[gr.DownloadButton]]:
    gr.Markdown("### 3 · Results", elem_classes="step")
    report = gr.HTML(EMPTY, elem_id="evaluate-report", min_height=260)
    with gr.Row(elem_classes="download-row"):
        files = [
            gr.DownloadButton(label, size="sm", min_width=140, visible=False, elem_id=f"evaluate-download-{kind}")
            for kind, label in (("results", "Save results (JSON)"), ("report", "Save report (zip)"))
        ]
    return report, files


def _pictures_and_charts() -> tuple[gr.Image, gr.HTML]:
    gr.Markdown("### Class by class, map by map", elem_classes="step")
    charts = gr.HTML(elem_id="evaluate-charts")
    gr.Markdown("### Label map, picture, and what was seen in it", elem_classes="step")
    gr.Markdown(f"At most {PICTURE_ROWS} label maps, drawn with the first seed.", elem_classes="hint")
    pictures = gr.Image(
        label="Label map, photo, picture, and what the segmenter saw in it",
        show_label=False,
        type="pil",
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id="evaluate-pictures",
    )
    return pictures, charts


def _start_source(model: LoadedModel) -> str:
    return EXAMPLES if example_paths(model.labels) else ARCHIVE


def _measures(source: str) -> dict[str, Any]:
    """Choices without a download, all of them on, as far as there are photos."""
    chosen = [(metric.title, key) for key, metric in METRICS.items() if not metric.download and _fits(key, source)]
    return {"choices": chosen, "value": [key for _, key in chosen]}


def _downloads(source: str) -> dict[str, Any]:
    return {
        "choices": [
            (f"{metric.title} · {metric.download}", key)
            for key, metric in METRICS.items()
            if metric.download and _fits(key, source)
        ],
        "value": [],
    }


def _fits(key: str, source: str) -> bool:
    return source == ARCHIVE or not METRICS[key].needs_photos


def _nothing() -> tuple[str, gr.Column, None, str, gr.DownloadButton, gr.DownloadButton]:
    """Old numbers would contradict the new choice."""
    hidden = gr.DownloadButton(value=None, visible=False)
    return EMPTY, gr.Column(visible=False), None, "", hidden, hidden


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
        cache: folder that the page may serve files from.
    """

    def __init__(self, library: ModelLibrary, cache: Path) -> None:
        self.library = library
        self.cache = cache

    def evaluate(
        self,
        model_name: str,
        source: str,
        archive: str | None,
        measures: list[str],
        downloads: list[str],
        segmenter: str | None,
        seeds: str | None,
        reading: str = "",
        progress: gr.Progress = gr.Progress(),  # noqa: B008  gradio looks for it there
    ) -> tuple[str, gr.Column, Image.Image, str, gr.DownloadButton, gr.DownloadButton]:
        """Measure; the report, pictures and charts, two files."""
        if source == ARCHIVE and archive is None:
            raise ValueError("no zip file yet: upload photos with label maps, or choose the drawn examples")
        model = self.library.get(model_name)
        evaluated = run_evaluation(
            model,
            archive if source == ARCHIVE else None,
            [*measures, *downloads],
            check_seeds(seeds or ""),
            progress.tqdm,
            segmenter_source(segmenter, self.library.local_folders) if segmenter else None,
            Deadline(model.budget.evaluation_seconds),
            reading or None,
        )
        results, report = self._files(evaluated)
        return (
            report_html(evaluated.results),
            gr.Column(visible=True),
            draw_grid(evaluated.examples[:PICTURE_ROWS]),
            charts_html(evaluated.results, model.processor.palette),
            gr.DownloadButton(value=results, visible=True),
            gr.DownloadButton(value=report, visible=True),
        )

    def _files(self, evaluated: Evaluated) -> tuple[str, str]:
        """Paths of the results as JSON, and of the whole report as zip."""
        folder = self.cache / uuid.uuid4().hex
        stem = file_stem(evaluated.results["dataset"]["name"])
        write_report(evaluated.results, folder / "report", {"examples": evaluated.examples})
        report = shutil.make_archive(str(folder / f"{stem}_report"), "zip", folder / "report")
        results = shutil.move(folder / "report" / "results.json", folder / f"{stem}_results.json")
        shutil.rmtree(folder / "report")
        return str(results), report

    @staticmethod
    def choose_source(source: str) -> tuple:
        """What can be measured with photos or without."""
        is_archive = source == ARCHIVE
        measures, downloads = gr.CheckboxGroup(**_measures(source)), gr.CheckboxGroup(**_downloads(source))
        shown = [kind(visible=is_archive) for kind in (UploadedFile, gr.Markdown, gr.Dropdown)]
        return *shown[:2], measures, downloads, shown[2]

    def change_model(self, model_name: str) -> tuple:
        """Numbers of another model must not stay."""
        return _start_source(self.library.get(model_name)), *_nothing()


__all__ = ["evaluate_tab"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Measures a model on the drawn examples or on an uploaded zip file of photos with label maps."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ...evaluation.features import REMEDY
from ...evaluation.pairs import PAIR_IMAGES, evaluate_pairs
from ...evaluation.protocols import PROTOCOLS
from ...evaluation.runner import Progress
from ..models.library import LoadedModel
from ..models.turns import in_request, in_turns
from ..uploads.label_files import read_label_file
from ..uploads.limits import Upload, upload_name
from ..uploads.pair_archives import read_pairs
from .example_maps import example_paths
from .photo_segmentation import check_segmenter, discriminator_of
from .scenes import Deadline, check_seed


MAX_SEEDS = 5
MAX_SEEDS_TEXT = 200  # characters
SECONDS = 300  # a request may compute
FEW_LABEL_MAPS = 500  # below, a sentence says what the numbers are worth
# Number of classes, void left out -> the published segmenter for them; protocols know its input size and label table.
PUBLISHED_SEGMENTERS = {
    150: "miou_mf_ade",
    19: "miou_mf_cityscapes",
    34: "miou_mf_cityscapes",
    182: "miou_mf_coco133",
}


class Metric(NamedTuple):
    """A measure that can be requested.

    Args:
        title: what the page calls it.
        needs_photos: it compares with real photos.
        download: what it fetches once, with size; "" for nothing.
        judged_by_discriminator: it needs the checkpoint's discriminator.
    """

    title: str
    needs_photos: bool = False
    download: str = ""
    judged_by_discriminator: bool = False


METRICS = {
    "miou_discriminator": Metric(
        "Does the picture show what the map says? (mIoU, judged by the model's own discriminator)",
        judged_by_discriminator=True,
    ),
    "ms_ssim": Metric(f"How different are {PAIR_IMAGES} pictures of one map? (MS-SSIM)"),
    "fid_discriminator": Metric(
        "How far from the real photos? (FID on the discriminator's backbone)",
        needs_photos=True,
        judged_by_discriminator=True,
    ),
    "color_texture": Metric("Colours and textures of each class against the photos", needs_photos=True),
    "mean_iou": Metric("mIoU, judged by a segmenter from the Hub", download="up to 900 MB"),
    "lpips": Metric(f"How different are {PAIR_IMAGES} pictures of one map? (LPIPS)", download="530 MB"),
    "fid": Metric("FID as papers report it (Inception)", needs_photos=True, download="91 MB"),
}


class Evaluated(NamedTuple):
    """What a request leaves.

    Args:
        results: the content of results.json, plain JSON values.
        examples: one row per label map with pictures, uint8 (height, width, 3), by the columns of
            `evaluation.report.draw_grid`, and a caption.
    """

    results: dict[str, Any]
    examples: list[dict[str, Any]]


def run_evaluation(
    model: LoadedModel,
    archive: Upload | None = None,
    metrics: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    progress: Progress | None = None,
    segmenter: str | None = None,
    deadline: Deadline | None = None,
    reading: str | None = None,
) -> Evaluated:
    """Measure a model at its training size.

    Args:
        model: what is measured.
        archive: zip file of pairs, see `read_pairs`; None takes the drawn examples, label maps without photos.
        metrics: keys of METRICS; None takes all that need no download, as far as there are photos and a
            discriminator.
        seeds: of the noise, at most MAX_SEEDS; None is (0,).
        progress: wraps an iterable as tqdm does: `gr.Progress().tqdm`.
        segmenter: Hub id or folder, for `mean_iou`; None takes the published one for the model's classes.
        deadline: checked between batches; None allows SECONDS.
        reading: how the label maps are meant, see `read_label_file`.

    Raises:
        ValueError: a wrong file, metric or seed, photos or a discriminator that are not there, a download that
            fails, the deadline; one line.
    """
    seeds = check_seeds((0,) if seeds is None else seeds)
    has_photos = archive is not None
    metrics = default_metrics(model, has_photos) if metrics is None else _check_metrics(metrics, has_photos)
    networks = {"segmenter": segmenter or _published_segmenter(model)} if "mean_iou" in metrics else {}
    if any(METRICS[key].judged_by_discriminator for key in metrics):
        discriminator_of(model)
    names, pairs = _pairs(model, archive, reading)
    if in_request():
        count = len(pairs) * len(seeds) * (PAIR_IMAGES if {"ms_ssim", "lpips"} & set(metrics) else 1)
        if segmenter:
            check_segmenter(segmenter)
        model.cost.check(model.training_size, count, "pictures", model.budget.evaluation_seconds)
    watched = _watched(progress, deadline or Deadline(model.budget.evaluation_seconds))
    try:
        results = evaluate_pairs(model.pipe, pairs, metrics, seeds, watched, names, batch_size=1, **networks)
    except ValueError as error:
        raise ValueError(_for_the_page(str(error))) from error
    examples = results.pop("examples")
    results["source"] |= {"model": model.name, "weights_sha256": model.weights_sha256}
    if has_photos:
        results["dataset"] |= {"name": _archive_name(archive), "split": "(uploaded)"}
    else:
        results["dataset"] |= {"name": "drawn examples", "split": "(label maps without photos)"}
    results["warnings"] += _cautions(len(pairs), has_photos, metrics)
    return Evaluated(results, examples)


def check_seeds(seeds: Iterable[Any] | str) -> tuple[int, ...]:
    """Seeds as numbers, or as a text like "0 1 2".

    Raises:
        ValueError: none, too many, or one that is no seed.
    """
    if isinstance(seeds, str):
        if len(seeds) > MAX_SEEDS_TEXT:
            raise ValueError(f"seeds: a text of {len(seeds):,} characters; write seeds like '0 1 2'")
        words = re.split(r"[\s,;]+", seeds.strip())
        wrong = [word for word in words if not re.fullmatch(r"[0-9]{1,12}", word)]
        if wrong:
            raise ValueError(f"seeds: {wrong[0][:20]!r} is not a whole number; write seeds like '0 1 2'")
        seeds = map(int, words)
    checked = tuple(dict.fromkeys(check_seed(seed) for seed in seeds))
    if not 1 <= len(checked) <= MAX_SEEDS:
        raise ValueError(f"{len(checked)} seeds: give 1 to {MAX_SEEDS} different ones")
    return checked


def default_metrics(model: LoadedModel, has_photos: bool) -> list[str]:
    """What can be measured without a download."""
    try:
        discriminator = discriminator_of(model)
    except ValueError:
        discriminator = None
    chosen = [
        key for key, metric in METRICS.items() if not metric.download and (has_photos or not metric.needs_photos)
    ]
    if discriminator is None:
        chosen = [key for key in chosen if not METRICS[key].judged_by_discriminator]
    elif not hasattr(discriminator, "backbone"):  # OASIS and DP-GAN train theirs from scratch
        chosen = [key for key in chosen if key != "fid_discriminator"]
    return chosen


def _check_metrics(metrics: Sequence[str], has_photos: bool) -> list[str]:
    chosen = list(dict.fromkeys(metrics))
    if not chosen:
        raise ValueError("nothing to measure: choose at least one measure")
    for key in chosen:
        if key not in METRICS:
            raise ValueError(f"metric {str(key)[:40]!r} is unknown: choose from {', '.join(METRICS)}")
        if METRICS[key].needs_photos and not has_photos:
            raise ValueError(
                f"{key} compares with real photos, and the drawn examples have none: upload photos with their label "
                "maps, or leave it out"
            )
    return chosen


def _pairs(model: LoadedModel, archive: Upload | None, reading: str | None) -> tuple[list[str], list[tuple[Any, Any]]]:
    """Names, and (photo or None, label map) pairs."""
    if archive is not None:
        found = read_pairs(archive, model.processor, reading=reading)
        return [pair.name for pair in found], [(pair.photo, pair.label_map) for pair in found]
    paths = example_paths(model.labels)
    if not paths:
        raise ValueError("the drawn examples have other classes than this model: upload photos with their label maps")
    return [path.stem for path in paths], [(None, read_label_file(p, model.processor).label_map) for p in paths]


def _archive_name(archive: Upload) -> str:
    return upload_name(archive, None if isinstance(archive, str) or hasattr(archive, "__fspath__") else "pairs.zip")


def _published_segmenter(model: LoadedModel) -> str:
    classes = len(model.labels) - (model.processor.void_label_id is not None)
    if classes not in PUBLISHED_SEGMENTERS:
        raise ValueError(
            f"mean_iou: no published segmenter is known for this model's {classes} classes: name one that has them, "
            "or choose miou_discriminator"
        )
    return PROTOCOLS[PUBLISHED_SEGMENTERS[classes]].network


def _for_the_page(text: str) -> str:
    """Replace the remedies of the command line, which do not apply on a page."""
    for remedy in (REMEDY, "go online once, or pass distance="):
        text = text.replace(remedy, "go online once, or leave this measure out")
    return text


def _watched(progress: Progress | None, deadline: Deadline) -> Progress:
    """A progress bar that also looks at the clock."""

    def watch(iterable: Iterable[Any], desc: str = "", total: int | None = None) -> Iterator[Any]:
        for item in in_turns(iterable if progress is None else progress(iterable, desc=desc, total=total)):
            deadline.check()
            yield item

    return watch


def _cautions(count: int, has_photos: bool, metrics: Sequence[str]) -> list[str]:
    """What the numbers are worth, one sentence each."""
    cautions = []
    if count < FEW_LABEL_MAPS:
        maps = "1 label map is" if count == 1 else f"{count} label maps are"
        reason = "FID needs thousands of images; " if {"fid", "fid_discriminator"} & set(metrics) else ""
        cautions.append(
            f"{maps} few: {reason}compare these numbers only with those of another model on the same files."
        )
    if not has_photos and "miou_discriminator" in metrics:
        cautions.append(
            "Without photos mIoU has no upper reference: what the discriminator would reach on real photos is unknown."
        )
    return cautions


__all__ = [
    "MAX_SEEDS",
    "METRICS",
    "SECONDS",
    "Evaluated",
    "Metric",
    "check_seeds",
    "default_metrics",
    "run_evaluation",
]

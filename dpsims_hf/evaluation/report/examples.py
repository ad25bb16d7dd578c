# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The pictures of a report: worst and best label maps, made again at the end, since no image is kept."""

from typing import Any

import numpy as np
import torch

from ...data import collate
from ..measures import SegmentationMeasure, SegmentationObserver
from ..runner import Evaluation
from ..sources import GeneratorSource, ImageSource, RealSource, file_stem, noise_seed


COUNT = 6  # label maps per picture
UNKNOWN_COLOR = (200, 200, 200)  # predicted classes that the dataset does not have


def choose_examples(
    evaluation: Evaluation, source: ImageSource, seed: int, records: dict[str, Any], count: int = COUNT
) -> dict[str, list[dict[str, Any]]]:
    """Rows for `draw_grid`, by the pixel accuracy of each image with this seed; without a segmenter, every n-th image.

    Args:
        evaluation: The evaluation that measured `source`.
        source: Where the images came from.
        seed: The seed whose images are shown.
        records: Of `evaluate_model`.
        count: Label maps per picture.

    Returns:
        {"worst": rows, "best": rows}, or {"examples": rows}.
    """
    observers = [m.observer for m in evaluation.measures if isinstance(m, SegmentationMeasure)]
    if not observers:
        step = max(1, len(evaluation.rows) // count)
        return {"examples": draw_examples(evaluation, source, seed, evaluation.rows[::step][:count])}
    scores = records[observers[0].key].scores
    order = sorted(scores, key=lambda index: (scores[index]["pixel_accuracy"], index))
    chosen = {"worst": order[:count], "best": order[::-1][:count]}
    return {name: draw_examples(evaluation, source, seed, rows, observers[0], scores) for name, rows in chosen.items()}


def draw_examples(
    evaluation: Evaluation,
    source: ImageSource,
    seed: int,
    rows: list[int],
    observer: SegmentationObserver | None = None,
    scores: dict[int, dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Label, real photo, generated image and predicted label of some rows, uint8 (height, width, 3), and a caption."""
    dataset, device = evaluation.dataset, evaluation.device
    palette = np.asarray(dataset.spec.palette, dtype=np.uint8)
    examples = []
    for index in rows:
        batch = {name: value.to(device) for name, value in collate([dataset[index]]).items()}
        images = source.images(batch, seed).to(device)
        caption = file_stem(dataset, index)
        if isinstance(source, GeneratorSource):
            caption += f", pipeline seed {noise_seed(seed, index)}"
        example = {"label": palette[batch["label_map"][0].cpu().numpy()], "real": _array(RealSource().images(batch))}
        if not isinstance(source, RealSource):
            example["generated"] = _array(images)
        if observer is not None:
            with torch.no_grad():
                prediction = observer.segmenter(images)[0].cpu().numpy()
            example["predicted label"] = observer_palette(observer, palette)[prediction]
            if index in (scores or {}):  # not an image that is all void
                caption += ", pixel accuracy {pixel_accuracy:.3f}, mean IoU {mean_iou:.3f}".format(**scores[index])
        examples.append(example | {"caption": caption})
    return examples


def observer_palette(observer: SegmentationObserver, palette: np.ndarray) -> np.ndarray:
    """(segmenter's labels, 3) uint8: the dataset's colours where it has the class."""
    colors = np.tile(np.array(UNKNOWN_COLOR, dtype=np.uint8), (len(observer.segmenter.label_names), 1))
    for label, seen in reversed(list(enumerate(observer.mapping.table))):  # of merged labels the first one counts
        if seen is not None:
            colors[seen] = palette[label]
    return colors


def _array(images: torch.Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).cpu().numpy()


__all__ = ["choose_examples", "draw_examples"]

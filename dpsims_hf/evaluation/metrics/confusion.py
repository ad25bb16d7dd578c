# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Semantic consistency: pixel counts of the label asked for against the label a segmenter sees, and the scores."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


_LARGEST_ID = 2**30  # products of two ranges stay inside int64


def as_label_map(label_map: Any, name: str = "label map") -> np.ndarray:
    """A label map as a (height, width) integer array: array, tensor, nested list, PIL (L, P, I;16)."""
    label_map = label_map.detach().cpu().numpy() if isinstance(label_map, torch.Tensor) else np.asarray(label_map)
    if label_map.ndim != 2 or not np.issubdtype(label_map.dtype, np.integer) or not label_map.size:
        raise ValueError(f"{name} is {label_map.dtype} of shape {label_map.shape}; give integers of (height, width)")
    return label_map


def count_pairs(prediction: Any, reference: Any) -> Counter[tuple[int, int]]:
    """How many pixels have each (reference id, predicted id), whatever the ids mean. Counters add up exactly.

    Args:
        prediction: (height, width) integers.
        reference: (height, width) integers.

    Raises:
        ValueError: two sizes, wrong type, or ids that no label file has.
    """
    prediction, reference = as_label_map(prediction, "prediction"), as_label_map(reference, "reference")
    if prediction.shape != reference.shape:
        raise ValueError(
            f"prediction is {prediction.shape} and reference {reference.shape} (height, width): resize the "
            "prediction's logits, or the labels by nearest neighbour, to one size"
        )
    lowest, width = [], []
    for name, ids in (("prediction", prediction), ("reference", reference)):
        low, high = int(ids.min()), int(ids.max())
        if max(-low, high) >= _LARGEST_ID:
            raise ValueError(f"{name} holds {max(-low, high)}, which is no label id; check how the file was read")
        lowest.append(low)
        width.append(high - low + 1)
    codes = (reference.astype(np.int64) - lowest[1]) * width[0] + (prediction.astype(np.int64) - lowest[0])
    values, counts = np.unique(codes, return_counts=True)
    references, predictions = np.divmod(values, width[0])
    pairs = zip((references + lowest[1]).tolist(), (predictions + lowest[0]).tolist(), strict=True)
    return Counter(dict(zip(pairs, counts.tolist(), strict=True)))


class ConfusionMatrix:
    """Running pixel counts of (reference label, predicted label), and the scores from them.

    Reference pixels of `ignore_index` are left out, whatever is predicted there. If it is one of the labels, that
    label is no class: it has no IoU, and predicting it elsewhere is wrong. A prediction outside 0 .. num_labels - 1
    is wrong too: it enlarges the union of the reference's class and no other.

    Args:
        num_labels: Labels, 0 .. num_labels - 1.
        ignore_index: Reference value that means void; None for none.
        object_labels: Labels of countable things, for `object_mean_iou`; None leaves that score out.
    """

    def __init__(
        self, num_labels: int, ignore_index: int | None = None, object_labels: Sequence[int] | None = None
    ) -> None:
        if num_labels < 1:
            raise ValueError(f"num_labels={num_labels}: give the number of classes, at least 1")
        wrong = [label for label in object_labels or () if not 0 <= label < num_labels]
        if wrong:
            raise ValueError(f"object_labels holds {wrong[0]}, outside 0 .. {num_labels - 1}")
        self.num_labels = num_labels
        self.ignore_index = ignore_index
        self.object_labels = None if object_labels is None else sorted(set(object_labels))
        self.matrix = np.zeros((num_labels, num_labels + 1), dtype=np.int64)  # last column: predictions out of range
        self.void_pixels = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one image: two (height, width) integer maps of one size (arrays, tensors or PIL; 8, 16 or 64 bit)."""
        self.add_counts(count_pairs(prediction, reference))

    def add_counts(self, pairs: Mapping[tuple[int, int], int]) -> None:
        """Count pixels from `count_pairs`. Raises ValueError, before counting, on a reference that is no label."""
        for (reference, _), pixels in pairs.items():
            if reference != self.ignore_index and not 0 <= reference < self.num_labels:
                raise ValueError(
                    f"reference holds label {reference} ({pixels} pixels) but num_labels={self.num_labels}, "
                    f"ignore_index={self.ignore_index}: raise num_labels, or name the void value as ignore_index"
                )
        for (reference, prediction), pixels in pairs.items():
            if reference == self.ignore_index:
                self.void_pixels += pixels
            else:
                self.matrix[reference, prediction if 0 <= prediction < self.num_labels else -1] += pixels

    def merge(self, other: "ConfusionMatrix") -> None:
        """Add another process's counts; integers, so the order does not matter."""
        if (self.num_labels, self.ignore_index) != (other.num_labels, other.ignore_index):
            raise ValueError(
                f"cannot merge counts for num_labels={other.num_labels}, ignore_index={other.ignore_index} into "
                f"num_labels={self.num_labels}, ignore_index={self.ignore_index}"
            )
        self.matrix += other.matrix
        self.void_pixels += other.void_pixels

    def compute(self) -> dict[str, Any]:
        """The scores, all in [0, 1].

        Returns:
            mean_iou: over the classes with reference or predicted pixels (absent ones are left out, not 0).
            pixel_accuracy: over the pixels that are not void.
            mean_accuracy: of the classes with reference pixels.
            per_class_iou: list of num_labels; None for absent classes and for the void label.
            num_classes_counted: classes in `mean_iou`.
            object_mean_iou: mean over the `object_labels` that are present; None without.
            void_pixels, out_of_range_pixels: reference pixels left out; predictions that are no label.

        Raises:
            ValueError: nothing was counted, or all of it was void.
        """
        if not self.matrix.sum():
            found = f"all {self.void_pixels} pixels are void" if self.void_pixels else "no label maps were added"
            raise ValueError(f"{found}: mean IoU is not defined")
        hits = self.matrix.diagonal().astype(np.float64)
        reference = self.matrix.sum(axis=1)
        union = reference + self.matrix[:, :-1].sum(axis=0) - hits
        if self.ignore_index is not None and 0 <= self.ignore_index < self.num_labels:
            union[self.ignore_index] = 0
        iou = np.divide(hits, union, out=np.full(self.num_labels, np.nan), where=union > 0)
        objects = [] if self.object_labels is None else iou[self.object_labels][union[self.object_labels] > 0]
        return {
            "mean_iou": float(np.mean(iou[union > 0])),
            "pixel_accuracy": float(hits.sum() / self.matrix.sum()),
            "mean_accuracy": float(np.mean(hits[reference > 0] / reference[reference > 0])),
            "per_class_iou": [None if np.isnan(value) else float(value) for value in iou],
            "num_classes_counted": int((union > 0).sum()),
            "object_mean_iou": float(np.mean(objects)) if len(objects) else None,
            "void_pixels": self.void_pixels,
            "out_of_range_pixels": int(self.matrix[:, -1].sum()),
        }

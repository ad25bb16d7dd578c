# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Mean IoU and pixel accuracy between label maps and what a segmenter sees in the generated images, for `evaluate`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import evaluate

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.confusion import ConfusionMatrix, count_pairs


_DESCRIPTION = """
Semantic consistency: the label maps that images were generated from against the label maps that a segmenter predicts
for them: mean IoU over the classes that occur, and pixel accuracy. Higher is better. Name the segmenter, its input
size and its score on real images with the number.
"""
_CITATION = """
@inproceedings{schonfeld2021you,
  title={You Only Need Adversarial Supervision for Semantic Image Synthesis},
  author={Sch{\\"o}nfeld, Edgar and Sushko, Vadim and Zhang, Dan and Gall, Juergen and Schiele, Bernt and
          Khoreva, Anna},
  booktitle={ICLR}, year={2021}
}
"""
_INPUTS = """
Args:
    predictions: Predicted label maps: integer arrays (height, width) of 8, 16 or 64 bits, tensors or PIL images.
    references: The label maps asked for, one per prediction and of its size.
    num_labels: Labels, 0 .. num_labels - 1 (compute only).
    ignore_index: Reference value that means void; its pixels are left out. None for none (compute only).
    object_labels: Labels of countable things, for object_mean_iou; None leaves it out (compute only).
Returns:
    mean_iou, pixel_accuracy, mean_accuracy, per_class_iou (None for absent classes), num_classes_counted,
    object_mean_iou, void_pixels, out_of_range_pixels.
"""


class SemanticConsistency(module_bases.MergeableMetric):
    """Keeps pixel counts per pair of ids in the Counter `state`. In several processes: gather, `state.update(other)`.

    Counts have no image numbers: shard without padding, or padded images count twice.
    """

    remedy = "add up `state`"

    def start_anew(self) -> None:
        """Forget all label maps."""
        self.state: Counter[tuple[int, int]] = Counter()

    def _info(self) -> evaluate.MetricInfo:
        label_map = module_bases.label_map_feature()
        features = {"predictions": label_map, "references": label_map}
        return self.describe(_DESCRIPTION, _CITATION, _INPUTS, features)

    def add(self, *, prediction: Any = None, reference: Any = None) -> None:
        """Add one pair of label maps."""
        self.add_batch(predictions=[prediction], references=[reference])

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add some pairs of label maps; if one of them is wrong, none is added."""
        self.state.update(_count(predictions, references))

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        num_labels: int,
        ignore_index: int | None = None,
        object_labels: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """Compute from all that was added, these included, and start anew. After an error the added counts stay."""
        matrix = ConfusionMatrix(num_labels, ignore_index, object_labels)
        matrix.add_counts(self.state)
        if predictions is not None or references is not None:
            matrix.add_counts(_count(predictions, references))
        result = matrix.compute()
        self.start_anew()
        return result


def _count(predictions: Any, references: Any) -> Counter[tuple[int, int]]:
    given = [0 if maps is None else len(maps) for maps in (predictions, references)]
    if given[0] != given[1] or not given[0]:
        raise ValueError(f"{given[0]} predictions came with {given[1]} references: give at least one, one each")
    counts: Counter[tuple[int, int]] = Counter()
    for prediction, reference in zip(predictions, references, strict=True):
        counts.update(count_pairs(prediction, reference))
    return counts

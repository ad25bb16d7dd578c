# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Distances of colour and texture statistics per class between real and generated images, as an `evaluate` module."""

from typing import Any

import evaluate

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.color_texture import ColorTextureHistograms, color_texture_distance


_DESCRIPTION = """
Colour and texture of generated images against real ones, per class and then mean over classes: earth mover's distance
between histograms in CIE LAB (32 bins per channel, mean over channels, LAB units), and chi-square distance between
histograms of local binary patterns (8 neighbours, radius 1, uniform). Lower is better.
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
    predictions: Generated images: PIL images or uint8 (height, width, 3) arrays.
    references: Real images, in the same form; may be given in other calls than the generated ones.
    label_maps: Label maps (height, width) of the images in the same call, one for each place in the lists.
    num_labels: Labels, 0 .. num_labels - 1 (compute only).
    ignore_index: Label id that means void and is left out; None for none (compute only).
Returns:
    color_distance, texture_distance, per_class_color_distance, per_class_texture_distance (None for classes that are
    not in both sets), num_classes_counted.
"""


class ColorTextureDistance(module_bases.LabelledMetric):
    """Keeps histograms per label in `real` and `fake`. In several processes: gather both and call their `merge`.

    Histograms have no image numbers: shard without padding, or padded images count twice.
    """

    def start_anew(self) -> None:
        """Forget all images."""
        self.real, self.fake = ColorTextureHistograms(), ColorTextureHistograms()

    def _info(self) -> evaluate.MetricInfo:
        return self.describe_labelled(_DESCRIPTION, _CITATION, _INPUTS)

    def add(self, *, prediction: Any = None, reference: Any = None, label_map: Any = None) -> None:
        """Add one generated and/or one real image with their label map."""
        self.add_batch(
            predictions=None if prediction is None else [prediction],
            references=None if reference is None else [reference],
            label_maps=[label_map],
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, label_maps: Any = None) -> None:
        """Add some generated and/or real images; if one of them is wrong, none is added."""
        real, fake = _histograms(predictions, references, label_maps)
        self.real.merge(real)
        self.fake.merge(fake)

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        label_maps: Any = None,
        num_labels: int,
        ignore_index: int | None = None,
    ) -> dict[str, Any]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""
        real, fake = _histograms(predictions, references, label_maps)
        real.merge(self.real)
        fake.merge(self.fake)
        result = color_texture_distance(real, fake, num_labels, ignore_index)
        self.start_anew()
        return result


def _histograms(
    predictions: Any, references: Any, label_maps: Any
) -> tuple[ColorTextureHistograms, ColorTextureHistograms]:
    real, fake = ColorTextureHistograms(), ColorTextureHistograms()
    for histograms, images in ((fake, predictions), (real, references)):
        if images is not None:
            if label_maps is None:
                raise ValueError("label_maps is missing: the statistics are per class")
            histograms.update(images, label_maps)
    return real, fake

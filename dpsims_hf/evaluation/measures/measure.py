# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Protocols made ready: a measure computes values from the records of the real and of the generated images.

Those of many images per label map are in `many_images`.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..metrics.color_texture import color_texture_distance
from ..metrics.frechet import fid, kid
from ..metrics.grid_artifacts import grid_artifact_scores
from ..metrics.precision_recall import improved_precision_recall
from ..protocols import Protocol
from .observers import (
    ColorTextureObserver,
    FeatureObserver,
    GridArtifactsObserver,
    SegmentationObserver,
)


# Metric of the command -> metric of the protocols.
METRICS = {
    "fid": "fid",
    "kid": "kid",
    "precision_recall": "precision_recall",
    "mean_iou": "semantic_consistency",
    "lpips": "lpips",
    "ms_ssim": "ms_ssim",
    "color_texture": "color_texture",
    "grid_artifacts": "grid_artifacts",
    "variety": "variety",
}


@dataclass
class Outcome:
    """What one source got from one protocol with one seed.

    Args:
        values: Name -> number, None where it is not defined.
        per_class: Column -> one number or None per label of the dataset.
        warnings: Lines for the log.
    """

    values: dict[str, float | None]
    per_class: dict[str, list[float | None]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Measure:
    """One protocol, ready to compute.

    Args:
        protocol: Its record.
        observer: What it needs to know of a set of images.
    """

    needs_real = True

    def __init__(self, protocol: Protocol, observer: Any = None) -> None:
        self.protocol, self.observer = protocol, observer

    def facts(self) -> dict[str, Any]:
        """The protocol, and the hashes and rules of the network in use."""
        return self.protocol.facts()

    def compute(self, real: dict[str, Any], generated: dict[str, Any]) -> Outcome:
        """Values from the records of both sets, by observer."""
        raise NotImplementedError

    def reference(self, real: dict[str, Any]) -> Outcome | None:
        """The real photos' own value, to stand beside every other; None where it is the best by definition."""
        return None


class FeatureMeasure(Measure):
    """Fréchet distance, kernel distance, or precision and recall."""

    observer: FeatureObserver

    def facts(self) -> dict[str, Any]:
        """See `Measure`."""
        return self.protocol.facts() | self.observer.extractor.facts()

    def compute(self, real: dict[str, Any], generated: dict[str, Any]) -> Outcome:
        """`fid`; `kid`, `kid_subset_std`; `precision`, `recall`."""
        sets = real[self.observer.key].ordered(), generated[self.observer.key].ordered()
        options = self.protocol.metric_kwargs()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if self.protocol.metric == "fid":
                values = {"fid": fid(*sets)}
            elif self.protocol.metric == "kid":
                values = self._kid(sets, options)
            else:
                values = dict(zip(("precision", "recall"), improved_precision_recall(*sets, **options), strict=True))
        return Outcome(values, warnings=[f"{self.protocol.name}: {warning.message}" for warning in caught])

    @staticmethod
    def _kid(sets: tuple[np.ndarray, np.ndarray], options: dict[str, Any]) -> dict[str, float | None]:
        available = min(map(len, sets))
        if options["subset_size"] > available:
            warnings.warn(
                f"subsets of {available} images, not {options['subset_size']}: the set has no more", stacklevel=2
            )
        if options["subset_size"] >= max(map(len, sets)):  # every subset is the whole set
            options |= {"subset_size": available, "subsets": 1}
        mean, std = kid(*sets, **options | {"subset_size": min(available, options["subset_size"])})
        return {"kid": mean, "kid_subset_std": std if options["subsets"] > 1 else None}


class SegmentationMeasure(Measure):
    """mIoU and pixel accuracy. The real photos give its ceiling."""

    observer: SegmentationObserver

    def facts(self) -> dict[str, Any]:
        """See `Measure`."""
        facts = self.protocol.facts() | self.observer.segmenter.facts() | self.observer.mapping.facts()
        names = self.observer.segmenter.label_names
        return facts | {"object_labels": [names[label] for label in self.observer.objects or ()]}

    def compute(self, real: dict[str, Any], generated: dict[str, Any]) -> Outcome:
        """The scores of `ConfusionMatrix.compute`; per class `iou` by the dataset's labels."""
        scores = generated[self.observer.key].matrix.compute()
        seen = scores.pop("per_class_iou")
        per_class = [None if label is None else seen[label] for label in self.observer.mapping.table]
        return Outcome(scores, {"iou": per_class})

    def reference(self, real: dict[str, Any]) -> Outcome:
        """The ceiling: what the segmenter says of the photos."""
        return self.compute(real, real)


class LabelledMeasure(Measure):
    """A measure with a value per label.

    Args:
        protocol, observer: See `Measure`.
        num_labels: Labels of the dataset.
        void_label_id: The one that is left out.
    """

    def __init__(self, protocol: Protocol, observer: Any, num_labels: int, void_label_id: int | None) -> None:
        super().__init__(protocol, observer)
        self.num_labels, self.void_label_id = num_labels, void_label_id


class ColorTextureMeasure(LabelledMeasure):
    """Colour and texture distance per class."""

    observer: ColorTextureObserver

    def compute(self, real: dict[str, Any], generated: dict[str, Any]) -> Outcome:
        """`color_distance`, `texture_distance`, and both per class."""
        key = self.observer.key
        scores = color_texture_distance(real[key], generated[key], self.num_labels, self.void_label_id)
        columns = {name: scores.pop(f"per_class_{name}") for name in ("color_distance", "texture_distance")}
        return Outcome(scores, columns)


class GridArtifactsMeasure(LabelledMeasure):
    """Power on the up-sampling grid inside one-class windows, and the distance of radial power spectra."""

    observer: GridArtifactsObserver

    def compute(self, real: dict[str, Any], generated: dict[str, Any]) -> Outcome:
        """`grid_artifacts`, its ratio to the photos' and its part of each period; `spectrum_distance`."""
        key, window = self.observer.key, self.observer.window
        scores = grid_artifact_scores(real[key], generated[key], self.num_labels, self.void_label_id)
        names = ("grid_artifacts", "grid_artifacts_ratio", "spectrum_distance", "num_windows")
        values = {name: scores[name] for name in names}
        periods = scores["per_period_grid_artifacts"]
        for number, cycles in enumerate(self.observer.cycles):
            values[f"grid_artifacts_period_{window / cycles:.3g}"] = None if periods is None else periods[number]
        columns = {name: scores[f"per_class_{name}"] for name in names[:2]}
        if real[key] is generated[key]:  # 1 and 0 by definition say nothing
            del values["grid_artifacts_ratio"], values["spectrum_distance"], columns["grid_artifacts_ratio"]
        none = f"{self.protocol.name}: no window of {window}x{window} pixels lies inside one class"
        return Outcome(values, columns, [] if values["num_windows"] else [none])

    def reference(self, real: dict[str, Any]) -> Outcome:
        """The photos' own `grid_artifacts`."""
        return self.compute(real, real)


__all__ = [
    "METRICS",
    "ColorTextureMeasure",
    "FeatureMeasure",
    "GridArtifactsMeasure",
    "LabelledMeasure",
    "Measure",
    "Outcome",
    "SegmentationMeasure",
]

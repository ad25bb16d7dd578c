# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Observers turn images into vectors or counts; protocols with the same network share one."""

from typing import Any

import numpy as np
import torch

from ..features import FeatureExtractor
from ..metrics.color_texture import ColorTextureHistograms
from ..metrics.confusion import ConfusionMatrix
from ..metrics.feature_set import FeatureSet
from ..metrics.grid_artifacts import GridArtifacts
from ..segmenters import LabelMapping, Segmenter


class FeatureObserver:
    """One vector per image."""

    share = "features"

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor, self.key = extractor, f"features {extractor.name}"

    def record(self) -> FeatureSet:
        """An empty record."""
        return FeatureSet()

    @torch.no_grad()
    def observe(self, record: FeatureSet, images: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Record a batch, (batch, 3, height, width) uint8."""
        record.add(batch["index"].tolist(), self.extractor(images))


class SegmentationRecord:
    """Pixel counts of a set, and each image's own scores."""

    def __init__(self, matrix: ConfusionMatrix) -> None:
        self.matrix = matrix
        self.scores: dict[int, dict[str, Any]] = {}  # row -> scores; images that are all void have none

    def add(self, index: int, prediction: np.ndarray, reference: np.ndarray) -> None:
        """Count one image."""
        single = ConfusionMatrix(self.matrix.num_labels, self.matrix.ignore_index, self.matrix.object_labels)
        single.update(prediction, reference)
        self.matrix.merge(single)
        if single.matrix.any():
            scores = single.compute()
            self.scores[index] = {name: scores[name] for name in ("mean_iou", "pixel_accuracy")}

    def merge(self, other: "SegmentationRecord") -> None:
        """Take over what another process counted."""
        self.matrix.merge(other.matrix)
        self.scores |= other.scores


class SegmentationObserver:
    """What a segmenter sees, against the labels asked for, in the segmenter's label space."""

    share = "segmenter"

    def __init__(self, name: str, segmenter: Segmenter, mapping: LabelMapping, objects: list[int] | None) -> None:
        self.segmenter, self.mapping, self.objects = segmenter, mapping, objects
        self.key = f"segmenter of {name}"

    def record(self) -> SegmentationRecord:
        """An empty record."""
        return SegmentationRecord(ConfusionMatrix(self.mapping.num_labels, self.mapping.ignore_index, self.objects))

    @torch.no_grad()
    def observe(self, record: SegmentationRecord, images: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Segment and count a batch."""
        predictions = self.mapping.restrict(self.segmenter(images)).cpu().numpy()
        references = self.mapping(batch["label_map"]).cpu().numpy()
        for index, prediction, reference in zip(batch["index"].tolist(), predictions, references, strict=True):
            record.add(index, prediction, reference)


class ColorTextureObserver:
    """Histograms per label."""

    share = key = "colour and texture"

    def record(self) -> ColorTextureHistograms:
        """An empty record."""
        return ColorTextureHistograms()

    def observe(self, record: ColorTextureHistograms, images: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Count a batch."""
        record.update(channels_last(images), list(batch["label_map"].cpu().numpy()))


class GridArtifactsObserver:
    """Spectra of each image, whole and in windows inside one label."""

    share = "spectra"

    def __init__(self, window: int, cycles: tuple[int, ...]) -> None:
        self.window, self.cycles = window, cycles
        self.key = f"spectra of {window} pixels"

    def record(self) -> GridArtifacts:
        """An empty record."""
        return GridArtifacts(self.window, self.cycles)

    def observe(self, record: GridArtifacts, images: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Look at a batch."""
        record.update(channels_last(images), list(batch["label_map"].cpu().numpy()), batch["index"].tolist())


def channels_last(images: torch.Tensor) -> list[np.ndarray]:
    """(batch, 3, height, width) uint8 -> arrays (height, width, 3)."""
    return list(images.permute(0, 2, 3, 1).cpu().numpy())


__all__ = [
    "ColorTextureObserver",
    "FeatureObserver",
    "GridArtifactsObserver",
    "SegmentationObserver",
    "SegmentationRecord",
    "channels_last",
]

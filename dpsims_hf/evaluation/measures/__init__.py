# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Protocols made ready: what each records about a set of images, and what it computes from two sets."""

from .measure import (
    METRICS,
    ColorTextureMeasure,
    FeatureMeasure,
    GridArtifactsMeasure,
    LabelledMeasure,
    Measure,
    Outcome,
    SegmentationMeasure,
)
from .observers import (
    ColorTextureObserver,
    FeatureObserver,
    GridArtifactsObserver,
    SegmentationObserver,
    channels_last,
)


__all__ = [
    "METRICS",
    "ColorTextureMeasure",
    "ColorTextureObserver",
    "FeatureMeasure",
    "FeatureObserver",
    "GridArtifactsMeasure",
    "GridArtifactsObserver",
    "LabelledMeasure",
    "Measure",
    "Outcome",
    "SegmentationMeasure",
    "SegmentationObserver",
    "channels_last",
]

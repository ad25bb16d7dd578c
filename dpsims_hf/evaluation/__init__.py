# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Evaluation: statistics that merge exactly over processes. Networks and heavy libraries come at first use."""

from .metrics.color_texture import ColorTextureHistograms, color_texture_distance
from .metrics.confusion import ConfusionMatrix, count_pairs
from .metrics.diversity import (
    DiversityMean,
    load_lpips,
    lpips_distances,
    ms_ssim_similarities,
    pairwise_distances,
    pairwise_mean,
    stack_images,
)
from .metrics.feature_set import FeatureSet, RealFakeFeatures, as_image, extract_features
from .metrics.frechet import fid, frechet_distance, gaussian, kid
from .metrics.grid_artifacts import GridArtifacts, grid_artifact_scores, grid_excess, radial_spectrum
from .metrics.module_files import load_metric, metric_modules
from .metrics.precision_recall import improved_precision_recall
from .metrics.variety import (
    GeneratedVariety,
    PhotoVariety,
    class_colors,
    color_spread,
    level_distances,
    variety_scores,
)


__all__ = [
    "ColorTextureHistograms",
    "ConfusionMatrix",
    "DiversityMean",
    "FeatureSet",
    "GeneratedVariety",
    "GridArtifacts",
    "PhotoVariety",
    "RealFakeFeatures",
    "as_image",
    "class_colors",
    "color_spread",
    "color_texture_distance",
    "count_pairs",
    "extract_features",
    "fid",
    "frechet_distance",
    "gaussian",
    "grid_artifact_scores",
    "grid_excess",
    "improved_precision_recall",
    "kid",
    "level_distances",
    "load_lpips",
    "load_metric",
    "lpips_distances",
    "metric_modules",
    "ms_ssim_similarities",
    "pairwise_distances",
    "pairwise_mean",
    "radial_spectrum",
    "stack_images",
    "variety_scores",
]

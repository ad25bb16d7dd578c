"""Evaluation: statistics that merge exactly over processes. Networks and heavy libraries come at first use."""

from .color_texture import ColorTextureHistograms, color_texture_distance
from .confusion import ConfusionMatrix, count_pairs
from .diversity import (
    DiversityMean,
    load_lpips,
    lpips_distances,
    ms_ssim_similarities,
    pairwise_distances,
    pairwise_mean,
    stack_images,
)
from .feature_set import FeatureSet, RealFakeFeatures, as_image, extract_features
from .frechet import fid, frechet_distance, gaussian, kid
from .precision_recall import improved_precision_recall


__all__ = [
    "ColorTextureHistograms",
    "ConfusionMatrix",
    "DiversityMean",
    "FeatureSet",
    "RealFakeFeatures",
    "as_image",
    "color_texture_distance",
    "count_pairs",
    "extract_features",
    "fid",
    "frechet_distance",
    "gaussian",
    "improved_precision_recall",
    "kid",
    "load_lpips",
    "lpips_distances",
    "ms_ssim_similarities",
    "pairwise_distances",
    "pairwise_mean",
    "stack_images",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The objective of DP-SIMS (Berrada et al., arXiv:2312.13314, Sec. 3.3), to be read beside the paper.

    L_D = Eq. 3, first line    d_real         real pixels to their class: weighted focal loss, smoothed labels
        + Eq. 3, second line   d_fake         generated pixels to class C + 1
    L_G = Eq. 4                g_gan          generated pixels to the class of the label map    x lambda_gan
        + Eq. 5                g_contrastive  InfoNCE summed over feature levels                x lambda_contrastive
        + Eq. 6                g_diversity    hinge on the change under a second noise          x lambda_diversity

Off unless a recipe asks: d_labelmix (OASIS Sec. 3.2), g_color and g_class_color (ours).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from .base import AdversarialObjective
from .common import D_FAKE, D_LABELMIX, D_REAL, G_CLASS_COLOR, G_COLOR, G_GAN, IMAGE_DIFFERENCE
from .feature_networks import FeatureNetworks, ProjectionHeads, sample_positions
from .terms import Need, Number, Pass, Term
from .weights import AdversarialLossWeights


@dataclass(frozen=True)
class DPSIMSLossWeights(AdversarialLossWeights):
    """Weights and constants of DP-SIMS; the defaults are the paper's, or ours where it is silent.

    Args:
        lambda_gan, lambda_contrastive, lambda_diversity: Sec. 4.1; 0 drops the term and its cost (Table 6).
        focal_gamma: 2 (Sec. 4.1); 0 is cross-entropy (Table 8).
        label_smoothing: epsilon of Sec. 3.3; 0 is Table 6 "w/o label smoothing".
        contrastive_temperature: tau (Table 7).
        contrastive_negatives: N.
        diversity_target: compare "features" (G^f, the paper) or "images".
        diversity_threshold: tau_div, on mean-normalised L1 norms.
        diversity_gradient: that of "both" images of Eq. 6, so that lambda_diversity acts as the paper's, or of "one"
            image alone: half as strong, as in releases before 0.2.
        diversity_pool: average-pool by this factor before comparing: at 1 the noise may hide in fine texture, at 8 it
            must change colour and light.
    """

    focal_gamma: float = 2.0
    label_smoothing: float = 0.1
    lambda_contrastive: float = 100.0
    lambda_diversity: float = 10.0
    contrastive_temperature: float = 0.3
    contrastive_negatives: int = 128
    diversity_target: str = "features"
    diversity_threshold: float = 1.0
    diversity_gradient: str = "both"
    diversity_pool: int = 1

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        **AdversarialLossWeights.choices,
        "diversity_target": ("features", "images"),
        "diversity_gradient": ("both", "one"),
    }


def info_nce(query: torch.Tensor, positive: torch.Tensor, temperature: float = 0.3) -> torch.Tensor:
    """InfoNCE over positions (DP-SIMS Eq. 5): query i matches positive i; the other positives are its negatives.

    Args:
        query: (batch, positions, dim): v, features of the generated image.
        positive: (batch, positions, dim): v+ at the same positions of the real image.
        temperature: tau.

    Returns:
        The mean over batch and positions. With N + 1 positions each query has N negatives.
    """
    similarity = torch.bmm(query.float(), positive.float().transpose(1, 2)) / temperature
    matching = similarity.diagonal(dim1=1, dim2=2)
    return (similarity.logsumexp(dim=2) - matching).mean()


def contrastive_loss(
    networks: FeatureNetworks,
    projection: ProjectionHeads,
    fake: torch.Tensor,
    real: torch.Tensor,
    weights: DPSIMSLossWeights,
    rng: torch.Generator | list[torch.Generator],
) -> torch.Tensor:
    """Eq. 5 summed over levels: features of the fake image against those of the real one, in float32."""
    with torch.no_grad():
        real_features = networks(real)
    fake_features = networks(fake)
    sizes = [tuple(level.shape[-2:]) for level in real_features]
    positions = [
        drawn.to(fake.device) for drawn in sample_positions(sizes, len(fake), weights.contrastive_negatives, rng)
    ]
    with torch.autocast(fake.device.type, enabled=False):
        # One call for both: a distributed wrapper wants one forward per backward.
        levels = [torch.cat(pair) for pair in zip(fake_features, real_features, strict=True)]
        projected = projection(levels, [torch.cat([index, index]) for index in positions])
        losses = [info_nce(*level.chunk(2), temperature=weights.contrastive_temperature) for level in projected]
    return torch.stack(losses).sum()


def diversity_ratio(
    output_1: torch.Tensor, output_2: torch.Tensor, noise_1: torch.Tensor, noise_2: torch.Tensor
) -> torch.Tensor:
    """mean |G(z1) - G(z2)| / mean |z1 - z2| per image (the fraction of DP-SIMS Eq. 6, on means instead of sums).

    Means keep tau_div comparable across sizes. Outputs and noises are (batch, ...); the result is (batch,).
    """
    distance = (output_1.float() - output_2.float()).abs().flatten(1).mean(dim=1)
    return distance / (noise_1.float() - noise_2.float()).abs().flatten(1).mean(dim=1).clamp(min=1e-8)


def diversity_hinge(ratio: torch.Tensor, threshold: float) -> torch.Tensor:
    """max(0, tau_div - ratio), averaged over the batch (DP-SIMS Eq. 6)."""
    return F.relu(threshold - ratio).mean()


def _contrastive(p: Pass) -> torch.Tensor:
    return contrastive_loss(p.networks, p.projection, p.moved_images, p.moved_photos, p.weights, p.rng)


def _diversity(p: Pass) -> torch.Tensor:
    """Eq. 6. The second image comes from D's half-step, detached, which saves a pass and half of the gradient.

    z1 and z2 are exchangeable, so that twice the gradient through one side is the whole in expectation, and exactly
    over the two orders of a pair. "both" takes it twice; the value is the hinge's in either case.
    """
    hinge = diversity_hinge(_ratio(p), p.weights.diversity_threshold)
    return 2 * hinge - hinge.detach() if p.weights.diversity_gradient == "both" else hinge


def _diversity_needs(weights: DPSIMSLossWeights) -> Need:
    on_features = weights.diversity_target == "features"
    return Need.OTHER | Need.NOISE | (Need.GENERATOR_FEATURES if on_features else Need.NOTHING)


def _ratio(p: Pass) -> torch.Tensor:
    on_features = p.weights.diversity_target == "features" and p.features is not None
    first, second = (p.features, p.other.features) if on_features else (p.images, p.other.images)
    pool = p.weights.diversity_pool
    if pool > 1:
        first, second = (F.avg_pool2d(compared.float(), pool) for compared in (first, second))
    return diversity_ratio(first, second, p.noise.vectors, p.other.noise.vectors)


class DPSIMSObjective(AdversarialObjective):
    """L_D and L_G of DP-SIMS; `features` are the frozen `FeatureNetworks` of the contrastive term."""

    weights: DPSIMSLossWeights
    terms = (
        D_REAL,
        D_FAKE,
        D_LABELMIX,
        G_COLOR,
        G_CLASS_COLOR,
        G_GAN,
        Term("g_contrastive", _contrastive, "lambda_contrastive", Need.FEATURE_NETWORKS),
        Term("g_diversity", _diversity, "lambda_diversity", _diversity_needs),
    )
    numbers = (
        IMAGE_DIFFERENCE,
        Number("diversity_ratio", lambda p: _ratio(p).mean(), Need.OTHER | Need.NOISE),
    )


__all__ = [
    "DPSIMSLossWeights",
    "DPSIMSObjective",
    "contrastive_loss",
    "diversity_hinge",
    "diversity_ratio",
    "info_nce",
]

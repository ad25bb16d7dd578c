# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The objective of SPADE+ (Park et al., CVPR 2019, as OASIS describes it, Sec. 3.1 and 4), to be read beside OASIS.

    L_D = L_adv             d_real, d_fake      hinge on the patches of each scale, averaged over scales
    L_G = L_adv             g_gan               -D on the same patches              x lambda_gan
        + lambda_vgg L_vgg  g_vgg               VGG perceptual loss                 x lambda_vgg
        + lambda_fm L_fm    g_feature_matching  L1 of D's activations; off          x lambda_feature_matching
        + Park et al.       g_kl                KL divergence of an encoder's law   x lambda_kl

OASIS names the three terms of its Sec. 3.1 and not their forms; the hinge, the L1 distance and the KL divergence are
those of Park et al.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from .base import AdversarialObjective
from .common import D_LABELMIX, G_CLASS_COLOR, G_COLOR, G_VGG
from .losses import patch_generator_loss, patch_hinge_loss
from .terms import Need, Pass, Term
from .weights import AdversarialLossWeights


@dataclass(frozen=True)
class SPADELossWeights(AdversarialLossWeights):
    """Weights of SPADE+.

    Args:
        class_balancing: without effect: patches are judged, not pixels.
        lambda_vgg: 10 (OASIS App. C.3); 0 is "without VGG" (OASIS Tables 1, 2, G, J).
        lambda_feature_matching: 0 in SPADE+ (OASIS Sec. 4), 10 in SPADE (OASIS Table G compares the two); 0 drops the
            term and its cost.
        lambda_kl: of a style encoder; without effect where the generator has none (`generator.use_style_encoder`).
    """

    class_balancing: bool = False
    lambda_vgg: float = 10.0
    lambda_feature_matching: float = 0.0
    lambda_kl: float = 0.05


def scale_matching_loss(fake: Sequence[torch.Tensor], real: Sequence[torch.Tensor], scales: int) -> torch.Tensor:
    """L_fm: mean absolute difference of each activation, summed over a scale's layers, averaged over scales.

    Args:
        fake, real: activations of all scales; reals are detached.
        scales: how many.
    """
    layers = [F.l1_loss(a.float(), b.detach().float()) for a, b in zip(fake, real, strict=True)]
    return torch.stack(layers).sum() / scales


def kl_loss(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, variance) || N(0, I)) of (batch, noise_dim), summed over a vector, averaged over the batch."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()


def _scores(output: Any) -> tuple[torch.Tensor, ...]:
    return output.patch_logits


def _scale_matching(p: Pass) -> torch.Tensor:
    fake: Any = p.on_fake
    real: Any = p.on_real
    return scale_matching_loss(fake.encoder_features, real.encoder_features, len(_scores(fake)))


class SPADEObjective(AdversarialObjective):
    """L_D and L_G of SPADE+; `features` is a `PerceptualLoss`, needed with lambda_vgg."""

    weights: SPADELossWeights
    terms = (
        Term("d_real", lambda p: patch_hinge_loss(_scores(p.on_real), real=True), needs=Need.SCALES),
        Term("d_fake", lambda p: patch_hinge_loss(_scores(p.on_fake), real=False), needs=Need.SCALES),
        D_LABELMIX,  # of pixels' classes: refused where its weight is not 0
        G_COLOR,
        G_CLASS_COLOR,
        Term("g_gan", lambda p: patch_generator_loss(_scores(p.on_fake), "linear"), "lambda_gan", Need.SCALES),
        G_VGG,
        Term(
            "g_feature_matching",
            _scale_matching,
            "lambda_feature_matching",
            Need.SCALES | Need.ENCODER_FEATURES,
        ),
        Term("g_kl", lambda p: kl_loss(*p.style), "lambda_kl", Need.STYLE),
    )


__all__ = ["SPADELossWeights", "SPADEObjective", "kl_loss", "scale_matching_loss"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The objective of DP-GAN (Li et al., BMVC 2022, Sec. 3.2, 3.3), to be read beside the paper.

    L_D = Eq. 3   d_real, d_fake              pixel level: (N+1)-class cross-entropy, class-balanced
        + Eq. 5   d_patch_real, d_patch_fake  patch level: hinge, averaged over heads        x lambda_patch
        + Eq. 8   d_labelmix                  LabelMix consistency                           x lambda_labelmix
    L_G = Eq. 7   g_gan                       pixel level                                    x lambda_gan
        + Eq. 7   g_patch                     patch level                                    x lambda_patch
        + Eq. 6   g_feature_matching          feature level: L2, averaged over layers        x lambda_feature_matching

The released code differs: it adds the patch terms as plain numbers, so that nothing learns from them, sums Eq. 6 over
layers and takes -D for the generator's hinge (`patch_loss_as_released`, `feature_matching_reduction`). It also does
not detach the real features of Eq. 6, which has no switch: the generator's gradient is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from ...modeling_outputs import DiscriminatorOutput
from .base import AdversarialObjective
from .common import D_FAKE, D_LABELMIX, D_REAL, G_CLASS_COLOR, G_COLOR, G_GAN, G_VGG
from .losses import patch_generator_loss, patch_hinge_loss, reduced
from .terms import Need, Pass, Term
from .weights import AdversarialLossWeights


@dataclass(frozen=True)
class DPGANLossWeights(AdversarialLossWeights):
    """Weights of DP-GAN.

    Args:
        lambda_labelmix: 5 (supplement, Sec. 2); 0 is "w/o L_LM" (supplement, Table 3).
        lambda_vgg: of the perceptual loss that OASIS ablates; 0 drops it and its cost.
        lambda_patch: L_ms; 0 drops it and its cost (Table 4b). On which blocks: `discriminator.patch_encoder_blocks`
            and `patch_decoder_blocks`.
        patch_generator_form: "hinge" (Eq. 7, max(0, 1 - D)) or "linear" (-D, the usual partner of a hinge D).
        patch_loss_as_released: the patch terms are logged but train nothing, and the generator's is "linear".
        lambda_feature_matching: L_fm; 0 drops it and its cost (Table 4c).
        feature_matching_levels: the "decoder" (the paper), "encoder" or "both" (Table 4c).
        feature_matching_reduction: "mean" over layers (the paper) or "sum" (the released code).
    """

    lambda_labelmix: float = 5.0
    lambda_vgg: float = 0.0
    lambda_patch: float = 1.0
    patch_generator_form: str = "hinge"
    patch_loss_as_released: bool = False
    lambda_feature_matching: float = 1.0
    feature_matching_levels: str = "decoder"
    feature_matching_reduction: str = "mean"

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        **AdversarialLossWeights.choices,
        "patch_generator_form": ("hinge", "linear"),
        "feature_matching_levels": ("decoder", "encoder", "both"),
        "feature_matching_reduction": ("mean", "sum"),
    }


def feature_matching_loss(
    fake: Sequence[torch.Tensor], real: Sequence[torch.Tensor], reduction: str = "mean"
) -> torch.Tensor:
    """L_fm (DP-GAN Eq. 6): mean squared difference per layer, then the mean (or "sum") over layers; reals detached."""
    layers = torch.stack([F.mse_loss(a.float(), b.detach().float()) for a, b in zip(fake, real, strict=True)])
    return reduced(layers, reduction)


def _fooled_patches(p: Pass) -> torch.Tensor:
    form = "linear" if p.weights.patch_loss_as_released else p.weights.patch_generator_form
    return patch_generator_loss(p.on_fake.patch_logits, form)


def _feature_matching(p: Pass) -> torch.Tensor:
    levels = p.weights.feature_matching_levels

    def chosen(output: DiscriminatorOutput) -> tuple[torch.Tensor, ...]:
        encoder = output.encoder_features if levels != "decoder" else ()
        return (*encoder, *(output.decoder_features if levels != "encoder" else ()))

    return feature_matching_loss(chosen(p.on_fake), chosen(p.on_real), p.weights.feature_matching_reduction)


def _matched_levels(weights: DPGANLossWeights) -> Need:
    levels = {"decoder": Need.DECODER_FEATURES, "encoder": Need.ENCODER_FEATURES}
    return levels.get(weights.feature_matching_levels, Need.DECODER_FEATURES | Need.ENCODER_FEATURES)


def _patches_train(weights: DPGANLossWeights) -> bool:
    return not weights.patch_loss_as_released


def _patch_term(name: str, compute: Callable[[Pass], torch.Tensor]) -> Term:
    return Term(name, compute, "lambda_patch", Need.PATCHES, _patches_train)


class DPGANObjective(AdversarialObjective):
    """L_D and L_G of DP-GAN; `features` is a `PerceptualLoss`, needed only with lambda_vgg."""

    weights: DPGANLossWeights
    terms = (
        D_REAL,
        D_FAKE,
        D_LABELMIX,
        _patch_term("d_patch_real", lambda p: patch_hinge_loss(p.on_real.patch_logits, real=True)),
        _patch_term("d_patch_fake", lambda p: patch_hinge_loss(p.on_fake.patch_logits, real=False)),
        G_COLOR,
        G_CLASS_COLOR,
        G_GAN,
        G_VGG,
        _patch_term("g_patch", _fooled_patches),
        Term(
            "g_feature_matching",
            _feature_matching,
            "lambda_feature_matching",
            _matched_levels,
            option="feature_matching_levels",
        ),
    )


__all__ = [
    "DPGANLossWeights",
    "DPGANObjective",
    "feature_matching_loss",
    "patch_generator_loss",
    "patch_hinge_loss",
]

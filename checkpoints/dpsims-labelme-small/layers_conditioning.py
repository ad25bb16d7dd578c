# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What stands between a frozen backbone and the DP-SIMS decoder (Sec. 3.1, Table 5).

Mixing after Sauer et al., "Projected GANs Converge Faster" (2021), Sec. 3.2.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


class RandomMixing(nn.Module):
    """Cross-channel and cross-scale mixing of Projected GAN by random convolutions that are never trained.

    Args:
        channels: widths of the levels, fine to coarse.
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.channel_mixing = nn.ModuleList(nn.Conv2d(width, width, 1) for width in channels)
        self.scale_mixing = nn.ModuleList(nn.Conv2d(coarse, fine, 3, padding=1) for fine, coarse in pairwise(channels))
        self.requires_grad_(False)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Mix channels at each level, then add each coarser level, up-sampled, to the next finer one."""
        mixed = [mixing(level) for mixing, level in zip(self.channel_mixing, features, strict=True)]
        for index in reversed(range(len(mixed) - 1)):
            size = mixed[index].shape[-2:]
            coarser = F.interpolate(mixed[index + 1], size=size, mode="bilinear", align_corners=False)
            mixed[index] = mixed[index] + self.scale_mixing[index](coarser)
        return mixed


class FeatureConditioning(nn.Module):
    """Sec. 3.1: F~ = (sigmoid(F) - mu) / sigma per level with batch statistics, and the other rows of Table 5.

    Args:
        mode: a row of Table 5, see `DPSIMSDiscriminatorConfig.feature_conditioning`.
        channels: widths of the levels.
    """

    def __init__(self, mode: str, channels: list[int]) -> None:
        super().__init__()
        self.use_sigmoid = mode in ("full", "no_batchnorm")
        self.norms = None
        if mode in ("full", "no_sigmoid", "batchnorm_ccm_csm"):
            self.norms = nn.ModuleList(nn.BatchNorm2d(width, affine=False) for width in channels)
        self.mixing = RandomMixing(channels) if mode in ("ccm_csm", "batchnorm_ccm_csm") else None

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Condition every level; shapes stay."""
        if self.use_sigmoid:
            features = [torch.sigmoid(level.float()) for level in features]
        if self.norms is not None:
            types = [norm.get_buffer("running_mean").dtype for norm in self.norms]
            pairs = zip(self.norms, features, types, strict=True)
            features = [norm(level.to(dtype)) for norm, level, dtype in pairs]
        return features if self.mixing is None else self.mixing(features)


__all__ = ["FeatureConditioning", "RandomMixing"]

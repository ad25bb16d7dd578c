# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The network of the project's own segmenter: a timm encoder and a light head."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...modeling_dpsims_discriminator import FrozenBackbone


FINEST_STRIDE = 4  # a head at stride 2 would cost four times as much


class SegmentationNetwork(nn.Module):
    """A timm encoder and a light head: every level from stride 4 on by a 1x1 convolution to one width, summed from
    coarse to fine, then one 3x3 convolution.

    The encoder's batch-norm statistics never change; its weights do only if `encoder.requires_grad_()` is asked for.

    Args:
        backbone: timm name.
        num_labels: Classes, void not counted.
        channels: Width of the head, a multiple of 8.
        backbone_kwargs, mean, std: See `FrozenBackbone`.
    """

    def __init__(
        self,
        backbone: str,
        num_labels: int,
        channels: int = 128,
        backbone_kwargs: dict[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = FrozenBackbone(backbone, backbone_kwargs, mean=mean, std=std)
        self.levels = [i for i, stride in enumerate(self.encoder.reductions) if stride >= FINEST_STRIDE]
        # The norm: levels of pre-trained networks differ in scale by orders of magnitude.
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(self.encoder.channels[i], channels, 1, bias=False), nn.GroupNorm(8, channels))
            for i in self.levels
        )
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, num_labels, 1)
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits (batch, num_labels, height / 4, width / 4) of images in [-1, 1]."""
        features = self.encoder(pixel_values)
        hidden = None
        for lateral, level in reversed(list(zip(self.laterals, self.levels, strict=True))):
            finer = lateral(features[level])
            if hidden is not None:
                finer = finer + F.interpolate(hidden, finer.shape[-2:], mode="bilinear", align_corners=False)
            hidden = F.relu(finer)
        return self.classifier(hidden)


__all__ = ["SegmentationNetwork"]

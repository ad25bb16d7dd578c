# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The residual block of the UNet discriminators (after Brock et al., 2019; OASIS App. C.1)."""

import torch
from torch import nn
from torch.nn import functional as F

from .layers_spade import maybe_spectral_norm


class ResidualBlock(nn.Module):
    """LeakyReLU -> conv3x3 -> LeakyReLU -> conv3x3, plus a shortcut, 1x1 where the width changes.

    Args:
        in_channels, out_channels: widths.
        spectral_norm: on the convolutions.
        first: the input is an image, so there is no activation before the first convolution.
        shortcut_bias: whether the 1x1 convolution has a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spectral_norm: bool,
        first: bool = False,
        shortcut_bias: bool = False,
    ) -> None:
        super().__init__()
        self.first = first
        self.conv_0 = maybe_spectral_norm(nn.Conv2d(in_channels, out_channels, 3, padding=1), spectral_norm)
        self.conv_1 = maybe_spectral_norm(nn.Conv2d(out_channels, out_channels, 3, padding=1), spectral_norm)
        self.conv_s = None
        if in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=shortcut_bias)
            self.conv_s = maybe_spectral_norm(shortcut, spectral_norm)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map (batch, in_channels, h, w) to (batch, out_channels, h, w)."""
        shortcut = hidden if self.conv_s is None else self.conv_s(hidden)
        hidden = self.conv_0(hidden if self.first else F.leaky_relu(hidden, 0.2))
        return shortcut + self.conv_1(F.leaky_relu(hidden, 0.2))


__all__ = ["ResidualBlock"]

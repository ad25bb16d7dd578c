# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The residual block of the UNet discriminators (after Brock et al., 2019; OASIS App. C.1), and their up-sampling."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .layers_spade import maybe_spectral_norm


class _Doubled(torch.autograd.Function):
    """Nearest up-sampling by two, whose gradient is four sums over pixels.

    torch's own copies a gradient that is a part of a joined one, as after a skip connection, and is slow in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) to (batch, channels, 2 height, 2 width)."""
        return F.interpolate(maps, scale_factor=2, mode="nearest")

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _SummedByFours.apply(gradients[0])


class _SummedByFours(torch.autograd.Function):
    """The gradient of `_Doubled`."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """(batch, channels, 2 height, 2 width) to (batch, channels, height, width)."""
        upper, lower = gradient[:, :, ::2], gradient[:, :, 1::2]
        return (upper[..., ::2] + upper[..., 1::2]).add_(lower[..., ::2] + lower[..., 1::2])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _Doubled.apply(gradients[0])


def doubled(maps: torch.Tensor) -> torch.Tensor:
    """Nearest up-sampling of (batch, channels, height, width) by two."""
    if torch.compiler.is_compiling() or not maps.requires_grad:
        return F.interpolate(maps, scale_factor=2, mode="nearest")
    return _Doubled.apply(maps)


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


__all__ = ["ResidualBlock", "doubled"]

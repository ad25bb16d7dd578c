# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A 3x3 convolution over mirrored borders that keeps number type and memory layout.

torch's reflection padding leaves channels-last memory, and autocast on a CPU runs it in float32: at full resolution
the copies around it cost more than the convolution.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class _Mirror(torch.autograd.Function):
    """Reflection padding by one pixel, one copy forwards and one backwards."""

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) to (batch, channels, height + 2, width + 2)."""
        batch, channels, height, width = maps.shape
        layout = (
            torch.channels_last if maps.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        )
        padded = torch.empty(
            (batch, channels, height + 2, width + 2), dtype=maps.dtype, device=maps.device, memory_format=layout
        )
        padded[:, :, 1:-1, 1:-1] = maps
        for axis in (3, 2):  # columns first: the rows then copy the corners
            for place, source in ((0, 2), (-1, -3)):
                padded.select(axis, place).copy_(padded.select(axis, source))
        return padded

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _Folded.apply(gradients[0])


class _Folded(torch.autograd.Function):
    """The gradient of `_Mirror`: what lies outside is added to what it mirrors."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height + 2, width + 2) to (batch, channels, height, width)."""
        rows = gradient[:, :, 1:-1]
        folded = rows[..., 1:-1].clone(memory_format=torch.preserve_format)
        columns = torch.stack([rows[..., 0], rows[..., -1]], dim=-1)
        edges = torch.stack([gradient[:, :, 0], gradient[:, :, -1]], dim=2)
        # The corners go to the rows' second columns by way of the edges.
        inner = edges[..., 1:-1].clone()
        inner[..., 1] += edges[..., 0]
        inner[..., -2] += edges[..., -1]
        folded[..., 1] += columns[..., 0]
        folded[..., -2] += columns[..., 1]
        folded[:, :, 1] += inner[:, :, 0]
        folded[:, :, -2] += inner[:, :, 1]
        return folded

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _Mirror.apply(gradients[0])


def mirrored(maps: torch.Tensor) -> torch.Tensor:
    """Reflection padding by one pixel, with the number type and the memory layout of `maps`.

    Args:
        maps: (batch, channels, height, width), height and width at least 2.

    Returns:
        (batch, channels, height + 2, width + 2), bit for bit what `torch.nn.functional.pad` gives.
    """
    if torch.compiler.is_compiling():  # an exported or compiled graph holds torch's own operation
        return F.pad(maps, [1] * 4, mode="reflect")
    return _Mirror.apply(maps)


class MirroredConv2d(nn.Conv2d):
    """`nn.Conv2d` that pads by `mirrored` where its padding is a reflection by one pixel."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if self.padding_mode != "reflect" or self.padding != (1, 1) or min(input.shape[-2:]) < 2:
            return super()._conv_forward(input, weight, bias)
        return F.conv2d(mirrored(input), weight, bias, self.stride, 0, self.dilation, self.groups)


__all__ = ["MirroredConv2d", "mirrored"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Convolution over a label map given as class indices."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


# Below so many classes a dense convolution of a small one-hot is faster, above it the table look-up is, and the
# one-hot would be the largest tensor of the network (benchmarks/label_convolution.py).
TABLE_LOOKUP_FROM = 96


class LabelConv2d(nn.Module):
    """A 2-D convolution over the one-hot label map, from class indices.

    With many classes it is computed by table look-up, and the one-hot is never built.

    The weight has the shape of the `nn.Conv2d` it equals, (out_channels, num_labels, kernel, kernel), so weights can
    be exchanged with one. Beyond the border there is no class (all zeros) unless `replicate`.

    Args:
        num_labels: classes.
        out_channels: width of the result.
        kernel_size: odd.
        replicate: continue the border's classes outside instead of padding by zeros.
    """

    def __init__(self, num_labels: int, out_channels: int, kernel_size: int = 3, replicate: bool = False) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.replicate = replicate
        self.weight = nn.Parameter(torch.empty(out_channels, num_labels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        # One class per tap is active: kernel_size ** 2 inputs of size 1 reach an output.
        nn.init.normal_(self.weight, std=1.0 / kernel_size)

    def forward(self, label_map: torch.Tensor) -> torch.Tensor:
        """Convolve.

        Args:
            label_map: (batch, height, width) int64.

        Returns:
            (batch, out_channels, height, width), channels last in memory.
        """
        kernel_size = self.weight.shape[-1]
        radius = kernel_size // 2
        if self.replicate:
            padded = F.pad(label_map[:, None].float(), [radius] * 4, mode="replicate")[:, 0].long()
        else:
            padded = F.pad(label_map, [radius] * 4, value=self.num_labels)  # one class more: "outside"
        if self.num_labels < TABLE_LOOKUP_FROM:
            return self._dense(padded)
        return self._look_up(padded, kernel_size)

    def _dense(self, padded: torch.Tensor) -> torch.Tensor:
        batch, height, width = padded.shape
        one_hot = self.weight.new_zeros(batch, height, width, self.num_labels + 1)
        one_hot.scatter_(3, padded[..., None], 1.0)
        return F.conv2d(one_hot[..., : self.num_labels].permute(0, 3, 1, 2), self.weight, self.bias)

    def _look_up(self, padded: torch.Tensor, kernel_size: int) -> torch.Tensor:
        height, width = (side - kernel_size + 1 for side in padded.shape[-2:])
        # One row per (tap, class); the row of zeros behind each tap's classes stands for "outside".
        table = F.pad(self.weight.permute(2, 3, 1, 0), (0, 0, 0, 1)).flatten(0, 2)
        result: torch.Tensor = self.bias
        for tap in range(kernel_size**2):
            top, left = divmod(tap, kernel_size)
            window = padded[:, top : top + height, left : left + width]
            result = result + F.embedding(window + tap * (self.num_labels + 1), table)
        return result.permute(0, 3, 1, 2)


class PositionCode(nn.Module):
    """A 3x3 convolution over fixed waves of the pixel position, added to the first convolution of the labels.

    Inside a large region of one class a convolutional network sees the same everywhere, and its textures become the
    lattice of its up-sampling: stripes on facades, dots in trees. The waves (irregular directions, wavelengths from 4
    to 96 pixels) tell places apart. An extension of the paper; the weight starts at 0.

    Args:
        waves: how many.
        out_channels: width of the result.
    """

    def __init__(self, waves: int, out_channels: int) -> None:
        super().__init__()
        self.waves = waves
        self.weight = nn.Parameter(torch.zeros(out_channels, waves, 3, 3))

    def forward(self, height: int, width: int) -> torch.Tensor:
        """Return (1, out_channels, height, width), to be added to every image of a batch."""
        device, golden_angle = self.weight.device, math.pi * (3 - math.sqrt(5))
        rows = torch.arange(height + 2, device=device, dtype=torch.float32)[:, None]
        columns = torch.arange(width + 2, device=device, dtype=torch.float32)[None]
        maps = []
        for index in range(self.waves):
            frequency = 2 * math.pi / (4 * 24 ** (index / max(self.waves - 1, 1)))
            angle = index * golden_angle
            maps.append(torch.sin(frequency * (math.cos(angle) * columns + math.sin(angle) * rows) + index))
        return F.conv2d(torch.stack(maps)[None].to(self.weight.dtype), self.weight)


def resize_labels(label_map: torch.Tensor, size: Sequence[int], centre: bool = True) -> torch.Tensor:
    """Nearest resize of indices (batch, height, width) to `size`, without a detour over floats.

    Sizes that do not divide are allowed; each target takes the source pixel under its centre, or under its upper left
    corner (torch's "nearest", by which OASIS and DP-GAN were trained).
    """
    if tuple(label_map.shape[-2:]) == tuple(size):
        return label_map
    shift = 0.5 if centre else 0.0
    rows = ((torch.arange(size[0], device=label_map.device) + shift) * (label_map.shape[-2] / size[0])).long()
    columns = ((torch.arange(size[1], device=label_map.device) + shift) * (label_map.shape[-1] / size[1])).long()
    return label_map[:, rows[:, None], columns]


def resize_features(hidden: torch.Tensor, size: Sequence[int], mode: str) -> torch.Tensor:
    """Resize feature maps (batch, channels, height, width) to `size` by "nearest" or "bilinear"."""
    if hidden.shape[-2:] == size:
        return hidden
    return F.interpolate(hidden, size=size, mode=mode, align_corners=False if mode == "bilinear" else None)


__all__ = ["LabelConv2d", "PositionCode", "resize_features", "resize_labels"]

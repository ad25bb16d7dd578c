# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Maps that are constant inside regions, for inference: what a convolution gives there depends on the classes and the
noise of a small neighbourhood, and a real label map has few different neighbourhoods.

A `Field` is such a map: the number of a value at each pixel, and the table of values. A convolution of a field is a
field again: each distinct 3x3 neighbourhood of numbers is computed once. Nothing is approximated; the order of sums
alone differs from that of a dense convolution.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .layers_label import LabelConv2d
from .layers_noise import LabelNoiseConv2d


SMALL_RANGE = 2**17  # of keys: up to it counting is faster than sorting


class Field(NamedTuple):
    """A feature map of few distinct values.

    Args:
        ids: (batch, height, width) int64, the row of each pixel.
        table: (rows, channels).
    """

    ids: torch.Tensor
    table: torch.Tensor

    @property
    def shape(self) -> torch.Size:
        """That of the map, (batch, channels, height, width)."""
        batch, height, width = self.ids.shape
        return torch.Size((batch, self.table.shape[1], height, width))

    def dense(self) -> torch.Tensor:
        """The map itself, channels last in memory."""
        return F.embedding(self.ids, self.table).permute(0, 3, 1, 2)


class Neighbourhoods(NamedTuple):
    """The distinct 3x3 neighbourhoods of a map of numbers.

    Args:
        ids: (batch, height, width) int64, which one each pixel has.
        patches: (rows, 9) int64: the numbers of each, row by row; `count` of `neighbourhoods` is "outside".
    """

    ids: torch.Tensor
    patches: torch.Tensor


def compact(keys: torch.Tensor, bound: int) -> tuple[torch.Tensor, int]:
    """Numbers 0 .. n - 1 in the order of the keys, for keys in 0 .. bound - 1; and n."""
    if bound <= SMALL_RANGE:
        present = torch.zeros(bound, dtype=torch.int64, device=keys.device)
        present[keys] = 1
        numbers = present.cumsum(0)
        return (numbers - 1)[keys], int(numbers[-1])
    values, numbers = torch.unique(keys, return_inverse=True)
    return numbers, len(values)


def pad_ids(ids: torch.Tensor, padding_mode: str, outside: int) -> torch.Tensor:
    """Ids (batch, height, width) with a border of one pixel, as a convolution of this padding mode sees it."""
    if padding_mode == "zeros":
        return F.pad(ids, [1] * 4, value=outside)
    rows, columns = (_inside(side, padding_mode, ids.device) for side in ids.shape[-2:])
    return ids[:, rows[:, None], columns]


def _inside(side: int, padding_mode: str, device: torch.device) -> torch.Tensor:
    """Which positions a border of one pixel repeats: -1 .. side as positions inside."""
    positions = torch.arange(-1, side + 1, device=device)
    if padding_mode == "replicate":
        return positions.clamp(0, side - 1)
    if padding_mode == "circular":
        return positions % side
    if padding_mode != "reflect":
        raise ValueError(f"padding_mode={padding_mode!r} is none of zeros, reflect, replicate, circular")
    return side - 1 - (side - 1 - positions.abs()).abs()


def neighbourhoods(ids: torch.Tensor, count: int, padding_mode: str) -> Neighbourhoods:
    """Number the distinct 3x3 neighbourhoods.

    Args:
        ids: (batch, height, width) int64, 0 .. count - 1.
        count: what stands for the outside if padding_mode is "zeros".
        padding_mode: of the convolution.
    """
    padded = pad_ids(ids, padding_mode, count)
    base = count + 1
    width = ids.shape[-1]
    pair, pairs = compact(padded[..., :width] * base + padded[..., 1 : width + 1], base**2)
    row, rows = compact(pair * base + padded[..., 2:], pairs * base)
    two, twos = compact(row[:, :-2] * rows + row[:, 1:-1], rows**2)
    result, found = compact(two * rows + row[:, 2:], twos * rows)
    # Any pixel that has a neighbourhood tells what it holds: they all hold the same.
    batch, height, _ = result.shape
    positions = torch.arange(padded.numel(), device=ids.device).view(padded.shape)[:, :height, :width]
    upper_left = torch.empty(found, dtype=torch.int64, device=ids.device)
    upper_left[result.flatten()] = positions.flatten()
    step = torch.arange(3, device=ids.device)
    taps = (step[:, None] * (width + 2) + step).flatten()
    return Neighbourhoods(result, padded.flatten()[upper_left[:, None] + taps])


class LabelTable(nn.Module):
    """The first convolutions that read one label map (and noise), joined, from one table look-up.

    Args:
        convolutions: of one size and padding, over (label map, noise) or the label map alone.
        scale, shift: (channels,), applied to the joined result: a batch norm folded away.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    noise: torch.Tensor | None

    def __init__(
        self,
        convolutions: Sequence[LabelNoiseConv2d | LabelConv2d],
        scale: torch.Tensor | None = None,
        shift: Any = None,
    ) -> None:
        super().__init__()
        labels = [conv.labels if isinstance(conv, LabelNoiseConv2d) else conv for conv in convolutions]
        noises = [conv.noise for conv in convolutions if isinstance(conv, LabelNoiseConv2d) and conv.noise is not None]
        self.num_labels = labels[0].num_labels
        self.padding_mode = "replicate" if labels[0].replicate else "zeros"
        weight = torch.cat([conv.weight.detach().float() for conv in labels])
        bias = torch.cat([conv.bias.detach().float() for conv in labels])
        noise = torch.cat([conv.weight.detach().float() for conv in noises]) if noises else None
        if scale is not None:
            weight, bias = weight * scale[:, None, None, None], bias * scale + shift
            noise = noise if noise is None else noise * scale[:, None, None, None]
        # (tap, class or noise channel, output)
        self.register_buffer("weight", weight.permute(2, 3, 1, 0).flatten(0, 1).contiguous(), persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        noise = noise if noise is None else noise.permute(2, 3, 1, 0).flatten(0, 1).contiguous()
        self.register_buffer("noise", noise, persistent=False)

    def forward(self, label_map: torch.Tensor, noise: Any = None, noise_regions: torch.Tensor | None = None) -> Field:
        """Convolve label_map (batch, height, width) and noise (batch, regions, noise_dim) with its map or None.

        The table is float32.
        """
        keys, vectors = label_map, None
        if self.noise is not None:
            regions = noise.shape[1]
            vectors = noise.flatten(0, 1).float()
            image = torch.arange(len(label_map), device=label_map.device)[:, None, None] * regions
            keys = (image if noise_regions is None else image + noise_regions) * self.num_labels + label_map
        bound = self.num_labels * (1 if vectors is None else len(vectors))
        ids, count = compact(keys, bound)
        present = torch.empty(count, dtype=torch.int64, device=keys.device)
        present[ids.flatten()] = keys.flatten()
        rows = self.weight[:, present % self.num_labels]  # (tap, distinct, output)
        if vectors is not None and self.noise is not None:
            rows = rows + vectors[present // self.num_labels] @ self.noise
        rows = F.pad(rows, (0, 0, 0, 1))  # the last row is the outside
        found = neighbourhoods(ids, count, self.padding_mode)
        table = self.bias
        for tap, values in enumerate(rows):
            table = table + values[found.patches[:, tap]]
        return Field(found.ids, table)


__all__ = ["Field", "LabelTable", "Neighbourhoods", "compact", "neighbourhoods", "pad_ids"]

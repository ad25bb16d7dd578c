# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Layers with fixed weights, for inference: the same numbers as the layers that they are made from, up to rounding, in
fewer passes over memory and fewer multiplications.

Everything is channels last. Spectral norm is read once, batch norm is folded into what follows or precedes it, and on
a CPU kernels lie in memory as oneDNN wants them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .layers_inference_convolution import PackedConv2d, norm_scale_shift
from .layers_inference_labels import Field, neighbourhoods, pad_ids


# A convolution of a field is computed by distinct neighbourhoods if these are at most this share of the pixels.
DISTINCT_SHARE = 0.6
# Of a strip of rows that goes through several operations while it is in the processor's cache.
STRIP_BYTES = 2**21


def modulation_weights(norms: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernels and biases that give, for SPADE norms of one condition, all gains and then all offsets: norm(x) becomes
    x * gain + offset.

    Args:
        norms: `SpadeNorm`s.

    Returns:
        (2 * features, condition_channels, 3, 3) and (2 * features,), float32.
    """
    gains, offsets = [], []
    for norm in norms:
        scale, shift = norm_scale_shift(norm.norm)
        weight, bias = norm.gamma_beta.weight.detach().float(), norm.gamma_beta.bias.detach().float()
        (gamma, beta), (gamma_bias, beta_bias) = weight.chunk(2), bias.chunk(2)
        gains.append((gamma * scale[:, None, None, None], (1 + gamma_bias) * scale))
        offsets.append((beta + gamma * shift[:, None, None, None], beta_bias + (1 + gamma_bias) * shift))
    weights, biases = zip(*gains, *offsets, strict=True)
    return torch.cat(weights), torch.cat(biases)


# -- a convolution of a map that was enlarged -------------------------------------------------------------------------


def enlarging_matrix(size: int, small: int) -> torch.Tensor:
    """(size, small) float64: the bilinear enlargement of a line as `F.interpolate` computes it."""
    centre = ((torch.arange(size, dtype=torch.float64) + 0.5) * (small / size) - 0.5).clamp(min=0)
    left = centre.floor().long().clamp(max=small - 1)
    right = (left + 1).clamp(max=small - 1)
    fraction = (centre - left)[:, None]
    lines = torch.eye(small, dtype=torch.float64)
    return (1 - fraction) * lines[left] + fraction * lines[right]


class EnlargedConv2d(nn.Module):
    """A 3x3 convolution of a coarse map that is enlarged bilinearly: computed on the coarse map, then enlarged.

    Enlarging is linear and acts on each channel alone, so the nine taps may come first: out = sum over taps of the
    enlarged, shifted (tap @ coarse). With a coarse map of a few pixels that is a fraction of the work.

    Args:
        weight: (out_channels, in_channels, 3, 3) float32.
        padding_mode: of the convolution, at full size.
        dtype: of computation.
    """

    def __init__(self, weight: torch.Tensor, padding_mode: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.padding_mode, self.dtype = padding_mode, dtype
        # Row by row of taps, (tap row, tap column, input, output).
        self.register_buffer("taps", weight.detach().float().permute(2, 3, 1, 0).contiguous(), persistent=False)
        self._lines: dict[tuple[int, int], EnlargedLine] = {}

    def _line(self, size: int, small: int, device: torch.device) -> "EnlargedLine":
        key = (size, small)
        if key not in self._lines:
            numbers = torch.arange(size)[None, None]
            columns = pad_ids(numbers.expand(1, 3, size), self.padding_mode, size)[0, 1]
            lines = F.pad(enlarging_matrix(size, small), (0, 0, 0, 1))[columns]
            taps = torch.stack([lines[tap : tap + size] for tap in range(3)], dim=2)  # (size, small, tap)
            used, places = taps.ne(0).any(dim=2), torch.arange(small)
            found = EnlargedLine(
                taps.to(device, self.dtype),
                torch.where(used, places, small).amin(dim=1).tolist(),
                torch.where(used, places, 0).amax(dim=1).tolist(),
            )
            self._lines = {**self._lines, key: found}
        return self._lines[key]

    def prepare(self, coarse: torch.Tensor, size: tuple[int, int]) -> "EnlargedRows":
        """All that does not depend on the row, for coarse (batch, in_channels, h, w) and the full size."""
        batch, _, small_height, small_width = coarse.shape
        height, width = size
        tapped = torch.einsum("bchw,ijco->bhijwo", coarse.float(), self.taps)  # (batch, h, i, j, w, out)
        tapped = tapped.flatten(3, 4)  # (batch, h, i, (j, w), out)
        columns = self._line(width, small_width, coarse.device).taps.permute(0, 2, 1).flatten(1)  # (width, (j, w))
        lines = columns @ tapped.to(self.dtype)  # (batch, h, i, width, out)
        return EnlargedRows(lines.flatten(3), self._line(height, small_height, coarse.device))


class EnlargedLine(NamedTuple):
    """How a line is enlarged, as each of a kernel's three taps sees it.

    Args:
        taps: (size, small, 3); zeros beyond the border, or as padded.
        first, last: of each place, the places of the small line that it depends on.
    """

    taps: torch.Tensor
    first: list[int]
    last: list[int]


class EnlargedRows:
    """The result of `EnlargedConv2d` before its rows are mixed.

    Args:
        lines: (batch, h, 3, width * out).
        rows: how they are mixed.
    """

    def __init__(self, lines: torch.Tensor, rows: EnlargedLine) -> None:
        self.lines, self.rows = lines, rows

    def strip(self, image: slice, top: int, bottom: int) -> torch.Tensor:
        """(images, rows, width * out) of the rows from top to bottom."""
        begin, end = min(self.rows.first[top:bottom]), max(self.rows.last[top:bottom]) + 1
        return self.rows.taps[top:bottom, begin:end].flatten(1) @ self.lines[image, begin:end].flatten(1, 2)


# -- modulation -------------------------------------------------------------------------------------------------------


class FieldRows:
    """A modulation that is constant over distinct neighbourhoods: rows of a table."""

    def __init__(self, field: Field) -> None:
        self.field = field

    def strip(self, image: slice, top: int, bottom: int, onto: torch.Tensor | None) -> torch.Tensor:
        """(images, rows, width, features)."""
        values = F.embedding(self.field.ids[image, top:bottom], self.field.table)
        return values if onto is None else onto.add_(values)


class ConvolvedRows:
    """A modulation that is computed row by row from a padded map, or from a padded field."""

    def __init__(self, conv: PackedConv2d, padded: torch.Tensor | Field) -> None:
        self.conv, self.padded = conv, padded

    def strip(self, image: slice, top: int, bottom: int, onto: torch.Tensor | None) -> torch.Tensor:
        """(images, rows, width, features)."""
        if isinstance(self.padded, Field):
            part = Field(self.padded.ids[image, top : bottom + 2], self.padded.table).dense()
        else:
            part = self.padded[image, :, top : bottom + 2]
        onto = onto if onto is None else onto.permute(0, 3, 1, 2)
        return self.conv(part, add=onto, padded=True).permute(0, 2, 3, 1)


class Modulation(nn.Module):
    """Gains and offsets of SPADE norms that read one condition.

    Args:
        norms: they share condition, padding and size.
        map_channels: how many channels of the condition are a map of full size.
        map_first: whether these stand before those of the coarse map.
        dtype: of computation.
        fields: whether the map may be a field.
    """

    def __init__(
        self, norms: Sequence[Any], map_channels: int, map_first: bool, dtype: torch.dtype, fields: bool = True
    ) -> None:
        super().__init__()
        self.widths = [norm.norm.num_features for norm in norms]
        self.dtype, self.padding_mode = dtype, norms[0].gamma_beta.padding_mode
        weight, bias = modulation_weights(norms)
        rest = weight.shape[1] - map_channels
        own, coarse = weight.split([map_channels, rest] if map_first else [rest, map_channels], dim=1)
        own, coarse = (own, coarse) if map_first else (coarse, own)
        self.own = PackedConv2d(own, bias, dtype, self.padding_mode, patches=fields)
        self.coarse = EnlargedConv2d(coarse, self.padding_mode, dtype) if rest else None
        # At the coarsest scale both maps are one.
        self.both: Any = (
            PackedConv2d(own + coarse, bias, dtype, self.padding_mode) if own.shape == coarse.shape else None
        )

    def prepare(self, own: torch.Tensor | Field, coarse: Any) -> "ModulationRows":
        """What gives the strips of a scale.

        Args:
            own: the map of full size (batch, map_channels, height, width), or a field.
            coarse: (batch, coarse_channels, h, w), or None.
        """
        size = (own.shape[-2], own.shape[-1])
        conv, enlarged = self.own, None
        if self.coarse is not None and own is coarse:
            conv = self.both
        elif self.coarse is not None:
            enlarged = self.coarse.prepare(coarse, size)
        if not isinstance(own, Field):
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            return ModulationRows(ConvolvedRows(conv, F.pad(own, [1] * 4, mode=mode)), enlarged, self.widths, size)
        found = convolved_fields([own], [conv])
        if found is not None:
            return ModulationRows(FieldRows(found[0]), enlarged, self.widths, size)
        ids = pad_ids(own.ids, self.padding_mode, len(own.table))
        padded = Field(ids, F.pad(own.table, (0, 0, 0, 1)))
        return ModulationRows(ConvolvedRows(conv, padded), enlarged, self.widths, size)


def convolved_fields(fields: Sequence[Field], convs: Sequence[PackedConv2d]) -> list[Field] | None:
    """A convolution of each field by distinct neighbourhoods; None if there are too many of them to pay.

    Args:
        fields: of the same ids.
        convs: one for each, of one padding mode.
    """
    ids, count = fields[0].ids, len(fields[0].table)
    if count > DISTINCT_SHARE * ids.numel():
        return None
    found = neighbourhoods(ids, count, convs[0].padding_mode or "zeros")
    if len(found.patches) > DISTINCT_SHARE * ids.numel():
        return None
    tables = []
    for field, conv in zip(fields, convs, strict=True):
        table = F.pad(field.table, (0, 0, 0, 1))  # the last row is the outside
        tables.append(conv.on_patches(F.embedding(found.patches, table).flatten(1)))
    return [Field(found.ids, table) for table in tables]


class ModulationRows:
    """Gains and offsets of one scale, strip by strip.

    Args:
        own: gives those of the map of full size.
        enlarged: gives those of the coarse map, or None.
        widths: features of each norm.
        size: (height, width).
    """

    def __init__(
        self,
        own: FieldRows | ConvolvedRows,
        enlarged: EnlargedRows | None,
        widths: list[int],
        size: tuple[int, int],
    ) -> None:
        self.own, self.enlarged, self.widths, self.size = own, enlarged, widths, size

    def strip(self, image: slice, top: int, bottom: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(gain, offset) of each norm, (images, rows, width, features)."""
        onto = None
        if self.enlarged is not None:
            shape = (-1, bottom - top, self.size[1], 2 * sum(self.widths))
            onto = self.enlarged.strip(image, top, bottom).view(shape)
        gains, offsets = self.own.strip(image, top, bottom, onto).chunk(2, dim=-1)
        return list(zip(gains.split(self.widths, -1), offsets.split(self.widths, -1), strict=True))


def strips(hidden: torch.Tensor, features: int) -> list[tuple[slice, int, int]]:
    """(images, first row, row after the last) of the parts in which a map is modulated.

    Args:
        hidden: (batch, channels, height, width).
        features: numbers per pixel that the widest temporary holds.
    """
    batch, _, height, width = hidden.shape
    if hidden.device.type != "cpu":
        return [(slice(0, batch), 0, height)]
    rows = max(1, STRIP_BYTES // (features * width * hidden.element_size()))
    return [
        (slice(image, image + 1), top, min(top + rows, height))
        for image in range(batch)
        for top in range(0, height, rows)
    ]


__all__ = [
    "ConvolvedRows",
    "EnlargedConv2d",
    "FieldRows",
    "Modulation",
    "ModulationRows",
    "convolved_fields",
    "enlarging_matrix",
    "modulation_weights",
    "strips",
]

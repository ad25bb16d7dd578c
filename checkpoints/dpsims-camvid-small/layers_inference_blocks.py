# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The SPADE residual block for inference: modulation and activation strip by strip, straight to where the next
convolution reads it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .layers_inference import (
    ConvolvedRows,
    FieldRows,
    Modulation,
    convolved_fields,
    modulation_weights,
    strips,
)
from .layers_inference_convolution import PackedConv2d
from .layers_inference_labels import Field, LabelTable, pad_ids
from .layers_spade import LabelSpadeNorm


class LabelModulation(nn.Module):
    """Gains and offsets of the norms of an OASIS block, which read label map and noise.

    Args:
        norms: of one block.
        dtype: of computation.
    """

    def __init__(self, norms: list[LabelSpadeNorm], dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.padding_mode = dtype, norms[0].gamma_beta.padding_mode
        self.embedding = LabelTable([norm.embedding for norm in norms])
        self.convs = nn.ModuleList(
            PackedConv2d(*modulation_weights([norm]), dtype, self.padding_mode, patches=True) for norm in norms
        )

    def prepare(self, condition: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]) -> list["LabelRows"]:
        """What gives the strips of each norm, for (label_map, noise, noise_regions) of one size."""
        field = self.embedding(*condition)
        tables = F.relu_(field.table).to(self.dtype).chunk(len(self.convs), dim=1)
        fields = [Field(field.ids, table.contiguous()) for table in tables]
        convs: Any = self.convs
        found = convolved_fields(fields, list(convs))
        if found is not None:
            return [LabelRows([FieldRows(each)]) for each in found]
        ids = pad_ids(field.ids, self.padding_mode, len(field.table))
        return [
            LabelRows([ConvolvedRows(conv, Field(ids, F.pad(each.table, (0, 0, 0, 1))))])
            for conv, each in zip(convs, fields, strict=True)
        ]


class LabelRows:
    """Gains and offsets of norms that read label map and noise, strip by strip.

    Args:
        parts: one per norm.
    """

    def __init__(self, parts: Sequence[FieldRows | ConvolvedRows]) -> None:
        self.parts = parts

    def strip(self, image: slice, top: int, bottom: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(gain, offset) of each norm, (images, rows, width, features)."""
        both = (part.strip(image, top, bottom, None).chunk(2, dim=-1) for part in self.parts)
        return [(gain, offset) for gain, offset in both]


class InferenceBlock(nn.Module):
    """A `SpadeResidualBlock` with fixed weights.

    Args:
        block: a `SpadeResidualBlock`.
        dtype: of computation.
        map_channels: channels of the condition at full size; None for a block that reads label map and noise.
        map_first: whether these stand before those of the coarse map.
        fields: whether the map may be a field.
    """

    gain_0: torch.Tensor | None
    gain_1: torch.Tensor | None

    def __init__(
        self,
        block: Any,
        dtype: torch.dtype,
        map_channels: int | None = None,
        map_first: bool = True,
        fields: bool = False,
    ) -> None:
        super().__init__()
        self.has_shortcut = block.has_shortcut
        first = [block.norm_0, block.norm_s] if block.has_shortcut else [block.norm_0]
        self.first_features = 2 * sum(norm.norm.num_features for norm in first)
        self.second_features = 2 * block.norm_1.norm.num_features
        self.labels: LabelModulation | None = None
        self.first: Any = None
        self.second: Any = None
        if map_channels is None:
            self.labels = LabelModulation([*first, block.norm_1], dtype)
        else:
            self.first = Modulation(first, map_channels, map_first, dtype, fields)
            self.second = Modulation([block.norm_1], map_channels, map_first, dtype, fields)
        self.conv_0 = PackedConv2d.of(block.conv_0, dtype)
        self.conv_1 = PackedConv2d.of(block.conv_1, dtype)
        self.conv_s: Any = PackedConv2d.of(block.conv_s, dtype) if block.has_shortcut else None
        for index, texture in enumerate((block.texture_0, block.texture_1)):
            gain = None if texture is None else texture.gain.detach().to(dtype).clone()
            self.register_buffer(f"gain_{index}", gain, persistent=False)

    def forward(self, hidden: torch.Tensor, condition: Any, texture: torch.Tensor | None = None) -> torch.Tensor:
        """As `SpadeResidualBlock`, for a condition (label_map, noise, noise_regions), or (map or field, coarse map).

        What `hidden` holds is used up.
        """
        first: Any
        second: Any
        if self.labels is not None:
            *firsts, second = self.labels.prepare(condition)
            first = LabelRows([part for rows in firsts for part in rows.parts])
        else:
            first, second = self.first.prepare(*condition), self.second.prepare(*condition)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        inner, shortcut = self._modulated(hidden, first, self.first_features, self.conv_0, texture, self.gain_0)
        shortcut = hidden if shortcut is None else shortcut
        inner = self.conv_0(inner, padded=not self.conv_0.zeros)
        inner, _ = self._modulated(inner, second, self.second_features, self.conv_1, texture, self.gain_1)
        return self.conv_1(inner, add=shortcut, padded=not self.conv_1.zeros)

    def _modulated(
        self,
        hidden: torch.Tensor,
        rows: Any,
        features: int,
        conv: PackedConv2d,
        texture: Any,
        gain: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The input of a convolution, with its border where it needs one; and the shortcut of a first norm.

        Texture is added to `hidden` itself.
        """
        batch, channels, height, width = hidden.shape
        border = conv.radius - conv.zeros
        result = hidden.new_empty(batch, height + 2 * border, width + 2 * border, channels)
        inside = result[:, border : border + height, border : border + width]
        hidden = hidden.permute(0, 2, 3, 1)
        texture = texture if texture is None else texture.to(hidden.dtype).permute(0, 2, 3, 1)
        shortcut = None
        for image, top, bottom in strips(hidden.permute(0, 3, 1, 2), features):
            part = hidden[image, top:bottom]
            if gain is not None:
                noise = texture[image if len(texture) > 1 else slice(0, 1), top:bottom]
                part.add_(noise * gain)
            (scale, offset), *more = rows.strip(image, top, bottom)
            target = inside[image, top:bottom]
            torch.addcmul(offset, part, scale, out=target)
            F.leaky_relu_(target, 0.2)
            for scale, offset in more:
                made = self.conv_s(torch.addcmul(offset, part, scale).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
                if shortcut is None:
                    shortcut = made.new_empty(batch, height, width, made.shape[-1])
                shortcut[image, top:bottom] = made
        if border:
            fill_border(result, conv.padding_mode)
        return result.permute(0, 3, 1, 2), shortcut if shortcut is None else shortcut.permute(0, 3, 1, 2)


def fill_border(padded: torch.Tensor, padding_mode: str) -> None:
    """Write the border of one pixel of (batch, height, width, channels) from what lies inside."""
    for axis in (2, 1):  # columns first: the rows then copy the corners
        last = padded.shape[axis] - 1
        sources = {"reflect": (2, last - 2), "replicate": (1, last - 1), "circular": (last - 1, 1)}[padding_mode]
        for place, source in zip((0, last), sources, strict=True):
            padded.select(axis, place).copy_(padded.select(axis, source))


__all__ = ["InferenceBlock", "LabelModulation", "fill_border"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The networks of DP-GAN and DP-SIMS that turn the label map into the blocks' conditions, for inference."""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .layers_inference import convolved_fields
from .layers_inference_convolution import PackedConv2d, folded_norm, norm_scale_shift
from .layers_inference_labels import Field, LabelTable
from .layers_label import LabelConv2d, resize_labels
from .layers_noise import LabelNoiseConv2d


class LabelInput(nn.Module):
    """The first convolution of the image path, over the label map (and noise) at the coarsest scale.

    Args:
        conv: the convolution.
        dtype: of the result.
    """

    def __init__(self, conv: LabelNoiseConv2d | LabelConv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.table, self.dtype = LabelTable([conv]), dtype

    def forward(self, *inputs: Any) -> torch.Tensor:
        """Convolve what the convolution takes."""
        found = self.table(*inputs)
        return Field(found.ids, found.table.to(self.dtype)).dense()


class PairedConditions(nn.Module):
    """In the place of what joins a scale's map and the enlarged coarsest map: both as they are."""

    def forward(self, own: torch.Tensor | Field, coarse: torch.Tensor | None) -> tuple[Any, Any]:
        """(own, coarse)."""
        return own, coarse


class InferenceAdaptationPyramid(nn.Module):
    """DP-GAN's pyramid with fixed weights; its first map is a field where that pays.

    Args:
        pyramid: an `AdaptationPyramid`.
        dtype: of computation.
    """

    def __init__(self, pyramid: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.stem = LabelTable([pyramid.stem.convolution], *norm_scale_shift(pyramid.stem.norm))
        self.levels = nn.ModuleList(
            folded_norm(level.convolution, level.norm, dtype, patches=not index)
            for index, level in enumerate(pyramid.levels)
        )

    def forward(
        self, label_map: torch.Tensor, noise: torch.Tensor, noise_regions: torch.Tensor | None
    ) -> list[torch.Tensor | Field]:
        """alpha at stride 1, 2, 4, ..."""
        stem = self.stem(label_map, noise, noise_regions)
        stem = Field(stem.ids, F.relu_(stem.table).to(self.dtype))
        levels: Any = self.levels
        first, *rest = levels
        found = convolved_fields([stem], [first])
        if found is None:
            hidden = first(stem.dense(), "relu")
            maps: list[torch.Tensor | Field] = [hidden]
        else:
            field = Field(found[0].ids, F.relu_(found[0].table))
            hidden = field.dense()
            maps = [field if rest else hidden]
        for level in rest:
            hidden = level(hidden, "relu")
            maps.append(hidden)
        return maps


class InferencePyramidLevel(nn.Module):
    """A level of DP-SIMS's pyramid with fixed weights.

    Args:
        level: a `LabelPyramidLevel`.
        dtype: of computation.
        folded: the level's convolution is computed elsewhere, its batch norm and GELU too.
    """

    def __init__(self, level: Any, dtype: torch.dtype, folded: bool) -> None:
        super().__init__()
        self.convolution = None if folded else folded_norm(level.convolution, level.norm, dtype)
        self.noise = self.attention = None
        if level.noise is not None:
            self.noise = copy.deepcopy(level.noise).to(dtype)
            self.noise.embedding = PackedConv2d.of(level.noise.embedding, dtype)
        if level.attention is not None:
            self.attention = copy.deepcopy(level.attention).to(dtype)
        self.pointwise = PackedConv2d.of(level.pointwise, dtype)

    @property
    def is_local(self) -> bool:
        """Whether a pixel's result depends on that pixel's input alone."""
        return self.noise is None and self.attention is None

    def forward(
        self, hidden: torch.Tensor, tokens: torch.Tensor | None, noise_regions: torch.Tensor | None
    ) -> torch.Tensor:
        """As `LabelPyramidLevel`."""
        if self.convolution is not None:
            hidden = self.convolution(hidden, "gelu")
        if self.noise is not None:
            regions = None if noise_regions is None else resize_labels(noise_regions, hidden.shape[-2:])
            hidden = self.noise(hidden, tokens, regions)
        if self.attention is not None:
            hidden = self.attention(hidden)
        return self.pointwise(hidden.contiguous(memory_format=torch.channels_last))


class InferenceLabelPyramid(nn.Module):
    """DP-SIMS's label pyramid with fixed weights; its first map is a field where it depends on the labels alone.

    Args:
        pyramid: a `LabelPyramid`.
        dtype: of computation.
    """

    def __init__(self, pyramid: Any, dtype: torch.dtype) -> None:
        super().__init__()
        first = pyramid.levels[0]
        scale, shift = norm_scale_shift(first.norm)
        self.dtype = dtype
        self.labels = LabelTable([first.convolution.labels], scale, shift)
        self.extra = self.position = None
        if first.convolution.extra is not None:
            extra = first.convolution.extra
            weight = extra.weight.detach().float() * scale[:, None, None, None]
            self.extra = PackedConv2d(weight, None, dtype, extra.padding_mode)
        if first.convolution.position is not None:
            self.position = copy.deepcopy(first.convolution.position).float()
            self.position.weight.data.mul_(scale[:, None, None, None])
        self.levels = nn.ModuleList(
            InferencePyramidLevel(level, dtype, folded=not index) for index, level in enumerate(pyramid.levels)
        )

    def forward(
        self,
        label_map: torch.Tensor,
        extra: torch.Tensor | None,
        tokens: torch.Tensor | None,
        noise_regions: torch.Tensor | None,
    ) -> list[torch.Tensor | Field]:
        """h at stride 1, 2, 4, ..."""
        field = self.labels(label_map)
        levels: Any = self.levels
        first, *rest = levels
        if first.is_local and self.extra is None and self.position is None and rest:
            rows = F.gelu(field.table).to(self.dtype)
            table = first.pointwise(rows[:, :, None, None].contiguous(memory_format=torch.channels_last))
            field = Field(field.ids, table.flatten(1))
            hidden = field.dense()
            maps: list[torch.Tensor | Field] = [field]
        else:
            hidden = first(self._activated(field, extra), tokens, noise_regions)
            maps = [hidden]
        for level in rest:
            hidden = level(hidden, tokens, noise_regions)
            maps.append(hidden)
        return maps

    def _activated(self, field: Field, extra: Any) -> torch.Tensor:
        """GELU of the first convolution over everything that is drawn at full resolution."""
        hidden = field.dense()
        if self.position is not None:
            hidden = hidden + self.position(*hidden.shape[-2:])
        hidden = hidden.to(self.dtype)
        if self.extra is not None:
            self.extra(extra.contiguous(memory_format=torch.channels_last), add=hidden)
        return F.gelu(hidden)


__all__ = ["InferenceAdaptationPyramid", "InferenceLabelPyramid", "LabelInput", "PairedConditions"]

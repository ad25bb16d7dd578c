# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The DP-SIMS generator (Berrada et al., arXiv:2312.13314, Sec. 3.2, Fig. 3).

Written from the paper. What the paper leaves open is a field of `DPSIMSGeneratorConfig`; noise per region is our
extension (each position attends to its own region's tokens) and equals the paper with one region.
"""

import copy
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from transformers import initialization as init

from .configuration_dpsims import DPSIMSGeneratorConfig
from .configuration_limits import PaddingMode
from .layers_attention import CrossAttentionNoise, NoiseMapping, SelfAttention
from .layers_checkpointing import CheckpointedBlock
from .layers_inference_blocks import InferenceBlock
from .layers_inference_convolution import PackedConv2d
from .layers_inference_pyramids import InferenceLabelPyramid, LabelInput, PairedConditions
from .layers_label import LabelConv2d, PositionCode, resize_features, resize_labels
from .layers_noise import noise_map
from .layers_padding import MirroredConv2d
from .layers_spade import SpadeNorm, SpadeResidualBlock, init_spectral_norm
from .modeling_base import SemanticGenerator, init_texture_noise


class LabelPyramidLevel(CheckpointedBlock):
    """One level of the label-map encoder: conv -> BN -> GELU -> noise -> self-attention -> pointwise conv.

    Args:
        convolution: the level's first convolution (over labels at full resolution, strided below).
        channels: C_i.
        noise: cross-attention block or None.
        attention: self-attention block or None.
        eps: of the batch norm.
    """

    def __init__(
        self,
        convolution: nn.Module,
        channels: int,
        noise: CrossAttentionNoise | None,
        attention: SelfAttention | None,
        eps: float,
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm2d(channels, eps=eps)
        self.noise = noise
        self.attention = attention
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(
        self, hidden: torch.Tensor, tokens: torch.Tensor | None, noise_regions: torch.Tensor | None
    ) -> torch.Tensor:
        """Encode the previous level's map; `tokens` (batch, regions, n_k, d_w), `noise_regions` at full resolution."""
        hidden = F.gelu(self.norm(self.convolution(hidden)))
        if self.noise is not None:
            regions = None if noise_regions is None else resize_labels(noise_regions, hidden.shape[-2:])
            hidden = self.noise(hidden, tokens, regions)
        if self.attention is not None:
            hidden = self.attention(hidden)
        return self.pointwise(hidden)


class FullResolutionInput(nn.Module):
    """The first convolution: over class indices, plus whatever else is drawn at full resolution.

    Args:
        num_labels: classes.
        extra_channels: instance offsets and/or noise concatenated with the label map.
        out_channels: width.
        padding_mode: of the convolutions.
        position_waves: of the position code; 0 leaves it out.
    """

    def __init__(
        self,
        num_labels: int,
        extra_channels: int,
        out_channels: int,
        padding_mode: PaddingMode,
        position_waves: int = 0,
    ) -> None:
        super().__init__()
        self.position = PositionCode(position_waves, out_channels) if position_waves else None
        self.labels = LabelConv2d(num_labels, out_channels, replicate=padding_mode != "zeros")
        self.extra = None
        if extra_channels:
            self.extra = MirroredConv2d(
                extra_channels, out_channels, 3, padding=1, padding_mode=padding_mode, bias=False
            )

    def forward(self, inputs: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
        """Convolve (label_map (batch, height, width), extra maps (batch, extra, height, width) or None)."""
        label_map, extra = inputs
        hidden = self.labels(label_map)
        if self.position is not None:
            hidden = hidden + self.position(*label_map.shape[-2:])
        return hidden if self.extra is None else hidden + self.extra(extra)


class LabelPyramid(nn.Module):
    """h_1 .. h_L from full resolution down."""

    def __init__(self, config: DPSIMSGeneratorConfig) -> None:
        super().__init__()
        widths = config.pyramid_channels
        extra = 2 * config.use_instance_offsets + config.noise_dim * (config.noise_injection == "concat")
        first = FullResolutionInput(
            config.num_labels, extra, widths[0], config.output_padding_mode, config.position_waves
        )
        convolutions: list[nn.Module] = [first] + [
            MirroredConv2d(before, after, 3, stride=2, padding=1, padding_mode=config.padding_mode)
            for before, after in pairwise(widths)
        ]
        self.levels = nn.ModuleList(
            self._level(config, convolution, width, 2**index in (config.attention_strides or []))
            for index, (convolution, width) in enumerate(zip(convolutions, widths, strict=True))
        )

    @staticmethod
    def _level(config: DPSIMSGeneratorConfig, convolution: nn.Module, width: int, attend: bool) -> LabelPyramidLevel:
        noise = attention = None
        if attend and config.noise_injection == "cross_attention":
            noise = CrossAttentionNoise(width, config.noise_token_dim, config.attention_gate_init, config.padding_mode)
        if attend and config.use_self_attention:
            attention = SelfAttention(width, config.self_attention_gate_init)
        return LabelPyramidLevel(convolution, width, noise, attention, config.normalization_eps)

    def forward(
        self,
        label_map: torch.Tensor,
        extra: torch.Tensor | None,
        tokens: torch.Tensor | None,
        noise_regions: torch.Tensor | None,
    ) -> list[torch.Tensor]:
        """Return the modulation maps, fine to coarse: h at stride 1, 2, 4, ..."""
        hidden: Any = (label_map, extra)
        maps: list[torch.Tensor] = []
        for level in self.levels:
            hidden = level(hidden, tokens, noise_regions)
            maps.append(hidden)
        return maps


class Condition(nn.Module):
    """What the SPADE norms of a scale read: its map, and the coarsest one enlarged to its size."""

    def forward(self, scale_map: torch.Tensor, coarsest: torch.Tensor) -> torch.Tensor:
        """Join (batch, channels, h, w) and the coarsest map."""
        return torch.cat([scale_map, resize_features(coarsest, scale_map.shape[-2:], "bilinear")], dim=1)


class DPSIMSGenerator(SemanticGenerator):
    """Label map + noise -> image in one forward pass (Sec. 3.2)."""

    config_class = DPSIMSGeneratorConfig

    def __init__(self, config: DPSIMSGeneratorConfig) -> None:
        super().__init__(config)
        widths = config.widths
        self.noise_mapping = None
        if config.noise_injection == "cross_attention":
            self.noise_mapping = NoiseMapping(
                config.noise_dim, config.noise_mlp_dim, config.noise_tokens, config.noise_token_dim
            )
        self.pyramid = LabelPyramid(config)
        self.low_resolution_input = LabelConv2d(config.num_labels, widths[0], replicate=config.padding_mode != "zeros")
        self.low_resolution_offsets = None
        if config.low_resolution_offsets:
            self.low_resolution_offsets = MirroredConv2d(
                2, widths[0], 3, padding=1, padding_mode=config.padding_mode, bias=False
            )
        coarsest = config.pyramid_channels[-1]
        self.blocks = nn.ModuleList(
            SpadeResidualBlock(
                before,
                after,
                partial(
                    SpadeNorm,
                    condition_channels=width + coarsest,
                    padding_mode=padding,
                    eps=config.normalization_eps,
                ),
                config.spectral_norm,
                padding,
                config.texture_noise,
            )
            for (before, after), width, padding in zip(
                pairwise(widths), reversed(config.pyramid_channels), config.block_padding_modes, strict=True
            )
        )
        self.condition = Condition()
        self.to_image = MirroredConv2d(widths[-1], 3, 3, padding=1, padding_mode=config.output_padding_mode)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module; also what `from_pretrained` calls for weights that a checkpoint lacks."""
        if init_spectral_norm(module) or init_texture_noise(module):
            return
        if isinstance(module, LabelConv2d):
            init.normal_(module.weight, std=1.0 / module.weight.shape[-1])
            init.zeros_(module.bias)
        elif isinstance(module, PositionCode):
            init.zeros_(module.weight)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            if not parametrize.is_parametrized(module):
                init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            super()._init_weights(module)
        elif isinstance(module, CrossAttentionNoise | SelfAttention):
            init.constant_(module.gate, module.gate_init)

    def _inference_modules(self, dtype: torch.dtype) -> dict[str, nn.Module]:
        channels, finest = reversed(self.config.pyramid_channels), len(self.blocks) - 1
        replaced = {
            "pyramid": InferenceLabelPyramid(self.pyramid, dtype),
            "low_resolution_input": LabelInput(self.low_resolution_input, dtype),
            "condition": PairedConditions(),
            "blocks": nn.ModuleList(
                InferenceBlock(block, dtype, width, fields=index == finest)
                for index, (block, width) in enumerate(zip(self.blocks, channels, strict=True))
            ),
            "to_image": PackedConv2d.of(self.to_image, dtype),
        }
        if self.noise_mapping is not None:
            replaced["noise_mapping"] = copy.deepcopy(self.noise_mapping).to(dtype)
        if self.low_resolution_offsets is not None:
            replaced["low_resolution_offsets"] = PackedConv2d.of(self.low_resolution_offsets, dtype)
        return replaced

    def _features(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor,
        noise_regions: torch.Tensor | None,
        instance_offsets: torch.Tensor | None,
        textures: list[torch.Tensor | None],
    ) -> torch.Tensor:
        tokens = None if self.noise_mapping is None else self.noise_mapping(noise)
        extra = self._extra_maps(label_map, noise, noise_regions, instance_offsets)
        modulation = self.pyramid(label_map, extra, tokens, noise_regions)
        return self._image_path(label_map, modulation, textures, instance_offsets)

    def _image_path(
        self,
        label_map: torch.Tensor,
        modulation: list[torch.Tensor],
        textures: list[torch.Tensor | None],
        instance_offsets: torch.Tensor | None,
    ) -> torch.Tensor:
        """SPADE blocks from the coarsest scale to full resolution; returns G^f."""
        coarsest = modulation[-1]
        hidden = self.low_resolution_input(resize_labels(label_map, coarsest.shape[-2:]))
        if self.low_resolution_offsets is not None:
            low = resize_labels(instance_offsets.flatten(0, 1), coarsest.shape[-2:])  # as the labels
            hidden = hidden + self.low_resolution_offsets(low.unflatten(0, (-1, 2)).to(self.dtype))
        for block, scale_map, texture in zip(self.blocks, reversed(modulation), textures, strict=True):
            size = scale_map.shape[-2:]
            hidden = resize_features(hidden, size, self.config.upsample_mode)
            hidden = block(hidden, self.condition(scale_map, coarsest), texture)
        return F.leaky_relu(hidden, 0.2)

    def _extra_maps(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor,
        noise_regions: torch.Tensor | None,
        instance_offsets: torch.Tensor | None,
    ) -> torch.Tensor | None:
        """Maps that join the label map at the input: instance offsets; 3-D noise where noise is concatenated."""
        maps = []
        if self.config.use_instance_offsets:
            assert instance_offsets is not None  # `_check_inputs`
            maps.append(instance_offsets.to(self.dtype))
        if self.config.noise_injection == "concat":
            regions = torch.zeros_like(label_map) if noise_regions is None else noise_regions
            maps.append(noise_map(noise, regions))
        return torch.cat(maps, dim=1) if maps else None


__all__ = ["DPSIMSGenerator"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The OASIS generator (Schoenfeld et al., ICLR 2021, Sec. 3.3, App. C.2). Written from the paper."""

from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_oasis import OASISGeneratorConfig
from .layers_inference_blocks import InferenceBlock
from .layers_inference_convolution import PackedConv2d
from .layers_inference_pyramids import LabelInput
from .layers_label import resize_features, resize_labels
from .layers_noise import LabelNoiseConv2d
from .layers_padding import MirroredConv2d
from .layers_spade import LabelSpadeNorm, SpadeResidualBlock
from .modeling_base import SemanticGenerator, init_by_xavier


class OASISGenerator(SemanticGenerator):
    """SPADE blocks from coarse to fine; label map and 3D noise condition every norm at its own resolution."""

    config_class = OASISGeneratorConfig

    def __init__(self, config: OASISGeneratorConfig) -> None:
        super().__init__(config)
        widths = config.widths
        make_norm = partial(
            LabelSpadeNorm,
            num_labels=config.num_labels,
            noise_dim=config.noise_dim,
            hidden_channels=config.spade_channels,
            eps=config.normalization_eps,
        )
        self.low_resolution_input = LabelNoiseConv2d(
            config.num_labels, config.noise_dim, widths[0], config.padding_mode != "zeros"
        )
        self.blocks = nn.ModuleList(
            SpadeResidualBlock(
                before,
                after,
                partial(make_norm, padding_mode=padding),
                config.spectral_norm,
                padding,
                config.texture_noise,
            )
            for (before, after), padding in zip(pairwise(widths), config.block_padding_modes, strict=True)
        )
        self.to_image = MirroredConv2d(widths[-1], 3, 3, padding=1, padding_mode=config.output_padding_mode)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_by_xavier(module, self.config.init_gain)

    def _inference_modules(self, dtype: torch.dtype) -> dict[str, nn.Module]:
        return {
            "low_resolution_input": LabelInput(self.low_resolution_input, dtype),
            "blocks": nn.ModuleList(InferenceBlock(block, dtype) for block in self.blocks),
            "to_image": PackedConv2d.of(self.to_image, dtype),
        }

    def _features(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor,
        noise_regions: torch.Tensor | None,
        instance_offsets: torch.Tensor | None,
        textures: list[torch.Tensor | None],
    ) -> torch.Tensor:
        height, width = label_map.shape[-2:]
        hidden: torch.Tensor | None = None
        for index, (block, texture) in enumerate(zip(self.blocks, textures, strict=True)):
            stride = 2 ** (len(self.blocks) - 1 - index)
            size = (height // stride, width // stride)
            labels = resize_labels(label_map, size, centre=False)
            regions = None if noise_regions is None else resize_labels(noise_regions, size, centre=False)
            condition = (labels, noise, regions)
            if hidden is None:
                hidden = self.low_resolution_input(*condition)
            else:
                hidden = resize_features(hidden, size, self.config.upsample_mode)
            hidden = block(hidden, condition, texture)
        assert hidden is not None  # there is a block
        return F.leaky_relu(hidden, 0.2)


__all__ = ["OASISGenerator"]

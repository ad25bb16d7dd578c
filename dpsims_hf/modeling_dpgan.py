# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The DP-GAN generator (Li et al., BMVC 2022, Sec. 3.1, Tables 6 and 8). Written from the paper.

As in the released code, not the paper: six SPADE blocks where Table 8 lists five, and LeakyReLU before the last
convolution, which Table 8 puts behind it.
"""

from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_dpgan import DPGANGeneratorConfig
from .layers_checkpointing import CheckpointedBlock
from .layers_inference_blocks import InferenceBlock
from .layers_inference_convolution import PackedConv2d
from .layers_inference_pyramids import InferenceAdaptationPyramid, LabelInput, PairedConditions
from .layers_label import resize_features, resize_labels
from .layers_noise import LabelNoiseConv2d
from .layers_padding import MirroredConv2d
from .layers_spade import SpadeNorm, SpadeResidualBlock
from .modeling_base import SemanticGenerator, init_by_xavier


class PyramidLevel(CheckpointedBlock):
    """Convolution -> batch norm -> ReLU ("ConvBlock" of Table 6).

    Args:
        convolution: over (label map, noise) at the first level, over the level before elsewhere.
        channels: its width.
        eps: of the batch norm.
    """

    def __init__(self, convolution: nn.Module, channels: int, eps: float) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm2d(channels, eps=eps)

    def forward(self, *inputs: torch.Tensor | None) -> torch.Tensor:
        """The next level."""
        return F.relu(self.norm(self.convolution(*inputs)))


class AdaptationPyramid(nn.Module):
    """The spatial adaptation learning pyramid: alpha from full resolution down (Table 6)."""

    def __init__(self, config: DPGANGeneratorConfig) -> None:
        super().__init__()
        widths, eps = config.pyramid_channels, config.normalization_eps
        fine, coarse = config.output_padding_mode, config.padding_mode
        first = LabelNoiseConv2d(config.num_labels, config.noise_dim, widths[0], fine != "zeros")
        self.stem = PyramidLevel(first, widths[0], eps)
        convolutions = [
            MirroredConv2d(before, after, 3, 2 if index else 1, padding=1, padding_mode=coarse if index else fine)
            for index, (before, after) in enumerate(pairwise(widths))
        ]
        self.levels = nn.ModuleList(
            PyramidLevel(convolution, width, eps) for convolution, width in zip(convolutions, widths[1:], strict=True)
        )

    def forward(
        self, label_map: torch.Tensor, noise: torch.Tensor, noise_regions: torch.Tensor | None
    ) -> list[torch.Tensor]:
        """Return alpha at stride 1, 2, 4, ..."""
        hidden = self.stem(label_map, noise, noise_regions)
        maps = []
        for level in self.levels:
            hidden = level(hidden)
            maps.append(hidden)
        return maps


class Condition(nn.Module):
    """What the SPADE norms of a scale read (Eq. 2): alpha_i and alpha_0, enlarged once to its size.

    Args:
        concatenate: False leaves alpha_0 out.
    """

    def __init__(self, concatenate: bool) -> None:
        super().__init__()
        self.concatenate = concatenate

    def forward(self, alpha: torch.Tensor, coarsest: torch.Tensor) -> torch.Tensor:
        """Join (batch, channels, h, w) and the coarsest map."""
        if not self.concatenate:
            return alpha
        enlarged = F.interpolate(coarsest, size=alpha.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([enlarged, alpha], dim=1)


class DPGANGenerator(SemanticGenerator):
    """Two pyramids: one learns the condition from fine to coarse, SPADE blocks make the image from coarse to fine."""

    config_class = DPGANGeneratorConfig

    def __init__(self, config: DPGANGeneratorConfig) -> None:
        super().__init__(config)
        widths = config.widths
        self.pyramid = AdaptationPyramid(config)
        self.low_resolution_input = LabelNoiseConv2d(
            config.num_labels, config.noise_dim, widths[0], config.padding_mode != "zeros"
        )
        coarsest = config.pyramid_channels[-1] if config.concatenate_coarsest else 0
        self.blocks = nn.ModuleList(
            SpadeResidualBlock(
                before,
                after,
                partial(
                    SpadeNorm,
                    condition_channels=channels + coarsest,
                    padding_mode=padding,
                    eps=config.normalization_eps,
                ),
                config.spectral_norm,
                padding,
                config.texture_noise,
            )
            for (before, after), channels, padding in zip(
                pairwise(widths), config.pyramid_channels[:0:-1], config.block_padding_modes, strict=True
            )
        )
        self.condition = Condition(config.concatenate_coarsest)
        self.to_image = MirroredConv2d(widths[-1], 3, 3, padding=1, padding_mode=config.output_padding_mode)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_by_xavier(module, self.config.init_gain)

    def _inference_modules(self, dtype: torch.dtype) -> dict[str, nn.Module]:
        channels, finest = self.config.pyramid_channels[:0:-1], len(self.blocks) - 1
        return {
            "pyramid": InferenceAdaptationPyramid(self.pyramid, dtype),
            "low_resolution_input": LabelInput(self.low_resolution_input, dtype),
            "condition": PairedConditions(),
            "blocks": nn.ModuleList(
                InferenceBlock(block, dtype, width, map_first=False, fields=index == finest)
                for index, (block, width) in enumerate(zip(self.blocks, channels, strict=True))
            ),
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
        alphas = self.pyramid(label_map, noise, noise_regions)
        coarsest = alphas[-1]
        size = tuple(coarsest.shape[-2:])
        regions = None if noise_regions is None else resize_labels(noise_regions, size, centre=False)
        hidden = self.low_resolution_input(resize_labels(label_map, size, centre=False), noise, regions)
        for block, alpha, texture in zip(self.blocks, reversed(alphas), textures, strict=True):
            hidden = resize_features(hidden, alpha.shape[-2:], self.config.upsample_mode)
            hidden = block(hidden, self.condition(alpha, coarsest), texture)
        return F.leaky_relu(hidden, 0.2)


__all__ = ["DPGANGenerator"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Configurations of DP-GAN (Li et al., "Dual Pyramid Generative Adversarial Networks for Semantic Image Synthesis",
BMVC 2022). The defaults are the paper's (Tables 6 and 7 of its supplement) but for the image pyramid: Table 8 lists
five SPADE blocks; the released code has six, which have the parameters of the paper's Table 5 (69.5 M).
"""

from itertools import pairwise
from typing import Any

from .configuration_base import GeneratorConfig, spade_block_parameters
from .configuration_limits import PaddingMode
from .configuration_oasis import OASISDiscriminatorConfig


PAPER = (
    "dp-gan",
    "Li et al., *Dual Pyramid Generative Adversarial Networks for Semantic Image Synthesis*, BMVC 2022.",
)


class DPGANGeneratorConfig(GeneratorConfig):
    """Configuration of `DPGANGenerator` (Sec. 3.1, Tables 6 and 8).

    Args:
        num_labels: input classes, void included.
        image_size: (height, width) of training. Other multiples of 2 ** (scales - 1) work as well.
        void_label_id: which class is void, if any.
        noise_dim: channels of the 3D noise; 0 is a generator without noise.
        base_channels: multiplied by channel_multipliers it gives the image path's widths, coarse to fine.
        channel_multipliers: one more than there are scales.
        pyramid_channels: widths of the spatial adaptation learning pyramid: the first convolution, then alpha at
            stride 1, 2, 4, ... (Table 6: s, s_5 .. s_0); one more than there are scales.
        concatenate_coarsest: Eq. 2; False is "w/o cat" (supplement, Table 3).
        spectral_norm: on the convolutions of the SPADE blocks.
        normalization_eps: epsilon of the batch norms.
        padding_mode: of the 3x3 convolutions.
        output_padding_mode: at full resolution, where zeros leave a wrong border; None is padding_mode.
        upsample_mode: between SPADE blocks.
        texture_noise: white noise in the SPADE blocks (see `TextureNoise`); the paper has none.
        init_gain: Xavier gain of initial kernels without spectral norm (which would cancel it); not in the paper, 0.02
            as all its peers have it.
    """

    model_type = "dpgan-generator"
    paper = PAPER

    def __init__(
        self,
        num_labels: int | None = None,
        image_size: tuple[int, int] | list[int] = (256, 256),
        void_label_id: int | None = None,
        noise_dim: int = 64,
        base_channels: int = 64,
        channel_multipliers: list[int] | tuple[int, ...] = (16, 16, 16, 8, 4, 2, 1),
        pyramid_channels: list[int] | tuple[int, ...] = (32, 64, 64, 64, 64, 64, 64),
        concatenate_coarsest: bool = True,
        spectral_norm: bool = True,
        normalization_eps: float = 1e-5,
        padding_mode: PaddingMode = "zeros",
        output_padding_mode: PaddingMode | None = None,
        upsample_mode: str = "nearest",
        texture_noise: bool = False,
        init_gain: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.pyramid_channels = list(pyramid_channels)
        self.concatenate_coarsest = concatenate_coarsest
        self.init_gain = init_gain
        if len(pyramid_channels) != len(channel_multipliers):
            raise ValueError(
                f"pyramid_channels has {len(pyramid_channels)} widths and channel_multipliers "
                f"{len(channel_multipliers)}; give the first convolution's width and one per scale (as many as "
                "channel_multipliers)"
            )
        super().__init__(
            num_labels,
            void_label_id,
            image_size,
            noise_dim,
            base_channels,
            channel_multipliers,
            spectral_norm,
            normalization_eps,
            padding_mode,
            output_padding_mode,
            upsample_mode,
            texture_noise,
            **kwargs,
        )

    def parameter_estimate(self) -> int:
        """See `NamedClassesConfig.parameter_estimate`."""
        levels, coarsest = self.pyramid_channels, self.pyramid_channels[-1] * self.concatenate_coarsest
        total = 9 * (self.num_labels + self.noise_dim) * (levels[0] + self.widths[0]) + 27 * self.widths[-1]
        total += sum(9 * before * after for before, after in pairwise(levels))
        for (before, after), level in zip(pairwise(self.widths), levels[:0:-1], strict=True):
            total += spade_block_parameters(before, after, level + coarsest)
        return total


DPGANGeneratorConfig.presets = {
    "paper": {},
    "small": {
        "num_labels": 12,
        "image_size": (192, 256),
        "base_channels": 16,
        "channel_multipliers": (20, 20, 18, 10, 4, 2, 1),
        "pyramid_channels": (16, 16, 32, 64, 64, 64, 48),
    },
    "tiny": {
        "num_labels": 5,
        "image_size": (32, 64),
        "noise_dim": 8,
        "base_channels": 4,
        "channel_multipliers": (4, 4, 2, 2, 1),
        "pyramid_channels": (8, 8, 8, 8, 8),
    },
}


class DPGANDiscriminatorConfig(OASISDiscriminatorConfig):
    """Configuration of `DPGANDiscriminator` (Sec. 3.2, Table 7): the UNet of OASIS and patch heads.

    Args:
        num_labels, void_label_id, encoder_channels, decoder_channels, spectral_norm, init_gain: see
            `OASISDiscriminatorConfig`.
        patch_encoder_blocks: down blocks that a patch head reads, counted from 1 (Table 7: the fourth and the sixth).
        patch_decoder_blocks: up blocks that a patch head reads, counted from 1; Table 4(b) has a row with heads on the
            decoder, but does not say after which blocks.
        patch_channels: width of the heads.
    """

    model_type = "dpgan-discriminator"
    paper = PAPER

    def __init__(
        self,
        num_labels: int | None = None,
        void_label_id: int | None = None,
        encoder_channels: list[int] | tuple[int, ...] = (128, 128, 256, 256, 512, 512),
        decoder_channels: list[int] | tuple[int, ...] = (512, 256, 256, 128, 128, 64),
        patch_encoder_blocks: list[int] | tuple[int, ...] = (4, 6),
        patch_decoder_blocks: list[int] | tuple[int, ...] = (),
        patch_channels: int = 64,
        spectral_norm: bool = True,
        init_gain: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.patch_encoder_blocks = list(patch_encoder_blocks)
        self.patch_decoder_blocks = list(patch_decoder_blocks)
        self.patch_channels = patch_channels
        for name in ("patch_encoder_blocks", "patch_decoder_blocks"):
            wrong = [block for block in getattr(self, name) if not 1 <= block <= len(encoder_channels)]
            if wrong:
                raise ValueError(f"{name} names block {wrong[0]}; the blocks are 1 to {len(encoder_channels)}")
        super().__init__(
            num_labels, void_label_id, encoder_channels, decoder_channels, spectral_norm, init_gain, **kwargs
        )

    def parameter_estimate(self) -> int:
        """See `NamedClassesConfig.parameter_estimate`."""
        read = [self.encoder_channels[block - 1] for block in self.patch_encoder_blocks]
        read += [self.decoder_channels[block - 1] for block in self.patch_decoder_blocks]
        heads = sum(9 * self.patch_channels * (width + 3 * self.patch_channels + 1) for width in read)
        return super().parameter_estimate() + heads


DPGANDiscriminatorConfig.presets = {
    "paper": {},
    "small": {**OASISDiscriminatorConfig.presets["small"], "patch_encoder_blocks": (3, 5), "patch_channels": 32},
    "tiny": {**OASISDiscriminatorConfig.presets["tiny"], "patch_encoder_blocks": (2, 3), "patch_channels": 4},
}

__all__ = ["DPGANDiscriminatorConfig", "DPGANGeneratorConfig"]

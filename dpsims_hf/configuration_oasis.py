# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Configurations of OASIS (Schoenfeld et al., "You Only Need Adversarial Supervision for Semantic Image Synthesis",
ICLR 2021). The defaults are the paper's for ADE20K (Tables L and M of its appendix).
"""

from itertools import pairwise
from typing import Any

from .configuration_base import (
    GeneratorConfig,
    NamedClassesConfig,
    residual_block_parameters,
    spade_block_parameters,
)
from .configuration_limits import PaddingMode


PAPER = (
    "oasis",
    "Schönfeld et al., *You Only Need Adversarial Supervision for Semantic Image Synthesis*, ICLR 2021.",
)


class OASISGeneratorConfig(GeneratorConfig):
    """Configuration of `OASISGenerator` (Sec. 3.3, App. C.2).

    Args:
        num_labels: input classes, void included.
        image_size: (height, width) of training. Other multiples of 2 ** (scales - 1) work as well.
        void_label_id: which class is void, if any.
        noise_dim: channels of the 3D noise; 0 is the ablation "no 3D noise" (Table 3).
        base_channels: multiplied by channel_multipliers it gives the image path's widths, coarse to fine.
        channel_multipliers: one more than there are scales.
        spade_channels: hidden width of the SPADE norms.
        spectral_norm: on the convolutions of the SPADE blocks.
        normalization_eps: epsilon of the batch norms.
        padding_mode: of the 3x3 convolutions.
        output_padding_mode: at full resolution, where zeros leave a wrong border; None is padding_mode.
        upsample_mode: between SPADE blocks.
        texture_noise: white noise in the SPADE blocks (see `TextureNoise`); the paper has none.
        init_gain: Xavier gain of initial kernels without spectral norm (which would cancel it); not in the paper, 0.02
            as all its peers have it.
    """

    model_type = "oasis-generator"
    paper = PAPER

    def __init__(
        self,
        num_labels: int | None = None,
        image_size: tuple[int, int] | list[int] = (256, 256),
        void_label_id: int | None = None,
        noise_dim: int = 64,
        base_channels: int = 64,
        channel_multipliers: list[int] | tuple[int, ...] = (16, 16, 16, 8, 4, 2, 1),
        spade_channels: int = 128,
        spectral_norm: bool = True,
        normalization_eps: float = 1e-5,
        padding_mode: PaddingMode = "zeros",
        output_padding_mode: PaddingMode | None = None,
        upsample_mode: str = "nearest",
        texture_noise: bool = False,
        init_gain: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.spade_channels = spade_channels
        self.init_gain = init_gain
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
        inputs = 9 * (self.num_labels + self.noise_dim)
        total = inputs * self.widths[0] + 27 * self.widths[-1]
        for before, after in pairwise(self.widths):
            norms = 3 if before != after else 2
            total += norms * inputs * self.spade_channels + spade_block_parameters(before, after, self.spade_channels)
        return total


OASISGeneratorConfig.presets = {
    "paper": {},
    "small": {
        "num_labels": 12,
        "image_size": (192, 256),
        "base_channels": 16,
        "channel_multipliers": (16, 16, 16, 8, 4, 2, 1),
        "spade_channels": 32,
    },
    "tiny": {
        "num_labels": 5,
        "image_size": (32, 64),
        "noise_dim": 8,
        "base_channels": 4,
        "channel_multipliers": (4, 4, 2, 2, 1),
        "spade_channels": 8,
    },
}


class OASISDiscriminatorConfig(NamedClassesConfig):
    """Configuration of `OASISDiscriminator` (Sec. 3.2, App. C.1, Table L).

    Args:
        num_labels: input classes, void included; the network has one output more, "fake", the last.
        void_label_id: which class is void, if any.
        encoder_channels: widths of the down blocks, fine to coarse; each halves the resolution.
        decoder_channels: widths of the up blocks, coarse to fine, as many.
        spectral_norm: on the blocks' convolutions.
        init_gain: Xavier gain of initial kernels without spectral norm (which would cancel it); not in the paper, 0.02
            as all its peers have it.
    """

    model_type = "oasis-discriminator"
    paper = PAPER

    def __init__(
        self,
        num_labels: int | None = None,
        void_label_id: int | None = None,
        encoder_channels: list[int] | tuple[int, ...] = (128, 128, 256, 256, 512, 512),
        decoder_channels: list[int] | tuple[int, ...] = (512, 256, 256, 128, 128, 64),
        spectral_norm: bool = True,
        init_gain: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.encoder_channels = list(encoder_channels)
        self.decoder_channels = list(decoder_channels)
        self.spectral_norm = spectral_norm
        self.init_gain = init_gain
        if not encoder_channels or len(encoder_channels) != len(decoder_channels):
            raise ValueError(
                f"encoder_channels has {len(encoder_channels)} widths and decoder_channels {len(decoder_channels)}; "
                "give one up block per down block, and at least one"
            )
        super().__init__(num_labels, void_label_id, **kwargs)

    @property
    def size_divisor(self) -> int:
        """Height and width of every image are multiples of this."""
        return 2 ** len(self.encoder_channels)

    def parameter_estimate(self) -> int:
        """See `NamedClassesConfig.parameter_estimate`."""
        down, up = self.encoder_channels, self.decoder_channels
        total = sum(residual_block_parameters(before, after) for before, after in pairwise([3, *down]))
        for (before, after), skip in zip(pairwise([down[-1], *up]), [0, *reversed(down[:-1])], strict=True):
            total += residual_block_parameters(before + skip, after)
        return total + up[-1] * (self.num_labels + 1)


OASISDiscriminatorConfig.presets = {
    "paper": {},
    "small": {
        "num_labels": 12,
        "encoder_channels": (32, 32, 64, 96, 128),
        "decoder_channels": (128, 96, 64, 32, 16),
    },
    "tiny": {"num_labels": 5, "encoder_channels": (4, 4, 8), "decoder_channels": (8, 4, 4)},
}

__all__ = ["OASISDiscriminatorConfig", "OASISGeneratorConfig"]

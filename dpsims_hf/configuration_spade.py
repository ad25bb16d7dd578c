# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Configurations of SPADE (Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019),
as far as its followers describe it: "SPADE+" is the baseline of OASIS (Sec. 3.1 and 4 there). The defaults are its
sizes: with noise_dim=0 the generator has the parameters that OASIS (App. C.2) and DP-GAN (supplement, Table 5) print,
its style encoder those of OASIS App. C.2.
"""

from itertools import pairwise
from typing import Any

from .configuration_base import GeneratorConfig, NamedClassesConfig, spade_block_parameters
from .configuration_limits import PaddingMode
from .configuration_rules import Choice, Flag, Integer, Items


PAPER = (
    "spade",
    "Park et al., *Semantic Image Synthesis with Spatially-Adaptive Normalization*, CVPR 2019; as the baseline SPADE+ "
    "of Schönfeld et al., *You Only Need Adversarial Supervision for Semantic Image Synthesis*, ICLR 2021.",
)
NOISE_INJECTIONS = ("linear", "concat")
STYLE_MAP_SIDE = 4  # of the style encoder's last map, as the generator's first one has at 256x256


class SPADEGeneratorConfig(GeneratorConfig):
    """Configuration of `SPADEGenerator` (Park et al.; OASIS Sec. 3.1, 3.3).

    Args:
        num_labels: input classes, void included.
        image_size: (height, width) of training. Other multiples of 2 ** (scales - 1) work as well.
        void_label_id: which class is void, if any.
        noise_dim: length of the style or noise vector; 0 is the deterministic generator that OASIS compares with
            (Sec. 3.3), whose first map is a convolution of the label map.
        noise_injection: "linear": a linear layer makes the first map from the noise (Park et al.); "concat": 3D noise
            beside the label map in every norm, as OASIS adds it to SPADE+ (its Table 2).
        use_style_encoder: train an encoder that tells the noise of a photo, see `SPADEGenerator.encode_style`.
        style_encoder_channels: widths of its convolutions, each of which halves the resolution.
        base_channels: multiplied by channel_multipliers it gives the image path's widths, coarse to fine.
        channel_multipliers: one more than there are scales.
        spade_channels: hidden width of the SPADE norms.
        spectral_norm: on the convolutions of the SPADE blocks and of the style encoder.
        normalization_eps: epsilon of the batch norms.
        padding_mode: of the 3x3 convolutions.
        output_padding_mode: at full resolution, where zeros leave a wrong border; None is padding_mode.
        upsample_mode: between SPADE blocks.
        texture_noise: white noise in the SPADE blocks (see `TextureNoise`); the paper has none.
        init_gain: Xavier gain of initial kernels without spectral norm (which would cancel it); ours, as in the other
            families.
    """

    model_type = "spade-generator"
    paper = PAPER
    field_rules = {
        "noise_injection": Choice(NOISE_INJECTIONS),
        "use_style_encoder": Flag(),
        # Each halves the side of the encoder's input: 9 of them are 2048 pixels.
        "style_encoder_channels": Items(Integer(1, 8192), 1, 9),
    }

    def __init__(
        self,
        num_labels: int | None = None,
        image_size: tuple[int, int] | list[int] = (256, 256),
        void_label_id: int | None = None,
        noise_dim: int = 256,
        noise_injection: str = "linear",
        use_style_encoder: bool = False,
        style_encoder_channels: list[int] | tuple[int, ...] = (64, 128, 256, 512, 512, 512),
        base_channels: int = 64,
        channel_multipliers: list[int] | tuple[int, ...] = (16, 16, 16, 16, 8, 4, 2, 1),
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
        self.noise_injection = noise_injection
        self.use_style_encoder = use_style_encoder
        self.style_encoder_channels = list(style_encoder_channels)
        self.spade_channels = spade_channels
        self.init_gain = init_gain
        if use_style_encoder and not noise_dim:
            raise ValueError(
                "use_style_encoder=true needs noise to tell a photo's style in, but noise_dim=0; give noise_dim=256"
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

    @property
    def first_map_size(self) -> tuple[int, int]:
        """(height, width) of the image path's first map at the training size."""
        height, width = self.image_size
        return height // self.size_divisor, width // self.size_divisor

    @property
    def spread_noise_dim(self) -> int:
        """Channels of the 3D noise that the norms read; 0 without."""
        return self.noise_dim if self.noise_injection == "concat" else 0

    def parameter_estimate(self) -> int:
        """See `NamedClassesConfig.parameter_estimate`."""
        inputs = 9 * (self.num_labels + self.spread_noise_dim)
        total = 27 * self.widths[-1]
        if self.noise_dim and not self.spread_noise_dim:
            height, width = self.first_map_size
            total += self.noise_dim * self.widths[0] * height * width
        else:
            total += inputs * self.widths[0]
        for before, after in pairwise(self.widths):
            norms = 3 if before != after else 2
            total += norms * inputs * self.spade_channels + spade_block_parameters(before, after, self.spade_channels)
        if self.use_style_encoder:
            channels = self.style_encoder_channels
            total += sum(9 * before * after for before, after in pairwise([3, *channels]))
            total += 2 * self.noise_dim * channels[-1] * STYLE_MAP_SIDE**2
        return total


SPADEGeneratorConfig.presets = {
    "paper": {},
    "small": {
        "num_labels": 12,
        "image_size": (192, 256),
        "noise_dim": 64,
        "style_encoder_channels": (16, 32, 64, 64, 64),
        "base_channels": 16,
        "channel_multipliers": (16, 16, 16, 8, 4, 2, 1),
        "spade_channels": 32,
    },
    "tiny": {
        "num_labels": 5,
        "image_size": (32, 64),
        "noise_dim": 8,
        "style_encoder_channels": (4, 4, 8),
        "base_channels": 4,
        "channel_multipliers": (4, 4, 2, 2, 1),
        "spade_channels": 8,
    },
}


class SPADEDiscriminatorConfig(NamedClassesConfig):
    """Configuration of `SPADEDiscriminator` (OASIS Sec. 3.1): PatchGANs that read image and label map.

    Args:
        num_labels: input classes, void included.
        void_label_id: which class is void, if any.
        patch_scales: networks, each reading its input at half the resolution of the one before; 1 is the single-scale
            discriminator of OASIS Table 4.
        encoder_channels: widths of the hidden 4x4 convolutions of each network; all but the last halve the resolution.
        spectral_norm: on the convolutions.
        instance_norm: behind all hidden convolutions but the first.
        init_gain: Xavier gain of initial kernels without spectral norm (which would cancel it); ours, as in the other
            families.
    """

    model_type = "spade-discriminator"
    paper = PAPER
    field_rules = {
        "patch_scales": Integer(1, 6),
        "instance_norm": Flag(),
    }

    def __init__(
        self,
        num_labels: int | None = None,
        void_label_id: int | None = None,
        patch_scales: int = 2,
        encoder_channels: list[int] | tuple[int, ...] = (64, 128, 256, 512),
        spectral_norm: bool = True,
        instance_norm: bool = True,
        init_gain: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.patch_scales = patch_scales
        self.encoder_channels = list(encoder_channels)
        self.spectral_norm = spectral_norm
        self.instance_norm = instance_norm
        self.init_gain = init_gain
        if not encoder_channels:
            raise ValueError("encoder_channels is empty; give the width of one hidden convolution at least")
        super().__init__(num_labels, void_label_id, **kwargs)

    @property
    def size_divisor(self) -> int:
        """Height and width of every image are multiples of this: two pixels are left at the coarsest scale."""
        return 2**self.patch_scales

    def parameter_estimate(self) -> int:
        """See `NamedClassesConfig.parameter_estimate`."""
        widths = [3 + self.num_labels, *self.encoder_channels, 1]
        return self.patch_scales * sum(16 * before * after for before, after in pairwise(widths))


SPADEDiscriminatorConfig.presets = {
    "paper": {},
    "small": {"num_labels": 12, "encoder_channels": (32, 64, 128, 256)},
    "tiny": {"num_labels": 5, "encoder_channels": (4, 8, 8)},
}

__all__ = ["SPADEDiscriminatorConfig", "SPADEGeneratorConfig"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Configurations of DP-SIMS (Berrada et al., "Unlocking Pre-trained Image Backbones for Semantic Image Synthesis",
arXiv:2312.13314). Defaults are the paper's where it fixes a value; every value that it leaves open, and every
generator ablation of its Table 6, is a field here.
"""

from itertools import pairwise
from typing import Any

from .configuration_base import (
    GeneratorConfig,
    NamedClassesConfig,
    residual_block_parameters,
    spade_block_parameters,
)
from .configuration_limits import MAX_ATTENTION_POSITIONS, PaddingMode


PAPER = (
    "dp-sims",
    "Berrada et al., *Unlocking Pre-trained Image Backbones for Semantic Image Synthesis*, arXiv:2312.13314.",
)


class DPSIMSGeneratorConfig(GeneratorConfig):
    """Configuration of `DPSIMSGenerator` (Sec. 3.2, Fig. 3). The defaults are the paper size for ADE20K.

    Args:
        num_labels: input classes, void included.
        image_size: (height, width) of training. Other multiples of 2 ** (scales - 1) work as well.
        void_label_id: which class is void, if any.
        noise_dim: d_z.
        noise_tokens: n_k, tokens of w = MLP(z).
        noise_token_dim: d_w.
        noise_mlp_dim: hidden width of the three-layer mapping MLP.
        noise_injection: "cross_attention" (the paper), "concat" (Table 6 "w/o cross-attention": noise is concatenated
            with the label map, as in OASIS) or "none".
        attention_gate_init: initial eta of Eq. 2.
        use_self_attention: Table 6 "w/o self-attention".
        self_attention_gate_init: initial gate of the residual self-attention block.
        attention_resolution: attention stands at scales with at most attention_resolution ** 2 positions.
        attention_strides: strides with attention; None derives them from image_size and attention_resolution, once,
            and saves the answer: a network trained at one size keeps its blocks at another.
        pyramid_channels: widths of h_i from full resolution (stride 1) down.
        base_channels: multiplied by channel_multipliers it gives the image path's widths, coarse to fine.
        channel_multipliers: one more than there are scales.
        spectral_norm: on the convolutions of the SPADE blocks.
        padding_mode: padding of the 3x3 convolutions. Zeros tell the network where the border is; without that
            nothing breaks the symmetry inside a large region, and facades become stripes.
        output_padding_mode: padding at full resolution, where zeros leave a wrong border; None is padding_mode.
        upsample_mode: between SPADE blocks.
        texture_noise: white noise in the SPADE blocks (see `TextureNoise`); the paper has none.
        position_waves: fixed waves of the pixel position at the input (see `PositionCode`); 0 is the paper.
        normalization_eps: epsilon of the batch norms.
        use_instance_offsets: two more input channels (Sec. 4.1, COCO-Stuff and Cityscapes).
        low_resolution_offsets: with use_instance_offsets, they join the label map at the image path's low-resolution
            input too (Fig. 3: the two networks take one input); False as in checkpoints before 0.2.
    """

    model_type = "dpsims-generator"
    paper = PAPER

    def __init__(
        self,
        num_labels: int | None = None,
        image_size: tuple[int, int] | list[int] = (256, 256),
        void_label_id: int | None = None,
        noise_dim: int = 64,
        noise_tokens: int = 16,
        noise_token_dim: int = 64,
        noise_mlp_dim: int = 256,
        noise_injection: str = "cross_attention",
        attention_gate_init: float = 0.0,
        use_self_attention: bool = True,
        self_attention_gate_init: float = 0.0,
        attention_resolution: int = 64,
        attention_strides: list[int] | None = None,
        pyramid_channels: list[int] | tuple[int, ...] = (32, 64, 64, 64, 64, 64),
        base_channels: int = 64,
        channel_multipliers: list[int] | tuple[int, ...] = (16, 16, 16, 8, 4, 2, 1),
        spectral_norm: bool = True,
        padding_mode: PaddingMode = "zeros",
        output_padding_mode: PaddingMode | None = None,
        upsample_mode: str = "nearest",
        texture_noise: bool = False,
        position_waves: int = 0,
        normalization_eps: float = 1e-5,
        use_instance_offsets: bool = False,
        low_resolution_offsets: bool = False,
        **kwargs: Any,
    ) -> None:
        self.noise_tokens = noise_tokens
        self.noise_token_dim = noise_token_dim
        self.noise_mlp_dim = noise_mlp_dim
        self.noise_injection = noise_injection
        self.attention_gate_init = attention_gate_init
        self.use_self_attention = use_self_attention
        self.self_attention_gate_init = self_attention_gate_init
        self.attention_resolution = attention_resolution
        self.pyramid_channels = list(pyramid_channels)
        self.position_waves = position_waves
        self.use_instance_offsets = use_instance_offsets
        self.low_resolution_offsets = low_resolution_offsets
        self.attention_strides = None if attention_strides is None else list(attention_strides)
        self._validate(len(channel_multipliers) - 1, noise_dim)
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
        self._settle_attention()

    def _validate(self, scales: int, noise_dim: int) -> None:
        if noise_dim < 1:
            raise ValueError(f"noise_dim={noise_dim} must be at least 1; without noise set noise_injection='none'")
        if self.low_resolution_offsets and not self.use_instance_offsets:
            raise ValueError("low_resolution_offsets=True needs use_instance_offsets=True: there are no offsets else")
        if len(self.pyramid_channels) != scales:
            raise ValueError(
                f"pyramid_channels has {len(self.pyramid_channels)} widths but channel_multipliers describes {scales} "
                "scales; give one pyramid width per scale (one fewer than channel_multipliers)"
            )

    def _derived_strides(self) -> list[int]:
        height, width = self.image_size
        strides = [2**level for level in range(self.num_scales)]
        return [s for s in strides if (height // s) * (width // s) <= self.attention_resolution**2]

    def _settle_attention(self) -> None:
        height, width = self.image_size
        if self.attention_strides is None:
            self.attention_strides = self._derived_strides()
        for stride in self.attention_strides:
            if (height // stride) * (width // stride) > MAX_ATTENTION_POSITIONS:
                raise ValueError(
                    f"attention_strides holds {stride}: {height // stride}x{width // stride} positions at image_size="
                    f"{self.image_size}; attention is legal at up to {MAX_ATTENTION_POSITIONS:,}"
                )

    def parameter_estimate(self) -> int:
        """See `NamedClassesConfig.parameter_estimate`; attention counts at every scale."""
        levels, coarsest = self.pyramid_channels, self.pyramid_channels[-1]
        extra = 2 + self.noise_dim + self.position_waves
        total = 9 * self.num_labels * (levels[0] + self.widths[0]) + 9 * extra * levels[0] + 27 * self.widths[-1]
        total += self.noise_mlp_dim * (self.noise_dim + self.noise_mlp_dim + self.noise_tokens * self.noise_token_dim)
        total += sum(15 * width**2 + 2 * width * self.noise_token_dim for width in levels)
        total += sum(9 * before * after for before, after in pairwise(levels))
        for (before, after), level in zip(pairwise(self.widths), reversed(levels), strict=True):
            total += spade_block_parameters(before, after, level + coarsest)
        return total


DPSIMSGeneratorConfig.presets = {
    "paper": {},
    # Wide where an image has few positions, slim at full resolution: the parameters cost little time there.
    "small": {
        "num_labels": 12,
        "image_size": (192, 256),
        "base_channels": 16,
        "channel_multipliers": (20, 20, 18, 10, 4, 2, 1),
        "pyramid_channels": (16, 32, 64, 64, 64, 48),
    },
    "tiny": {
        "num_labels": 5,
        "image_size": (32, 64),
        "noise_dim": 8,
        "noise_tokens": 4,
        "noise_token_dim": 8,
        "noise_mlp_dim": 16,
        "attention_strides": [4, 8],
        "base_channels": 4,
        "channel_multipliers": (4, 4, 2, 2, 1),
        "pyramid_channels": (8, 8, 8, 8),
    },
}


class DPSIMSDiscriminatorConfig(NamedClassesConfig):
    """Configuration of `DPSIMSDiscriminator` (Sec. 3.1, Fig. 2).

    Args:
        num_labels: input classes, void included; the network has one output more, "fake", the last.
        void_label_id: which class is void, if any.
        backbone: a timm name that `timm.create_model(..., features_only=True)` knows.
        backbone_kwargs: architecture switches of timm, for instance {"pad_type": "same"}; which ones are legal says
            `configuration_limits.BACKBONE_SWITCHES`.
        backbone_out_indices: feature levels; None takes all that timm offers.
        backbone_mean, backbone_std: input normalisation of the weights, for images in [0, 1]; None asks timm's record
            of the named weights.
        feature_conditioning: one of the six rows of Table 5: "none", "ccm_csm" (Projected GAN),
            "batchnorm_ccm_csm", "no_sigmoid", "no_batchnorm", "full".
        decoder_channels: widths from the deepest level upwards, one per doubling of resolution.
        full_resolution_channels: width of the trainable path at full resolution (two residual blocks).
        spectral_norm: on the decoder's and the full-resolution path's convolutions.
        backbone_in_checkpoint: whether the saved weights hold the frozen backbone; set by `save_pretrained`.
    """

    model_type = "dpsims-discriminator"
    paper = PAPER

    def __init__(
        self,
        num_labels: int | None = None,
        void_label_id: int | None = None,
        backbone: str = "convnext_large.fb_in22k_ft_in1k_384",
        backbone_kwargs: dict[str, Any] | None = None,
        backbone_out_indices: list[int] | tuple[int, ...] | None = None,
        backbone_mean: list[float] | tuple[float, ...] | None = None,
        backbone_std: list[float] | tuple[float, ...] | None = None,
        feature_conditioning: str = "full",
        decoder_channels: list[int] | tuple[int, ...] = (512, 256, 256, 128, 128, 64),
        full_resolution_channels: int = 64,
        spectral_norm: bool = True,
        backbone_in_checkpoint: bool = False,
        **kwargs: Any,
    ) -> None:
        self.backbone = backbone
        self.backbone_kwargs = dict(backbone_kwargs or {})
        self.backbone_out_indices = None if backbone_out_indices is None else list(backbone_out_indices)
        self.backbone_mean = None if backbone_mean is None else list(backbone_mean)
        self.backbone_std = None if backbone_std is None else list(backbone_std)
        self.feature_conditioning = feature_conditioning
        self.decoder_channels = list(decoder_channels)
        self.full_resolution_channels = full_resolution_channels
        self.spectral_norm = spectral_norm
        self.backbone_in_checkpoint = backbone_in_checkpoint
        super().__init__(num_labels, void_label_id, **kwargs)

    def parameter_estimate(self) -> int:
        """See `NamedClassesConfig.parameter_estimate`; what the decoder reads of the backbone is not counted."""
        full, widths = self.full_resolution_channels, self.decoder_channels or [0]
        decoder = sum(residual_block_parameters(before, after) for before, after in pairwise([0, *widths]))
        return decoder + 9 * full * widths[-1] + 27 * full + 27 * full**2 + widths[-1] * (self.num_labels + 1)


DPSIMSDiscriminatorConfig.presets = {
    "paper": {},
    "small": {
        "num_labels": 12,
        "backbone": "mobilenetv2_100",
        "decoder_channels": (192, 128, 96, 64, 48, 32),
        "full_resolution_channels": 16,
    },
    "tiny": {
        "num_labels": 5,
        "backbone": "test_resnet",  # timm's own network for tests
        "decoder_channels": (16, 16, 8, 8, 8, 8),
        "full_resolution_channels": 4,
    },
}

__all__ = ["DPSIMSDiscriminatorConfig", "DPSIMSGeneratorConfig"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Residual blocks modulated by a condition map (after Park et al., "Semantic Image Synthesis with Spatially-Adaptive
Normalization", 2019). In DP-GAN and DP-SIMS gamma and beta are one 3x3 convolution of learned maps; in OASIS the label
map and the noise are embedded first.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm as add_spectral_norm
from transformers import initialization as init

from .configuration_limits import PaddingMode
from .layers_checkpointing import CheckpointedBlock
from .layers_noise import LabelNoiseConv2d
from .layers_padding import MirroredConv2d
from .layers_texture import TextureNoise


def maybe_spectral_norm(module: nn.Module, enabled: bool) -> nn.Module:
    """Wrap a convolution in spectral norm (Miyato et al., 2018) if enabled."""
    return add_spectral_norm(module) if enabled else module


def init_spectral_norm(module: nn.Module) -> bool:
    """Initialise the parts that spectral norm adds to a model (for `_init_weights`); False if it is no such part.

    transformers asks this also for what a checkpoint lacks; vectors that it holds are left alone.
    """
    if isinstance(module, parametrize.ParametrizationList):
        original: Any = module.original
        init.kaiming_normal_(original, a=0.2, nonlinearity="leaky_relu")
        return True
    if type(module).__name__ != "_SpectralNorm":
        return False
    vectors: Any = (module._u, module._v)
    for vector in vectors:
        if not getattr(vector, "_is_hf_initialized", False):
            init.normal_(vector)
            vector.div_(vector.norm())
    return True


class SpadeNorm(nn.Module):
    """batch_norm(x) * (1 + gamma) + beta, with gamma and beta computed from the condition map.

    Args:
        num_features: channels of x.
        condition_channels: channels of the condition.
        padding_mode: of the 3x3 convolution.
        eps: of the batch norm.
    """

    def __init__(
        self, num_features: int, condition_channels: int, padding_mode: PaddingMode = "zeros", eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features, eps=eps, affine=False)
        # gamma and beta in one convolution: one pass over the condition instead of two.
        self.gamma_beta = MirroredConv2d(condition_channels, 2 * num_features, 3, padding=1, padding_mode=padding_mode)

    def forward(self, hidden: torch.Tensor, condition: Any) -> torch.Tensor:
        """Normalise `hidden` (batch, num_features, h, w) by `condition` (batch, condition_channels, h, w)."""
        gamma, beta = self.gamma_beta(condition).chunk(2, dim=1)
        return torch.addcmul(beta, self.norm(hidden), 1 + gamma)


class LabelSpadeNorm(SpadeNorm):
    """SPADE norm whose condition is the label map and 3D noise themselves: a 3x3 convolution and ReLU embed them.

    Args:
        num_features: channels of x.
        num_labels: classes.
        noise_dim: channels of the noise.
        hidden_channels: width of the embedding.
        padding_mode: of the 3x3 convolutions.
        eps: of the batch norm.
    """

    def __init__(
        self,
        num_features: int,
        num_labels: int,
        noise_dim: int,
        hidden_channels: int = 128,
        padding_mode: PaddingMode = "zeros",
        eps: float = 1e-5,
    ) -> None:
        super().__init__(num_features, hidden_channels, padding_mode, eps)
        self.embedding = LabelNoiseConv2d(num_labels, noise_dim, hidden_channels, padding_mode != "zeros")

    def forward(
        self, hidden: torch.Tensor, condition: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
    ) -> torch.Tensor:
        """Normalise `hidden` (batch, num_features, h, w) by (label_map, noise, noise_regions) of the same h, w."""
        return super().forward(hidden, F.relu(self.embedding(*condition)))


class SpadeResidualBlock(CheckpointedBlock):
    """Two SPADE-normalised convolutions and a learned shortcut where the width changes.

    Args:
        in_channels, out_channels: widths.
        make_norm: makes the SPADE norm of a width.
        spectral_norm: on the three convolutions of the block.
        padding_mode: of the 3x3 convolutions.
        texture_noise: add white noise before the norms.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        make_norm: Callable[[int], SpadeNorm],
        spectral_norm: bool = True,
        padding_mode: PaddingMode = "zeros",
        texture_noise: bool = False,
    ) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)

        def conv(inputs: int, outputs: int) -> nn.Module:
            return maybe_spectral_norm(
                MirroredConv2d(inputs, outputs, 3, padding=1, padding_mode=padding_mode), spectral_norm
            )

        self.texture_0 = TextureNoise(in_channels) if texture_noise else None
        self.texture_1 = TextureNoise(middle) if texture_noise else None
        self.norm_0 = make_norm(in_channels)
        self.conv_0 = conv(in_channels, middle)
        self.norm_1 = make_norm(middle)
        self.conv_1 = conv(middle, out_channels)
        self.has_shortcut = in_channels != out_channels
        if self.has_shortcut:
            self.norm_s = make_norm(in_channels)
            self.conv_s = maybe_spectral_norm(nn.Conv2d(in_channels, out_channels, 1, bias=False), spectral_norm)

    def forward(self, hidden: torch.Tensor, condition: Any, texture: torch.Tensor | None = None) -> torch.Tensor:
        """Map (batch, in_channels, h, w) to (batch, out_channels, h, w) under the norms' condition at h, w.

        `texture` is white noise (1 or batch, 1, h, w), for a block with texture noise.
        """
        if self.texture_0 is not None:
            hidden = self.texture_0(hidden, texture)
        shortcut = self.conv_s(self.norm_s(hidden, condition)) if self.has_shortcut else hidden
        hidden = self.conv_0(F.leaky_relu(self.norm_0(hidden, condition), 0.2))
        if self.texture_1 is not None:
            hidden = self.texture_1(hidden, texture)
        hidden = self.conv_1(F.leaky_relu(self.norm_1(hidden, condition), 0.2))
        return shortcut + hidden


__all__ = ["LabelSpadeNorm", "SpadeNorm", "SpadeResidualBlock", "init_spectral_norm", "maybe_spectral_norm"]

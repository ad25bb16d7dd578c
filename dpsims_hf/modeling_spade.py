# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The SPADE generator (Park et al., CVPR 2019), as OASIS describes its baseline SPADE+ (Sec. 3.1, 3.3, App. C.2):
seven SPADE blocks whose norms read the label map. Written from these descriptions.
"""

import copy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .configuration_spade import STYLE_MAP_SIDE, SPADEGeneratorConfig
from .layers_inference_blocks import InferenceBlock
from .layers_inference_convolution import PackedConv2d
from .layers_inference_pyramids import LabelInput
from .layers_label import resize_features, resize_labels
from .layers_noise import LabelNoiseConv2d, noise_map
from .layers_padding import MirroredConv2d
from .layers_spade import LabelSpadeNorm, SpadeResidualBlock, maybe_spectral_norm
from .modeling_base import SemanticGenerator, init_by_xavier
from .modeling_checks import check_images
from .modeling_outputs import GeneratorOutput


class Style(NamedTuple):
    """A normal law of noise vectors that tells the style of photos.

    Args:
        mean: (batch, noise_dim); what to give as `noise` for the photos' style.
        log_variance: (batch, noise_dim).
    """

    mean: torch.Tensor
    log_variance: torch.Tensor


@dataclass
class StyledOutput(GeneratorOutput):
    """What a generator returns that was shown photos whose style to take.

    Args:
        images, features: see `GeneratorOutput`.
        style_mean, style_log_variance: see `Style`.
    """

    style_mean: torch.Tensor | None = None
    style_log_variance: torch.Tensor | None = None


class StyleEncoder(nn.Module):
    """A photo to the law of its noise vector: convolutions of stride 2, then a linear layer for each of its two parts.

    Args:
        config: of the generator.
    """

    def __init__(self, config: SPADEGeneratorConfig) -> None:
        super().__init__()
        widths = config.style_encoder_channels
        self.side = STYLE_MAP_SIDE * 2 ** len(widths)
        layers: list[nn.Module] = []
        for before, after in pairwise([3, *widths]):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [maybe_spectral_norm(convolution, config.spectral_norm), nn.InstanceNorm2d(after)]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        inputs = widths[-1] * STYLE_MAP_SIDE**2
        self.mean = nn.Linear(inputs, config.noise_dim)
        self.log_variance = nn.Linear(inputs, config.noise_dim)

    def forward(self, pixel_values: torch.Tensor) -> Style:
        """The law for photos (batch, 3, height, width) of any size in [-1, 1]."""
        resized = F.interpolate(pixel_values, size=(self.side, self.side), mode="bilinear", align_corners=False)
        hidden = self.layers(resized.to(self.mean.weight.dtype)).flatten(1)
        return Style(self.mean(hidden), self.log_variance(hidden))


class NoiseGrid(nn.Module):
    """The first map of the image path from noise: a linear layer, as kernels of each place of the map.

    For other sizes than that of training the kernels are interpolated. With several noise vectors each place obeys
    that of its region (ours); one vector is the paper's linear layer.

    Args:
        noise_dim: length of a noise vector.
        channels: of the map.
        size: (height, width) of the map at the training size.
    """

    def __init__(self, noise_dim: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, noise_dim, *size))
        self.bias = nn.Parameter(torch.zeros(channels, *size))

    def forward(self, noise: torch.Tensor, noise_regions: torch.Tensor | None, size: tuple[int, int]) -> torch.Tensor:
        """(batch, channels, *size) of noise (batch, regions, noise_dim) and the map (batch, *size) of its regions."""
        if noise_regions is None:
            maps = torch.einsum("bd,cdhw->bchw", noise[:, 0], self.weight) + self.bias
            return self._resized(maps, size)
        kernels = self._resized(self.weight.flatten(0, 1)[None], size).view(*self.weight.shape[:2], *size)
        maps = torch.einsum("bdhw,cdhw->bchw", noise_map(noise, noise_regions), kernels)
        return maps + self._resized(self.bias[None], size)

    @staticmethod
    def _resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        # Also to the same size, where it changes nothing: a graph for any size cannot ask.
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


class InferenceNoiseGrid(NoiseGrid):
    """A `NoiseGrid` whose result has another number type.

    Args:
        grid: whose weights are copied, as float32.
        dtype: of the result.
    """

    def __init__(self, grid: NoiseGrid, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.dtype = dtype
        for name in ("weight", "bias"):
            self.register_buffer(name, getattr(grid, name).detach().float().clone(), persistent=False)

    def forward(self, noise: torch.Tensor, noise_regions: torch.Tensor | None, size: tuple[int, int]) -> torch.Tensor:
        """As `NoiseGrid`, computed in float32."""
        return super().forward(noise.float(), noise_regions, size).to(self.dtype)


class SPADEGenerator(SemanticGenerator):
    """SPADE blocks from coarse to fine; the label map conditions every norm at its own resolution.

    The first map comes from the noise, or from the label map where there is none (see `noise_dim`).
    """

    config_class = SPADEGeneratorConfig

    def __init__(self, config: SPADEGeneratorConfig) -> None:
        super().__init__(config)
        widths, spread = config.widths, config.spread_noise_dim
        make_norm = partial(
            LabelSpadeNorm,
            num_labels=config.num_labels,
            noise_dim=spread,
            hidden_channels=config.spade_channels,
            eps=config.normalization_eps,
        )
        self.noise_grid = self.low_resolution_input = self.style_encoder = None
        if config.noise_dim and not spread:
            self.noise_grid = NoiseGrid(config.noise_dim, widths[0], config.first_map_size)
        else:
            self.low_resolution_input = LabelNoiseConv2d(
                config.num_labels, spread, widths[0], config.padding_mode != "zeros"
            )
        if config.use_style_encoder:
            self.style_encoder = StyleEncoder(config)
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
        if isinstance(module, NoiseGrid):
            init.normal_(module.weight, std=module.weight.shape[1] ** -0.5)  # a map of variance 1
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.xavier_normal_(module.weight, gain=self.config.init_gain)
            init.zeros_(module.bias)
        else:
            init_by_xavier(module, self.config.init_gain)

    def _inference_modules(self, dtype: torch.dtype) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {
            "blocks": nn.ModuleList(InferenceBlock(block, dtype) for block in self.blocks),
            "to_image": PackedConv2d.of(self.to_image, dtype),
        }
        if self.noise_grid is not None:
            modules["noise_grid"] = InferenceNoiseGrid(self.noise_grid, dtype)
        if self.low_resolution_input is not None:
            modules["low_resolution_input"] = LabelInput(self.low_resolution_input, dtype)
        if self.style_encoder is not None:
            modules["style_encoder"] = copy.deepcopy(self.style_encoder)
        return modules

    def encode_style(self, pixel_values: torch.Tensor) -> Style:
        """The law of noise vectors for the style of photos; its mean, given as `noise`, paints in that style.

        Args:
            pixel_values: (batch, 3, height, width) in [-1, 1], of any size.

        Raises:
            ValueError: for a generator without an encoder, or something that is no batch of photos.
        """
        if self.style_encoder is None:
            raise ValueError(
                "this generator has no style encoder; train one with generator.use_style_encoder=true, or find noise "
                "by the pipeline's match_style"
            )
        check_images(pixel_values, 1)
        return self.style_encoder(pixel_values)

    def forward(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor | None = None,
        noise_regions: torch.Tensor | None = None,
        instance_offsets: torch.Tensor | None = None,
        texture_seed: int | torch.Tensor = 0,
        output_features: bool = False,
        return_dict: bool = True,
        style_images: torch.Tensor | None = None,
    ) -> GeneratorOutput | tuple[torch.Tensor, ...]:
        """Generate images, see `SemanticGenerator.forward`.

        Args:
            label_map, noise, noise_regions, instance_offsets, texture_seed, output_features, return_dict: see there.
            style_images: (batch, 3, height, width) in [-1, 1], photos whose style to take: `noise` is then a draw of
                N(0, I) that chooses among the vectors of `encode_style`, and the output is a `StyledOutput`.

        Raises:
            ValueError: as there, and as `encode_style`.
        """
        others = (instance_offsets, texture_seed, output_features)
        if style_images is None:
            return super().forward(label_map, noise, noise_regions, *others, return_dict)
        self._check_inputs(label_map, noise, noise_regions, instance_offsets)
        style = self.encode_style(style_images)
        if len(style.mean) != len(label_map):
            raise ValueError(
                f"style_images has {len(style.mean)} photos for {len(label_map)} label maps; give as many"
            )
        noise = self.sample_noise(len(label_map)) if noise is None else noise
        mean, deviation = style.mean, (0.5 * style.log_variance).exp()
        if noise.ndim == 3:
            mean, deviation = mean[:, None], deviation[:, None]
        made: Any = super().forward(label_map, mean + deviation * noise.to(mean.dtype), noise_regions, *others)
        output = StyledOutput(made.images, made.features, *style)
        return output if return_dict else output.to_tuple()

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
            regions = None if noise_regions is None else resize_labels(noise_regions, size, centre=False)
            condition = (resize_labels(label_map, size, centre=False), noise, regions)
            if hidden is not None:
                hidden = resize_features(hidden, size, self.config.upsample_mode)
            elif self.noise_grid is not None:
                hidden = self.noise_grid(noise, regions, size)
            elif self.low_resolution_input is not None:  # one of the two is there
                hidden = self.low_resolution_input(*condition)
            hidden = block(hidden, condition, texture)
        assert hidden is not None  # there is a block
        return F.leaky_relu(hidden, 0.2)


__all__ = ["SPADEGenerator", "Style", "StyledOutput"]

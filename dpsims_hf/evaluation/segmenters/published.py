# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The papers' segmenters from their original checkpoint files, with the rules of their original evaluation.

The files are pickles of other projects: they are read as tensors alone (`weights_only=True`), and must hold all
tensors of the network that is meant.
"""

import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...data.specs import load_label_preset
from ..features import file_sha256
from .published_networks import DRND105, DeepLabV2, UperNet101
from .segmenter import SIZE_DIVISOR, Segmenter


MAX_BYTES = 4 * 2**30  # of a file; the largest of the three has 0.4 GB


@dataclass(frozen=True)
class Published:
    """How a network is used where its number in the papers comes from.

    Args:
        network: class count -> the network.
        preset: label space that names its classes, void left out.
        files: what `--segmenter` takes.
        parts: prefix -> start of the name of the file with these tensors, where there are several files.
        mean, std: of its inputs, for images in [0, 255].
        bgr: channels in this order.
        sizes: short sides in pixels that its inputs are brought to; () takes `scales`.
        scales: of the images' own size.
        rule: how scores of several inputs are joined: "softmax", "log_softmax" (means) or "logits" (one input).
        source: paper or program.
    """

    network: Callable[[int], nn.Module]
    preset: str
    files: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rule: str
    source: str
    parts: tuple[tuple[str, str], ...] = ()
    bgr: bool = False
    sizes: tuple[int, ...] = ()
    scales: tuple[float, ...] = (1.0,)


def _of_255(*values: float) -> tuple[float, ...]:
    return tuple(255 * value for value in values)


PUBLISHED = {
    "upernet101": Published(
        UperNet101,
        "ade20k",
        "the folder with encoder_*.pth and decoder_*.pth (CSAIL's baseline-resnet101-upernet)",
        _of_255(0.485, 0.456, 0.406),
        _of_255(0.229, 0.224, 0.225),
        "softmax",
        "UperNet-101 of OASIS, DP-GAN and DP-SIMS; inputs of short sides 300 to 600, as its own program",
        parts=(("encoder.", "encoder"), ("decoder.", "decoder")),
        sizes=(300, 375, 450, 525, 600),
    ),
    "drn_d_105": Published(
        DRND105,
        "cityscapes_train_ids",
        "drn-d-105_ms_cityscapes.pth",
        _of_255(0.290101, 0.328081, 0.286964),
        _of_255(0.182954, 0.186566, 0.184475),
        "log_softmax",
        "multi-scale DRN-D-105 of OASIS, DP-GAN and DP-SIMS, at the generated images' size and five scales of it",
        scales=(1.0, 0.5, 0.75, 1.25, 1.5, 1.75),
    ),
    "deeplab_v2": Published(
        DeepLabV2,
        "coco_stuff",
        "deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        (104.008, 116.669, 122.675),
        (1.0, 1.0, 1.0),
        "logits",
        "DeepLabV2 of OASIS and DP-SIMS, at the generated images' size",
        bgr=True,
    ),
}
# Names in checkpoints of other versions, or wrapped for several processes -> ours.
PREFIXES = ("module.", "base.")
RENAMED = {".proj.": ".shortcut.", "aspp.stages.": "aspp."}
LARGEST_SIDE = 1000  # of UperNet's inputs


class PublishedSegmenter(Segmenter):
    """A segmenter of the papers.

    Args:
        kind: a key of `PUBLISHED`.
        source: the original checkpoint's file, or its folder where there are several.

    Raises:
        ValueError: no such file, or one that does not hold this network's tensors; the first fault is named.
    """

    def __init__(self, kind: str, source: str | os.PathLike) -> None:
        self.published = published = PUBLISHED[kind]
        spec = load_label_preset(published.preset)
        names = [name for label, name in enumerate(spec.labels) if label != spec.void_label_id]
        files = _files(published, Path(source))
        network = published.network(len(names))
        _load(network, files)
        facts = {
            "scores": f"{published.rule}, over {len(published.sizes or published.scales)} input sizes",
            "architecture": type(network).__name__,
            "weights": ", ".join(file.name for file in files.values()),
            "weights_sha256": ", ".join(file_sha256(file) for file in files.values()),
        }
        super().__init__(kind, names, None, facts)
        self.network = network.requires_grad_(False)
        self.train(False)

    def scores(self, values: torch.Tensor) -> Iterator[torch.Tensor]:
        """Scores per image, see `Segmenter.scores`."""
        size = tuple(values.shape[-2:])
        for image in values.split(1):
            inputs = [self._input(image, side) for side in self._sides(size)]
            joined = [self._joined(self.network(pixels), size) for pixels in inputs]
            yield torch.stack(joined).mean(dim=0)[0]

    def _sides(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of the inputs."""
        if not self.published.sizes:
            return [tuple(int(side * scale) for side in size) for scale in self.published.scales]
        factors = (min(short / min(size), LARGEST_SIDE / max(size)) for short in self.published.sizes)
        return [tuple(-(-int(side * factor) // SIZE_DIVISOR) * SIZE_DIVISOR for side in size) for factor in factors]

    def _input(self, image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if size != tuple(image.shape[-2:]):
            image = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
        pixels = 255 * (image.flip(1) if self.published.bgr else image)
        mean, std = (
            pixels.new_tensor(numbers).view(1, 3, 1, 1) for numbers in (self.published.mean, self.published.std)
        )
        return (pixels - mean) / std

    def _joined(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """What is averaged over the inputs, at one size."""
        if self.published.rule == "log_softmax":
            logits = logits.log_softmax(dim=1)
        resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return resized.softmax(dim=1) if self.published.rule == "softmax" else resized


def _files(published: Published, source: Path) -> dict[str, Path]:
    """Prefix of the tensors -> file."""
    if not published.parts:
        found = {"": [source] if source.is_file() else []}
    else:
        found = {prefix: sorted(source.glob(f"{start}*.pth")) for prefix, start in published.parts}
    for prefix, files in found.items():
        if len(files) != 1:
            what = f"{len(files)} files {dict(published.parts)[prefix]}*.pth" if prefix else "no such file"
            raise ValueError(f"--segmenter {source}: {what}; give {published.files}")
        if files[0].stat().st_size > MAX_BYTES:
            raise ValueError(f"{files[0]}: larger than {MAX_BYTES / 2**30:g} GB: this is not {published.files}")
    return {prefix: files[0] for prefix, files in found.items()}


def _load(network: nn.Module, files: dict[str, Path]) -> None:
    own = network.state_dict()
    state: dict[str, torch.Tensor] = {}
    for prefix, file in files.items():
        state |= {f"{prefix}{name}": tensor for name, tensor in _tensors(file, own, prefix).items()}
    for name, tensor in own.items():
        if name.endswith("num_batches_tracked"):  # files before 2018 have none, and it is not used
            state[name] = tensor
        elif name not in state or state[name].shape != tensor.shape:
            has = f"has shape {tuple(state[name].shape)}" if name in state else "is missing"
            names = ", ".join(file.name for file in files.values())
            raise ValueError(f"{names}: {name} {has}, not {tuple(tensor.shape)}: not the weights of this network")
    network.load_state_dict({name: state[name] for name in own})


def _tensors(file: Path, own: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Tensors of a file under the network's names."""
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{file}: not a checkpoint of tensors alone ({reason})") from None
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(torch.is_tensor(value) for value in content.values()):
        raise ValueError(f"{file}: not a checkpoint of named tensors")
    return {_own_name(str(name), own, prefix): tensor for name, tensor in content.items()}


def _own_name(name: str, own: dict[str, torch.Tensor], prefix: str) -> str:
    for before, after in RENAMED.items():
        name = name.replace(before, after)
    for wrapping in PREFIXES:
        if f"{prefix}{name}" not in own:
            name = name.removeprefix(wrapping)
    return name


__all__ = ["PUBLISHED", "PublishedSegmenter"]

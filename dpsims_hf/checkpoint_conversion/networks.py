# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights of the original OASIS and DP-GAN programs (`.pth`) -> networks of this package.

All sizes are read off the tensors, and every tensor of a file must find its place. Two things stand in another order
in the originals: noise channels come before label channels, and the discriminator's "fake" is the first logit.
"""

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from .. import DPGANDiscriminator, DPGANGenerator, OASISDiscriminator, OASISGenerator
from ..configuration_rules import Choice
from ..modeling_base import SemanticGenerator


StateDict = Mapping[str, torch.Tensor]
FAMILIES: dict[str, tuple[Any, Any]] = {
    "oasis": (OASISGenerator, OASISDiscriminator),
    "dpgan": (DPGANGenerator, DPGANDiscriminator),
}
NOISE_DIM = 64  # of all published weights
PATCH_BLOCKS = (4, 6)  # the down blocks that the originals' patch heads read

# Our tensor names -> the originals', by substitutions made one after the other.
NAMES: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = (
    (r"^to_image", "conv_img"),
    (r"^low_resolution_input", "fc"),
    (r"^blocks", "body"),
    (r"\.(norm_.)\.norm", r".\1.first_norm"),
    (r"\.embedding", ".mlp_shared.0"),
    (r"\.(labels|noise)\.", "."),  # there, one convolution over both
    (r"^pyramid\.stem", "seg_pyrmid.0"),
    (r"^pyramid\.levels\.(\d+)", lambda match: f"seg_pyrmid.{int(match[1]) + 1}"),
    (r"^(seg_pyrmid\.\d+)\.convolution", r"\1.0"),
    (r"^(seg_pyrmid\.\d+)\.norm", r"\1.1"),
    (r"^encoder\.0\.conv_0", "body_down.0.conv1.0"),
    (r"^encoder\.(\d+)\.conv_0", r"body_down.\1.conv1.1"),
    (r"^decoder\.(\d+)\.conv_0", r"body_up.\1.conv1.2"),
    (r"^(encoder|decoder)\.(\d+)\.conv_1", r"\1.\2.conv2.1"),
    (r"^encoder", "body_down"),
    (r"^decoder", "body_up"),
    (r"^classifier", "layer_up_last"),
    (r"^patch_heads", "dis"),
    (r"\.parametrizations\.weight\.original$", ".weight_orig"),
    (r"\.parametrizations\.weight\.0\._([uv])$", r".weight_\1"),
)


def load_original(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict: names and tensors, or those under "state_dict" or "model"; no code in the file is run.

    The prefix "module." of a network saved inside DataParallel is dropped.

    Raises:
        ValueError: for a file that is missing, no torch file, holds anything but tensors, or asks for more memory than
            it has bytes.
    """
    _check_archive(Path(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except Exception as error:  # other formats and damaged files raise anything
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"needs {named[1]}, and loading it could run code" if named else "no torch file, or a damaged one"
        raise ValueError(f"{path}: {reason}; save the network's state_dict() alone, by torch.save") from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and key in content:
            content = content[key]
    content = content if isinstance(content, dict) else {"the content": content}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise ValueError(f"{path}: {str(name)[:80]!r} is {kind}, no tensor; save the state_dict() alone")
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(
                f"{path}: {str(name)[:80]!r} of shape {tuple(value.shape)} has more numbers than the file holds; save "
                "it contiguous"
            )
    prefix = "module." if all(str(name).startswith("module.") for name in content) else ""
    return {str(name).removeprefix(prefix): value.detach() for name, value in content.items()}


def _check_archive(path: Path) -> None:
    """Refuse what would be waited for, and what unpacks to far more than it is: torch packs nothing.

    Raises:
        ValueError: one line that names the file.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: no file, but a pipe or a device")
    try:
        with zipfile.ZipFile(path) as archive:
            packed = next((entry for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED), None)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # of an older form, or damaged
        return
    if packed is not None:
        raise ValueError(f"{path}: {packed.filename[:80]!r} in it is packed, as torch.save never does; save it anew")


def convert_generator(
    family: str,
    state_dict: StateDict,
    num_labels: int | None = None,
    noise_dim: int | None = None,
    image_size: tuple[int, int] = (256, 256),
    **names: Any,
) -> SemanticGenerator:
    """Make our generator from an original's state dict; it makes the same images.

    Args:
        family: "oasis" or "dpgan".
        state_dict: the original's, see `load_original`.
        num_labels: classes, void included; None is what the noise leaves of the input channels.
        noise_dim: channels of the 3D noise; None is what the classes leave, or 64 if these are unknown as well.
        image_size: (height, width) of training.
        names: `id2label` and `void_label_id`, for the config.

    Returns:
        The generator in eval mode, with spectral norm where the original has it.

    Raises:
        ValueError: for tensors that are missing, left over or of another shape, and numbers that contradict them.
    """
    Choice(tuple(FAMILIES)).check("family", family)
    labels, noise = _split_input(_shape(state_dict, "fc.weight")[1], num_labels, noise_dim)
    weight, blocks = _weight_name(state_dict), _count(state_dict, "body")
    widths = [_shape(state_dict, f"body.{block}.conv_0.{weight}")[1] for block in range(blocks)]
    widths.append(_shape(state_dict, f"body.{blocks - 1}.conv_1.{weight}")[0])
    base = widths[-1] if all(width % widths[-1] == 0 for width in widths) else 1
    if family == "oasis":
        sizes: dict[str, Any] = {"spade_channels": _shape(state_dict, "body.0.norm_0.mlp_shared.0.weight")[0]}
    else:
        pyramid = [_shape(state_dict, f"seg_pyrmid.{level}.0.weight")[0] for level in range(blocks + 1)]
        condition = _shape(state_dict, "body.0.norm_0.mlp_gamma.weight")[1]
        sizes = {"pyramid_channels": pyramid, "concatenate_coarsest": condition != pyramid[-1]}
    config = FAMILIES[family][0].config_class(
        num_labels=labels,
        image_size=image_size,
        noise_dim=noise,
        base_channels=base,
        channel_multipliers=[width // base for width in widths],
        spectral_norm=weight != "weight",
        **sizes,
        **names,
    )
    return _filled(FAMILIES[family][0], config, state_dict)


def convert_discriminator(
    family: str, state_dict: StateDict, num_labels: int | None = None, **names: Any
) -> OASISDiscriminator:
    """Make our discriminator from an original's state dict; "fake" moves from the first logit to the last.

    Arguments and errors are those of `convert_generator`; `num_labels` None takes the classes that it has.
    """
    Choice(tuple(FAMILIES)).check("family", family)
    labels = _shape(state_dict, "layer_up_last.weight")[0] - 1
    if num_labels not in (None, labels):
        raise ValueError(
            f"the discriminator has {labels} classes, not {num_labels}; give another --label_preset or --num_labels"
        )
    weight, blocks = _weight_name(state_dict), range(_count(state_dict, "body_down"))
    sizes: dict[str, Any] = {}
    if family == "dpgan":
        sizes["patch_channels"] = _shape(state_dict, "dis.0.0.weight")[0]
        sizes["patch_encoder_blocks"] = PATCH_BLOCKS
    config = FAMILIES[family][1].config_class(
        num_labels=labels,
        encoder_channels=[_shape(state_dict, f"body_down.{block}.conv2.1.{weight}")[0] for block in blocks],
        decoder_channels=[_shape(state_dict, f"body_up.{block}.conv2.1.{weight}")[0] for block in blocks],
        spectral_norm=weight != "weight",
        **sizes,
        **names,
    )
    return _filled(FAMILIES[family][1], config, state_dict)


def _shape(state: StateDict, name: str, dims: int = 4) -> tuple[int, ...]:
    """Shape of a tensor; a kernel's is (out_channels, in_channels, height, width)."""
    if name not in state:
        raise ValueError(f"tensor {name} is missing: the file is cut short, or of another program or family")
    shape = tuple(state[name].shape)
    if 0 in shape:
        raise ValueError(f"tensor {name} has shape {shape}, and so no values; take another file")
    if len(shape) != dims:
        raise ValueError(f"tensor {name} has shape {shape}; expected are {dims} dimensions")
    return shape


def _count(state: StateDict, blocks: str) -> int:
    return max(1, len({name.split(".")[1] for name in state if name.startswith(f"{blocks}.")}))


def _weight_name(state: StateDict) -> str:
    """What the kernels under spectral norm are called; a file may have it removed already."""
    return "weight_orig" if any(name.endswith(".weight_orig") for name in state) else "weight"


def _split_input(channels: int, num_labels: int | None, noise_dim: int | None) -> tuple[int, int]:
    """How many of a generator's input channels are classes, and how many are noise."""
    if num_labels is None:
        noise_dim = NOISE_DIM if noise_dim is None else noise_dim
        num_labels = max(1, channels - noise_dim)
    elif noise_dim is None:
        noise_dim = max(0, channels - num_labels)
    if num_labels < 1 or noise_dim < 0 or num_labels + noise_dim != channels:
        raise ValueError(
            f"the generator has {channels} input channels, not {num_labels} (classes) + {noise_dim} (noise); give the "
            "--label_preset or --num_labels, or the --noise_dim, that it was trained with"
        )
    return num_labels, noise_dim


def _filled(model_class: type[PreTrainedModel], config: Any, state: StateDict) -> Any:
    with torch.random.fork_rng(devices=[]):  # what a new model draws is all replaced
        model = model_class(config).eval()
    sources = {name: _sources(name) for name in model.state_dict()}
    _check_tensors(model.state_dict(), sources, state)
    noise_dim = getattr(config, "noise_dim", 0)
    model.load_state_dict({name: _value(name, sources[name], state, noise_dim) for name in sources})
    return model


def _sources(name: str) -> tuple[str, ...]:
    """The original tensors of which our tensor `name` is made."""
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    halves = ("mlp_gamma", "mlp_beta") if ".gamma_beta." in name else ("gamma_beta",)
    return tuple(name.replace("gamma_beta", half) for half in halves)


def _check_tensors(ours: StateDict, sources: dict[str, tuple[str, ...]], state: StateDict) -> None:
    """Compare an original with what it must be to fill our tensors."""
    expected: dict[str, list[int]] = {}
    for name, originals in sources.items():
        for original in originals:
            shape = list(ours[name].shape)
            shape[:1] = [side // len(originals) for side in shape[:1]]
            if original in expected:  # label and noise channels of one convolution
                shape[1] += expected[original][1]
            expected[original] = shape
    for name, shape in expected.items():
        if name in state and list(state[name].shape) != shape:
            raise ValueError(f"tensor {name} has shape {tuple(state[name].shape)}; expected is {tuple(shape)}")
        _shape(state, name, len(shape))
    for name in state:
        if name not in expected:
            raise ValueError(f"tensor {name} has no place in the network: the file is of another program or family")


def _value(name: str, sources: tuple[str, ...], state: StateDict, noise_dim: int) -> torch.Tensor:
    """Our tensor `name`."""
    value = torch.cat([state[source] for source in sources]) if len(sources) > 1 else state[sources[0]]
    if name.endswith(".noise.weight"):
        return value[:, :noise_dim]
    if name.endswith(".labels.weight"):
        return value[:, noise_dim:]
    return value.roll(-1, dims=0) if name.startswith("classifier.") else value


__all__ = ["FAMILIES", "convert_discriminator", "convert_generator", "load_original"]

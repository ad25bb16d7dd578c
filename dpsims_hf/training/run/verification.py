# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Whether a run can go on from a checkpoint folder: its files are those that were written, and hold usable values."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from accelerate.utils.other import load as load_pickle
from safetensors import SafetensorError, safe_open

from ...modeling_checkpoint_files import check_header_length
from .manifest import STATE_FOLDER, has_manifest, manifest_problem


PROGRESS_FILE = "progress.json"
NAME = re.compile(r"checkpoint-(\d+)")
# A progress file with this says that a manifest lies beside it; checkpoints of older versions have neither.
MANIFEST_MARK = "has_manifest"
NEEDED = (
    "config.json",
    "preprocessor_config.json",
    "model.safetensors",
    f"{STATE_FOLDER}/generator.safetensors",
    f"{STATE_FOLDER}/optimizer.bin",
    f"{STATE_FOLDER}/optimizer_1.bin",
)
MAX_RANDOM_BYTES = 2**20  # of a process's random states, which have some 15 kilobytes
BROKEN_TENSORS = (
    *(SafetensorError, RuntimeError, EOFError, UnpicklingError, OSError),
    *(ValueError, LookupError, TypeError, AttributeError),  # a pickle of something else
)


def read_progress(folder: Path) -> dict[str, Any]:
    """What a checkpoint knows about its run.

    Raises:
        ValueError: the file is missing or is no progress of this checkpoint; one line that names it.
    """
    name = f"{STATE_FOLDER}/{PROGRESS_FILE}"
    path = folder / STATE_FOLDER / PROGRESS_FILE
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{name} is missing")
    try:
        progress = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise ValueError(f"{name} cannot be read as JSON") from None
    if not isinstance(progress, dict):
        raise ValueError(f"{name} holds no progress of a run")
    for key, is_needed in (("step", True), ("ema_updates", True), ("samples_seen", False), ("processes", False)):
        value = progress.get(key)
        if (is_needed or key in progress) and (type(value) is not int or value < 0):
            raise ValueError(f"{name}: {key} is {json.dumps(value)[:40]}, not a count")
        if value is not None and value >= 2**63:
            raise ValueError(f"{name}: {key} is {json.dumps(value)[:40]}, more than any run has")
    options = progress.get("options")
    for key in ("training.batch_size", "training.gradient_accumulation_steps"):
        if not isinstance(options, dict) or type(options.get(key)) is not int:
            raise ValueError(f"{name} holds no options with a {key}")
    if not isinstance(progress.get("data", {}), dict):
        raise ValueError(f"{name} holds no options, or no position in the data")
    found = NAME.fullmatch(folder.name)
    if found and int(found.group(1)) != progress["step"]:
        raise ValueError(f"{name} is about step {progress['step']}, not about {folder.name}")
    return progress


def checkpoint_problem(folder: Path) -> str | None:
    """Why no run can go on from this folder, naming the file; None if one can."""
    try:
        if has_manifest(folder):
            problem = manifest_problem(folder)
            if problem:
                return problem
        progress = read_progress(folder)
        if progress.get(MANIFEST_MARK) and not has_manifest(folder):
            return f"{STATE_FOLDER}/manifest.json is missing"
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            return f"{missing[0]} is missing"
        return tensor_problem(folder) or _random_problem(folder, progress.get("processes", 1))
    except ValueError as error:
        return str(error)


def tensor_problem(folder: Path) -> str | None:
    """The first weight, statistic or moment of an optimizer that is not finite, or a file of them that is broken or
    empty.
    """
    for path in sorted([*folder.rglob("*.safetensors"), *(folder / STATE_FOLDER).glob("optimizer*.bin")]):
        name = path.relative_to(folder).as_posix()
        if not path.is_file():
            return f"{name} is no file"
        is_empty, bad = True, None
        try:
            for key, tensor in _tensors(path):
                is_empty = False
                if not is_finite(tensor):
                    bad = key
                    break
        except BROKEN_TENSORS as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            return f"{name} cannot be read ({reason})"
        if is_empty and path.suffix == ".safetensors":
            return f"{name} holds no tensors"
        if bad is not None:
            return f"{name}: {bad} is not finite"
    return None


def _random_problem(folder: Path, processes: int) -> str | None:
    """The first of the processes' random states that would not be restored: accelerate passes over them in silence."""
    for process in range(processes):
        name = f"{STATE_FOLDER}/random_states_{process}.pkl"
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        try:
            if path.stat().st_size > MAX_RANDOM_BYTES:
                raise ValueError(f"it has {path.stat().st_size:,} bytes")
            states = load_pickle(path)
            random.Random().setstate(states["random_state"])
            np.random.RandomState().set_state(states["numpy_random_seed"])
            torch.Generator().set_state(states["torch_manual_seed"])
        except BROKEN_TENSORS as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            return f"{name} holds no random states ({reason})"
    return None


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    if path.suffix == ".safetensors":
        check_header_length(path)
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - no dict
                yield key, file.get_tensor(key)
    else:
        yield from state_tensors(torch.load(path, map_location="cpu", weights_only=True))


def state_tensors(state: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """The moments in an optimizer's state dict, by "parameter.moment"; LookupError if it is none."""
    if not isinstance(state["param_groups"], list) or not state["param_groups"]:
        raise LookupError("it has no groups of parameters")
    for parameter, moments in state["state"].items():
        for key, value in moments.items():
            if torch.is_tensor(value):
                yield f"{parameter}.{key}", value


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether all values are; integers always are."""
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


__all__ = [
    "MANIFEST_MARK",
    "NAME",
    "PROGRESS_FILE",
    "checkpoint_problem",
    "is_finite",
    "read_progress",
    "state_tensors",
    "tensor_problem",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Training checkpoints: each `checkpoint-STEP` folder is a loadable model folder (the averaged generator at its root)
with a `training_state` beside it that continues the run exactly. Written aside, flushed to the disk and renamed when
complete: whenever a run is killed, what stands under a checkpoint's name is whole. What happens to it later, its
manifest tells (verification.py): a run goes on from a checkpoint that is as it was written.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ...hub import save_model_folder
from ...pipeline_checkpoint_folder import read_checkpoint_json
from ..ema import ExponentialMovingAverage
from .label_transfer import ClassMatch, transferred
from .manifest import STATE_FOLDER, has_manifest, manifest_problem, sync, write_manifest
from .run_folder import clean_up, find_checkpoint, list_checkpoints, remove, replaced_name, set_newer_aside
from .verification import MANIFEST_MARK, PROGRESS_FILE, is_finite, read_progress, state_tensors, tensor_problem


logger = get_logger(__name__)
DATA_FILE = "data.json"  # what identifies the files that the run is trained on


class CheckpointError(OSError):
    """A checkpoint could not be written; the older ones are as they were."""


class CheckpointStore:
    """Saves and restores everything a run is made of.

    Args:
        accelerator: has prepared the networks and optimizers, in the order given by `modules`.
        output_dir: of the run.
        modules: live networks by name: "generator", "discriminator", maybe "projection".
        ema: the averaged generator.
        include_backbone: also store the discriminator's frozen weights (when they cannot be loaded again).
        total_limit: keep so many checkpoints; 0 keeps all.
        data: what identifies the data (data_identity.py), stored with every checkpoint.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        output_dir: str | os.PathLike,
        modules: dict[str, nn.Module],
        ema: ExponentialMovingAverage,
        include_backbone: bool = False,
        total_limit: int = 2,
        data: dict[str, Any] | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.output_dir = Path(output_dir)
        self.modules = modules
        self.ema = ema
        self.include_backbone = include_backbone
        self.total_limit = total_limit
        self.data = data
        accelerator.register_save_state_pre_hook(self._save_hook)
        accelerator.register_load_state_pre_hook(self._load_hook)

    def save(
        self,
        published: nn.Module,
        processor: Any,
        progress: dict[str, Any],
        card: str,
        weights: list[nn.Module],
        optimizers: list[torch.optim.Optimizer],
        pictures: dict[str, Path],
    ) -> Path:
        """Write `checkpoint-STEP` (all processes call this; the main one writes the models).

        Args:
            published: the averaged generator with refreshed statistics.
            processor: the image processor.
            progress: "step" (finished steps) and whatever else `load` shall give back, JSON-serialisable.
            card: text of the README.md.
            weights: what must be finite to be worth keeping.
            optimizers: whose moments must be, too.
            pictures: name beside the card -> file.

        Raises:
            CheckpointError: on all processes, if something could not be written; older checkpoints are untouched and
                nothing of this one is left.
            FloatingPointError: on all processes, if a weight or a moment of an optimizer is not finite; nothing is
                written.
        """
        self._check_finite([*weights, published], optimizers, progress["step"])
        target = self.output_dir / f"checkpoint-{progress['step']}"
        aside = self.output_dir / f".{target.name}.incomplete"
        problem = None
        if self.accelerator.is_main_process:
            problem = _attempt(self._write_models, aside, published, processor, card, pictures)
        self.accelerator.wait_for_everyone()
        problem = problem or _attempt(self.accelerator.save_state, str(aside / STATE_FOLDER))
        self._agree(problem, aside, target)
        if self.accelerator.is_main_process:
            problem = _attempt(self._put_in_place, aside, target, progress)
        self._agree(problem, aside, target)
        return target

    def _check_finite(self, weights: list[nn.Module], optimizers: list[torch.optim.Optimizer], step: int) -> None:
        bad = [name for name in gather_object([first_not_finite(weights, optimizers)]) if name]
        if bad:
            raise FloatingPointError(
                f"step {step}: {bad[0]} is not finite, so it is not saved; lower the learning rate, clip gradients "
                "(--set training.max_grad_norm=1) or train in float32 (--mixed_precision no)"
            )

    def _write_models(
        self, aside: Path, published: nn.Module, processor: Any, card: str, pictures: dict[str, Path]
    ) -> None:
        remove(aside)
        save_model_folder(
            aside,
            published,
            processor,
            discriminator=self._unwrapped("discriminator"),
            include_backbone=self.include_backbone,
            card=card,
        )
        for name, file in pictures.items():
            shutil.copyfile(file, aside / name)

    def _put_in_place(self, aside: Path, target: Path, progress: dict[str, Any]) -> None:
        """The moment at which the checkpoint comes to be is one rename; all of it is on the disk by then."""
        progress = {**progress, "ema_updates": self.ema.updates, MANIFEST_MARK: True}
        (aside / STATE_FOLDER / PROGRESS_FILE).write_text(json.dumps(progress, indent=1))
        if self.data is not None:
            (aside / STATE_FOLDER / DATA_FILE).write_text(json.dumps(self.data))
        write_manifest(aside)
        if target.exists():  # of an earlier attempt at this step; it comes back if this is killed in between
            os.replace(target, replaced_name(target))
        os.replace(aside, target)
        sync(self.output_dir)
        remove(replaced_name(target))
        self._prune()

    def _agree(self, problem: str | None, aside: Path, target: Path) -> None:
        """Raise everywhere if there is a problem somewhere, and leave no partial checkpoint."""
        problems = [text for text in gather_object([problem]) if text]
        if problems:
            if self.accelerator.is_main_process:
                remove(aside)
                remove(aside.with_name(f".{aside.name}.partial"))
            self.accelerator.wait_for_everyone()
            raise CheckpointError(f"{target.name} could not be written to {self.output_dir}: {problems[0]}")

    def load(self, folder: Path) -> dict[str, Any]:
        """Restore networks, averages and optimizers; returns what `save` stored as progress."""
        progress = read_progress(folder)
        self.accelerator.load_state(str(folder / STATE_FOLDER))
        averaged = load_file(folder / "model.safetensors")
        _load_exactly(self.ema.model, averaged, folder / "model.safetensors")
        self.ema.updates = progress["ema_updates"]
        return progress

    def load_weights(self, folder: Path, classes: Mapping[str, str] | None = None) -> list[str]:
        """Start a new run from weights: fresh optimizers, step 0. Its classes may be other ones (label_transfer.py).

        Args:
            folder: a run's `checkpoint-STEP`, or a model folder; one with a discriminator gives that too.
            classes: {the run's class: the checkpoint's class it starts from}, where the names differ.

        Returns:
            Names of parameters that the folder lacks; they keep their initial values.
        """
        if not (folder / "model.safetensors").is_file():
            raise ValueError(f"{folder} holds no model.safetensors; give a checkpoint folder")
        problem = (manifest_problem(folder) if has_manifest(folder) else None) or tensor_problem(folder)
        if problem is not None:
            raise ValueError(f"{folder} is not as it was written: {problem}; start from another folder")
        stored = read_checkpoint_json(str(folder), "config.json").get("id2label") or {}
        labels = self.ema.model.config.id2label
        match = ClassMatch(_names(labels), _names(stored) or _names(labels), classes or {})
        if not match.identical:
            logger.info("%s", match)
        new = []
        for name, module in self.modules.items():
            file = self._weights_file(folder / STATE_FOLDER, name)
            if name == "generator" and not file.is_file():
                file = folder / "model.safetensors"  # a published folder has the averaged generator only
            if file.is_file():
                network = self._unwrapped(name)
                new += _load_exactly(network, transferred(network, load_file(file), match), file, ignore="")
            else:
                new += [f"{name}.{key}" for key in module.state_dict()]
        average = transferred(self.ema.model, load_file(folder / "model.safetensors"), match)
        new += _load_exactly(self.ema.model, average, folder, ignore="")
        return sorted({name for name in new if not name.startswith("backbone.")})

    @staticmethod
    def _weights_file(state_folder: Path, name: str) -> Path:
        if name == "discriminator":  # complete in the model folder itself
            return state_folder.parent / name / "model.safetensors"
        return state_folder / f"{name}.safetensors"

    def _unwrapped(self, name: str) -> nn.Module:
        return self.accelerator.unwrap_model(self.modules[name], keep_torch_compile=False)

    def _save_hook(self, models: list[nn.Module], weights: list[dict], output_dir: str) -> None:
        # accelerate would write every state dict, the frozen backbone's among them; the files below are all we need.
        weights.clear()
        if not self.accelerator.is_main_process:
            return
        for name in self.modules:
            if name != "discriminator":  # that one is complete in the model folder itself
                state = {key: value.contiguous() for key, value in self._unwrapped(name).state_dict().items()}
                save_file(state, os.path.join(output_dir, f"{name}.safetensors"))

    def _load_hook(self, models: list[nn.Module], input_dir: str) -> None:
        models.clear()
        for name in self.modules:
            file = self._weights_file(Path(input_dir), name)
            _load_exactly(self._unwrapped(name), load_file(file), file, ignore="backbone.")

    def _prune(self) -> None:
        if self.total_limit:
            for old in list_checkpoints(self.output_dir)[: -self.total_limit]:
                leaving = old.with_name(f".{old.name}.removed")  # under its own name it is whole or not there
                os.replace(old, leaving)
                remove(leaving)


def first_not_finite(networks: list[nn.Module], optimizers: list[torch.optim.Optimizer] = ()) -> str | None:
    """Name of the first weight, statistic or moment of an optimizer that is NaN or infinite."""
    for network in networks:
        for name, tensor in network.state_dict().items():
            if not is_finite(tensor):
                return f"{name} of {type(network).__name__}"
    for index, optimizer in enumerate(optimizers):
        for name, tensor in state_tensors(optimizer.state_dict()):
            if not is_finite(tensor):
                return f"{name} of optimizer {index}"
    return None


def _attempt(write: Callable, *arguments: Any) -> str | None:
    """Run what writes; the first line of its error, or None. torch and safetensors have errors of their own."""
    try:
        write(*arguments)
    except (OSError, RuntimeError, SafetensorError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def _names(id2label: dict) -> tuple[str, ...]:
    return tuple(str(id2label[key]) for key in sorted(id2label, key=int))


def _load_exactly(
    model: nn.Module, state: dict[str, torch.Tensor], file: Path, ignore: str | None = None
) -> list[str]:
    """Load a state dict; everything must fit, but names that start with `ignore` may be absent. Returns the absent."""
    own = model.state_dict()
    shapes = [key for key, value in state.items() if key in own and own[key].shape != value.shape]
    if shapes:
        before, now = tuple(state[shapes[0]].shape), tuple(own[shapes[0]].shape)
        raise ValueError(
            f"{file}: {shapes[0]} is {before}, this run's networks have {now}; use the same sizes and classes"
        )
    result = model.load_state_dict(state, strict=False)
    missing = [key for key in result.missing_keys if ignore is None or not key.startswith(ignore)]
    wrong = missing + list(result.unexpected_keys)
    if wrong:
        raise ValueError(
            f"{file} does not fit this run's networks (first difference: {wrong[0]!r}); use the options that made it "
            "(a run's stand in training_state/progress.json; weights with folded spectral norm need "
            "generator.spectral_norm=false, or discriminator.spectral_norm=false)"
        )
    return list(result.missing_keys)


__all__ = [
    "CheckpointError",
    "CheckpointStore",
    "clean_up",
    "find_checkpoint",
    "first_not_finite",
    "list_checkpoints",
    "set_newer_aside",
]

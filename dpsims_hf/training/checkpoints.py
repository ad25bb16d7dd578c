"""Training checkpoints: each `checkpoint-STEP` folder is a loadable model folder (the averaged generator at its root)
with a `training_state` beside it that continues the run exactly. Written aside, flushed to the disk and renamed when
complete: whenever a run is killed, what stands under a checkpoint's name is whole.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..hub import save_model_folder
from .ema import ExponentialMovingAverage


STATE_FOLDER = "training_state"
PROGRESS_FILE = "progress.json"  # written last: a folder that has it is complete
_NAME = re.compile(r"checkpoint-(\d+)")


class CheckpointError(OSError):
    """A checkpoint could not be written; the older ones are as they were."""


def list_checkpoints(output_dir: str | os.PathLike) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    folders = [path for path in Path(output_dir).glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    complete = [path for path in folders if _is_complete(path)]
    return sorted(complete, key=_step_of)


def _is_complete(path: Path) -> bool:
    return (path / STATE_FOLDER / PROGRESS_FILE).is_file()


def _step_of(path: Path) -> int:
    return int(_NAME.fullmatch(path.name).group(1))


def find_checkpoint(output_dir: str | os.PathLike, wanted: str) -> Path | None:
    """The folder to resume from.

    Args:
        output_dir: of the run.
        wanted: "latest", a path, or the name of a checkpoint in `output_dir`.

    Returns:
        The folder; None for "latest" in a run that has none yet.

    Raises:
        ValueError: if a named checkpoint does not exist or is incomplete, listing those that do.
    """
    present = list_checkpoints(output_dir)
    if wanted == "latest":
        return present[-1] if present else None
    for candidate in (Path(wanted), Path(output_dir) / wanted):
        if _is_complete(candidate):
            return candidate
    names = ", ".join(path.name for path in present) or "none"
    raise ValueError(f"no checkpoint {wanted!r}; complete checkpoints in {output_dir}: {names}")


class CheckpointStore:
    """Saves and restores everything a run is made of.

    Args:
        accelerator: has prepared the networks and optimizers, in the order given by `modules`.
        output_dir: of the run.
        modules: live networks by name: "generator", "discriminator", maybe "projection".
        ema: the averaged generator.
        include_backbone: also store the discriminator's frozen weights (when they cannot be loaded again).
        total_limit: keep so many checkpoints; 0 keeps all.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        output_dir: str | os.PathLike,
        modules: dict[str, nn.Module],
        ema: ExponentialMovingAverage,
        include_backbone: bool = False,
        total_limit: int = 2,
    ) -> None:
        self.accelerator = accelerator
        self.output_dir = Path(output_dir)
        self.modules = modules
        self.ema = ema
        self.include_backbone = include_backbone
        self.total_limit = total_limit
        accelerator.register_save_state_pre_hook(self._save_hook)
        accelerator.register_load_state_pre_hook(self._load_hook)

    def save(
        self,
        published: nn.Module,
        processor: Any,
        progress: dict[str, Any],
        card: str,
        weights: list[nn.Module],
        pictures: dict[str, Path],
    ) -> Path:
        """Write `checkpoint-STEP` (all processes call this; the main one writes the models).

        Args:
            published: the averaged generator with refreshed statistics.
            processor: the image processor.
            progress: "step" (finished steps) and whatever else `load` shall give back, JSON-serialisable.
            card: text of the README.md.
            weights: what must be finite to be worth keeping.
            pictures: name beside the card -> file.

        Raises:
            CheckpointError: on all processes, if something could not be written; older checkpoints are untouched and
                nothing of this one is left.
            FloatingPointError: on all processes, if a weight is not finite; nothing is written.
        """
        self._check_weights(weights, progress["step"])
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

    def _check_weights(self, weights: list[nn.Module], step: int) -> None:
        bad = [name for name in gather_object([first_not_finite(weights)]) if name]
        if bad:
            raise FloatingPointError(
                f"step {step}: {bad[0]} is not finite, so it is not saved; lower the learning rate, clip gradients "
                "(--set training.max_grad_norm=1) or train in float32 (--mixed_precision no)"
            )

    def _write_models(
        self, aside: Path, published: nn.Module, processor: Any, card: str, pictures: dict[str, Path]
    ) -> None:
        _remove(aside)
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
        progress = {**progress, "ema_updates": self.ema.updates}
        (aside / STATE_FOLDER / PROGRESS_FILE).write_text(json.dumps(progress, indent=1))
        sync_folder(aside)
        if target.exists():  # of an earlier attempt at this step; it comes back if this is killed in between
            os.replace(target, _replaced(target))
        os.replace(aside, target)
        _sync(self.output_dir)
        _remove(_replaced(target))
        self._prune()

    def _agree(self, problem: str | None, aside: Path, target: Path) -> None:
        """Raise everywhere if there is a problem somewhere, and leave no partial checkpoint."""
        problems = [text for text in gather_object([problem]) if text]
        if problems:
            if self.accelerator.is_main_process:
                _remove(aside)
                _remove(aside.with_name(f".{aside.name}.partial"))
            self.accelerator.wait_for_everyone()
            raise CheckpointError(f"{target.name} could not be written to {self.output_dir}: {problems[0]}")

    def load(self, folder: Path) -> dict[str, Any]:
        """Restore networks, averages and optimizers; returns what `save` stored as progress."""
        progress = json.loads((folder / STATE_FOLDER / PROGRESS_FILE).read_text())
        self.accelerator.load_state(str(folder / STATE_FOLDER))
        averaged = load_file(folder / "model.safetensors")
        _load_exactly(self.ema.model, averaged, folder / "model.safetensors")
        self.ema.updates = progress["ema_updates"]
        return progress

    def load_weights(self, folder: Path) -> list[str]:
        """Start a new run from weights: fresh optimizers, step 0.

        Args:
            folder: a run's `checkpoint-STEP`, or a model folder with a discriminator whose weights are not folded.

        Returns:
            Names of parameters that the folder lacks; they keep their initial values.
        """
        if not (folder / "model.safetensors").is_file():
            raise ValueError(f"{folder} holds no model.safetensors; give a checkpoint folder")
        new = []
        for name, module in self.modules.items():
            file = self._weights_file(folder / STATE_FOLDER, name)
            if name == "generator" and not file.is_file():
                file = folder / "model.safetensors"  # a published folder has the averaged generator only
            if file.is_file():
                new += _load_exactly(self._unwrapped(name), load_file(file), file, ignore="")
            else:
                new += [f"{name}.{key}" for key in module.state_dict()]
        new += _load_exactly(self.ema.model, load_file(folder / "model.safetensors"), folder, ignore="")
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
                _remove(leaving)


def clean_up(output_dir: str | os.PathLike) -> list[str]:
    """What a run that was killed while it saved has left behind: removed, or put back where nothing replaced it.

    Returns:
        Names of the removed folders.
    """
    removed = []
    for path in sorted(Path(output_dir).glob(".*checkpoint-*")):
        target = path.with_name(path.name.removeprefix(".").removesuffix(".replaced"))
        if path == _replaced(target) and not target.exists():
            os.replace(path, target)
        elif path.is_dir():
            _remove(path)
            removed.append(path.name)
    return removed


def set_newer_aside(folder: Path) -> list[str]:
    """Rename the checkpoints that are newer than the one a run goes back to: they are no longer part of it.

    Returns:
        The new names; neither "latest" nor the total limit knows them.
    """
    renamed = []
    for path in list_checkpoints(folder.parent):
        if _NAME.fullmatch(folder.name) and _step_of(path) > _step_of(folder):
            target = path.with_name(f"abandoned-{path.name}")
            _remove(target)
            os.replace(path, target)
            renamed.append(target.name)
    return renamed


def first_not_finite(networks: list[nn.Module]) -> str | None:
    """Name of the first weight or statistic that is NaN or infinite."""
    for network in networks:
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                return f"{name} of {type(network).__name__}"
    return None


def sync_folder(folder: Path) -> None:
    """Wait until a folder's files and entries are on the disk, not only in the system's memory."""
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _attempt(write: Callable, *arguments: Any) -> str | None:
    """Run what writes; the first line of its error, or None. torch and safetensors have errors of their own."""
    try:
        write(*arguments)
    except (OSError, RuntimeError, SafetensorError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def _replaced(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


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

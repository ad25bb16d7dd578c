"""Training checkpoints: each `checkpoint-STEP` folder is a loadable model folder (the averaged generator at its root)
with a `training_state` beside it that continues the run exactly. Written aside and renamed when complete.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from ..hub import save_model_folder
from .ema import ExponentialMovingAverage


STATE_FOLDER = "training_state"
_NAME = re.compile(r"checkpoint-(\d+)")


def list_checkpoints(output_dir: str | os.PathLike) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    folders = [path for path in Path(output_dir).glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    complete = [path for path in folders if (path / STATE_FOLDER / "progress.json").is_file()]
    return sorted(complete, key=_step_of)


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
        if (candidate / STATE_FOLDER / "progress.json").is_file():
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

    def save(self, step: int, published: nn.Module, processor: Any, options: dict[str, Any], card: str) -> Path:
        """Write `checkpoint-STEP` (all processes call this; the main one writes the models).

        Args:
            step: finished steps.
            published: the averaged generator with refreshed statistics.
            processor: the image processor.
            options: flat options of the run, stored for the record.
            card: text of the README.md.
        """
        target = self.output_dir / f"checkpoint-{step}"
        aside = self.output_dir / f".checkpoint-{step}.incomplete"
        if self.accelerator.is_main_process:
            shutil.rmtree(aside, ignore_errors=True)
            save_model_folder(
                aside,
                published,
                processor,
                discriminator=self._unwrapped("discriminator"),
                include_backbone=self.include_backbone,
                card=card,
            )
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(aside / STATE_FOLDER))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            progress = {"step": step, "ema_updates": self.ema.updates, "options": options}
            (aside / STATE_FOLDER / "progress.json").write_text(json.dumps(progress, indent=1))
            if target.exists():
                shutil.rmtree(target)
            os.replace(aside, target)
            self._prune()
        self.accelerator.wait_for_everyone()
        return target

    def load(self, folder: Path) -> dict[str, Any]:
        """Restore networks, averages and optimizers; returns what `save` stored as progress."""
        progress = json.loads((folder / STATE_FOLDER / "progress.json").read_text())
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
                shutil.rmtree(old)


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

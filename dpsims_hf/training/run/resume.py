# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Continuing a run from a checkpoint, and saying what differs from the run that wrote it."""

import json
import logging
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from ...data import DatasetSpec
from ..build import adam_settings
from ..data_identity import class_difference, stored_identity
from ..data_identity import describe_change as describe_data_change
from ..options import RunOptions
from ..step import Trainer
from .checkpoints import DATA_FILE, CheckpointStore
from .manifest import STATE_FOLDER
from .run_folder import find_checkpoint, list_checkpoints, set_newer_aside


logger = logging.getLogger("train")


def resume(
    output_dir: str | os.PathLike,
    wanted: str,
    options: RunOptions,
    spec: DatasetSpec,
    store: CheckpointStore,
    trainer: Trainer,
) -> dict[str, Any] | None:
    """Load a checkpoint; says which options and which data differ from those that made it.

    Args:
        output_dir: of the run.
        wanted: "latest" or a checkpoint.
        options: of the run as it is now.
        spec: of the data as it is now.
        store: loads; knows the data as it is now.
        trainer: gets optimizer settings, the augmentation's state and the count of samples.

    Returns:
        The checkpoint's progress; None if "latest" finds none yet.

    Raises:
        ValueError: on all processes, if no checkpoint is as it was written, or if it was trained on other classes.
    """
    accelerator = trainer.accelerator
    folder = _agreed_checkpoint(accelerator, output_dir, wanted)
    if folder is None:
        logger.info("no checkpoint in %s yet: starting anew", output_dir)
        return None
    difference = class_difference(folder, spec)
    if difference is not None:
        raise ValueError(
            f"{folder} was trained on other classes: {difference}; give the data that made it, or begin a new "
            f"run (--initialize_from {folder} --output_dir ANOTHER)"
        )
    try:
        progress = store.load(folder)
    except (SafetensorError, RuntimeError, json.JSONDecodeError, EOFError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        others = [path.name for path in list_checkpoints(output_dir) if path != folder]
        raise ValueError(
            f"{folder} is damaged and cannot be loaded ({reason}); move it away, complete are: "
            f"{', '.join(others) or 'no others'}"
        ) from error
    accelerator.wait_for_everyone()  # all have read what the next lines may move
    if accelerator.is_main_process and os.path.samefile(folder.parent, output_dir):
        for name in set_newer_aside(folder):
            logger.info("newer than %s and no longer part of this run: renamed to %s", folder.name, name)
    for name, optimizer in trainer.optimizers.items():  # a changed rate counts; the stored one would come back
        settings = adam_settings(options.training, name)
        for group in optimizer.param_groups:
            group.update(settings)
    if trainer.objective.augmentation is not None and progress.get("augmentation"):
        trainer.objective.augmentation.load_state_dict(progress["augmentation"])
    processes = progress.get("processes", accelerator.num_processes)
    done = progress["step"] * effective_batch(progress["options"], processes)
    trainer.samples_seen = progress.get("samples_seen", done)
    _tell(folder, progress, options, store, trainer)
    return progress


def _tell(
    folder: Path, progress: dict[str, Any], options: RunOptions, store: CheckpointStore, trainer: Trainer
) -> None:
    """Log where the run goes on, and what is not as it was."""
    step, before = progress["step"], progress["options"]
    known = stored_identity(folder / STATE_FOLDER / DATA_FILE)
    change = describe_data_change(known, store.data, step) if known and store.data else None
    if change is not None:
        logger.warning("%s", change)
    for key, value in options.flat().items():
        if before.get(key) != value:
            was = json.dumps(before.get(key))
            logger.info("changed since the checkpoint: %s = %s (was %s)", key, json.dumps(value), was)
    logger.info("resumed from %s at step %d, %d samples seen", folder, step, trainer.samples_seen)
    now = trainer.accelerator.num_processes
    processes = progress.get("processes", now)
    if processes != now:
        for line in describe_change(before, processes, options, now):
            logger.info("%s", line)
    if step >= options.training.max_train_steps:
        logger.info("nothing to do: max_train_steps is %d; raise it to go on", options.training.max_train_steps)


def _agreed_checkpoint(accelerator: Accelerator, output_dir: str | os.PathLike, wanted: str) -> Path | None:
    """The checkpoint that the main process finds: it alone reads the files to verify them."""
    folder = problem = None
    if accelerator.is_main_process:
        try:
            folder = find_checkpoint(output_dir, wanted)
        except ValueError as error:
            problem = str(error)
    folder, problem = broadcast_object_list([folder, problem])
    if problem is not None:
        raise ValueError(problem)
    return folder


def effective_batch(values: dict[str, Any], processes: int) -> int:
    """Images per optimizer step, from flat options."""
    return processes * values["training.batch_size"] * values["training.gradient_accumulation_steps"]


def describe_change(before: dict[str, Any], processes_before: int, options: RunOptions, processes: int) -> list[str]:
    """What is the same on another number of processes and what is not, one line each.

    Args:
        before: flat options of the checkpoint's run.
        processes_before: its processes.
        options: of the run as it is now.
        processes: as they are now.
    """
    now, loss = options.flat(), options.loss
    lines = [f"{processes} process(es) instead of {processes_before}: the data goes on behind the last sample seen"]
    batches = effective_batch(before, processes_before), effective_batch(now, processes)
    if batches[0] != batches[1]:
        lines.append(
            f"not exact: {batches[1]} images per step instead of {batches[0]}; --train_batch_size or "
            "--gradient_accumulation_steps can keep the number, or adapt learning rates and steps"
        )
    at_once = processes_before * before["training.batch_size"], processes * options.training.batch_size
    if at_once[0] != at_once[1]:
        lines.append(f"not exact: batch norm sees {at_once[1]} images at once instead of {at_once[0]}")
    own_batches = options.training.batch_size, before["training.batch_size"]
    if loss.class_balancing and not loss.global_class_weights and own_batches[0] != own_batches[1]:
        lines.append(
            f"not exact: classes are weighed by {own_batches[0]} images, a process's own batch, instead of "
            f"{own_batches[1]}; loss.global_class_weights=true counts over all processes"
        )
    return [*lines, "not exact: sums over processes round differently"]


__all__ = ["describe_change", "effective_batch", "resume"]

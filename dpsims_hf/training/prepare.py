# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From options to a run that is ready to go: data, networks, optimizers, checkpoints, validation."""

import math
from collections.abc import Sized
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from accelerate import Accelerator
from accelerate.utils import set_seed

from .batches import TrainingBatches
from .build import (
    apply_memory_switches,
    build_augmentation,
    build_networks,
    build_objective,
    build_optimizers,
    build_photo_noise,
    compile_networks,
)
from .build_data import Datasets, build_datasets
from .data_identity import data_identity
from .ema import ExponentialMovingAverage
from .objectives.distributed import convert_batch_norm
from .objectives.feature_networks import FeatureNetworks
from .options import RunOptions
from .run.checkpoint_card import CardWriter
from .run.checkpoints import CheckpointStore
from .run.publisher import Publisher
from .run.pushes import make_pushes
from .step import Trainer


if TYPE_CHECKING:
    from ..evaluation.runner import Evaluation


class PreparedRun(NamedTuple):
    """A run before its first step.

    Args:
        trainer: makes the steps.
        publisher: samples, validates and saves.
        batches: micro-batches of this process.
    """

    trainer: Trainer
    publisher: Publisher
    batches: TrainingBatches


def prepare_run(options: RunOptions, accelerator: Accelerator) -> PreparedRun:
    """Build everything and hand it to accelerate. All processes call this together.

    Raises:
        ValueError: for data, networks or files that do not go together; one line.
    """
    datasets = build_datasets(options)
    # Every file, on the CPU, before anything is trained.
    datasets.train.validate(progress=accelerator.is_local_main_process)
    options = with_epochs_as_steps(options, datasets, accelerator.num_processes)
    trainer = _build_trainer(options, datasets, accelerator)
    launch, is_main = options.launch, accelerator.is_main_process
    store = CheckpointStore(
        accelerator,
        launch.output_dir,
        trainer.networks,
        trainer.ema,
        include_backbone=options.inputs.backbone_weights == "random",
        total_limit=options.training.checkpoints_total_limit,
        data=data_identity(datasets) if is_main else None,
    )
    validation = build_validation(options, datasets, accelerator)
    images = len(datasets.train) if isinstance(datasets.train, Sized) else None
    cards = CardWriter(options, datasets.spec, images, accelerator)
    pushes = make_pushes(launch.push_to_hub, launch.hub_private) if is_main else None
    publisher = Publisher(trainer, store, datasets, Path(launch.output_dir), cards, validation, pushes)
    return PreparedRun(trainer, publisher, TrainingBatches(options, datasets.train, accelerator))


def with_epochs_as_steps(options: RunOptions, datasets: Datasets, processes: int) -> RunOptions:
    """Options whose max_train_steps are so many passes over the training photos, where epochs are asked for.

    Raises:
        ValueError: for a stream, whose length nobody knows.
    """
    training = options.training
    if not training.num_train_epochs:
        return options
    if not isinstance(datasets.train, Sized):
        raise ValueError("--num_train_epochs: the length of a stream is not known; give --max_train_steps")
    effective = training.batch_size * processes * training.gradient_accumulation_steps
    steps = max(1, math.ceil(training.num_train_epochs * len(datasets.train) / effective))
    return replace(options, training=replace(training, max_train_steps=steps))


def _build_trainer(options: RunOptions, datasets: Datasets, accelerator: Accelerator) -> Trainer:
    training, spec = options.training, datasets.spec
    set_seed(training.seed)  # initial weights: equal on all processes
    networks = build_networks(options, spec)
    objective, projection = build_objective(options, spec, accelerator.device)
    objective.prepare(networks["discriminator"], networks["generator"])
    for part in objective.features.modules() if objective.features is not None else ():
        if isinstance(part, FeatureNetworks):
            part.autocast = accelerator.autocast
    objective.augmentation = build_augmentation(options, spec.void_label_id)
    objective.photo_noise = build_photo_noise(options, datasets.whole, networks["generator"])
    networks = apply_memory_switches(networks, training)
    ema = ExponentialMovingAverage(
        networks["generator"].to(accelerator.device), training.ema_decay, training.ema_warmup
    )
    if projection is not None:
        networks["projection"] = projection
    if accelerator.num_processes > 1:
        networks = {name: convert_batch_norm(network) for name, network in networks.items()}
    for network in networks.values():
        network.train()
    optimizers = build_optimizers(networks, training)
    compile_networks(networks, training)
    prepared = accelerator.prepare(*networks.values(), *optimizers.values())
    networks = dict(zip(networks, prepared, strict=False))
    optimizers = dict(zip(optimizers, prepared[len(networks) :], strict=True))
    return Trainer(accelerator, options, objective, networks, optimizers, ema)


def build_validation(options: RunOptions, datasets: Datasets, accelerator: Accelerator) -> "Evaluation | None":
    """Data and networks of the validation, loaded before the first step; None where it is off."""
    chosen = options.validation
    if not chosen.steps:
        return None
    from ..evaluation.validation import prepare_validation  # scientific libraries that training does without

    try:
        return prepare_validation(
            datasets.samples,
            chosen.metrics,
            chosen.images,
            options.training.batch_size,
            accelerator,
            features=chosen.features,
            feature_weights=chosen.feature_weights,
            segmenter=chosen.segmenter,
        )
    except ValueError as error:  # it names the flags of the evaluation command
        text = str(error).split(", or --protocols")[0]
        for flag in ("segmenter", "features", "metrics"):
            text = text.replace(f"--{flag}", f"--validation_{flag}")
        raise ValueError(text) from None


__all__ = ["PreparedRun", "build_validation", "prepare_run"]

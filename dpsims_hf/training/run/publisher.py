# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a run publishes on the way: the averaged generator with statistics of its own, sample grids, checkpoints."""

import copy
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast_object_list
from PIL import Image
from torch import nn

from ...data import collate
from ..build_data import Datasets
from ..ema import refresh_batch_norm
from ..objectives.base import AdversarialObjective
from ..step import Trainer
from ..texture_gains import fit_texture_gains
from .checkpoint_card import SAMPLES, CardWriter
from .checkpoints import CheckpointStore
from .pushes import BackgroundPush, report_pushes
from .reporting import draw_curves, draw_samples, log_image


if TYPE_CHECKING:
    from ...evaluation.runner import Evaluation

logger = logging.getLogger("train")


class Publisher:
    """The averaged generator as it would be published: refreshed statistics, sample grids, checkpoints, curves."""

    def __init__(
        self,
        trainer: Trainer,
        store: CheckpointStore,
        datasets: Datasets,
        output_dir: Path,
        cards: CardWriter,
        validation: "Evaluation | None" = None,
        pushes: BackgroundPush | None = None,
    ) -> None:
        self.trainer, self.store, self.datasets = trainer, store, datasets
        self.output_dir, self.cards = output_dir, cards
        self.validation, self.pushes = validation, pushes
        self._pictures: dict[str, Path] = {}  # of the card
        self.accelerator, self.options = trainer.accelerator, trainer.options
        config = trainer.ema.model.config
        self.processor = datasets.spec.image_processor(tuple(config.image_size), size_divisor=config.size_divisor)
        self._published: tuple[int, nn.Module] | None = None

    def published(self, step: int) -> nn.Module:
        """A copy of the averaged generator with batch-norm statistics of its own."""
        if self._published is None or self._published[0] != step:
            model = copy.deepcopy(self.trainer.ema.model)
            with self.accelerator.autocast():
                refresh_batch_norm(model, self._refresh_batches(self.options.training.batch_norm_refresh_batches))
            self._published = (step, model)
        return self._published[1]

    def fit_texture_gains(self) -> None:
        """Before the first step of a new run, if the options ask for it; the same on all processes."""
        share = self.options.training.texture_noise_share
        if not share:
            return
        batch = next(iter(self._refresh_batches(1)), None)
        if batch is None:
            raise ValueError("training.texture_noise_share: none of the first photos can be read; mend the dataset")
        average = self.trainer.ema.model
        with self.accelerator.autocast():
            before = fit_texture_gains(average, share, batch)
        live = self.accelerator.unwrap_model(self.trainer.networks["generator"], keep_torch_compile=False)
        for name in before:
            live.get_submodule(name).gain.data.copy_(average.get_submodule(name).gain)
        low, high = min(before.values()), max(before.values())
        logger.info("texture noise: %g of the features' spread, was %.3f to %.3f", share, low, high)

    def _refresh_batches(self, count: int) -> Iterator[dict[str, torch.Tensor]]:
        """Whole training photos' label maps with new noise, the same at every call."""
        training, dataset = self.options.training, self.datasets.whole
        rng = torch.Generator().manual_seed(training.seed)
        order = torch.randperm(len(dataset), generator=rng).tolist()
        for start in range(0, count * training.batch_size, training.batch_size):
            indices = [order[draw % len(order)] for draw in range(start, start + training.batch_size)]
            samples = list(_readable(dataset, indices))
            if not samples:
                continue
            batch = to_device(collate(samples), self.accelerator.device)
            noise = self.trainer.ema.model.sample_noise(len(samples), generator=rng)
            offsets = {"instance_offsets": batch["instance_offsets"]} if "instance_offsets" in batch else {}
            yield {"label_map": batch["label_map"], "noise": noise, **offsets}

    def samples(self, step: int) -> None:
        """Write samples/step-STEP.png: label | real | fakes of fixed noise."""
        if not self.accelerator.is_main_process:
            return
        file = self.output_dir / "samples" / f"step-{step:06d}.png"
        with reported_failures(file):
            grid = self._sample_grid(step)
            file.parent.mkdir(parents=True, exist_ok=True)
            grid.save(file)
            self._pictures = {SAMPLES: file}
            log_image(self.accelerator, "samples", grid, step)

    def _sample_grid(self, step: int) -> Image.Image:
        training, dataset = self.options.training, self.datasets.samples
        count = min(training.sample_maps, len(dataset))
        chosen = torch.linspace(0, len(dataset) - 1, count).round().long().tolist()
        batch = to_device(collate([dataset[index] for index in chosen]), self.accelerator.device)
        model = self.published(step)
        noises = model.sample_noise(training.sample_noises, generator=torch.Generator().manual_seed(training.seed))
        return draw_samples(model, self.processor, batch, noises)

    def validate(self, step: int) -> dict[str, torch.Tensor]:
        """Values of the averaged generator by "PROTOCOL/VALUE", the same on all processes."""
        from ...evaluation.validation import validate

        values = broadcast_object_list([validate(self.validation, self.published(step))])[0]
        self.cards.measured(step, values, len(self.validation.rows), len(self.validation.dataset))
        return {name: torch.tensor(value) for name, value in values.items()}

    def checkpoint(self, step: int, position: dict[str, Any]) -> Path:
        """Write checkpoint-STEP and the curves; all processes call this.

        Args:
            step: finished steps.
            position: of the data, as `TrainingBatches.position` gives it.
        """
        model = self.published(step) if self.accelerator.is_main_process else self.trainer.ema.model
        progress = {
            "step": step,
            "samples_seen": self.trainer.samples_seen,
            "data": position,
            "processes": self.accelerator.num_processes,
            "augmentation": augmentation_state(self.trainer.objective),
            "options": self.options.flat(),
        }
        networks = [*map(self.accelerator.unwrap_model, self.trainer.networks.values()), self.trainer.ema.model]
        optimizers = list(self.trainer.optimizers.values())
        path = self.store.save(model, self.processor, progress, self._card(step), networks, optimizers, self._pictures)
        if self.accelerator.is_main_process:
            if self.pushes is not None:
                self.pushes.add(path, step)
                report_pushes(self.pushes.done())
            with reported_failures(self.output_dir / "curves.png"):
                draw_curves(self.output_dir / "metrics.jsonl", self.output_dir / "curves.png")
        return path

    def _card(self, step: int) -> str:
        discriminator = self.accelerator.unwrap_model(self.trainer.networks["discriminator"], keep_torch_compile=False)
        return self.cards.write(
            step, self.trainer.ema.model, self.processor, discriminator, self.store.include_backbone, self._pictures
        )

    def finish(self) -> None:
        """Wait for what is still being pushed; ValueError if the last checkpoint did not arrive."""
        outcomes = self.pushes.finish() if self.pushes is not None else []
        report_pushes(outcomes)
        if outcomes and isinstance(outcomes[-1][1], ValueError):
            folder, error = outcomes[-1]
            raise ValueError(f"{folder} is complete but was not pushed: {error}")


def augmentation_state(objective: AdversarialObjective) -> dict[str, Any] | None:
    """What adaptive augmentation has learned so far, where it is on."""
    return None if objective.augmentation is None else objective.augmentation.state_dict()


def _readable(dataset: Any, indices: list[int]) -> Iterator[dict[str, Any]]:
    """A sample that broke ends the run where it trains on it; the checkpoint that is saved then does without."""
    for index in indices:
        with suppress(ValueError):
            yield dataset[index]


@contextmanager
def reported_failures(what: str | os.PathLike) -> Iterator[None]:
    """Numbers and pictures are not worth a run: where they cannot be made, say so and go on."""
    try:
        yield
    except (OSError, ValueError) as error:
        logger.warning("no %s: %s", what, error)


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}

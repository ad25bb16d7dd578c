# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""One optimizer step of the discriminator, then one of the generator, then one of the average."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from accelerate import Accelerator
from torch import nn

from ..data import stateless_generator
from .build import adam_settings, learning_rate_factor
from .ema import ExponentialMovingAverage
from .objectives.base import AdversarialObjective, check_finite
from .objectives.noise import Noise
from .options import RunOptions


NOISE_STREAM = 2  # keeps the networks' draws apart from those of the data
SHARED = -1  # in the place of an image's number
# What a draw is for. 0 and 1 are the noise of the half-steps of D and G.
G_TERMS, LABELMIX, COIN, D_TERMS = 2, 3, 4, 5


@contextmanager
def frozen(model: nn.Module, running_statistics: bool) -> Iterator[None]:
    """No gradients to the model's parameters and no change of its batch-norm statistics inside.

    Args:
        model: the discriminator.
        running_statistics: normalise by the running statistics instead of the batch's.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats and m.training]
    for parameter in parameters:
        parameter.requires_grad_(False)
    for norm in norms:
        norm.training, norm.track_running_stats = not running_statistics, running_statistics
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for norm in norms:
            norm.training = norm.track_running_stats = True


class Trainer:
    """The networks of a run and one optimizer step of each (a holder of state, not a framework).

    Args:
        accelerator: of the run.
        options: of the run.
        objective: gives the terms.
        networks: prepared networks: generator, discriminator, maybe projection.
        optimizers: prepared optimizers: generator, discriminator.
        ema: averaged generator.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        options: RunOptions,
        objective: AdversarialObjective,
        networks: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        ema: ExponentialMovingAverage,
    ) -> None:
        self.accelerator, self.options, self.objective = accelerator, options, objective
        self.networks, self.optimizers, self.ema = networks, optimizers, ema
        self.samples_seen = 0  # by all processes, since the start of the run

    def shared_rng(self, step: int, purpose: int) -> torch.Generator:
        """A CPU generator that depends on seed, step and purpose: the same on all processes and for micro-batches."""
        return stateless_generator(self.options.training.seed, NOISE_STREAM, step, SHARED, purpose)

    def image_rngs(self, step: int, micro: int, purpose: int, images: int) -> list[torch.Generator]:
        """A CPU generator for each image of a micro-batch; it depends on seed, step, purpose and the image's place.

        The place counts through the step's whole batch, so one process with four images draws what two processes with
        two images, or two micro-batches of two, draw together.
        """
        first = (micro * self.accelerator.num_processes + self.accelerator.process_index) * images
        seed = self.options.training.seed
        return [stateless_generator(seed, NOISE_STREAM, step, first + image, purpose) for image in range(images)]

    def noise(self, batch: dict[str, torch.Tensor], step: int, micro: int, half: int) -> Noise:
        """z for a batch in the half-step of D (0) or G (1)."""
        generator = self.accelerator.unwrap_model(self.networks["generator"])
        labels = batch["label_map"]
        coin = torch.rand((), generator=self.shared_rng(step, COIN))  # both half-steps toss the same
        drawn = []
        for image, rng in enumerate(self.image_rngs(step, micro, half, len(labels))):
            one = {name: value[image : image + 1] for name, value in batch.items() if torch.is_tensor(value)}
            noise = self.objective.sample_noise(generator, one["label_map"], rng, coin)
            drawn.append(self.objective.noise_for_photos(noise, one, rng) if half else noise)
        return Noise.stacked(drawn)

    def step(self, step: int, micro_batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """One step of D, one of G, one of the average; returns all terms, averaged over micro-batches."""
        log: dict[str, torch.Tensor] = {}
        draws = []
        self.objective.at_step(step)
        self._decay(step, log)
        discriminator_terms = self.objective.discriminator_terms
        for index, batch in enumerate(micro_batches):
            noise = self.noise(batch, step, index, 0)
            with self._sync(index, micro_batches, "discriminator"):
                terms, draw = discriminator_terms(
                    self.networks["generator"],
                    self.networks["discriminator"],
                    batch,
                    noise,
                    self.shared_rng(step, LABELMIX),
                    self.image_rngs(step, index, D_TERMS, len(batch["label_map"])),
                )
                self._backward(terms, step, len(micro_batches), log)
            draws.append(draw)
        self._update("discriminator", log)
        if self.objective.augmentation is not None:
            log |= self.objective.augmentation.update(self.accelerator)

        # D is called unwrapped here: its parameters take no gradient, so there is nothing to synchronise.
        discriminator = self.accelerator.unwrap_model(self.networks["discriminator"])
        with frozen(discriminator, self.options.loss.generator_step_statistics == "running"):
            for index, batch in enumerate(micro_batches):
                noise = self.noise(batch, step, index, 1)
                with self._sync(index, micro_batches, "generator", "projection"):
                    terms, extra = self.objective.generator_terms(
                        self.networks["generator"],
                        discriminator,
                        self.networks.get("projection"),
                        batch,
                        noise,
                        draws[index],
                        self.image_rngs(step, index, G_TERMS, len(batch["label_map"])),
                    )
                    self._backward(terms, step, len(micro_batches), log)
                _accumulate(log, extra, len(micro_batches))
        self._update("generator", log)
        self.ema.update(self.accelerator.unwrap_model(self.networks["generator"]))
        images = sum(len(batch["label_map"]) for batch in micro_batches)
        self.samples_seen += images * self.accelerator.num_processes
        return log

    def _backward(self, terms: dict[str, torch.Tensor], step: int, count: int, log: dict[str, torch.Tensor]) -> None:
        check_finite(terms, step)
        self.accelerator.backward(torch.stack(list(terms.values())).sum() / count)
        _accumulate(log, {name: value.detach() for name, value in terms.items()}, count)

    def _decay(self, step: int, log: dict[str, torch.Tensor]) -> None:
        """Set the learning rates of a step, from the options and the step alone: nothing is stored to resume."""
        training = self.options.training
        if training.learning_rate_decay_start == 1:
            return
        factor = learning_rate_factor(training, step)
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = adam_settings(training, name)["lr"] * factor
        log["learning_rate_factor"] = torch.tensor(factor)

    def _update(self, name: str, log: dict[str, torch.Tensor]) -> None:
        optimizer = self.optimizers[name]
        if self.options.training.max_grad_norm:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            norm = self.accelerator.clip_grad_norm_(parameters, self.options.training.max_grad_norm)
            log[f"{name}_grad_norm"] = norm.detach()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def _sync(self, index: int, micro_batches: list, *names: str) -> Iterator[None]:
        """Exchange gradients between processes only with the last micro-batch."""
        with ExitStack() as stack:
            if index < len(micro_batches) - 1:
                for name in names:
                    if name in self.networks:
                        stack.enter_context(self.accelerator.no_sync(self.networks[name]))
            yield


def _accumulate(log: dict[str, torch.Tensor], values: dict[str, torch.Tensor], count: int) -> None:
    for name, value in values.items():
        log[name] = log.get(name, 0.0) + value / count

"""One optimizer step of the discriminator, then one of the generator, then one of the average."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ..data import stateless_generator
from .ema import ExponentialMovingAverage
from .objective_base import Noise, check_finite
from .options import RunOptions


NOISE_STREAM = 2  # keeps the networks' draws apart from those of the data


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
        objective: Any,
        networks: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        ema: ExponentialMovingAverage,
    ) -> None:
        self.accelerator, self.options, self.objective = accelerator, options, objective
        self.networks, self.optimizers, self.ema = networks, optimizers, ema

    def rng(self, step: int, micro: int, purpose: int) -> torch.Generator:
        """A CPU generator that depends on seed, step, process, micro-batch and purpose, and on nothing else."""
        return stateless_generator(
            self.options.training.seed, NOISE_STREAM, step, self.accelerator.process_index, micro, purpose
        )

    def noise(self, batch: dict[str, torch.Tensor], step: int, micro: int, half: int) -> Noise:
        """z for a batch in the half-step of D (0) or G (1)."""
        generator = self.accelerator.unwrap_model(self.networks["generator"])
        # Of the step alone: all processes and both half-steps toss the same coin.
        rng = stateless_generator(self.options.training.seed, NOISE_STREAM, step, 0, 0, 4)
        coin = torch.rand((), generator=rng)
        return self.objective.sample_noise(generator, batch["label_map"], self.rng(step, micro, half), coin)

    def step(self, step: int, micro_batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """One step of D, one of G, one of the average; returns all terms, averaged over micro-batches."""
        log: dict[str, torch.Tensor] = {}
        draws = []
        discriminator_terms = self.objective.discriminator_terms
        for index, batch in enumerate(micro_batches):
            noise = self.noise(batch, step, index, 0)
            with self._sync(index, micro_batches, "discriminator"):
                terms, draw = discriminator_terms(
                    self.networks["generator"],
                    self.networks["discriminator"],
                    batch,
                    noise,
                    self.rng(step, index, 3),
                )
                self._backward(terms, step, len(micro_batches), log)
            draws.append(draw)
        self._update("discriminator", log)

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
                        self.rng(step, index, 2),
                    )
                    self._backward(terms, step, len(micro_batches), log)
                _accumulate(log, extra, len(micro_batches))
        self._update("generator", log)
        self.ema.update(self.accelerator.unwrap_model(self.networks["generator"]))
        return log

    def _backward(self, terms: dict[str, torch.Tensor], step: int, count: int, log: dict[str, torch.Tensor]) -> None:
        check_finite(terms, step)
        self.accelerator.backward(torch.stack(list(terms.values())).sum() / count)
        _accumulate(log, {name: value.detach() for name, value in terms.items()}, count)

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

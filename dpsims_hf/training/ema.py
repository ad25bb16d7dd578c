# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The exponential moving average of the generator (DP-SIMS Sec. 4.1), which is the published model."""

import copy
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class ExponentialMovingAverage:
    """Averages parameters; buffers (batch-norm statistics, spectral-norm vectors) follow the live model.

    Args:
        model: the live model; a frozen copy in eval mode is kept.
        decay: alpha (0.9999 in the paper).
        warmup: use min(decay, (1 + t) / (10 + t)) at update t, so that a short run is not all initialisation.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9999, warmup: bool = True) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"ema_decay={decay} must lie in [0, 1)")
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay
        self.warmup = warmup
        self.updates = 0

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Move towards `source` by one optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        averages, values = list(self.model.parameters()), [p.detach() for p in source.parameters()]
        torch._foreach_lerp_(averages, values, 1.0 - decay)
        for average, value in zip(self.model.buffers(), source.buffers(), strict=True):
            average.copy_(value)


@torch.no_grad()
def refresh_batch_norm(model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> nn.Module:
    """Replace running statistics by their average over `batches`, computed with the model's present weights.

    Averaged weights have no statistics of their own; OASIS refreshes them over 50 batches, and so do we.

    Args:
        model: a generator; changed in place, left in eval mode.
        batches: keyword arguments of forward passes.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    model.eval()  # spectral-norm vectors stay as they are
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
        norm.train()
    for batch in batches:
        model(**batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Activation checkpointing of blocks that keep state: what the forward pass changed once, the backward pass must not
change again.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize


class CheckpointedBlock(nn.Module):
    """A block whose activations are computed again in the backward pass instead of kept, once that is switched on.

    `model.activation_checkpointing_enable()` of transformers sets the two attributes.
    """

    gradient_checkpointing = False
    _gradient_checkpointing_func: Any = None

    def __call__(self, *inputs: Any) -> Any:
        """Run the block; with checkpointing in training, keep its inputs alone."""
        if not (self.gradient_checkpointing and self.training and torch.is_grad_enabled()):
            return super().__call__(*inputs)
        return self._gradient_checkpointing_func(super().__call__, *inputs, context_fn=self._contexts)

    def _contexts(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _without_updates(self)


@contextmanager
def _without_updates(block: nn.Module) -> Iterator[None]:
    """No new running statistics and no power iteration: a repeated forward pass must see the first one's numbers."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    lists = [m for m in block.modules() if isinstance(m, parametrize.ParametrizationList)]
    spectral = [part for parts in lists for part in parts if part.training]
    for norm in norms:  # a momentum of 0 keeps the very same operations; the counter is not one of them
        norm.momentum, norm.num_batches_tracked = 0.0, None
    for part in spectral:
        part.training = False
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
        for part in spectral:
            part.training = True


__all__ = ["CheckpointedBlock"]

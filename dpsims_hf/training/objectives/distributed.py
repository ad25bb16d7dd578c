# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Sums over all processes, on any device: of batch-norm statistics and of class counts.

`nn.SyncBatchNorm` refuses CPU modules; the class here does the same sums through the process group, so that two CPU
processes train exactly as one process with the double batch, and tests can say so.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def several_processes() -> bool:
    """Whether there is a process group with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, without a gradient; of one process the values themselves."""
    values = values.detach().clone()
    if several_processes():
        dist.all_reduce(values)
    return values


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes; the gradient of a sum is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class CrossProcessBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose training statistics run over the batches of all processes, in float32."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normalise (batch, channels, height, width); without a process group this is plain batch norm."""
        if not (self.training and several_processes()):
            return super().forward(hidden)
        values = hidden.float()
        channels = values.shape[1]
        own_variance, own_mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        # What is summed is float64: E[x^2] - E[x]^2 in float32 loses a small variance beside a large mean, as
        # the sigmoid features of DP-SIMS have it.
        own_mean, own_variance = own_mean.double(), own_variance.double()
        count = own_mean.new_tensor([values.numel() / channels])
        sums = _SumOverProcesses.apply(
            torch.cat([count * own_mean, count * (own_variance + own_mean.square()), count])
        )
        total = sums[-1]
        mean = sums[:channels] / total
        variance = (sums[channels:-1] / total - mean.square()).clamp(min=0).float()
        mean, total = mean.float(), total.float()
        if self.track_running_stats:
            self._update_statistics(mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
        scale, shift = torch.rsqrt(variance + self.eps), None
        if self.affine:
            scale, shift = scale * self.weight, self.bias
        normalised = (values - mean[:, None, None]) * scale[:, None, None]
        return (normalised if shift is None else normalised + shift[:, None, None]).to(hidden.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def convert_batch_norm(model: nn.Module) -> nn.Module:
    """Let every plain `nn.BatchNorm2d` of the model use all processes' batches; state-dict keys stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = CrossProcessBatchNorm2d
    return model

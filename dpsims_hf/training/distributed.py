"""Batch norm over all processes, on any device.

`nn.SyncBatchNorm` refuses CPU modules; this class does the same sums through the process group, so that two CPU
processes train exactly as one process with the double batch, and tests can say so.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn


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
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(hidden)
        values = hidden.float()
        channels = values.shape[1]
        count = values.new_tensor([values.numel() / channels])
        sums = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count])
        sums = _SumOverProcesses.apply(sums)
        total = sums[-1]
        mean = sums[:channels] / total
        variance = (sums[channels:-1] / total - mean.square()).clamp(min=0)
        if self.track_running_stats:
            self._update_statistics(mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
        scale = torch.rsqrt(variance + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return (values * scale[:, None, None] + shift[:, None, None]).to(hidden.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
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

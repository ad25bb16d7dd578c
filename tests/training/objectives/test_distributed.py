# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Cross-process batch norm: two processes with half a batch each equal one process with the whole."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from dpsims_hf.training.objectives.distributed import CrossProcessBatchNorm2d, convert_batch_norm


pytestmark = pytest.mark.integration


def example() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4, affine=False))
    return model.train(), torch.randn(4, 3, 6, 6), torch.randn(4, 4, 4, 4)


def faint() -> torch.Tensor:
    """Values far from 0 with a small variance, as sigmoid features have it; float64."""
    return 0.5 + 2e-3 * torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    model, inputs, weights = example()
    convert_batch_norm(model)
    half = slice(2 * rank, 2 * rank + 2)
    (model(inputs[half]) * weights[half]).sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    for gradient in gradients:
        dist.all_reduce(gradient)
    norm = convert_batch_norm(nn.Sequential(nn.BatchNorm2d(4)))
    narrow = norm(faint()[half].float())
    if rank == 0:
        result = {"gradients": gradients, "state": model.state_dict(), "narrow": narrow.detach()}
        torch.save(result, os.path.join(folder, "result.pt"))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one_large_batch(tmp_path: Path):
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    result = torch.load(tmp_path / "result.pt", weights_only=True)
    model, inputs, weights = example()
    (model(inputs) * weights).sum().backward()
    for gradient, parameter in zip(result["gradients"], model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-4, rtol=1e-4)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(result["state"][name], value, atol=1e-5, rtol=1e-5)
    expected = nn.functional.batch_norm(faint(), None, None, training=True)[:2]
    torch.testing.assert_close(result["narrow"].double(), expected, atol=2e-4, rtol=0)


def test_without_a_process_group_it_is_plain_batch_norm():
    model, inputs, _ = example()
    expected = model(inputs)
    other, _, _ = example()
    convert_batch_norm(other)
    assert isinstance(other[1], CrossProcessBatchNorm2d)
    assert torch.equal(other(inputs), expected)
    assert other.state_dict().keys() == model.state_dict().keys()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Mirrored borders: torch's own values and gradients, without a change of number type or memory layout."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dpsims_hf.layers_padding import MirroredConv2d, mirrored


LAYOUTS = {"rows": torch.contiguous_format, "channels_last": torch.channels_last}
SHAPES = [(2, 3, 5, 7), (1, 4, 2, 2), (2, 3, 2, 5), (3, 8, 6, 3)]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_torchs(shape: tuple[int, ...], layout: torch.memory_format):
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(shape, generator=random, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    ours, torchs = mirrored(maps), F.pad(maps, [1] * 4, mode="reflect")
    assert torch.equal(ours, torchs)
    change = torch.randn(ours.shape, generator=random, dtype=torch.float64)
    gradients = [torch.autograd.grad(padded, maps, change)[0] for padded in (ours, torchs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-14)
    assert torch.autograd.gradgradcheck(mirrored, maps)  # the gradient penalties of training


def test_autocast_and_channels_last_stay_as_they_are():
    maps = torch.randn(2, 8, 6, 10).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        assert F.pad(maps, [1] * 4, mode="reflect").dtype == torch.float32  # why this is not torch's own
        padded = mirrored(maps)
    assert padded.dtype == torch.bfloat16
    assert padded.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(padded.float().square().sum(), maps)
    assert gradient.dtype == torch.bfloat16
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("mode", ["reflect", "zeros", "replicate"])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_convolution_is_torchs_with_its_names(mode: str, stride: int):
    torch.manual_seed(0)
    options = {"kernel_size": 3, "stride": stride, "padding": 1, "padding_mode": mode}
    ours, torchs = MirroredConv2d(4, 5, **options), nn.Conv2d(4, 5, **options)
    torchs.load_state_dict(ours.state_dict())
    maps = torch.randn(2, 4, 7, 9)
    assert torch.equal(ours(maps), torchs(maps))


def test_one_row_cannot_be_mirrored():
    with pytest.raises(RuntimeError, match="Padding size should be less than"):
        MirroredConv2d(2, 2, 3, padding=1, padding_mode="reflect")(torch.randn(1, 2, 1, 5))

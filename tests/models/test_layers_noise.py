# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Convolutions over 3D noise and label map against the dense tensors of the paper (OASIS Sec. 3.3)."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dpsims_hf.layers_label as layers_label
from dpsims_hf.layers_noise import LabelNoiseConv2d, NoiseConv2d, noise_map


SIZES = [(1, 1), (1, 4), (2, 3), (7, 5), (8, 8)]
NOISE_DIM = 6
# None: one vector and no map. 9 is more than there are channels.
REGIONS = [None, 1, 3, 9]


def random_noise(regions: int | None, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Vectors, their map, and the paper's dense tensor, for a batch of two whose maps differ."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(2, regions or 1, NOISE_DIM, generator=rng, requires_grad=True)
    region_map = torch.randint(0, regions or 1, (2, *size), generator=rng)
    # A product with the one-hot map, so that it is no gather like the one under test.
    dense = torch.einsum("brd,bhwr->bdhw", noise, F.one_hot(region_map, regions or 1).float())
    return noise, None if regions is None else region_map, dense


def assert_equal_with_gradients(
    result: torch.Tensor, expected: torch.Tensor, inputs: list[torch.Tensor], expected_inputs: list[torch.Tensor]
) -> None:
    """Values, and gradients of one random weighting of the outputs, are the same."""
    torch.testing.assert_close(result, expected)
    weighting = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=result.dtype)
    gradients = torch.autograd.grad(result, inputs, weighting)
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected, expected_inputs, weighting), strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-4)


def test_noise_map_by_hand():
    noise = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    regions = torch.tensor([[[0, 1, 1]], [[1, 0, 1]]])
    expected = [[[[1.0, 3.0, 3.0]], [[2.0, 4.0, 4.0]]], [[[7.0, 5.0, 7.0]], [[8.0, 6.0, 8.0]]]]
    assert noise_map(noise, regions).tolist() == expected


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("regions", REGIONS)
def test_noise_convolution_equals_convolution_of_the_dense_tensor(
    regions: int | None, size: tuple[int, int], kernel_size: int
):
    torch.manual_seed(0)
    layer = NoiseConv2d(NOISE_DIM, 4, kernel_size)
    dense_layer = nn.Conv2d(NOISE_DIM, 4, kernel_size, padding=kernel_size // 2, bias=False)
    dense_layer.load_state_dict(layer.state_dict())  # weights can be exchanged
    noise, region_map, dense = random_noise(regions, size)
    result, expected = layer(noise, region_map, size), dense_layer(dense)
    assert_equal_with_gradients(result, expected, [layer.weight, noise], [dense_layer.weight, noise])


@pytest.mark.parametrize("look_up", [False, True], ids=["one-hot", "look-up"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("regions", REGIONS)
def test_label_noise_convolution_equals_convolution_of_the_concatenation(
    monkeypatch: pytest.MonkeyPatch, regions: int | None, size: tuple[int, int], look_up: bool
):
    monkeypatch.setattr(layers_label, "TABLE_LOOKUP_FROM", 1 if look_up else 10**9)
    torch.manual_seed(0)
    layer = LabelNoiseConv2d(5, NOISE_DIM, 4)
    nn.init.normal_(layer.labels.bias)
    noise, region_map, dense = random_noise(regions, size)
    label_map = torch.randint(0, 5, (2, *size))
    one_hot = F.one_hot(label_map, 5).permute(0, 3, 1, 2).float()
    weight = torch.cat([layer.noise.weight, layer.labels.weight], dim=1)
    expected = F.conv2d(torch.cat([dense, one_hot], dim=1), weight, layer.labels.bias, padding=1)
    inputs = [*layer.parameters(), noise]
    assert_equal_with_gradients(layer(label_map, noise, region_map), expected, inputs, inputs)


def test_without_noise_only_the_labels_are_convolved():
    layer = LabelNoiseConv2d(5, 0, 4)
    label_map = torch.randint(0, 5, (2, 7, 5))
    assert [name for name, _ in layer.named_parameters()] == ["labels.weight", "labels.bias"]
    assert torch.equal(layer(label_map, torch.zeros(2, 1, 0), None), layer.labels(label_map))

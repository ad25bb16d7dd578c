# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Parts whose gradient is our own, or is taken in another number type: torch's values, names and types."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dpsims_hf.layers_depthwise import differentiate_in_float32
from dpsims_hf.layers_unet import doubled
from dpsims_hf.modeling_dpsims_discriminator import FrozenBackbone
from dpsims_hf.training.objectives.feature_networks import FeatureNetworks, FeatureNetworkSpec


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels_last"])
def test_doubling_is_torchs_nearest_up_sampling(layout: torch.memory_format):
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    ours, torchs = doubled(maps), F.interpolate(maps, scale_factor=2, mode="nearest")
    assert torch.equal(ours, torchs)
    joined = torch.randn(2, 7, 8, 10, dtype=torch.float64).contiguous(memory_format=layout)
    change = joined[:, 2:5]  # a part of a joined gradient, as after a skip connection
    gradients = [torch.autograd.grad(up, maps, change)[0] for up in (ours, torchs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-14)
    assert torch.autograd.gradgradcheck(doubled, maps)


def strided() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.Conv2d(8, 8, 3, 1, 1, groups=8)
    ).requires_grad_(False)


def test_strided_depthwise_convolutions_take_their_gradient_in_float32():
    plain = strided()
    ours = copy.deepcopy(plain)
    differentiate_in_float32(ours)
    differentiate_in_float32(ours)  # once is enough
    assert [type(module) is nn.Conv2d for module in ours] == [True, False, True]
    assert isinstance(ours[1], nn.Conv2d) and ours.state_dict().keys() == plain.state_dict().keys()
    types: list[torch.dtype] = []
    ours[1].register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    images = torch.randn(2, 3, 16, 24, requires_grad=True)
    assert torch.equal(ours(images), plain(images))  # without autocast nothing changes
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = ours(images), plain(images)
    assert types == [torch.float32, torch.bfloat16]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    gradients = [torch.autograd.grad(out.float().square().sum(), images)[0] for out in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=0.05, atol=0.05)
    assert copy.deepcopy(ours)[1].weight is not ours[1].weight


def test_a_backbone_keeps_its_names_and_its_features():
    torch.manual_seed(0)
    backbone = FrozenBackbone("tf_efficientnet_lite0", out_indices=[1, 2])
    assert any(type(module).__mro__[1].__name__ == "_InFloat32" for module in backbone.modules())
    images = torch.rand(1, 3, 32, 32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        features = backbone(images)
    assert [level.dtype for level in features] == [torch.bfloat16] * 2
    sum(level.sum() for level in features).backward()
    assert torch.isfinite(images.grad).all() and images.grad.abs().sum() > 0


def test_feature_networks_compute_in_the_runs_precision_and_give_float32():
    torch.manual_seed(0)
    networks = FeatureNetworks([FeatureNetworkSpec("test_resnet", (1, 2), "random")])
    images = torch.rand(1, 3, 32, 32)
    exact = networks(images)
    networks.autocast = lambda: torch.autocast("cpu", torch.bfloat16)
    rounded = networks(images)
    for level, other in zip(exact, rounded, strict=True):
        assert level.dtype == other.dtype == torch.float32
        assert not torch.equal(level, other)
        torch.testing.assert_close(level, other, rtol=0.05, atol=0.05 * float(level.abs().max()))

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What only the DP-SIMS generator has: ablations, attention, position code; and the label and SPADE layers.

The contract that all families share stands in test_modeling_families.py.
"""

import pytest
import torch
from torch.nn import functional as F

import dpsims_hf.layers_label as layers_label
from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig
from dpsims_hf.layers_attention import CrossAttentionNoise, SelfAttention
from dpsims_hf.layers_spade import SpadeNorm


def make(seed: int = 0, **overrides: object) -> DPSIMSGenerator:
    torch.manual_seed(seed)
    return DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("tiny", attention_gate_init=1.0, **overrides)).eval()


def labels(batch: int = 2, height: int = 32, width: int = 64, classes: int = 5) -> torch.Tensor:
    blocks = torch.randint(0, classes, (batch, height // 8, width // 8), generator=torch.Generator().manual_seed(3))
    return blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)


@pytest.mark.parametrize(
    "overrides",
    [
        {"noise_injection": "concat"},
        {"noise_injection": "none"},
        {"use_self_attention": False},
        {"spectral_norm": False},
        {"padding_mode": "reflect"},
        {"padding_mode": "replicate", "upsample_mode": "bilinear"},
        {"use_instance_offsets": True},
        {"use_instance_offsets": True, "low_resolution_offsets": True},
        {"position_waves": 4},
    ],
)
def test_ablations_run_and_every_parameter_learns(overrides: dict):
    # Gates start off zero here: behind a gate of 0 nothing gets a gradient, by design (Eq. 2).
    model = make(self_attention_gate_init=1.0, **overrides).train()
    extra = {"instance_offsets": torch.rand(2, 2, 32, 64)} if overrides.get("use_instance_offsets") else {}
    output = model(labels(), noise=torch.randn(2, 8), **extra)
    (output.images * torch.randn_like(output.images)).sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without


def test_offsets_join_the_label_map_at_the_low_resolution_input():
    """Sec. 4.1: concatenated with the label map, as one dense convolution over one-hot and offsets, 4x8 of 32x64."""
    model = make(use_instance_offsets=True, low_resolution_offsets=True)
    offsets, seen = torch.rand(2, 2, 32, 64) - 0.5, []
    model.blocks[0].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
    model(labels(), noise=torch.randn(2, 8), instance_offsets=offsets)
    height, width = seen[0].shape[-2:]
    rows, columns = (
        torch.arange(count) * stride + stride // 2 for count, stride in ((height, 32 // height), (width, 64 // width))
    )
    one_hot = F.one_hot(labels(), 5).permute(0, 3, 1, 2).float()
    dense = torch.cat([one_hot, offsets], dim=1)[:, :, rows[:, None], columns]
    weight = torch.cat([model.low_resolution_input.weight, model.low_resolution_offsets.weight], dim=1)
    torch.testing.assert_close(seen[0], F.conv2d(dense, weight, model.low_resolution_input.bias, padding=1))
    with pytest.raises(ValueError, match="low_resolution_offsets=True needs use_instance_offsets=True"):
        DPSIMSGeneratorConfig.from_preset("tiny", low_resolution_offsets=True)


def test_gate_at_zero_makes_noise_silent_at_first():
    model = DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("tiny")).eval()
    assert torch.equal(
        model(labels(), noise=torch.randn(2, 8)).images, model(labels(), noise=torch.zeros(2, 8)).images
    )
    assert all(level.noise.gate.item() == 0 for level in model.pyramid.levels if level.noise is not None)


def test_label_convolution_equals_convolution_of_the_one_hot(monkeypatch: pytest.MonkeyPatch):
    for replicate in (False, True):
        conv = layers_label.LabelConv2d(6, 4, replicate=replicate)
        label_map = torch.randint(0, 6, (2, 7, 9))
        one_hot = F.one_hot(label_map, 6).permute(0, 3, 1, 2).float()
        padded = F.pad(one_hot, [1] * 4, mode="replicate") if replicate else F.pad(one_hot, [1] * 4)
        expected = F.conv2d(padded, conv.weight, conv.bias)
        torch.testing.assert_close(conv(label_map), expected)
        monkeypatch.setattr(layers_label, "TABLE_LOOKUP_FROM", 1)
        torch.testing.assert_close(conv(label_map), expected)
        monkeypatch.undo()


def test_position_code_starts_silent_and_then_tells_places_apart():
    uniform = torch.zeros(1, 64, 64, dtype=torch.long)
    code = layers_label.PositionCode(6, 3)
    assert torch.equal(code(8, 8), torch.zeros(1, 3, 8, 8))
    torch.nn.init.normal_(code.weight)
    maps = code(64, 64)[0].flatten(1).T
    nearest = torch.cdist(maps, maps).fill_diagonal_(float("inf")).min()
    assert nearest > 1e-3, "two places have the same code"
    plain, with_code = make(padding_mode="replicate"), make(padding_mode="replicate", position_waves=6)
    torch.nn.init.normal_(with_code.pyramid.levels[0].convolution.position.weight)
    flat, varied = (model(uniform, noise=torch.zeros(1, 8)).images[0, :, 24:40, 24:40] for model in (plain, with_code))
    assert varied.std((1, 2)).max() > 0.05 > 10 * flat.std((1, 2)).max()


def test_resize_labels_takes_centres():
    label_map = torch.arange(16).view(1, 4, 4)
    assert layers_label.resize_labels(label_map, (2, 2)).tolist() == [[[5, 7], [13, 15]]]
    assert torch.equal(layers_label.resize_labels(label_map, (4, 4)), label_map)


def test_cross_attention_against_equations_1_and_2():
    torch.manual_seed(0)
    block, hidden, tokens = CrossAttentionNoise(6, 5, gate_init=0.7), torch.randn(2, 6, 3, 4), torch.randn(2, 1, 7, 5)
    query = block.query(block.embedding(hidden).flatten(2).transpose(1, 2))
    key, value = block.key(tokens[:, 0]), block.value(tokens[:, 0])
    attention = torch.softmax(query @ key.transpose(1, 2) / 6**0.5, dim=-1) @ value
    expected = hidden + 0.7 * attention.transpose(1, 2).reshape(2, 6, 3, 4)
    torch.testing.assert_close(block(hidden, tokens), expected)


def test_self_attention_against_its_formula():
    torch.manual_seed(0)
    block, hidden = SelfAttention(6, gate_init=1.0), torch.randn(2, 6, 3, 4)
    query, key, value = block.query_key_value(hidden.flatten(2).transpose(1, 2)).chunk(3, -1)
    attended = torch.softmax(query @ key.transpose(1, 2) / 6**0.5, dim=-1) @ value
    expected = hidden + block.projection(attended).transpose(1, 2).reshape(2, 6, 3, 4)
    torch.testing.assert_close(block(hidden), expected)


def test_spade_norm_by_hand():
    norm = SpadeNorm(1, 1)
    hidden = torch.tensor([[[[1.0, 3.0]]]])  # mean 2, variance 1
    torch.nn.init.zeros_(norm.gamma_beta.weight)
    with torch.no_grad():
        norm.gamma_beta.bias.copy_(torch.tensor([0.5, 0.25]))  # gamma, beta
    result = norm.train()(hidden, torch.zeros(1, 1, 1, 2))
    torch.testing.assert_close(result, torch.tensor([[[[-1.25, 1.75]]]]), atol=1e-4, rtol=1e-4)


def test_norm_statistics_are_float32_under_bfloat16():
    norm = SpadeNorm(4, 2).train()
    hidden = (torch.randn(8, 4, 32, 32) * 3 + 100).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        norm(hidden, torch.randn(8, 2, 32, 32))
    expected = hidden.float().var((0, 2, 3)) * 0.1 + 0.9
    assert norm.norm.running_var.dtype == torch.float32
    torch.testing.assert_close(norm.norm.running_var, expected, rtol=1e-3, atol=1e-3)


def test_missing_offsets_are_named():
    with pytest.raises(ValueError, match="instance_offsets is None; this model needs shape"):
        make(use_instance_offsets=True)(labels(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"noise_injection": "add"}, "noise_injection='add' is unknown"),
        ({"pyramid_channels": [8, 8]}, "pyramid_channels has 2 widths but channel_multipliers describes 4 scales"),
    ],
)
def test_wrong_configs_are_named(values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        DPSIMSGeneratorConfig.from_preset("tiny", **values)


def test_presets_have_their_sizes():
    with torch.device("meta"):
        small = DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("small"))
    assert 9e6 < sum(parameter.numel() for parameter in small.parameters()) < 12e6

"""Averages, statistics, options and the pieces of a training step."""

import json

import pytest
import torch
from torch import nn

from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig
from dpsims_hf.training.ema import ExponentialMovingAverage, refresh_batch_norm
from dpsims_hf.training.options import parse_override, resolve_options
from dpsims_hf.training.recipes import RECIPES
from dpsims_hf.training.step import frozen


def test_ema_closed_form_and_buffers():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    ema = ExponentialMovingAverage(model, decay=0.9, warmup=False)
    with torch.no_grad():
        model[0].weight.fill_(2.0)
    model[1].running_mean.fill_(7.0)
    ema.update(model)
    ema.update(model)
    assert ema.model[0].weight.item() == pytest.approx(2.0 - 0.9**2)
    assert ema.model[1].running_mean.item() == 7.0
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


def test_ema_warmup():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = ExponentialMovingAverage(model, decay=0.999)
    nn.init.ones_(model.weight)
    ema.update(model)
    assert ema.model.weight.item() == pytest.approx(1 - 2 / 11)
    with pytest.raises(ValueError, match=r"ema_decay=1.5"):
        ExponentialMovingAverage(model, decay=1.5)


def test_refreshed_statistics_equal_those_of_one_large_batch(tiny_generator: DPSIMSGenerator):
    labels = torch.randint(0, 5, (4, 32, 64), generator=torch.Generator().manual_seed(0))
    batch = {"label_map": labels, "noise": tiny_generator.sample_noise(4, generator=torch.Generator().manual_seed(1))}
    before = {name: value.clone() for name, value in tiny_generator.named_parameters()}
    refresh_batch_norm(tiny_generator, [batch, batch])
    norm = tiny_generator.pyramid.levels[0].norm
    hidden = tiny_generator.pyramid.levels[0].convolution((labels, None))
    torch.testing.assert_close(norm.running_mean, hidden.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, hidden.var((0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert not tiny_generator.training and norm.momentum == 0.1
    assert all(torch.equal(before[name], value) for name, value in tiny_generator.named_parameters())


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_resolves_and_names_sources(name: str):
    options = resolve_options(name)
    values = options.flat()
    json.dumps(values)
    text = options.describe()
    assert len(text.splitlines()) == len(values)
    for section, settings in RECIPES[name].settings.items():
        for key, setting in settings.items():
            assert setting.source, f"{section}.{key} has no source"
            assert f"recipe {name}" in options.sources[f"{section}.{key}"]


def test_overrides_win_and_are_named():
    options = resolve_options("tiny", [(*parse_override("loss.focal_gamma=0"), "--set loss.focal_gamma=0")])
    assert options.loss.focal_gamma == 0.0
    assert "--set loss.focal_gamma=0" in options.describe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss.gamma=1", "unknown option loss.gamma; known in loss: lambda_gan"),
        ("losses.focal_gamma=1", "unknown section 'losses'"),
        ("generator.use_self_atention=false", "unknown option generator.use_self_atention"),
        ("loss.focal_gamma=two", "loss.focal_gamma='two' must be like its default 2.0"),
        ("loss.diversity_target=pixels", "choose one of features, images"),
        ("training.mixed_precision=fp8", "choose one of no, bf16, fp16"),
        ("training.batch_size=0", "must be at least 1"),
    ],
)
def test_wrong_overrides_are_named(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        resolve_options("tiny", [(*parse_override(text), "--set")])


def test_override_syntax():
    assert parse_override("generator.attention_strides=[4, 8]") == ("generator", "attention_strides", [4, 8])
    assert parse_override("discriminator.backbone=resnet50") == ("discriminator", "backbone", "resnet50")
    with pytest.raises(ValueError, match="SECTION.KEY=VALUE"):
        parse_override("focal_gamma=0")


def test_unknown_recipe_lists_recipes():
    with pytest.raises(ValueError, match="unknown recipe 'ade'.*ade20k"):
        resolve_options("ade")


def test_ablation_flags_land_in_the_config():
    options = resolve_options(
        "tiny",
        [
            ("generator", "use_self_attention", False, "--set"),
            ("generator", "noise_injection", "concat", "--set"),
            ("discriminator", "feature_conditioning", "none", "--set"),
        ],
    )
    config = DPSIMSGeneratorConfig.from_preset("tiny", use_self_attention=options.generator["use_self_attention"])
    assert not config.use_self_attention
    assert options.discriminator["feature_conditioning"] == "none"


@pytest.mark.parametrize("running", [True, False])
def test_frozen_discriminator_takes_no_gradient_and_keeps_its_statistics(running: bool):
    norm, conv = nn.BatchNorm2d(2, affine=False), nn.Conv2d(2, 2, 1)
    model = nn.Sequential(norm, conv).train()
    norm.running_mean.fill_(3.0)
    inputs = torch.randn(4, 2, 3, 3, requires_grad=True)
    with frozen(model, running):
        normalised = norm(inputs)
        model(inputs).sum().backward()
    expected = (
        (inputs - 3.0) / (1 + norm.eps) ** 0.5
        if running
        else nn.functional.batch_norm(inputs, None, None, training=True)
    )
    torch.testing.assert_close(normalised, expected)
    assert conv.weight.grad is None and inputs.grad is not None
    assert norm.running_mean.tolist() == [3.0, 3.0] and norm.num_batches_tracked == 0
    assert norm.training and norm.track_running_stats and conv.weight.requires_grad

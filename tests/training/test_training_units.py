# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Averages, statistics, options and the pieces of a training step."""

import dataclasses
import itertools
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.training.build import build_networks, build_optimizers, learning_rate_factor
from dpsims_hf.training.ema import ExponentialMovingAverage, refresh_batch_norm
from dpsims_hf.training.families import FAMILIES, get_family
from dpsims_hf.training.objectives.dpsims import DPSIMSObjective
from dpsims_hf.training.options import RunOptions, describe_options, parse_override, resolve_options
from dpsims_hf.training.recipes.lookup import RECIPES, counterpart, get_recipe
from dpsims_hf.training.step import Trainer, frozen


RANDOM = ("inputs.backbone_weights=random",)


def options_of(recipe: str, *overrides: str, **choices: object) -> RunOptions:
    """What a command line with `--set OVERRIDE` gives."""
    return resolve_options(recipe, [(*parse_override(text), f"--set {text}") for text in overrides], **choices)


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
    values = options.record()
    json.dumps(values)
    text = describe_options(options)
    assert {line.split()[0] for line in text.splitlines()} >= set(values)
    for section, settings in RECIPES[name].settings.items():
        for key, setting in settings.items():
            assert setting.source, f"{section}.{key} has no source"
            assert f"recipe {name}" in options.sources[f"{section}.{key}"]


def test_overrides_win_and_are_named():
    options = resolve_options("tiny", [(*parse_override("loss.focal_gamma=0"), "--set loss.focal_gamma=0")])
    assert options.loss.focal_gamma == 0.0
    assert "--set loss.focal_gamma=0" in describe_options(options)


@pytest.mark.parametrize(
    ("recipe", "text", "message"),
    [
        ("tiny", "loss.gamma=1", "unknown option loss.gamma; known in loss: lambda_gan"),
        ("tiny", "losses.focal_gamma=1", "unknown section 'losses'"),
        ("tiny", "generator.use_self_atention=false", "unknown option generator.use_self_atention"),
        ("tiny", "generator.use_self_attention=False", "use_self_attention='False' must be like its default true"),
        ("tiny", "loss.focal_gamma=two", "loss.focal_gamma='two' must be like its default 2.0"),
        ("tiny", "loss.diversity_target=pixels", "choose one of features, images"),
        ("tiny", "training.mixed_precision=fp8", "choose one of no, bf16, fp16"),
        ("tiny", "training.batch_size=0", "must be at least 1"),
        ("tiny", "loss.lambda_vgg=1", "unknown option loss.lambda_vgg"),
        ("tiny", "perceptual.level_weights=[1]", "unknown section 'perceptual'.*contrastive"),
        ("oasis/tiny", "contrastive.hidden_dim=8", "unknown section 'contrastive'.*perceptual"),
        ("oasis/tiny", "loss.lambda_patch=1", "unknown option loss.lambda_patch"),
        ("oasis/tiny", "generator.use_self_attention=false", "unknown option generator.use_self_attention"),
        ("oasis/tiny", "loss.noise_sampling=class", "'class' is unknown; choose one of image, region, pixel, mix"),
        ("oasis/tiny", "loss.label_smoothing_form=soft", "choose one of distribute, literal"),
        ("oasis/tiny", "loss.generator_step_statistics=none", "choose one of running, batch"),
        ("oasis/tiny", 'perceptual.networks=[{"layer": "relu1_1"}]', "unknown key 'layer'; known: network"),
        ("dpgan/tiny", "loss.noise_sampling=class", "'class' is unknown; choose one of image, region, pixel, mix"),
        ("dpgan/tiny", "loss.patch_generator_form=wgan", "loss.patch_generator_form='wgan'.*hinge, linear"),
        ("dpgan/tiny", "loss.feature_matching_levels=all", "choose one of decoder, encoder, both"),
        ("dpgan/tiny", "loss.feature_matching_reduction=median", "choose one of mean, sum"),
        ("dpgan/tiny", "loss.patch_loss_as_released=1", "patch_loss_as_released=1 must be like its default false"),
    ],
)
def test_wrong_overrides_are_named(recipe: str, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        options_of(recipe, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.checkpoints_total_limit=-1", "training.checkpoints_total_limit=-1 must be at least 0"),
        ("training.checkpointing_steps=-1", "training.checkpointing_steps=-1 must be at least 0"),
        ("training.sample_maps=0", "training.sample_maps=0 must be at least 1"),
        ("training.seed=-1", "training.seed=-1 must be at least 0"),
        ("training.learning_rate_generator=-1.0", "training.learning_rate_generator=-1.0 must not be negative"),
        ("training.adam_beta2=1.5", "training.adam_beta2=1.5 must be in"),
    ],
)
def test_numbers_out_of_range_are_named(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        resolve_options("tiny", [(*parse_override(text), f"--set {text}")])


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


# -- families -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "label_mix"),
    [
        ("oasis/ade20k", 5.0),
        ("oasis/coco_stuff", 10.0),
        ("oasis/cityscapes", 5.0),
        ("dpgan/ade20k", 5.0),
        ("dpgan/cityscapes", 5.0),
    ],
)
def test_recipes_of_the_papers(recipe: str, label_mix: float):
    """OASIS App. C.3 and DP-GAN's supplement Sec. 2."""
    options = resolve_options(recipe)
    training, loss = options.training, options.loss
    assert (training.learning_rate_generator, training.learning_rate_discriminator) == (1e-4, 4e-4)
    assert (training.adam_beta1, training.adam_beta2, training.ema_decay) == (0.0, 0.999, 0.9999)
    assert (loss.lambda_labelmix, loss.focal_gamma, loss.label_smoothing, loss.lambda_vgg) == (
        label_mix,
        0.0,
        0.0,
        0.0,
    )
    assert options.data.image_size == ((256, 512) if "cityscapes" in recipe else (256, 256))
    assert options.generator["noise_dim"] == 64


@pytest.mark.parametrize(("family", "generator", "discriminator"), list(itertools.product(FAMILIES, repeat=3)))
def test_swapped_networks_take_their_own_familys_settings(family: str, generator: str, discriminator: str):
    recipes = {name: f"{name}/camvid_small" for name in FAMILIES}
    options = resolve_options(recipes[family], generator_family=generator, discriminator_family=discriminator)
    assert options.generator == resolve_options(recipes[generator]).generator
    assert options.discriminator == resolve_options(recipes[discriminator]).discriminator
    own = resolve_options(recipes[family])
    assert (options.training, options.data, options.loss) == (own.training, own.data, own.loss)
    assert type(options.loss) is FAMILIES[family].loss_weights
    families = (options.family, options.generator_family, options.discriminator_family)
    assert families == (family, generator, discriminator)


def test_a_swap_is_named_in_the_sources():
    options = options_of(
        "oasis/camvid_small", "discriminator.feature_conditioning=none", discriminator_family="dpsims"
    )
    assert options.discriminator["backbone"] == "tf_efficientnet_lite1"
    assert options.source("discriminator.backbone").startswith("recipe dpsims/camvid_small: ")
    assert options.source("generator.preset").startswith("recipe oasis/camvid_small: ")
    assert options.discriminator["feature_conditioning"] == "none"
    assert options.source("discriminator.feature_conditioning") == "--set discriminator.feature_conditioning=none"


def test_options_of_a_swapped_network_are_those_of_its_family():
    text = "discriminator.patch_channels=8"
    assert options_of("oasis/tiny", text, discriminator_family="dpgan").discriminator["patch_channels"] == 8
    with pytest.raises(ValueError, match="unknown option discriminator.patch_channels; known in discriminator"):
        options_of("dpgan/tiny", text, discriminator_family="oasis")
    with pytest.raises(ValueError, match="unknown family 'pix2pix'; choose one of dpsims, dpgan, oasis, spade"):
        resolve_options("oasis/tiny", generator_family="pix2pix")


def test_recipes_of_dpsims_have_a_second_name():
    assert resolve_options("dpsims/ade20k").flat() == resolve_options("ade20k").flat()
    assert resolve_options("dpsims/tiny", discriminator_family="oasis").discriminator == {"preset": "tiny"}


@pytest.mark.parametrize("name", list(RECIPES))
def test_as_released_changes_what_the_released_code_changes(name: str):
    paper, released = resolve_options(name), resolve_options(name, as_released=True)
    entries = {
        f"{s}.{key}": entry for s, settings in RECIPES[name].settings.items() for key, entry in settings.items()
    }
    expected = {key: entry.released for key, entry in entries.items() if entry.released is not None}
    before, after = paper.flat(), released.flat()
    assert {key: after[key] for key in after if after[key] != before[key]} == json.loads(json.dumps(expected))
    for key, entry in entries.items():
        assert (f"released code (instead of {entry.value}" in released.source(key)) is (key in expected)
        assert "instead of" not in paper.source(key)


def test_as_released_by_example():
    oasis, dpgan = (resolve_options(name, as_released=True) for name in ("oasis/ade20k", "dpgan/cityscapes"))
    assert oasis.loss.lambda_labelmix == 10.0 and oasis.data.scale_range == (1.0, 1.0)
    assert dpgan.loss.patch_loss_as_released and dpgan.loss.feature_matching_reduction == "sum"
    assert (dpgan.training.learning_rate_generator, dpgan.training.ema_decay) == (2e-4, 0.999)
    assert options_of("oasis/ade20k", "loss.lambda_labelmix=1", as_released=True).loss.lambda_labelmix == 1.0
    swapped = resolve_options("ade20k", as_released=True, discriminator_family="dpgan")
    assert swapped.flat() == resolve_options("ade20k", discriminator_family="dpgan").flat()


@pytest.mark.parametrize(
    ("recipe", "section"), [("tiny", "contrastive"), ("oasis/tiny", "perceptual"), ("dpgan/tiny", "perceptual")]
)
def test_feature_sections_are_those_of_the_losses(recipe: str, section: str):
    """The family of the losses decides, not those of the networks."""
    for swap in FAMILIES:
        options = resolve_options(recipe, generator_family=swap, discriminator_family=swap)
        assert list(options.features) == [section]
        assert {key.split(".")[0] for key in options.flat()} & {"contrastive", "perceptual"} == {section}


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("[36,64]", "data.image_size .for the oasis-generator. is 36x64 .*multiples of 8; .* is 32x64"),
        ("[40,64]", "data.image_size .for the dpgan-discriminator. is 40x64 .*multiples of 16; .* is 32x64"),
    ],
)
def test_crops_that_a_network_cannot_take(size: str, message: str):
    deeper = ["discriminator.encoder_channels=[4,4,8,8]", "discriminator.decoder_channels=[8,8,4,4]"]
    options = options_of("oasis/tiny", f"data.image_size={size}", *deeper, *RANDOM, discriminator_family="dpgan")
    with pytest.raises(ValueError, match=message):
        build_networks(options, SYNTHETIC_SPEC)


# -- step -----------------------------------------------------------------------------------------------------------


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


def test_mixed_noise_tosses_one_coin_per_step():
    """Both half-steps get the same kind of noise: DP-SIMS compares them."""
    options = options_of("tiny", "loss.noise_sampling=mix")
    objective = DPSIMSObjective(dataclasses.replace(options.loss, lambda_contrastive=0.0), 5)
    accelerator = SimpleNamespace(process_index=0, num_processes=1, unwrap_model=lambda model: model)
    generator = DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("tiny"))
    trainer = Trainer(accelerator, options, objective, {"generator": generator}, {}, None)
    batch = {"label_map": torch.zeros(2, 8, 8, dtype=torch.int64)}
    kinds = [{trainer.noise(batch, step, 0, half).vectors.ndim for half in (0, 1)} for step in range(12)]
    assert all(len(kind) == 1 for kind in kinds) and len(set.union(*kinds)) == 2


@pytest.mark.parametrize("recipe", ["oasis/tiny", "dpgan/tiny", "tiny"])
def test_a_generator_that_nothing_trains_is_refused(recipe: str):
    off = {name: 0.0 for name in vars(options_of(recipe).loss) if name.startswith("lambda_")}
    family = get_family(options_of(recipe).family)
    objective = family.objective(family.loss_weights(**off), 5)
    with pytest.raises(ValueError, match=r"no loss term trains the generator"):
        objective.prepare(nn.Identity())


def test_the_second_name_is_for_dpsims_alone():
    with pytest.raises(ValueError, match=r"unknown recipe 'dpsims/oasis/tiny'"):
        resolve_options("dpsims/oasis/tiny")


def test_the_pretrained_discriminator_checks_the_crop_too():
    options = options_of("oasis/tiny", "data.image_size=[40,64]", *RANDOM, discriminator_family="dpsims")
    with pytest.raises(ValueError, match=r"data.image_size .for the dpsims-discriminator. is 40x64"):
        build_networks(options, SYNTHETIC_SPEC)


def test_a_swap_without_settings_for_the_data_is_refused():
    with pytest.raises(ValueError, match="there is no dpsims recipe for nowhere.*dpsims has recipes for ade20k"):
        counterpart(dataclasses.replace(get_recipe("oasis/tiny"), dataset="nowhere"), "dpsims")


def test_learning_rates_fall_in_the_second_half():
    """Park et al. 2019: constant, then linearly to 0; values by hand for 8 steps."""
    options = options_of("tiny", "training.max_train_steps=8", "training.learning_rate_decay_start=0.5", *RANDOM)
    rates = (options.training.learning_rate_generator, options.training.learning_rate_discriminator)
    parts = {name: torch.nn.Linear(1, 1) for name in ("generator", "discriminator")}
    optimizers = build_optimizers(parts, options.training)
    trainer = Trainer(None, options, None, {}, optimizers, None)
    for step, share in enumerate([1, 1, 1, 1, 1, 0.75, 0.5, 0.25]):
        log: dict[str, torch.Tensor] = {}
        trainer._decay(step, log)
        got = [optimizer.param_groups[0]["lr"] for optimizer in optimizers.values()]
        assert got == pytest.approx([rate * share for rate in rates]) and log["learning_rate_factor"] == share


def test_learning_rates_are_constant_unless_asked():
    assert {options_of(name).training.learning_rate_decay_start for name in RECIPES} == {1.0}
    assert learning_rate_factor(options_of("tiny").training, 3) == 1.0
    with pytest.raises(ValueError, match=r"learning_rate_decay_start=1.5 must be a share.*1 keeps"):
        options_of("tiny", "training.learning_rate_decay_start=1.5")

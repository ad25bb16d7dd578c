# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The generators of all families against one contract: shapes, noise, gradients, saving and folding."""

from functools import cache
from pathlib import Path

import pytest
import torch
from tiny_families import (
    CONFIGS,
    FAMILIES,
    LABEL_PIXELS,
    WITH_3D_NOISE,
    assert_every_parameter_learns,
    assert_same_weights,
    make,
    make_discriminator,
    pixels,
    random,
)
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedModel

import dpsims_hf
from dpsims_hf.layers_spade import LabelSpadeNorm, SpadeNorm


# A fresh network hardly hears its noise (gates at 0, small weights), and its images are grey; not so in these tests.
LIVELY = {"DPSIMS": {"attention_gate_init": 1.0}, **{family: {"init_gain": 0.5} for family in FAMILIES[1:]}}


def labels(batch: int = 2, height: int = 32, width: int = 64, classes: int = 5) -> torch.Tensor:
    """Blocks of 8x8 pixels, of all classes."""
    blocks = torch.randint(0, classes, (batch, height // 8, width // 8), generator=torch.Generator().manual_seed(3))
    return blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)


def random_regions(regions: int, batch: int = 2, height: int = 32, width: int = 64) -> torch.Tensor:
    return torch.randint(0, regions, (batch, height, width), generator=torch.Generator().manual_seed(4))


@cache
def settled_weights(family: str, **overrides: object) -> dict[str, torch.Tensor]:
    model = make(family, **overrides).train()
    with torch.no_grad():
        for step in range(10):
            model(labels(), noise=random(2, model.config.noise_dim, seed=step))
    return model.state_dict()


def make_generator(family: str, **overrides: object) -> PreTrainedModel:
    """A generator with batch-norm statistics of a few passes (else tanh saturates, and hides what should differ)."""
    overrides = {**LIVELY[family], **overrides}
    model = make(family, **overrides)
    model.load_state_dict(settled_weights(family, **overrides))
    return model.eval()


# Configurations


@pytest.mark.parametrize("name", CONFIGS)
def test_presets_survive_json(tmp_path: Path, name: str):
    config_class = getattr(dpsims_hf, name)
    for preset in ("paper", "small", "tiny"):
        config = config_class.from_preset(preset, void_label_id=1)
        config.save_pretrained(tmp_path)
        loaded = AutoConfig.from_pretrained(tmp_path)
        assert type(loaded) is config_class
        assert loaded.auto_map["AutoConfig"].endswith(f".{name}"), "saved with its code"
        assert loaded.to_dict() == config.to_dict() | {"_name_or_path": str(tmp_path), "auto_map": loaded.auto_map}
    with pytest.raises(ValueError, match="unknown preset 'huge'; choose one of paper, small, tiny"):
        config_class.from_preset("huge")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_number_of_labels_wins_over_names_that_do_not_fit(name: str):
    config_class = getattr(dpsims_hf, name)
    names = {0: "sky", 1: "road", 2: "car"}
    clash = config_class.from_preset("tiny", num_labels=9, id2label=names)
    assert clash.num_labels == 9 and "sky" not in clash.id2label.values()
    for number in (3, None):
        fitting = config_class.from_preset("tiny", num_labels=number, id2label=names)
        assert fitting.num_labels == 3 and fitting.id2label == names
        assert config_class.from_dict(fitting.to_dict()).id2label == names
    assert config_class().num_labels == 151


@pytest.mark.parametrize("family", FAMILIES)
def test_illegal_image_sizes_of_a_config_are_named(family: str):
    config_class = getattr(dpsims_hf, f"{family}GeneratorConfig")
    with pytest.raises(ValueError, match=r"image_size=\[33, 64\] must be multiples of 8"):
        config_class.from_preset("tiny", image_size=(33, 64))
    with pytest.raises(ValueError, match=r"image_size=\[32\] must be \(height, width\)"):
        config_class.from_preset("tiny", image_size=(32,))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("DPGANGeneratorConfig", {"pyramid_channels": (8, 8)}, "pyramid_channels has 2 widths and .* 5"),
        ("OASISDiscriminatorConfig", {"decoder_channels": (8,)}, "encoder_channels has 3 widths .* 1; give one up"),
        ("DPGANDiscriminatorConfig", {"patch_encoder_blocks": (2, 4)}, "patch_encoder_blocks names block 4.*1 to 3"),
        ("DPGANDiscriminatorConfig", {"patch_decoder_blocks": (0,)}, "patch_decoder_blocks names block 0.*1 to 3"),
    ],
)
def test_widths_and_blocks_that_do_not_exist_are_named(name: str, values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        getattr(dpsims_hf, name).from_preset("tiny", **values)


# Generators


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (48, 80), (8, 8)], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_images_features_and_tuples(family: str, size: tuple[int, int]):
    model, noise = make_generator(family), random(2, 8)
    label_map = labels(2, *size)
    output = model(label_map, noise=noise, output_features=True)
    assert output.images.shape == (2, 3, *size) and output.images.abs().max() <= 1
    assert output.features.shape == (2, 4, *size)
    torch.testing.assert_close(torch.tanh(model.to_image(output.features)), output.images)
    (images,) = model(label_map, noise=noise, return_dict=False)
    assert torch.equal(images, output.images)
    assert model(label_map, noise=noise).features is None


@pytest.mark.parametrize("family", FAMILIES)
def test_same_noise_same_image_other_noise_other_image(family: str):
    model, rng = make_generator(family), torch.Generator().manual_seed(5)
    noise, other = model.sample_noise(2, generator=rng), model.sample_noise(2, generator=rng)
    first = model(labels(), noise=noise).images
    assert torch.equal(first, model(labels(), noise=noise).images)
    assert (first - model(labels(), noise=other).images).abs().mean() > 0.01
    assert not torch.equal(model(labels()).images, model(labels()).images)
    again = model.sample_noise(2, generator=torch.Generator().manual_seed(5))
    assert torch.equal(noise, again) and noise.shape == (2, 8)
    assert model.sample_noise(2, regions=3).shape == (2, 3, 8)


@pytest.mark.parametrize("regions", [1, 3, 9])  # 9 is more than there are noise channels
@pytest.mark.parametrize("family", FAMILIES)
def test_regions_with_one_common_vector_are_one_region(family: str, regions: int):
    model, noise = make_generator(family), random(2, 8)
    plain = model(labels(), noise=noise).images
    repeated = noise[:, None].expand(-1, regions, -1)
    result = model(labels(), noise=repeated, noise_regions=random_regions(regions)).images
    torch.testing.assert_close(result, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("family", "overrides"),
    [(family, {}) for family in FAMILIES]
    + [("DPSIMS", {"noise_injection": "concat"}), ("SPADE", {"noise_injection": "concat"})],
)
def test_new_noise_for_one_region_changes_that_region_most(family: str, overrides: dict):
    model = make_generator(family, **overrides)
    regions = torch.zeros(1, 32, 128, dtype=torch.long)
    regions[:, :, 64:] = 1
    noise = random(1, 2, 8)
    changed = torch.stack([noise[:, 0], random(1, 8, seed=1)], dim=1)
    first, second = (model(labels(1, 32, 128), noise=n, noise_regions=regions).images for n in (noise, changed))
    difference = (first - second).abs().mean((0, 1))
    assert difference[:, 96:].mean() > 0.01
    assert difference[:, 96:].mean() > 10 * difference[:, :32].mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_map": torch.zeros(1, 50, 64).long()}, "50x64.*multiples of 8.*nearest legal size is 48x64"),
        ({"label_map": torch.zeros(1, 32, 3).long()}, "32x3 .*nearest legal size is 32x8"),
        ({"label_map": torch.full((1, 32, 64), 5)}, "label_map holds 5, outside the legal range 0..4"),
        ({"label_map": torch.full((1, 32, 64), -1)}, "label_map holds -1"),
        ({"label_map": torch.zeros(1, 5, 32, 64)}, "not a one-hot map"),
        ({"label_map": labels(1), "noise": torch.zeros(1, 9)}, r"noise has shape \(1, 9\); expected \(1, 8\)"),
        ({"label_map": labels(1), "noise": torch.zeros(2, 8)}, r"noise has shape \(2, 8\); expected \(1, 8\)"),
        ({"label_map": labels(1), "noise": torch.zeros(1, 2, 8)}, "2 regions per image; give noise_regions as well"),
        ({"label_map": labels(1), "noise_regions": labels(1)}, "noise_regions is given without noise"),
        (
            {"label_map": labels(1), "noise": torch.zeros(1, 2, 8), "noise_regions": torch.zeros(1, 32, 32).long()},
            r"noise_regions has shape \(1, 32, 32\) and type torch.int64; give region numbers",
        ),
        (
            {"label_map": labels(1), "noise": torch.zeros(1, 2, 8), "noise_regions": torch.full((1, 32, 64), 2)},
            "noise_regions holds 2, outside the legal range 0..1",
        ),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_wrong_inputs_of_a_generator_name_value_and_remedy(family: str, arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        make(family)(**arguments)


@pytest.mark.parametrize("family", [*WITH_3D_NOISE, "SPADE"])
def test_a_generator_without_noise(family: str):
    model = make_generator(family, noise_dim=0)
    assert not [name for name, _ in model.named_parameters() if "noise" in name]
    assert model.sample_noise(2).shape == (2, 0)
    images = model(labels()).images
    assert images.shape == (2, 3, 32, 64) and torch.equal(images, model(labels()).images)
    assert_every_parameter_learns(model, [model.train()(labels()).images])


@pytest.mark.parametrize("with_regions", [False, True])
@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        ("DPSIMS", {"self_attention_gate_init": 1.0}),  # behind a gate of 0 nothing gets a gradient, by design (Eq. 2)
        ("DPGAN", {}),
        ("DPGAN", {"concatenate_coarsest": False}),
        ("OASIS", {}),
        ("SPADE", {}),
        ("SPADE", {"noise_injection": "concat"}),
    ],
)
def test_every_parameter_of_a_generator_learns(family: str, overrides: dict, with_regions: bool):
    model = make_generator(family, **overrides).train()
    noise = {"noise": random(2, 3, 8), "noise_regions": random_regions(3)} if with_regions else {}
    assert_every_parameter_learns(model, [model(labels(), **noise).images])


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_and_loading_a_generator_is_exact(tmp_path: Path, family: str):
    model, noise = make_generator(family), random(2, 8)
    model.save_pretrained(tmp_path)
    loaded, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is type(model)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert_same_weights(model, loaded)
    assert torch.equal(loaded(labels(), noise=noise).images, model(labels(), noise=noise).images)


@pytest.mark.parametrize("family", FAMILIES)
def test_folding_the_spectral_norm_of_a_generator_keeps_its_images(tmp_path: Path, family: str):
    model, noise = make_generator(family), random(2, 8)
    before = model(labels(), noise=noise).images
    assert model.train().fold_spectral_norm().training
    model.eval().save_pretrained(tmp_path)
    assert not any("parametrizations" in name for name in model.state_dict())
    for folded in (model, AutoModel.from_pretrained(tmp_path)):
        assert not folded.config.spectral_norm
        torch.testing.assert_close(folded(labels(), noise=noise).images, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tuning_to_another_label_set_has_no_garbage(tmp_path: Path, family: str):
    trained = make_generator(family)
    trained.save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, num_labels=9, ignore_mismatched_sizes=True)
    images = model(labels(classes=9), noise=random(2, 8)).images
    assert model.config.num_labels == 9 and torch.isfinite(images).all() and images.std() > 0.01
    kept = {name for name, tensor in trained.state_dict().items() if torch.equal(model.state_dict()[name], tensor)}
    changed = set(trained.state_dict()) - kept
    assert all("label" in name or "low_resolution_input" in name for name in changed), changed


@pytest.mark.parametrize("with_regions", [False, True])
def test_oasis_norms_equal_the_dense_computation_of_the_paper(with_regions: bool):
    """Sec. 3.3: 3D noise and one-hot labels at full resolution, resized to every norm, not vectors and indices."""
    model = make_generator("OASIS").train()
    noise = random(2, 3 if with_regions else 1, 8)
    regions, label_map = random_regions(noise.shape[1]), random_regions(5).flip(1)
    calls: list[tuple] = []
    for norm in model.modules():
        if isinstance(norm, LabelSpadeNorm):
            norm.register_forward_hook(lambda norm, inputs, output: calls.append((norm, inputs[0], output)))
    model(label_map, noise=noise, noise_regions=regions if with_regions else None)
    noise_3d = torch.stack([vectors.T[:, image] for vectors, image in zip(noise, regions, strict=True)])
    dense = torch.cat([noise_3d, F.one_hot(label_map, 5).permute(0, 3, 1, 2).float()], dim=1)
    assert len(calls) == 10  # two per block, and one more where the width changes
    for norm, hidden, result in calls:
        resized = F.interpolate(dense, size=hidden.shape[-2:], mode="nearest")
        kernels = torch.cat([norm.embedding.noise.weight, norm.embedding.labels.weight], dim=1)
        embedded = F.relu(F.conv2d(resized, kernels, norm.embedding.labels.bias, padding=1))
        halves = zip(norm.gamma_beta.weight.chunk(2), norm.gamma_beta.bias.chunk(2), strict=True)
        gamma, beta = (F.conv2d(embedded, weight, bias, padding=1) for weight, bias in halves)
        mean, variance = hidden.mean((0, 2, 3), keepdim=True), hidden.var((0, 2, 3), keepdim=True, correction=0)
        expected = (hidden - mean) / (variance + 1e-5).sqrt() * (1 + gamma) + beta
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", WITH_3D_NOISE)
def test_the_image_path_starts_from_labels_and_noise_at_its_lowest_resolution(family: str):
    model, noise, regions, label_map = make(family), random(2, 3, 8), random_regions(3), random_regions(5).flip(1)
    read: list[tuple] = []
    model.low_resolution_input.register_forward_hook(lambda layer, inputs, output: read.append(inputs))
    model(label_map, noise=noise, noise_regions=regions)
    small = [F.interpolate(indices[:, None].float(), size=(4, 8)).long()[:, 0] for indices in (label_map, regions)]
    for given, expected in zip(read[0], [small[0], noise, small[1]], strict=True):
        assert torch.equal(given, expected)


@pytest.mark.parametrize("concatenate", [True, False])
def test_dpgan_norms_read_equation_2(concatenate: bool):
    model = make_generator("DPGAN", concatenate_coarsest=concatenate)
    read: list[torch.Tensor] = []
    for block in model.blocks:
        block.norm_0.register_forward_hook(lambda norm, inputs, output: read.append(inputs[1]))
    seen: list[list[torch.Tensor]] = []
    model.pyramid.register_forward_hook(lambda pyramid, inputs, output: seen.append(output))
    model(labels(), noise=random(2, 8))
    alphas = seen[0][::-1]  # alpha^0 is the coarsest
    assert [tuple(alpha.shape[1:]) for alpha in alphas] == [(8, 4, 8), (8, 8, 16), (8, 16, 32), (8, 32, 64)]
    for condition, alpha in zip(read, alphas, strict=True):
        up = F.interpolate(alphas[0], size=alpha.shape[-2:], mode="bilinear")
        torch.testing.assert_close(condition, torch.cat([up, alpha], dim=1) if concatenate else alpha)
    widths = {module.gamma_beta.in_channels for module in model.modules() if isinstance(module, SpadeNorm)}
    assert widths == ({16} if concatenate else {8})


@pytest.mark.parametrize(
    ("family", "part", "overrides", "millions"),
    [
        # OASIS Sec. 3.3 and App. C, on ADE20K: 72 M of 96 M without SPADE's first block, 2 M for noise, D: 22 M.
        ("OASIS", "Generator", {"noise_dim": 0}, 72.5),
        ("OASIS", "Generator", {"noise_dim": 0, "channel_multipliers": (16, 16, 16, 16, 8, 4, 2, 1)}, 96.5),
        ("OASIS", "Generator", {}, 74.3),
        ("OASIS", "Discriminator", {}, 22.3),
        # DP-GAN, supplement, Table 5: the numbers are those of Cityscapes, 34 classes and void.
        ("OASIS", "Generator", {"num_labels": 35}, 71.1),
        ("DPGAN", "Generator", {"num_labels": 35}, 69.5),
        # SPADE's generator: OASIS Sec. 3.3, 96 M on ADE20K; DP-GAN's Table 5, 93.0 M on Cityscapes. Its encoder has
        # 10 M in OASIS App. C.2, its two discriminators 5.5 M in App. C.1: without their inputs, they have 5.5 M here.
        ("SPADE", "Generator", {"noise_dim": 0}, 96.5),
        ("SPADE", "Generator", {"noise_dim": 0, "num_labels": 35}, 93.0),
        ("SPADE", "Generator", {}, 99.3),
        ("SPADE", "Generator", {"use_style_encoder": True}, 109.8),  # 10.5 M more
        ("SPADE", "Discriminator", {}, 5.8),
        ("SPADE", "Discriminator", {"num_labels": 35}, 5.6),
    ],
)
def test_sizes_of_the_papers(family: str, part: str, overrides: dict, millions: float):
    with torch.device("meta"):
        model = make(family, part, "paper", spectral_norm=False, **overrides)  # quicker, as large
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == millions


# Discriminators


@pytest.mark.parametrize("family", LABEL_PIXELS)
def test_one_logit_per_class_and_one_for_fake(family: str):
    model = make_discriminator(family)
    for size in ((32, 64), (64, 32)):
        output = model(pixels(2, *size))
        assert output.segmentation_logits.shape == (2, 6, *size)
        assert output.decoder_features is None and output.encoder_features is None
    logits, *_ = model(pixels(), return_dict=False)
    assert torch.equal(logits, model(pixels()).segmentation_logits)

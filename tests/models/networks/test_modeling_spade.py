# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What only SPADE's networks have: the first map from noise, the style encoder, judgements of image and label map."""

from pathlib import Path

import pytest
import torch
from tiny_families import assert_every_parameter_learns, judge, make, make_discriminator, pixels, random
from torch.nn import functional as F
from transformers import AutoModel

from dpsims_hf import SPADEDiscriminatorConfig, SPADEGeneratorConfig
from dpsims_hf.modeling_spade import StyleEncoder


LABELS = (torch.arange(2 * 32 * 64) // 97 % 5).view(2, 32, 64)


def generator(**overrides: object) -> torch.nn.Module:
    return make("SPADE", **{"init_gain": 0.5, **overrides}).eval()


# -- generator --------------------------------------------------------------------------------------------------------


def test_the_paper_has_seven_blocks_from_a_map_of_4x4():
    with torch.device("meta"):
        model = make("SPADE", preset="paper", spectral_norm=False)
    widths = [(block.conv_0.in_channels, block.conv_1.out_channels) for block in model.blocks]
    assert widths == [(1024, 1024)] * 3 + [(1024, 512), (512, 256), (256, 128), (128, 64)]
    assert model.noise_grid.weight.shape == (1024, 256, 4, 4) and model.low_resolution_input is None
    assert SPADEGeneratorConfig(image_size=(256, 512)).first_map_size == (4, 8)


def test_the_first_map_is_a_linear_layer_of_the_noise():
    grid = generator().noise_grid
    noise, linear = random(2, 1, 8), torch.nn.Linear(8, 16 * 4 * 8)
    with torch.no_grad():
        grid.bias.normal_()
        linear.weight.copy_(grid.weight.permute(0, 2, 3, 1).reshape(-1, 8))
        linear.bias.copy_(grid.bias.flatten())
    torch.testing.assert_close(grid(noise, None, (4, 8)), linear(noise[:, 0]).view(2, 16, 4, 8))


@pytest.mark.parametrize("size", [(4, 8), (8, 8), (3, 5)])
def test_each_place_of_the_first_map_obeys_the_noise_of_its_region(size: tuple[int, int]):
    grid, noise = generator().noise_grid, random(2, 3, 8)
    regions = torch.arange(2 * size[0] * size[1]).view(2, *size) % 3
    with torch.no_grad():
        grid.bias.normal_()
        alone = torch.stack([grid(noise[:, index : index + 1], None, size) for index in range(3)], dim=1)
        expected = alone.gather(1, regions[:, None, None].expand(-1, 1, 16, -1, -1))[:, 0]
        torch.testing.assert_close(grid(noise, regions, size), expected)


def test_a_generator_without_noise_starts_from_the_label_map():
    model = generator(noise_dim=0)
    assert model.noise_grid is None
    changed = LABELS.clone()
    changed[:, :8, :8] = (changed[:, :8, :8] + 1) % 5
    low = [model.low_resolution_input(each[:, ::8, ::8], None, None) for each in (LABELS, changed)]
    assert not torch.equal(*low)


# -- style encoder ----------------------------------------------------------------------------------------------------


def test_the_style_encoder_of_the_paper():
    """OASIS App. C.2: the image encoder of SPADE has 10 M parameters."""
    with torch.device("meta"):
        encoder = StyleEncoder(SPADEGeneratorConfig(spectral_norm=False))
    assert encoder.side == 256
    assert sum(p.numel() for p in encoder.parameters()) == 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 9 * 2 * (
        512 * 512
    ) + 2 * (512 * 16 * 256 + 256)


def test_a_photo_has_a_style_and_its_mean_is_noise():
    model = generator(use_style_encoder=True)
    style = model.encode_style(pixels(2, 40, 50))
    assert style.mean.shape == style.log_variance.shape == (2, 8)
    assert not torch.allclose(style.mean[0], style.mean[1])
    draw = random(2, 8, seed=1)
    output = model(LABELS, noise=draw, style_images=pixels(2, 40, 50))
    vectors = style.mean + (0.5 * style.log_variance).exp() * draw
    torch.testing.assert_close(output.images, model(LABELS, noise=vectors).images)
    assert torch.equal(output.style_mean, style.mean) and torch.equal(output.style_log_variance, style.log_variance)
    by_region = model(LABELS, noise=draw[:, None], noise_regions=LABELS * 0, style_images=pixels(2, 40, 50))
    torch.testing.assert_close(by_region.images, output.images)
    images, *rest = model(LABELS, noise=draw, style_images=pixels(2, 40, 50), return_dict=False)
    assert torch.equal(images, output.images) and len(rest) == 2


def test_the_encoder_learns_survives_saving_and_works_in_the_fast_form(tmp_path: Path):
    model = generator(use_style_encoder=True).train()
    output = model(LABELS, noise=random(2, 8), style_images=pixels())
    assert_every_parameter_learns(model, [output.images, output.style_mean, output.style_log_variance])
    model.eval().save_pretrained(tmp_path)
    again, fast = AutoModel.from_pretrained(tmp_path), model.for_inference("float32")
    for other in (again, fast):
        torch.testing.assert_close(other.encode_style(pixels()).mean, model.encode_style(pixels()).mean)
    assert model.style_encoder.mean.weight.requires_grad, "the fast form has a copy"


def test_what_a_style_encoder_refuses():
    with pytest.raises(ValueError, match="use_style_encoder=true needs noise.*noise_dim=0; give noise_dim=256"):
        SPADEGeneratorConfig(noise_dim=0, use_style_encoder=True)
    with pytest.raises(ValueError, match="no style encoder; train one with generator.use_style_encoder=true"):
        generator().encode_style(pixels())
    with pytest.raises(ValueError, match="no style encoder"):
        generator()(LABELS, style_images=pixels())
    model = generator(use_style_encoder=True)
    with pytest.raises(ValueError, match="style_images has 1 photos for 2 label maps"):
        model(LABELS, style_images=pixels(1))
    with pytest.raises(ValueError, match=r"pixel_values has shape \(2, 4\)"):
        model.encode_style(random(2, 4))
    with pytest.raises(ValueError, match="noise_injection='cross_attention' is unknown; choose one of linear, concat"):
        SPADEGeneratorConfig(noise_injection="cross_attention")


# -- discriminator ----------------------------------------------------------------------------------------------------


def test_the_discriminator_reads_image_and_label_map_at_each_scale():
    model = make_discriminator("SPADE")
    joined = torch.cat([pixels(), F.one_hot(LABELS, 5).permute(0, 3, 1, 2).float()], dim=1)
    halved = joined.view(2, 8, 16, 2, 32, 2).mean((3, 5))
    output = model(pixels(), LABELS, output_features=True)
    assert [tuple(score.shape) for score in output.patch_logits] == [(2, 1, 11, 19), (2, 1, 7, 11)]
    assert [tuple(each.shape[1:]) for each in output.encoder_features[:3]] == [(4, 17, 33), (8, 9, 17), (8, 10, 18)]
    features = []
    for network, given, score in zip(model.scales, (joined, halved), output.patch_logits, strict=True):
        expected, activations = network(given)
        torch.testing.assert_close(score, expected)
        features += activations
    torch.testing.assert_close(output.encoder_features, tuple(features))
    assert output.segmentation_logits is None and model(pixels(), LABELS).encoder_features is None


def test_another_label_map_is_another_judgement():
    model = make_discriminator("SPADE")
    first, second = (model(pixels(), labels).patch_logits for labels in (LABELS, LABELS.flip(2)))
    assert all((a - b).abs().mean() > 1e-3 for a, b in zip(first, second, strict=True))


def test_the_networks_of_the_paper():
    with torch.device("meta"):
        model = make("SPADE", "Discriminator", "paper", spectral_norm=False)
    assert len(model.scales) == 2
    for network in model.scales:
        convolutions = [layer[0] for layer in network.layers]
        assert [each.in_channels for each in convolutions] == [154, 64, 128, 256]
        assert [each.stride[0] for each in convolutions] == [2, 2, 2, 1]
        normed = [any(isinstance(part, torch.nn.InstanceNorm2d) for part in layer) for layer in network.layers]
        assert normed == [False, True, True, True]


@pytest.mark.parametrize("overrides", [{"patch_scales": 1}, {"patch_scales": 3, "instance_norm": False}])
def test_other_numbers_of_scales(overrides: dict):
    model = make_discriminator("SPADE", **overrides).train()
    scores = judge(model, pixels()).patch_logits
    assert len(scores) == overrides["patch_scales"]
    assert_every_parameter_learns(model, list(scores))
    smallest = SPADEDiscriminatorConfig.from_preset("tiny", **overrides).size_divisor
    assert all(torch.isfinite(each).all() for each in judge(model, pixels(1, smallest, smallest)).patch_logits)


def test_a_discriminator_without_hidden_layers_is_refused():
    with pytest.raises(ValueError, match="encoder_channels is empty"):
        SPADEDiscriminatorConfig(encoder_channels=())


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (None, r"label_map is None; .* int64 of shape \(2, 32, 64\)"),
        (LABELS[:, :16], r"label_map is of shape \(2, 16, 64\)"),
        (LABELS.float(), "type torch.float32"),
        (LABELS + 1, "label_map holds 5, outside the legal range 0..4"),
    ],
)
def test_label_maps_that_do_not_fit_are_named(label_map: torch.Tensor | None, message: str):
    with pytest.raises(ValueError, match=message):
        make_discriminator("SPADE")(pixels(), label_map)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Texture noise, bilinear up-sampling and padding, in all families."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from dpsims_hf import (
    DPGANGenerator,
    DPGANGeneratorConfig,
    DPSIMSGenerator,
    DPSIMSGeneratorConfig,
    OASISGenerator,
    OASISGeneratorConfig,
    SPADEGenerator,
    SPADEGeneratorConfig,
)
from dpsims_hf.layers_noise import NoiseConv2d, noise_map
from dpsims_hf.layers_texture import white_noise


FAMILIES = {
    "dpsims": (DPSIMSGenerator, DPSIMSGeneratorConfig),
    "dpgan": (DPGANGenerator, DPGANGeneratorConfig),
    "oasis": (OASISGenerator, OASISGeneratorConfig),
    "spade": (SPADEGenerator, SPADEGeneratorConfig),
}
CPU = torch.device("cpu")


def make(family: str, **changes: object) -> torch.nn.Module:
    model_class, config_class = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config_class.from_preset("tiny", **changes)).eval()
    with torch.no_grad():
        while model(**inputs()).images.abs().max() > 0.9:  # tanh of a fresh network is saturated
            model.to_image.weight.mul_(0.5)
    return model


def inputs(batch: int = 2) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return {
        "label_map": torch.randint(0, 5, (batch, 32, 64), generator=rng),
        "noise": torch.randn(batch, 8, generator=rng),
    }


def test_white_noise_is_white():
    noise = white_noise(3, 256, 256, 1, CPU)[0, 0]
    assert abs(noise.mean()) < 0.02 and abs(noise.var() - 1) < 0.02
    spectrum = torch.fft.fft2(noise).abs().square() / noise.numel()
    assert spectrum.max() < 20  # of 65536 values with mean 1 the largest is about log(65536) = 11


def test_white_noise_of_seeds_and_scales_is_independent():
    maps = [white_noise(seed, 128, 128, scale, CPU)[0, 0] for seed, scale in ((0, 0), (1, 0), (0, 1), (2**30 - 1, 5))]
    for index, one in enumerate(maps):
        for other in maps[index + 1 :]:
            correlation = torch.fft.ifft2(torch.fft.fft2(one) * torch.fft.fft2(other).conj()).real / one.numel()
            assert correlation.abs().max() < 0.05


def test_white_noise_has_these_very_values():
    """Integers only until the last step: every machine and every exported graph must get them."""
    expected = torch.tensor([white_noise_by_hand(7, row, column, 2) for row in range(3) for column in range(4)])
    torch.testing.assert_close(white_noise(7, 3, 4, 2, CPU).flatten(), expected, rtol=1e-6, atol=1e-6)


def white_noise_by_hand(seed: int, row: int, column: int, scale: int) -> float:
    state = (row * 0x2545F491 + column * 0x1B873593 + seed * 0x19D699A5 + scale * 0x27D4EB2F) % 2**30
    total = 0
    for step in range(6):
        state = state * (2 * state + 2 * step + 1) % 2**30
        state = (state << 15 | state >> 15) & (2**30 - 1)
        total += (state >> 15) + (state & 0x7FFF) if step > 3 else 0
    return (total - 2 * 32767) / ((2**30 - 1) / 3) ** 0.5


def test_a_larger_map_continues_a_smaller_one():
    assert torch.equal(white_noise(5, 64, 64, 0, CPU)[..., :32, :16], white_noise(5, 32, 16, 0, CPU))


def test_a_seed_for_each_image_is_that_seed():
    both = white_noise(torch.tensor([4, 9]), 16, 16, 1, CPU)
    assert torch.equal(both, torch.cat([white_noise(seed, 16, 16, 1, CPU) for seed in (4, 9)]))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_papers_presets_have_none_of_it(family: str):
    for preset in ("paper", "small", "tiny"):
        config = FAMILIES[family][1].from_preset(preset)
        assert not config.texture_noise and config.upsample_mode == "nearest" and config.padding_mode == "zeros"


@pytest.mark.parametrize("family", FAMILIES)
def test_texture_noise_changes_the_image_by_its_seed_alone(family: str):
    model, batch = make(family, texture_noise=True), inputs()
    with torch.no_grad():
        first = model(**batch).images
        assert torch.equal(first, model(**batch, texture_seed=0).images)
        assert torch.equal(first, model(**batch, texture_seed=torch.tensor([0, 0])).images)
        other = model(**batch, texture_seed=torch.tensor([0, 3])).images
    assert torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_it_breaks_the_symmetry_of_a_map_of_one_class(family: str):
    batch = {"label_map": torch.zeros(1, 32, 64, dtype=torch.long), "noise": torch.zeros(1, 8)}
    settings = {"padding_mode": "reflect", "upsample_mode": "bilinear"}
    with torch.no_grad():
        plain = make(family, **settings)(**batch).images
        textured = make(family, texture_noise=True, **settings)(**batch).images
    assert plain.flatten(2).std(dim=2).max() < 1e-5
    assert textured.flatten(2).std(dim=2).min() > 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_no_convolution_leaves_a_fringe(family: str, mode: str):
    """A map of one class has no border to see: the image is the same everywhere."""
    batch = {"label_map": torch.ones(1, 32, 64, dtype=torch.long), "noise": inputs(1)["noise"]}
    # SPADE's linear layer makes another start of each place of the picture, on purpose.
    overrides = {"noise_injection": "concat"} if family == "spade" else {}
    with torch.no_grad():
        image = make(family, padding_mode=mode, **overrides)(**batch).images
        zeros = make(family, **overrides)(**batch).images
    assert (image - image[..., 16:17, 32:33]).abs().max() < 1e-5
    assert (zeros - zeros[..., 16:17, 32:33]).abs().max() > 1e-4


@pytest.mark.parametrize("regions", [None, "few", "many"])
def test_noise_convolution_continues_the_border(regions: str | None):
    torch.manual_seed(0)
    convolution = NoiseConv2d(4, 3, replicate=True)
    count = {None: 1, "few": 3, "many": 6}[regions]
    noise, numbers = torch.randn(2, count, 4), torch.randint(0, count, (2, 6, 8))
    padded = torch.nn.functional.pad(noise_map(noise, numbers), [1] * 4, mode="replicate")
    expected = torch.nn.functional.conv2d(padded, convolution.weight)
    torch.testing.assert_close(convolution(noise, None if regions is None else numbers, (6, 8)), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_gains_are_trained_saved_and_started_small(family: str, tmp_path: Path):
    model = make(family, texture_noise=True)
    gains = {name: value for name, value in model.named_parameters() if name.endswith(".gain")}
    assert len(gains) == 2 * len(model.blocks) and all((value == 0.04).all() for value in gains.values())
    model(**inputs()).images.square().mean().backward()
    assert all(value.grad.abs().sum() > 0 for value in gains.values())
    with torch.no_grad():
        for value in gains.values():
            value.uniform_(0, 1)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.config.texture_noise
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs()).images, model(**inputs()).images)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_without_gains_start_them(family: str, tmp_path: Path):
    """A model trained without texture noise goes on with it."""
    make(family).save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, texture_noise=True)
    assert all((m.gain == 0.04).all() for m in loaded.modules() if type(m).__name__ == "TextureNoise")


@pytest.mark.parametrize(
    ("seed", "message"),
    [(-1, "texture_seed=-1"), (2**30, "0..1073741823"), (1.5, "texture_seed=1.5"), (torch.zeros(3), r"shape \(3,\)")],
)
def test_wrong_texture_seeds_are_named(seed: object, message: str):
    with pytest.raises(ValueError, match=message):
        make("dpsims", texture_noise=True)(**inputs(), texture_seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_it_exports(family: str):
    model = make(family, texture_noise=True, upsample_mode="bilinear")
    names = ("label_map", "noise")
    batch = inputs(1)
    program = torch.export.export(model, (), {name: batch[name] for name in names})
    with torch.no_grad():
        torch.testing.assert_close(program.module()(**batch).images, model(**batch).images)

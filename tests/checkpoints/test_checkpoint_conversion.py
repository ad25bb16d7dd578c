# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights of the original OASIS and DP-GAN programs: our models give the originals' numbers, and say what is wrong."""

import json
from pathlib import Path

import pytest
import torch
from original_weights import (
    DECODER,
    ENCODER,
    generate,
    make_discriminator,
    make_generator,
    original_discriminator,
    original_generator,
)
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModel

from dpsims_hf.checkpoint_conversion import (
    convert_discriminator,
    convert_generator,
    load_original,
)
from dpsims_hf.checkpoint_conversion.__main__ import main
from dpsims_hf.training.objectives.losses import class_weights, n_plus_one_loss


pytestmark = pytest.mark.integration


REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(),
    reason="no ../shared/reference: tensors of the original programs, not part of the repository",
)


# -- the originals' own numbers ---------------------------------------------------------------------------------------


def fake_first(logits: torch.Tensor) -> torch.Tensor:
    """Our logits in the originals' order."""
    return torch.cat([logits[:, -1:], logits[:, :-1]], dim=1)


@needs_reference
@pytest.mark.parametrize("fold", [False, True], ids=["training", "folded"])
@pytest.mark.parametrize("family", ["oasis", "dpgan"])
def test_the_originals_numbers_come_out(family: str, fold: bool, tmp_path: Path):
    folder = REFERENCE / f"{family}_square"
    command = ["--family", family, "--generator", f"{folder}/G.pth", "--discriminator", f"{folder}/D.pth"]
    command += ["--output_dir", f"{tmp_path}/model", "--image_size", "64", "64", "--void_label_id", "0"]
    assert main(command + ["--fold"] * fold) == 0
    generator = AutoModel.from_pretrained(tmp_path / "model").eval()
    discriminator = AutoModel.from_pretrained(tmp_path / "model", subfolder="discriminator").eval()
    tensors = load_file(folder / "tensors.safetensors")
    labels, mask = tensors["label"].long(), tensors["labelmix_mask"].float()
    mixed = mask * tensors["real"] + (1 - mask) * tensors["fake"]
    with torch.no_grad():
        images = generator(labels, noise=tensors["z"]).images
        fake, real = (discriminator(tensors[name], output_features=True) for name in ("fake", "real"))
        mixed_logits = discriminator(mixed).segmentation_logits
    assert torch.allclose(images, tensors["fake"], atol=1e-4)
    logits = {"fake": fake.segmentation_logits, "real": real.segmentation_logits, "mixed": mixed_logits}
    for name, value in logits.items():
        assert torch.allclose(fake_first(value), tensors[f"logits_{name}"], atol=1e-4), name

    weights = class_weights(labels, 6, void_label_id=0)
    all_fake = torch.full_like(labels, 6)
    losses = {
        "loss_fake": n_plus_one_loss(logits["fake"], all_fake, gamma=0),
        "loss_real": n_plus_one_loss(logits["real"], labels, weights, gamma=0),
        "loss_gen": n_plus_one_loss(logits["fake"], labels, weights, gamma=0),
        "loss_labelmix_unweighted": F.mse_loss(mixed_logits, mask * logits["real"] + (1 - mask) * logits["fake"]),
    }
    if family == "dpgan":
        scores = list(zip(fake.patch_logits, real.patch_logits, strict=True))
        for index, pair in enumerate(scores):
            for name, score in zip(("fake", "real"), pair, strict=True):
                assert torch.allclose(score, tensors[f"patch_score_{name}_{index}"], atol=1e-4)
        losses["patch_d_fake"] = sum(F.relu(1 + of_fake).mean() for of_fake, _ in scores) / 2
        losses["patch_d_real"] = sum(F.relu(1 - of_real).mean() for _, of_real in scores) / 2
        losses["patch_g"] = -sum(of_fake.mean() for of_fake, _ in scores) / 2
        matched = zip(fake.decoder_features, real.decoder_features, strict=True)
        losses["feature_matching_sum"] = sum(F.mse_loss(of_fake, of_real) for of_fake, of_real in matched)
    expected = json.loads((folder / "meta.json").read_text())["losses"]
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("family", "widths", "num_labels", "noise_dim", "size", "options"),
    [
        ("oasis", (8, 8, 4, 4, 2), 5, 8, (16, 32), {}),
        ("oasis", (8, 8, 6, 4, 3, 2), 100, 64, (32, 16), {}),
        ("oasis", (4, 4, 4, 4, 4, 3, 3, 2), 3, 0, (64, 128), {}),
        ("dpgan", (8, 8, 4, 4, 2), 13, 0, (8, 24), {}),
        ("dpgan", (6, 6, 5, 4, 3, 2), 5, 64, (48, 16), {"concatenate_coarsest": False}),
        ("dpgan", (4, 4, 4, 4, 4, 4, 2, 1), 4, 8, (64, 128), {}),
    ],
)
def test_a_generator_of_any_size(family, widths, num_labels, noise_dim, size, options):
    model = make_generator(family, widths, num_labels, noise_dim, size, **options)
    before = torch.get_rng_state()
    state = original_generator(model)
    converted = convert_generator(family, state, num_labels=num_labels, image_size=size)
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("widths", "noise_dim", "num_labels", "image_size", "spectral_norm"):
        assert getattr(converted.config, name) == getattr(model.config, name)
    assert torch.equal(generate(converted, size), generate(model, size))
    by_noise = convert_generator(family, state, noise_dim=noise_dim, image_size=size)
    assert by_noise.config.num_labels == num_labels
    if noise_dim == 64:  # what is taken where neither is known
        assert convert_generator(family, state, image_size=size).config.num_labels == num_labels


@pytest.mark.parametrize(
    ("family", "encoder", "decoder", "num_labels"),
    [
        ("oasis", (4, 6, 6), (6, 4, 3), 5),
        ("oasis", (4, 4, 6, 6, 8), (8, 6, 4, 4, 3), 100),
        ("oasis", (*ENCODER, 8), (8, *DECODER), 3),
        ("dpgan", ENCODER, DECODER, 13),
        ("dpgan", (*ENCODER, 10), (10, *DECODER), 5),
    ],
)
def test_a_discriminator_of_any_size(family, encoder, decoder, num_labels):
    model = make_discriminator(family, encoder, decoder, num_labels)
    converted = convert_discriminator(family, original_discriminator(model))
    assert converted.config.num_labels == num_labels
    photo = torch.rand(1, 3, 2 ** len(encoder), 2 ** (len(encoder) + 1)) * 2 - 1
    with torch.no_grad():
        expected, found = (network(photo, output_features=True) for network in (model, converted))
    assert torch.equal(found.segmentation_logits, expected.segmentation_logits)
    for name in ("decoder_features", "patch_logits") if family == "dpgan" else ("decoder_features",):
        pairs = zip(getattr(found, name), getattr(expected, name), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_widths_that_are_multiples_give_base_channels():
    config = convert_generator("oasis", original_generator(make_generator("oasis")), 5, image_size=(32, 64)).config
    assert (config.base_channels, config.channel_multipliers) == (2, [4, 4, 2, 2, 1])


def test_weights_whose_norm_was_removed():
    model = make_generator("oasis")
    expected = generate(model, (32, 64))
    state = original_generator(model.fold_spectral_norm())
    assert "body.0.conv_0.weight" in state
    converted = convert_generator("oasis", state, noise_dim=8, image_size=(32, 64))
    assert converted.config.spectral_norm is False
    assert torch.allclose(generate(converted, (32, 64)), expected, atol=1e-6)


def test_ways_to_save_a_state_dict(tmp_path: Path):
    state = {"fc.weight": torch.rand(2, 3), "count": torch.tensor(7)}
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    path = tmp_path / "G.pth"
    for content in (state, parallel, {"state_dict": state, "epoch": 3}, {"model": parallel}):
        for zipped in (True, False):
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            loaded = load_original(path)
            assert loaded.keys() == state.keys() and all(torch.equal(loaded[name], state[name]) for name in state)

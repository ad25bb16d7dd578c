# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights of the original OASIS and DP-GAN programs: our models give the originals' numbers, and say what is wrong."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModel

from dpsims_hf import (
    DPGANDiscriminator,
    DPGANDiscriminatorConfig,
    DPGANGenerator,
    DPGANGeneratorConfig,
    OASISDiscriminator,
    OASISDiscriminatorConfig,
    OASISGenerator,
    OASISGeneratorConfig,
    SemanticImageSynthesisPipeline,
)
from dpsims_hf.checkpoint_conversion import (
    convert_discriminator,
    convert_generator,
    load_original,
    main,
)
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.hub import validate_model_folder
from dpsims_hf.training.losses import class_weights, n_plus_one_loss


pytestmark = pytest.mark.integration


REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(),
    reason="no ../shared/reference: tensors of the original programs, not part of the repository",
)
ENCODER, DECODER = (4, 4, 6, 6, 8, 8), (8, 6, 6, 4, 4, 5)


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


# -- originals made from our own networks, by names written down once more --------------------------------------------


def varied(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give biases, batch norms and their statistics values that matter."""
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=rng)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(3)
        elif tensor.ndim == 1 and not name.endswith(("_u", "_v")):
            tensor.normal_(generator=rng)
    return model.eval()


def moved(state: dict, ours: str, theirs: str) -> dict:
    suffixes = {f".{n}": f".{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    spectral = ".parametrizations.weight."
    suffixes |= {f"{spectral}original": ".weight_orig", f"{spectral}0._u": ".weight_u", f"{spectral}0._v": ".weight_v"}
    return {theirs + new: state[ours + old].clone() for old, new in suffixes.items() if ours + old in state}


def joined(state: dict, ours: str, theirs: str) -> dict:
    """Noise channels first, then labels."""
    parts = [state[f"{ours}.{part}.weight"] for part in ("noise", "labels") if f"{ours}.{part}.weight" in state]
    return {f"{theirs}.weight": torch.cat(parts, dim=1), f"{theirs}.bias": state[f"{ours}.labels.bias"].clone()}


def original_generator(model: torch.nn.Module) -> dict:
    state = model.state_dict()
    result = joined(state, "low_resolution_input", "fc") | moved(state, "to_image", "conv_img")
    for block in range(len(model.blocks)):
        for part in ("0", "1", "s"):
            result |= moved(state, f"blocks.{block}.conv_{part}", f"body.{block}.conv_{part}")
            ours, theirs = f"blocks.{block}.norm_{part}", f"body.{block}.norm_{part}"
            if f"{ours}.gamma_beta.weight" not in state:
                continue
            result |= moved(state, f"{ours}.norm", f"{theirs}.first_norm")
            for kind in ("weight", "bias"):
                gamma, beta = state[f"{ours}.gamma_beta.{kind}"].chunk(2)
                result |= {f"{theirs}.mlp_gamma.{kind}": gamma.clone(), f"{theirs}.mlp_beta.{kind}": beta.clone()}
            if isinstance(model, OASISGenerator):
                result |= joined(state, f"{ours}.embedding", f"{theirs}.mlp_shared.0")
    if isinstance(model, DPGANGenerator):
        result |= joined(state, "pyramid.stem.convolution", "seg_pyrmid.0.0")
        result |= moved(state, "pyramid.stem.norm", "seg_pyrmid.0.1")
        for level in range(len(model.pyramid.levels)):
            result |= moved(state, f"pyramid.levels.{level}.convolution", f"seg_pyrmid.{level + 1}.0")
            result |= moved(state, f"pyramid.levels.{level}.norm", f"seg_pyrmid.{level + 1}.1")
    return result


def original_discriminator(model: torch.nn.Module) -> dict:
    state, result = model.state_dict(), {}
    for ours, theirs in (("encoder", "body_down"), ("decoder", "body_up")):
        for block in range(len(getattr(model, ours))):
            first = "conv1.2" if theirs == "body_up" else "conv1.1" if block else "conv1.0"
            for old, new in (("conv_0", first), ("conv_1", "conv2.1"), ("conv_s", "conv_s")):
                result |= moved(state, f"{ours}.{block}.{old}", f"{theirs}.{block}.{new}")
    for kind in ("weight", "bias"):
        last = state[f"classifier.{kind}"]
        result[f"layer_up_last.{kind}"] = torch.cat([last[-1:], last[:-1]])
    for name, tensor in state.items():
        if name.startswith("patch_heads."):
            result[name.replace("patch_heads.", "dis.")] = tensor.clone()
    return result


def make_generator(family: str, widths=(8, 8, 4, 4, 2), num_labels=5, noise_dim=8, size=(32, 64), **options):
    torch.manual_seed(0)
    sizes = {"num_labels": num_labels, "noise_dim": noise_dim, "image_size": size}
    sizes |= {"base_channels": 1, "channel_multipliers": widths, "init_gain": 1.0, **options}
    if family == "oasis":
        return varied(OASISGenerator(OASISGeneratorConfig(spade_channels=6, **sizes)))
    pyramid = [3 + index % 3 for index in range(len(widths))]
    return varied(DPGANGenerator(DPGANGeneratorConfig(**{"pyramid_channels": pyramid, **sizes})))


def make_discriminator(family: str, encoder=ENCODER, decoder=DECODER, num_labels=5):
    torch.manual_seed(1)
    sizes = {"encoder_channels": encoder, "decoder_channels": decoder, "num_labels": num_labels, "init_gain": 1.0}
    if family == "oasis":
        return varied(OASISDiscriminator(OASISDiscriminatorConfig(**sizes)))
    return varied(DPGANDiscriminator(DPGANDiscriminatorConfig(patch_channels=3, **sizes)))


def generate(model: torch.nn.Module, size: tuple[int, int], regions: int = 3) -> torch.Tensor:
    """Images of random labels, with a noise vector for each of some regions."""
    rng = torch.Generator().manual_seed(2)
    labels = torch.randint(0, model.config.num_labels, (2, *size), generator=rng)
    noise = model.sample_noise(2, regions, generator=rng)
    with torch.no_grad():
        return model(labels, noise=noise, noise_regions=torch.randint(0, regions, (2, *size), generator=rng)).images


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


# -- the command ------------------------------------------------------------------------------------------------------


def save_originals(folder: Path, family: str, num_labels: int = 5) -> list[str]:
    """Write G.pth and D.pth; the arguments that convert them."""
    torch.save(original_generator(make_generator(family, num_labels=num_labels)), folder / "G.pth")
    torch.save(original_discriminator(make_discriminator(family, num_labels=num_labels)), folder / "D.pth")
    command = ["--family", family, "--output_dir", str(folder / "model"), "--generator", str(folder / "G.pth")]
    return [*command, "--discriminator", str(folder / "D.pth"), "--image_size", "64", "128"]


@pytest.mark.parametrize("family", ["oasis", "dpgan"])
def test_the_folder_makes_images_segments_and_trains(family: str, tmp_path: Path, capsys):
    assert main([*save_originals(tmp_path, family), "--void_label_id", "4"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    for fact in (str(tmp_path / "model"), "5 classes", "void: 4", "8 channels of noise", "64x128"):
        assert fact in printed
    assert validate_model_folder(tmp_path / "model") == []
    card = (tmp_path / "model" / "README.md").read_text()
    title = {"oasis": "OASIS", "dpgan": "DP-GAN"}[family]
    assert f"converted from original {title} weights (G.pth, D.pth)" in card and "AGPL-3.0" in card
    pipe = SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "model")
    label_map = np.arange(64 * 128).reshape(64, 128) // 100 % 5
    images = pipe(label_map, seed=0, num_images_per_label_map=2).images
    assert len(images) == 2 and images[0].size == (128, 64)
    labels = pipe.segment(images[0])
    assert labels.shape == (64, 128) and labels.max() <= 4
    generator = AutoModel.from_pretrained(tmp_path / "model").train()
    generator(torch.from_numpy(label_map)[None]).images.sum().backward()
    assert generator.blocks[0].conv_0.parametrizations.weight.original.grad.abs().sum() > 0


@pytest.mark.parametrize("family", ["oasis", "dpgan"])
def test_folding_keeps_the_numbers(family: str, tmp_path: Path):
    assert main([*save_originals(tmp_path, family), "--fold"]) == 0
    for subfolder, model in (("", make_generator(family)), ("discriminator", make_discriminator(family))):
        folded = AutoModel.from_pretrained(tmp_path / "model", subfolder=subfolder).eval()
        stored = load_file(tmp_path / "model" / subfolder / "model.safetensors")
        assert folded.config.spectral_norm is False and not any("parametrizations" in name for name in stored)
        if subfolder:
            photo = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
            found, expected = (network(photo).segmentation_logits for network in (folded, model))
        else:
            found, expected = (generate(network, (32, 64)) for network in (folded, model))
        assert torch.allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_a_generator_alone_with_the_names_of_a_file(tmp_path: Path):
    command = save_originals(tmp_path, "oasis")
    names = ["sky", "road", "car", "tree", "unknown"]
    classes = [{"id": i, "name": name, "color": [i, 100, 50]} for i, name in enumerate(names)]
    (tmp_path / "streets.json").write_text(json.dumps({"name": "streets", "classes": classes, "void_index": 4}))
    keep = [part for part in command if part not in ("--discriminator", str(tmp_path / "D.pth"))]
    assert main([*keep, "--label_preset", str(tmp_path / "streets.json")]) == 0
    assert not (tmp_path / "model" / "discriminator").exists()
    config = AutoModel.from_pretrained(tmp_path / "model").config
    assert list(config.id2label.values()) == names and config.void_label_id == 4
    processor = AutoImageProcessor.from_pretrained(tmp_path / "model")
    image = Image.new("RGB", (128, 64), (2, 100, 50))
    assert (processor(image)["label_map"] == 2).all()


def test_a_known_label_space(tmp_path: Path):
    command = save_originals(tmp_path, "dpgan", num_labels=35)
    assert main([*command[:-3], "--label_preset", "cityscapes"]) == 0
    config = AutoModel.from_pretrained(tmp_path / "model", subfolder="discriminator").config
    assert config.id2label[26] == "car" and config.void_label_id == 0
    config = AutoModel.from_pretrained(tmp_path / "model").config
    assert config.image_size == [256, 512] and config.id2label[34] == "license plate"
    assert "# DP-GAN, cityscapes" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("preset", "count", "void", "examples"),
    [
        ("ade20k", 151, 0, {1: "wall", 13: "person", 21: "car", 100: "buffet", 150: "flag"}),
        ("camvid", 12, 11, {0: "sky", 3: "road", 10: "bicyclist", 11: "void"}),
        ("labelme_facade", 9, 8, {0: "sky", 2: "window", 7: "pavement", 8: "void"}),
        ("cityscapes", 35, 0, {1: "ego vehicle", 7: "road", 23: "sky", 33: "bicycle", 34: "license plate"}),
        ("coco_stuff", 183, 0, {1: "person", 3: "car", 91: "hair brush", 92: "banner", 157: "sky-other", 182: "wood"}),
    ],
)
def test_label_presets(preset: str, count: int, void: int, examples: dict[int, str]):
    spec = load_label_preset(preset)
    assert (spec.name, spec.num_labels, spec.void_label_id) == (preset, count, void)
    assert {label: spec.labels[label] for label in examples} == examples
    assert len(set(spec.labels)) == len(set(spec.palette)) == count


# -- what is refused --------------------------------------------------------------------------------------------------


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refusal(command: list[str], capsys) -> str:
    """The one line that the command prints when it fails."""
    capsys.readouterr()
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "Traceback" not in error
    assert not Path(command[command.index("--output_dir") + 1]).exists()
    return error


def without(prefix: str):
    """A change to a state dict: leave out what starts so."""
    return lambda state: [state.pop(name) for name in list(state) if name.startswith(prefix)]


def with_tensor(name: str, *shape: int):
    return lambda state: state.update({name: torch.ones(shape)})


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("G.pth", without("body.1.conv_1.weight_u"), "body.1.conv_1.weight_u is missing"),
        ("G.pth", without("body.2."), "body.2.conv_0.weight_orig is missing"),
        ("G.pth", without("body.3.norm_s.first_norm.running_var"), "body.3.norm_s.first_norm.running_var is missing"),
        ("G.pth", with_tensor("extra.weight", 1), "extra.weight has no place"),
        ("G.pth", with_tensor("fc.bias", 3), "fc.bias has shape (3,); expected is (8,)"),
        ("G.pth", with_tensor("fc.weight", 3), "fc.weight has shape (3,)"),
        (
            "G.pth",
            with_tensor("body.1.norm_0.mlp_shared.0.weight", 6, 12, 3, 3),
            "mlp_shared.0.weight has shape (6, 12, 3, 3); expected is (6, 13, 3, 3)",
        ),
        ("D.pth", without("layer_up_last.bias"), "layer_up_last.bias is missing"),
        ("D.pth", without("body_down.3.conv2.1.weight_orig"), "body_down.3.conv2.1.weight_orig is missing"),
        ("D.pth", without(""), "layer_up_last.weight is missing"),
        ("D.pth", with_tensor("dis.0.0.weight", 1), "dis.0.0.weight has no place"),
    ],
)
def test_tensors_that_do_not_fit(file, change, message, tmp_path: Path, capsys):
    command = save_originals(tmp_path, "oasis")
    state = load_original(tmp_path / file)
    change(state)
    torch.save(state, tmp_path / file)
    assert f"error: {tmp_path / file}: tensor " in (error := refusal(command, capsys)) and message in error


@pytest.mark.parametrize(
    ("family", "other", "file", "name"),
    [
        ("oasis", "dpgan", "G.pth", "seg_pyrmid.0.0.weight is missing"),
        ("oasis", "dpgan", "D.pth", "dis.0.0.weight is missing"),
        ("dpgan", "oasis", "G.pth", "body.0.norm_0.mlp_shared.0.weight is missing"),
        ("dpgan", "oasis", "D.pth", "dis.0.0.weight has no place"),
    ],
)
def test_another_family(family, other, file, name, tmp_path: Path):
    save_originals(tmp_path, family)
    convert = {"G.pth": convert_generator, "D.pth": convert_discriminator}[file]
    with pytest.raises(ValueError, match=f"{name}.*of another program or family"):
        convert(other, load_original(tmp_path / file), num_labels=5)
    with pytest.raises(ValueError, match="family='dpsims' is unknown; choose one of oasis, dpgan"):
        convert("dpsims", load_original(tmp_path / file))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(zipped: bool, tmp_path: Path, capsys):
    command = save_originals(tmp_path, "oasis")
    content = {"fc.weight": torch.ones(1), "x": Malicious(tmp_path / "broken_in")}
    torch.save(content, tmp_path / "G.pth", _use_new_zipfile_serialization=zipped)
    error = refusal(command, capsys)
    assert f"{tmp_path / 'G.pth'}: needs " in error and "mkdir, and loading it could run code; save" in error
    assert not (tmp_path / "broken_in").exists()


def test_files_that_hold_no_state_dict(tmp_path: Path, capsys):
    command, path = save_originals(tmp_path, "oasis"), tmp_path / "G.pth"
    whole = path.read_bytes()
    for data in (b"", b"plain text, no torch file", b"\x89PNG\r\n\x1a\n" + bytes(99), whole[: len(whole) // 2]):
        path.write_bytes(data)
        assert f"{path}: no torch file, or a damaged one; save" in refusal(command, capsys)
    for content, message in (
        ({"netG": {"fc.weight": torch.ones(1)}}, "'netG' is dict, no tensor; save"),
        ({"state_dict": {"fc.weight": 3}}, "'fc.weight' is int, no tensor"),
        ([torch.ones(1)], "'the content' is list, no tensor"),
        (torch.nn.Linear(2, 2).state_dict(), "tensor fc.weight is missing"),
    ):
        torch.save(content, path)
        assert f"{path}: {message}" in refusal(command, capsys)
    path.unlink()
    assert f"{path}: No such file" in refusal(command, capsys)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--label_preset", "cityscapes"], ("5 classes", "not 35", "--label_preset")),
        (["--num_labels", "6"], ("5 classes", "not 6", "--num_labels")),
        (["--label_preset", "camvid", "--num_labels", "5"], ("camvid has 12", "--num_labels is 5")),
        (["--noise_dim", "64"], ("13 input channels", "5 (classes) + 64 (noise)", "--noise_dim")),
        (["--label_preset", "ade"], ("'ade'", "ade20k, camvid, cityscapes, cityscapes_train_ids, coco_stuff")),
        (["--void_label_id", "5"], ("void_label_id 5", "0..4")),
        (["--image_size", "96", "64"], ("96x64", "64")),
    ],
)
def test_numbers_that_contradict_the_file(arguments, facts, tmp_path: Path, capsys):
    error = refusal([*save_originals(tmp_path, "oasis"), *arguments], capsys)
    assert all(fact in error for fact in facts), error


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ([], ("13 input channels", "64 (noise)")),
        (["--num_labels", "20"], ("13 input channels", "20 (classes)")),
        (["--num_labels", "5", "--noise_dim", "9"], ("13 input channels", "5 (classes) + 9 (noise)")),
        (["--noise_dim", "-1"], ("13 input channels", "-1 (noise)")),
        (["--num_labels", "5", "--image_size", "20", "32"], ("[20, 32]", "multiples of 8")),
    ],
)
def test_numbers_that_contradict_a_generator_alone(arguments, facts, tmp_path: Path, capsys):
    command = save_originals(tmp_path, "oasis")
    at = command.index("--discriminator")
    error = refusal([*command[:at], *command[at + 2 :], *arguments], capsys)
    assert all(fact in error for fact in facts), error


def test_patch_heads_read_blocks_four_and_six():
    state = original_discriminator(make_discriminator("dpgan"))
    state["dis.1.0.weight"] = torch.ones(3, 6, 3, 3)
    with pytest.raises(ValueError, match=r"dis.1.0.weight has shape \(3, 6, 3, 3\); expected is \(3, 8, 3, 3\)"):
        convert_discriminator("dpgan", state)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The command that converts original weights: the folder it writes, and what it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from original_weights import generate, make_discriminator, make_generator, original_discriminator, original_generator
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel

from dpsims_hf import (
    SemanticImageSynthesisPipeline,
)
from dpsims_hf.checkpoint_conversion import (
    convert_discriminator,
    convert_generator,
    load_original,
)
from dpsims_hf.checkpoint_conversion.__main__ import main
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.hub import validate_model_folder


pytestmark = pytest.mark.integration


# -- the command ------------------------------------------------------------------------------------------------------


def save_originals(folder: Path, family: str, num_labels: int = 5) -> list[str]:
    """Write G.pth and D.pth; the arguments that convert them."""
    torch.save(original_generator(make_generator(family, num_labels=num_labels)), folder / "G.pth")
    torch.save(original_discriminator(make_discriminator(family, num_labels=num_labels)), folder / "D.pth")
    command = ["--family", family, "--output_dir", str(folder / "model"), "--generator", str(folder / "G.pth")]
    return [*command, "--discriminator", str(folder / "D.pth"), "--image_size", "64", "128"]


@pytest.mark.slow
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

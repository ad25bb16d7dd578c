# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights of a checkpoint for a run with other classes: each class computes what its namesake computed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import run_here

from dpsims_hf.training.families import FAMILIES
from dpsims_hf.training.run.label_transfer import ClassMatch, parse_matches, transferred


OLD = ("sky", "building", "road", "car", "void")
NEW = ("car", "tree", "Sky", "void", "road", "building")  # another order, one class more, another spelling


def make(family: str, kind: str, labels: tuple[str, ...], **settings):
    entry = FAMILIES[family]
    config_class = entry.generator.config_class if kind == "generator" else entry.discriminator.config_class
    names = {"num_labels": None, "id2label": dict(enumerate(labels)), "void_label_id": labels.index("void")}
    model_class = entry.generator if kind == "generator" else entry.discriminator
    return model_class(config_class.from_preset("tiny", **names, **settings)).eval()


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_generator_draws_the_same_picture_in_its_new_classes(family: str):
    torch.manual_seed(0)
    old, new = make(family, "generator", OLD), make(family, "generator", NEW)
    match = ClassMatch(NEW, OLD)
    new.load_state_dict(transferred(new, old.state_dict(), match))
    label_map = torch.randint(0, len(OLD), (1, 32, 64))
    translation = torch.tensor([match.sources.index(index) for index in range(len(OLD))])
    noise = old.sample_noise(1, generator=torch.Generator().manual_seed(1))
    expected = old(label_map, noise=noise).images
    assert torch.allclose(new(translation[label_map], noise=noise).images, expected, atol=1e-5)
    assert expected.std() > 1e-3  # not a picture of one colour


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "spade"])
@torch.no_grad()
def test_a_discriminator_gives_the_same_logits_in_its_new_order(family: str):
    torch.manual_seed(0)
    old, new = make(family, "discriminator", OLD), make(family, "discriminator", NEW)
    before = new.classifier.weight.clone()
    match = ClassMatch(NEW, OLD)
    new.load_state_dict(transferred(new, old.state_dict(), match))
    images = torch.rand(1, 3, 32, 64) * 2 - 1
    expected, logits = (model(images).segmentation_logits for model in (old, new))
    columns = [match.sources.index(index) for index in range(len(OLD))] + [len(NEW)]
    assert torch.allclose(logits[:, columns], expected, atol=1e-5)
    assert torch.equal(new.classifier.weight[1], before[1])  # tree is new


@pytest.mark.parametrize("spectral_norm", [True, False])
@torch.no_grad()
def test_a_judge_of_label_maps_judges_the_same_in_its_new_order(spectral_norm: bool):
    """Without the new class, which would count in the spectral norm."""
    torch.manual_seed(0)
    names = NEW if not spectral_norm else tuple(name for name in NEW if name != "tree")
    old, new = (make("spade", "discriminator", each, spectral_norm=spectral_norm) for each in (OLD, names))
    match = ClassMatch(names, OLD)
    label_map, images = torch.randint(0, len(OLD), (1, 32, 64)), torch.rand(1, 3, 32, 64) * 2 - 1
    old.train()
    for _ in range(300):  # power iterations until the norm is right
        old(images, label_map)
    old.eval()
    new.load_state_dict(transferred(new, old.state_dict(), match))
    translation = torch.tensor([match.sources.index(index) for index in range(len(OLD))])
    expected, found = old(images, label_map).patch_logits, new(images, translation[label_map]).patch_logits
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(expected, found, strict=True))
    assert expected[0].std() > 1e-5


def test_a_named_start_for_a_class_that_is_called_otherwise():
    match = ClassMatch(NEW, OLD, parse_matches(["tree=building"]))
    assert match.sources == [3, 1, 0, 4, 2, 1]
    assert str(match) == "classes from the checkpoint: car, tree=building, Sky, void, road, building; new: none"
    assert str(ClassMatch(NEW, OLD)).endswith("new: tree")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["tree"], "write NEW=OLD"),
        (["=sky"], "write NEW=OLD"),
        (["bush=sky"], "'bush' is no class of the run; it has car, tree"),
        (["tree=bush"], "'bush' is no class of the checkpoint; it has sky, building"),
    ],
)
def test_matches_that_name_nothing_are_refused(texts: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        ClassMatch(NEW, OLD, parse_matches(texts))


@torch.no_grad()
def test_folded_weights_train_on_under_spectral_norm():
    torch.manual_seed(0)
    old = make("dpsims", "generator", OLD)
    new = make("dpsims", "generator", OLD)
    label_map, noise = torch.randint(0, len(OLD), (1, 32, 64)), old.sample_noise(1)
    old.train()
    for _ in range(300):  # power iterations, one per pass, until the norm is right
        old(label_map, noise=noise)
    old.eval()
    expected = old(label_map, noise=noise).images
    folded = {name: value.clone() for name, value in old.fold_spectral_norm().state_dict().items()}
    assert not any("parametrizations" in name for name in folded)
    new.load_state_dict(transferred(new, folded, ClassMatch(OLD, OLD)))
    assert torch.allclose(new(label_map, noise=noise).images, expected, atol=1e-3)


def test_a_run_starts_from_a_checkpoint_of_other_classes(
    tiny_checkpoint_dir: Path, tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    data = shutil.copytree(tiny_dataset_dir, tmp_path / "data")
    table = json.loads((data / "classes.json").read_text())
    table["classes"][1]["name"] = "meadow"
    (data / "classes.json").write_text(json.dumps(table))
    arguments = ["--initialize_from", str(tiny_checkpoint_dir), "--max_train_steps", "1"]
    arguments += ["--set", "training.learning_rate_generator=0.0"]
    assert run_here(data, tmp_path / "out", *arguments, with_samples=False) == 0
    assert "new: meadow" in capsys.readouterr().out
    stored = load_file(tiny_checkpoint_dir / "model.safetensors")
    trained = load_file(tmp_path / "out" / "checkpoint-1" / "training_state" / "generator.safetensors")
    assert torch.equal(stored["to_image.weight"], trained["to_image.weight"])

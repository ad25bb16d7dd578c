# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The own segmenter: training, what is recorded of it, its command."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from segmenter_images import random_images

from dpsims_hf.data import JointTransform, SemanticImageDataset
from dpsims_hf.evaluation import ConfusionMatrix
from dpsims_hf.evaluation.segmenters import load_segmenter
from dpsims_hf.evaluation.train_segmenter import (
    SegmenterOptions,
    balanced_cross_entropy,
    class_weights,
    main,
    train,
)


BACKBONE = "test_efficientnet"


# -- the own segmenter ------------------------------------------------------------------------------------------------


def test_class_weights():
    """Shares 0.64, 0.16, 0.04, 0.16: 1 / sqrt = 1.25, 2.5, 5, 2.5; their mean over pixels is 1.8."""
    weights = class_weights(torch.tensor([64, 16, 4, 16]))
    torch.testing.assert_close(weights, torch.tensor([1.25, 2.5, 5.0, 2.5]) / 1.8)
    assert class_weights(torch.tensor([10, 0]))[1] == 0


def test_balanced_cross_entropy():
    """Two labelled pixels: log 4 x weight 3 and log(4/3) x weight 1, over 2; the void pixel has no part."""
    probabilities = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.5, 0.5]])
    logits = probabilities.log().T.view(1, 2, 1, 3)
    target = torch.tensor([[[1, 0, -1]]])
    loss = balanced_cross_entropy(logits, target, torch.tensor([1.0, 3.0]), -1)
    expected = (3 * torch.tensor(4.0).log() + torch.tensor(4 / 3).log()) / 2
    torch.testing.assert_close(loss, expected)
    assert balanced_cross_entropy(logits, torch.full_like(target, -1), torch.ones(2), -1) == 0


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backbone") / "model.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model(BACKBONE).state_dict(), path)
    return path


def _options(dataset_dir: Path, output_dir: Path, backbone_file: Path, **changes) -> SegmenterOptions:
    small = {"image_size": (32, 64), "channels": 16, "steps": 4, "batch_size": 2, "log_steps": 2, "device": "cpu"}
    options = SegmenterOptions(str(dataset_dir), str(output_dir), BACKBONE, str(backbone_file))
    return dataclasses.replace(options, **(small | changes))


@pytest.fixture(scope="module")
def trained(tiny_dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory, backbone_file: Path):
    """(folder, scores on val) of a short training."""
    folder = tmp_path_factory.mktemp("segmenter") / "streets"
    options = _options(tiny_dataset_dir, folder, backbone_file, steps=60, batch_size=4, learning_rate=1e-2)
    return folder, train(options)


@pytest.mark.integration
def test_training_learns_and_records_what_it_measured(tiny_dataset_dir: Path, trained, backbone_file: Path):
    folder, scores = trained
    segmenter = load_segmenter(str(folder))
    assert segmenter.label_names == ["sky", "building", "road", "car"] and segmenter.short_side == 32
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    matrix = ConfusionMatrix(4, ignore_index=4)  # void is the last of the set's labels
    for index in range(len(dataset)):
        photo = torch.from_numpy(dataset.photo(index).copy()).permute(2, 0, 1)[None]
        matrix.update(segmenter(photo)[0], dataset.label_map(index))
    assert matrix.compute()["mean_iou"] == scores["mean_iou"]
    assert scores["mean_iou"] > 0.5  # 0.06 to 0.2 before training
    val, training = (segmenter.facts()[key] for key in ("val", "training"))
    assert val["mean_iou"] == scores["mean_iou"] and val["num_images"] == len(dataset)
    assert set(val["per_class_iou"]) == set(segmenter.label_names)
    assert training["steps"] == 60 and training["num_images"] == 8 and training["split"] == "train"
    assert str(backbone_file.parents[1]) not in json.dumps(training)


@pytest.mark.integration
def test_own_segmenter_takes_other_sizes(trained):
    segmenter = load_segmenter(trained[0], short_side=64)
    assert segmenter(random_images(1, 50, 90)).shape == (1, 50, 90)
    assert segmenter.facts()["short_side"] == 64


def test_same_seed_same_segmenter(tiny_dataset_dir: Path, tmp_path: Path, backbone_file: Path):
    """... and the encoder: a rate of 0 leaves it alone, another rate moves its weights but never its statistics."""
    folders = [tmp_path / name for name in "abc"]
    for folder, rate in zip(folders, (1e-3, 1e-3, 0.0), strict=True):
        train(_options(tiny_dataset_dir, folder, backbone_file, backbone_learning_rate=rate))
    first, second, frozen = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(first[key], second[key]) for key in first)
    given = {key.replace(".", "_"): value for key, value in load_file(backbone_file).items()}
    moved = set()
    for key in (key for key in first if key.startswith("encoder.")):
        source = given[key.removeprefix("encoder.network.").replace(".", "_")]
        assert torch.equal(frozen[key], source)
        if not torch.equal(first[key], source):
            moved.add(key.rsplit(".", 1)[-1])
    assert moved == {"weight", "bias"}


@pytest.mark.integration
def test_the_command(tiny_dataset_dir: Path, tmp_path: Path, backbone_file: Path, capsys: pytest.CaptureFixture):
    arguments = ["--dataset_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path / "out"), "--backbone", BACKBONE]
    arguments += [
        "--backbone_weights",
        str(backbone_file),
        "--backbone_kwargs",
        '{"pad_type": "same"}',
        "--steps",
        "2",
    ]
    arguments += ["--image_size", "32", "64", "--channels", "16", "--batch_size", "2", "--log_steps", "1"]
    main(arguments + ["--backbone_mean", "0.5", "0.5", "0.5", "--device", "cpu"])
    printed = capsys.readouterr().out
    assert re.search(r"step 2/2, loss \d", printed) and re.search(r"val mIoU 0\.\d+ over 4 classes", printed)
    network = json.loads((tmp_path / "out" / "config.json").read_text())["network"]
    assert network["backbone_kwargs"] == {"pad_type": "same"} and network["mean"] == [0.5] * 3
    with pytest.raises(SystemExit, match="error: .*no such file"):
        main(["--dataset_dir", str(tmp_path), "--output_dir", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main([*arguments, "--image_size", "30", "64"])
    assert "multiples of 32" in capsys.readouterr().err

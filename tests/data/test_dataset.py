# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The dataset, its errors, exact resume through accelerate, the synthetic scenes and the inspection command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch.utils.data import DataLoader

from dpsims_hf.data import (
    DrawSampler,
    JointTransform,
    SemanticImageDataset,
    collate,
    rare_class_weights,
    write_synthetic_dataset,
)
from dpsims_hf.data import inspect as inspect_command
from dpsims_hf.data.picture_cache import decode
from dpsims_hf.data.specs import DatasetSpec, load_label_preset
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC, draw_scene


CAMVID = Path(__file__).parents[3] / "shared" / "data" / "camvid"
needs_camvid = pytest.mark.skipif(
    not CAMVID.is_dir(), reason="no ../shared/data/camvid: CamVid's photos, not part of the repository"
)
FACADES = CAMVID.parent / "labelme_facade"
SIZE = (32, 64)
TRANSFORM = JointTransform(SIZE, scale_range=(1.0, 1.5))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("scenes"), num_train=6, num_val=3, size=SIZE)


@pytest.fixture
def broken(scenes, tmp_path) -> Path:
    """A private copy to break."""
    return Path(shutil.copytree(scenes, tmp_path / "broken"))


# --- dataset --------------------------------------------------------------------------------------------------------


def test_samples_have_the_contracts_shapes_and_the_files_values(scenes):
    dataset = SemanticImageDataset.from_folder(scenes, "train", JointTransform(SIZE))
    assert len(dataset) == 6
    for index in range(6):
        photo, raw, _ = draw_scene(SIZE, index)
        sample = dataset[index]
        assert sample["pixel_values"].shape == (3, *SIZE) and sample["pixel_values"].dtype == torch.float32
        assert torch.equal(((sample["pixel_values"] + 1) * 127.5).round().byte().permute(1, 2, 0), torch.tensor(photo))
        assert sample["label_map"].dtype == torch.int64
        assert torch.equal(sample["label_map"], torch.from_numpy(np.where(raw == 255, 4, raw)).long())
        assert sample["index"] == index
    batch = collate([dataset[0], dataset[1]])
    assert batch["pixel_values"].shape == (2, 3, *SIZE) and batch["index"].tolist() == [0, 1]


def test_draws_are_stateless_and_the_cache_changes_nothing(scenes):
    cached = SemanticImageDataset.from_folder(scenes, "train", TRANSFORM)
    cached.use_decoded(decode(cached, "memory", progress=False))
    fresh = SemanticImageDataset.from_folder(scenes, "train", TRANSFORM)
    first = cached[2, 11]
    cached[3, 12]
    for again in (cached[2, 11], fresh[2, 11]):
        assert all(torch.equal(first[key], again[key]) for key in ("pixel_values", "label_map"))
    assert not torch.equal(first["pixel_values"], cached[2, 12]["pixel_values"])
    assert torch.equal(cached[2]["pixel_values"], fresh[2]["pixel_values"])
    other_seed = SemanticImageDataset.from_folder(scenes, "train", TRANSFORM, seed=1)
    assert not torch.equal(first["pixel_values"], other_seed[2, 11]["pixel_values"])


def test_class_presence_and_hub_path(scenes):
    """`load_dataset` on local files takes the Hub's path, with embedded images and other column names."""
    import datasets

    folder = SemanticImageDataset.from_folder(scenes, "train", TRANSFORM)
    expected = np.stack([[(folder.label_map(i) == c).any() for c in range(5)] for i in range(6)])
    assert np.array_equal(folder.class_presence(progress=False), expected)
    rows = {"photo": [], "mask": []}
    for index in range(6):
        photo, raw, _ = draw_scene(SIZE, index)
        rows["photo"].append(Image.fromarray(photo))
        rows["mask"].append(Image.fromarray(raw))
    features = datasets.Features({"photo": datasets.Image(), "mask": datasets.Image()})
    file = scenes / "table.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(file))
    hub = SemanticImageDataset.from_hub(
        "parquet",
        "train",
        TRANSFORM,
        SYNTHETIC_SPEC,
        image_column="photo",
        label_column="mask",
        load_kwargs={"data_files": str(file)},
    )
    for key in [2, (3, 5)]:
        assert torch.equal(hub[key]["pixel_values"], folder[key]["pixel_values"])
        assert torch.equal(hub[key]["label_map"], folder[key]["label_map"])
    with pytest.raises(ValueError, match="no column label; it has photo, mask"):
        SemanticImageDataset.from_hub(
            "parquet",
            "train",
            TRANSFORM,
            SYNTHETIC_SPEC,
            "photo",
            "label",
            load_kwargs={"data_files": str(file)},
        )


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_and_empty_folders(broken, tmp_path):
    with pytest.raises(ValueError) as error:
        SemanticImageDataset.from_folder(tmp_path / "nowhere", "train", TRANSFORM)
    assert "nowhere" in one_line(error) and "images/NAME" in one_line(error)
    for file in (broken / "train" / "images").iterdir():
        file.unlink()
    with pytest.raises(ValueError) as error:
        SemanticImageDataset.from_folder(broken, "train", TRANSFORM)
    assert str(broken / "train" / "images") in one_line(error) and "images/NAME" in one_line(error)


def test_unpaired_files(broken):
    (broken / "train" / "labels" / "scene_0001.png").unlink()
    (broken / "train" / "labels" / "scene_0003.png").unlink()
    with pytest.raises(ValueError) as error:
        SemanticImageDataset.from_folder(broken, "train", TRANSFORM)
    assert "2 images without label: scene_0001.png, scene_0003.png" in one_line(error)
    (broken / "val" / "images" / "scene_0006.png").unlink()
    with pytest.raises(ValueError) as error:
        SemanticImageDataset.from_folder(broken, "val", TRANSFORM)
    assert "1 labels without image: scene_0006.png" in one_line(error)


def test_truncated_files_are_named(broken):
    for kind in ("images", "labels"):
        path = broken / "train" / kind / "scene_0002.png"
        path.write_bytes(path.read_bytes()[:-60])
        dataset = SemanticImageDataset.from_folder(broken, "train", TRANSFORM)
        with pytest.raises(ValueError) as error:
            dataset[2]
        assert str(path) in one_line(error) and "truncated" in one_line(error)
        shutil.copy(broken / "train" / kind / "scene_0001.png", path)
    photo = broken / "train" / "images" / "scene_0002.png"
    Image.open(photo).save(photo.with_suffix(".jpg"))
    photo.unlink()
    cut = photo.with_suffix(".jpg")
    cut.write_bytes(cut.read_bytes()[:-300])
    with pytest.raises(ValueError, match="truncated"):
        SemanticImageDataset.from_folder(broken, "train", TRANSFORM)[2]


def test_validate_finds_bad_ids_and_sizes_before_training(broken):
    SemanticImageDataset.from_folder(broken, "train", TRANSFORM).validate(progress=False)
    path = broken / "train" / "labels" / "scene_0004.png"
    values = np.asarray(Image.open(path)).copy()
    values[0, 0] = 77
    Image.fromarray(values).save(path)
    wrong_size = broken / "train" / "images" / "scene_0005.png"
    Image.open(wrong_size).resize((40, 40)).save(wrong_size)
    dataset = SemanticImageDataset.from_folder(broken, "train", TRANSFORM)
    with pytest.raises(ValueError) as error:
        dataset.class_presence(progress=False)
    for part in (str(path), "77", "0..4", "255 (void)", "1 more"):
        assert part in one_line(error)
    with pytest.raises(ValueError, match=r"32x64 .* 40x40"):
        dataset[5]


def test_data_set_gives_offsets_on_cars_only(scenes):
    dataset = SemanticImageDataset.from_folder(scenes, "train", TRANSFORM, use_instance_offsets=True)
    seen = 0
    for index in range(len(dataset)):
        sample = dataset[index, index]
        assert sample["instance_offsets"].shape == (2, *SIZE)
        nonzero = (sample["instance_offsets"] != 0).any(dim=0)
        assert (sample["label_map"][nonzero] == 3).all()
        seen += int(nonzero.sum())
    assert seen > 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_skipping_batches_gives_what_the_uninterrupted_run_gives(scenes, weighted, workers):
    """Through accelerate, across an epoch border (6 images), with augmentation."""

    def loader() -> DataLoader:
        dataset = SemanticImageDataset.from_folder(scenes, "train", TRANSFORM, seed=7)
        weights = rare_class_weights(dataset.class_presence(False), dataset.spec.void_label_id) if weighted else None
        sampler = DrawSampler(16, len(dataset), weights, seed=7)
        return DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=collate, num_workers=workers)

    accelerator = Accelerator(cpu=True)
    whole = list(accelerator.prepare(loader()))
    torch.manual_seed(1234)  # the state of the global generator must not matter
    resumed = list(accelerator.skip_first_batches(accelerator.prepare(loader()), 5))
    assert len(whole) == 8 and len(resumed) == 3
    for expected, batch in zip(whole[5:], resumed, strict=True):
        assert expected.keys() == batch.keys()
        assert all(torch.equal(expected[key], batch[key]) for key in expected)


# --- synthetic scenes and the inspection command ---------------------------------------------------------------------


def test_synthetic_scenes_are_reproducible_and_hold_all_classes(scenes, tmp_path):
    again = write_synthetic_dataset(tmp_path, num_train=6, num_val=3, size=SIZE)
    files = sorted(path.relative_to(again) for path in again.rglob("*.*"))
    assert len(files) == 9 * 3 + 1
    assert all((again / file).read_bytes() == (scenes / file).read_bytes() for file in files)
    assert SemanticImageDataset.from_folder(again, "train", TRANSFORM).class_presence(False).any(axis=0).all()


def test_inspect_a_clean_folder(scenes, capsys):
    assert inspect_command.main([str(scenes), "--splits", "train", "val"]) == 0
    report = capsys.readouterr().out
    assert "6 images, 5 labels" in report and "3 images, 5 labels" in report
    assert "32x64 (6)" in report and "no problems" in report and "void" in report
    counts = np.bincount(
        np.concatenate([np.where(draw_scene(SIZE, i)[1] == 255, 4, draw_scene(SIZE, i)[1]).ravel() for i in range(6)])
    )
    assert f"{100 * counts[2] / counts.sum():.3f}" in report  # road's share of the pixels


@pytest.mark.slow
@pytest.mark.integration
def test_inspect_lists_every_problem_and_exits_with_one(broken):
    for name, value in (("scene_0000", 9), ("scene_0003", 200)):
        path = broken / "train" / "labels" / f"{name}.png"
        values = np.asarray(Image.open(path)).copy()
        values[:2] = value
        Image.fromarray(values).save(path)
    cut = broken / "val" / "images" / "scene_0007.png"
    cut.write_bytes(cut.read_bytes()[:100])
    result = subprocess.run(
        [sys.executable, "-m", "dpsims_hf.data.inspect", str(broken)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.returncode == 1, result.stderr
    for part in ("3 problems", "scene_0000.png: label id 9", "scene_0003.png: label id 200", "scene_0007.png"):
        assert part in result.stdout


@needs_camvid
def test_camvid_reads_as_its_readme_says():
    dataset = SemanticImageDataset.from_folder(CAMVID, "val", JointTransform((192, 256)))
    assert len(dataset) == 101 and dataset.spec.num_labels == 12 and dataset.spec.void_label_id == 11
    sample = dataset[0]
    assert sample["pixel_values"].shape == (3, 192, 256) and int(sample["label_map"].max()) <= 11
    scan = dataset.scan_labels(progress=False)
    shares = 100 * scan.pixel_counts.sum(axis=0) / scan.pixel_counts.sum()
    stated = json.loads((CAMVID / "classes.json").read_text())["splits"]["val"]["pixels_percent"]
    assert np.allclose(shares, [stated[label] for label in dataset.spec.labels], atol=1e-3)


@pytest.mark.skipif(not FACADES.is_dir(), reason="needs the LabelMeFacade photos")
def test_labelme_facade_is_known_by_name():
    spec = load_label_preset("labelme_facade")
    of_the_folder = DatasetSpec.from_folder(FACADES)
    for name in ("name", "labels", "palette", "void_label_id", "void_values"):
        assert getattr(spec, name) == getattr(of_the_folder, name)
    dataset = SemanticImageDataset.from_folder(FACADES, "val", JointTransform((96, 128)), spec)
    counts = dataset.scan_labels(progress=False).pixel_counts.sum(axis=0)
    assert len(dataset) == 50 and counts.shape == (9,) and (counts > 0).all()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`dpsims_hf.data.prepare`: originals -> parquet -> training samples, exact to the value; what it refuses; pushing."""

import json
import re
from pathlib import Path

import datasets
import numpy as np
import original_layouts
import pytest
import torch
from hub_server import hub_server
from huggingface_hub import DatasetCard
from original_layouts import CITYSCAPES_TRAIN_IDS
from PIL import Image

from dpsims_hf.data import JointTransform, SemanticImageDataset
from dpsims_hf.data.prepare import main
from dpsims_hf.data.specs import DatasetSpec, load_label_preset
from dpsims_hf.data.synthetic import draw_scene, write_synthetic_dataset


TRANSFORM = JointTransform((32, 64))


def prepare(folder: Path, out: Path, *options: str) -> int:
    return main([str(folder), "--output_dir", str(out), "--workers", "2", *options])


def read(out: Path, split: str) -> datasets.Dataset:
    """The columns as anyone's `datasets` gives them."""
    return datasets.load_dataset(str(out), split=split)


def names(table: datasets.Dataset) -> list[str]:
    """The file names that the rows keep."""
    column = table.cast_column("label_map", datasets.Image(decode=False))["label_map"]
    return [Path(cell["path"]).stem for cell in column]


@pytest.mark.parametrize("preset", ["cityscapes", "cityscapes_train_ids"])
def test_cityscapes(tmp_path, preset):
    stored = original_layouts.cityscapes(tmp_path / "in")
    assert prepare(tmp_path / "in", tmp_path / "out", "--classes_file", preset) == 0
    by_name = {key.rsplit("/", 1)[1]: key for key in stored["label_map"]}
    spec, things = DatasetSpec.from_folder(tmp_path / "out"), range(24, 34)
    assert spec.label_encoding == "ids" and spec.instance_encoding == "ids"
    for split, count in (("train", 2), ("validation", 1)):
        table = read(tmp_path / "out", split)
        dataset = SemanticImageDataset.from_hub(tmp_path / "out", split, TRANSFORM, use_instance_offsets=True)
        assert len(table) == len(dataset) == count
        for index, name in enumerate(names(table)):
            raw, numbers = (stored[kind][by_name[name]] for kind in ("label_map", "instance_map"))
            expected = raw
            if preset == "cityscapes_train_ids":
                expected = np.vectorize(lambda value: CITYSCAPES_TRAIN_IDS.get(value, 19))(raw)
            assert np.array_equal(np.asarray(table[index]["label_map"]), expected)
            assert np.array_equal(dataset.label_map(index), expected)
            kept = np.isin(raw, things) & (numbers >= 1000)
            if preset == "cityscapes_train_ids":
                kept &= expected != 19  # caravans and trailers are void there
            instances = table[index]["instance_map"]
            assert instances.mode == "I;16"
            assert np.array_equal(np.asarray(instances), np.where(kept, numbers, 0))
            offsets = dataset[index]["instance_offsets"]
            assert not offsets[:, torch.from_numpy(~kept)].any() and offsets.any()


def test_ade20k_with_instances(tmp_path):
    stored = original_layouts.ade20k(tmp_path / "in", instances=True)
    assert prepare(tmp_path / "in", tmp_path / "out") == 0
    table = read(tmp_path / "out", "train")
    for row, name in zip(table, names(table), strict=True):
        assert np.array_equal(np.asarray(row["label_map"]), stored["label_map"][f"training/{name}"])
        assert np.array_equal(np.asarray(row["instance_map"]), stored["instance_map"][f"training/{name}"])
    photos = table.cast_column("image", datasets.Image(decode=False))
    original = tmp_path / "in" / "ADEChallengeData2016" / "images" / "training" / f"{names(table)[0]}.jpg"
    assert photos[0]["image"]["bytes"] == original.read_bytes()  # never coded again
    dataset = SemanticImageDataset.from_hub(tmp_path / "out", use_instance_offsets=True)
    assert dataset.transform.size == (256, 256) and dataset.spec.labels == load_label_preset("ade20k").labels


def test_coco_stuff_with_panoptic_files(tmp_path):
    stored = original_layouts.coco_stuff(tmp_path / "in", panoptic=True)
    assert prepare(tmp_path / "in", tmp_path / "out") == 0
    for split, original in (("train", "train2017"), ("validation", "val2017")):
        table = read(tmp_path / "out", split)
        dataset = SemanticImageDataset.from_hub(tmp_path / "out", split, TRANSFORM, load_label_preset("coco_stuff"))
        for index, name in enumerate(names(table)):
            raw, ids = (stored[kind][f"{original}/{name}"] for kind in ("label_map", "instance_map"))
            expected = np.where(raw == 255, 0, raw + 1)
            assert np.array_equal(np.asarray(table[index]["label_map"]), expected)
            assert np.array_equal(dataset.label_map(index), expected)  # not shifted twice
            people = np.asarray(table[index]["instance_map"])
            assert np.array_equal(people == 1, (ids == 70_000) & (raw == 0))
            assert np.array_equal(people == 2, (ids == 3_000_001) & (raw == 0))
            assert set(np.unique(people)) == {0, 1, 2}  # the crowd, stuff, sky and void are no objects


def test_shards_card_and_snippet(tmp_path, monkeypatch, capsys):
    write_synthetic_dataset(tmp_path / "in", num_train=7, num_val=2)
    options = ["--max_shard_size", "20KB", "--license", "cc0-1.0"]
    assert prepare(tmp_path / "in", tmp_path / "out", *options) == 0
    files = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    shards = [name for name in files if name.startswith("train-")]
    assert len(shards) > 1 and shards[-1] == f"train-{len(shards) - 1:05d}-of-{len(shards):05d}.parquet"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "classes.json", "data"]
    table = read(tmp_path / "out", "train")
    for index, row in enumerate(table):
        scene, raw, instances = draw_scene((32, 64), index)
        assert np.array_equal(np.asarray(row["image"]), scene)
        assert np.array_equal(np.asarray(row["label_map"]), np.where(raw == 255, 4, raw))
        assert np.array_equal(np.asarray(row["instance_map"]), np.where(raw == 3, instances, 0))
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "cc0-1.0"
    info = card.data.to_dict()["dataset_info"]
    assert [feature["name"] for feature in info["features"]] == ["image", "label_map", "instance_map"]
    assert {split["name"]: split["num_examples"] for split in info["splits"]} == {"train": 7, "validation": 2}
    id2label = json.loads(re.search(r"```json\n(.*?)```", card.text, re.DOTALL)[1])
    assert id2label == {"0": "sky", "1": "building", "2": "road", "3": "car", "4": "void"}
    snippet = re.search(r"```python\n(.*?)```", card.text, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path / "out")
    capsys.readouterr()
    exec(snippet, {})
    assert capsys.readouterr().out.startswith("tensor([0")


def test_more_than_256_labels_and_streaming(tmp_path):
    """16-bit label maps survive, also read as a stream."""
    values = original_layouts.blocks([0, 255, 256, 299], 3)
    original_layouts.save(tmp_path / "in" / "train" / "images" / "a.png", original_layouts.photo(0))
    original_layouts.save(tmp_path / "in" / "train" / "labels" / "a.png", values.astype(np.uint16))
    classes = [{"id": i, "name": f"class {i}"} for i in range(300)]
    (tmp_path / "in" / "classes.json").write_text(json.dumps({"classes": classes}))
    assert prepare(tmp_path / "in", tmp_path / "out") == 0
    dataset = SemanticImageDataset.from_hub(tmp_path / "out", transform=TRANSFORM)
    assert np.array_equal(dataset.label_map(0), values)
    row = next(iter(datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)))
    assert np.array_equal(np.asarray(row["label_map"]), values)


def test_every_bad_file_is_named_and_nothing_is_written(tmp_path, capsys):
    root = write_synthetic_dataset(tmp_path / "in", num_train=5, num_val=1)
    labels = root / "train" / "labels"
    values = np.asarray(Image.open(labels / "scene_0001.png")).copy()
    values[0, :7] = 99
    Image.fromarray(values).save(labels / "scene_0001.png")
    Image.fromarray(values[:, :32] * 0).save(labels / "scene_0002.png")
    cut = root / "train" / "images" / "scene_0003.png"
    cut.write_bytes(cut.read_bytes()[:200])
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "val" / "instances" / "scene_0005.png")
    assert prepare(root, tmp_path / "out") == 1
    lines = capsys.readouterr().err.split("error: ")[1].strip().splitlines()
    assert lines[0] == "4 bad files, nothing is written:" and len(lines) == 5
    facts = ["scene_0001.png: label id 99", "scene_0002.png: size 32x32", "scene_0003.png: truncated", "5x5"]
    assert all(fact in line for fact, line in zip(facts, lines[1:], strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_full_folder_and_wrong_options_are_refused(tmp_path, capsys):
    root = write_synthetic_dataset(tmp_path / "in", num_train=1, num_val=1)
    assert prepare(root, root) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main([str(root)]) == 1
    assert "--output_dir OUT" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    assert prepare(root, tmp_path / "out", "--label_encoding", "raw") == 1
    assert "label encoding 'raw' is not one of ids" in capsys.readouterr().err
    assert prepare(root, tmp_path / "out", "--splits", "night") == 1
    assert "no split night; it has train, val" in capsys.readouterr().err
    assert prepare(root, tmp_path / "out", "--max_shard_size", "large") == 1
    assert "large" in capsys.readouterr().err
    assert prepare(root, tmp_path / "out") == 0  # an empty folder is taken
    assert prepare(root, tmp_path / "again", "--no-instances", "--splits", "train") == 0
    table = read(tmp_path / "again", "train")
    assert table.column_names == ["image", "label_map"]
    with pytest.raises(ValueError, match="has no instances"):
        SemanticImageDataset.from_hub(tmp_path / "again", use_instance_offsets=True)


def test_an_encoding_that_the_layout_does_not_tell(tmp_path):
    """ADE20K whose labels were written with reduce_zero_label."""
    root = tmp_path / "in"
    raw = original_layouts.blocks([0, 149, 255], 1)
    original_layouts.save(root / "train" / "images" / "a.png", original_layouts.photo(0))
    original_layouts.save(root / "train" / "labels" / "a.png", raw.astype(np.uint8))
    options = ["--classes_file", "ade20k", "--label_encoding", "zero_based"]
    assert prepare(root, tmp_path / "out", *options) == 0
    dataset = SemanticImageDataset.from_hub(tmp_path / "out")
    assert np.array_equal(dataset.label_map(0), np.where(raw == 255, 0, raw + 1))


PUSH_AND_READ = """
import sys
from dpsims_hf.data import SemanticImageDataset, JointTransform
from dpsims_hf.data.prepare import main
assert main(sys.argv[1:]) == 0
dataset = SemanticImageDataset.from_hub("user/streets", "validation", JointTransform((32, 64)))
print(dataset.spec.labels, dataset.label_map(0).sum())
"""


@pytest.mark.slow
def test_push_and_read_by_name_alone(tmp_path):
    """One commit; the label space comes from the repository. A wrong token is told, the folder here is whole."""
    root = write_synthetic_dataset(tmp_path / "in", num_train=2, num_val=1)
    out = tmp_path / "out"
    command = [str(root), "--output_dir", str(out), "--push", "user/streets"]
    with hub_server() as hub:
        run = hub.run(tmp_path, "-c", PUSH_AND_READ, *command)
        assert run.returncode == 0, run.stderr
        raw = draw_scene((32, 64), 2)[1]
        expected = f"{DatasetSpec.from_folder(out).labels} {np.where(raw == 255, 4, raw).sum()}"
        assert run.stdout.strip().splitlines()[-1] == expected
        repository = hub.repositories["dataset", "user/streets"]
        assert len(repository.commits) == 2 and repository.settings["visibility"] == "private"
        assert set(repository.files) == {str(path.relative_to(out)) for path in out.rglob("*.*")}
        for name, data in repository.files.items():
            if name != "README.md":
                assert data == (out / name).read_bytes()
        card = repository.files["README.md"]
        assert b'path = "user/streets"' in card and b'path = "."' not in card
        command[2] = str(tmp_path / "again")
        run = hub.run(tmp_path, "-m", "dpsims_hf.data.prepare", *command, token="hf_wrong")
        assert run.returncode == 1 and "error: the Hub refused the token" in run.stderr
        assert "Traceback" not in run.stderr and f"later: python -m dpsims_hf.data.prepare {command[2]}" in run.stderr
        run = hub.run(tmp_path, "-m", "dpsims_hf.data.prepare", command[2], "--push", "user/again", "--no-private")
        assert run.returncode == 0, run.stderr
        assert hub.repositories["dataset", "user/again"].files.keys() == repository.files.keys()
        assert hub.repositories["dataset", "user/again"].settings["visibility"] == "public"

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The original folders of the big sets, and the column layouts of known Hub repositories, to the value."""

from dataclasses import replace

import datasets
import numpy as np
import original_layouts
import pytest
from original_layouts import CITYSCAPES_TRAIN_IDS, photo, save
from PIL import Image

from dpsims_hf.data import JointTransform, SemanticImageDataset
from dpsims_hf.data.reading.rows import RowDecoder
from dpsims_hf.data.sources.layouts import open_layout, recognise_layout
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC, write_synthetic_dataset


TRANSFORM = JointTransform((32, 64))


def decoded(source, split: str) -> dict[str, np.ndarray]:
    """The label maps of a split by the names of the files."""
    decoder = RowDecoder(source.spec, split)
    rows = {files.name: {"label_map": {"bytes": None, "path": str(files.label_map)}} for files in source.splits[split]}
    return {name: decoder.label_map(row, 0) for name, row in rows.items()}


# --- folders ---------------------------------------------------------------------------------------------------------


def test_cityscapes_folders(tmp_path):
    stored = original_layouts.cityscapes(tmp_path)["label_map"]
    assert recognise_layout(tmp_path) == "cityscapes"
    source = open_layout(tmp_path)
    assert {split: len(files) for split, files in source.splits.items()} == {"train": 2, "validation": 1}
    assert source.spec.name == "cityscapes" and source.has_instances
    for name, ids in decoded(source, "train").items():
        assert np.array_equal(ids, stored[f"train/{name.split('_')[0]}/{name}"])
    source = open_layout(tmp_path, spec=load_label_preset("cityscapes_train_ids"), with_instances=False)
    assert source.spec.label_encoding == "label_ids" and not source.has_instances
    for name, ids in decoded(source, "validation").items():
        raw = stored[f"val/frankfurt/{name}"]
        assert np.array_equal(ids, np.vectorize(lambda v: CITYSCAPES_TRAIN_IDS.get(v, 19))(raw))
    assert list(open_layout(tmp_path, splits=["val", "test"]).splits) == ["test", "validation"]


def test_cityscapes_with_files_of_train_ids(tmp_path):
    stored = original_layouts.cityscapes(tmp_path, train_ids=True)["label_map"]
    source = open_layout(tmp_path, spec=load_label_preset("cityscapes_train_ids"))
    assert source.spec.label_encoding == "ids"
    assert all(files.label_map.name.endswith("labelTrainIds.png") for files in source.splits["train"])
    for name, ids in decoded(source, "validation").items():
        raw = stored[f"val/frankfurt/{name}"]
        assert np.array_equal(ids, np.vectorize(lambda v: CITYSCAPES_TRAIN_IDS.get(v, 19))(raw))
    full = load_label_preset("cityscapes")
    for spec in (None, full.with_encoding("ids"), replace(full.with_encoding("ids"), label_encodings=(), hub=())):
        source = open_layout(tmp_path, spec=spec)  # the 35 labels are read from labelIds
        assert all(files.label_map.name.endswith("labelIds.png") for files in source.splits["train"])


@pytest.mark.parametrize("instances", [False, True])
def test_ade20k_folders(tmp_path, instances):
    stored = original_layouts.ade20k(tmp_path, instances)["label_map"]
    assert recognise_layout(tmp_path) == recognise_layout(tmp_path / "ADEChallengeData2016") == "ade20k"
    source = open_layout(tmp_path / "ADEChallengeData2016")
    assert source.has_instances == instances and list(source.splits) == ["train", "validation"]
    for name, ids in decoded(source, "train").items():
        assert np.array_equal(ids, stored[f"training/{name}"])


@pytest.mark.parametrize("panoptic", [False, True])
def test_coco_stuff_folders(tmp_path, panoptic):
    stored = original_layouts.coco_stuff(tmp_path, panoptic)["label_map"]
    assert recognise_layout(tmp_path) == "coco_stuff"
    source = open_layout(tmp_path)
    assert source.has_instances == panoptic and list(source.splits) == ["train", "validation"]
    for name, ids in decoded(source, "train").items():
        raw = stored[f"train2017/{name}"]
        assert np.array_equal(ids, np.where(raw == 255, 0, raw + 1))


def test_pairs_of_any_split(tmp_path):
    write_synthetic_dataset(tmp_path, num_train=2, num_val=1)
    (tmp_path / "val").rename(tmp_path / "night rides")
    source = open_layout(tmp_path)
    assert source.layout == "paired" and source.spec == SYNTHETIC_SPEC and source.has_instances
    assert {split: len(files) for split, files in source.splits.items()} == {"night_rides": 1, "train": 2}


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        open_layout(tmp_path / "absent")
    with pytest.raises(ValueError, match="no known layout"):
        open_layout(tmp_path)
    original_layouts.coco_stuff(tmp_path, panoptic=True)
    with pytest.raises(ValueError, match="no split train; it has train2017, val2017"):
        open_layout(tmp_path, splits=["train"])
    (tmp_path / "annotations" / "panoptic_val2017" / "000000000139.png").rename(tmp_path / "lost.png")
    with pytest.raises(ValueError, match="no png files"):
        open_layout(tmp_path)
    (tmp_path / "annotations" / "panoptic_val2017.json").write_text('{"annotations": [{}]}')
    with pytest.raises(ValueError, match="not a panoptic JSON"):
        open_layout(tmp_path)
    (tmp_path / "annotations" / "panoptic_val2017.json").unlink()
    with pytest.raises(ValueError, match="2 of 3 pictures have instance files"):
        open_layout(tmp_path)
    assert not open_layout(tmp_path, with_instances=False).has_instances
    (tmp_path / "train2017" / "000000000009.jpg").unlink()
    with pytest.raises(ValueError, match="1 labels without image: 000000000009.png"):
        open_layout(tmp_path)


def test_a_cityscapes_photo_without_labels(tmp_path):
    original_layouts.cityscapes(tmp_path)
    save(tmp_path / "leftImg8bit" / "train" / "aachen" / "aachen_9_leftImg8bit.png", photo(9))
    with pytest.raises(ValueError, match="1 images without labelIds file: aachen_9_leftImg8bit.png"):
        open_layout(tmp_path)


# --- columns as known repositories have them -------------------------------------------------------------------------

LISTS = datasets.List(datasets.List(datasets.Value("uint8")))


def write_repository(folder, name: str, columns: dict, features: dict) -> None:
    """A parquet file such as a Hub repository holds, two rows in each split."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    table.to_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"))


def raw_maps(values: list[int], dtype=np.uint8) -> list[np.ndarray]:
    """Two label maps of different sizes."""
    return [original_layouts.blocks(values, i, size).astype(dtype) for i, size in enumerate([(32, 64), (64, 32)])]


@pytest.mark.parametrize(
    ("repository", "column", "values", "to_id"),
    [
        ("limingcv/Captioned_ADE20K", "seg_map", [0, 1, 13, 150], lambda raw: raw),
        (
            "limingcv/Captioned_COCOStuff",
            "semantic_seg_map",
            [0, 91, 181, 255],
            lambda raw: (raw.astype(int) + 1) % 256,
        ),
    ],
)
def test_nested_lists(tmp_path, repository, column, values, to_id):
    """The columns and types of the cards of both repositories, in the splits that these have."""
    preset = {"seg_map": "ade20k", "semantic_seg_map": "coco_stuff"}[column]
    source = load_label_preset(preset).hub_source(repository)
    assert source.label_column == column
    raw = raw_maps(values)
    photos = [Image.fromarray(photo(i, array.shape)) for i, array in enumerate(raw)]
    image = datasets.Image()
    for split in ("train", "validation"):
        columns = {"image": photos, "control_seg": photos, "prompt": ["a", "b"], column: [r.tolist() for r in raw]}
        features = {"image": image, "control_seg": image, "prompt": datasets.Value("string"), column: LISTS}
        write_repository(tmp_path, split, columns, features)
    spec = load_label_preset(preset).with_encoding(source.label_encoding)
    dataset = SemanticImageDataset.from_hub(tmp_path, "validation", None, spec, label_column=column)
    assert dataset.transform.size == spec.crop_size  # no transform given: the papers'
    for index in range(2):
        assert np.array_equal(dataset.label_map(index), to_id(raw[index]))
        assert np.array_equal(dataset.photo(index), photo(index, raw[index].shape))


@pytest.mark.parametrize("kind", ["L", "P", "I;16", "array", "path", "binary"])
def test_other_kinds_of_label_columns(tmp_path, kind):
    spec = load_label_preset("cityscapes")
    raw = original_layouts.blocks(list(range(34)), 5)
    image, feature = Image.fromarray(raw.astype(np.uint8)), datasets.Image()
    if kind == "P":
        image = Image.fromarray(raw.astype(np.uint8))
        image.putpalette([255 - i for i in range(768 - 512)] * 3)
        assert image.mode == "P"
    elif kind == "I;16":
        image = Image.fromarray(raw.astype(np.uint16))
    elif kind == "array":
        image, feature = raw.astype(np.int16), datasets.Array2D(shape=raw.shape, dtype="int16")
    elif kind in ("path", "binary"):
        image.save(tmp_path / "map.png")
        path = str(tmp_path / "map.png")
        image, feature = path, datasets.Value("string")
        if kind == "binary":
            image, feature = (tmp_path / "map.png").read_bytes(), datasets.Value("binary")
    columns = {"image": [Image.fromarray(photo(0))], "semantic_segmentation": [image]}
    write_repository(tmp_path, "train", columns, {"image": datasets.Image(), "semantic_segmentation": feature})
    options = {"label_column": "semantic_segmentation"}
    dataset = SemanticImageDataset.from_hub(tmp_path, "train", TRANSFORM, spec, **options)
    assert np.array_equal(dataset.label_map(0), raw)
    assert np.array_equal(dataset[0]["label_map"].numpy(), raw)


def test_a_panoptic_column_with_its_segments(tmp_path):
    """Two people, one of them in a crowd: only the other has offsets."""
    spec = load_label_preset("coco_stuff")
    labels = np.zeros((32, 64), dtype=np.uint8)
    labels[:, 32:] = 255
    ids = np.full((32, 64), 300)
    ids[:16, :32], ids[16:, :32] = 70_000, 80_000
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    segments = [
        [
            {"id": i, "category_id": c, "iscrowd": crowd}
            for i, c, crowd in [(70_000, 1, 0), (80_000, 1, 1), (300, 1, 0)]
        ]
    ]
    pictures = [Image.fromarray(array) for array in (photo(0), labels, rgb)]
    columns = dict(zip(["image", "label_map", "panoptic"], [[p] for p in pictures], strict=True))
    entry = {"id": datasets.Value("int64"), "category_id": datasets.Value("int64"), "iscrowd": datasets.Value("int64")}
    features = dict.fromkeys(columns, datasets.Image()) | {"segments_info": datasets.List(entry)}
    write_repository(tmp_path, "train", columns | {"segments_info": segments}, features)
    dataset = SemanticImageDataset.from_hub(tmp_path, "train", TRANSFORM, spec, instance_column="panoptic")
    offsets = dataset[0]["instance_offsets"].numpy()
    assert np.abs(offsets[:, :16, :32]).min() > 0
    assert not offsets[:, 16:].any() and not offsets[:, :, 32:].any()  # crowd; void in the label map

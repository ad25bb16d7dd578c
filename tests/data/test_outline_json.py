# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The JSON of outlines: bounded in bytes and in entries, and of it only what is drawn stays in memory."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusals import refused

import dpsims_hf.data.sources.outline_json as outline_json
from dpsims_hf.data.inspect import main as inspect
from dpsims_hf.data.sources.outline_json import COCO_KEYS, MAX_PICTURE_BYTES, MAX_SET_BYTES, read_outline_json
from dpsims_hf.data.sources.outline_layouts import read_coco, read_labelme
from dpsims_hf.data.sources.polygons import draw_coco


SQUARE = [0, 0, 4, 0, 4, 4]


def coco(root: Path, annotations: list[Any] | None = None, **more: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(root / "0.jpg")
    content = {
        "images": [{"id": 1, "file_name": "0.jpg", "height": 8, "width": 8}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": annotations or [{"image_id": 1, "category_id": 1, "segmentation": [SQUARE]}],
    }
    (root / "train.json").write_text(json.dumps(content | more))
    return root


def labelme(root: Path, count: int = 1, picture: str = "") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    shape = {"label": "a", "shape_type": "polygon", "points": [[0, 0], [4, 0], [4, 4]], "flags": {}}
    for number in range(count):
        Image.new("RGB", (8, 8)).save(root / f"{number}.jpg")
        content = {"shapes": [shape], "imagePath": f"{number}.jpg", "imageData": picture, "imageHeight": 8}
        (root / f"{number}.json").write_text(json.dumps(content | {"imageWidth": 8}))
    return root


def memory(call: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that stay with what a call gives, and the most that it took on the way."""
    tracemalloc.start()
    try:
        kept = call()
        found = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return found


@pytest.mark.parametrize(
    ("make", "name", "most"), [(coco, "train.json", MAX_SET_BYTES), (labelme, "0.json", MAX_PICTURE_BYTES)]
)
def test_a_file_beyond_the_bound_is_named(tmp_path, capsys, make, name, most):
    """It was read whole, up to a gigabyte, or called no known layout."""
    folder = make(tmp_path / "set")
    os.truncate(folder / name, most + 2**20)
    assert inspect([str(folder)]) == 1
    said = "".join(capsys.readouterr())
    assert f"{name}: {most // 2**20 + 1} MB of JSON, and {most // 2**20} MB are read: split the set" in said


@pytest.mark.parametrize(("name", "words"), [("MAX_CONTAINERS", "lists and objects"), ("MAX_ENTRIES", "entries")])
def test_very_many_entries_are_counted_before_they_are_made(tmp_path, monkeypatch, name, words):
    """A gigabyte of empty lists takes twenty."""
    folder = coco(tmp_path / "set", more=[[]] * 1000)
    monkeypatch.setattr(outline_json, name, 500)
    refused(lambda: read_coco(folder, None), "train.json: 1,0", words, "and 500 are read: split the set")


def test_a_large_file_of_something_else_is_left_alone(tmp_path):
    folder = labelme(tmp_path / "set")
    (folder / "weights.json").write_text("[1]")
    os.truncate(folder / "weights.json", MAX_PICTURE_BYTES + 1)
    assert len(read_labelme(folder, None)[1]["train"]) == 1


def test_nobody_keeps_labelmes_copies_of_the_photos(tmp_path):
    """All of them were in memory until the last picture was drawn."""
    size, count = 2_000_000, 12
    folder = labelme(tmp_path / "set", count, "A" * size)
    read_labelme(labelme(tmp_path / "first"), None)  # what is imported at first use is not counted
    _, peak = memory(lambda: read_labelme(folder, None))
    assert peak < 5 * size < count * size


def test_long_outlines_stay_as_arrays(tmp_path):
    """Python's numbers take 32 bytes each, those of an array 8; what nobody draws is not kept at all."""
    outline = [number + 0.25 for number in range(200)]
    one = {"image_id": 1, "category_id": 1, "segmentation": [outline], "caption": "x" * 500}
    folder = coco(tmp_path / "set", [one | {"id": number} for number in range(2000)], info={"a": ["b"] * 10_000})
    kept, _ = memory(lambda: read_outline_json(folder / "train.json", COCO_KEYS, MAX_SET_BYTES))
    assert kept < 2000 * (200 * 8 + 1000)
    content = read_outline_json(folder / "train.json", COCO_KEYS, MAX_SET_BYTES)
    assert content.keys() == {"images", "categories", "annotations"}
    assert list(content["annotations"][5]["segmentation"][0]) == outline and content["annotations"][5]["id"] == 5


def test_arrays_are_drawn_as_lists_were(tmp_path):
    runs = {"size": [8, 8], "counts": [10, 4, 50]}
    parts = [[SQUARE], [[0.5, 0.5, 3.5, 0.5, 3.5, 6]], runs, {"size": [8, 8], "counts": "o1"}, [SQUARE, SQUARE[::-1]]]
    for number, segmentation in enumerate(parts[:3] + parts[4:]):
        annotation = {"image_id": 1, "category_id": 1, "segmentation": segmentation}
        folder = coco(tmp_path / str(number), [annotation])
        [files] = read_coco(folder, None)[1]["train"]
        assert np.array_equal(np.asarray(Image.open(files.label_map)), draw_coco((8, 8), [annotation], {1: 1}))


@pytest.mark.parametrize("part", [[["a"] * 6], [[1e400] * 6], [[[1]] * 6], [5], 7, [[True] * 5], [[10**30] * 6]])
def test_odd_outlines_are_named(tmp_path, part):
    folder = coco(tmp_path / "set", [{"image_id": 1, "category_id": 1, "segmentation": part}])
    refused(lambda: read_coco(folder, None), seconds=2)


def test_json_nested_beyond_sense_is_none(tmp_path):
    path = tmp_path / "x.json"
    for text in ('{"segmentation": ' + "[" * 900 + "]" * 900 + "}", "[" * 10_000, '{"a":' * 10_000):
        path.write_text(text)
        found = read_outline_json(path, COCO_KEYS, MAX_SET_BYTES)
        assert found is None or found.keys() <= {"segmentation"}

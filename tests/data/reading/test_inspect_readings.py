# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What inspect and the card of a set say about how its label files were read, and against it; the contact sheet."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from label_file_cases import COLORS, LABELS, PALETTE, SPEC, STORED, encoded, sorted_palette
from PIL import Image

from dpsims_hf.data import SemanticImageDataset
from dpsims_hf.data.inspect import main as inspect
from dpsims_hf.data.prepare import main as prepare
from dpsims_hf.data.reading.report import doubts, percent
from dpsims_hf.data.transforms import JointTransform
from dpsims_hf.demo.uploads.label_files import read_label_file


EXIF = Image.Exif()
EXIF[0x0112] = 3


@pytest.fixture
def write(tmp_path: Path):
    """(label files by name) -> folder in the local layout."""

    def make(labels: dict[str, bytes], spec=SPEC, **photo_options) -> Path:
        photo = np.full((*LABELS.shape, 3), 60, np.uint8)
        for name, data in labels.items():
            for folder, content in {"images": encoded(photo, **photo_options), "labels": data}.items():
                path = tmp_path / "set" / "train" / folder / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        spec.to_json(tmp_path / "set" / "classes.json")
        return tmp_path / "set"

    return make


def test_a_line_for_each_way_of_reading(write, capsys, tmp_path):
    folder = write(
        {"a": encoded(STORED.astype("u1")), "b": encoded(COLORS[LABELS]), "c": encoded(LABELS.astype("u1"))}
    )
    assert inspect([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "read as class ids: 2 files, 100.00 % of the pixels exactly, 12.50 % void, 4 of 4 classes occur" in out
    assert "read as class colours: 1 files, 100.00 % of the pixels exactly, 12.50 % void" in out
    assert prepare([str(folder), "--output_dir", str(tmp_path / "out")]) == 0
    assert "- read as class ids: 2 files, 100.00 %" in (tmp_path / "out" / "README.md").read_text()


def test_the_reading_can_be_named_for_a_whole_set(write, capsys, tmp_path):
    folder = write({"a": sorted_palette(LABELS)})
    assert inspect([str(folder)]) == 1 and "two readings fit" in capsys.readouterr().out
    assert inspect([str(folder), "--label_reading", "colors"]) == 0
    assert "read as palette colours: 1 files" in capsys.readouterr().out
    assert prepare([str(folder), "--output_dir", str(tmp_path / "a")]) == 1
    assert prepare([str(folder), "--output_dir", str(tmp_path / "b"), "--label_reading", "colors"]) == 0


def test_ids_that_start_at_1_are_told_by_the_whole_set(write, capsys):
    from_one = np.where(LABELS == 4, 1, LABELS + 1).astype("u1")
    folder = write({"a": encoded(from_one)})
    assert inspect([str(folder)]) == 1
    out = capsys.readouterr().out
    assert "hold 1..4 and never 0: ids that start at 1? As they are, sky never occurs and car is read as void" in out
    assert inspect([str(folder), "--label_reading", "ids_from_1"]) == 0
    assert inspect([str(folder), "--label_reading", "ids_from_0"]) == 0


def test_half_transparent_pixels_are_told_everywhere(write, capsys, tmp_path):
    told = "192 pixels (37.50 %) are half transparent: painted from half on, void below"
    alpha = np.where(LABELS == 1, 200, 255)
    folder = write({"a": encoded(np.dstack([COLORS[LABELS], alpha]).astype("u1"))})
    assert inspect([str(folder)]) == 0 and told in capsys.readouterr().out
    assert prepare([str(folder), "--output_dir", str(tmp_path / "out")]) == 0 and told in capsys.readouterr().out
    assert told in (tmp_path / "out" / "README.md").read_text()
    dataset = SemanticImageDataset.from_folder(folder, "train", JointTransform((16, 32)), cache_dir=tmp_path / "cache")
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match=re.escape(told)):
            dataset.validate(progress=False)
        dataset = SemanticImageDataset.from_folder(
            folder, "train", JointTransform((16, 32)), cache_dir=tmp_path / "cache"
        )
    assert told in read_label_file(folder / "train/labels/a.png", SPEC.image_processor()).notes[0]


def test_doubts_need_evidence():
    assert doubts(SPEC, {1: 5, 2: 5, 3: 5, 4: 5, 255: 1}) and not doubts(SPEC, {0: 1, 1: 5, 2: 5, 3: 5, 4: 5})
    assert not doubts(SPEC, {1: 5, 2: 5}) and not doubts(replace(SPEC, label_reading="ids"), {1: 1, 2: 1, 3: 1, 4: 1})
    assert "0 and 255 alone" in doubts(SPEC, {0: 5, 255: 5})[0]
    assert not doubts(SPEC, {0: 5}) and not doubts(SPEC, {})


def test_masks_are_told_by_the_whole_set(write, capsys):
    folder = write({"a": encoded(np.where(LABELS == 1, 255, 0).astype("u1"))})
    assert inspect([str(folder)]) == 1
    assert "if they are masks of building, --label_reading mask" in capsys.readouterr().out
    assert inspect([str(folder), "--label_reading", "mask"]) == 0
    assert "read as a mask: 1 files, 100.00 % of the pixels exactly, 0.00 % void, 2 of 4" in capsys.readouterr().out


def test_turned_photos_are_told(write, capsys):
    folder = write({"a": encoded(STORED.astype("u1"))}, exif=EXIF)
    assert inspect([str(folder)]) == 0
    assert "note: 1 photos are turned as their EXIF orientation says" in capsys.readouterr().out


def test_the_sheet_shows_photo_and_colours(write, capsys, tmp_path):
    folder = write({name: encoded(STORED.astype("u1")) for name in "abc"})
    assert inspect([str(folder), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "look whether the colours fit" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    expected = {tuple((60 * 0.4 + np.array(color) * 0.6).astype(np.uint8).tolist()) for color in PALETTE}
    seen = set(map(tuple, np.unique(pixels, axis=0).tolist()))
    assert expected <= seen and set(PALETTE) <= seen and (60, 60, 60) in seen


def test_percent_never_rounds_to_all_or_nothing():
    assert [percent(*pair) for pair in ((0, 5), (5, 5), (1, 10**9), (10**9 - 1, 10**9))] == [
        "0.00 %",
        "100.00 %",
        "0.01 %",
        "99.99 %",
    ]

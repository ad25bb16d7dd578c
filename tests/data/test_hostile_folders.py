# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Folders and tables that a stranger made: the data commands answer in words, at once, and read nothing else."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused

from dpsims_hf.configuration_rules import shown
from dpsims_hf.data import SemanticImageDataset
from dpsims_hf.data.encodings.class_tables import ClassRow, label_fields
from dpsims_hf.data.inspect import main as inspect
from dpsims_hf.data.prepare import main as prepare
from dpsims_hf.data.sources.hub_loading import resolve_hub_dataset
from dpsims_hf.data.sources.layouts import open_layout
from dpsims_hf.data.sources.outline_layouts import read_coco, read_labelme
from dpsims_hf.data.sources.polygons import decode_run_lengths, draw_coco, draw_labelme
from dpsims_hf.data.streaming import StreamingSemanticDataset, open_stream
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.data.transforms import JointTransform


SIZE = (8, 8)


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE).save(path)
    return path


def labels(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", SIZE, 1).save(path)
    return path


def paired(root: Path, count: int = 2) -> Path:
    for number in range(count):
        photo(root / "train" / "images" / f"{number}.png")
        labels(root / "train" / "labels" / f"{number}.png")
    SYNTHETIC_SPEC.to_json(root / "classes.json")
    return root


def voc(root: Path) -> Path:
    photo(root / "JPEGImages" / "0.jpg")
    labels(root / "SegmentationClass" / "0.png")
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("0\n")
    return root


def two_folders(root: Path) -> Path:
    photo(root / "images" / "0.jpg")
    labels(root / "masks" / "0.png")
    SYNTHETIC_SPEC.to_json(root / "classes.json")
    return root


def coco(root: Path, **changes) -> Path:
    photo(root / "0.jpg")
    square = [0, 0, 4, 0, 4, 4]
    content = {
        "images": [{"id": 1, "file_name": "0.jpg", "height": 8, "width": 8} | changes.pop("image", {})],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [square]} | changes.pop("annotation", {})],
    }
    (root / "train.json").write_text(json.dumps(content | changes))
    return root


def labelme(root: Path, **changes) -> Path:
    photo(root / "0.jpg")
    shape = {"label": "a", "shape_type": "polygon", "points": [[0, 0], [4, 0], [4, 4]]} | changes.pop("shape", {})
    content = {"imagePath": "0.jpg", "imageHeight": 8, "imageWidth": 8, "shapes": [shape]} | changes
    (root / "0.json").write_text(json.dumps(content))
    return root


MAKERS = {"paired": paired, "voc": voc, "two_folders": two_folders, "coco_json": coco, "labelme": labelme}
OPENED = {
    "paired": ("train/images/1.png", "train/labels/1.png", "classes.json"),
    "voc": ("JPEGImages/0.jpg", "SegmentationClass/0.png", "ImageSets/Segmentation/train.txt"),
    "two_folders": ("images/0.jpg", "masks/0.png"),
    "coco_json": ("0.jpg", "train.json"),
    "labelme": ("0.jpg", "0.json"),
}


def refused_by_commands(folder: Path, output: Path, capsys, *words: str, seconds: float = 5.0) -> None:
    """Both commands say one line for it, and nothing is written."""
    for run in (lambda: inspect([str(folder)]), lambda: prepare([str(folder), "--output_dir", str(output)])):
        started = time.process_time()
        assert run() == 1
        assert time.process_time() - started < seconds
        said = "".join(capsys.readouterr())
        assert all(word in said for word in words), said
    assert not output.exists()


# -- what is no file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout, names in OPENED.items() for name in names])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_nothing_but_files_is_opened(tmp_path, capsys, layout, name, kind):
    """A pipe would be waited for, and /dev/zero never ends."""
    folder = MAKERS[layout](tmp_path / "set")
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to(folder / name)
    refused_by_commands(folder, tmp_path / "out", capsys)


def test_folders_that_lead_in_circles(tmp_path):
    folder = paired(tmp_path / "set")
    (folder / "train" / "again").symlink_to(folder)
    (folder / "train" / "images" / "again").symlink_to(folder)
    assert inspect([str(folder)]) == 0
    assert prepare([str(folder), "--output_dir", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\rb", "\udcff", "a\u202eb", "\x00"[:0] + "\x7f"])
@pytest.mark.parametrize("layout", ["paired", "two_folders"])
def test_names_that_are_no_text(tmp_path, capsys, layout, name):
    folder = MAKERS[layout](tmp_path / "set")
    where = {"paired": ("train/images", "train/labels"), "two_folders": ("images", "masks")}[layout]
    photo(folder / where[0] / f"{name}.png")
    labels(folder / where[1] / f"{name}.png")
    refused_by_commands(folder, tmp_path / "out", capsys, "control characters", ascii(f"{name}.png"))


def test_names_of_folders_are_written_out(tmp_path, capsys):
    folder = paired(tmp_path / "set")
    (folder / "train").rename(folder / "tr\x1b[2J\nain")
    assert inspect([str(folder)]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\\x1b" in said
    assert shown("a\x1bb\udcff\n") == "a\\x1bb\\udcff\\n" and shown("Straße 9") == "Straße 9"


# -- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train/images/1.png", "train/labels/1.png", "train/images", "train"])
def test_what_is_passed_on_lies_in_the_folder(tmp_path, capsys, name):
    """`prepare --push` would publish whatever a link in a stranger's archive leads to."""
    folder = paired(tmp_path / "set")
    (folder / name).rename(tmp_path / "private")
    (folder / name).symlink_to(tmp_path / "private")
    assert prepare([str(folder), "--output_dir", str(tmp_path / "out")]) == 1
    assert "is a link out of" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert prepare([str(folder), "--output_dir", str(tmp_path / "out"), "--follow_links"]) == 0
    assert inspect([str(folder)]) == 0  # it only looks
    (tmp_path / "linked").symlink_to(folder)
    shutil.rmtree(tmp_path / "out")
    assert prepare([str(tmp_path / "linked"), "--output_dir", str(tmp_path / "out")]) == 1


def test_links_within_the_folder_are_files_of_it(tmp_path):
    folder = paired(tmp_path / "set")
    (folder / "train/images/1.png").unlink()
    (folder / "train/images/1.png").symlink_to("0.png")
    assert prepare([str(folder), "--output_dir", str(tmp_path / "out")]) == 0


# -- outlines ---------------------------------------------------------------------------------------------------------

HUGE = 10**9
COCO = [
    {"image": {"height": 60_000, "width": 60_000}},
    {"image": {"height": HUGE, "width": 1}},
    {"image": {"height": -8}},
    {"image": {"height": 0}},
    {"image": {"height": "8"}},
    {"image": {"height": 1e400}},
    {"image": {"file_name": "../../../etc/passwd"}},
    {"image": {"file_name": "/etc/passwd"}},
    {"image": {"file_name": "http://127.0.0.1/x.jpg"}},
    {"image": {"file_name": "x" * 5000}},
    {"image": {"file_name": None}},
    {"image": {"id": [1]}},
    {"images": [1]},
    {"categories": [{"id": [1], "name": "a"}]},
    {"categories": [{"name": "a"}]},
    {"annotation": {"category_id": {}}},
    {"annotation": {"segmentation": [[0, 0, HUGE, 0, HUGE, HUGE]]}},
    {"annotation": {"segmentation": [[0, 0, 1e400, 0, 4, 4]]}},
    {"annotation": {"segmentation": [["a"] * 6]}},
    {"annotation": {"segmentation": {"size": [60_000, 60_000], "counts": [3_600_000_000]}}},
    {"annotation": {"segmentation": {"size": [8, 8], "counts": "o" * 300_000}}},
    {"annotation": {"segmentation": {"size": [8, 8], "counts": [1e400]}}},
    {"annotation": {"area": "large"}},
    {"annotations": [5]},
]
LABELME = [
    {"imageHeight": 60_000, "imageWidth": 60_000},
    {"imageHeight": HUGE},
    {"imageHeight": 1e400},
    {"imagePath": "../../../etc/passwd"},
    {"imagePath": "/dev/zero"},
    {"shapes": [1]},
    {"shape": {"label": ["a"]}},
    {"shape": {"points": [[0, 0], [HUGE, 0], [4, 4]]}},
    {"shape": {"shape_type": "circle", "points": [[0, 0], [HUGE, HUGE]]}},
    {"shape": {"shape_type": "circle", "points": [[0, 0], [1e400, 0]]}},
    {"shape": {"points": [[0]]}},
    {"shape": {"points": 5}},
]


@pytest.mark.parametrize(
    ("make", "read", "changes"),
    [*((coco, read_coco, changes) for changes in COCO), *((labelme, read_labelme, changes) for changes in LABELME)],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_outlines_ask_for_no_more_than_pictures_have(tmp_path, make: Callable, read: Callable, changes: dict):
    folder = make(tmp_path / "set", **{name: value for name, value in changes.items()})
    refused(lambda: read(folder, None), seconds=2)


def test_honest_outlines_are_drawn(tmp_path):
    for make, read in ((coco, read_coco), (labelme, read_labelme)):
        folder = make(tmp_path / make.__name__)
        [files] = read(folder, None)[1]["train"]
        assert np.asarray(Image.open(files.label_map))[0, 1] == 1
    assert draw_coco((4.0, 4.0), [], {}).shape == (4, 4)  # some tools write sizes so
    circle = {"label": "a", "shape_type": "circle", "points": [[2, 2], [9000, 2]]}
    content = {"imageHeight": 4, "imageWidth": 4, "shapes": [circle]}
    assert draw_labelme(content, {"a": 1})[0].all()
    assert decode_run_lengths({"size": [2, 2], "counts": [1, 3]}).sum() == 3


def test_json_that_is_nested_without_end(tmp_path, capsys):
    folder = coco(tmp_path / "set")
    (folder / "train.json").write_text('{"images": ' + "[" * 500_000)
    refused_by_commands(folder, tmp_path / "out", capsys, "no known layout")


def test_no_picture_is_given_to_ghostscript(tmp_path, monkeypatch, capsys):
    """Pillow hands PostScript to that program, whatever a file is called; it has run strangers' code before."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/it_ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    folder = paired(tmp_path / "set")
    (folder / "train" / "images" / "1.png").write_bytes(text)
    (folder / "train" / "labels" / "0.png").write_bytes(text)
    refused_by_commands(folder, tmp_path / "out", capsys, "1.png")
    assert inspect([str(table(tmp_path / "table", "train.parquet", image=text, label_map=text))]) == 1
    assert not (tmp_path / "it_ran").exists()


# -- class lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        [ClassRow(f"line {number}", "__ignore__") for number in range(100_000)],
        [ClassRow("", f"{number}", (number % 2, 0, 0)) for number in range(4096)],
        [ClassRow("", f"{number}", (1, 2, 3)) for number in range(4096)],
        [ClassRow("", f"{number}") for number in range(100_000)],
    ],
    ids=["ignored", "two colours", "one colour", "many"],
)
def test_class_lists_take_no_time(rows):
    started, count = time.process_time(), sum(row.name != "__ignore__" for row in rows)
    if count > 4096:
        refused(lambda: label_fields(rows, "x"), "classes", seconds=2)
    else:
        assert len(set(label_fields(rows, "x")["palette"])) == count + 1
    assert time.process_time() - started < 2


@pytest.mark.parametrize("text", ["[" * 10_000_000, " " * 60_000_000, '{"classes": ' + "[" * 100_000])
def test_class_files_are_bounded(tmp_path, capsys, text):
    folder = paired(tmp_path / "set")
    (folder / "classes.json").write_text(text)
    refused_by_commands(folder, tmp_path / "out", capsys, "classes.json")


# -- tables -----------------------------------------------------------------------------------------------------------


def table(folder: Path, name: str, **cells: str | bytes) -> Path:
    """A prepared folder whose one row has these cells; text is the path of a file."""
    import datasets

    honest = {"image": photo(folder.parent / "p.png"), "label_map": labels(folder.parent / "l.png")}
    cells = {column: path.read_bytes() for column, path in honest.items()} | cells
    rows = {
        column: [{"bytes": cell, "path": "x.png"} if isinstance(cell, bytes) else {"bytes": None, "path": cell}]
        for column, cell in cells.items()
    }
    features = datasets.Features(dict.fromkeys(rows, datasets.Image(decode=False)))
    (folder / "data").mkdir(parents=True)
    plain = {column: {"bytes": datasets.Value("binary"), "path": datasets.Value("string")} for column in rows}
    stored = datasets.Dataset.from_dict(rows, features=datasets.Features(plain)).data.table
    stored = stored.replace_schema_metadata(features.arrow_schema.metadata)
    import pyarrow.parquet as pq

    pq.write_table(stored, folder / "data" / name)
    SYNTHETIC_SPEC.to_json(folder / "classes.json")
    return folder


@pytest.mark.parametrize("name", ["train-00000-of-00001.parquet", "train.parquet", "x.parquet"])
@pytest.mark.parametrize("path", ["/dev/zero", "/etc/passwd", "PRIVATE", "../l.png", "http://127.0.0.1/x.png"])
def test_a_table_names_no_files_of_this_machine(tmp_path, capsys, name, path):
    private = labels(tmp_path / "private" / "secret.png")
    folder = table(tmp_path / "set", name, label_map=str(private) if path == "PRIVATE" else path)
    assert inspect([str(folder)]) == 1
    assert "instead of holding its picture" in capsys.readouterr().out
    refused(lambda: SemanticImageDataset.from_hub(str(folder), "train"), "instead of holding", seconds=5)
    found = resolve_hub_dataset(str(folder))
    stream = StreamingSemanticDataset(open_stream(found, "train"), found.spec, JointTransform((8, 8)))
    refused(stream.validate, "instead of holding", seconds=5)
    refused(lambda: next(iter(stream)), "instead of holding", seconds=5)


def test_a_tables_card_names_no_files(tmp_path):
    """`datasets` follows the front matter of a README.md to any file and address."""
    folder = table(tmp_path / "set", "x.parquet")
    other = table(tmp_path / "other", "y.parquet")
    for place in (str(other / "data" / "y.parquet"), "https://127.0.0.1:1/y.parquet", "../other/data/y.parquet"):
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {place}\n---\n")
        found = resolve_hub_dataset(str(folder))
        assert found.load_kwargs == {"data_files": {"train": ["data/x.parquet"]}}
        assert len(found.load("train")) == 1


def test_a_picture_of_a_table_that_is_far_too_large(tmp_path, capsys):
    """60,000 x 60,000 pixels of one colour are some kilobytes."""
    head = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d494844520000ea600000ea600800000000") + b"\0" * 40
    folder = table(tmp_path / "set", "train.parquet", label_map=head)
    assert inspect([str(folder)]) == 1
    said = capsys.readouterr().out
    assert "1 problem" in said and "Traceback" not in said


def test_many_files_are_looked_at_quickly(tmp_path):
    """100,000 of them take some seconds; a tenth of them here."""
    folder = paired(tmp_path / "set", 1)
    for kind in ("images", "labels"):
        for number in range(1, 10_000):
            os.link(folder / "train" / kind / "0.png", folder / "train" / kind / f"{number}.png")
    started = time.process_time()
    assert len(open_layout(folder).splits["train"]) == 10_000
    assert time.process_time() - started < 5

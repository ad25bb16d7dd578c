# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`dpsims_hf.data.inspect`: which label space fits, and the sets that it opens."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import original_layouts
import pytest
from PIL import Image

from dpsims_hf.data import inspect as inspect_command
from dpsims_hf.data.prepare import main as prepare
from dpsims_hf.data.spec_suggestion import FoundValues, suggest_specs, suggestion_lines
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.data.synthetic import write_synthetic_dataset


def found(*label_maps) -> FoundValues:
    values = FoundValues()
    for label_map in label_maps:
        values.add(label_map)
    return values


@pytest.mark.parametrize(
    ("values", "spec", "encoding"),
    [
        (range(34), "cityscapes", "label_ids"),
        ([*range(19), 255], "cityscapes_train_ids", "ids"),
        (range(151), "ade20k", "ids"),
        ([*range(150), 255], "ade20k", "zero_based"),
        ([*range(182), 255], "coco_stuff", "stuffthingmaps"),
        (range(183), "coco_stuff", "ids"),
        ([*range(11), 255], "camvid", "ids"),
        ([*range(8), 255], "labelme_facade", "ids"),
    ],
)
def test_the_label_space_of_the_values(values, spec, encoding):
    best = suggest_specs(found(np.array([list(values)])))[0]
    assert (best.spec, best.encoding, best.fits) == (spec, encoding, True)


def test_what_does_not_fit_is_explained():
    rows = {(row.spec, row.encoding): row for row in suggest_specs(found(np.array([[0, 7, 33, 33]])))}
    assert rows["cityscapes", "label_ids"].fits
    camvid = rows["camvid", "ids"]
    assert not camvid.fits and camvid.reason == "without meaning there: 33 (50.0 % of the pixels)"
    lines = suggestion_lines(found(np.array([[400]])))
    assert lines[-1] == "suggestion: no known label space fits; write a classes.json"


def test_colour_files_are_compared_with_palettes():
    spec = load_label_preset("ade20k")
    colors = np.array([spec.palette[:40]], dtype=np.uint8)
    best = suggest_specs(found(Image.fromarray(colors)))[0]
    assert (best.spec, best.encoding, best.share) == ("ade20k", "colours", 1.0)


def test_palette_files_count_by_their_indices():
    image = Image.fromarray(np.array([[0, 150]], dtype=np.uint8))
    image.putpalette([7] * 768)
    assert dict(found(image).values) == {0: 1, 150: 1}


def test_a_folder_without_classes_gets_a_suggestion(tmp_path, capsys):
    root = tmp_path / "in"
    for index in range(2):
        original_layouts.save(root / "train" / "images" / f"{index}.png", original_layouts.photo(index))
        values = original_layouts.blocks([0, 91, 181, 255], index)
        original_layouts.save(root / "train" / "labels" / f"{index}.png", values.astype(np.uint8))
    assert inspect_command.main([str(root)]) == 1
    report = capsys.readouterr().out
    assert "values: 0, 91, 181, 255 (4 different)" in report and "2 of numbers (L)" in report
    assert "suggestion: --classes_file coco_stuff\n" in report and "no classes.json in it" in report
    assert inspect_command.main([str(root), "--classes_file", "coco_stuff"]) == 0
    report = capsys.readouterr().out
    assert "  182  wood" in report and "suggestion" not in report and "no problems" in report


def test_original_folders_and_prepared_ones(tmp_path, capsys):
    stored = original_layouts.cityscapes(tmp_path / "in")["label_map"]
    assert inspect_command.main([str(tmp_path / "in"), "--skip_photos"]) == 0
    report = capsys.readouterr().out
    road = np.mean([values == 7 for key, values in stored.items() if key.startswith("val")])
    line = next(line for line in reversed(report.splitlines()) if " road " in line)
    assert "2 images, 35 labels" in report and line.split() == ["7", "road", f"{100 * road:.3f}", "100.00"]
    assert prepare([str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert inspect_command.main([str(tmp_path / "out")]) == 0  # train and validation, columns and classes found
    again = capsys.readouterr().out
    assert ":train: 2 images, 35 labels" in again and ":validation: 1 images, 35 labels" in again
    table = [line for line in report.splitlines() if line.endswith("100.00")]
    assert table == [line for line in again.splitlines() if line.endswith("100.00")]


def test_a_wrong_column_is_told(tmp_path, capsys):
    root = write_synthetic_dataset(tmp_path / "in", num_train=1, num_val=1)
    assert prepare([str(root), "--output_dir", str(tmp_path / "out")]) == 0
    assert inspect_command.main([str(tmp_path / "out"), "--label_column", "mask"]) == 1
    assert "no column mask; it has image, label_map, instance_map" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.integration
def test_a_reader_that_closes_early_is_no_error(tmp_path):
    root = write_synthetic_dataset(tmp_path / "in", num_train=2, num_val=1)
    command = f"{sys.executable} -m dpsims_hf.data.inspect {root} --classes_file ade20k | head -n 1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.stdout.startswith(str(root)) and "Traceback" not in run.stderr and "BrokenPipe" not in run.stderr

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A newcomer's way with other people's folders: inspect, prepare, ten steps of training, the file on the page."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from label_file_cases import encoded, paletted
from training_runs import run_here

from dpsims_hf.data.inspect import main as inspect
from dpsims_hf.data.prepare import main as prepare
from dpsims_hf.data.synthetic import draw_scene
from dpsims_hf.demo.models.library import load_model
from dpsims_hf.demo.uploads.label_files import read_label_file
from dpsims_hf.image_processing_files import default_palette


pytestmark = pytest.mark.integration

VOC_COLORS = np.array([*default_palette(255), (224, 224, 192)])
NAMES = ("sky", "building", "road", "car")  # of the drawn scenes, whose void is 255 or 4


def scene(size: tuple[int, int], seed: int) -> tuple[bytes, np.ndarray]:
    """A photo as JPEG, and ids of NAMES with 255 for void."""
    photo, labels, _ = draw_scene(size, seed)
    return encoded(photo, "JPEG", quality=95), np.where(labels >= len(NAMES), 255, labels)


def cmp(root: Path) -> dict[str, bytes]:
    """CMP facades: square photos beside palette files of ids from 1, and a list of names."""
    files = {"label_names.txt": "\n".join(f"{i} {name}" for i, name in enumerate(NAMES, start=1)).encode()}
    for i in range(4):
        photo, labels = scene((64, 64), i)
        files[f"base/cmp_b{i}.jpg"] = photo
        files[f"base/cmp_b{i}.png"] = paletted(np.where(labels == 255, 1, labels + 1), VOC_COLORS)
    return files


def voc(root: Path) -> dict[str, bytes]:
    """Pascal VOC with its own classes."""
    files = {}
    for i in range(4):
        photo, labels = scene((64, 96), i)
        files[f"VOC2012/JPEGImages/{i}.jpg"] = photo
        files[f"VOC2012/SegmentationClass/{i}.png"] = paletted(labels, VOC_COLORS)
    files["VOC2012/ImageSets/Segmentation/train.txt"] = b"0\n1\n2\n"
    files["VOC2012/ImageSets/Segmentation/val.txt"] = b"3\n"
    return files


def labelme(root: Path) -> dict[str, bytes]:
    """One JSON of outlines beside each photo."""
    files = {}
    shapes = [
        {"label": "sky", "shape_type": "rectangle", "points": [[0, 0], [95, 30]]},
        {"label": "house", "shape_type": "polygon", "points": [[20, 20], [60, 20], [60, 60], [20, 60]]},
    ]
    for i in range(4):
        content = {"shapes": shapes, "imagePath": f"{i}.jpg", "imageHeight": 64, "imageWidth": 96}
        files |= {f"{i}.jpg": scene((64, 96), i)[0], f"{i}.json": json.dumps(content).encode()}
    return files


@pytest.mark.slow
@pytest.mark.parametrize("make", [cmp, voc, labelme])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_from_a_folder_to_the_page(make, tmp_path, capsys):
    root = tmp_path / "source"
    for name, data in make(root).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    sheet = tmp_path / "sheet.png"
    assert inspect([str(root), "--sheet", str(sheet)]) == 0, capsys.readouterr().out
    assert "no problems" in capsys.readouterr().out and sheet.is_file()
    assert prepare([str(root), "--output_dir", str(tmp_path / "prepared")]) == 0, capsys.readouterr().err
    steps = ("--max_train_steps", "10")
    assert (
        run_here(tmp_path / "prepared", tmp_path / "run", *steps, data_flag="--dataset_name", with_samples=False) == 0
    )
    model = load_model("checkpoint-10", str(tmp_path / "run" / "checkpoint-10"))
    cell = pq.read_table(next((tmp_path / "prepared" / "data").glob("train-*.parquet")))["label_map"][0].as_py()
    stored = np.asarray(read_label_file(io.BytesIO(cell["bytes"]), model.processor, name="a.png").label_map)
    labels = model.processor.id2label
    if make is cmp:  # the original file, with its ids from 1: the model's processor knows
        file = root / "base" / "cmp_b0.png"
        assert np.array_equal(read_label_file(file, model.processor).label_map, stored)
        assert [labels[i] for i in range(4)] == list(NAMES)
    elif make is voc:
        file = root / "VOC2012" / "SegmentationClass" / "0.png"
        assert np.array_equal(read_label_file(file, model.processor).label_map, stored)
        assert labels[1] == "aeroplane" and labels[21] == "void"
    else:
        assert [labels[i] for i in range(4)] == ["background", "house", "sky", "void"]
        assert stored[5, 5] == 2 and stored[40, 40] == 1 and stored[60, 90] == 0
    assert np.isfinite(np.asarray(model.pipe(model.fit(stored), seed=0).images[0])).all()

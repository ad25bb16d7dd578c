# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Folders as annotation tools write them: recognised and told by inspect, converted by prepare, to the value."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from label_file_cases import encoded, paletted
from PIL import Image

from dpsims_hf.data import SemanticImageDataset
from dpsims_hf.data.inspect import main as inspect
from dpsims_hf.data.prepare import main as prepare
from dpsims_hf.data.sources.layouts import open_layout, recognise_layout
from dpsims_hf.data.sources.polygons import decode_run_lengths, draw_coco, draw_labelme
from dpsims_hf.data.transforms import JointTransform
from dpsims_hf.image_processing_files import default_palette


PHOTO = encoded(np.full((8, 16, 3), 90, np.uint8), "JPEG")
LABELS = np.kron(np.array([[0, 1], [2, 255]]), np.ones((4, 8), dtype=np.int64)).astype(np.uint8)
VOC_COLORS = np.array([*default_palette(255), (224, 224, 192)])


def put(root: Path, files: dict[str, bytes | str | dict]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(content) if isinstance(content, dict) else content
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def shape(label: str, points: list, kind: str = "polygon") -> dict:
    return {"label": label, "points": points, "shape_type": kind, "flags": {}}


def labelme(name: str) -> dict:
    shapes = [shape("wall", [[8, 0], [15, 7]], "rectangle"), shape("door", [[0, 4], [0, 7], [7, 7], [7, 4]])]
    return {"version": "5", "imagePath": name, "imageHeight": 8, "imageWidth": 16, "shapes": shapes}


COCO = {
    "images": [{"id": 7, "file_name": "a.jpg", "height": 8, "width": 16}],
    "categories": [{"id": 3, "name": "wall"}, {"id": 5, "name": "door"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 5, "area": 32, "segmentation": [[0, 4, 7, 4, 7, 7, 0, 7]]},
        {"id": 2, "image_id": 7, "category_id": 3, "area": 64, "segmentation": [[8, 0, 15, 0, 15, 7, 8, 7]]},
    ],
}
DRAWN = np.zeros((8, 16), np.int64)  # background, wall on the right, door below on the left
DRAWN[:, 8:] = 1
DRAWN[4:, :8] = 2
IDS = np.where(LABELS == 255, 3, LABELS)
NAMES = "background\nwall\ndoor\n"
VOC = {
    "JPEGImages/a.jpg": PHOTO,
    "JPEGImages/b.jpg": PHOTO,
    "JPEGImages/no_label.jpg": PHOTO,
    "SegmentationClass/a.png": paletted(LABELS, VOC_COLORS),
    "SegmentationClass/b.png": paletted(LABELS, VOC_COLORS),
    "ImageSets/Segmentation/train.txt": "a\n",
    "ImageSets/Segmentation/val.txt": "b\n",
    "ImageSets/Segmentation/trainval.txt": "a\nb\n",
}
CVAT_COLORS = np.array([(0, 0, 0), (10, 200, 0), (0, 0, 250)], np.uint8)
FOLDERS: dict[str, tuple[dict, str, str, np.ndarray]] = {  # files, layout, split, label map of "a"
    "voc": (VOC, "voc", "train", np.where(LABELS == 255, 21, LABELS)),
    "voc in VOCdevkit": (
        {f"VOCdevkit/VOC2012/{name}": data for name, data in VOC.items()},
        "voc",
        "train",
        np.where(LABELS == 255, 21, LABELS),
    ),
    "cvat": (
        {
            "JPEGImages/a.jpg": PHOTO,
            "SegmentationClass/a.png": encoded(CVAT_COLORS[LABELS % 3]),
            "ImageSets/Segmentation/default.txt": "a\n",
            "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\nwall:10,200,0::\ndoor:0,0,250::\n",
        },
        "voc",
        "train",
        LABELS.astype(int) % 3,
    ),
    "roboflow masks": (
        {
            "train/a.jpg": PHOTO,
            "train/a_mask.png": encoded(LABELS),
            "train/_classes.csv": "Pixel Value, Class\n0, background\n1, wall\n2, door\n",
            "valid/b.jpg": PHOTO,
            "valid/b_mask.png": encoded(LABELS),
        },
        "beside",
        "train",
        IDS,
    ),
    "names beside each other": (
        {"base/a.jpg": PHOTO, "base/a.png": encoded(LABELS), "classes.txt": NAMES},
        "beside",
        "train",
        IDS,
    ),
    "images and masks": (
        {"images/a.jpg": PHOTO, "masks/a.png": encoded(LABELS), "labels.txt": NAMES},
        "two_folders",
        "train",
        IDS,
    ),
    "images and annotations with endings": (
        {"images/a.jpg": PHOTO, "annotations/a_L.png": encoded(LABELS), "labels.txt": NAMES},
        "two_folders",
        "train",
        IDS,
    ),
    "splits of images and masks": (
        {"train/images/a.jpg": PHOTO, "train/masks/a.png": encoded(LABELS), "labels.txt": NAMES},
        "two_folders",
        "train",
        IDS,
    ),
    "splits in images and masks": (
        {"images/train/a.jpg": PHOTO, "masks/train/a.png": encoded(LABELS), "labels.txt": NAMES},
        "two_folders",
        "train",
        IDS,
    ),
    "coco": (
        {"train2017/a.jpg": PHOTO, "annotations/instances_train2017.json": COCO},
        "coco_json",
        "train",
        DRAWN,
    ),
    "roboflow coco": ({"train/a.jpg": PHOTO, "train/_annotations.coco.json": COCO}, "coco_json", "train", DRAWN),
    "labelme": (
        {"a.jpg": PHOTO, "a.json": labelme("a.jpg"), "labels.txt": "__ignore__\n_background_\nwall\ndoor\n"},
        "labelme",
        "train",
        DRAWN,
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_recognised_and_converted(name, tmp_path, capsys):
    files, layout, split, expected = FOLDERS[name]
    root = put(tmp_path / "source", files)
    assert recognise_layout(root) == layout
    assert inspect([str(root)]) == 0, capsys.readouterr().out
    assert "no problems" in capsys.readouterr().out
    assert prepare([str(root), "--output_dir", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    dataset = SemanticImageDataset.from_hub(tmp_path / "out", split, JointTransform((8, 16)))
    assert np.array_equal(dataset.label_map(0), expected)


def test_labels_without_a_list_are_those_that_occur_and_others_become_void(tmp_path):
    root = put(tmp_path, {"a.jpg": PHOTO, "a.json": labelme("a.jpg")})
    assert open_layout(root).spec.labels == ("background", "door", "wall", "void")
    put(root, {"labels.txt": "__ignore__\nwall\n"})
    source = open_layout(root)
    assert source.spec.labels == ("background", "wall", "void")
    with Image.open(source.splits["train"][0].label_map) as image:
        assert np.array_equal(np.asarray(image), DRAWN)  # door is 2, void


def test_a_folder_prepared_anew_is_not_read_from_the_cache_of_the_old_one(tmp_path):
    for value in (1, 2):
        root = put(
            tmp_path / str(value) / "s", {"a.jpg": PHOTO, "a_mask.png": encoded(np.full((8, 16), value, np.uint8))}
        )
        put(root, {"labels.txt": NAMES})
        out = tmp_path / str(value) / "same_name"
        assert prepare([str(root), "--output_dir", str(out)]) == 0
        assert (SemanticImageDataset.from_hub(out, "train", JointTransform((8, 16))).label_map(0) == value).all()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.jpg": PHOTO}, "no known layout; expected .*Pascal VOC .*COCO's JSON.*Labelme's JSON.*NAME_mask.png"),
        (
            {"images/a.jpg": PHOTO, "masks/b.png": encoded(LABELS), "labels.txt": NAMES},
            "1 photos without label map: a.jpg",
        ),
        ({"images/a.jpg": PHOTO, "masks/a.png": encoded(LABELS)}, "nothing in it names the classes.*--classes_file"),
        ({"SegmentationClass/a.png": encoded(LABELS)}, "no photos in JPEGImages/; export the set with its images"),
        (
            {name: data for name, data in VOC.items() if name != "SegmentationClass/b.png"},
            "1 pictures of ImageSets/Segmentation/val.txt have no photo or no label map: b",
        ),
        ({"a.json": labelme("a.jpg")}, "its photo a.jpg is not there"),
        (
            {"train/images/a.jpg": PHOTO, "train/labels/a.txt": "0 0.5 0.5 1 1", "classes.txt": NAMES},
            "text files, as YOLO's boxes",
        ),
    ],
)
def test_what_is_missing_is_named(files, words, tmp_path, capsys):
    root = put(tmp_path / "source", files)
    code = prepare([str(root), "--output_dir", str(tmp_path / "out")])
    text = capsys.readouterr().err
    assert code == 1 and re.search(words, text), text
    assert inspect([str(root)]) == 1
    assert re.search(words, capsys.readouterr().out)


def test_jpeg_labels_have_a_way_through_that_must_be_asked_for(tmp_path, capsys):
    """As CMP's facades are often passed on: colours saved as JPEG."""
    palette = np.array([(0, 0, 170), (0, 0, 255), (170, 255, 85)], np.uint8)
    labels = np.kron(np.array([[0, 1], [2, 0]]), np.ones((16, 16), int))
    label = encoded(palette[labels], "JPEG", quality=90)
    photo = encoded(np.full((32, 32, 3), 90, np.uint8), "JPEG")
    classes = {"classes": [{"id": i, "name": n, "color": palette[i].tolist()} for i, n in enumerate("abc")]}
    root = put(tmp_path / "s", {"train/images/a.jpg": photo, "train/labels/a.jpg": label, "classes.json": classes})
    assert inspect([str(root)]) == 1
    assert "a JPEG, and lossy compression" in capsys.readouterr().out
    assert inspect([str(root), "--label_reading", "nearest_colors"]) == 0
    out = capsys.readouterr().out
    assert "read as nearest class colours: 1 files" in out and "are a little off their class's colour" in out
    arguments = [str(root), "--output_dir", str(tmp_path / "out")]
    assert prepare(arguments) == 1 and prepare([*arguments, "--label_reading", "nearest_colors"]) == 0
    dataset = SemanticImageDataset.from_hub(tmp_path / "out", "train", JointTransform((32, 32)))
    assert (dataset.label_map(0) == labels).mean() > 0.97


# -- outlines ---------------------------------------------------------------------------------------------------------


def test_run_lengths_as_numbers_and_as_text():
    mask = np.zeros((3, 4), dtype=bool)
    mask[1:, 1:3] = True
    counts = [4, 2, 1, 2, 3]
    assert np.array_equal(decode_run_lengths({"size": [3, 4], "counts": counts}), mask)
    # By COCO's rule, 5 bits a character from "0" on; from the fourth run on the difference to the run before the last:
    # 4, 2, 1, 2 - 2, 3 - 1.
    assert np.array_equal(decode_run_lengths({"size": [3, 4], "counts": "42102"}), mask)
    one_more_character = {"size": [1, 100], "counts": [40, 60]}  # 40 = 8 + 32: "X1"
    assert np.array_equal(
        decode_run_lengths(one_more_character | {"counts": "X1l1"}), decode_run_lengths(one_more_character)
    )
    with pytest.raises(ValueError, match="run lengths of 5 pixels for 3 x 4"):
        decode_run_lengths({"size": [3, 4], "counts": [5]})


def test_smaller_objects_lie_on_top_and_crowds_are_drawn():
    annotations = [
        {"category_id": 1, "area": 1, "segmentation": [[1, 1, 2, 1, 2, 2, 1, 2]]},
        {"category_id": 2, "area": 12, "segmentation": {"size": [3, 4], "counts": [0, 12]}},
    ]
    drawn = draw_coco((3, 4), annotations, {1: 1, 2: 2})
    assert drawn.tolist() == [[2, 2, 2, 2], [2, 1, 1, 2], [2, 1, 1, 2]]
    with pytest.raises(ValueError, match="category 9 is not in the list"):
        draw_coco((3, 4), [{"category_id": 9, "segmentation": []}], {1: 1})


def test_labelme_shapes_without_area_are_told():
    content = labelme("a.jpg") | {
        "shapes": [shape("wall", [[1, 1], [2, 2]], "line"), shape("wall", [[3, 3], [3, 4]], "circle")]
    }
    drawn, left_out = draw_labelme(content, {"wall": 1})
    assert left_out == ["line"] and drawn[3, 3] == 1 and drawn[0, 0] == 0


def test_a_labelme_mask_is_drawn_in_its_box():
    """Labelme's AI tools write a PNG in base64 and the corners of its box."""
    mask = np.array([[True, False], [True, True]])
    drawn = {"label": "wall", "shape_type": "mask", "points": [[3, 1], [4, 2]]}
    content = {
        "imageHeight": 4,
        "imageWidth": 6,
        "shapes": [drawn | {"mask": base64.b64encode(encoded(mask)).decode()}],
    }
    label_map, left_out = draw_labelme(content, {"wall": 2})
    assert np.argwhere(label_map == 2).tolist() == [[1, 3], [2, 3], [2, 4]] and not left_out
    with pytest.raises(ValueError, match="no PNG in base64"):
        draw_labelme(content | {"shapes": [drawn | {"mask": "no PNG"}]}, {"wall": 2})


def test_labelme_shapes_that_are_left_out_are_counted(tmp_path):
    content = labelme("a.jpg")
    content["shapes"] += [shape("wall", [[1, 1]], "point"), shape("wall", [[1, 1], [2, 2]], "linestrip")]
    root = put(tmp_path, {"a.jpg": PHOTO, "a.json": content})
    with pytest.warns(UserWarning, match="left out: 1 of point, 1 of linestrip"):
        open_layout(root)


def test_photos_of_one_name_in_two_folders_keep_their_own_label_maps(tmp_path):
    square = [[0, 0, 5, 0, 5, 5, 0, 5]]
    images = [{"id": i, "file_name": f"{'ab'[i]}/1.jpg", "height": 24, "width": 32} for i in (0, 1)]
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "wall"}, {"id": 2, "name": "door"}],
        "annotations": [{"image_id": i, "category_id": i + 1, "segmentation": square, "area": 25} for i in (0, 1)],
    }
    files = {"annotations/instances_train.json": content, "images/a/1.jpg": PHOTO, "images/b/1.jpg": PHOTO}
    found = open_layout(put(tmp_path, files), "coco_json").splits["train"]
    drawn = [np.asarray(Image.open(files.label_map))[2, 2] for files in found]
    assert drawn == [1, 2]

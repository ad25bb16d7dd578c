# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Class lists of other tools: as a label space of a dataset, and as a colour table on the page."""

import io
import json

import numpy as np
import pytest
from label_file_cases import encoded, paletted

from dpsims_hf.data.reading.rows import RowDecoder
from dpsims_hf.data.specs import DatasetSpec, load_label_preset
from dpsims_hf.demo.drawing.palette_files import write_palette_files
from dpsims_hf.demo.uploads.color_tables import ClassNames, read_color_table
from dpsims_hf.demo.uploads.label_files import read_label_file


ROAD, CAR, SKY = (128, 64, 128), (64, 0, 128), (128, 128, 128)
LISTS = {
    "labelmap.txt": "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:64,0,128::\nSky:128,128,128::\n",
    "palette.gpl": "GIMP Palette\nName: x\nColumns: 3\n#\n128  64 128\troad\n 64   0 128\tcar\n128 128 128\tSky\n",
    "label_colors.txt": "128 64 128\troad\n64 0 128\t\tcar\n128 128 128\tSky\n",
    "config.json": json.dumps(
        {
            "labels": [
                {"name": f"x--{n.lower()}", "readable": n, "color": list(c), "evaluate": True, "instances": False}
                for n, c in (("road", ROAD), ("car", CAR), ("Sky", SKY))
            ]
        }
    ),
    "meta.json": json.dumps(
        {
            "classes": [
                {"title": n, "shape": "polygon", "color": "#{:02x}{:02x}{:02x}".format(*c), "id": 9931 + i}
                for i, (n, c) in enumerate((("road", ROAD), ("car", CAR), ("Sky", SKY)))
            ],
            "tags": [],
        }
    ),
    "categories.json": json.dumps(
        [
            {"id": i, "name": n, "color": list(c)}
            for i, (n, c) in enumerate((("road", ROAD), ("car", CAR), ("Sky", SKY)))
        ]
    ),
}
# The full list of CamVid, as its authors publish it.
CAMVID_32 = """64 128 64\tAnimal
192 0 128\tArchway
0 128 192\tBicyclist
0 128 64\tBridge
128 0 0\tBuilding
64 0 128\tCar
64 0 192\tCartLuggagePram
192 128 64\tChild
192 192 128\tColumn_Pole
64 64 128\tFence
128 0 192\tLaneMkgsDriv
192 0 64\tLaneMkgsNonDriv
128 128 64\tMisc_Text
192 0 192\tMotorcycleScooter
128 64 64\tOtherMoving
64 192 128\tParkingBlock
64 64 0\tPedestrian
128 64 128\tRoad
128 128 192\tRoadShoulder
0 0 192\tSidewalk
192 128 128\tSignSymbol
128 128 128\tSky
64 128 192\tSUVPickupTruck
0 0 64\tTrafficCone
0 64 64\tTrafficLight
192 64 128\tTrain
128 128 0\tTree
192 128 192\tTruck_Bus
64 0 64\tTunnel
192 192 0\tVegetationMisc
0 0 0\tVoid
64 192 0\tWall
"""


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_a_label_space_and_a_colour_table(name, tmp_path):
    path = tmp_path / name
    path.write_text(LISTS[name])
    spec = load_label_preset(path)
    assert spec.labels == ("road", "car", "Sky", "void") and spec.palette[:3] == (ROAD, CAR, SKY)
    assert (spec.void_label_id, spec.void_values) == (3, (255,))
    processor = load_label_preset("camvid").image_processor()
    table = read_color_table(path, processor)
    found = [processor.id2label[i] for i in table.ids]
    assert (table.colors, found, table.left_out) == ((ROAD, CAR, SKY), ["road", "car", "sky"], ())


def test_lists_of_names_alone(tmp_path):
    for text, labels in (
        ("__ignore__\n_background_\nroad\ncar\n", ("background", "road", "car", "void")),
        ("background\naeroplane\nbicycle\n", ("background", "aeroplane", "bicycle", "void")),
        ("Pixel Value, Class\n0, background\n1, road\n2, unlabeled\n", ("background", "road", "unlabeled")),
        ('["road", "car"]', ("road", "car", "void")),
        ("1 road\n2 car\n", ("road", "car", "void")),
    ):
        (tmp_path / "labels.txt").write_text(text)
        spec = load_label_preset(tmp_path / "labels.txt")
        assert spec.labels == labels and spec.void_label_id == len(labels) - 1
        assert DatasetSpec.from_folder(tmp_path) == spec  # found in a folder without classes.json
    (tmp_path / "labels.txt").write_text("x = 3\n")
    with pytest.raises(ValueError, match="no class list that is known here; expected a classes.json, CVAT"):
        load_label_preset(tmp_path / "labels.txt")
    with pytest.raises(ValueError, match="without colours"):
        read_color_table(io.BytesIO(b'["road", "car"]'), load_label_preset("camvid").image_processor(), "x.json")


def test_coco_categories_with_gaps_keep_their_values_in_files(tmp_path):
    categories = [{"id": 1, "name": "person", "supercategory": "x"}, {"id": 90, "name": "toothbrush"}]
    (tmp_path / "coco.json").write_text(json.dumps({"categories": categories, "images": [], "annotations": []}))
    spec = load_label_preset(tmp_path / "coco.json")
    assert spec.labels == ("person", "toothbrush", "void")
    stored = {"bytes": encoded(np.array([[0, 1, 90, 255]], np.uint8)), "path": None}
    assert RowDecoder(spec, "set").label_map({"label_map": stored}, 0).tolist() == [[2, 0, 1, 2]]


def test_a_classes_file_whose_ids_start_at_1_is_an_offset(tmp_path):
    classes = [{"id": i, "name": name} for i, name in enumerate(("facade", "window", "door"), start=1)]
    for void, zero in ((0, 3), (255, 3)):
        (tmp_path / "classes.json").write_text(json.dumps({"classes": classes, "void_index": void}))
        spec = DatasetSpec.from_folder(tmp_path)
        assert spec.labels == ("facade", "window", "door", "void")
        stored = {"bytes": encoded(np.array([[0, 1, 2, 3]], np.uint8)), "path": None}
        assert RowDecoder(spec, "set").label_map({"label_map": stored}, 0).tolist() == [[zero, 0, 1, 2]]


def test_colours_that_nobody_chose_are_no_evidence(tmp_path):
    """A palette that some tool put into an index file happens to have the colours that the list was given here."""
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    spec = DatasetSpec.from_folder(tmp_path)
    colors = np.array([spec.palette[1], spec.palette[2], spec.palette[0]])
    stored = {"bytes": paletted(np.array([[0, 1, 2]]), colors), "path": None}
    assert not spec.has_colors and RowDecoder(spec, "set").label_map({"label_map": stored}, 0).tolist() == [[0, 1, 2]]
    spec.to_json(tmp_path / "classes.json")
    assert DatasetSpec.from_folder(tmp_path) == spec
    picture = {"bytes": encoded(np.array([[spec.palette[1], spec.palette[2]]], np.uint8)), "path": None}
    assert RowDecoder(spec, "set").label_map({"label_map": picture}, 0).tolist() == [[1, 2]]  # 2 of 16 million hit


def test_names_are_compared_without_case_spaces_and_underscores():
    names = ClassNames(load_label_preset("camvid").image_processor())
    for foreign, own in (
        ("SignSymbol", "sign"),
        ("sign_symbol", "sign"),
        ("Column_Pole", "pole"),
        ("TRAFFIC sign", "sign"),
    ):
        assert names.labels[names.find(foreign)] == own


def test_the_full_list_of_camvid_fits_a_model_of_its_11_classes():
    processor = load_label_preset("camvid").image_processor()
    table = read_color_table(io.BytesIO(CAMVID_32.encode()), processor, "label_colors.txt")
    assert len(table.colors) == 32 and len(table.left_out) == 20
    assert {"Animal", "LaneMkgsDriv", "TrafficCone"} <= set(table.left_out)
    colors = np.array([[(128, 64, 128), (192, 128, 128), (0, 0, 192), (64, 128, 64)]], dtype=np.uint8)
    file = read_label_file(
        io.BytesIO(encoded(colors)), processor, color_table=io.BytesIO(CAMVID_32.encode()), name="a.png"
    )
    assert [processor.id2label[i] for i in file.label_map[0].tolist()] == ["road", "sign", "pavement", "void"]
    assert file.notes[0].startswith("The colour table's classes that this model has not became void: Animal, Archway")


def test_a_mistyped_name_is_no_further_class():
    processor = load_label_preset("camvid").image_processor()
    text = CAMVID_32 + "1 2 3\tPedestrain\n"
    with pytest.raises(ValueError, match="is no class of this model|is not a class of this model"):
        read_color_table(io.BytesIO(text.encode()), processor, "t.txt")


def test_the_palette_file_of_the_page_is_read_back(tmp_path):
    spec = load_label_preset("camvid")
    path = write_palette_files(tmp_path, spec.labels, spec.palette, spec.void_label_id)["gpl"]
    table = read_color_table(path, spec.image_processor())
    assert table.ids == tuple(range(spec.num_labels)) and table.colors == spec.palette
    assert load_label_preset(path).labels == spec.labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("road:300,0,0::\n", r"line 1: \(300, 0, 0\) is no colour"),
        ('[{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]', "the id 0 stands twice"),
        ('["a", "a"]', "the name 'a' stands twice"),
        ('[{"id": -1, "name": "a"}]', "the id '-1' is no whole number"),
    ],
)
def test_wrong_rows_are_named(text, words, tmp_path):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        load_label_preset(tmp_path / "list.json")

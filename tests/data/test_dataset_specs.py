# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Specs as JSON files, label encodings, instance encodings, and the cells that columns may hold."""

import io
import json

import numpy as np
import pytest
from original_layouts import CITYSCAPES_TRAIN_IDS, blocks
from PIL import Image

from dpsims_hf.data.encodings.instances import compact_ids, instance_ids
from dpsims_hf.data.encodings.labels import LabelEncoding, spans
from dpsims_hf.data.reading.rows import RowDecoder
from dpsims_hf.data.sources.hub_loading import resolve_hub_dataset
from dpsims_hf.data.sources.hub_sources import choose_validation_split
from dpsims_hf.data.specs import DatasetSpec, label_presets, load_label_preset, spec_of_repository
from dpsims_hf.evaluation.protocols import get_protocol


PRESETS = ("ade20k", "camvid", "cityscapes", "cityscapes_train_ids", "coco_stuff", "labelme_facade")


# --- specs -----------------------------------------------------------------------------------------------------------


def test_the_known_sets():
    assert tuple(label_presets()) == PRESETS
    specs = {name: load_label_preset(name) for name in PRESETS}
    facts = {name: (spec.num_labels, spec.void_label_id, spec.crop_size) for name, spec in specs.items()}
    assert facts == {
        "ade20k": (151, 0, (256, 256)),
        "camvid": (12, 11, None),
        "cityscapes": (35, 0, (256, 512)),
        "cityscapes_train_ids": (20, 19, (256, 512)),
        "coco_stuff": (183, 0, (256, 256)),
        "labelme_facade": (9, 8, None),
    }
    for name, spec in specs.items():
        assert spec.name == name and spec.license_note and spec.note
        assert len(set(spec.palette)) == len(set(spec.labels)) == spec.num_labels
    assert specs["ade20k"].load_size == (286, 286) and specs["cityscapes"].load_size is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_in_full(name, tmp_path):
    spec = load_label_preset(name)
    spec.to_json(tmp_path / "classes.json")
    assert DatasetSpec.from_json(tmp_path / "classes.json") == spec
    assert load_label_preset(tmp_path / "classes.json") == spec
    assert hash(spec) == hash(load_label_preset(name))


@pytest.mark.parametrize("name", PRESETS)
def test_the_named_segmenters_know_the_classes(name):
    spec = load_label_preset(name)
    cityscapes = load_label_preset("cityscapes_train_ids").labels[:19]
    known = {"miou_mf_cityscapes": list(cityscapes)}
    for protocol in map(get_protocol, spec.protocols):
        assert protocol.metric == "semantic_consistency"
        if protocol.label_rule == "order":
            segmenter = [label for i, label in enumerate(spec.labels) if i != spec.void_label_id]
        else:
            table = dict(protocol.label_names)
            segmenter = known.get(protocol.name) or sorted({table.get(n, n) for n in spec.labels[1:]} - {None})
        mapping = protocol.label_mapping(spec.labels, segmenter, spec.void_label_id)
        assert set(mapping.table) - {None} == set(range(len(segmenter)))


def test_train_ids_are_those_of_the_data_set():
    full, small = load_label_preset("cityscapes"), load_label_preset("cityscapes_train_ids")
    assert {full.labels[i]: small.labels[t] for i, t in CITYSCAPES_TRAIN_IDS.items()} == {
        n: n for n in small.labels[:19]
    }
    ids = small.encoding("label_ids").to_ids(np.arange(34)[None], small.num_labels)[0]
    assert ids.tolist() == [CITYSCAPES_TRAIN_IDS.get(i, 19) for i in range(34)]
    assert set(small.thing_ids) == {11, 12, 13, 14, 15, 16, 17, 18}


def test_the_papers_resize_and_crop():
    transform = load_label_preset("ade20k").transform()
    assert transform.size == (256, 256) and transform.scale_range == (286 / 256, 286 / 256)
    transform = load_label_preset("cityscapes").transform(horizontal_flip=0.0)
    assert transform.size == (256, 512) and transform.scale_range == (1.0, 1.0) and transform.horizontal_flip == 0.0
    with pytest.raises(ValueError, match='camvid: no "crop_size"'):
        load_label_preset("camvid").transform()


def test_nothing_unconfirmed_is_presented_as_confirmed():
    sources = {source.repository: source for name in PRESETS for source in load_label_preset(name).hub}
    assert len(sources) == 7
    for source in sources.values():
        assert source.unconfirmed and source.note
        if "columns" not in source.unconfirmed:
            assert source.image_column and source.label_column


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_encoding": "raw"}, "label encoding 'raw' is not one of ids"),
        ({"label_encodings": [{"name": "raw", "values": {"7": 2}}]}, r"gives value 7 the id 2: legal are 0\.\.1"),
        ({"label_encodings": [{"name": "raw", "values": {"x": 0}}]}, "not a valid spec"),
        ({"instance_encoding": "voc"}, "instance_encoding 'voc' is not one of ids, cityscapes"),
        ({"crop_size": [64, 64], "load_size": [80, 60]}, "load_size"),
        ({"crop_size": 64}, "not a valid spec"),
        ({"hub": [{"repo": "a/b"}]}, "not a valid spec.*repo"),
    ],
)
def test_bad_specs(tmp_path, changes, message):
    classes = [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes} | changes))
    with pytest.raises(ValueError, match=message) as error:
        DatasetSpec.from_folder(tmp_path)
    assert "\n" not in str(error.value)


# --- label encodings -------------------------------------------------------------------------------------------------


def decode(spec: DatasetSpec, cell) -> np.ndarray:
    return RowDecoder(spec, "set").label_map({"label_map": cell}, 0)


def png(values: np.ndarray, mode: str | None = None) -> dict:
    buffer = io.BytesIO()
    image = Image.fromarray(values)
    if mode == "P":
        image = Image.frombytes("P", image.size, values.tobytes())
        image.putpalette(list(range(256)) * 3)
    image.save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def test_coco_stuff_values_in_every_kind_of_column():
    """Values 0..181 are id - 1, 255 is unlabeled; whatever the column holds."""
    spec = load_label_preset("coco_stuff")
    raw = np.array([[0, 1, 90, 7, 7], [91, 181, 255, 7, 7]])
    expected = [[1, 2, 91, 8, 8], [92, 182, 0, 8, 8]]
    cells = [raw[None].tolist(), png(raw.astype(np.uint8)), png(raw.astype(np.uint8), "P"), png(raw.astype(np.uint16))]
    cells += [raw.tolist(), raw, raw.astype(np.uint8), raw.astype(np.float32)]
    cells.append(png(raw.astype(np.uint8))["bytes"])
    for cell in cells:
        ids = decode(spec, cell)
        assert ids.tolist() == expected and ids.dtype == np.uint8
    assert decode(spec.with_encoding("ids"), raw[:, :2].tolist()).tolist() == [[0, 1], [91, 181]]


def test_paths_and_colour_files(tmp_path):
    spec = load_label_preset("coco_stuff")
    path = tmp_path / "map.png"
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).save(path)
    assert decode(spec, str(path)).tolist() == decode(spec, {"bytes": None, "path": str(path)}).tolist() == [[1, 0]]
    colors = np.array([spec.palette[5:7]], dtype=np.uint8)  # colours are the classes', in any encoding
    assert decode(spec, png(colors)).tolist() == [[5, 6]]


def test_cityscapes_values():
    full, small = load_label_preset("cityscapes"), load_label_preset("cityscapes_train_ids")
    raw = np.array([[-1, 0, 7, 26, 33]], dtype=np.int8)
    assert decode(full, raw).tolist() == [[34, 0, 7, 26, 33]]
    assert decode(small.with_encoding("label_ids"), raw).tolist() == [[19, 19, 0, 13, 18]]
    assert decode(small, np.array([[0, 18, 255, -1]])).tolist() == [[0, 18, 19, 19]]


def test_ade20k_values_with_and_without_reduce_zero_label():
    spec = load_label_preset("ade20k")
    assert decode(spec, np.array([[0, 1, 150]])).tolist() == [[0, 1, 150]]
    assert decode(spec.with_encoding("zero_based"), np.array([[255, 0, 149]])).tolist() == [[0, 1, 150]]


@pytest.mark.parametrize(
    ("name", "encoding", "value", "facts"),
    [
        ("coco_stuff", "stuffthingmaps", 182, ("value 182", "stuffthingmaps", "0..181, 255", "1 pixels")),
        ("cityscapes_train_ids", "label_ids", 34, ("value 34", "-1..33, 255")),
        ("cityscapes", "label_ids", 255, ("value 255", "-1..34")),
        ("ade20k", "ids", 151, ("id 151", "0..150")),
    ],
)
def test_values_without_a_meaning_are_named(name, encoding, value, facts):
    spec = load_label_preset(name).with_encoding(encoding)
    with pytest.raises(ValueError) as error:
        decode(spec, np.array([[1, value]]))
    assert all(fact in str(error.value) for fact in ("set, row 0, column label_map", *facts))
    assert "\n" not in str(error.value)


def test_cells_that_are_no_label_map():
    for name in ("ade20k", "coco_stuff"):
        with pytest.raises(ValueError, match="row 0, column label_map.*no rectangle"):
            decode(load_label_preset(name), [[1, 2], [3]])
        with pytest.raises(ValueError, match="not whole numbers"):
            decode(load_label_preset(name), np.array([[0.5]]))
        with pytest.raises(ValueError, match="no label map"):
            decode(load_label_preset(name), [])


def test_an_encoding_lists_its_legal_values():
    encoding = LabelEncoding("x", offset=-2, values=((9, 0),))
    assert encoding.legal_values(3) == {2: 0, 3: 1, 4: 2, 9: 0}
    assert encoding.to_ids(np.array([[2, 9, 4, 7]]), 3, void=((7, 1),)).tolist() == [[0, 0, 2, 1]]
    assert spans([255, 0, 1, 2, 7]) == "0..2, 7, 255"


# --- instances -------------------------------------------------------------------------------------------------------


def test_cityscapes_instances_are_1000_and_above():
    values = np.array([[7, 24, 26, 24000, 26001, 33999]], dtype=np.uint16)  # 24 and 26 alone are groups
    ids = instance_ids(values, "cityscapes")
    assert ids.tolist() == [[0, 0, 0, 24000, 26001, 33999]] and ids.dtype == np.int32
    labels = np.array([[7, 24, 26, 0, 26, 33]])
    things = load_label_preset("cityscapes").thing_ids
    assert instance_ids(values, "cityscapes", labels, things).tolist() == [[0, 0, 0, 0, 26001, 33999]]


def test_coco_panoptic_crowds_and_stuff_are_no_objects():
    spec = load_label_preset("coco_stuff")
    numbers = np.array([[0, 70_000, 3_000_001], [500, 900_000, 16_777_215]])
    rgb = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1).astype(np.uint8)
    rows = [(70_000, 1, 0), (3_000_001, 1, 1), (500, 92, 0), (900_000, 187, 0), (16_777_215, 90, 0)]
    segments = [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in rows]
    ids = instance_ids(rgb, "coco_panoptic", thing_ids=spec.thing_ids, segments_info=segments)
    assert ids.tolist() == [[0, 70_000, 0], [0, 0, 16_777_215]]
    assert instance_ids(rgb, "coco_panoptic").tolist() == numbers.tolist()
    with pytest.raises(ValueError, match="segment id 500 is not in segments_info"):
        instance_ids(rgb, "coco_panoptic", segments_info=segments[:2] + segments[3:])
    for stored in (segments, json.dumps(segments)):  # a column of dicts, or of JSON text
        row = {"instance_map": png(rgb), "segments_info": stored}
        assert np.array_equal(RowDecoder(spec, "set").instance_map(row, 0, (2, 3)), ids)


def test_ade20k_instances_are_the_green_channel():
    rgb = np.array([[[5, 0, 0], [5, 1, 0], [9, 255, 0]]], dtype=np.uint8)
    assert instance_ids(rgb, "ade20k").tolist() == [[0, 1, 255]]
    with pytest.raises(ValueError, match="encoding ade20k is an 8-bit RGB file"):
        instance_ids(rgb[..., 0], "ade20k")


def test_plain_instance_ids_keep_their_values():
    values = np.array([[0, 1, 65535]], dtype=np.uint16)
    assert instance_ids(values).tolist() == values.tolist()
    assert instance_ids(values, label_map=np.array([[1, 2, 1]]), thing_ids=[1]).tolist() == [[0, 0, 65535]]
    with pytest.raises(ValueError, match="out of range"):
        instance_ids(np.array([[-1]]))
    with pytest.raises(ValueError, match="not one of ids"):
        instance_ids(values, "voc")
    spec = load_label_preset("cityscapes")
    with pytest.raises(ValueError, match="size 1x3.*differs from its photo"):
        RowDecoder(spec, "set").instance_map({"instance_map": values}, 0, (2, 3))


def test_ids_that_fit_16_bits():
    assert compact_ids(np.array([[0, 65535, 7]])).tolist() == [[0, 65535, 7]]
    assert compact_ids(np.array([[9, 70_000, 9, 12_345_678]])).tolist() == [[1, 2, 1, 3]]
    assert compact_ids(np.array([[0, 70_000]])).dtype == np.uint16


# --- what is known of Hub repositories -------------------------------------------------------------------------------


def test_columns_come_from_the_user_then_from_what_is_known(monkeypatch):
    spec = load_label_preset("coco_stuff")
    with pytest.warns(UserWarning, match="nobody has confirmed its label values"):
        found = resolve_hub_dataset("limingcv/Captioned_COCOStuff", spec.with_encoding("ids"))
    assert found.columns == {"image": "image", "label_map": "semantic_seg_map"}
    assert found.spec == spec and found.train_split() == "train" and found.validation_split() == "validation"
    with pytest.warns(UserWarning, match="config"):
        found = resolve_hub_dataset("zhoubolei/scene_parse_150", label_column="mask", load_kwargs={"revision": "v1"})
    assert found.spec.name == "ade20k" and found.columns["label_map"] == "mask"
    assert found.load_kwargs == {"name": "scene_parsing", "revision": "v1"}
    found = resolve_hub_dataset("someone/streets", load_label_preset("cityscapes"), use_instances=True)
    assert found.columns == {"image": "image", "label_map": "label_map", "instance_map": "instance_map"}
    with pytest.raises(ValueError, match="camvid has no instances"):
        resolve_hub_dataset("someone/streets", load_label_preset("camvid"), instance_column="instances")
    with pytest.raises(ValueError, match="no classes.json.*ade20k, camvid"):
        resolve_hub_dataset("someone/streets")


def test_a_repositorys_own_classes_file_goes_before_what_is_given(tmp_path):
    """It says how its values are to be read; another meaning of a value is refused."""
    coco = load_label_preset("coco_stuff")
    coco.with_encoding("ids").to_json(tmp_path / "classes.json")
    assert spec_of_repository(tmp_path) == coco.with_encoding("ids")
    assert resolve_hub_dataset(tmp_path, coco).spec.label_encoding == "ids"
    assert resolve_hub_dataset(tmp_path).spec.labels == coco.labels
    with pytest.raises(ValueError, match="183 labels, the given label space ade20k has 151"):
        resolve_hub_dataset(tmp_path, load_label_preset("ade20k"))
    load_label_preset("cityscapes").to_json(tmp_path / "classes.json")
    small = load_label_preset("cityscapes_train_ids")
    assert resolve_hub_dataset(tmp_path, small.with_encoding("label_ids")).spec.num_labels == 20
    with pytest.raises(ValueError, match="name the label_encoding that translates"):
        resolve_hub_dataset(tmp_path, small)


def test_validation_splits():
    assert choose_validation_split(["train", "test", "val"]) == "val"
    assert choose_validation_split(["train", "test"]) == "test"
    assert choose_validation_split(["train"]) is None


def test_blocks_hold_every_value():
    assert set(np.unique(blocks(list(range(34)), 0))) == set(range(34))

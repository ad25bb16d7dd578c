# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The processor of a model knows how the label files of its training set write class ids; who knows nothing asks."""

import io
import json

import numpy as np
import pytest
from further_files import CITY_LABEL_IDS, CMP, CMP_LABELS, TRAIN_IDS
from label_file_cases import COLORS, LABELS, PALETTE, SPEC, encoded, paletted
from PIL import Image

from dpsims_hf.data import DatasetSpec
from dpsims_hf.data.encodings.class_tables import ClassRow, label_fields
from dpsims_hf.data.prepare import main as prepare
from dpsims_hf.data.prepare import prepared_spec
from dpsims_hf.data.reading.rows import RowDecoder
from dpsims_hf.demo.uploads.label_files import read_label_file
from dpsims_hf.image_processing_semantic import SemanticImageProcessor


FROM_1 = {"name": "from_1", "offset": -1, "values": {"0": 6}}
NAMES = dict(enumerate(SPEC.labels))
NO_SKY = np.where(LABELS % 4 == 0, 1, LABELS)


def stream(labels: np.ndarray) -> io.BytesIO:
    return io.BytesIO(encoded(labels.astype(np.uint8)))


def test_the_encoding_is_saved_with_the_processor(tmp_path):
    CMP.image_processor().save_pretrained(tmp_path)
    loaded = SemanticImageProcessor.from_pretrained(tmp_path)
    assert loaded.label_encoding == FROM_1 and loaded.has_colors is False and loaded.label_reading is None
    file = tmp_path / "map.png"
    file.write_bytes(stream(CMP_LABELS + 1).getvalue())
    assert np.array_equal(loaded(file, size=(32, 32))["label_map"][0, ::2, :].numpy(), CMP_LABELS)
    assert np.array_equal(loaded.decode_label_map(Image.open(file)), CMP_LABELS)
    assert np.array_equal(loaded.decode_label_map(CMP_LABELS), CMP_LABELS)  # arrays hold class ids
    assert "label encoding from_1" in loaded.decode_label_map(file).reading.why


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("label_encoding", "from_1", 'legal are "ids" and'),
        ("label_encoding", {"offset": -1}, "name"),
        ("label_encoding", {"name": "x", "offset": None}, "neither an offset nor values"),
        ("label_encoding", {"name": "x", "offset": 0.5}, "a whole number"),
        ("label_encoding", {"name": "x", "values": {"7": 5}}, r"gives values 7: 5 .* legal ids are 0..4"),
        ("label_encoding", {"name": "x", "values": {"1e9": 0}}, "a whole number"),
        ("label_reading", "colours", "choose one of ids, colors"),
        ("has_colors", "no", "true or false"),
    ],
)
def test_fields_are_checked(field, value, words):
    with pytest.raises(ValueError, match=words) as error:
        SemanticImageProcessor(NAMES, **{field: value})
    assert field in str(error.value) and "\n" not in str(error.value)


def test_a_table_that_reaches_far_takes_no_memory():
    far = {"name": "far", "offset": None, "values": {"0": 0, "999999999": 1}}
    processor = SemanticImageProcessor(NAMES, label_encoding=far)
    assert processor.decode_label_map(stream(LABELS * 0)).max() == 0
    assert processor.decode_label_map(Image.fromarray(np.full((4, 4), 999999999, np.int32))).min() == 1


def test_who_knows_nothing_asks():
    processor = SemanticImageProcessor(NAMES, [list(color) for color in PALETTE], void_label_id=4, void_values=[255])
    with pytest.raises(ValueError, match=r'building .* road .*reading="ids_from_0" or reading="ids_from_1"'):
        processor.decode_label_map(stream(NO_SKY))
    assert np.array_equal(processor.decode_label_map(stream(NO_SKY), reading="ids_from_0"), NO_SKY)
    assert np.array_equal(processor.decode_label_map(stream(NO_SKY), reading="ids_from_1"), NO_SKY - 1)
    assert np.array_equal(processor.decode_label_map(NO_SKY), NO_SKY)
    assert np.array_equal(processor.decode_label_map(stream(LABELS)), LABELS)  # with 0
    assert np.array_equal(processor.decode_label_map(io.BytesIO(encoded(COLORS[NO_SKY]))), NO_SKY)
    processor.label_encoding = "ids"
    assert np.array_equal(processor.decode_label_map(stream(NO_SKY)), NO_SKY)


def test_another_encoding_that_fits_is_asked_about():
    processor = CITY_LABEL_IDS.image_processor()  # of a model that was trained on labelIds
    with pytest.raises(ValueError, match=r'label_ids.*class ids from 0.*reading="ids" or reading="ids_from_0"'):
        processor.decode_label_map(stream(TRAIN_IDS % 255))
    assert processor.decode_label_map(stream(TRAIN_IDS % 255), reading="ids_from_0").max() == 13
    assert np.array_equal(np.unique(processor.decode_label_map(stream(LABELS % 2 + 7))), [0, 1])  # fits both, no void


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), (1, 2, 3, 5), (3, 4, 5, 6)])
def test_a_class_list_with_ids_is_told(numbers):
    """A list of classes with ids, as tools write it: its files are read by it, though their numbers are ids too."""
    rows = [ClassRow("", name, None, number) for name, number in zip("abcd", numbers, strict=True)]
    spec = DatasetSpec(**label_fields(rows, "list"))
    file = stream(np.array(numbers)[LABELS % 4])
    assert np.array_equal(spec.image_processor().decode_label_map(file), LABELS % 4)
    assert np.array_equal(spec.image_processor().decode_label_map(stream(LABELS * 0 + numbers[0])), LABELS * 0)


def test_made_up_colours_are_evidence_for_who_has_seen_them():
    """A painter's palette, sorted by it, in the colours that the page shows; a set's colours mean nothing."""
    order = np.array([0, 3, 1, 2])
    file = paletted(np.argsort(order)[CMP_LABELS % 4] + 1, np.array(CMP.palette)[[0, *order]])
    with pytest.raises(ValueError, match="two readings fit"):
        CMP.image_processor().decode_label_map(io.BytesIO(file))
    assert np.array_equal(CMP.image_processor().decode_label_map(io.BytesIO(file), reading="colors"), CMP_LABELS % 4)
    row = {"label_map": {"bytes": file, "path": None}}
    assert np.array_equal(RowDecoder(CMP, "set").label_map(row, 0), np.argsort(order)[CMP_LABELS % 4])


def test_a_usual_reading_travels():
    spec = DatasetSpec("streets", SPEC.labels, PALETTE, void_label_id=4, void_values=(255,), label_reading="mask")
    processor = spec.image_processor()
    mask = np.where(LABELS == 1, 255, 0)
    assert np.array_equal(processor.decode_label_map(stream(mask)), (LABELS == 1).astype(int))
    assert np.array_equal(processor.decode_label_map(io.BytesIO(encoded(COLORS[LABELS]))), LABELS)
    assert np.array_equal(processor.decode_label_map(mask * 0 + 1), mask * 0 + 1)  # an array of class ids


def test_a_prepared_set_remembers_the_original_files(tmp_path):
    folder = tmp_path / "set" / "train"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(encoded(np.full((16, 32, 3), 90, np.uint8)))
    original = folder / "labels" / "a.png"
    original.write_bytes(stream(CMP_LABELS + 1).getvalue())
    CMP.to_json(tmp_path / "set" / "classes.json")
    assert prepare([str(tmp_path / "set"), "--output_dir", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "classes.json").read_text())
    assert content["label_encoding"] == "ids" and content["original_encoding"] == "from_1"
    spec = DatasetSpec.from_folder(tmp_path / "out")
    import pyarrow.parquet as pq

    cell = pq.read_table(next((tmp_path / "out" / "data").glob("*.parquet")))["label_map"][0].as_py()
    processor = spec.image_processor()
    for file in (original, io.BytesIO(cell["bytes"])):
        assert np.array_equal(read_label_file(file, processor, name="a.png").label_map, CMP_LABELS)
    again = prepared_spec(spec, False)
    assert again.original_encoding == "from_1" and again.image_processor().label_encoding == FROM_1
    assert DatasetSpec.from_folder(tmp_path / "out") == spec

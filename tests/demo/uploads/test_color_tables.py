# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Uploaded colour tables: JSON and CSV of every form; broken and large ones are refused with one clear line."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from upload_files import COLORS, NAMES, PALETTE, png, words, write

from dpsims_hf.demo.drawing.palette_files import write_palette_files
from dpsims_hf.demo.uploads import color_tables
from dpsims_hf.demo.uploads.color_tables import read_color_table
from dpsims_hf.demo.uploads.label_files import read_label_file


TABLES = {
    "classes.json": '{"classes": [{"id": 9, "name": "Road", "color": [1, 2, 3]}, {"id": 7, "name": "houses", '
    '"color": "#ff0000"}, {"id": 2, "name": "nothing", "color": [0, 0, 255]}], "void_index": 2}',
    "names.json": '{"road": [[1, 2, 3]], "building": "#FF0000", "void": [0, 0, 255]}',
    "colors.json": '\ufeff{"#010203": "road", "#ff0000": 1, "#0000ff": "unlabeled"}',
    "name.csv": "name,r,g,b\nroad,1,2,3\nbuilding,255,0,0\n\nvoid,0,0,255\n",
    "semicolon.csv": "\ufeffLabel;Colour\r\nroad;#010203\r\nbuilding;ff0000\r\nvoid;#0000FF\r\n",
    "tab.csv": "id\tname\tred\tgreen\tblue\n9\troad\t1\t2\t3\n\tbuilding\t255\t0\t0\n4\t\t0\t0\t255\n",
    "ids.csv": '"id", "r", "g", "b"\n2, 1, 2, 3\n1, 255, 0, 0\n4, 0, 0, 255',
}


@pytest.mark.parametrize("name", TABLES)
def test_color_tables_of_every_form(processor, tmp_path, name):
    path = write(tmp_path / name, TABLES[name])
    table = read_color_table(path, processor)
    assert dict(zip(table.colors, table.ids, strict=True)) == {(1, 2, 3): 2, (255, 0, 0): 1, (0, 0, 255): 4}
    colors = np.repeat(np.array([[[1, 2, 3], [255, 0, 0], [0, 0, 255]]], dtype=np.uint8), 8, axis=0)
    result = read_label_file(png(colors), processor, color_table=path)
    assert result.mode == "colour PNG" and result.label_map[3].tolist() == [2, 1, 4]
    as_palette = Image.fromarray(colors).quantize(8)
    result = read_label_file(png(as_palette), processor, color_table=io.BytesIO(path.read_bytes()))
    assert result.mode == "palette PNG: its colours" and result.label_map[3].tolist() == [2, 1, 4]


def test_the_palette_file_of_the_page_is_a_color_table(processor, labels, tmp_path):
    path = write_palette_files(tmp_path, list(NAMES.values()), PALETTE, 4)["json"]
    assert np.array_equal(read_label_file(png(COLORS[labels]), processor, color_table=path).label_map, labels)


def test_several_colors_of_one_class_and_unmatched_ones(processor, tmp_path):
    path = write(tmp_path / "t.json", '{"road": [[1, 2, 3], "#ffffff"], "sky": [0, 0, 255]}')
    colors = np.zeros((40, 40, 3), dtype=np.uint8)
    colors[:20], colors[20:30], colors[30:] = (1, 2, 3), (255, 255, 255), (0, 0, 255)
    colors[39, :7] = (255, 0, 0)
    result = read_label_file(png(colors), processor, color_table=path)
    assert (result.label_map[:30] == 2).all() and (result.label_map[30:39] == 0).all()
    assert [row[:2] for row in result.unmatched] == [((255, 0, 0), 7)]
    assert result.unmatched[0].label == processor.id2label[int(result.label_map[39, 0])]
    colors[20:] = (255, 0, 0)
    assert "add the missing colours to the colour table" in words(
        read_label_file, png(colors), processor, color_table=path
    )


def test_a_color_table_goes_with_color_files_alone(processor, labels, tmp_path):
    path = write(tmp_path / "t.json", TABLES["names.json"])
    for dtype in (np.uint8, np.uint16):
        text = words(read_label_file, png(labels.astype(dtype)), processor, color_table=path)
        assert "applies to colour files" in text and "bit index PNG" in text
    assert "choose one" in words(read_label_file, png(labels.astype("u1")), processor, "camvid", path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "empty"),
        ("{", "not readable as JSON"),
        ("{}", "no colour in it"),
        ("[1]", "a JSON list"),
        ("[" * 100_000, "nested too deeply"),
        ('{"road": ' + "[" * 300 + "]" * 300 + "}", "is not a colour"),
        ('{"road": ' + "[" * 900 + "]" * 900 + "}", "road"),
        ('{"road": NaN}', "NaN is not a number in a colour table"),
        ('{"road": [1, 2, NaN]}', "NaN is not a number in a colour table"),
        ('{"road": [1, 2, 1e999]}', "[1, 2, inf] is not a colour"),
        ('{"road": [1, 2, %s]}' % ("9" * 5000), "not readable as JSON"),
        ('{"road": [1, 2, 256]}', "[1, 2, 256] is not a colour"),
        ('{"road": [1, 2, -1]}', "'road': [1, 2, -1] is not a colour"),
        ('{"road": [1, 2, true]}', "[1, 2, True] is not a colour"),
        ('{"road": [1.0, 2, 3]}', "[1.0, 2, 3] is not a colour"),
        ('{"road": null}', "None is not a colour"),
        ('{"road": "#12345"}', "'#12345' is not a colour"),
        ('{"#12345": "road"}', "'#12345' is not a colour"),
        ('{"#123456": {"a": 1}}', "is not a class of this model"),
        ('{"#123456": 5}', "class id 5 is out of range: legal are 0..4"),
        ('{"#123456": true}', "True is not a class"),
        ('{"roda": [1, 2, 3]}', "'roda' is not a class of this model; did you mean 'road'?"),
        ('{"road": [1, 2, 3], "sky": "#010203"}', "is given two classes, 'road' ('road') and 'sky' ('sky')"),
        ('{"road": [1, 2, 3], "road": [1, 2, 4]}', "'road' occurs twice"),
        ('{"classes": 3}', '"classes" must be a list'),
        ('{"classes": [{"name": "road", "color": [1, 2, 3]}, {"name": "sky"}]}', "class 2: needs a"),
        ('{"classes": [7]}', "class 1: needs a"),
        ('{"classes": [{"name": ["road"], "color": [1, 2, 3]}]}', "class 1: ['road'] is not a class"),
        (json.dumps({"road": [[i >> 8, i & 255, 7] for i in range(4097)]}), "more than 4,096 colours"),
        ("road,1,2,3\n", "not the header"),
        ("name,r,g\nroad,1,2\n", "not the header"),
        ("name,r,g,b,r\nroad,1,2,3,4\n", "not the header"),
        ("name,r,g,b\n", "no colour in it"),
        ("name,r,g,b\nroad,1,2\n", "line 2: 3 cells, the header has 4"),
        ("name,r,g,b\nroad,1,2,300\n", "line 2: [1, 2, 300] is not a colour"),
        ("name,r,g,b\nroad,1,2,x\n", "line 2: [1, 2, 'x'] is not a colour"),
        ("name,color\nroad,red\n", "'red' is not a colour"),
        ("name,color\nroad,#010203\nlorry,#010204\n", "line 3: 'lorry' is not a class of this model"),
        ("name,color\nroad,#010203\nsky,#010203\n", "'road' (line 2) and 'sky' (line 3)"),
        ('name,color\n"road' + "x" * 140_000, "not readable as CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8 text"),
        ("name,color\nStra\u00dfe,#010203".encode("latin-1"), "not UTF-8 text"),
        ("name,color\nroad,#010203".encode("utf-16"), "not UTF-8 text"),
        (b"name\0,color", "not UTF-8 text"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_broken_color_tables_are_refused_in_words(processor, tmp_path, content, expected):
    path = write(tmp_path / "table.json", content)
    text = words(read_color_table, path, processor)
    assert expected in text and text.startswith("table.json") and len(text) < 400


def test_a_large_table_is_refused_before_it_is_parsed(processor, tmp_path, monkeypatch):
    path = write(tmp_path / "table.json", '{"road": [' + "[1, 2, 3], " * 1_000_000 + "[1, 2, 3]]}")
    parsed = []
    monkeypatch.setattr(color_tables, "_text", lambda *args: parsed.append(args))
    assert "256 kB" in words(read_color_table, path, processor)
    assert not parsed

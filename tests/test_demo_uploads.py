# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Uploads of the page: label files, colour tables, zip files, photos; hostile ones are refused in words."""

import io
import json
import random
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from dpsims_hf import SemanticImageProcessor
from dpsims_hf.demo import color_tables, label_files, limits, pair_archives
from dpsims_hf.demo.color_tables import ClassNames, read_color_table
from dpsims_hf.demo.label_files import label_space, label_spaces, read_label_file, size_note
from dpsims_hf.demo.limits import check_photo
from dpsims_hf.demo.pair_archives import read_pairs
from dpsims_hf.demo.palette_files import write_palette_files


NAMES = {0: "sky", 1: "building", 2: "road", 3: "pedestrian", 4: "void"}
PALETTE = [[128, 128, 128], [128, 0, 0], [128, 64, 128], [64, 0, 128], [0, 0, 0]]
COLORS = np.array(PALETTE, dtype=np.uint8)


@pytest.fixture
def processor() -> SemanticImageProcessor:
    return SemanticImageProcessor(id2label=NAMES, palette=PALETTE, void_label_id=4, void_values=[255])


@pytest.fixture
def without_void() -> SemanticImageProcessor:
    return SemanticImageProcessor(id2label=dict(list(NAMES.items())[:4]), palette=PALETTE[:4])


@pytest.fixture
def labels() -> np.ndarray:
    """(32, 64) int64, blocks of 8 x 8 of all 5 classes."""
    return np.kron(np.arange(32).reshape(4, 8) * 3 % 5, np.ones((8, 8), dtype=np.int64))


def png(values: np.ndarray | Image.Image, **options) -> io.BytesIO:
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    stream.seek(0)
    return stream


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width: int, height: int, depth: int = 8, color: int = 0, idat: bytes = b"", extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    end = chunk(b"IDAT", idat or zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + end


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def words(call, *args, **kwargs) -> str:
    """The one line that the user sees; never a folder of the server."""
    with pytest.raises(ValueError) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text and "/tmp" not in text and "BytesIO" not in text, text
    return text


# --- label files -----------------------------------------------------------------------------------------------------


def test_round_trips_of_every_kind_of_png(processor, labels, tmp_path):
    palette_file = Image.fromarray(labels.astype(np.uint8))
    palette_file.putpalette(list(range(255, -1, -1)) * 3)  # its colours say something else
    files = {
        "8-bit index PNG": png(np.where(labels == 4, 255, labels).astype(np.uint8)),
        "16-bit index PNG": png(labels.astype(np.uint16)),
        "palette PNG: its indices": png(palette_file),
        "colour PNG": png(COLORS[labels]),
        "colour PNG with transparency": png(np.dstack([COLORS[labels], np.where(labels == 4, 0, 255)]).astype("u1")),
    }
    for mode, stream in files.items():
        path = write(tmp_path / "map.jpg", stream.getvalue())  # the content counts, not the suffix
        for form in (stream, path, str(path)):
            result = read_label_file(form, processor, name=None if form is not stream else "x/map.jpg")
            assert (result.mode, result.name, result.source_size) == (mode, "map.jpg", (32, 64))
            assert result.label_map.dtype == np.int64 and np.array_equal(result.label_map, labels), mode
            assert (result.unmatched, result.unmatched_pixels, result.translated, result.notes) == ((), 0, (), ())


def test_unmatched_colors_are_listed_with_counts_and_what_they_became(processor, labels, recwarn):
    colors = np.repeat(np.repeat(COLORS[labels], 4, 0), 4, 1)
    colors[0, :30] = (255, 255, 0)
    colors[1, :10] = (0, 255, 0)
    colors[2, :5] = colors[2, :5] + np.uint8(3)  # near enough to count as the class
    result = read_label_file(png(colors), processor, name="map.png")
    assert [(row.color, row.count) for row in result.unmatched] == [((255, 255, 0), 30), ((0, 255, 0), 10)]
    for row, place in zip(result.unmatched, (np.s_[0, :30], np.s_[1, :10]), strict=True):
        given = [processor.id2label[i] for i in result.label_map[place].tolist()]
        assert row.label == max(given, key=given.count)
    assert (result.unmatched_colors, result.unmatched_pixels) == (2, 40)
    assert "5 pixels are a little off" in result.notes[0] and "40 of 32768 pixels (2 colours)" in result.notes[1]
    assert not recwarn.list  # the table replaces the warning


def test_only_the_most_frequent_unmatched_colors_are_listed(processor, labels):
    colors = np.repeat(np.repeat(COLORS[labels], 4, 0), 4, 1)
    for i in range(25):
        colors[0, 8 * i : 8 * i + 8 - i // 4] = (255, 200, 10 * i)
    result = read_label_file(png(colors), processor)
    counts = [row.count for row in result.unmatched]
    assert len(counts) == limits.LISTED_COLORS and counts == sorted(counts, reverse=True)
    assert result.unmatched_colors == 25 and result.unmatched_pixels > sum(counts)


def test_refused_colors_are_named(processor, labels):
    colors = COLORS[labels]
    colors[:16] = (255, 255, 0)
    assert "(255, 255, 0) x 1024" in words(read_label_file, png(colors), processor, name="map.png")
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    assert "different colours; this is a photo" in words(read_label_file, png(noise), processor, name="map.png")
    many = np.repeat(np.repeat(COLORS[labels], 25, 0), 25, 1)
    many[:400] = (255, 255, 0)
    assert "640,000 pixels have unknown colours" in words(read_label_file, png(many), processor)
    many[:200] = COLORS[0]
    assert "(255, 255, 0) x 320000" in words(read_label_file, png(many), processor)


def test_lossy_and_foreign_formats_are_refused_by_content(processor, labels):
    for kind, expected in {
        "JPEG": "lossy",
        "WEBP": "lossy",
        "GIF": "PNG only",
        "BMP": "PNG only",
        "TIFF": "PNG",
    }.items():
        stream = io.BytesIO()
        Image.fromarray(COLORS[labels]).save(stream, kind)
        stream.seek(0)
        text = words(read_label_file, stream, processor, name="map.png")
        assert text.startswith("map.png: a ") and expected in text and "save" in text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"<!doctype html><html></html>", "HTML, SVG"),
        (b'\xef\xbb\xbf\n <svg xmlns="http://www.w3.org/2000/svg"/>', "HTML, SVG"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
        (b"just text", "no image file"),
        (bytes(1000), "no image file"),
        (raw_png(64, 32), "truncated or damaged"),
        (raw_png(0, 32), "cut off in its header"),
        (raw_png(50_000, 50_000), "more pixels than the 25,000,000"),
        (raw_png(10_000, 10_000), "10000 × 10000 pixels"),
        (raw_png(5001, 5000), "5001 × 5000 pixels"),
        (raw_png(8, 8, depth=4), "4-bit grey"),
        (raw_png(8, 8, depth=1), "1-bit grey"),
        (raw_png(8, 8, depth=16, color=4), "16-bit grey PNG with transparency"),
        (raw_png(8, 8, extra=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10_000_000)))), "far more text"),
        (raw_png(8, 8, extra=chunk(b"iTXt", b"C\0\1\0\0\0" + zlib.compress(bytes(10_000_000)))), "far more text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_and_hostile_label_files_are_refused_in_words(processor, tmp_path, data, expected):
    path = write(tmp_path / "secret.png", data)
    for form in (path, io.BytesIO(data)):
        assert expected in words(read_label_file, form, processor, name="secret.png")


def test_missing_and_large_files(processor, tmp_path):
    assert "cannot be read" in words(read_label_file, tmp_path / "none.png", processor)
    assert "cannot be read" in words(read_label_file, tmp_path, processor)
    assert "cannot be read" in words(read_label_file, "a\0b.png", processor)
    large = write(tmp_path / "large.png", raw_png(8, 8) + bytes(limits.MAX_FILE_BYTES))
    assert "20 MB" in words(read_label_file, large, processor)
    assert "20 MB" in words(check_photo, large)


def test_giants_cost_no_memory(processor, tmp_path):
    giant = write(tmp_path / "giant.png", raw_png(50_000, 50_000, idat=zlib.compress(bytes(1000))))
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        pytest.skip("no peak memory on this system")

    def peak() -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))

    before = peak()
    words(read_label_file, giant, processor)
    words(check_photo, giant)
    assert peak() - before < 20_000  # kB; the pixels are 2.5 GB


def test_damaged_pngs_never_raise_anything_else(processor, labels):
    rng = random.Random(0)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "words" * 20, zip=True)
    whole = png(COLORS[labels], pnginfo=text, dpi=(72, 72)).getvalue()
    refused = 0
    for _ in range(300):
        data = bytearray(whole[: rng.randrange(40, len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(8, len(data))] = rng.randrange(256)
        for read in (lambda d: read_label_file(d, processor), check_photo):
            try:
                read(io.BytesIO(data))
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 300


def test_ids_out_of_range_name_the_remedy(processor, labels):
    labels[0, 0] = 77
    text = words(read_label_file, png(labels.astype(np.uint8)), processor, name="map.png")
    assert "label id 77 out of range (1 pixels)" in text and "choose its label space" in text


def test_size_note(processor, labels):
    result = read_label_file(png(labels.astype(np.uint8)), processor, name="map.png")
    assert size_note(result, (32, 64)) == "map.png: 64 × 32 pixels, used as it is."
    assert size_note(result, (64, 128)) == "map.png: 64 × 32 pixels, used at 128 × 64 (nearest neighbour)."
    assert "aspect ratio changes by 50 %" in size_note(result, (64, 64))


# --- label spaces ----------------------------------------------------------------------------------------------------


def test_classes_of_another_label_space_are_matched_by_name(processor):
    spec, _ = label_space("cityscapes")
    present = ["sky", "building", "road", "person", "car", "unlabeled"]
    ids = np.repeat([spec.labels.index(name) for name in present], [60, 50, 40, 30, 20, 8]).reshape(8, 26)
    for values in (ids.astype(np.uint8), np.array(spec.palette, dtype=np.uint8)[ids]):
        result = read_label_file(png(values), processor, space="cityscapes")
        assert result.translated == (
            ("sky", "sky", 60),
            ("building", "building", 50),
            ("road", "road", 40),
            ("person", "pedestrian", 30),
            ("car", None, 20),
            ("unlabeled", "void", 8),
        )
        assert np.array_equal(result.label_map.ravel(), np.repeat([0, 1, 2, 3, 4], [60, 50, 40, 30, 28]))
        assert result.notes[0].startswith("cityscapes: ")


def test_a_class_without_a_match_is_an_error_where_nothing_is_void(without_void):
    spec, _ = label_space("cityscapes")
    ids = np.repeat([spec.labels.index(name) for name in ("sky", "car", "bus")], [8, 8, 16]).reshape(4, 8)
    text = words(read_label_file, png(ids.astype(np.uint8)), without_void, space="cityscapes", name="map.png")
    assert "bus (16 pixels), car (8 pixels)" in text and "sky" not in text and "colour table" in text
    only_sky = np.full((4, 8), spec.labels.index("sky"), np.uint8)
    assert (read_label_file(png(only_sky), without_void, space="cityscapes").label_map == 0).all()


def test_every_preset_reads_itself_and_unknown_spaces_open_no_file(processor):
    assert label_spaces() == ("ade20k", "camvid", "cityscapes", "cityscapes_train_ids", "coco_stuff")
    for space in label_spaces():
        spec, note = label_space(space)
        own = spec.image_processor()
        ids = np.arange(spec.num_labels - (space == "camvid"), dtype=np.uint8)[None]
        result = read_label_file(png(ids), own, space=space)
        assert np.array_equal(result.label_map, ids) and note
        assert all(row.source == row.label for row in result.translated)
    for space in ("kitti", "../../x", "/etc/passwd"):
        assert "choose one of ade20k" in words(read_label_file, png(ids), processor, space=space)
    text = words(read_label_file, png(np.full((4, 4), 255, np.uint8)), processor, space="coco_stuff")
    assert "hold id - 1" in text


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Sky", "sky"),
        ("traffic_sign", "sign"),
        ("Traffic-Signs", "sign"),
        ("sidewalk, pavement", "pavement"),
        ("edifice; building", "building"),
        ("people", "pedestrian"),
        ("vegetation", "tree"),
        ("rider", "bicyclist"),
        ("automobiles", "car"),
        ("sky-other", "sky"),
        ("building-other", "building"),
        ("unlabeled", "void"),
        ("train", None),
        ("", None),
        ("-", None),
    ],
)
def test_names_are_matched(name, found):
    spec, _ = label_space("camvid")
    label_id = ClassNames(spec.image_processor()).find(name)
    assert (None if label_id is None else spec.labels[label_id]) == found


# --- colour tables ---------------------------------------------------------------------------------------------------


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
        ('{"road": ' + "[" * 300 + "]" * 300 + "}", "is no colour"),
        ('{"road": ' + "[" * 900 + "]" * 900 + "}", "road"),
        ('{"road": NaN}', "NaN is no number"),
        ('{"road": [1, 2, NaN]}', "NaN is no number"),
        ('{"road": [1, 2, 1e999]}', "[1, 2, inf] is no colour"),
        ('{"road": [1, 2, %s]}' % ("9" * 5000), "not readable as JSON"),
        ('{"road": [1, 2, 256]}', "[1, 2, 256] is no colour"),
        ('{"road": [1, 2, -1]}', "'road': [1, 2, -1] is no colour"),
        ('{"road": [1, 2, true]}', "[1, 2, True] is no colour"),
        ('{"road": [1.0, 2, 3]}', "[1.0, 2, 3] is no colour"),
        ('{"road": null}', "None is no colour"),
        ('{"road": "#12345"}', "'#12345' is no colour"),
        ('{"#12345": "road"}', "'#12345' is no colour"),
        ('{"#123456": {"a": 1}}', "is no class of this model"),
        ('{"#123456": 5}', "class id 5 is out of range: legal are 0..4"),
        ('{"#123456": true}', "True is no class"),
        ('{"roda": [1, 2, 3]}', "'roda' is no class of this model; did you mean 'road'?"),
        ('{"road": [1, 2, 3], "sky": "#010203"}', "is given two classes, 'road' ('road') and 'sky' ('sky')"),
        ('{"road": [1, 2, 3], "road": [1, 2, 4]}', "'road' stands twice"),
        ('{"classes": 3}', '"classes" must be a list'),
        ('{"classes": [{"name": "road", "color": [1, 2, 3]}, {"name": "sky"}]}', "class 2: needs a"),
        ('{"classes": [7]}', "class 1: needs a"),
        ('{"classes": [{"name": ["road"], "color": [1, 2, 3]}]}', "class 1: ['road'] is no class"),
        (json.dumps({"road": [[i >> 8, i & 255, 7] for i in range(4097)]}), "more than 4,096 colours"),
        ("road,1,2,3\n", "no header"),
        ("name,r,g\nroad,1,2\n", "no header"),
        ("name,r,g,b,r\nroad,1,2,3,4\n", "no header"),
        ("name,r,g,b\n", "no colour in it"),
        ("name,r,g,b\nroad,1,2\n", "line 2: 3 cells, the header has 4"),
        ("name,r,g,b\nroad,1,2,300\n", "line 2: [1, 2, 300] is no colour"),
        ("name,r,g,b\nroad,1,2,x\n", "line 2: [1, 2, 'x'] is no colour"),
        ("name,color\nroad,red\n", "'red' is no colour"),
        ("name,color\nroad,#010203\nlorry,#010204\n", "line 3: 'lorry' is no class of this model"),
        ("name,color\nroad,#010203\nsky,#010203\n", "'road' (line 2) and 'sky' (line 3)"),
        ('name,color\n"road' + "x" * 140_000, "not readable as CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no text in UTF-8"),
        ("name,color\nStra\u00dfe,#010203".encode("latin-1"), "no text in UTF-8"),
        ("name,color\nroad,#010203".encode("utf-16"), "no text in UTF-8"),
        (b"name\0,color", "no text in UTF-8"),
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


# --- zip files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def photo(labels) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (*labels.shape, 3), dtype=np.uint8))


@pytest.fixture
def files(labels, photo) -> dict[str, bytes]:
    """Content of a photo (JPEG and PNG) and of a label map."""
    jpeg = io.BytesIO()
    photo.save(jpeg, "JPEG")
    return {"jpg": jpeg.getvalue(), "png": png(photo).getvalue(), "label": png(labels.astype("u1")).getvalue()}


def pack(entries: dict[str, bytes] | list[tuple], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file; names may be ZipInfo objects."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize("top", ["", "top/", "top/val/", "val/"])
def test_pairs_in_folders(processor, files, labels, photo, tmp_path, top):
    entries = {
        f"{top}images/b.JPG": files["jpg"],
        f"{top}images/a.png": files["png"],
        f"{top}labels/a.png": files["label"],
        f"{top}labels/b.PNG": files["label"],
        f"{top}instances/a.png": b"not read",
        f"{top}labels/.hidden.png": b"not read",
        f"{top}images/.DS_Store": b"not read",
        f"__MACOSX/{top}images/._a.png": b"not read",
        "classes.json": b"not read",
        "inner.zip": pack({"images/c.png": files["png"]}),
        f"{top}empty/": b"",
    }
    path = write(tmp_path / "pairs.zip", pack(entries))
    pairs = read_pairs(path, processor)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs[0].photo.mode == "RGB" and np.array_equal(np.asarray(pairs[0].photo), np.asarray(photo))
    assert all(np.array_equal(pair.label_map, labels) and pair.photo.size == (64, 32) for pair in pairs)
    assert [entry.name for entry in tmp_path.iterdir()] == ["pairs.zip"]


def test_pairs_side_by_side_in_another_label_space(processor, files, labels):
    data = pack({"x/a.jpg": files["jpg"], "x/a.png": png(labels.astype("u1")).getvalue()}, zipfile.ZIP_STORED)
    pairs = read_pairs(io.BytesIO(data), processor, space="camvid")
    assert [pair.name for pair in pairs] == ["a"]
    expected = np.array([0, 1, 4, 2, 4])[labels]  # sky, building, pole (void here), road, pavement (void here)
    assert np.array_equal(pairs[0].label_map, expected)
    table = io.BytesIO(b'{"sky": "#000000", "road": "#ffffff"}')
    color = png(np.where(labels[..., None] > 2, 255, np.zeros((1, 1, 3))).astype("u1")).getvalue()
    data = pack({f"{n}.{k}": d for n in "ab" for k, d in (("jpg", files["jpg"]), ("png", color))})
    for pair in read_pairs(io.BytesIO(data), processor, color_table=table):
        assert np.array_equal(pair.label_map, np.where(labels > 2, 2, 0))


def test_archives_that_do_not_fit_are_refused(processor, files):
    def said(entries: dict[str, bytes]) -> str:
        return words(read_pairs, io.BytesIO(pack(entries)), processor, name="p.zip")

    photo, label = files["jpg"], files["label"]
    assert "no photos with label maps" in said({"readme.txt": b"x"})
    assert "no photos with label maps" in said({})
    assert "no label map for the photo a.jpg, b.jpg" in said({"images/a.jpg": photo, "images/b.jpg": photo})
    assert "no photo for the label map b.png" in said({"a.jpg": photo, "a.png": label, "b.png": label})
    assert "two photos are called 'a'" in said({"images/a.jpg": photo, "images/a.png": photo, "labels/a.png": label})
    splits = {f"{s}/{k}/a.{e}": d for s in ("train", "val") for k, e, d in (("images", "jpg", photo),)}
    assert "two photos are called 'a'" in said(splits)
    many = {f"images/{i}.jpg": photo for i in range(65)} | {f"labels/{i}.png": label for i in range(65)}
    assert "65 pairs; at most 64" in said(many)
    small = png(np.zeros((16, 64), np.uint8)).getvalue()
    assert "64 × 32, its label map 64 × 16 pixels" in said({"a.jpg": photo, "a.png": small})
    assert "a.png: a JPEG" in said({"a.jpg": photo, "a.png": photo})
    assert "p.zip, a.jpg: a text file" in said({"a.jpg": b"<html>", "a.png": label})
    assert "p.zip, a.jpg: far more pixels" in said({"a.jpg": raw_png(50_000, 50_000), "a.png": label})


def test_the_pixels_of_all_photos_are_limited(processor, files, monkeypatch):
    data = pack({f"{n}.{k}": files[f] for n in "ab" for k, f in (("jpg", "jpg"), ("png", "label"))})
    monkeypatch.setattr(pair_archives, "MAX_ARCHIVE_PIXELS", 64 * 32)
    assert "more than 2,048 pixels together" in words(read_pairs, io.BytesIO(data), processor)


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (entry("../labels/a.png"), "leads out"),
        (entry("images/../../a.png"), "leads out"),
        (entry("/etc/passwd"), "leads out"),
        (entry("C:\\a.png"), "leads out"),
        (entry("c:a.png"), "leads out"),
        (entry("images\\a.png"), "leads out"),
        (entry("images/a.png\0.txt"), "leads out"),
        (entry("images/link.png", stat.S_IFLNK | 0o777), "is a link"),
        (entry("images/pipe.png", stat.S_IFIFO | 0o666), "is a link or a device"),
    ],
    ids=lambda value: getattr(value, "filename", None),
)
def test_names_that_escape_and_links_are_refused(processor, files, tmp_path, info, expected):
    data = pack([("images/a.jpg", files["jpg"]), ("labels/a.png", files["label"]), (info, b"/etc/passwd")])
    assert expected in words(read_pairs, io.BytesIO(data), processor, name="p.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_dangerous_zip_files_are_refused(processor, files, monkeypatch):
    def said(data: bytes) -> str:
        return words(read_pairs, io.BytesIO(data), processor, name="p.zip")

    good = pack({"a.jpg": files["jpg"], "a.png": files["label"]})
    central = good.index(b"PK\1\2")
    encrypted = bytearray(good)
    encrypted[central + 8] |= 1
    assert "is encrypted" in said(bytes(encrypted))
    assert "stands in it twice" in said(pack([("a.png", files["label"]), ("a.png", files["label"])]))
    assert "unusual method" in said(pack({"a.png": files["label"]}, zipfile.ZIP_LZMA))
    assert "100 times its size" in said(pack({"a.png": bytes(3_000_000)}))
    assert "1,001 entries" in said(pack({f"{i}.txt": b"" for i in range(1001)}))
    assert "its list of files has" in said(pack({f"{i:0>200}.txt": b"" for i in range(2500)}))
    overlapping = bytearray(good)
    second = good.index(b"PK\1\2", central + 4)
    overlapping[second + 42 : second + 46] = overlapping[central + 42 : central + 46]
    assert "overlaps another" in said(bytes(overlapping))
    monkeypatch.setattr(pair_archives, "MAX_RATIO", 10**9)
    monkeypatch.setattr(pair_archives, "MAX_UNPACKED_BYTES", 2_000_000)
    assert "unpacks to more than 2 MB" in said(pack({"a.png": bytes(3_000_000)}))


def forged_zip(members: list[tuple[bytes, int, int, int, bytes]]) -> bytes:
    """A zip file whose headers say what they are told: name, method, checksum, declared size, packed bytes."""
    body = central = b""
    for name, method, checksum, declared, packed in members:
        fields = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, checksum, len(packed), declared, len(name), 0)
        central += b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + fields + name + packed
    counts = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(central), len(body), 0)
    return body + central + b"PK\5\6" + counts


def test_a_bomb_of_300_megabytes_is_refused_whatever_it_declares(processor, files, monkeypatch):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    label = files["label"]

    def said(declared: int) -> str:
        partner = (b"labels/a.png", 0, zlib.crc32(label), len(label), label)
        data = forged_zip([(b"images/a.jpg", 8, 0, declared, packed), partner])
        return words(read_pairs, io.BytesIO(data), processor, name="p.zip")

    assert "the entry 'a.jpg' unpacks to more than 100 times its size" in said(300_000_000)
    assert "100 times its size" in said(2**31)
    assert "the entry 'a.jpg' is damaged" in said(1000)  # what comes is not what it declares
    monkeypatch.setattr(pair_archives, "MAX_RATIO", 10**9)
    monkeypatch.setattr(pair_archives, "MAX_UNPACKED_BYTES", 10**9)
    assert "the entry 'a.jpg' is beyond 20 MB a file" in said(300_000_000)  # it stops reading there


def test_no_zip_file_and_damaged_ones(processor, files):
    def said(data: bytes) -> str:
        return words(read_pairs, io.BytesIO(data), processor, name="p.zip")

    good = pack({"a.jpg": files["jpg"], "a.png": files["label"]})
    assert "empty" in said(b"")
    assert "no zip file" in said(files["jpg"]) and "no zip file" in said(b"<html>")
    assert "cut off" in said(good[:-30]) and "cut off" in said(good[:100]) and "cut off" in said(b"PK")
    broken = bytearray(good)
    broken[60] ^= 255
    assert "the entry 'a.jpg' is damaged" in said(bytes(broken))
    record = good.rindex(b"PK\5\6")
    assert "Zip64" in said(good[:record] + b"PK\6\7" + bytes(16) + good[record:])
    rng = random.Random(0)
    refused = 0
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(good.index(b"PK\1\2"), len(data))] = rng.randrange(256)
        try:
            read_pairs(io.BytesIO(data), processor)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def test_large_archives_and_entries_are_refused(processor, files, monkeypatch):
    data = pack({"a.jpg": files["jpg"], "a.png": files["label"]}, zipfile.ZIP_STORED)
    monkeypatch.setattr(pair_archives, "MAX_FILE_BYTES", len(files["jpg"]) - 1)
    assert "the entry 'a.jpg' is beyond" in words(read_pairs, io.BytesIO(data), processor)
    monkeypatch.setattr(pair_archives, "MAX_ARCHIVE_BYTES", len(data) - 1)
    assert "pack fewer or smaller images" in words(read_pairs, io.BytesIO(data), processor)


# --- photos ----------------------------------------------------------------------------------------------------------


def test_photos_are_read_and_turned_upright(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    for kind in ("JPEG", "PNG", "WEBP"):
        path = tmp_path / "photo.bin"
        photo.save(path, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
        result = check_photo(path)
        assert result.mode == "RGB" and result.size == (32, 64), kind
        if kind != "JPEG":
            assert np.array_equal(np.asarray(result), np.rot90(np.asarray(photo), -1))
    for mode in ("L", "CMYK", "P", "RGBA"):
        stream = io.BytesIO()
        photo.convert(mode).save(stream, "JPEG" if mode == "CMYK" else "PNG")
        stream.seek(0)
        assert (check_photo(stream).mode, check_photo(io.BytesIO(stream.getvalue())).size) == ("RGB", (64, 32))


def test_no_photos_are_refused_in_words(photo, files, tmp_path):
    gif = io.BytesIO()
    photo.save(gif, "GIF")
    cases = [
        (b"", "empty"),
        (b"<html>", "HTML, SVG"),
        (b"%PDF-1.4", "no image file"),
        (files["jpg"][:300], "damaged"),
        (gif.getvalue(), "a GIF file"),
        (png(np.zeros((4, 4), np.uint16)).getvalue(), "16-bit grey"),
        (raw_png(6000, 6000, color=2), "6000 × 6000 pixels"),
        (raw_png(50_000, 50_000), "far more pixels"),
    ]
    for data, expected in cases:
        assert expected in words(check_photo, write(tmp_path / "photo.jpg", data))


def test_no_page_library_is_needed():
    for module in (label_files, color_tables, pair_archives, limits):
        assert "gradio" not in Path(module.__file__).read_text()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Uploaded label maps: every kind of PNG, other label spaces; hostile ones are refused with one clear line."""

import io
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from upload_files import COLORS, chunk, png, raw_png, words, write

from dpsims_hf.demo.uploads import limits
from dpsims_hf.demo.uploads.color_tables import ClassNames
from dpsims_hf.demo.uploads.label_files import label_space, label_spaces, read_label_file, size_note
from dpsims_hf.demo.uploads.limits import check_photo


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
    result = read_label_file(png(colors), processor, name="map.png")
    assert [(row.color, row.count) for row in result.unmatched] == [((255, 255, 0), 30), ((0, 255, 0), 10)]
    for row, place in zip(result.unmatched, (np.s_[0, :30], np.s_[1, :10]), strict=True):
        given = [processor.id2label[i] for i in result.label_map[place].tolist()]
        assert row.label == max(given, key=given.count)
    assert (result.unmatched_colors, result.unmatched_pixels) == (2, 40)
    assert len(result.notes) == 1 and "40 of 32768 pixels (0.1 %) have no class colour" in result.notes[0]
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
        (b"just text", "not a known image file"),
        (bytes(1000), "not a known image file"),
        (raw_png(64, 32), "truncated or damaged"),
        (raw_png(0, 32), "cut off in its header"),
        (raw_png(50_000, 50_000), "more pixels than the 25,000,000"),
        (raw_png(10_000, 10_000), "10000 × 10000 pixels"),
        (raw_png(5001, 5000), "5001 × 5000 pixels"),
        (raw_png(8, 8, depth=4, idat=zlib.compress(b"\0\x99\0\0\0" * 8)), "label id 9 out of range (16 pixels)"),
        (raw_png(8, 8, depth=16, color=2), "16-bit colour PNG"),
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
        pytest.skip("this system lets no process reset its peak memory (/proc/self/clear_refs)")

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
    assert label_spaces() == (
        "ade20k",
        "camvid",
        "cityscapes",
        "cityscapes_train_ids",
        "coco_stuff",
        "labelme_facade",
    )
    for space in label_spaces():
        spec, note = label_space(space)
        own = spec.image_processor()
        ids = np.arange(spec.num_labels - (space in ("camvid", "labelme_facade")), dtype=np.uint8)[None]
        stored = ids - 1 if space == "coco_stuff" else ids  # its files hold id - 1, and 255 for 0
        result = read_label_file(png(stored), own, space=space)
        assert np.array_equal(result.label_map, ids) and note
        assert np.array_equal(read_label_file(png(stored), own).label_map, ids)
        assert all(row.source == row.label for row in result.translated)
    for space in ("kitti", "../../x", "/etc/passwd"):
        assert "choose one of ade20k" in words(read_label_file, png(ids), processor, space=space)
    text = words(read_label_file, png(np.full((4, 4), 200, np.uint8)), processor, space="coco_stuff")
    assert "hold id - 1" in text
    assert (read_label_file(png(np.full((4, 4), 255, np.uint8)), processor, space="coco_stuff").label_map == 4).all()


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

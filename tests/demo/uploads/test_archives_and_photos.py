# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Uploaded zip files of pairs, and photos; hostile ones are refused with one clear line."""

import io
import random
import stat
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from upload_files import pack, png, raw_png, words, write

from dpsims_hf.demo.uploads import archives, pair_archives
from dpsims_hf.demo.uploads.limits import check_photo
from dpsims_hf.demo.uploads.pair_archives import read_pairs


# --- zip files -------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(archives, "MAX_RATIO", 10**9)
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 2_000_000)
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
    monkeypatch.setattr(archives, "MAX_RATIO", 10**9)
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 10**9)
    assert "the entry 'a.jpg' is beyond 20 MB a file" in said(300_000_000)  # it stops reading there


def test_no_zip_file_and_damaged_ones(processor, files):
    def said(data: bytes) -> str:
        return words(read_pairs, io.BytesIO(data), processor, name="p.zip")

    good = pack({"a.jpg": files["jpg"], "a.png": files["label"]})
    assert "empty" in said(b"")
    assert "not a zip file" in said(files["jpg"]) and "not a zip file" in said(b"<html>")
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
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", len(files["jpg"]) - 1)
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
        (b"%PDF-1.4", "not a known image file"),
        (files["jpg"][:300], "damaged"),
        (gif.getvalue(), "a GIF file"),
        (raw_png(6000, 6000, color=2), "6000 × 6000 pixels"),
        (raw_png(50_000, 50_000), "far more pixels"),
    ]
    for data, expected in cases:
        assert expected in words(check_photo, write(tmp_path / "photo.jpg", data))

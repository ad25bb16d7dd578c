# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Small files of a stranger that stand for large data: refused in one line, early, and before the memory is taken."""

import io
import json
import os
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from refusals import refused

import dpsims_hf.data.sources.parquet_bounds as bounds
from dpsims_hf.data import SemanticImageDataset, write_synthetic_dataset
from dpsims_hf.data.inspect import main as inspect
from dpsims_hf.data.reading.bad_samples import BadSampleError, BadSamples
from dpsims_hf.data.reading.rows import RowDecoder
from dpsims_hf.data.sources.hub_loading import resolve_hub_dataset
from dpsims_hf.data.sources.parquet_bounds import check_parquet
from dpsims_hf.data.sources.thrift_headers import read_struct
from dpsims_hf.data.streaming import open_stream
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.data.transforms import JointTransform
from dpsims_hf.evaluation.sources import file_stem
from dpsims_hf.image_processing_files import read_photo


TRANSFORM = JointTransform((8, 8))
CELL = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def png_head(width: int, height: int, color: int = 0) -> bytes:
    """A PNG that says a size, with some pixels; the rest would be zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


HEADS = {
    "png": png_head(9_000, 9_000),
    "far beyond": png_head(60_000, 60_000),
    "bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 9_000, 9_000, 1, 8, 0, 0, 1, 1, 0, 0),
}


def picture(mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (8, 8), 1 if mode == "L" else None).save(stream, "PNG")
    return stream.getvalue()


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HEADS)
def test_pictures_are_asked_for_their_size_before_they_are_decoded(tmp_path, kind):
    """By all that reads one: photos, label maps, instance maps, headers alone, paths and bytes."""
    file = tmp_path / "x.png"
    file.write_bytes(HEADS[kind])
    decoder = RowDecoder(SYNTHETIC_SPEC, "set")
    for cell in ({"bytes": None, "path": str(file)}, {"bytes": HEADS[kind], "path": "x.png"}):
        row = dict.fromkeys(("image", "label_map", "instance_map"), cell)
        for read in (
            decoder.photo,
            decoder.photo_size,
            decoder.label_map,
            lambda *a: decoder.instance_map(*a, (8, 8)),
        ):
            refused(
                lambda read=read, row=row: read(row, 0), "x.png", "at most 50,000,000 are decoded", "scale it down"
            )
    processor = SYNTHETIC_SPEC.image_processor()
    with Image.open(io.BytesIO(HEADS["png"])) as opened:  # opened, not decoded: as good as a file
        refused(lambda: processor.decode_label_map(opened), "at most 50,000,000")
        refused(lambda: read_photo(opened), "9000 x 9000 pixels")


def test_a_bomb_is_a_bad_sample_as_any_other(tmp_path):
    folder = write_synthetic_dataset(tmp_path / "set", num_train=3, num_val=1, size=(16, 16))
    file = sorted((folder / "train" / "images").iterdir())[1]
    file.write_bytes(png_head(9_000, 9_000, 2))
    dataset = SemanticImageDataset.from_folder(folder, "train", TRANSFORM)
    refused(lambda: dataset.validate(progress=False), file.name, "50,000,000")
    refused(lambda: dataset[1, 0], file.name, kinds=(BadSampleError,))
    tolerant = SemanticImageDataset.from_folder(folder, "train", TRANSFORM, bad_samples=BadSamples(1))
    tolerant.validate(progress=False)
    assert tolerant[1, 0]["index"] != 1


def test_a_picture_of_very_many_parts_is_not_decoded(tmp_path):
    """A JPEG goes over all pixels for each scan, and a PNG's chunks are looked at one by one."""
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(stream, "JPEG", progressive=True)
    honest = stream.getvalue()
    scan = re.search(rb"\xff\xda.*?(?=\xff[\xc4\xda\xd9])", honest[200:], re.DOTALL).group()
    end = honest.rindex(b"\xff\xd9")
    file = tmp_path / "x.jpg"
    file.write_bytes(honest[:end] + scan * 5_000 + honest[end:])
    refused(lambda: read_photo(file), "x.jpg", "scans")
    file.write_bytes(honest)
    assert read_photo(file).shape == (64, 64, 3)
    empty = struct.pack(">I", 0) + b"prVt" + struct.pack(">I", zlib.crc32(b"prVt"))
    head = png_head(8, 8)
    file.write_bytes(head[:33] + empty * 200_000 + head[33:])
    refused(lambda: read_photo(file), "x.jpg", "parts")
    file.write_bytes(honest[:2] + b"\xff\xfe\0\2" * 200_000 + honest[2:])
    refused(lambda: read_photo(file), "x.jpg", "20,000 parts")
    tags = [(256, 4, 1, 1), (257, 4, 1, 10**6), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 10**6, 122), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 10**6, 4_000_122)]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    file.write_bytes(head + bytes(4) + struct.pack("<I", 8) * 10**6 + struct.pack("<I", 1) * 10**6)
    refused(lambda: read_photo(file), "x.jpg", "TIFF of more than 20,000 strips")


def test_formats_that_nobody_stores_pictures_in_are_not_tried(tmp_path):
    """An icon's picture is larger than it says, and Pillow has dozens of such readers."""
    file = tmp_path / "x.png"
    inner = png_head(9_000, 9_000)
    file.write_bytes(struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 8, len(inner), 22) + inner)
    refused(lambda: read_photo(file), "x.png", "cannot be read as an image")
    refused(lambda: SYNTHETIC_SPEC.image_processor().decode_label_map(file), "x.png")


# -- parquet ----------------------------------------------------------------------------------------------------------


def same(count: int, size: int) -> pa.Array:
    """One value, many times."""
    values = pa.array([bytes(size)], pa.binary())
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), values)


def nested(depth: int) -> pa.Array:
    array = pa.array([1])
    for _ in range(depth):
        array = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), array)
    return array


PREFIXES = {"use_dictionary": False, "column_encoding": {"x": "DELTA_BYTE_ARRAY"}}
BOMBS = {
    "one value, many times": (lambda: same(20_000, 1_000_000), {}, "unpack to 19,074 MB"),
    "fixed width of nothing": (lambda: pa.array([None] * 100, pa.binary(100_000)), {}, "unpack to 10 MB"),
    "each begins as the last": (lambda: pa.array([bytes(100_000)] * 500, pa.binary()), PREFIXES, "unpack to"),
    "lists inside each other": (lambda: nested(60), {}, "inside each other are not read"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_parquet_file_is_asked_what_it_unpacks_to(tmp_path, monkeypatch, kind):
    make, options, words = BOMBS[kind]
    if kind in ("each begins as the last", "fixed width of nothing"):  # to make more takes as much
        monkeypatch.setattr(bounds, "FREE_BYTES", 2**20)
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": make()}), file, compression="zstd", store_schema=False, **options)
    assert file.stat().st_size < 100_000
    refused(lambda: check_parquet(file), "x.parquet", words)


def test_pages_lists_and_columns_have_bounds(tmp_path, monkeypatch):
    """The same at a hundredth: the test takes no gigabyte to make what is refused."""
    monkeypatch.setattr(bounds, "MAX_PAGE_BYTES", 2 * 2**20)
    monkeypatch.setattr(bounds, "MAX_BYTES", 8 * 2**20)
    file = tmp_path / "x.parquet"

    def write(column: pa.Array, **options) -> None:
        pq.write_table(pa.table({"x": column}), file, compression="zstd", **options)

    write(pa.array([bytes(10_000_000)], pa.binary()), use_dictionary=False)
    refused(lambda: check_parquet(file), "column x: a page of 10,000,0", "2,097,152 bytes")
    write(pa.array([bytes(1_500_000)] * 20, pa.binary()), use_dictionary=False, write_batch_size=1)
    refused(lambda: check_parquet(file), "16 rows unpack to 2", "legal are 8 MB", "row groups")
    write(pa.ListArray.from_arrays(pa.array([0, 2_000_000], pa.int32()), pa.array(np.zeros(2_000_000, np.int64))))
    refused(lambda: check_parquet(file), "16 rows unpack to 23 MB")
    pq.write_table(pa.table({f"c{number}": [1] for number in range(1_200)}), file)
    refused(lambda: check_parquet(file), "1,200 columns; legal are 1,000")
    monkeypatch.setattr(bounds, "MAX_FOOTER_BYTES", 1_000)
    refused(lambda: check_parquet(file), "list of columns")
    write(pa.array([bytes(1_000)] * 500, pa.binary()), use_dictionary=False, row_group_size=50)
    monkeypatch.setattr(bounds, "MAX_FOOTER_BYTES", 2**20)
    monkeypatch.setattr(bounds, "MAX_CHUNKS", 9)
    refused(lambda: check_parquet(file), "in 10 row groups; legal are 9")
    monkeypatch.setattr(bounds, "MAX_PAGES", 9)
    monkeypatch.setattr(bounds, "MAX_CHUNKS", 99)
    refused(lambda: check_parquet(file), "number 10;", "9 pages")


def test_honest_parquet_files_are_read(tmp_path):
    """Rows of several hundred kilobytes in one row group, of which a dictionary was made."""
    rng = np.random.default_rng(0)
    cells = [{"bytes": rng.bytes(300_000), "path": "x.png"} for _ in range(60)]
    lists = [rng.integers(0, 150, (64, 96)).tolist()] * 60
    table = pa.table({"image": pa.array(cells, CELL), "seg_map": lists, "prompt": ["a"] * 60})
    for number, options in enumerate(({}, {"data_page_version": "2.0", "row_group_size": 7}, {"compression": "gzip"})):
        pq.write_table(table, tmp_path / f"{number}.parquet", **options)
        assert check_parquet(tmp_path / f"{number}.parquet") == ["image", "seg_map", "prompt"]


@pytest.mark.parametrize("seed", range(4))
def test_parquet_files_with_flipped_bytes(tmp_path, seed):
    """One line, or columns; nothing else comes out of a damaged file."""
    rng = np.random.default_rng(seed)
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [{"bytes": b"x" * 50, "path": "p"}] * 9, "b": [[[1, 2]]] * 9}), file)
    honest = file.read_bytes()
    length = int.from_bytes(honest[-8:-4], "little")
    for _ in range(60):
        data = bytearray(honest)
        for place in rng.integers(len(data) - 8 - length, len(data), 3):
            data[place] = rng.integers(256)
        file.write_bytes(data)
        try:
            check_parquet(file)
        except ValueError as error:
            assert "\n" not in str(error) and "x.parquet" in str(error)


@pytest.mark.parametrize(
    "data", [b"\x1c" * 5_000, b"\x19\xf9" + b"\x99" * 5_000, b"\x18\xff\xff\xff\xff\x0f", b"", b"\x3b\xff"]
)
def test_headers_without_end(data):
    refused(lambda: read_struct(data), "header")


# -- tables -----------------------------------------------------------------------------------------------------------


def stored(folder: Path, label_map: pa.Array, feature=None) -> Path:
    """A folder as `prepare` writes it, of one row; `feature` is what the table says of its label maps."""
    import datasets

    (folder / "data").mkdir(parents=True)
    table = pa.table({"image": pa.array([{"bytes": picture("RGB"), "path": "x.png"}], CELL), "label_map": label_map})
    if feature is not None:
        features = datasets.Features({"image": datasets.Image(), "label_map": feature})
        table = table.replace_schema_metadata(features.arrow_schema.metadata)
    pq.write_table(table, folder / "data" / "train.parquet")
    SYNTHETIC_SPEC.to_json(folder / "classes.json")
    return folder


@pytest.mark.parametrize("kind", ["text", "structure"])
def test_no_column_names_files_of_this_machine(tmp_path, capsys, kind):
    """Neither one of texts nor one that only looks as pictures do."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    cells = {"text": pa.array([str(secret)]), "structure": pa.array([{"bytes": None, "path": str(secret)}], CELL)}
    folder = stored(tmp_path / "set", cells[kind])
    refused(lambda: SemanticImageDataset.from_hub(folder, "train", TRANSFORM), "instead of holding", seconds=5)
    assert inspect([str(folder)]) == 1
    assert "instead of holding" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["List", "structure", "Audio", "Video", "Pdf", "Nifti"])
def test_no_column_has_files_and_addresses_opened(tmp_path, kind):
    """`datasets` decodes what a table says that it is, wherever it is said to lie."""
    import datasets

    cell, address = datasets.Image(), {"bytes": None, "path": "http://127.0.0.1:1/x.png"}
    if kind == "List":
        column, feature = pa.array([[address]], pa.list_(CELL)), datasets.List(cell)
    elif kind == "structure":
        column, feature = pa.array([{"a": address}], pa.struct({"a": CELL})), {"a": cell}
    else:
        column, feature = pa.array([address], CELL), getattr(datasets, kind)()
    folder = stored(tmp_path / "set", column, feature)
    refused(lambda: SemanticImageDataset.from_hub(folder, "train", TRANSFORM), "label_map", "not read", seconds=5)
    found = resolve_hub_dataset(folder)
    refused(lambda: open_stream(found, "train"), "label_map", "not read", seconds=5)


@pytest.mark.parametrize("place", ["https://127.0.0.1:1/y.parquet", "../other/data/train.parquet"])
def test_a_folder_without_tables_is_none(tmp_path, place):
    """Its card would say where they are."""
    stored(tmp_path / "other", pa.array([picture()]))
    folder = tmp_path / "set"
    folder.mkdir()
    SYNTHETIC_SPEC.to_json(folder / "classes.json")
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {place}\n---\n")
    found = resolve_hub_dataset(folder)
    refused(lambda: found.load("train"), "no parquet files in it", "prepare")
    refused(lambda: open_stream(found, "train"), "no parquet files in it", "prepare")
    refused(found.validation_split, "its splits cannot be listed", seconds=5)


def test_bombs_are_refused_before_a_row_is_read(tmp_path, capsys):
    """As a set to train on, as a stream, and by `inspect`."""
    folder = stored(tmp_path / "set", pa.array([picture()]))
    pq.write_table(pa.table({"x": same(20_000, 1_000_000)}), folder / "data" / "train.parquet", store_schema=False)
    refused(lambda: SemanticImageDataset.from_hub(folder, "train", TRANSFORM), "train.parquet", "unpack", seconds=5)
    found = resolve_hub_dataset(folder)
    refused(lambda: open_stream(found, "train"), "train.parquet", "unpack", seconds=5)
    assert inspect([str(folder)]) == 1
    assert "unpack to 19,074 MB" in capsys.readouterr().out
    (folder / "data" / "train.parquet").write_bytes(b"PAR1" + os.urandom(200) + b"PAR1")
    refused(lambda: SemanticImageDataset.from_hub(folder, "train", TRANSFORM), "train.parquet", seconds=5)


def test_label_maps_in_lists_are_as_large_as_pictures(tmp_path, monkeypatch):
    import dpsims_hf.data.reading.rows as rows

    maps = [np.ones((8, 8), int).tolist(), np.ones((40, 40), int).tolist(), [[1] * 8, [1] * 7]]
    for number, content in enumerate(maps):
        folder = stored(tmp_path / str(number), pa.array([content]))
        dataset = SemanticImageDataset.from_hub(folder, "train", TRANSFORM)
        monkeypatch.setattr(rows, "MAX_PIXELS", 500)
        if number == 0:
            assert dataset[0]["label_map"].unique().tolist() == [1]
            assert isinstance(dataset.table[0]["label_map"], np.ndarray)  # a number in a list takes five times as much
        else:
            refused(lambda dataset=dataset: dataset.label_map(0), ["", "1,600 numbers", "no rectangle"][number])


# -- links and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train/labels/scene_0001.png", "train/images", "train"])
def test_training_says_what_it_takes_from_elsewhere(tmp_path, name):
    """People link their disks; a stranger's link shows private pictures in sample grids. Links within are the set."""
    folder = write_synthetic_dataset(tmp_path / "set", num_train=3, num_val=1, size=(16, 16))
    (folder / "train/labels/scene_0000.png").unlink()
    (folder / "train/labels/scene_0000.png").symlink_to("scene_0002.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SemanticImageDataset.from_folder(folder, "train", TRANSFORM)
    (folder / name).rename(tmp_path / "private")
    (folder / name).symlink_to(tmp_path / "private")
    count = {"train": 6, "train/images": 3}.get(name, 1)
    with pytest.warns(UserWarning, match=f"{count} of its files lie elsewhere, by links .*private"):
        SemanticImageDataset.from_folder(folder, "train", TRANSFORM)


def test_a_warning_about_links_is_one_line(tmp_path):
    folder = write_synthetic_dataset(tmp_path / "set", num_train=1, num_val=1, size=(16, 16))
    [file] = (folder / "train" / "images").iterdir()
    file.rename(tmp_path / "a\x1b[2J\nb.png")
    file.symlink_to(tmp_path / "a\x1b[2J\nb.png")
    with pytest.warns(UserWarning, match=r"a\\x1b\[2J\\nb.png") as told:
        SemanticImageDataset.from_folder(folder, "train", TRANSFORM)
    assert "\n" not in str(told[0].message) and json.dumps(str(told[0].message)).isascii()


def test_names_in_tables_are_written_out(tmp_path):
    """They stand in errors, logs and the register of bad samples, and name the pictures that are saved."""
    evil = "a\x1b[2J\nb" + "c" * 5_000 + ".png"
    folder = stored(tmp_path / "set", pa.array([{"bytes": b"none", "path": evil}], CELL))
    dataset = SemanticImageDataset.from_hub(folder, "train", TRANSFORM)
    with pytest.raises(ValueError, match=r"a\\x1b\[2J\\nb") as caught:
        dataset.label_map(0)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert file_stem(dataset, 0) == "000000"
    names = (("..", "000000"), ("x\0.png", "000000"), ("a/b.png", "b"), ("Straße 1.png", "Straße 1"))
    for number, (name, stem) in enumerate(names):
        folder = stored(tmp_path / str(number), pa.array([{"bytes": b"", "path": name}], CELL))
        assert file_stem(SemanticImageDataset.from_hub(folder, "train", TRANSFORM), 0) == stem

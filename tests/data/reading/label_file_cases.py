# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A label space of five classes, one label map, and the files in which people have it; each with its right value."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dpsims_hf.data import DatasetSpec, SemanticImageDataset
from dpsims_hf.data.transforms import JointTransform
from dpsims_hf.demo.uploads.label_files import read_label_file
from dpsims_hf.demo.uploads.pair_archives import read_pairs


NAMES = ("sky", "building", "road", "car", "void")
PALETTE = ((128, 128, 128), (128, 0, 0), (128, 64, 128), (64, 0, 128), (0, 0, 0))
COLORS = np.array(PALETTE, dtype=np.uint8)
VOID = 4
SPEC = DatasetSpec("streets", NAMES, PALETTE, void_label_id=VOID, void_values=(255,))

LABELS = np.kron(np.array([[0, 1, 2, 3], [1, 1, 0, 4]]), np.ones((8, 8), dtype=np.int64))  # (16, 32), all classes
STORED = np.where(LABELS == VOID, 255, LABELS)


class Case(NamedTuple):
    """A file, and what it means: a label map, or the words with which it is refused.

    Args:
        content: of the file, whose name ends in .png.
        expected: (height, width) ids, or a regular expression.
        reading: what the user asks for.
        decided: the reading that must be told.
    """

    content: bytes
    expected: np.ndarray | str
    reading: str | None = None
    decided: str = "ids"


def encoded(values: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(rows: np.ndarray, depth: int, color_type: int = 0) -> bytes:
    """A PNG of 1, 2, 4 or 16 bits, as Pillow does not write it; `rows` (height, width[, channels])."""
    height, width = rows.shape[:2]
    if depth == 16:
        lines = rows.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., -depth:]
        lines = np.packbits(bits.reshape(height, -1), axis=1)
    data = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def paletted(indices: np.ndarray, colors: np.ndarray, **options) -> bytes:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(colors.astype(np.uint8).ravel().tolist())
    return encoded(image, **options)


def sorted_palette(labels: np.ndarray) -> bytes:
    """What image tools write: the colours that occur, sorted by brightness, and new indices."""
    order = np.argsort(COLORS[np.unique(labels)].sum(axis=1), kind="stable")
    colors = COLORS[np.unique(labels)][order]
    indices = np.array([np.flatnonzero((colors == COLORS[i]).all(axis=1))[0] for i in labels.ravel()])
    return paletted(indices.reshape(labels.shape), colors)


def in_channel(channel: int, values: np.ndarray = STORED) -> np.ndarray:
    image = np.zeros((*values.shape, 3), dtype=np.uint8)
    image[..., channel] = values
    return image


def soft_brush() -> np.ndarray:
    """A car painted with a soft brush on a layer: alpha falls off around it."""
    rgba = np.zeros((*LABELS.shape, 4), dtype=np.uint8)
    rgba[..., :3] = COLORS[3]
    rgba[..., 3] = np.minimum(255, np.abs(np.arange(32) - 16) * 20)[None, ::-1]
    return rgba


SOFT = soft_brush()
TURNED = Image.Exif()
TURNED[0x0112] = 6
FROM_ONE = np.where(LABELS == VOID, 0, LABELS + 1)
STRAY = COLORS[LABELS].copy()
STRAY[0, :4] = (200, 30, 30)
MASK = np.where(LABELS == 1, 255, 0)
INSTANCES = np.arange(LABELS.size).reshape(LABELS.shape) % 7
NAMES_BOTH = r"two readings fit and contradict each other in .*ids \(palette indices\).*colors \(palette colours\).*"

CASES: dict[str, Case] = {
    # -- containers of ids
    "8-bit grey": Case(encoded(STORED.astype(np.uint8)), LABELS),
    "16-bit grey": Case(encoded(STORED.astype(np.uint16)), LABELS),
    "4-bit grey": Case(raw_png(LABELS, 4), LABELS),
    "2-bit grey": Case(raw_png(LABELS % 4, 2), LABELS % 4),
    "1-bit grey": Case(raw_png(LABELS % 2, 1), LABELS % 2),
    "grey RGB": Case(encoded(np.repeat(STORED.astype(np.uint8)[..., None], 3, axis=2)), LABELS),
    "ids in red": Case(encoded(in_channel(0)), LABELS),
    "ids in blue": Case(encoded(in_channel(2)), LABELS),
    "grey RGBA": Case(encoded(np.dstack([*[STORED.astype(np.uint8)] * 3, np.full(LABELS.shape, 255, "u1")])), LABELS),
    "grey with alpha": Case(
        encoded(Image.fromarray(np.dstack([LABELS, np.where(LABELS == VOID, 0, 255)]).astype("u1"))), LABELS
    ),
    "class * 256 + object": Case(encoded((LABELS * 256 + INSTANCES).astype(np.uint16)), LABELS, None, "ids_256"),
    "class * 1000 + object": Case(
        encoded((np.where(LABELS == 0, 1, LABELS) * 1000 + 300 + INSTANCES).astype(np.uint16)),
        np.where(LABELS == 0, 1, LABELS),
        None,
        "ids_1000",
    ),
    "class * 1000 + object, or plain": Case(
        encoded(np.where(LABELS == 0, 3, LABELS * 1000 + 1).astype(np.uint16)),
        r"two readings fit .* ids_1000 \(ids_1000\) gives .* ids_1000_plain",
    ),
    "16-bit ids with a stray value": Case(
        encoded(np.where(np.arange(512).reshape(16, 32) == 40, 700, LABELS).astype(np.uint16)),
        r"two readings fit|label id 700 out of range \(1 pixels\)",
    ),
    "class * 1000 + object, asked": Case(
        encoded((LABELS * 1000 + INSTANCES).astype(np.uint16)), LABELS, "ids_1000", "ids_1000"
    ),
    "ids beyond the space": Case(
        encoded((LABELS + 2).astype(np.uint8)), r"label id 5, 6 out of range \(.* legal are 0"
    ),
    "ids from 1": Case(
        encoded(np.where(LABELS == VOID, 0, LABELS + 1).astype(np.uint8)),
        np.where(LABELS == VOID, 0, LABELS + 1),  # legal ids: only the set as a whole can tell, see `inspect`
    ),
    "ids from 1, asked": Case(encoded(FROM_ONE.astype(np.uint8)), LABELS, "ids_from_1", "ids_from_1"),
    "mask in RGB": Case(
        encoded(np.repeat(MASK.astype(np.uint8)[..., None], 3, axis=2)),
        r'0 is class 0 and 255 is class 1: reading="mask"',
    ),
    "mask in RGB, asked": Case(
        encoded(np.repeat(MASK.astype(np.uint8)[..., None], 3, axis=2)), (LABELS == 1).astype(int), "mask", "mask"
    ),
    "mask in grey": Case(encoded(MASK.astype(np.uint8)), np.where(LABELS == 1, VOID, 0)),
    "mask in grey, asked": Case(encoded(MASK.astype(np.uint8)), (LABELS == 1).astype(int), "mask", "mask"),
    # -- colours
    "colours": Case(encoded(COLORS[LABELS]), LABELS, None, "colors"),
    "colours in BGR": Case(
        encoded(COLORS[np.where(LABELS == 3, 1, LABELS)][..., ::-1]), r'red and blue swapped: reading="bgr_colors"'
    ),
    "colours in BGR, asked": Case(encoded(COLORS[LABELS][..., ::-1]), LABELS, "bgr_colors", "bgr_colors"),
    "a few strange colours": Case(
        encoded(STRAY), np.where((STRAY == (200, 30, 30)).all(-1), 1, LABELS), None, "colors"
    ),
    "a few nearly black pixels": Case(
        encoded(np.where(np.indices(LABELS.shape)[1][..., None] == 31, (3, 1, 0), COLORS[LABELS]).astype("u1")),
        r"nearly black and may be numbers|unknown colours",
    ),
    "ids in red, objects in green": Case(
        encoded(np.dstack([LABELS, INSTANCES, LABELS * 0]).astype("u1")), r"unknown colours"
    ),
    "all black": Case(
        encoded(np.zeros((16, 32, 3), np.uint8)),
        r"two readings fit .* colors \(class colours\) gives void 100.0 %; ids \(class ids in one channel\) gives sky",
    ),
    "all black, asked": Case(encoded(np.zeros((16, 32, 3), np.uint8)), LABELS * 0 + VOID, "colors", "colors"),
    "16-bit colours": Case(raw_png(np.repeat(STORED[..., None], 3, axis=2), 16, 2), "16-bit colour PNG"),
    "16-bit grey with alpha": Case(raw_png(np.repeat(STORED[..., None], 2, axis=2), 16, 4), "16-bit grey PNG with"),
    # -- palettes
    "palette, its colours foreign": Case(paletted(STORED, np.arange(768)[::-1].reshape(256, 3) // 3), LABELS),
    "palette, its colours the classes'": Case(paletted(LABELS, COLORS), LABELS),
    "palette in another order": Case(sorted_palette(LABELS), NAMES_BOTH + 'reading="ids" or reading="colors"'),
    "palette in another order, colours": Case(sorted_palette(LABELS), LABELS, "colors", "colors"),
    "palette with colours alone": Case(
        paletted(LABELS + 100, np.concatenate([np.full((100, 3), 7), COLORS])), LABELS, None, "colors"
    ),
    "palette, transparent": Case(
        paletted(LABELS + 100, np.concatenate([np.full((100, 3), 7), COLORS]), transparency=101),
        np.where(LABELS == 1, VOID, LABELS),
        None,
        "colors",
    ),
    # -- alpha
    "soft brush": Case(encoded(SOFT), np.where(SOFT[..., 3] >= 128, 3, VOID), None, "colors"),
    # -- files
    "JPEG named .png": Case(encoded(COLORS[LABELS], "JPEG", quality=95), "a JPEG, and lossy"),
    "WebP named .png": Case(encoded(COLORS[LABELS], "WEBP", lossless=True), "a WebP, and lossy"),
    "JPEG, snapped": Case(
        encoded(COLORS[LABELS], "JPEG", quality=100, subsampling=0), LABELS, "nearest_colors", "nearest_colors"
    ),
    "TIFF named .png": Case(encoded(STORED.astype(np.uint8), "TIFF"), LABELS),
    "EXIF orientation": Case(encoded(STORED.astype(np.uint8), exif=TURNED), np.rot90(LABELS, -1)),
}


# -- the four ways in -------------------------------------------------------------------------------------------------


def by_processor(path: Path, reading: str | None, spec: DatasetSpec = SPEC) -> np.ndarray:
    return spec.image_processor().decode_label_map(path, reading=reading)


def by_training(path: Path, reading: str | None, spec: DatasetSpec = SPEC) -> np.ndarray:
    """The dataset of a folder, as training opens it."""
    folder = path.parent / "set"
    for name in ("images", "labels"):
        (folder / "train" / name).mkdir(parents=True)
    (folder / "train" / "labels" / "a.png").write_bytes(path.read_bytes())
    (folder / "train" / "images" / "a.png").write_bytes(photo_of(path))
    spec.to_json(folder / "classes.json")
    content = json.loads((folder / "classes.json").read_text()) | {"label_reading": reading}
    (folder / "classes.json").write_text(json.dumps(content))
    dataset = SemanticImageDataset.from_folder(folder, "train", JointTransform((16, 32)))
    dataset.validate(progress=False)
    return dataset.label_map(0)


def by_page(path: Path, reading: str | None, spec: DatasetSpec = SPEC) -> np.ndarray:
    return read_label_file(path, spec.image_processor(), reading=reading).label_map


def by_zip(path: Path, reading: str | None, spec: DatasetSpec = SPEC) -> np.ndarray:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("images/a.png", photo_of(path))
        archive.writestr("labels/a.png", path.read_bytes())
    stream.seek(0)
    return read_pairs(stream, spec.image_processor(), reading=reading)[0].label_map


def photo_of(path: Path) -> bytes:
    """A photo of the label map's size; of LABELS' for what is no picture."""
    height, width = LABELS.shape
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except OSError:
        turned = False
    height, width = (width, height) if turned else (height, width)
    return encoded(np.full((height, width, 3), 90, np.uint8))


WAYS = {"processor": by_processor, "training": by_training, "page": by_page, "zip": by_zip}

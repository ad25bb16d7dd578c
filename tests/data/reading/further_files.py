# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label files as further tools write them, each with its right value or the words with which it is refused."""

import io
import struct
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from label_file_cases import (
    COLORS,
    INSTANCES,
    LABELS,
    SPEC,
    STORED,
    VOID,
    chunk,
    encoded,
    paletted,
    raw_png,
)
from PIL import Image, ImageCms, PngImagePlugin

from dpsims_hf.data import DatasetSpec
from dpsims_hf.data.encodings.labels import LabelEncoding
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.image_processing_files import default_palette
from dpsims_hf.image_processing_label_files import save_ids


class File(NamedTuple):
    """A file, and what it means.

    Args:
        content: of the file, whose name ends in .png.
        expected: (height, width) ids, or a regular expression.
        reading: what the user asks for.
        spec: of the set and the model.
    """

    content: bytes
    expected: np.ndarray | str
    reading: str | None = None
    spec: DatasetSpec = SPEC


def interlaced(values: np.ndarray) -> bytes:
    """An 8-bit grey PNG by Adam7."""
    height, width = values.shape
    lines = b""
    for top, left, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        lines += b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in values[top::down, left::right] if row.size)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with a chunk behind its header."""
    return png[:33] + chunk(kind, data) + png[33:]


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def pages(kind: str, **options) -> bytes:
    first, second = Image.fromarray(STORED.astype(np.uint8)), Image.fromarray(LABELS.astype(np.uint8))
    return encoded(first, kind, save_all=True, append_images=[second], **options)


def ids_file(labels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    save_ids(labels, stream)
    return stream.getvalue()


def grey_alpha(alpha: int) -> bytes:
    """Grey ids whose buildings have an alpha."""
    return encoded(Image.fromarray(np.dstack([STORED, np.where(LABELS == 1, alpha, 255)]).astype("u1")))


def saved_array(labels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, labels)
    return stream.getvalue()


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        target.writestr("arr_0.npy", saved_array(LABELS))
    return stream.getvalue()


NO_BUILDING = np.where(LABELS == 1, VOID, LABELS)
RGB = Image.fromarray(COLORS[LABELS])
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GAMMA = PngImagePlugin.PngInfo()
GAMMA.add(b"gAMA", (45455).to_bytes(4, "big"))
FOREIGN = np.random.default_rng(3).integers(0, 255, (256, 3)) // 2 * 2 + 1  # odd: no class's colour
VOC = np.array(default_palette(256))

CITY = load_label_preset("cityscapes_train_ids")
CITY_LABEL_IDS = CITY.with_encoding("label_ids")
TRAIN_IDS = np.kron([[0, 1, 2, 255], [8, 10, 13, 11]], np.ones((8, 8), int))
LABEL_IDS = np.kron([[7, 8, 11, 3], [21, 23, 26, 24]], np.ones((8, 8), int))
CITY_LABELS = np.kron([[0, 1, 2, 19], [8, 10, 13, 11]], np.ones((8, 8), int))
COCO = load_label_preset("coco_stuff")
STUFF = np.kron([[0, 90, 156, 255], [181, 15, 1, 0]], np.ones((8, 8), int))
ADE = load_label_preset("ade20k")
ADE_FILE = np.kron([[0, 1, 150, 3], [7, 15, 1, 0]], np.ones((8, 8), int))
MANY = DatasetSpec("many", tuple(f"class {i}" for i in range(124)), tuple(map(tuple, default_palette(124))))
MANY_LABELS = np.arange(512).reshape(16, 32) % 124

CMP_NAMES = ("background", "facade", "window", "door", "cornice", "sill")
FROM_1 = LabelEncoding("from_1", -1, ((0, 6),))
CMP = DatasetSpec(
    "cmp",
    (*CMP_NAMES, "void"),
    (*map(tuple, default_palette(6)), (224, 224, 192)),
    void_label_id=6,
    void_values=(255,),
    label_encoding="from_1",
    label_encodings=(FROM_1,),
    has_colors=False,
)
CMP_LABELS = np.kron([[0, 1, 2, 3], [4, 5, 1, 0]], np.ones((8, 8), int))
ADE_FULL = np.dstack([LABELS * 10, LABELS + 3, INSTANCES]).astype(np.uint8)
ONE_HOT = (np.arange(3) == (LABELS % 3)[..., None]).astype(np.uint8)

FILES: dict[str, File] = {
    # -- bit depths and palettes
    "4-bit palette": File(paletted(LABELS, FOREIGN[:16], bits=4), LABELS),
    "2-bit palette": File(paletted(LABELS % 4, FOREIGN[:4], bits=2), LABELS % 4),
    "1-bit palette": File(paletted(LABELS % 2, FOREIGN[:2], bits=1), LABELS % 2),
    "1-bit palette of the classes": File(paletted(LABELS % 2, COLORS[:2], bits=1), LABELS % 2),
    "palette with a tail of black": File(paletted(LABELS, np.concatenate([COLORS, np.zeros((200, 3))])), LABELS),
    "palette pruned in the middle": File(
        paletted(np.where(LABELS > 1, LABELS - 1, 0), COLORS[[0, 2, 3, 4]]), r"two readings fit .* ids .* colors"
    ),
    "palette quantized by Pillow": File(encoded(RGB.quantize(8)), r"two readings fit .* ids .* colors"),
    "palette quantized by Pillow, colours": File(encoded(RGB.quantize(8)), LABELS, "colors"),
    "palette adapted by Pillow": File(
        encoded(RGB.convert("P", palette=Image.Palette.ADAPTIVE, colors=5)), LABELS, "colors"
    ),
    "web palette": File(encoded(RGB.convert("P", dither=Image.Dither.NONE)), r"unknown colours|out of range"),
    "palette sorted, 255 colours": File(
        paletted(LABELS + 9, np.concatenate([FOREIGN[:9], COLORS, FOREIGN[14:]])), LABELS
    ),
    "Mapillary, 124 classes": File(paletted(MANY_LABELS, VOC[:124]), MANY_LABELS, None, MANY),
    "interlaced grey": File(interlaced(STORED), LABELS),
    "interlaced palette": File(encoded(Image.open(io.BytesIO(paletted(LABELS, COLORS))), interlace=1), LABELS),
    # -- transparency
    "grey with tRNS": File(encoded(STORED.astype("u1"), transparency=1), NO_BUILDING),
    "4-bit grey with tRNS": File(with_chunk(raw_png(LABELS, 4), b"tRNS", b"\0\1"), NO_BUILDING),
    "16-bit grey with tRNS": File(with_chunk(raw_png(STORED, 16), b"tRNS", b"\0\1"), NO_BUILDING),
    "RGB with tRNS": File(encoded(COLORS[LABELS], transparency=(128, 0, 0)), NO_BUILDING),
    "palette of ids with tRNS": File(paletted(LABELS, FOREIGN[:16], transparency=1), NO_BUILDING),
    "grey and alpha 127": File(grey_alpha(127), NO_BUILDING),
    "grey and alpha 128": File(grey_alpha(128), LABELS),
    "transparent, no void": File(
        encoded((LABELS % 4).astype("u1"), transparency=1),
        r"transparent pixels, but this label space has no void",
        None,
        DatasetSpec("no void", SPEC.labels[:4], SPEC.palette[:4]),
    ),
    # -- chunks and containers
    "gamma": File(encoded(COLORS[LABELS], pnginfo=GAMMA), LABELS),
    "ICC profile": File(encoded(COLORS[LABELS], icc_profile=SRGB), LABELS),
    "EXIF 3": File(encoded(STORED.astype("u1"), exif=exif(3)), LABELS[::-1, ::-1]),
    "EXIF 2": File(encoded(COLORS[LABELS], exif=exif(2)), LABELS[:, ::-1]),
    "TIFF, LZW, palette": File(
        encoded(Image.open(io.BytesIO(paletted(LABELS, COLORS))), "TIFF", compression="tiff_lzw"), LABELS
    ),
    "TIFF of 16 bits": File(encoded(STORED.astype(np.uint16), "TIFF", compression="tiff_deflate"), LABELS),
    "TIFF of 32 bits": File(encoded(STORED.astype(np.int32), "TIFF"), LABELS),
    "TIFF of floats": File(encoded(LABELS.astype(np.float32), "TIFF"), LABELS),
    "TIFF of fractions": File(encoded((LABELS / 2).astype(np.float32), "TIFF"), "not whole numbers"),
    "BMP": File(encoded(COLORS[LABELS], "BMP"), "a BMP; label maps are read from PNG"),
    "GIF": File(encoded(RGB.quantize(8), "GIF"), "a GIF"),
    "PPM": File(encoded(COLORS[LABELS], "PPM"), "PPM|not a known image file"),
    "TGA": File(encoded(COLORS[LABELS], "TGA"), "TGA|not a known image file"),
    "JPEG 2000": File(encoded(COLORS[LABELS], "JPEG2000"), "JPEG 2000|not a known image file"),
    "16-bit RGBA": File(raw_png(np.dstack([*[STORED] * 3, LABELS * 0 + 65535]), 16, 6), "16-bit colour PNG"),
    # -- several pictures in a file
    "APNG": File(pages("PNG"), "APNG file, animated"),
    "TIFF of two pages": File(pages("TIFF"), "TIFF file, of several pages"),
    "animated GIF": File(pages("GIF"), "GIF"),
    "animated WebP": File(pages("WEBP", lossless=True), "WebP|WEBP"),
    # -- what is no picture
    "npy": File(saved_array(LABELS), "a NumPy array is not read"),
    "npz": File(archive(), r"a zip file \(.npz\) is not read"),
    "mat": File(b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + b" " * 200, "a MATLAB file is not read"),
    "mat, newer": File(b"\x89HDF\r\n\x1a\n" + b"\0" * 200, "an HDF5 file|a HDF5"),
    "one-hot in three channels": File(encoded(ONE_HOT), "unknown colours"),
    "one-hot in white": File(encoded(ONE_HOT * 255), "unknown colours"),
    # -- sets
    "ADE20K, full annotation": File(encoded(ADE_FULL), "unknown colours"),
    "ADE20K, scene parsing": File(encoded(ADE_FILE.astype("u1")), ADE_FILE, None, ADE),
    "Cityscapes trainIds": File(encoded(TRAIN_IDS.astype("u1")), CITY_LABELS, None, CITY),
    "Cityscapes labelIds": File(encoded(LABEL_IDS.astype("u1")), CITY_LABELS, None, CITY_LABEL_IDS),
    "Cityscapes labelIds, trainIds said": File(encoded(LABEL_IDS.astype("u1")), r"2\d.* out of range", None, CITY),
    "Cityscapes colours": File(encoded(np.array(CITY.palette, "u1")[CITY_LABELS]), CITY_LABELS, None, CITY),
    "COCO-Stuff with 255": File(encoded(STUFF.astype("u1")), np.where(STUFF == 255, 0, STUFF + 1), None, COCO),
    "never 0, and void's id": File(
        encoded(np.where(LABELS == VOID, 1, LABELS + 1).astype("u1")),
        r"ids_from_0 .* building .* ids_from_1 .* sky .*reading=|hold 1..4 and never 0: ids that start at 1",
    ),
    "never 0, and void's id, from 0": File(
        encoded(np.where(LABELS == VOID, 1, LABELS + 1).astype("u1")),
        np.where(LABELS == VOID, 1, LABELS + 1),
        "ids_from_0",
    ),
    "never 0, and void's id, from 1": File(
        encoded(np.where(LABELS == VOID, 1, LABELS + 1).astype("u1")),
        np.where(LABELS == VOID, 0, LABELS),
        "ids_from_1",
    ),
    "never 0, and void's id, says so": File(
        ids_file(np.where(LABELS == 0, 1, LABELS)), np.where(LABELS == 0, 1, LABELS)
    ),
    "CMP, ids from 1": File(encoded((CMP_LABELS + 1).astype("u1")), CMP_LABELS, None, CMP),
    "CMP, no background": File(
        encoded(np.where(CMP_LABELS == 0, 2, CMP_LABELS + 1).astype("u1")),
        np.where(CMP_LABELS == 0, 1, CMP_LABELS),
        None,
        CMP,
    ),
    "CMP, 0 and 255": File(
        encoded(np.select([CMP_LABELS == 0, CMP_LABELS == 1], [0, 255], CMP_LABELS + 1).astype("u1")),
        np.where(CMP_LABELS < 2, 6, CMP_LABELS),
        None,
        CMP,
    ),
    "CMP, palette in Pascal VOC's order": File(paletted(CMP_LABELS + 1, VOC), CMP_LABELS, None, CMP),
    "CMP, class ids that say so": File(ids_file(CMP_LABELS), CMP_LABELS, None, CMP),
    "CMP, class ids, asked": File(encoded(CMP_LABELS.astype("u1")), CMP_LABELS, "ids_from_0", CMP),
    "CVAT, ids in red": File(encoded(np.dstack([STORED, LABELS * 0, LABELS * 0]).astype("u1")), LABELS),
    "truncated": File(encoded(STORED.astype("u1"))[:-30], "truncated"),
}

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What uploads may be: every limit with its unit, and image files that are checked before a pixel is decoded."""

import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from ...image_processing_parts import check_parts
from ...image_processing_photos import check_single, foreign_kind, upright_rgb


MAX_FILE_BYTES = 20_000_000  # of one image file
MAX_PIXELS = 25_000_000  # of one image; decoding label colours needs about 50 bytes per pixel
MAX_COLORS = 100_000  # different colours of a label map; a photo has more
MAX_UNMATCHED_PIXELS = 250_000  # without a class's colour; looking at their neighbours needs 2 kB for each
LISTED_COLORS = 20  # of the unmatched ones

MAX_TABLE_BYTES = 256_000  # of a colour table
MAX_TABLE_ROWS = 4096  # colours

MAX_ARCHIVE_BYTES = 100_000_000  # of a zip file
MAX_DIRECTORY_BYTES = 500_000  # of a zip file's list of entries
MAX_ENTRIES = 1000  # in a zip file
MAX_UNPACKED_BYTES = 200_000_000  # of all entries together
MAX_RATIO = 100  # bytes unpacked per byte packed; images are packed already
MAX_PAIRS = 64  # photos with label maps
MAX_ARCHIVE_PIXELS = 40_000_000  # of all photos together; a pair needs 11 bytes per pixel

MAX_REQUEST_BYTES = 5_000_000  # of a request that is no upload; a painted map is the largest
MAX_VALUES = 200_000  # in such a request; each is looked at while everybody waits
MAX_BODIES_BYTES = 50_000_000  # of such requests of one visitor that arrive at a time
MAX_ALL_BODIES_BYTES = 400_000_000  # all visitors together, likewise
BODY_SECONDS = 60  # that such a request may take to arrive
MAX_OPEN = 250  # requests of one visitor at a time; each tab of a browser keeps one or two open
MAX_ALL_OPEN = 5000  # all visitors together, likewise
MAX_REQUEST_FILES = 32  # of one upload; the page sends one or a few
FILE_BYTES = 4096  # that a file counts at least: it takes a block of the disk, and a folder
MAX_VISITOR_BYTES = 400_000_000  # that one visitor may upload within STORED_SECONDS
MAX_UPLOADED_BYTES = 2_000_000_000  # all visitors together, likewise
MAX_STORED_BYTES = 4_000_000_000  # of uploads and results on the disk
STORED_SECONDS = 3600  # files that were made or uploaded are deleted after it
MAX_WAITING = 128  # requests in the queue, all visitors together
MAX_VISITOR_WAITING = 64  # of one visitor among them

MAX_CARD_BYTES = 256_000  # of a model card; what comes after it is not shown
MAX_CONFIG_BYTES = 1_000_000  # of a JSON file of a checkpoint
MAX_REPOSITORY_FILES = 5000  # of a model's repository

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP")
KNOWN_FORMATS = (*PHOTO_FORMATS, "GIF", "BMP", "TIFF")  # Pillow tries no other on an upload
Upload = str | os.PathLike | BinaryIO

_LOCK = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Decoding: it takes memory, and to keep warnings off the log changes global state."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def upload_name(file: Upload, name: str | None = None) -> str:
    """What messages call a file: its name without folder, printable, not longer than a line."""
    if name is None:
        name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else "the file"
    stem = re.sub(r"[^\w .,()+#@=-]", "_", re.split(r"[/\\]", str(name))[-1][-1000:]).strip()
    return stem if len(stem) <= 80 else f"{stem[:60]}...{stem[-16:]}"


def read_upload(file: Upload, name: str, limit: int, remedy: str) -> bytes:
    """The bytes of a path or binary file object, never more than the limit.

    Args:
        file: what to read.
        name: what messages call it.
        limit: bytes.
        remedy: what to do about a larger file.

    Raises:
        ValueError: missing, empty or too large.
    """
    try:
        if isinstance(file, (str, os.PathLike)):
            with Path(file).open("rb") as stream:
                data = stream.read(limit + 1)
        else:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ValueError(f"{name}: cannot be read; upload it again") from error
    if not data:
        raise ValueError(f"{name}: the file is empty; upload it again")
    if len(data) > limit:
        raise ValueError(f"{name}: larger than the {megabytes(limit)} that are read; {remedy}")
    return data


def megabytes(count: int) -> str:
    """Bytes in the unit that file managers show."""
    return f"{count / 1e6:g} MB" if count >= 1e6 else f"{count / 1e3:g} kB"


def open_header(data: bytes, name: str) -> Image.Image:
    """Find out what an image file is by its content; no pixel is decoded.

    Returns:
        The opened image; `format` is one of KNOWN_FORMATS, width times height at most MAX_PIXELS.

    Raises:
        ValueError: no image, cut off in its header, or too many pixels.
    """
    if data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise ValueError(f"{name}: a text file (HTML, SVG or XML), whatever its name says; export it as PNG")
    check_parts(io.BytesIO(data), name)
    try:
        with one_at_a_time():
            image = Image.open(io.BytesIO(data), formats=KNOWN_FORMATS)
    except Image.DecompressionBombError:
        raise ValueError(
            f"{name}: far more pixels than the {MAX_PIXELS:,} that are read; scale it down (label maps: nearest "
            "neighbour)"
        ) from None
    except UnidentifiedImageError:
        kind = foreign_kind(io.BytesIO(data))
        if kind is not None:
            raise ValueError(f"{name}: {kind} is not read, not a known image file; save it as PNG or JPEG") from None
        raise ValueError(f"{name}: not a known image file, or cut off in its header; save it again") from None
    except Exception as error:  # Pillow raises nearly everything on damaged files
        raise damaged(name, error) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name}: {width} × {height} pixels; at most {MAX_PIXELS:,} are read, scale it down (label maps: nearest "
            "neighbour)"
        )
    check_single(image, name)
    if image.format == "MPO":  # a JPEG with more pictures behind it, as telephones write them
        image.format = "JPEG"
    return image


def load_pixels(image: Image.Image, name: str) -> Image.Image:
    """Decode an opened image, or raise a ValueError with one line for the visitor."""
    try:
        with one_at_a_time():
            image.load()
    except Exception as error:  # as above
        raise damaged(name, error) from error
    return image


def damaged(name: str, error: Exception) -> ValueError:
    """Pillow's error as one line with a remedy."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if "MAX_TEXT" in reason or "Decompressed data too large" in reason or "text chunks" in reason:
        return ValueError(f"{name}: unpacks to far more text than an image needs; save it without metadata")
    return ValueError(f"{name}: truncated or damaged image ({reason[:120]}); save it again")


def check_photo(file: Upload, name: str | None = None) -> Image.Image:
    """Read an uploaded photo: JPEG, PNG or WebP by content, turned upright.

    Args:
        file: path or binary file object.
        name: what messages call a file object.

    Returns:
        The photo, mode RGB, at its own size.

    Raises:
        ValueError: no such image, damaged, or beyond MAX_FILE_BYTES or MAX_PIXELS; one line that names the file.
    """
    name = upload_name(file, name)
    image = open_header(read_upload(file, name, MAX_FILE_BYTES, "scale it down"), name)
    if image.format not in PHOTO_FORMATS:
        raise ValueError(f"{name}: a {image.format} file; photos are read from JPEG, PNG or WebP, save it as one")
    load_pixels(image, name)
    with one_at_a_time():
        return upright_rgb(image, name, in_place=True)  # a copy of a large photo takes 100 MB


__all__ = [
    "BODY_SECONDS",
    "FILE_BYTES",
    "LISTED_COLORS",
    "MAX_ALL_BODIES_BYTES",
    "MAX_ALL_OPEN",
    "MAX_ARCHIVE_BYTES",
    "MAX_ARCHIVE_PIXELS",
    "MAX_BODIES_BYTES",
    "MAX_CARD_BYTES",
    "MAX_COLORS",
    "MAX_CONFIG_BYTES",
    "MAX_DIRECTORY_BYTES",
    "MAX_ENTRIES",
    "MAX_FILE_BYTES",
    "MAX_OPEN",
    "MAX_PAIRS",
    "MAX_PIXELS",
    "MAX_RATIO",
    "MAX_REPOSITORY_FILES",
    "MAX_REQUEST_BYTES",
    "MAX_REQUEST_FILES",
    "MAX_STORED_BYTES",
    "MAX_TABLE_BYTES",
    "MAX_TABLE_ROWS",
    "MAX_UNMATCHED_PIXELS",
    "MAX_UNPACKED_BYTES",
    "MAX_UPLOADED_BYTES",
    "MAX_VALUES",
    "MAX_VISITOR_BYTES",
    "MAX_VISITOR_WAITING",
    "MAX_WAITING",
    "STORED_SECONDS",
    "Upload",
    "check_photo",
    "load_pixels",
    "megabytes",
    "one_at_a_time",
    "open_header",
    "read_upload",
    "upload_name",
]

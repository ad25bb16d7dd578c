# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The JSON of outlines, of a whole set (COCO) or of one picture (Labelme): bounded, and only what is drawn is kept.

Python's objects take ten times the bytes of the text they come from. So files are asked for their length and for how
many lists and objects they hold before they are parsed; what nobody reads (Labelme's copy of the photo) goes as soon
as its object ends, and long lists of numbers become arrays.
"""

import json
from array import array
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from .foreign_files import MAX_TEXT_BYTES, check_file, read_text


MAX_SET_BYTES = 640 * 2**20  # of the JSON of a whole set; that of COCO 2017 has 448 MB
MAX_PICTURE_BYTES = MAX_TEXT_BYTES  # of the JSON of one picture, with the picture inside
MAX_CONTAINERS = 8_000_000  # lists and objects of a file; COCO 2017 has 5 million
MAX_ENTRIES = 150_000_000  # numbers, texts and keys; it has 90 million
HEAD_BYTES = 2**20  # at the start of a file, where it says what it is

COCO_KEYS = frozenset(
    "images annotations categories id file_name height width name image_id category_id segmentation area size counts "
    "segments_info iscrowd bbox".split()
)
LABELME_KEYS = frozenset("imagePath imageHeight imageWidth shapes label points shape_type mask".split())
NUMBERS = frozenset(("segmentation", "counts"))  # whose lists of numbers are long


def head_of(path: Path) -> bytes:
    """The first bytes of a file; OSError if it cannot be read."""
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def read_outline_json(path: Path, keys: Collection[str], most_bytes: int) -> Any:
    """Parse a file of outlines.

    Args:
        path: the file.
        keys: of its objects that are kept.
        most_bytes: that it may have.

    Returns:
        What it holds; None for a file that is no JSON.

    Raises:
        ValueError: longer, or with more entries, than such files are; one line that names the file.
        OSError: it cannot be read.
    """
    size = check_file(path).stat().st_size
    if size > most_bytes:
        raise ValueError(
            f"{path}: {size / 2**20:,.0f} MB of JSON, and {most_bytes // 2**20} MB are read: split the set into "
            "parts, or save masks as PNG files"
        )
    try:
        text = read_text(path, most_bytes)
    except UnicodeDecodeError:
        return None
    _check_entries(path, text)
    try:
        return json.loads(text, object_pairs_hook=partial(_kept, keys))
    except (ValueError, RecursionError):
        return None


def _check_entries(path: Path, text: str) -> None:
    for count, most, what in (
        (text.count("[") + text.count("{"), MAX_CONTAINERS, "lists and objects"),
        (text.count(","), MAX_ENTRIES, "entries"),
    ):
        if count > most:
            raise ValueError(
                f"{path}: {count:,} {what}, and {most:,} are read: split the set into parts, or save masks as PNG "
                "files"
            )


def _kept(keys: Collection[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without what nobody reads."""
    return {key: _packed(value) if key in NUMBERS else value for key, value in pairs if key in keys}


def _packed(value: Any) -> Any:
    """Polygons and run lengths as arrays: 8 bytes a number instead of 32. What is odd stays as it is."""
    if not isinstance(value, list) or not value:
        return value
    if isinstance(value[0], list):
        return [_packed(part) for part in value] if all(isinstance(part, list) for part in value) else value
    kinds = set(map(type, value))
    if not kinds <= {int, float}:
        return value
    try:
        return array("q" if kinds == {int} else "d", value)
    except OverflowError:
        return value


__all__ = [
    "COCO_KEYS",
    "LABELME_KEYS",
    "MAX_PICTURE_BYTES",
    "MAX_SET_BYTES",
    "head_of",
    "read_outline_json",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Of how many parts a picture's file is made: each costs time, whatever the pixels, before and while it is decoded."""

import os
import re
from typing import Any, BinaryIO, Literal


MAX_CHUNKS = 20_000  # of a PNG; programs write some kilobytes into each
MAX_SCANS = 24  # of a JPEG; each goes over all pixels
MAX_STRIPS = 20_000  # of a TIFF; the tallest picture with a strip for each row has fewer, or is no photo
MAX_JPEG_BYTES = 200_000_000  # four for each pixel of the largest
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that say how a picture is coded
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class TooManyPartsError(ValueError):
    """A file that would take far longer to decode than its pixels do."""


def check_parts(file: Any, source: str) -> None:
    """Refuse a picture of far more parts than programs write.

    Args:
        file: a path, or a seekable binary file object, which is left at its start.
        source: what errors call it.

    Raises:
        TooManyPartsError: more than MAX_CHUNKS in a PNG, MAX_SCANS or MAX_JPEG_BYTES in a JPEG, MAX_STRIPS in a TIFF.
        OSError: it cannot be read.
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as stream:
            return check_parts(stream, source)
    file.seek(0)
    head = file.read(4)
    if head == b"\x89PNG" and _chunks(file) > MAX_CHUNKS:
        raise TooManyPartsError(f"{source}: a PNG of more than {MAX_CHUNKS:,} parts; save it again")
    if head[:2] == b"\xff\xd8":
        data = head + file.read(MAX_JPEG_BYTES)
        if len(data) > MAX_JPEG_BYTES:
            raise TooManyPartsError(f"{source}: a JPEG of more than {MAX_JPEG_BYTES // 10**6} MB; save it again")
        if _scans(data) > MAX_SCANS:
            raise TooManyPartsError(
                f"{source}: a JPEG of more than {MAX_SCANS} scans, and real ones have about ten, or of more than "
                f"{MAX_CHUNKS:,} parts; save it again"
            )
    if head[:2] in (b"II", b"MM") and _strips(file) > MAX_STRIPS:
        raise TooManyPartsError(f"{source}: a TIFF of more than {MAX_STRIPS:,} strips or tiles; save it as PNG")
    file.seek(0)
    return None


def _strips(file: BinaryIO) -> int:
    """Strips or tiles of the first picture of a TIFF; 0 for what is none."""
    file.seek(0)
    head = file.read(16)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"

    def number(data: bytes) -> int:
        return int.from_bytes(data, order)

    is_big = number(head[2:4]) == 43
    file.seek(min(number(head[8:16] if is_big else head[4:8]), 2**62))
    wide = 8 if is_big else 4
    entries = min(number(file.read(8 if is_big else 2)), 2**16)
    data = file.read(entries * (4 + 2 * wide))
    counts = [0]
    for place in range(0, len(data), 4 + 2 * wide):
        if number(data[place : place + 2]) in (273, 324):  # where strips, and tiles, begin
            counts.append(number(data[place + 4 : place + 4 + wide]))
    return max(counts)


def _chunks(file: BinaryIO) -> int:
    """Chunks of a PNG, whose contents are not read; stops behind MAX_CHUNKS."""
    parts, place = 0, 8
    while parts <= MAX_CHUNKS:
        file.seek(place)
        length = file.read(4)
        if len(length) < 4:
            break
        place += 12 + int.from_bytes(length, "big")
        parts += 1
    return parts


def _scans(data: bytes) -> int:
    """Scans that are decoded of the first picture of a JPEG file; stops behind MAX_SCANS or MAX_CHUNKS."""
    place = scans = components = markers = 0
    is_progressive = True
    while scans <= MAX_SCANS and (found := JPEG_MARKER.search(data, place)) is not None:
        kind, place, markers = data[found.end() - 1], found.end(), markers + 1
        if markers > MAX_CHUNKS:
            return MAX_SCANS + 1
        if kind == 0xD9:  # the end
            break
        if kind in FRAMES and place + 8 <= len(data):
            is_progressive, components = kind & 3 == 2, data[place + 7]
        if kind == 0xDA:
            scans += 1
            if not is_progressive and data[place + 2 : place + 3] >= bytes([components]):
                break  # all is in this one, and no other is looked at: most photos
        if kind not in (0x01, 0xD8):  # these have no content
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return scans


__all__ = ["MAX_CHUNKS", "MAX_JPEG_BYTES", "MAX_SCANS", "MAX_STRIPS", "TooManyPartsError", "check_parts"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Files as people send them, good and hostile, and the one line that answers a bad one."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


NAMES = {0: "sky", 1: "building", 2: "road", 3: "pedestrian", 4: "void"}
PALETTE = [[128, 128, 128], [128, 0, 0], [128, 64, 128], [64, 0, 128], [0, 0, 0]]
COLORS = np.array(PALETTE, dtype=np.uint8)


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


def pack(entries: dict[str, bytes] | list[tuple], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file; names may be ZipInfo objects."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, data)
    return stream.getvalue()

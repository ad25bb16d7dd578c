# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Zip files of visitors: checked by their list of entries, and read in memory; nothing is unpacked to a disk."""

import io
import re
import stat
import struct
import zipfile

from .limits import (
    MAX_DIRECTORY_BYTES,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_RATIO,
    MAX_UNPACKED_BYTES,
    megabytes,
    upload_name,
)


END_RECORD = 22  # bytes, without the comment
LOCAL_HEADER = 30  # bytes, without name and extra field


def open_archive(data: bytes, name: str) -> zipfile.ZipFile:
    """Open a zip file.

    Args:
        data: all of it.
        name: what messages call it.

    Raises:
        ValueError: no zip file, or one that is dangerous, damaged or beyond the limits; one line.
    """
    _check_directory(data, name)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # zipfile raises nearly everything on damaged files
        raise ValueError(f"{name}: damaged zip file; pack it again") from error
    _check_entries(archive, name)
    return archive


def _check_directory(data: bytes, name: str) -> None:
    """Refuse what is no zip file, and a list of entries that is too long to be read."""
    if not data.startswith(b"PK"):
        raise ValueError(f"{name}: not a zip file; pack the images as .zip")
    start = len(data) - END_RECORD  # where `zipfile` looks first, and then in the last 64 kB
    if start < 0 or data[start : start + 4] != b"PK\5\6" or data[-2:] != b"\0\0":
        start = data.rfind(b"PK\5\6", max(0, len(data) - END_RECORD - 65535))
    if start < 0 or start + END_RECORD > len(data):
        raise ValueError(f"{name}: a zip file that is cut off or damaged; pack or upload it again")
    if data[max(0, start - 20) : start].startswith(b"PK\6\7"):
        raise ValueError(f"{name}: a Zip64 file, which only very large archives need; pack fewer images")
    (size,) = struct.unpack("<I", data[start + 12 : start + 16])
    if size > MAX_DIRECTORY_BYTES:
        raise ValueError(f"{name}: its list of files has {size:,} bytes; pack at most {MAX_ENTRIES:,} files")


def _check_entries(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse archives that are made to do harm; all by their list of entries, before one is unpacked."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise ValueError(f"{name}: {len(infos):,} entries; pack at most {MAX_ENTRIES:,}")
    seen: set[str] = set()
    for info in infos:
        reason = _danger(info) or ("stands in it twice" if info.orig_filename in seen else "")
        if reason:
            raise ValueError(f"{name}: the entry {upload_name(info.orig_filename)!r} {reason}; pack plain files again")
        seen.add(info.orig_filename)
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise ValueError(f"{name}: unpacks to more than {megabytes(MAX_UNPACKED_BYTES)}; pack fewer images")
    infos = sorted(infos, key=lambda info: info.header_offset)
    starts = [*(info.header_offset for info in infos), archive.start_dir]
    for info, end in zip(infos, starts[1:], strict=True):
        if info.header_offset + LOCAL_HEADER + info.compress_size > end:
            raise ValueError(f"{name}: the entry {upload_name(info.orig_filename)!r} overlaps another; pack it again")


def _danger(info: zipfile.ZipInfo) -> str:
    """Why an entry is not touched; empty if it may be."""
    path, mode = info.orig_filename, info.external_attr >> 16
    if "\0" in path or "\\" in path or path.startswith("/") or re.match("[A-Za-z]:", path) or ".." in path.split("/"):
        return "has a name that leads out of the archive"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by an unusual method"
    if info.file_size > MAX_RATIO * max(info.compress_size, 1000):
        return f"unpacks to more than {MAX_RATIO} times its size"
    return ""


class Unpacker:
    """Unpacks entries into memory and counts what really comes, whatever their headers say.

    Args:
        name: of the archive.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.left = MAX_UNPACKED_BYTES

    def read(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
        """The bytes of one entry, or a ValueError."""
        entry = upload_name(info.filename)
        try:
            with archive.open(info) as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except Exception as error:  # zipfile raises nearly everything on damaged files
            raise ValueError(f"{self.name}: the entry {entry!r} is damaged; pack it again") from error
        self.left -= len(data)
        if len(data) > MAX_FILE_BYTES or self.left < 0:
            limits = f"{megabytes(MAX_FILE_BYTES)} a file and {megabytes(MAX_UNPACKED_BYTES)} in all"
            raise ValueError(f"{self.name}: the entry {entry!r} is beyond {limits}; scale it down")
        return data


__all__ = ["Unpacker", "open_archive"]

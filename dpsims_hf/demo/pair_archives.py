# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Uploaded zip files of photos with label maps; read in memory entry by entry, nothing is ever unpacked to a disk."""

import io
import re
import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from ..image_processing_files import listing
from ..image_processing_semantic import SemanticImageProcessor
from .label_files import read_label_file
from .limits import (
    MAX_ARCHIVE_BYTES,
    MAX_ARCHIVE_PIXELS,
    MAX_DIRECTORY_BYTES,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_PAIRS,
    MAX_RATIO,
    MAX_UNPACKED_BYTES,
    Upload,
    check_photo,
    megabytes,
    open_header,
    read_upload,
    upload_name,
)


PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
LAYOUT = "images/NAME.jpg (or .png) with labels/NAME.png, or NAME.jpg with NAME.png"
END_RECORD = 22  # bytes, without the comment
LOCAL_HEADER = 30  # bytes, without name and extra field


@dataclass(frozen=True)
class Pair:
    """A photo with its label map.

    Args:
        name: of both files, without folder and suffix.
        photo: RGB, upright.
        label_map: (height, width) int64, the model's class ids, at the photo's size.
    """

    name: str
    photo: Image.Image
    label_map: np.ndarray


def read_pairs(
    file: Upload,
    processor: SemanticImageProcessor,
    space: str | None = None,
    color_table: Upload | None = None,
    name: str | None = None,
) -> list[Pair]:
    """Read a zip file of photos with label maps.

    Args:
        file: path or binary file object. Entries: `images/NAME.jpg` or `.png` with `labels/NAME.png`, in the root or
            in one folder (`val/images`); or `NAME.jpg` with `NAME.png` in one folder. Other files are ignored.
        processor: the model's.
        space: as in `read_label_file`.
        color_table: as in `read_label_file`; a path, or bytes in a seekable file object.
        name: what messages call a file object.

    Returns:
        The pairs, sorted by name; at least one.

    Raises:
        ValueError: no zip file, one that is dangerous, damaged or beyond the limits, or photos and label maps that do
            not fit; one line that names the file.
    """
    name = upload_name(file, name)
    data = read_upload(file, name, MAX_ARCHIVE_BYTES, "pack fewer or smaller images")
    _check_directory(data, name)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # zipfile raises nearly everything on damaged files
        raise ValueError(f"{name}: damaged zip file; pack it again") from error
    with archive:
        _check_entries(archive, name)
        partners = _partners(archive, name)
        pairs, pixels, budget = [], 0, _Budget(name)
        for stem, (photo_info, label_info) in sorted(partners.items()):
            photo_data, photo_name = budget.read(archive, photo_info), upload_name(photo_info.filename)
            width, height = open_header(photo_data, f"{name}, {photo_name}").size
            pixels += width * height
            if pixels > MAX_ARCHIVE_PIXELS:
                raise ValueError(f"{name}: photos of more than {MAX_ARCHIVE_PIXELS:,} pixels together; pack fewer")
            photo = check_photo(io.BytesIO(photo_data), f"{name}, {photo_name}")
            label_data = io.BytesIO(budget.read(archive, label_info))
            if hasattr(color_table, "seek"):
                color_table.seek(0)
            label_name = f"{name}, {upload_name(label_info.filename)}"
            label_map = read_label_file(label_data, processor, space, color_table, label_name).label_map
            if label_map.shape != (photo.height, photo.width):
                sizes = f"{photo.width} × {photo.height}, its label map {label_map.shape[1]} × {label_map.shape[0]}"
                raise ValueError(f"{name}: the photo {photo_name} has {sizes} pixels; make them the same size")
            pairs.append(Pair(upload_name(stem), photo, label_map))
    return pairs


def _check_directory(data: bytes, name: str) -> None:
    """Refuse what is no zip file, and a list of entries that is too long to be read."""
    if not data.startswith(b"PK"):
        raise ValueError(f"{name}: no zip file; pack the images as .zip")
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


def _partners(archive: zipfile.ZipFile, name: str) -> dict[str, tuple[zipfile.ZipInfo, zipfile.ZipInfo]]:
    """Photo and label map by their common name."""
    paths = {info: PurePosixPath(info.filename) for info in archive.infolist() if not info.is_dir()}
    paths = {info: p for info, p in paths.items() if not any(s.startswith(".") or s == "__MACOSX" for s in p.parts)}
    paths = {info: path for info, path in paths.items() if path.suffix.lower() in PHOTO_SUFFIXES}
    in_folders = {info: p for info, p in paths.items() if p.parent.name.lower() in ("images", "labels")}
    photos: dict[str, zipfile.ZipInfo] = {}
    labels: dict[str, zipfile.ZipInfo] = {}
    for info, path in (in_folders or paths).items():
        folder, suffix = path.parent.name.lower(), path.suffix.lower()
        is_label = folder == "labels" if in_folders else suffix == ".png"
        if (labels if is_label else photos).setdefault(path.stem, info) is not info:
            kind = "label maps" if is_label else "photos"
            raise ValueError(f"{name}: two {kind} are called {upload_name(path.stem)!r}; pack one folder of each kind")
    _check_partners(photos, labels, name)
    return {stem: (info, labels[stem]) for stem, info in photos.items()}


def _check_partners(photos: dict, labels: dict, name: str) -> None:
    if not photos and not labels:
        raise ValueError(f"{name}: no photos with label maps in it; expected {LAYOUT}")
    for these, others, kind, other in (photos, labels, "photo", "label map"), (labels, photos, "label map", "photo"):
        alone = [upload_name(these[stem].filename) for stem in sorted(these.keys() - others.keys())]
        if alone:
            raise ValueError(f"{name}: no {other} for the {kind} {listing(alone, limit=5)}; expected {LAYOUT}")
    if len(photos) > MAX_PAIRS:
        raise ValueError(f"{name}: {len(photos)} pairs; at most {MAX_PAIRS} are read, pack fewer")


class _Budget:
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
        except Exception as error:  # as above
            raise ValueError(f"{self.name}: the entry {entry!r} is damaged; pack it again") from error
        self.left -= len(data)
        if len(data) > MAX_FILE_BYTES or self.left < 0:
            limits = f"{megabytes(MAX_FILE_BYTES)} a file and {megabytes(MAX_UNPACKED_BYTES)} in all"
            raise ValueError(f"{self.name}: the entry {entry!r} is beyond {limits}; scale it down")
        return data


__all__ = ["Pair", "read_pairs"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Uploaded zip files of photos with label maps."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from ...image_processing_files import listing
from ...image_processing_semantic import SemanticImageProcessor
from .archives import Unpacker, open_archive
from .label_files import read_label_file
from .limits import (
    MAX_ARCHIVE_BYTES,
    MAX_ARCHIVE_PIXELS,
    MAX_PAIRS,
    Upload,
    check_photo,
    open_header,
    read_upload,
    upload_name,
)


PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
LAYOUT = "images/NAME.jpg (or .png) with labels/NAME.png, or NAME.jpg with NAME.png"


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
    reading: str | None = None,
) -> list[Pair]:
    """Read a zip file of photos with label maps.

    Args:
        file: path or binary file object. Entries: `images/NAME.jpg` or `.png` with `labels/NAME.png`, in the root or
            in one folder (`val/images`); or `NAME.jpg` with `NAME.png` in one folder. Other files are ignored.
        processor: the model's.
        space: as in `read_label_file`.
        color_table: as in `read_label_file`; a path, or bytes in a seekable file object.
        name: what messages call a file object.
        reading: as in `read_label_file`.

    Returns:
        The pairs, sorted by name; at least one.

    Raises:
        ValueError: no zip file, one that is dangerous, damaged or beyond the limits, or photos and label maps that do
            not fit; one line that names the file.
    """
    name = upload_name(file, name)
    data = read_upload(file, name, MAX_ARCHIVE_BYTES, "pack fewer or smaller images")
    with open_archive(data, name) as archive:
        partners = _partners(archive, name)
        pairs, pixels, budget = [], 0, Unpacker(name)
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
            label_map = read_label_file(label_data, processor, space, color_table, label_name, reading).label_map
            if label_map.shape != (photo.height, photo.width):
                sizes = f"{photo.width} × {photo.height}, its label map {label_map.shape[1]} × {label_map.shape[0]}"
                raise ValueError(f"{name}: the photo {photo_name} has {sizes} pixels; make them the same size")
            pairs.append(Pair(upload_name(stem), photo, label_map))
    if all((pair.label_map == processor.void_label_id).all() for pair in pairs):
        raise ValueError(f"{name}: no labelled pixel in any label map, all are void; check how they are saved")
    return pairs


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


__all__ = ["Pair", "read_pairs"]

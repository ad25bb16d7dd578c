# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Folders of photos with outlines: COCO's JSON, and Labelme's JSON for each photo.

Their label maps are drawn once, into a temporary folder that lives as long as the process. Class 0 is the background.
"""

import hashlib
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ...configuration_rules import shown
from ...image_processing_files import listing
from ...image_processing_label_files import save_ids
from ..encodings.class_tables import ClassRow, find_class_table, label_fields, rows_of_file
from ..encodings.labels import IDS
from ..specs import SPEC_FILE, DatasetSpec
from .foreign_files import NAME, check_file
from .mask_layouts import Found, Splits, folders_of
from .outline_json import COCO_KEYS, LABELME_KEYS, MAX_PICTURE_BYTES, MAX_SET_BYTES, head_of, read_outline_json
from .polygons import BACKGROUND, draw_coco, draw_labelme
from .source_files import SourceFiles


# What odd JSON makes of code that expects an honest one; memory that is not there, too.
SURPRISES = (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError)


def _is_plain(path: Path) -> bool:
    """Whether it is a file whose name is a line of text; other folders may hold anything."""
    return NAME.accepts(path.name) and path.is_file()


def _coco(path: Path) -> Any:
    """What a JSON of a whole set says; None if it cannot be read."""
    try:
        return None if not _is_plain(path) else read_outline_json(path, COCO_KEYS, MAX_SET_BYTES)
    except OSError:
        return None


def _labelme(path: Path) -> Any:
    """What a JSON of one picture says, without the picture; None for a file of anything else."""
    try:
        if not _is_plain(path) or not any(word in head_of(path) for word in (b'"shapes"', b'"imagePath"')):
            return None
        return read_outline_json(path, LABELME_KEYS, MAX_PICTURE_BYTES)
    except OSError:
        return None


def _coco_files(root: Path) -> dict[str, Path]:
    """Split -> COCO JSON: annotations/instances_train2017.json, train/_annotations.coco.json, or one in the folder."""
    found: dict[str, Path] = {}
    for folder in (root, root / "annotations", *folders_of(root)):
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            if path.name == SPEC_FILE or path.name.startswith(("captions", "person_keypoints", "panoptic")):
                continue
            if not path.is_file():
                continue
            head = head_of(path)
            if b'"annotations"' not in head and b'"categories"' not in head and b'"images"' not in head:
                continue
            by_name = next((word for word in ("train", "valid", "val", "test") if word in path.stem), None)
            split = by_name if by_name else folder.name if folder not in (root, root / "annotations") else "train"
            found.setdefault({"valid": "val"}.get(split, split), path)
    return found


def is_coco(root: Path) -> bool:
    return any(_is_coco_content(_coco(path)) for path in _coco_files(root).values())


def _is_coco_content(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    )


def one_line_errors(read: Callable[[Path, DatasetSpec | None], Found]) -> Callable[[Path, DatasetSpec | None], Found]:
    """A reader of other people's JSON whose surprises are ValueErrors of one line."""

    @wraps(read)
    def reader(root: Path, spec: DatasetSpec | None) -> Found:
        try:
            return read(root, spec)
        except SURPRISES as error:
            reason = " ".join(str(error).split())[:120]
            raise ValueError(f"{root}: its outlines cannot be read ({type(error).__name__}: {reason})") from None

    return reader


@one_line_errors
def read_coco(root: Path, spec: DatasetSpec | None) -> Found:
    """COCO's JSON with outlines; photos beside it, in images/, or in a folder of the split's name."""
    contents = {split: (path, _coco(path)) for split, path in _coco_files(root).items()}
    contents = {split: pair for split, pair in contents.items() if _is_coco_content(pair[1])}
    names = {c["id"]: str(c["name"]) for _, content in contents.values() for c in content["categories"]}
    used = {a["category_id"] for _, content in contents.values() for a in content["annotations"]}
    names = {number: name for number, name in sorted(names.items()) if number in used or name != BACKGROUND}
    labels = [BACKGROUND, *dict.fromkeys(name for name in names.values() if name != BACKGROUND)]
    spec = _outline_spec(root, spec, labels)
    ids = {number: _id_of(name, spec) for number, name in names.items()}
    splits: Splits = {}
    for split, (path, content) in contents.items():
        by_image: dict[Any, list[Any]] = {}
        for annotation in content["annotations"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
        places = [path.parent, root, root / "images", root / split, root / "images" / split, root / f"{split}2017"]
        places.append(root / "images" / f"{split}2017")
        splits[split] = [
            _drawn(
                _photo_of(str(image["file_name"]), places, path),
                path,
                partial(draw_coco, (image["height"], image["width"]), by_image.get(image["id"], []), ids),
            )
            for image in tqdm(content["images"], desc=f"drawing {split}", leave=False)
        ]
    return spec, splits


def _labelme_files(root: Path) -> dict[str, list[Path]]:
    """Split -> Labelme JSON files."""
    found = {}
    for name, folder in {"train": root, **{folder.name: folder for folder in folders_of(root)}}.items():
        files = [path for path in sorted(folder.glob("*.json")) if _is_labelme_content(_labelme(path))]
        if files:
            found[name] = files
    return found


def _is_labelme_content(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def is_labelme(root: Path) -> bool:
    folders = (root, *folders_of(root))
    first = [next(iter(sorted(p for p in folder.glob("*.json") if p.name != SPEC_FILE)), None) for folder in folders]
    return any(path is not None and _is_labelme_content(_labelme(path)) for path in first)


@one_line_errors
def read_labelme(root: Path, spec: DatasetSpec | None) -> Found:
    """One JSON per photo, beside it."""
    files = _labelme_files(root)
    if len(files) > 1 and set(files) - {"train"} and files.get("train", [root])[0].parent == root:
        files.pop("train", None)
    contents = {path: _labelme(path) for paths in files.values() for path in paths}
    labels = sorted({str(shape.get("label")) for content in contents.values() for shape in content["shapes"]})
    table = find_class_table(root)
    listed = [row.name for row in rows_of_file(table) or []] if table else []
    labels = [name for name in (listed or labels) if name not in ("__ignore__", "_background_", BACKGROUND)]
    spec = _outline_spec(root, spec, [BACKGROUND, *labels])
    ids = {
        name: _id_of(name, spec) for name in {*labels, *(s["label"] for c in contents.values() for s in c["shapes"])}
    }
    splits: Splits = {}
    left_out: Counter[str] = Counter()

    def draw(path: Path) -> np.ndarray:
        label_map, without_area = draw_labelme(contents[path], ids)
        left_out.update(without_area)
        return label_map

    for split, paths in files.items():
        splits[split] = [
            _drawn(
                _photo_of(str(contents[path]["imagePath"]).replace("\\", "/"), [path.parent], path),
                path,
                partial(draw, path),
            )
            for path in tqdm(paths, desc=f"drawing {split}", leave=False)
        ]
    if left_out:
        kinds = listing([f"{count} of {kind}" for kind, count in left_out.most_common()])
        warnings.warn(f"{root}: shapes without an area are left out: {kinds}", stacklevel=2)
    return spec, splits


def _outline_spec(root: Path, spec: DatasetSpec | None, labels: list[str]) -> DatasetSpec:
    """A label space whose class 0 is the background."""
    if spec is None and (root / SPEC_FILE).is_file():
        spec = DatasetSpec.from_folder(root)
    rows = [ClassRow(f"class {i}", name) for i, name in enumerate(labels)]
    spec = spec or DatasetSpec(**label_fields(rows, root.resolve().name))
    return replace(spec, label_encoding=IDS, label_reading=None)  # drawn in ids


def _id_of(name: str, spec: DatasetSpec) -> int:
    plain = [label.casefold() for label in spec.labels]
    if name.casefold() in plain:
        return plain.index(name.casefold())
    if name.strip("_") in ("background", "ignore") or spec.void_label_id is None:
        raise ValueError(f"the class {name!r} is not one of {spec.name}: {listing(list(spec.labels))}")
    return spec.void_label_id


@cache
def _drawing_folder() -> tempfile.TemporaryDirectory:
    """Where drawn label maps lie until the process ends."""
    return tempfile.TemporaryDirectory(prefix="dpsims_outlines_")


def _photo_of(name: str, places: list[Path], source: Path) -> Path:
    """The photo that an annotation names; only its last part counts outside of the given folders."""
    relative = Path(name)
    for part in (relative, Path(relative.name)):
        if part.is_absolute() or ".." in part.parts:
            continue
        found = next((place / part for place in places if os.path.isfile(place / part)), None)
        if found is not None:
            return check_file(found)
    name = shown(relative.name[:100])
    raise ValueError(f"{source}: its photo {name} is not there; put the photos beside it, or in images/")


def _drawn(photo: Path, source: Path, draw: Callable[[], np.ndarray]) -> SourceFiles:
    """A photo with the label map that is drawn for it."""
    key = hashlib.sha256(f"{source.resolve()}\n{photo.resolve()}".encode()).hexdigest()[:16]
    path = Path(_drawing_folder().name) / f"{photo.stem}_{key}.png"  # photos of two folders may share their names
    try:
        label_map = draw()
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{source}, {photo.name}: {' '.join(str(error).split())}") from None
    save_ids(label_map, path)
    return SourceFiles(photo.stem, photo, path)


__all__ = ["is_coco", "is_labelme", "read_coco", "read_labelme"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Folders of photos and masks as annotation tools write them: Pascal VOC (CVAT, labelme2voc), Roboflow's masks, and
photos beside masks in one folder or two.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ...image_processing_files import default_palette, listing
from ..encodings.class_tables import ClassRow, find_class_table, label_fields
from ..specs import SPEC_FILE, DatasetSpec
from .foreign_files import check_file, read_text
from .source_files import LABEL_SUFFIXES, PHOTO_SUFFIXES, SourceFiles


LABEL_FOLDERS = ("masks", "labels", "annotations", "mask", "label", "gt", "segmentation", "SegmentationClass")
LABEL_ENDINGS = ("_mask", "_label", "_labels", "_seg", "_segmentation", "_gt", "_L", "_annotation", "-mask", "-label")
VOC_CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()
VOC_LABELS = ("SegmentationClassPNG", "SegmentationClass", "SegmentationClassAug", "SegmentationClassRaw")

Splits = dict[str, list[SourceFiles]]
Found = tuple[DatasetSpec, Splits]


class NoClassesError(ValueError):
    """The pictures are there, but nothing says what their classes are."""


# -- finding files ----------------------------------------------------------------------------------------------------


def folders_of(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")) if path.is_dir() else []


def files_of(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    return [check_file(path) for path in found]


def _stem(path: Path) -> str:
    """Of a label file, without the endings that tools add."""
    return next((path.stem.removesuffix(end) for end in LABEL_ENDINGS if path.stem.endswith(end)), path.stem)


def _paired(photos: Iterable[Path], labels: Iterable[Path], where: Path) -> list[SourceFiles]:
    """Photos with their label maps by name.

    Raises:
        ValueError: one without the other, or two of one name.
    """
    by_stem: dict[str, Path] = {}
    photos, labels = list(photos), list(labels)
    exact = {path.stem for path in photos}
    for path in labels:
        stem = path.stem if path.stem in exact else _stem(path)
        if stem in by_stem:
            raise ValueError(
                f"{path}: a second label map for {stem}, beside {by_stem[stem].name}; keep one of the two"
            )
        by_stem[stem] = path
    found = [SourceFiles(photo.stem, photo, by_stem[photo.stem]) for photo in photos if photo.stem in by_stem]
    for alone, what in (
        ([photo.name for photo in photos if photo.stem not in by_stem], "photos without label map"),
        ([path.name for stem, path in by_stem.items() if stem not in exact], "label maps without photo"),
    ):
        if alone:
            raise ValueError(f"{where}: {len(alone)} {what}: {listing(alone, 5)}; add their partners or remove them")
    return found


def _spec(root: Path, spec: DatasetSpec | None, *folders: Path) -> DatasetSpec:
    """The given label space, a classes.json, or the class list that a tool left in one of the folders."""
    if spec is not None:
        return spec
    if (root / SPEC_FILE).is_file():
        return DatasetSpec.from_folder(root)
    table = find_class_table(root, *folders)
    if table is None:
        raise NoClassesError(
            f"{root}: nothing in it names the classes; name the label space (--classes_file NAME_OR_FILE), or put a "
            f"{SPEC_FILE} or the class list of your tool there"
        )
    return DatasetSpec.from_json(table)


# -- Pascal VOC -------------------------------------------------------------------------------------------------------


def voc_root(root: Path) -> Path | None:
    candidates = [root, *folders_of(root), *(inner for folder in folders_of(root) for inner in folders_of(folder))]
    return next((path for path in candidates if any((path / name).is_dir() for name in VOC_LABELS)), None)


def read_voc(root: Path, spec: DatasetSpec | None) -> Found:
    """JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/*.txt."""
    base = voc_root(root)
    assert base is not None  # the layout was recognised by it
    label_folder = next(base / n for n in VOC_LABELS if files_of(base / n, LABEL_SUFFIXES) or (base / n).is_dir())
    photos = {path.stem: path for path in files_of(base / "JPEGImages", PHOTO_SUFFIXES)}
    if not photos:
        raise ValueError(f"{base}: no photos in JPEGImages/; export the set with its images")
    labels = {path.stem: path for path in files_of(label_folder, LABEL_SUFFIXES)}
    lists = {path.stem: read_text(path).split() for path in sorted((base / "ImageSets/Segmentation").glob("*.txt"))}
    if {"train", "val"} <= lists.keys():
        lists.pop("trainval", None)
    lists = {("train" if name in ("trainval", "default") else name): names for name, names in lists.items()}
    splits = {}
    for name, stems in (lists or {"train": sorted(labels)}).items():
        missing = [stem for stem in stems if stem not in labels or stem not in photos]
        if missing and name != "test":
            raise ValueError(
                f"{base}: {len(missing)} pictures of ImageSets/Segmentation/{name}.txt have no photo or no label map: "
                f"{listing(missing, 5)}; add them, or take them off the list"
            )
        splits[name] = [SourceFiles(stem, photos[stem], labels[stem]) for stem in stems if stem not in missing]
    try:
        spec = _spec(root, spec, base)
    except NoClassesError:
        spec = voc_spec()
    return spec, {name: files for name, files in splits.items() if files}


@cache
def voc_spec() -> DatasetSpec:
    """Pascal VOC's 21 classes in its colours, and void (255, the outlines)."""
    return DatasetSpec(**label_fields([ClassRow("", name, color) for name, color in _voc_rows()], "voc"))


def _voc_rows() -> list[tuple[str, tuple[int, int, int]]]:
    return [(name, (r, g, b)) for name, (r, g, b) in zip(VOC_CLASSES, default_palette(len(VOC_CLASSES)), strict=True)]


# -- masks beside photos ----------------------------------------------------------------------------------------------


def _beside(folder: Path) -> tuple[list[Path], list[Path]]:
    """Photos and label maps of one folder: NAME_mask.png beside NAME.jpg, or NAME.png beside NAME.jpg."""
    files = files_of(folder, PHOTO_SUFFIXES)
    labels = [path for path in files if path.suffix.lower() == ".png" and _stem(path) != path.stem]
    if not labels:
        jpegs = {path.stem for path in files if path.suffix.lower() != ".png"}
        labels = [path for path in files if path.suffix.lower() == ".png" and path.stem in jpegs]
    return [path for path in files if path not in labels], labels


def is_beside(root: Path) -> bool:
    return any(all(_beside(folder)) for folder in (root, *folders_of(root)))


def read_beside(root: Path, spec: DatasetSpec | None) -> Found:
    """NAME.jpg with NAME_mask.png or NAME.png, in the folder itself or in train/, valid/ ..."""
    folders = [folder for folder in folders_of(root) if all(_beside(folder))]
    places = _as_train({folder.name: folder for folder in folders}) or {"train": root}
    splits = {name: _paired(*_beside(folder), folder) for name, folder in places.items()}
    return _spec(root, spec, *places.values()), splits


def _two_folders(folder: Path) -> tuple[Path, Path] | None:
    """FOLDER/images with FOLDER/masks (or labels, annotations, ...), files directly in them."""
    photos = next((folder / n for n in ("images", "image", "imgs", "photos") if (folder / n).is_dir()), None)
    labels = next((folder / n for n in LABEL_FOLDERS if (folder / n).is_dir()), None)
    return None if photos is None or labels is None else (photos, labels)


def _flat_places(root: Path) -> dict[str, tuple[Path, Path]]:
    """Splits and their folders of photos and of label maps."""
    pair = _two_folders(root)
    if pair is None:
        places = {folder.name: _two_folders(folder) for folder in folders_of(root)}
        return {name: both for name, both in places.items() if both is not None}
    if files_of(pair[0], PHOTO_SUFFIXES):
        return {"train": pair}
    inner = {folder.name for folder in folders_of(pair[0])} & {folder.name for folder in folders_of(pair[1])}
    return {name: (pair[0] / name, pair[1] / name) for name in sorted(inner)}


def _as_train(places: dict[str, Any]) -> dict[str, Any]:
    """A single folder is what there is to train on, whatever it is called."""
    return {"train": next(iter(places.values()))} if len(places) == 1 else places


def is_two_folders(root: Path) -> bool:
    places = _flat_places(root).values()
    return any(files_of(photos, PHOTO_SUFFIXES) and files_of(labels, LABEL_SUFFIXES) for photos, labels in places)


def read_two_folders(root: Path, spec: DatasetSpec | None) -> Found:
    """images/ and masks/, with the same names, in the folder, in splits, or with splits in them."""
    splits = {}
    for name, (photos, labels) in _as_train(_flat_places(root)).items():
        splits[name] = _paired(files_of(photos, PHOTO_SUFFIXES), files_of(labels, LABEL_SUFFIXES), photos.parent)
    return _spec(root, spec, *folders_of(root)), splits


__all__ = [
    "Found",
    "NoClassesError",
    "Splits",
    "folders_of",
    "is_beside",
    "is_two_folders",
    "read_beside",
    "read_two_folders",
    "read_voc",
    "voc_root",
    "voc_spec",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which files belong together: the local layout, and the original folders of Cityscapes, ADE20K and COCO-Stuff."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...image_processing_files import listing
from ..encodings.class_tables import find_class_table
from ..encodings.labels import IDS
from ..specs import SPEC_FILE, DatasetSpec, load_label_preset
from .foreign_files import check_file
from .mask_layouts import NoClassesError
from .outline_json import COCO_KEYS, MAX_SET_BYTES, read_outline_json
from .source_files import PHOTO_SUFFIXES, SourceFiles
from .tool_layouts import TOOL_LAYOUTS, recognise_tool_layout


if TYPE_CHECKING:
    import datasets

LAYOUT = "DIR/{train,val}/images/NAME.jpg|png + DIR/{train,val}/labels/NAME.png + DIR/classes.json"
SPLIT_NAMES = {
    "training": "train",
    "train2017": "train",
    "val": "validation",
    "valid": "validation",
    "val2017": "validation",
}
LABEL_IDS = "label_ids"  # label encoding of *_labelIds.png
PANOPTIC = ("annotations", ".", "panoptic")  # where panoptic_val2017.json and panoptic_val2017/ lie


@dataclass(frozen=True)
class SourceFolder:
    """A dataset in files.

    Args:
        layout: A key of LAYOUTS.
        spec: The label space, with the encodings of these files.
        splits: Name of each split as it should be called on the Hub, and its files.
    """

    layout: str
    spec: DatasetSpec
    splits: dict[str, list[SourceFiles]]

    @property
    def has_instances(self) -> bool:
        """Whether every picture has an instance map."""
        return all(files.instance_map is not None for split in self.splits.values() for files in split)


def open_layout(
    root: str | Path,
    layout: str | None = None,
    spec: DatasetSpec | None = None,
    splits: list[str] | None = None,
    with_instances: bool = True,
) -> SourceFolder:
    """Find the pictures of a folder.

    Args:
        root: The folder.
        layout: A key of LAYOUTS, None: what the folder looks like.
        spec: The label space, None: what the layout implies, or DIR/classes.json.
        splits: Folder names of the splits to take, None: all that have labels, without test.
        with_instances: False leaves instance files out.

    Raises:
        ValueError: no known layout, no labels, or pictures without a partner.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    layout = layout or recognise_layout(root)
    if layout is None:
        raise ValueError(unknown_layout(root))
    spec, found = LAYOUTS[layout](root, spec, with_instances)
    if splits is not None:
        missing = sorted(set(splits) - set(found))
        if missing:
            raise ValueError(f"{root}: no split {listing(missing)}; it has {listing(sorted(found))}")
    chosen = {name: files for name, files in found.items() if (name in splits if splits else name != "test")}
    if not any(chosen.values()):
        raise ValueError(f"{root}: no pictures with labels in the {layout} layout")
    renamed: dict[str, list[SourceFiles]] = {}
    for name, files in chosen.items():
        new = SPLIT_NAMES.get(name, re.sub(r"\W", "_", name))
        if new in renamed:
            raise ValueError(f"{root}: two splits would both be called {new}; name the ones to take")
        renamed[new] = files
    some = [bool(f.instance_map) for files in renamed.values() for f in files]
    if any(some) and not all(some):
        raise ValueError(
            f"{root}: {some.count(True)} of {len(some)} pictures have instance files; add the rest, or leave all out "
            "(--no-instances)"
        )
    return SourceFolder(layout, spec, renamed)


def unknown_layout(root: Path) -> str:
    """The message about a folder that looks like nothing that is known."""
    tools = ", ".join(layout.looks_like for layout in TOOL_LAYOUTS.values())
    return (
        f"{root}: no known layout; expected {LAYOUT}, or the original folders of Cityscapes (leftImg8bit/, "
        "gtFine/), ADE20K (images/training, annotations/training) or COCO-Stuff (train2017/, "
        f"stuffthingmaps/train2017), or what tools export: {tools}"
    )


def recognise_layout(root: Path) -> str | None:
    """The layout that a folder looks like, None for no known one."""
    if (root / "leftImg8bit").is_dir():
        return "cityscapes"
    if any((folder / "annotations" / "training").is_dir() for folder in _ade20k_roots(root)):
        return "ade20k"
    if _coco_labels(root):
        return "coco_stuff"
    labels = [folder / "labels" for folder in _folders(root) if (folder / "labels").is_dir()]
    others = recognise_tool_layout(root) if root.is_dir() else None
    if labels and (others is None or any(path.suffix.lower() == ".png" for f in labels for path in f.iterdir())):
        return "paired"
    return others  # labels in other formats are refused, or snapped, file by file


# -- the local layout -----------------------------------------------------------------------------------------------


def files_by_stem(folder: Path, suffixes: tuple[str, ...], pattern: str = "*", cut: str = "") -> dict[str, Path]:
    """The files of a folder by stem (less the ending `cut`); hidden files are passed over.

    Raises:
        ValueError: no folder, no such files, two of one stem, or something that is no file.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected {LAYOUT}")
    files: dict[str, Path] = {}
    for path in sorted(folder.glob(pattern)):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.stem.endswith(cut):
            stem = path.stem.removesuffix(cut)
            if stem in files:
                raise ValueError(f"{path}: same name as {files[stem].name}; keep one of the two")
            files[stem] = check_file(path)
    if not files:
        texts = any(folder.glob("*.txt"))
        what = "; its text files, as YOLO's boxes and outlines, are no label maps" if texts else ""
        raise ValueError(f"{folder}: no {'/'.join(s[1:] for s in suffixes)} files in it{what}; expected {LAYOUT}")
    return files


def require_pairs(photos: dict[str, Path], others: dict[str, Path], root: Path, what: str, folder: str) -> None:
    """Every photo has its partner and the other way round; `what` and `folder` are for the message."""
    lonely = [photos[stem].name for stem in sorted(photos.keys() - others.keys())]
    if lonely:
        raise ValueError(
            f"{root}: {len(lonely)} images without {what}: {listing(lonely, 5)}; add {folder}/NAME.png or remove them"
        )
    lonely = [others[stem].name for stem in sorted(others.keys() - photos.keys())]
    if lonely:
        raise ValueError(
            f"{root}: {len(lonely)} {what}s without image: {listing(lonely, 5)}; add images/NAME.jpg or remove them"
        )


def paired_files(root: Path, with_instances: bool = False) -> dict[str, dict[str, Path]]:
    """The columns `image`, `label_map` and, if asked for, `instance_map` of ROOT = DIR/SPLIT: files by stem.

    Raises:
        ValueError: missing or empty folder, image without label, label without image.
    """
    photos = files_by_stem(root / "images", PHOTO_SUFFIXES)
    columns = {"image": photos, "label_map": files_by_stem(root / "labels", (".png",))}
    require_pairs(photos, columns["label_map"], root, "label", "labels")
    if with_instances:
        columns["instance_map"] = files_by_stem(root / "instances", (".png",))
        require_pairs(photos, columns["instance_map"], root, "instance map", "instances")
    return columns


def files_table(columns: dict[str, list[Path]]) -> "datasets.Dataset":
    """A table of image files, undecoded: bytes stay exact, and one decoder reads labels everywhere."""
    import datasets

    features = datasets.Features(dict.fromkeys(columns, datasets.Image(decode=False)))
    return datasets.Dataset.from_dict(
        {name: [str(path) for path in paths] for name, paths in columns.items()}, features
    )


Found = tuple[DatasetSpec, dict[str, list[SourceFiles]]]


def _paired(root: Path, spec: DatasetSpec | None, with_instances: bool) -> Found:
    if spec is None and not (root / SPEC_FILE).is_file() and find_class_table(root) is None:
        raise NoClassesError(f"{root}: no {SPEC_FILE} in it; name the label space (--classes_file NAME_OR_FILE)")
    splits = {}
    for folder in sorted(path for path in root.iterdir() if (path / "labels").is_dir()):
        columns = paired_files(folder, with_instances and (folder / "instances").is_dir())
        splits[folder.name] = _zip_columns(columns)
    return spec or DatasetSpec.from_folder(root), splits


def _zip_columns(columns: dict[str, dict[str, Path]]) -> list[SourceFiles]:
    return [
        SourceFiles(stem, **dict[str, Any]({column: files[stem] for column, files in columns.items()}))
        for stem in sorted(columns["image"])
    ]


# -- the originals --------------------------------------------------------------------------------------------------


def _cityscapes(root: Path, spec: DatasetSpec | None, with_instances: bool) -> Found:
    """leftImg8bit/SPLIT/CITY/*_leftImg8bit.png with gtFine/SPLIT/CITY/*_gtFine_{labelIds,labelTrainIds,instanceIds}.

    A spec whose own ids are the training ids is read from labelTrainIds where these are, else from labelIds.
    """
    spec = spec or load_label_preset("cityscapes")
    splits, kind = {}, "labelIds"
    translated = LABEL_IDS in spec.encoding_names and spec.encoding(LABEL_IDS).offset is None
    if translated and spec.label_encoding == IDS and any(root.glob("gtFine/*/*/*_gtFine_labelTrainIds.png")):
        kind = "labelTrainIds"
    elif LABEL_IDS in spec.encoding_names:
        spec = spec.with_encoding(LABEL_IDS)
    for folder in _folders(root / "leftImg8bit"):
        truth = root / "gtFine" / folder.name
        if not truth.is_dir():
            continue
        photos = files_by_stem(folder, (".png",), "*/*", "_leftImg8bit")
        columns = {"image": photos, "label_map": files_by_stem(truth, (".png",), "*/*", f"_gtFine_{kind}")}
        require_pairs(photos, columns["label_map"], truth, f"{kind} file", "gtFine")
        if with_instances and any(truth.glob("*/*_gtFine_instanceIds.png")):
            columns["instance_map"] = files_by_stem(truth, (".png",), "*/*", "_gtFine_instanceIds")
            require_pairs(photos, columns["instance_map"], truth, "instanceIds file", "gtFine")
        splits[folder.name] = _zip_columns(columns)
    return spec.with_encoding(instance_encoding="cityscapes"), splits


def _ade20k_roots(root: Path) -> list[Path]:
    return [root, root / "ADEChallengeData2016"]


def _ade20k(root: Path, spec: DatasetSpec | None, with_instances: bool) -> Found:
    """images/SPLIT/*.jpg with annotations/SPLIT/*.png (0 = other) and, optionally, annotations_instance/SPLIT."""
    base = next((folder for folder in _ade20k_roots(root) if (folder / "annotations").is_dir()), root)
    splits = {}
    for folder in _folders(base / "annotations"):
        photos = files_by_stem(base / "images" / folder.name, PHOTO_SUFFIXES)
        columns = {"image": photos, "label_map": files_by_stem(folder, (".png",))}
        require_pairs(photos, columns["label_map"], base, "annotation", f"annotations/{folder.name}")
        instances = base / "annotations_instance" / folder.name
        if with_instances and instances.is_dir():
            columns["instance_map"] = files_by_stem(instances, (".png",))
            require_pairs(
                photos, columns["instance_map"], base, "instance file", f"annotations_instance/{folder.name}"
            )
        splits[folder.name] = _zip_columns(columns)
    return (spec or load_label_preset("ade20k")).with_encoding(instance_encoding="ade20k"), splits


def _coco_labels(root: Path) -> Path | None:
    """The folder whose train2017/ and val2017/ hold the label PNGs."""
    for name in ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations"):
        if any((root / name / split).is_dir() for split in ("train2017", "val2017")):
            return root / name
    return None


def _coco_stuff(root: Path, spec: DatasetSpec | None, with_instances: bool) -> Found:
    """{train,val}2017/*.jpg (or images/...) with stuffthingmaps/{train,val}2017/*.png and, optionally, panoptic files.

    Panoptic: annotations/panoptic_val2017.json and annotations/panoptic_val2017/*.png.
    """
    labels = _coco_labels(root)
    if labels is None:
        raise ValueError(f"{root}: no stuffthingmaps/train2017 or stuffthingmaps/val2017 in it")
    splits = {}
    for folder in _folders(labels):
        photo_folder = next((p for p in (root / folder.name, root / "images" / folder.name) if p.is_dir()), None)
        if photo_folder is None:
            raise ValueError(f"{folder}: no photos for it; expected {root / folder.name}")
        photos = files_by_stem(photo_folder, (".jpg",))
        columns = {"image": photos, "label_map": files_by_stem(folder, (".png",))}
        require_pairs(photos, columns["label_map"], root, "label", folder.name)
        panoptic = next(
            (p for p in (root / n / f"panoptic_{folder.name}.json" for n in PANOPTIC) if p.is_file()), None
        )
        if not with_instances or panoptic is None:
            splits[folder.name] = _zip_columns(columns)
        else:
            splits[folder.name] = list(_with_panoptic(columns, panoptic))
    return (spec or load_label_preset("coco_stuff")).with_encoding(instance_encoding="coco_panoptic"), splits


def _with_panoptic(columns: dict[str, dict[str, Path]], panoptic: Path) -> Iterator[SourceFiles]:
    """The pictures with their segments; each must have an entry and a PNG."""
    content = read_outline_json(panoptic, COCO_KEYS, MAX_SET_BYTES)
    try:
        segments = {Path(entry["file_name"]).stem: entry["segments_info"] for entry in (content or {})["annotations"]}
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{panoptic}: not a panoptic JSON ({type(error).__name__}: {error})") from None
    columns["instance_map"] = files_by_stem(panoptic.with_suffix(""), (".png",))
    require_pairs(columns["image"], columns["instance_map"], panoptic.parent, "panoptic file", panoptic.stem)
    for files in _zip_columns(columns):
        if files.name not in segments:
            raise ValueError(f"{panoptic}: no entry for {files.name}; take the JSON of the same images")
        yield files._replace(segments=segments[files.name])


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []


def _tool(name: str) -> Callable[[Path, DatasetSpec | None, bool], Found]:
    """A layout without instances."""
    return lambda root, spec, with_instances: TOOL_LAYOUTS[name].read(root, spec)


LAYOUTS: dict[str, Callable[[Path, DatasetSpec | None, bool], Found]] = {
    "paired": _paired,
    "cityscapes": _cityscapes,
    "ade20k": _ade20k,
    "coco_stuff": _coco_stuff,
    **{name: _tool(name) for name in TOOL_LAYOUTS},
}


__all__ = [
    "LAYOUT",
    "LAYOUTS",
    "PHOTO_SUFFIXES",
    "SourceFiles",
    "SourceFolder",
    "files_by_stem",
    "files_table",
    "open_layout",
    "paired_files",
    "recognise_layout",
]

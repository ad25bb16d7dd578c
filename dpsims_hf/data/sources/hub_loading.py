# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From the name of a Hub dataset to its label space, columns and splits: what the user gives, else what is known."""

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from huggingface_hub import constants

from ...image_processing_files import listing
from ..encodings.labels import IDS
from ..specs import DatasetSpec, label_presets, load_label_preset, spec_of_repository
from .checked_loading import check_feature, load_table
from .foreign_files import check_cells, check_file, tell_links
from .hub_sources import HubSource, choose_validation_split, split_names


if TYPE_CHECKING:
    import datasets

COLUMNS = {"image": "image", "label_map": "label_map", "instance_map": "instance_map"}  # what `prepare` writes
ROLES = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test"}
ROLES |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
IMAGE_COLUMNS = tuple(COLUMNS)
SEGMENTS_COLUMN = "segments_info"
Table = TypeVar("Table")  # datasets.Dataset or datasets.IterableDataset


@dataclass(frozen=True)
class HubDataset:
    """How to load a dataset.

    Args:
        name: Repository id, folder or builder name.
        spec: The label space, with the encodings of this repository.
        columns: Our name -> the repository's, for `image`, `label_map` and, if it is to be read, `instance_map`.
        load_kwargs: Further arguments of `datasets.load_dataset`.
        source: What is known of the repository.
    """

    name: str
    spec: DatasetSpec
    columns: dict[str, str]
    load_kwargs: dict[str, Any]
    source: HubSource | None = None

    def train_split(self) -> str:
        """Name of the split to train on."""
        return dict(self.source.splits if self.source else ()).get("train", "train")

    def validation_split(self) -> str | None:
        """Name of the split to validate on, None if there is none; asks the repository.

        Raises:
            ValueError: it cannot be reached.
        """
        known = dict(self.source.splits if self.source else ()).get("validation")
        return known or choose_validation_split(split_names(self.name, self.load_kwargs))

    def load(self, split: str) -> "datasets.Dataset":
        """A split with the needed columns under our names; errors see `load_table`."""
        return self.select(load_table(self.name, split, self.load_kwargs))

    def select(self, table: Any) -> Any:
        """The needed columns of a loaded split under our names, images undecoded: bytes stay exact.

        Raises:
            ValueError: a column that is not there.
        """
        import datasets

        there, features = list(table.column_names or []), table.features or {}  # a stream may know neither
        missing = sorted(set(self.columns.values()) - set(there))
        if missing and there:
            raise ValueError(f"{self.name}: no column {listing(missing)}; it has {listing(there)}")
        columns = dict(self.columns)
        if "instance_map" in columns and self.spec.instance_encoding == "coco_panoptic" and SEGMENTS_COLUMN in there:
            columns[SEGMENTS_COLUMN] = SEGMENTS_COLUMN
        for column in columns.values():
            check_feature(self.name, column, features.get(column, datasets.Value("binary")))
            # Before anything else: to rename a column, a stream would decode its images and encode them anew.
            if isinstance(features.get(column), datasets.Image):
                table = table.cast_column(column, datasets.Image(decode=False))
        table = table.select_columns(list(columns.values()))
        table = table.rename_columns({theirs: ours for ours, theirs in columns.items() if theirs != ours})
        if isinstance(table, datasets.Dataset):  # of a stream, row by row
            for column in (name for name in IMAGE_COLUMNS if name in table.column_names):
                self.check_cells(_cells_that_name_files(table, column))
            lists = [name for name, feature in table.features.items() if _is_list(feature)]
            if lists:  # of a million numbers, as Python has them, a row takes tens of megabytes
                table = table.with_format("numpy", columns=lists, output_all_columns=True)
        return table

    def check_cells(self, cells: Iterable[Any]) -> None:
        """Refuse cells that name files which are none of the set; see `foreign_files.check_cells`."""
        import datasets

        if self.name.endswith("folder") and not Path(self.name).is_dir():  # "imagefolder": files that the user named
            return
        caches = (constants.HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE)
        check_cells(self.name, cells, [os.path.realpath(folder) for folder in (self.name, *caches)])


def _is_list(feature: Any) -> bool:
    """Whether a column holds label maps as lists of numbers; lists of structures stay what they are."""
    import datasets

    while isinstance(feature, (datasets.List, datasets.LargeList)):
        feature = feature.feature
        if isinstance(feature, datasets.Value):
            return True
    return False


def _cells_that_name_files(table: "datasets.Dataset", column: str) -> Iterator[Any]:
    """The cells of a column that hold a path and no picture; the others are not read."""
    import pyarrow
    import pyarrow.compute as pc

    arrow = table.data.column(column) if table._indices is None else table.with_format("arrow")[:][column]
    kind = arrow.type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        yield from arrow.to_pylist()
    elif pyarrow.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
        without = pc.is_null(pc.struct_field(arrow, "bytes"))
        yield from arrow.filter(without).to_pylist() if pc.any(without).as_py() else ()


def resolve_hub_dataset(
    dataset_name: str | Path,
    spec: DatasetSpec | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    instance_column: str | None = None,
    use_instances: bool | None = None,
    load_kwargs: dict[str, Any] | None = None,
) -> HubDataset:
    """Complete what the user gives by what the repository's classes.json or the spec's list of repositories says.

    Args:
        dataset_name: Repository id, folder or builder name.
        spec: The label space; None: the repository's classes.json, or the known set that lists the repository.
        image_column: None: the listed one, or "image".
        label_column: None: the listed one, or "label_map".
        instance_column: None: the listed one, or "instance_map", if instances are to be read.
        use_instances: None: if an instance column is given.
        load_kwargs: Of `datasets.load_dataset`; they go before the listed ones.

    Raises:
        ValueError: no label space, one that contradicts the repository's, or instances of a set that has none.
    """
    name, kwargs = str(dataset_name), dict(load_kwargs or {})
    own = spec_of_repository(name, kwargs.get("revision"))
    spec = spec or own or _listing_preset(name)
    if spec is None:
        raise ValueError(
            f"{name}: no classes.json was found (is the name right, and the Hub in reach?); give the label space: "
            f"a classes.json, or one of "
            f"{', '.join(label_presets())} (--classes_file)"
        )
    source = None if own else spec.hub_source(name)
    if own is not None:
        spec = _in_encodings_of(own, spec, name)
    elif source is not None:
        spec, kwargs = spec.with_encoding(source.label_encoding), source.load_kwargs() | kwargs
        _warn_of_doubts(source)
    if use_instances is None:
        use_instances = instance_column is not None
    if use_instances and spec.instance_encoding is None:
        raise ValueError(f"{name}: {spec.name} has no instances; switch the instance offsets off")
    given = {"image": image_column, "label_map": label_column, "instance_map": instance_column}
    columns = {column: given[column] or _listed(source, column) or COLUMNS[column] for column in COLUMNS}
    if not use_instances:
        del columns["instance_map"]
    if Path(name).is_dir():
        kwargs = _prepared_files(Path(name)) | kwargs
        name = str(Path(name).resolve())  # `load_dataset` does not take "."
    return HubDataset(name, spec, columns, kwargs, source)


def _prepared_files(folder: Path) -> dict[str, Any]:
    """The parquet files of a local folder by name, so that `load_dataset` looks at their times.

    By the folder alone it would take the cached table of an earlier folder of this name, if the sizes are equal: that
    of labels which were read otherwise. And the front matter of its README.md could name any file or address.
    """
    place = "data/" if any(folder.glob("data/*.parquet")) else ""
    files = [check_file(path) for path in sorted(folder.glob(f"{place}*.parquet"))]
    if not files:  # `load_table` has words for it; without a name, the front matter would be followed
        return {"data_files": {"train": "data/*.parquet"}}
    tell_links(folder, files)
    names = [path.stem.rsplit("-", 3) for path in files]  # SPLIT, 00000, of, 00001
    splits = dict.fromkeys(parts[0] for parts in names if len(parts) == 4 and parts[2] == "of")
    if splits:
        return {"data_files": {split: f"{place}{split}-*.parquet" for split in splits}}
    named: dict[str, list[str]] = {}
    for path in files:  # as `datasets` tells splits by words in names
        words = path.stem.lower().replace("_", "-").replace(".", "-").split("-")
        named.setdefault(next((ROLES[word] for word in words if word in ROLES), "train"), []).append(path.name)
    return {"data_files": {split: [f"{place}{name}" for name in names] for split, names in named.items()}}


def _listing_preset(name: str) -> DatasetSpec | None:
    """The known set that lists a repository."""
    presets = map(load_label_preset, label_presets())
    return next((preset for preset in presets if preset.hub_source(name)), None)


def _listed(source: HubSource | None, column: str) -> str | None:
    """What the repository calls one of our columns, as far as it is known."""
    names = {"image": "image_column", "label_map": "label_column", "instance_map": "instance_column"}
    return None if source is None else getattr(source, names[column])


def _warn_of_doubts(source: HubSource) -> None:
    if source.unconfirmed:
        warnings.warn(
            f"{source.repository}: nobody has confirmed its {' and '.join(source.unconfirmed)} ({source.note}); check "
            f"with python -m dpsims_hf.data.inspect {source.repository}",
            stacklevel=4,
        )


def _in_encodings_of(own: DatasetSpec, spec: DatasetSpec, name: str) -> DatasetSpec:
    """The given label space for files that are written as the repository's classes.json says.

    Raises:
        ValueError: a value would mean something else than there.
    """
    reading = spec.label_reading or own.label_reading
    spec = replace(spec, instance_encoding=own.instance_encoding, label_reading=reading)
    if spec.num_labels != own.num_labels:
        if spec.label_encoding != IDS:  # a translation, as Cityscapes' 35 ids to the 19 of training
            return spec
        raise ValueError(
            f"{name}: its classes.json has {own.num_labels} labels, the given label space {spec.name} has "
            f"{spec.num_labels}; leave the latter out (--classes_file), or name the label_encoding that translates"
        )
    if own.label_encoding in spec.encoding_names:
        spec = spec.with_encoding(own.label_encoding)
    theirs, ours = own.encoding().legal_values(own.num_labels), spec.encoding().legal_values(spec.num_labels)
    differ = sorted(value for value in theirs.keys() & ours.keys() if theirs[value] != ours[value])
    if differ:
        raise ValueError(
            f"{name}: its classes.json says that the value {differ[0]} is {theirs[differ[0]]}, the given label space "
            f"{spec.name} that it is {ours[differ[0]]}; leave the latter out (--classes_file)"
        )
    return spec


__all__ = ["COLUMNS", "HubDataset", "resolve_hub_dataset"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which classes and files a run is trained on, kept with its checkpoints and compared when it goes on.

Files count by name and size, and by content as far as reading it costs next to nothing: of a large set a fixed part.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..data import DatasetSpec
from ..data.reading.rows import content
from ..data.sources.hub_loading import HubDataset
from .build_data import Datasets


READ_LIMIT = 64 << 20  # bytes whose content is looked at
PROCESSOR_FILE = "preprocessor_config.json"
Row = tuple[str, list[int], str | None]  # name or "", sizes of its files, digest of their content


def data_identity(datasets: Datasets) -> dict[str, Any]:
    """What identifies the training data, JSON-serialisable, for `describe_change`.

    Returns:
        "unit", what is counted; "rows" as `Row`; "complete": the content of all of them was looked at.
    """
    if datasets.stream is not None:
        rows = list(_stream_files(datasets.stream))
        return {"unit": "files", "complete": True, "rows": rows}
    rows, is_complete = _table_rows(datasets.train.table)
    return {"unit": "photos", "complete": is_complete, "rows": rows}


def describe_change(before: dict[str, Any], now: dict[str, Any], step: int) -> str | None:
    """How many rows went, came and changed, in one line; None if the data is the same as far as is known.

    Args:
        before: `data_identity` of the checkpoint.
        now: `data_identity` of the run as it is now.
        step: of the checkpoint.
    """
    old, new = ({row[0]: row for row in data["rows"] if row[0]} for data in (before, now))
    removed, added = old.keys() - new.keys(), new.keys() - old.keys()
    changed = {name for name in old.keys() & new.keys() if _differ(old[name], new[name])}
    by_content = before["complete"] and now["complete"]
    nameless = [
        Counter((*row[1], row[2] if by_content else None) for row in data["rows"] if not row[0])
        for data in (before, now)
    ]
    counts = len(removed), len(added), len(changed)
    gone, come = (nameless[0] - nameless[1]).total() + counts[0], (nameless[1] - nameless[0]).total() + counts[1]
    if not gone and not come and not changed:
        return None
    first = next(iter(sorted(removed) or sorted(changed) or sorted(added)), None)
    return (
        f"the data is not what it was: {gone} {before['unit']} removed, {come} added, {len(changed)} changed since "
        f"step {step}{f' (first: {first})' if first else ''}; the run goes on with what there is now"
    )


def class_difference(folder: Path, spec: DatasetSpec) -> str | None:
    """The first class of a checkpoint that is another one in the data, described; None if all are the same.

    Raises:
        ValueError: the checkpoint does not say its classes.
    """
    try:
        stored = json.loads((folder / PROCESSOR_FILE).read_bytes())
        labels = [str(stored["id2label"][str(index)]) for index in range(len(stored["id2label"]))]
        palette = [tuple(color) for color in stored.get("palette") or []]
        void = stored.get("void_label_id")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{folder / PROCESSOR_FILE} does not say the classes of the checkpoint") from None
    for index in range(max(len(labels), spec.num_labels)):
        before = repr(labels[index]) if index < len(labels) else "not there"
        now = repr(spec.labels[index]) if index < spec.num_labels else "not there"
        if before != now:
            return f"class {index} was {before} and is {now}"
        if palette and tuple(palette[index]) != tuple(spec.palette[index]):
            return f"the colour of class {index} {now} was {palette[index]} and is {tuple(spec.palette[index])}"
    if void != spec.void_label_id:
        return f"the class that means void was {void} and is {spec.void_label_id}"
    return None


def stored_identity(file: Path) -> dict[str, Any] | None:
    """What `data_identity` gave when a checkpoint was written; None if it is not known."""
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        data = json.loads(file.read_bytes())
        rows = [(str(name), [int(size) for size in sizes], digest) for name, sizes, digest in data["rows"]]
        return {"unit": str(data["unit"]), "complete": bool(data["complete"]), "rows": rows}
    return None


def _differ(before: Row, now: Row) -> bool:
    contents = before[2] is not None and now[2] is not None and before[2] != now[2]
    return list(before[1]) != list(now[1]) or contents


# -- photos -------------------------------------------------------------------------------------------------------


def _table_rows(table: Any) -> tuple[list[Row], bool]:
    """The rows of a `datasets.Dataset` of undecoded images or arrays, and whether all content was read."""
    arrow = table.with_format("arrow")[:]
    columns = [
        _column_files(arrow[name]) for name in ("image", "label_map", "instance_map") if name in arrow.column_names
    ]
    names = _short_names([path for path, _ in columns[0]])
    sizes = [[column[index][1] for column in columns] for index in range(len(table))]
    order = sorted(range(len(table)), key=lambda index: hashlib.blake2b(names[index].encode()).digest())
    digests: dict[int, str] = {}
    left = READ_LIMIT
    for index in order:  # by name, so that the same part is read again when the set has grown
        left -= sum(sizes[index])
        if left < 0:
            break
        digests[index] = _row_digest(table[index])
    return [(names[i], sizes[i], digests.get(i)) for i in range(len(table))], len(digests) == len(table)


def _column_files(column: Any) -> list[tuple[str, int]]:
    """(path or "", bytes) for each cell; a cell that is an array counts by its values."""
    import pyarrow
    import pyarrow.compute as compute

    kind = column.type
    if not (pyarrow.types.is_struct(kind) and {"bytes", "path"} <= {entry.name for entry in kind}):
        return [("", column.nbytes // max(1, len(column)))] * len(column)
    paths = compute.struct_field(column, "path").to_pylist()
    lengths = compute.binary_length(compute.struct_field(column, "bytes")).to_pylist()
    return [
        (path or "", _file_size(path) if length is None else length)
        for path, length in zip(paths, lengths, strict=True)
    ]


def _file_size(path: str | None) -> int:
    try:
        return os.stat(path or "").st_size
    except OSError:  # a missing file is named when it is read
        return -1


def _short_names(paths: list[str]) -> list[str]:
    """Paths below the folder that they share, so that a set that moved is the same; "" if they name no row."""
    if not all(paths) or len(set(paths)) < len(paths):
        return [""] * len(paths)
    absolute = [os.path.abspath(path) for path in paths]
    root = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return [os.path.relpath(path, root) for path in absolute]


def _row_digest(row: dict[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name in ("image", "label_map", "instance_map"):
        if row.get(name) is not None:
            with suppress(OSError, ValueError):  # named when it is read
                cell = content(row[name])
                if isinstance(cell, str):
                    digest.update(Path(cell).read_bytes())
                else:
                    digest.update(cell.tobytes() if isinstance(cell, np.ndarray) else cell.getvalue())
    return digest.hexdigest()


# -- streams ------------------------------------------------------------------------------------------------------


def _stream_files(found: HubDataset) -> Iterator[Row]:
    """The files of a stream's split, as far as the repository says: no row of it is read."""
    import datasets

    with suppress(OSError, ValueError, RuntimeError):
        files = (datasets.load_dataset_builder(found.name, **found.load_kwargs).config.data_files or {}).get(
            found.train_split(), []
        )
        for file in files:
            size, content_id = _file_facts(file)
            name = file.split("@", 1)[-1].split("/", 1)[-1] if file.startswith("hf://") else os.path.basename(file)
            yield name, [size], content_id


def _file_facts(file: str) -> tuple[int, str | None]:
    if not file.startswith("hf://"):
        return _file_size(file), None
    from huggingface_hub import HfFileSystem

    with suppress(OSError, ValueError, LookupError):
        facts = HfFileSystem().info(file)
        return int(facts["size"]), facts.get("blob_id")
    return -1, None


__all__ = ["class_difference", "data_identity", "describe_change", "stored_identity"]

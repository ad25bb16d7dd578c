# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Results that are computed once for a dataset and kept on disk: their folder, their key, and who computes them."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ..specs import DatasetSpec


if TYPE_CHECKING:
    import datasets

FORMAT = 3  # of the files; another number finds none of the old ones


def default_cache_dir() -> Path:
    """Where results go if no folder is given."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "dpsims_hf"


def content_fingerprint(table: "datasets.Dataset", spec: DatasetSpec) -> str:
    """A key of what a table of samples holds, and of how its labels are read.

    Files count by path, size and time of change; embedded images by the length of each and the table's own
    fingerprint. So an edited file has another key, and no pixel is read.
    """
    import pyarrow
    import pyarrow.compute as compute

    digest = hashlib.blake2b(repr((FORMAT, spec, len(table))).encode(), digest_size=16)
    arrow = table.with_format("arrow")[:]
    embedded = False
    for name in arrow.column_names:
        column = arrow[name]
        kind = column.type
        if not (pyarrow.types.is_struct(kind) and {"bytes", "path"} <= {entry.name for entry in kind}):
            embedded = True
            continue
        contents = compute.struct_field(column, "bytes")
        digest.update(repr((name, compute.binary_length(contents).to_pylist())).encode())
        embedded |= contents.null_count < len(contents)
        for path in compute.struct_field(column.filter(compute.is_null(contents)), "path").to_pylist():
            digest.update(repr((path, *(_state(path) if path else ()))).encode())  # None: an empty cell
    if embedded:
        digest.update(table._fingerprint.encode())
    return digest.hexdigest()


def _state(path: str) -> tuple[int, int]:
    try:
        state = os.stat(path)
    except OSError:  # a missing file is named when it is read
        return -1, -1
    return state.st_size, state.st_mtime_ns


def computed_once(target: Path, write: Callable[[Path], None]) -> Path:
    """Have `target` (a file or a folder) written by one process, while the others wait for it.

    Args:
        target: Exists afterwards.
        write: Writes it at the path it is given, beside the target; a whole result is then renamed, so that a killed
            process leaves no half of one.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not target.exists():
            aside = target.with_name(f".incomplete-{target.name}")
            shutil.rmtree(aside, ignore_errors=True)
            aside.unlink(missing_ok=True)
            write(aside)
            os.replace(aside, target)
    return target


__all__ = ["computed_once", "content_fingerprint", "default_cache_dir"]

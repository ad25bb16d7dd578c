# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`datasets.load_dataset` for sets of strangers: parquet files are asked what they unpack to before they are read."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...configuration_rules import shown
from .parquet_bounds import READ_ROWS, check_parquet


if TYPE_CHECKING:
    import datasets

PLAIN_TYPES = ("null", "bool", "int", "uint", "float", "string", "large_string", "binary", "large_binary")


def load_table(name: str, split: str, load_kwargs: dict[str, Any]) -> "datasets.Dataset":
    """What `datasets.load_dataset` gives.

    Raises:
        ValueError: a parquet file that unpacks to far more than it is, or that cannot be read; one line.
        OSError: it is not there, or cannot be reached.
    """
    with _one_line_errors(name):
        builder = _builder(name, load_kwargs)
        if _is_parquet(builder):
            _check_downloads(builder)
        builder.download_and_prepare()
        return builder.as_dataset(split=split)


def load_stream(name: str, split: str, load_kwargs: dict[str, Any]) -> "datasets.IterableDataset":
    """The same as a stream; of the Hub's files, which are not here, nothing is asked.

    Raises:
        ValueError, OSError: see `load_table`.
    """
    with _one_line_errors(name):
        builder = _builder(name, load_kwargs)
        if _is_parquet(builder):
            _check_local(path for paths in builder.config.data_files.values() for path in paths)
        return builder.as_streaming_dataset(split=split)


def check_feature(name: str, column: str, feature: Any) -> None:
    """Refuse columns for which `datasets` would open files or addresses that a cell names.

    Args:
        name: what errors call the table.
        column: its name.
        feature: its type, as `datasets` has it; a picture may stand at the top, undecoded.

    Raises:
        ValueError: another type than pictures, numbers, texts, bytes, and lists and structures of these.
    """
    import datasets

    waiting = [] if isinstance(feature, datasets.Image) else [feature]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, (list, tuple)):
            waiting += part
        elif isinstance(part, (datasets.List, datasets.LargeList)):
            waiting.append(part.feature)
        elif isinstance(part, (datasets.Array2D, datasets.Array3D, datasets.ClassLabel)):
            continue
        elif not isinstance(part, datasets.Value) or not part.dtype.startswith(PLAIN_TYPES):
            kind = getattr(part, "dtype", None) if isinstance(part, datasets.Value) else type(part).__name__
            raise ValueError(
                f"{name}: column {shown(column[:60])} holds {shown(str(kind)[:40])}, which is not read; store "
                "pictures (Image), or numbers in lists"
            )


def _builder(name: str, load_kwargs: dict[str, Any]) -> Any:
    import datasets

    if os.path.isdir(name) and not any((*Path(name).glob("data/*.parquet"), *Path(name).glob("*.parquet"))):
        raise ValueError(
            f"{name}: no parquet files in it, or in data/; python -m dpsims_hf.data.prepare writes them from folders "
            "of pictures"
        )
    builder = datasets.load_dataset_builder(name, **load_kwargs)
    if _is_parquet(builder):
        builder.config.batch_size = READ_ROWS  # else it would be all rows of the first row group
    return builder


def _is_parquet(builder: Any) -> bool:
    from datasets.packaged_modules.parquet.parquet import Parquet

    return isinstance(builder, Parquet)


def _check_downloads(builder: Any) -> None:
    """Have the files looked at once they are fetched, and before anything of them is read."""
    split_generators = builder._split_generators

    def checked(dl_manager: Any) -> Any:
        download: Callable[[Any], Any] = dl_manager.download

        def fetch(files: Any) -> Any:
            fetched = download(files)
            _check_local(path for paths in fetched.values() for path in paths)
            return fetched

        dl_manager.download = fetch
        return split_generators(dl_manager)

    builder._split_generators = checked


def _check_local(paths: Iterator[Any]) -> None:
    for path in map(str, paths):
        if "::" in path:
            raise ValueError(f"{shown(path[:200])}: a packed parquet file; unpack it")
        if os.path.exists(path):
            check_parquet(path)


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """What other libraries say of odd files, as a ValueError of one line."""
    import pyarrow
    from datasets.exceptions import DatasetsError

    surprises = (DatasetsError, pyarrow.ArrowException, LookupError, TypeError, AttributeError, RecursionError)
    try:
        yield
    except OSError:  # also `datasets`' own words for what is not there
        raise
    except (*surprises, ArithmeticError, MemoryError) as error:
        cause = error.__cause__ if isinstance(error, DatasetsError) and error.__cause__ else error
        reason = shown(" ".join(str(cause).split())[:300])
        raise ValueError(f"{name}: cannot be read ({type(cause).__name__}: {reason})") from None


__all__ = ["check_feature", "load_stream", "load_table"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Parquet files of bounded size, as the Hub names them: data/SPLIT-00000-of-00003.parquet."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Features
from datasets import Image as ImageFeature
from datasets.arrow_writer import ParquetWriter
from datasets.utils.py_utils import convert_file_size_to_int


ROWS_IN_MEMORY = 100  # a row group; also what a reader loads at once


@dataclass(frozen=True)
class WrittenSplit:
    """What was written of a split: rows, their size in memory and in files, both in bytes."""

    name: str
    num_examples: int
    num_bytes: int
    download_size: int


class ShardWriter:
    """Writes image columns of one split.

    Args:
        folder: Made if missing.
        split: Its name.
        columns: Names of the image columns.
        max_shard_size: Bytes, or "500MB".
    """

    def __init__(self, folder: Path, split: str, columns: list[str], max_shard_size: str | int) -> None:
        self.folder, self.split = folder, split
        self.features = Features({column: ImageFeature() for column in columns})
        self.limit = convert_file_size_to_int(max_shard_size)
        if self.limit < 1:
            raise ValueError(f"max_shard_size {max_shard_size!r} must be a size as 500MB")

    def write_all(self, rows: Iterable[dict[str, Any]]) -> WrittenSplit:
        """Write rows of {"bytes", "path"} cells; one file at least."""
        self.folder.mkdir(parents=True, exist_ok=True)
        count = size = in_shard = 0
        paths: list[Path] = []
        writer: ParquetWriter | None = None
        for row in rows:
            row_size = sum(len(cell["bytes"]) for cell in row.values())
            if writer is None or in_shard + row_size > self.limit and in_shard:
                self._close(writer)
                writer, in_shard = self._open(paths), 0
            writer.write(row)
            count, size, in_shard = count + 1, size + row_size, in_shard + row_size
        self._close(writer)
        for number, path in enumerate(paths):
            path.rename(self.folder / f"{self.split}-{number:05d}-of-{len(paths):05d}.parquet")
        files = self.folder.glob(f"{self.split}-*.parquet")
        return WrittenSplit(self.split, count, size, sum(path.stat().st_size for path in files))

    def _open(self, paths: list[Path]) -> ParquetWriter:
        paths.append(self.folder / f"{self.split}.{len(paths)}")
        return ParquetWriter(features=self.features, path=str(paths[-1]), writer_batch_size=ROWS_IN_MEMORY)

    @staticmethod
    def _close(writer: ParquetWriter | None) -> None:
        if writer is not None:
            writer.finalize()


__all__ = ["ShardWriter", "WrittenSplit"]

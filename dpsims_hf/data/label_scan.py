# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The pass over all files of a set before training: pixel counts, sizes and problems, made once and kept on disk."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from .rows import sizes_differ


if TYPE_CHECKING:
    from .dataset import SemanticImageDataset

THREADS = min(8, os.cpu_count() or 1)
WINDOW = 32 * THREADS


@dataclass
class LabelScan:
    """What one pass over all label files found.

    `pixel_counts` (images, num_labels) int64, a row of zeros for a bad file; `sizes` (height, width) of each label
    map, None for a bad one; `problems` one line per bad file, in the order of the rows.
    """

    pixel_counts: np.ndarray
    sizes: list[tuple[int, int] | None]
    problems: list[str] = field(default_factory=list)

    def by_row(self) -> dict[int, str]:
        """Row of each bad label file -> its problem."""
        rows = [index for index, size in enumerate(self.sizes) if size is None]
        return dict(zip(rows, self.problems, strict=True))


def in_threads(function: Callable[[int], Any], count: int, description: str, progress: bool) -> Iterator[Any]:
    """function(0), function(1), ... in order, computed by several threads (decoding frees the interpreter)."""
    bar = tqdm(total=count, desc=description, unit="file", disable=not progress, leave=False)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, count, WINDOW):  # never more results in memory than a window
            for result in pool.map(function, range(start, min(start + WINDOW, count))):
                yield result
                bar.update()


def scan_labels(dataset: "SemanticImageDataset", progress: bool) -> LabelScan:
    """Decode every label map once."""
    num_labels = dataset.spec.num_labels

    def read(index: int) -> tuple[np.ndarray, tuple[int, int] | None, str | None]:
        try:
            label_map = dataset.compact_label_map(index)
        except ValueError as error:
            return np.zeros(num_labels, dtype=np.int64), None, str(error)
        return np.bincount(label_map.ravel(), minlength=num_labels), label_map.shape, None

    counts, sizes, problems = zip(*in_threads(read, len(dataset), "reading labels", progress), strict=True)
    return LabelScan(np.stack(counts).astype(np.int64), list(sizes), [line for line in problems if line is not None])


def photo_problems(dataset: "SemanticImageDataset", scan: LabelScan, progress: bool) -> dict[int, str]:
    """Row -> problem of the photos that are unreadable, or differ in size from their label map, by their headers."""

    def check(index: int) -> str | None:
        try:
            photo_size, size = dataset.photo_size(index), scan.sizes[index]
        except ValueError as error:
            return str(error)
        if size is not None and photo_size is not None and photo_size != size:
            return sizes_differ(dataset.source(index, "label_map"), size, photo_size)
        return None

    found = enumerate(in_threads(check, len(dataset), "reading photo headers", progress))
    return {index: problem for index, problem in found if problem is not None}


def write_scan(file: Path, scan: LabelScan, photos: dict[int, str]) -> None:
    """Keep the results of `scan_labels` and `photo_problems`."""
    sizes = np.array([(-1, -1) if size is None else size for size in scan.sizes], dtype=np.int32)
    text = np.array(json.dumps({"problems": scan.problems, "photos": list(photos.items())}))
    with file.open("wb") as stream:  # given a path, NumPy would add a suffix
        np.savez_compressed(stream, pixel_counts=scan.pixel_counts, sizes=sizes, text=text)


def read_scan(file: Path) -> tuple[LabelScan, dict[int, str]]:
    """What `write_scan` kept."""
    with np.load(file) as stored:
        text = json.loads(str(stored["text"]))
        sizes = [None if height < 0 else (height, width) for height, width in stored["sizes"].tolist()]
        return LabelScan(stored["pixel_counts"], sizes, text["problems"]), dict(text["photos"])


__all__ = ["LabelScan", "in_threads", "photo_problems", "read_scan", "scan_labels", "write_scan"]

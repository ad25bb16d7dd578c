# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The pass over all files of a set before training: pixel counts, sizes and problems, made once and kept on disk."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm.auto import tqdm

from ...image_processing_reading import Reading
from ..specs import DatasetSpec
from .bad_samples import BadSamples
from .cache_folder import computed_once
from .report import joined_span
from .rows import sizes_differ


THREADS = min(8, os.cpu_count() or 1)
WINDOW = 32 * THREADS


class Scannable(Protocol):
    """What of a dataset is looked at."""

    spec: DatasetSpec
    bad_samples: BadSamples
    cache_dir: Path | None

    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def source(self, index: int, column: str) -> str: ...
    def label_map_and_reading(self, index: int) -> tuple[np.ndarray, Reading]: ...
    def photo_size(self, index: int) -> tuple[int, int] | None: ...


@dataclass
class LabelScan:
    """What one pass over all label files found.

    `pixel_counts` (images, num_labels) int64, a row of zeros for a bad file; `sizes` (height, width) of each label
    map, None for a bad one; `problems` one line per bad file, in the order of the rows. `half_transparent` counts the
    pixels that are, of all files; `span` is the lowest and highest number in those files whose numbers are class ids
    (`Reading.span`), None if there is none.
    """

    pixel_counts: np.ndarray
    sizes: list[tuple[int, int] | None]
    problems: list[str] = field(default_factory=list)
    half_transparent: int = 0
    span: tuple[int, int] | None = None

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


def scan_labels(dataset: Scannable, progress: bool) -> LabelScan:
    """Decode every label map once."""
    num_labels = dataset.spec.num_labels

    half_transparent = [0] * len(dataset)
    spans: list[tuple[int, int] | None] = [None] * len(dataset)

    def read(index: int) -> tuple[np.ndarray, tuple[int, int] | None, str | None]:
        try:
            label_map, reading = dataset.label_map_and_reading(index)
        except ValueError as error:
            return np.zeros(num_labels, dtype=np.int64), None, str(error)
        half_transparent[index], spans[index] = reading.half_transparent, reading.span
        return np.bincount(label_map.ravel(), minlength=num_labels), label_map.shape, None

    counts, sizes, problems = zip(*in_threads(read, len(dataset), "reading labels", progress), strict=True)
    problems = [line for line in problems if line is not None]
    counts = np.stack(counts).astype(np.int64)
    return LabelScan(counts, list(sizes), problems, sum(half_transparent), joined_span(spans))


def photo_problems(dataset: Scannable, scan: LabelScan, progress: bool) -> dict[int, str]:
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
    facts = {"half_transparent": scan.half_transparent, "span": scan.span}
    text = np.array(json.dumps({"problems": scan.problems, "photos": list(photos.items()), **facts}))
    with file.open("wb") as stream:  # given a path, NumPy would add a suffix
        np.savez_compressed(stream, pixel_counts=scan.pixel_counts, sizes=sizes, text=text)


def read_scan(file: Path) -> tuple[LabelScan, dict[int, str]]:
    """What `write_scan` kept."""
    with np.load(file) as stored:
        text = json.loads(str(stored["text"]))
        sizes = [None if height < 0 else (height, width) for height, width in stored["sizes"].tolist()]
        span = None if text["span"] is None else tuple(text["span"])
        scan = LabelScan(stored["pixel_counts"], sizes, text["problems"], text["half_transparent"], span)
        return scan, dict(text["photos"])


class DatasetChecks:
    """The checks of a dataset before training: each is made once, or never if `cache_dir` holds its result.

    Args:
        dataset: Is looked at when a check is asked for, and not before.
    """

    def __init__(self, dataset: Scannable) -> None:
        self.dataset = dataset
        self._scan: LabelScan | None = None
        self._problems: dict[int, str] | None = None

    def scan(self, progress: bool) -> LabelScan:
        """Of all label maps."""
        if self._scan is None:
            self._scan = scan_labels(self.dataset, progress)
        return self._scan

    def problems(self, progress: bool) -> dict[int, str]:
        """Row -> problem; from `cache_dir` if any run has looked at this content before."""
        dataset = self.dataset

        def write(file: Path) -> None:
            scan = self.scan(progress)
            write_scan(file, scan, photo_problems(dataset, scan, progress))

        if self._problems is not None:
            return self._problems
        if dataset.cache_dir is None:
            photos = photo_problems(dataset, self.scan(progress), progress)
        else:
            name = f"labels-{dataset.fingerprint}.npz"
            self._scan, photos = read_scan(computed_once(dataset.cache_dir / name, write))
        self._problems = dict(sorted((photos | self.scan(progress).by_row()).items()))
        return self._problems

    def validate(self, progress: bool) -> None:
        """Raise a ValueError for more problems than the dataset allows: the first one, and how many more there are."""
        problems = self.problems(progress)
        bad_samples = self.dataset.bad_samples
        if len(problems) > bad_samples.limit:
            first, more = next(iter(problems.values())), len(problems) - 1
            others = f" (and {more} more; python -m dpsims_hf.data.inspect lists them)" if more else ""
            raise ValueError(first + others)
        for index, problem in problems.items():
            bad_samples.report(self.dataset.source(index, "image"), ValueError(problem))


__all__ = [
    "DatasetChecks",
    "LabelScan",
    "Scannable",
    "in_threads",
    "photo_problems",
    "read_scan",
    "scan_labels",
    "write_scan",
]

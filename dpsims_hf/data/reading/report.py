# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How the label files of a set were read, told per kind of file, and what the set as a whole says against it."""

import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...image_processing_reading import TURNED, LabelMap, Reading
from ..encodings.labels import IDS
from ..specs import DatasetSpec
from .labelled_pixels import check_labelled


@dataclass
class _Kind:
    """Files that were read in one way."""

    files: int = 0
    pixels: int = 0
    exact: int = 0
    half_transparent: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    turned: int = 0


class ReadingReport:
    """Collects the readings of label maps, from several threads.

    Args:
        spec: Of the set.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self.spec = spec
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.Lock()

    def add(self, label_map: LabelMap) -> None:
        """Count one label map; one without `reading` is passed over."""
        reading = getattr(label_map, "reading", None)
        if reading is None:
            return
        counts = np.bincount(np.asarray(label_map).ravel(), minlength=self.spec.num_labels)
        with self._lock:
            kind = self._kinds.setdefault(reading.what, _Kind(counts=np.zeros_like(counts)))
            kind.files += 1
            kind.pixels += reading.pixels
            kind.exact += reading.exact_pixels
            kind.half_transparent += reading.half_transparent
            kind.counts = kind.counts + counts
            kind.turned += TURNED in reading.notes

    def lines(self) -> list[str]:
        """One line for each way of reading: files, share explained exactly, void, classes that occur."""
        return [self._line(what, kind) for what, kind in sorted(self._kinds.items(), key=lambda item: -item[1].files)]

    def _line(self, what: str, kind: _Kind) -> str:
        void = self.spec.void_label_id
        present = int(np.count_nonzero(kind.counts)) - (void is not None and bool(kind.counts[void]))
        text = f"read as {what}: {kind.files} files, {percent(kind.exact, kind.pixels)} of the pixels exactly"
        if void is not None:
            text += f", {percent(int(kind.counts[void]), int(kind.counts.sum()))} void"
        text += f", {present} of {self.spec.num_labels - (void is not None)} classes occur"
        text += f"; {kind.turned} files {TURNED}" if kind.turned else ""
        return text + (f"; {half_transparent(kind.half_transparent, kind.counts)}" if kind.half_transparent else "")


def half_transparent(pixels: int, counts: np.ndarray) -> str:
    """What was done about half-transparent pixels.

    Args:
        pixels: How many there are.
        counts: Of all pixels, by class or in any other way.
    """
    share = percent(pixels, int(counts.sum()))
    return f"{pixels:,} pixels ({share}) are half transparent: painted from half on, void below"


def percent(part: int, whole: int) -> str:
    """A share as text; never rounded to all or nothing."""
    share = 100 * part / max(1, whole)
    if 0 < part < whole:
        share = min(max(share, 0.01), 99.99)
    return f"{share:.2f} %"


def start_doubt(spec: DatasetSpec, low: int, high: int) -> str:
    """Whether the numbers of a set may start at 1 as well as at 0, in words; empty if there is no doubt.

    Args:
        spec: Of the set.
        low, high: The lowest and highest number in label files that have no other say, values of void aside.
    """
    void, classes = spec.void_label_id, spec.num_labels - 1
    has_other_void = any(value != void for value in spec.void_values)
    if spec.label_encoding != IDS or spec.label_reading is not None or not has_other_void:
        return ""
    if low < 1 or not high == classes == void:
        return ""
    return (
        f"the label files hold {low}..{high} and never 0: ids that start at 1? As they are, {spec.labels[0]} never "
        f"occurs and {spec.labels[classes - 1]} is read as void; if so, --label_reading ids_from_1, or in classes.json"
        ' "label_encoding": "from_1", "label_encodings": [{"name": "from_1", "offset": -1}]; if they are as they '
        "should be, --label_reading ids_from_0"
    )


def joined_span(spans: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    """The lowest and highest number of several files, see `Reading.span`."""
    known = [span for span in spans if span is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def check_readings(pixel_counts: np.ndarray, readings: Sequence[Reading], spec: DatasetSpec, name: str) -> None:
    """`check_scan` of what is known of each label map."""
    transparent = sum(reading.half_transparent for reading in readings)
    check_scan(pixel_counts, transparent, joined_span(reading.span for reading in readings), spec, name)


def check_scan(
    pixel_counts: np.ndarray, transparent: int, span: tuple[int, int] | None, spec: DatasetSpec, name: str
) -> None:
    """What the label maps of a set say together, before it is trained on: warn, or refuse.

    Args:
        pixel_counts: (images, num_labels), a row of zeros for a map that could not be read.
        transparent: Half-transparent pixels.
        span: The lowest and highest number in files whose numbers are class ids.
        spec: Of the set.
        name: What messages call the set.

    Raises:
        ValueError: not one labelled pixel, or ids that may start at 1 as well.
    """
    if span is not None and (doubt := start_doubt(spec, *span)):
        raise ValueError(f"{name}: {doubt}")
    check_labelled(pixel_counts, spec.void_label_id, name)
    if transparent:
        warnings.warn(f"{name}: {half_transparent(transparent, pixel_counts)}", stacklevel=3)


def doubts(spec: DatasetSpec, values: Mapping[int, int]) -> list[str]:
    """What the numbers of all label files together say against reading them as they are.

    Args:
        spec: Of the set.
        values: Numbers in label files, and their pixels.
    """
    if spec.label_encoding != IDS or spec.label_reading is not None or not values:
        return []
    found = set(map(int, values))
    numbers = [value for value in found if value == spec.void_label_id or value not in spec.void_values]
    doubt = start_doubt(spec, min(numbers), max(numbers)) if numbers else ""
    if doubt:
        return [doubt]
    if found == {0, 255} and 255 in spec.void_values and spec.num_labels > 1:
        return [
            f"the label files hold 0 and 255 alone: 255 is read as void; if they are masks of {spec.labels[1]}, "
            "--label_reading mask"
        ]
    return []


__all__ = ["ReadingReport", "check_readings", "check_scan", "doubts", "joined_span", "percent"]

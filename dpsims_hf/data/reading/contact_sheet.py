# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A picture of some samples, to see at once whether labels fit: photos, colours over them, and a legend."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from ..specs import DatasetSpec


WIDTH, ROWS, MARGIN = 320, 12, 8  # of a picture in pixels; samples at most; between pictures
OPACITY = 0.6  # of the colours over the photo


class Samples(Protocol):
    """What is drawn of a dataset."""

    spec: DatasetSpec
    name: str

    def __len__(self) -> int: ...

    def arrays(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]: ...

    def source(self, index: int, column: str) -> str: ...


def contact_sheet(datasets: Sequence[Samples]) -> Image.Image:
    """Some samples of each split, evenly spaced, two pictures a row: the photo, and its classes' colours over it.

    Args:
        datasets: Splits of one set; samples that cannot be read are left out.

    Raises:
        ValueError: no sample can be read.
    """
    rows, used = [], np.zeros(datasets[0].spec.num_labels, dtype=bool)
    for dataset in datasets:
        count = max(1, ROWS // len(datasets))
        for index in np.unique(np.linspace(0, len(dataset) - 1, count).astype(int)).tolist():
            try:
                photo, label_map, _ = dataset.arrays(index)
            except ValueError:
                continue
            used[np.unique(label_map)] = True
            rows.append(_row(photo, label_map, dataset.spec, Path(dataset.source(index, "image")).name))
    if not rows:
        raise ValueError(f"{datasets[0].name}: no sample can be read; there is nothing to draw")
    parts = [*rows, _legend(datasets[0].spec, used)]
    sheet = Image.new("RGB", (2 * WIDTH + 3 * MARGIN, sum(part.height + MARGIN for part in parts) + MARGIN), "white")
    top = MARGIN
    for part in parts:
        sheet.paste(part, (MARGIN, top))
        top += part.height + MARGIN
    return sheet


def _row(photo: np.ndarray, label_map: np.ndarray, spec: DatasetSpec, name: str) -> Image.Image:
    colors = np.asarray(spec.palette, dtype=np.uint8)[label_map]
    over = (photo * (1 - OPACITY) + colors * OPACITY).astype(np.uint8)
    height = max(1, round(WIDTH * photo.shape[0] / photo.shape[1]))
    row = Image.new("RGB", (2 * WIDTH + MARGIN, height + 14), "white")
    for i, picture in enumerate((photo, over)):
        row.paste(Image.fromarray(picture).resize((WIDTH, height)), (i * (WIDTH + MARGIN), 14))
    ImageDraw.Draw(row).text((0, 0), name.encode("latin-1", "replace").decode("latin-1"), fill="black")
    return row


def _legend(spec: DatasetSpec, used: np.ndarray) -> Image.Image:
    """The classes that occur, in three columns."""
    ids = np.flatnonzero(used).tolist()
    per_column = -(-len(ids) // 3)
    legend = Image.new("RGB", (2 * WIDTH + MARGIN, 16 * per_column), "white")
    draw = ImageDraw.Draw(legend)
    for position, label_id in enumerate(ids):
        left, top = (position // per_column) * (legend.width // 3), 16 * (position % per_column)
        draw.rectangle((left, top + 1, left + 12, top + 13), fill=tuple(spec.palette[label_id]), outline="black")
        text = f"{label_id} {spec.labels[label_id]}"[:32] + (" (void)" if label_id == spec.void_label_id else "")
        draw.text((left + 18, top + 1), text.encode("latin-1", "replace").decode("latin-1"), fill="black")
    return legend


__all__ = ["contact_sheet"]

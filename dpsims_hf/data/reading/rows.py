# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From one row of a dataset's table to arrays, and from arrays to a training sample; every kind
of set decodes here.
"""

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...configuration_rules import shown
from ...image_processing_files import (
    MAX_PIXELS,
    channels_last,
    open_header,
    open_image,
    photo_to_pixel_values,
    read_photo,
)
from ...image_processing_label_files import LabelPixels, open_label
from ...image_processing_photos import check_single
from ...image_processing_reading import LabelMap, Reading
from ...pipeline_instances import instance_offsets
from ..encodings.instances import instance_ids
from ..specs import DatasetSpec
from .report import ReadingReport


class RowDecoder:
    """Decodes the cells of the columns `image`, `label_map`, `instance_map` and `segments_info`.

    A cell is an undecoded image ({"path", "bytes"}), bytes, a path or, for label and instance maps, an array or nested
    lists; `segments_info` is a list of dicts or its JSON text. Label values become ids here, by the spec's label
    encoding, and instance values by its instance encoding.

    Args:
        spec: The label space.
        name: What errors call the set.
        report: Takes how each label map was read.
    """

    def __init__(self, spec: DatasetSpec, name: str, report: ReadingReport | None = None) -> None:
        self.spec, self.name, self.report = spec, name, report
        self.processor = replace(spec, original_encoding=None, original_reading=None).image_processor()

    def source(self, row: dict[str, Any], index: int, column: str) -> str:
        """What error messages call a cell: its path, or dataset, row and column."""
        cell = row[column]
        path = cell.get("path") if isinstance(cell, dict) else None
        return shown(str(path)[:1000]) if path else f"{self.name}, row {index}, column {column}"

    def photo(self, row: dict[str, Any], index: int) -> np.ndarray:
        """The photo at its own size, (height, width, 3) uint8."""
        return read_photo(self._content(row, index, "image"), self.source(row, index, "image"))

    def photo_size(self, row: dict[str, Any], index: int) -> tuple[int, int] | None:
        """(height, width) from the header; None where the photo must be decoded to know (EXIF rotation)."""
        photo = self._content(row, index, "image")
        if isinstance(photo, np.ndarray):
            return photo.shape[:2]
        source = self.source(row, index, "image")
        with open_header(photo, source) as image:
            check_single(image, source)
            try:
                return None if image.getexif().get(0x0112, 1) != 1 else (image.height, image.width)
            except Exception:  # damaged EXIF data: the pixels tell
                return None

    def label_map(self, row: dict[str, Any], index: int) -> np.ndarray:
        """The label map at its own size, (height, width) in the smallest dtype that holds it."""
        return self.label_map_and_reading(row, index)[0]

    def label_map_and_reading(self, row: dict[str, Any], index: int) -> tuple[np.ndarray, Reading]:
        """`label_map`, and how it was read."""
        label_map = self.to_ids(self.label_values(row, index), self.source(row, index, "label_map"))
        if self.report is not None:
            self.report.add(label_map)
        return np.asarray(label_map.astype(self._dtype)), label_map.reading

    def label_values(self, row: dict[str, Any], index: int) -> LabelPixels:
        """The label map as it is stored, opened but not understood."""
        lossy = self.spec.label_reading == "nearest_colors"
        return open_label(self._content(row, index, "label_map"), self.source(row, index, "label_map"), lossy)

    def to_ids(self, values: Any, source: str) -> LabelMap:
        """What `label_values` gives -> class ids; colour files show the classes themselves, whatever the encoding."""
        return self.processor.decode_label_map(values, source, self.spec.label_reading, in_set=True)

    @property
    def _dtype(self) -> type:
        return np.uint8 if self.spec.num_labels <= 256 else np.uint16

    def instance_map(self, row: dict[str, Any], index: int, shape: tuple[int, int]) -> np.ndarray:
        """The instance map, (height, width) int32, 0 = none; `shape` is that of the label map."""
        source, values = self.source(row, index, "instance_map"), self._content(row, index, "instance_map")
        values = values if isinstance(values, np.ndarray) else np.asarray(open_image(values, source))
        segments = row.get("segments_info")
        segments = json.loads(segments) if isinstance(segments, str) else segments
        ids = instance_ids(
            channels_last(values),
            self.spec.instance_encoding or "ids",
            thing_ids=self.spec.thing_ids,
            segments_info=segments,
            source=source,
        )
        if ids.shape != shape:
            raise ValueError(sizes_differ(source, ids.shape, shape))
        return ids

    def _content(self, row: dict[str, Any], index: int, column: str) -> Any:
        if is_empty(row[column]):
            raise ValueError(empty_cell(self.name, index, column))
        source = self.source(row, index, column)
        try:
            found = content(row[column])
        except ValueError:  # numpy's words for rows of different lengths help nobody
            raise ValueError(f"{source}: nested lists that are no rectangle; store (height, width)") from None
        if isinstance(found, np.ndarray):
            if found.dtype.kind == "O":
                raise ValueError(f"{source}: nested lists that are no rectangle of numbers; store (height, width)")
            if found.size > 3 * MAX_PIXELS:  # colours may stand in them
                raise ValueError(
                    f"{source}: lists of {found.size:,} numbers, and pictures have at most {MAX_PIXELS:,} pixels; "
                    "store it as a PNG, in tiles"
                )
        return found

    def sample(
        self, photo: np.ndarray, label_map: np.ndarray, instance_map: np.ndarray | None, index: int
    ) -> dict[str, Any]:
        """What a batch is made of, from arrays of one size.

        Returns:
            `pixel_values` (3, height, width) float32 in [-1, 1], `label_map` (height, width) int64, `index`, and with
            an instance map `instance_offsets` (2, height, width) float32.
        """
        sample = {
            "pixel_values": torch.from_numpy(photo_to_pixel_values(photo)),
            "label_map": torch.from_numpy(label_map.astype(np.int64)),
            "index": index,
        }
        if instance_map is not None:
            sample["instance_offsets"] = instance_offsets(instance_map, label_map, self.processor.stuff_ids)
        return sample


def is_empty(cell: Any) -> bool:
    """Whether a table has nothing in a cell: null, or an image without bytes and path."""
    return cell is None or (isinstance(cell, dict) and not any(value is not None for value in cell.values()))


def empty_cell(name: str, index: int, column: str) -> str:
    """The message about a cell with nothing in it."""
    return f"{name}, row {index}, column {column}: empty; fill the cell, or remove the row"


def content(cell: Any) -> Any:
    """What a decoder takes: a path, a file object over bytes, or an array."""
    if isinstance(cell, dict) and {"path", "bytes"} <= cell.keys():
        return io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"]
    if isinstance(cell, bytes):
        return io.BytesIO(cell)
    return cell if isinstance(cell, str) else np.asarray(cell)


def sizes_differ(source: str, size: tuple[int, ...], photo_size: tuple[int, ...]) -> str:
    """The message about a label or instance map that does not fit its photo."""
    if size[0] != size[1] and size == photo_size[::-1]:
        return (
            f"{source}: size {size[0]}x{size[1]} (height x width) is that of its photo before a quarter turn: the "
            "photo's EXIF orientation was applied, and the label map lacks it; turn the label map likewise"
        )
    return (
        f"{source}: size {size[0]}x{size[1]} (height x width) differs from its photo's "
        f"{photo_size[0]}x{photo_size[1]}; export both at the same size"
    )


__all__ = ["RowDecoder", "content", "empty_cell", "is_empty", "sizes_differ"]

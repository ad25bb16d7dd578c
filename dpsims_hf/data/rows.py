# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From one row of a data set's table to arrays, and from arrays to a training sample; every kind
of set decodes here.
"""

import io
from typing import Any

import numpy as np
import torch

from ..image_processing_files import open_image, photo_to_pixel_values, read_photo
from .instance_offsets import instance_offsets
from .specs import DatasetSpec


class RowDecoder:
    """Decodes the cells of the columns `image`, `label_map` and `instance_map`.

    A cell is an undecoded image ({"path", "bytes"}) or, for the last two, an array or nested lists.

    Args:
        spec: The label space.
        name: What errors call the set.
    """

    def __init__(self, spec: DatasetSpec, name: str) -> None:
        self.spec, self.name = spec, name
        self.processor = spec.image_processor()

    def source(self, row: dict[str, Any], index: int, column: str) -> str:
        """What error messages call a cell: its path, or data set, row and column."""
        cell = row[column]
        path = cell.get("path") if isinstance(cell, dict) else None
        return str(path) if path else f"{self.name}, row {index}, column {column}"

    def photo(self, row: dict[str, Any], index: int) -> np.ndarray:
        """The photo at its own size, (height, width, 3) uint8."""
        return read_photo(content(row["image"]), self.source(row, index, "image"))

    def label_map(self, row: dict[str, Any], index: int) -> np.ndarray:
        """The label map at its own size, (height, width) in the smallest dtype that holds it."""
        source = self.source(row, index, "label_map")
        label_map = self.processor.decode_label_map(content(row["label_map"]), source)
        return label_map.astype(np.uint8 if self.spec.num_labels <= 256 else np.uint16)

    def instance_map(self, row: dict[str, Any], index: int, shape: tuple[int, int]) -> np.ndarray:
        """The instance map, (height, width) int32; `shape` is that of the label map."""
        source, values = self.source(row, index, "instance_map"), content(row["instance_map"])
        values = values if isinstance(values, np.ndarray) else np.asarray(open_image(values, source))
        if values.ndim == 3:  # panoptic PNGs: id = R + 256 G + 256^2 B
            values = values[..., :3].astype(np.int32) @ np.array([1, 256, 65536], dtype=np.int32)
        if values.shape != shape:
            raise ValueError(sizes_differ(source, values.shape, shape))
        return values.astype(np.int32)

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
            stuff = set(self.spec.stuff_ids) | ({self.spec.void_label_id} - {None})
            sample["instance_offsets"] = instance_offsets(instance_map, label_map, stuff)
        return sample


def content(cell: Any) -> Any:
    """What a decoder takes: a path, a file object over bytes, or an array."""
    if isinstance(cell, dict) and {"path", "bytes"} <= cell.keys():
        return io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"]
    return np.asarray(cell)


def sizes_differ(source: str, size: tuple[int, ...], photo_size: tuple[int, ...]) -> str:
    """The message about a label or instance map that does not fit its photo."""
    return (
        f"{source}: size {size[0]}x{size[1]} (height x width) differs from its photo's "
        f"{photo_size[0]}x{photo_size[1]}; export both at the same size"
    )


__all__ = ["RowDecoder", "content", "sizes_differ"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From one row of a data set's table to arrays, and from arrays to a training sample; every kind
of set decodes here.
"""

import io
import json
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..image_processing_files import channels_last, open_image, photo_to_pixel_values, read_photo
from ..image_processing_semantic import INDEX_MODES
from ..pipeline_instances import instance_offsets
from .instance_encodings import instance_ids
from .label_encodings import IDS
from .specs import DatasetSpec


class RowDecoder:
    """Decodes the cells of the columns `image`, `label_map`, `instance_map` and `segments_info`.

    A cell is an undecoded image ({"path", "bytes"}), bytes, a path or, for label and instance maps, an array or nested
    lists; `segments_info` is a list of dicts or its JSON text. Label values become ids here, by the spec's label
    encoding, and instance values by its instance encoding.

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
        return self.to_ids(self.label_values(row, index), self.source(row, index, "label_map"))

    def label_values(self, row: dict[str, Any], index: int) -> Image.Image | np.ndarray:
        """The label map as it is stored: the opened file, or an array."""
        values = self._content(row, index, "label_map")
        return values if isinstance(values, np.ndarray) else open_image(values, self.source(row, index, "label_map"))

    def to_ids(self, values: Image.Image | np.ndarray, source: str) -> np.ndarray:
        """What `label_values` gives -> class ids; colour files show the classes themselves, whatever the encoding."""
        if self.spec.label_encoding != IDS:
            array = channels_last(np.asarray(values))
            if getattr(values, "mode", "L") in INDEX_MODES and array.ndim == 2 and array.size:
                void = self.spec.void_label_id
                pairs = () if void is None else tuple((value, void) for value in self.spec.void_values)
                values = self.spec.encoding().to_ids(array, self.spec.num_labels, pairs, source)
                return values.astype(self._dtype)
        return self.processor.decode_label_map(values, source).astype(self._dtype)

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
        try:
            return content(row[column])
        except ValueError:  # numpy's words for rows of different lengths help nobody
            source = self.source(row, index, column)
            raise ValueError(f"{source}: nested lists that are no rectangle; store (height, width)") from None

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


def content(cell: Any) -> Any:
    """What a decoder takes: a path, a file object over bytes, or an array."""
    if isinstance(cell, dict) and {"path", "bytes"} <= cell.keys():
        return io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"]
    if isinstance(cell, bytes):
        return io.BytesIO(cell)
    return cell if isinstance(cell, str) else np.asarray(cell)


def sizes_differ(source: str, size: tuple[int, ...], photo_size: tuple[int, ...]) -> str:
    """The message about a label or instance map that does not fit its photo."""
    return (
        f"{source}: size {size[0]}x{size[1]} (height x width) differs from its photo's "
        f"{photo_size[0]}x{photo_size[1]}; export both at the same size"
    )


__all__ = ["RowDecoder", "content", "sizes_differ"]

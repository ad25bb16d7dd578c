# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How the values in label files become class ids: id = value + offset, and a table of exceptions."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...image_processing_files import listing, spans


IDS = "ids"  # the encoding that every label space has: a value is the id


@dataclass(frozen=True)
class LabelEncoding:
    """One way in which label files write down the classes of a label space.

    Args:
        name: What `label_encoding` of a spec calls it.
        offset: id = value + offset for values >= 0; None: only what `values` lists is legal.
        values: (value, id) pairs that go before the offset.
        note: Which files are written like this.
    """

    name: str
    offset: int | None = 0
    values: tuple[tuple[int, int], ...] = ()
    note: str = ""

    def legal_values(self, num_labels: int) -> dict[int, int]:
        """Every legal value and the id that it becomes."""
        shifted = {} if self.offset is None else {i - self.offset: i for i in range(num_labels) if i >= self.offset}
        return shifted | dict(self.values)

    def to_ids(
        self,
        values: np.ndarray,
        num_labels: int,
        void: tuple[tuple[int, int], ...] = (),
        source: str = "label map",
    ) -> np.ndarray:
        """Values of a file -> class ids.

        Args:
            values: (height, width), whole numbers of any dtype.
            num_labels: Of the label space.
            void: Further (value, id) pairs, for values that the encoding does not list.
            source: What errors call the file.

        Returns:
            (height, width) int64 in 0 .. num_labels-1.

        Raises:
            ValueError: a value without a meaning, or fractions.
        """
        raw = values.astype(np.int64)
        if values.dtype.kind == "f" and not np.array_equal(raw, values):
            raise ValueError(f"{source}: label values are not whole numbers (dtype {values.dtype}); pass integers")
        low, table = _lookup(self, num_labels, void)
        inside = (raw >= low) & (raw < low + len(table))
        ids = np.where(inside, table[np.clip(raw - low, 0, len(table) - 1)], -1)
        if ids.min() < 0:
            illegal, counts = np.unique(raw[ids < 0], return_counts=True)
            legal = spans([*self.legal_values(num_labels), *dict(void)])
            raise ValueError(
                f"{source}: label value {listing(illegal.tolist())} has no meaning in the label encoding {self.name} "
                f"({counts.sum()} pixels): legal are {legal}; correct the file, or name the encoding that it has"
            )
        return ids

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "LabelEncoding":
        """From its entry in a classes.json: `name`, `offset`, `values` {value: id}, `note`."""
        values = tuple((int(value), int(label)) for value, label in content.get("values", {}).items())
        return cls(str(content["name"]), content.get("offset", 0), values, str(content.get("note", "")))

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads."""
        values = {str(value): label for value, label in self.values}
        return {"name": self.name, "offset": self.offset, "values": values, "note": self.note}


@lru_cache(maxsize=64)
def _lookup(encoding: LabelEncoding, num_labels: int, void: tuple[tuple[int, int], ...]) -> tuple[int, np.ndarray]:
    """The smallest legal value, and the id of each value from there on (-1: none)."""
    legal = dict(void) | encoding.legal_values(num_labels)
    low = min(legal)
    table = np.full(max(legal) - low + 1, -1, dtype=np.int64)
    for value, label in legal.items():
        table[value - low] = label
    return low, table


__all__ = ["IDS", "LabelEncoding", "spans"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From a dataset's labels to the classes of a segmenter."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...image_processing_files import listing


class LabelMapping:
    """From the labels of a dataset to the classes of a segmenter; what has no class is ignored.

    Args:
        table: Segmenter id for each dataset id; None for void and other ignored labels.
        num_labels: Classes of the segmenter.
        rule: How the table was made, as text.
    """

    ignore_index = -1

    def __init__(self, table: Sequence[int | None], num_labels: int, rule: str = "table") -> None:
        wrong = [value for value in table if value is not None and not 0 <= value < num_labels]
        if wrong:
            raise ValueError(f"the label table holds {wrong[0]}, but the segmenter has classes 0 .. {num_labels - 1}")
        if all(value is None for value in table):
            raise ValueError(f"none of the {len(table)} labels has a class among the segmenter's {num_labels}")
        self.table, self.num_labels, self.rule = list(table), num_labels, rule

    @classmethod
    def by_names(
        cls,
        labels: Sequence[str],
        segmenter_labels: Sequence[str],
        void_label_id: int | None = None,
        names: Mapping[str, str | None] | None = None,
    ) -> "LabelMapping":
        """Match by equal names (case, "-" and "_" do not count).

        Args:
            labels: Of the dataset, by id.
            segmenter_labels: Of the segmenter, by id.
            void_label_id: Ignored.
            names: Dataset name -> segmenter name for those that differ; None ignores the label. Names that the data
                set does not have are passed over.

        Raises:
            ValueError: labels without a class, with both class counts.
        """
        known = {_plain(name): index for index, name in enumerate(segmenter_labels)}
        renamed = {_plain(name): target for name, target in (names or {}).items()}
        table, missing = [], []
        for index, label in enumerate(labels):
            target = None if index == void_label_id else renamed.get(_plain(label), label)
            table.append(None if target is None else known.get(_plain(target)))
            if target is not None and table[-1] is None:
                missing.append(label)
        if missing:
            own = len(labels) - (void_label_id is not None)
            raise ValueError(
                f"the dataset has {own} classes, the segmenter {len(segmenter_labels)}, and none of the same name "
                f"for: {listing(missing)}; give a table of names"
            )
        return cls(table, len(segmenter_labels), "equal names" if not names else "equal names, and a table")

    @classmethod
    def by_order(
        cls, labels: Sequence[str], segmenter_labels: Sequence[str], void_label_id: int | None = None
    ) -> "LabelMapping":
        """The segmenter has the dataset's classes in the same order, void left out (ADE20K: id - 1)."""
        own = [index for index in range(len(labels)) if index != void_label_id]
        if len(own) != len(segmenter_labels):
            raise ValueError(
                f"the dataset has {len(own)} classes, the segmenter {len(segmenter_labels)}: their order "
                "does not match"
            )
        places = {index: place for place, index in enumerate(own)}
        return cls([places.get(index) for index in range(len(labels))], len(own), "same order, void left out")

    def __call__(self, label_map: torch.Tensor) -> torch.Tensor:
        """Dataset ids (..., height, width) -> segmenter ids, int64; `ignore_index` where there is no class."""
        lowest, highest = (int(value) for value in label_map.aminmax())
        if lowest < 0 or highest >= len(self.table):
            illegal = lowest if lowest < 0 else highest
            raise ValueError(f"the label map holds {illegal}, but the dataset has labels 0 .. {len(self.table) - 1}")
        ids = [self.ignore_index if value is None else value for value in self.table]
        return torch.tensor(ids, device=label_map.device)[label_map.long()]

    def restrict(self, predictions: torch.Tensor) -> torch.Tensor:
        """Set classes that the dataset has no label for to `num_labels`: wrong, but no class of their own."""
        legal = torch.zeros(self.num_labels, dtype=torch.bool, device=predictions.device)
        legal[[value for value in self.table if value is not None]] = True
        return torch.where(legal[predictions], predictions, self.num_labels)

    def facts(self) -> dict[str, Any]:
        """How labels were matched, for the results."""
        return {
            "label_mapping": self.rule,
            "dataset_labels": len(self.table),
            "ignored_labels": [index for index, value in enumerate(self.table) if value is None],
            "segmenter_classes": self.num_labels,
            "segmenter_classes_used": len({value for value in self.table if value is not None}),
        }


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


__all__ = ["LabelMapping"]

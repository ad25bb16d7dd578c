# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How often each class occurs, for rare-class sampling from a stream; a first pass over a set writes it to a file.

    python -m dpsims_hf.data.class_frequencies REPO --classes ade20k --output frequencies.json

Training then takes it by --set data.class_frequencies=frequencies.json.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from .bad_samples import BadSamples
from .rows import RowDecoder
from .samplers import inverse_root_rarity, without_void
from .specs import DatasetSpec


@dataclass(frozen=True)
class ClassFrequencies:
    """In how many images each class occurs.

    Args:
        num_images: Images counted.
        images_with_class: One count per label; void, which is no class here, has 0.
        mean_weight: Mean of f_k^(-1/2) over the images, k the rarest class of each.
    """

    num_images: int
    images_with_class: tuple[int, ...]
    mean_weight: float

    @classmethod
    def from_presence(cls, class_presence: np.ndarray, void_label_id: int | None = None) -> "ClassFrequencies":
        """From (images, num_labels) bool."""
        presence = without_void(class_presence, void_label_id)
        if not len(presence):
            raise ValueError("class frequencies need at least one image")
        weights = inverse_root_rarity(presence, presence.mean(axis=0))
        return cls(len(presence), tuple(presence.sum(axis=0).tolist()), float(weights.mean()))

    def copies(self, presence: np.ndarray) -> np.ndarray:
        """How often images should appear if each appeared once on average: f_k^(-1/2) / mean.

        Args:
            presence: (images, num_labels) bool, void left out; a class that was not counted is as rare as one image.

        Returns:
            (images,) float64.
        """
        frequency = np.maximum(self.images_with_class, 1) / self.num_images
        return inverse_root_rarity(presence, frequency) / self.mean_weight

    def to_json(self, path: str | Path) -> None:
        """Write a file for `from_json`."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, path: str | Path, num_labels: int) -> "ClassFrequencies":
        """Read a file of `to_json`.

        Raises:
            ValueError: no such file, another file, or frequencies of another label space.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            counts = tuple(int(count) for count in content["images_with_class"])
            frequencies = cls(int(content["num_images"]), counts, float(content["mean_weight"]))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: no file of class frequencies ({error!r}); "
                "write one with python -m dpsims_hf.data.class_frequencies"
            ) from None
        if len(counts) != num_labels:
            raise ValueError(f"{path}: counts of {len(counts)} labels, but the set has {num_labels}")
        return frequencies


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    from .hub_loading import resolve_hub_dataset
    from .specs import load_label_preset
    from .streaming import open_stream

    parser = argparse.ArgumentParser(
        prog="python -m dpsims_hf.data.class_frequencies", description=__doc__.splitlines()[0]
    )
    parser.add_argument("dataset", help="a Hub data set, or a folder of parquet files; it is read as a stream")
    parser.add_argument("--classes", help="name of a label preset, or a classes.json; default: the repository's")
    parser.add_argument("--split", help="default: the one to train on")
    parser.add_argument("--label_column")
    parser.add_argument("--max_bad_samples", type=int, default=0, help="pass over up to so many unreadable label maps")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    try:
        spec = load_label_preset(args.classes) if args.classes else None
        found = resolve_hub_dataset(args.dataset, spec, label_column=args.label_column)
        found = replace(found, columns={"label_map": found.columns["label_map"]})
        stream = open_stream(found, args.split or found.train_split())
        presence = stream_presence(stream, found.spec, found.name, BadSamples(args.max_bad_samples))
        ClassFrequencies.from_presence(presence, found.spec.void_label_id).to_json(args.output)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {len(presence)} images, {int((presence.sum(axis=0) > 0).sum())} labels occur")
    return 0


def stream_presence(
    stream: Iterable[dict[str, Any]], spec: DatasetSpec, name: str, bad_samples: BadSamples
) -> np.ndarray:
    """Which label occurs in which row of a stream, (rows, num_labels) bool; bad rows are left out."""
    decoder = RowDecoder(spec, name)
    found = []
    for index, row in enumerate(tqdm(stream, desc="reading labels", unit="row")):
        try:
            label_map = decoder.label_map(row, index)
        except ValueError as error:
            bad_samples.report(decoder.source(row, index, "label_map"), error)
            continue
        found.append(np.bincount(label_map.ravel(), minlength=spec.num_labels) > 0)
    return np.stack(found) if found else np.zeros((0, spec.num_labels), dtype=bool)


if __name__ == "__main__":
    sys.exit(main())

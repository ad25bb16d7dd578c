# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How often each class occurs, for rare-class sampling from a stream; a first pass over a set writes it to a file.

    python -m dpsims_hf.data.class_frequencies REPO --classes ade20k --output frequencies.json

Training then takes it by --set data.class_frequencies=frequencies.json.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..commands import needs
from .reading.bad_samples import BadSamples
from .reading.rows import RowDecoder
from .samplers import ClassFrequencies
from .sources.hub_loading import resolve_hub_dataset
from .specs import DatasetSpec, load_label_preset
from .streaming import open_stream


@needs("train")
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dpsims_hf.data.class_frequencies", description=__doc__.splitlines()[0]
    )
    parser.add_argument("dataset", help="a Hub dataset, or a folder of parquet files; it is read as a stream")
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

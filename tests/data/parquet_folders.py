# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Folders of parquet files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


SHARD_ROWS = (12, 9, 11)  # three files, the rows in groups of 4: eight shards


def png(array: np.ndarray) -> dict[str, bytes | str]:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": ""}


def write_parquet(file: Path, rows: list[tuple[np.ndarray, np.ndarray]], group: int) -> None:
    """One file of (photo, label map) rows with embedded images."""
    import datasets

    cells = {"image": [png(photo) for photo, _ in rows], "label_map": [png(labels) for _, labels in rows]}
    for column in cells:
        for number, cell in enumerate(cells[column]):
            cell["path"] = f"{file.stem}_{column}_{number}.png"
    features = datasets.Features(dict.fromkeys(cells, datasets.Image()))
    datasets.Dataset.from_dict(cells, features=features).to_parquet(str(file), batch_size=group)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Fixtures of the data tests."""

from pathlib import Path

import pytest
from parquet_folders import SHARD_ROWS, write_parquet

from dpsims_hf.data.synthetic import SYNTHETIC_SPEC, draw_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder as a Hub repository has it: data/*.parquet, train and validation, and classes.json."""
    root = tmp_path_factory.mktemp("repository")
    (root / "data").mkdir()
    SYNTHETIC_SPEC.to_json(root / "classes.json")
    first = 0
    for number, count in enumerate(SHARD_ROWS):
        scenes = [draw_scene((32, 64), seed)[:2] for seed in range(first, first + count)]
        write_parquet(root / "data" / f"train-{number:05d}-of-00003.parquet", scenes, 4)
        first += count
    scenes = [draw_scene((32, 64), 1000 + seed)[:2] for seed in range(5)]
    write_parquet(root / "data" / "validation-00000-of-00001.parquet", scenes, 4)
    return root

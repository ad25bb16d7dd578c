# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A finished run, and a copy of it for each test."""

import shutil
from pathlib import Path

import pytest
from finished_runs import STEPS
from training_runs import run_here


@pytest.fixture(scope="module")
def finished(tiny_dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, with a checkpoint of each."""
    output = tmp_path_factory.mktemp("run")
    assert run_here(tiny_dataset_dir, output, *STEPS, "--max_train_steps", "2") == 0
    return output


@pytest.fixture
def run_folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))

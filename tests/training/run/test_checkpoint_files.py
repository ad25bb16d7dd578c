# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Files of a checkpoint that no library complains of: random states that are none, no tensors, pipes."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from finished_runs import STATE, older_version
from safetensors.torch import save_file
from training_runs import run_here

from dpsims_hf.training.run.manifest import write_manifest
from dpsims_hf.training.run.run_folder import newest_verified


pytestmark = pytest.mark.integration


def random_states(**changes) -> dict:
    states = {"random_state": random.getstate(), "numpy_random_seed": np.random.get_state()}
    return states | {"torch_manual_seed": torch.get_rng_state()} | changes


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 100,
        bytes(2**21),
        {},
        [1],
        random_states(random_state=(3, (1, 2), None)),
        random_states(numpy_random_seed=("MT19937", [1], 0)),
        random_states(torch_manual_seed=torch.zeros(3, dtype=torch.uint8)),
        None,
    ],
    ids=["empty", "text", "zeros", "nothing in it", "a list", "Python", "NumPy", "torch", "no file"],
)
@pytest.mark.parametrize("has_manifest", [True, False])
def test_random_states_that_are_none(run_folder: Path, content, has_manifest: bool):
    """accelerate logs a line and goes on with other random numbers."""
    folder = run_folder / "checkpoint-2"
    older_version(folder)
    file = folder / STATE / "random_states_0.pkl"
    if content is None:
        file.unlink()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    if has_manifest:
        write_manifest(folder)
    found, [problem] = newest_verified(run_folder)
    assert found == run_folder / "checkpoint-1" and "random_states_0.pkl" in problem and "\n" not in problem


def test_each_process_has_random_states(run_folder: Path):
    folder = run_folder / "checkpoint-2"
    older_version(folder, {"processes": 2})
    assert "random_states_1.pkl is missing" in newest_verified(run_folder)[1][0]
    shutil.copy(folder / STATE / "random_states_0.pkl", folder / STATE / "random_states_1.pkl")
    assert newest_verified(run_folder) == (folder, [])


@pytest.mark.parametrize("name", ["x.safetensors", f"{STATE}/progress.json", f"{STATE}/random_states_0.pkl"])
def test_a_pipe_is_not_waited_for(run_folder: Path, name: str):
    older_version(run_folder / "checkpoint-2")
    (run_folder / "checkpoint-2" / name).unlink(missing_ok=True)
    os.mkfifo(run_folder / "checkpoint-2" / name)
    found, [problem] = newest_verified(run_folder)
    assert found == run_folder / "checkpoint-1" and name in problem


@pytest.mark.parametrize("name", ["model.safetensors", "discriminator/model.safetensors"])
def test_a_file_without_tensors_is_no_checkpoint(
    run_folder: Path, tiny_dataset_dir: Path, tmp_path: Path, name, capsys
):
    folder = run_folder / "checkpoint-2"
    save_file({}, folder / name)
    write_manifest(folder)
    assert f"{name} holds no tensors" in newest_verified(run_folder)[1][0]
    arguments = ["--initialize_from", str(folder), "--max_train_steps", "1"]
    assert run_here(tiny_dataset_dir, tmp_path / "new", *arguments) == 2
    assert f"{name} holds no tensors" in capsys.readouterr().err

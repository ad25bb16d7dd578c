# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Training from a stream: the samples of a run, resuming, and options that do not go together."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from training_runs import run_here

import train_accelerate
from dpsims_hf.data.streaming import new_state
from dpsims_hf.training.options import resolve_options


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[2]


# --- training ----------------------------------------------------------------------------------------------------


run = partial(run_here, data_flag="--dataset_name", with_samples=False)


@pytest.mark.slow
def test_training_from_a_stream_resumes_bit_for_bit(folder, tmp_path):
    """And the sample grid comes from the validation split."""
    options = ["--set", "data.streaming=true", "--set", "data.shuffle_buffer=6", "--set", "data.workers=1"]
    assert run(folder, tmp_path / "a", *options, "--max_train_steps", "4", "--sample_steps", "4") == 0
    assert run(folder, tmp_path / "b", *options, "--max_train_steps", "2") == 0
    resume = ["--resume_from_checkpoint", "latest", "--max_train_steps", "4"]
    assert run(folder, tmp_path / "b", *options, *resume) == 0
    for name in ("model.safetensors", "discriminator/model.safetensors"):
        first, second = (load_file(tmp_path / run_name / "checkpoint-4" / name) for run_name in "ab")
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert (tmp_path / "a" / "samples" / "step-000004.png").is_file()


@pytest.mark.slow
def test_two_processes_stream_and_one_goes_on(folder, tmp_path, capsys):
    """Resumed by one process, the run begins a new epoch and says so."""
    options = ["--recipe", "tiny", "--backbone_weights", "random", "--cpu", "--report_to", "jsonl"]
    options += ["--dataset_name", str(folder), "--output_dir", str(tmp_path), "--set", "data.streaming=true"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["train_accelerate.py", *options, "--max_train_steps", "1", "--sample_steps", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    position = json.loads((tmp_path / "checkpoint-1" / "training_state" / "progress.json").read_text())["data"]
    assert [lane["offset"] for lane in position["lanes"]] == [2, 2]  # a batch of two each
    assert run(folder, tmp_path, *options, "--max_train_steps", "2", "--resume_from_checkpoint", "latest") == 0
    assert "read by 2 workers in all and now is by 1" in capsys.readouterr().out
    progress = json.loads((tmp_path / "checkpoint-2" / "training_state" / "progress.json").read_text())
    assert [lane["epoch"] for lane in progress["data"]["lanes"]] == [1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"streaming": True, "cache": "disk"}, "data.cache='disk' does not go with data.streaming=true"),
        ({"class_frequencies": "f.json"}, "data.class_frequencies is for streams"),
        ({"cache": "ram"}, "choose one of auto, none, memory, disk"),
        ({"shuffle_buffer": 0}, "data.shuffle_buffer=0 must be at least 1"),
    ],
)
def test_options_that_do_not_go_together(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve_options("tiny", [("data", key, value, "test") for key, value in values.items()])


def test_a_folder_of_images_is_not_streamed(tiny_dataset_dir, tmp_path, capsys):
    arguments = ["--recipe", "tiny", "--cpu", "--train_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path)]
    assert train_accelerate.main([*arguments, "--set", "data.streaming=true"]) == 2
    assert f"not --train_dir {tiny_dataset_dir}" in capsys.readouterr().err
    AcceleratorState._reset_state(True)


def test_training_from_a_folder_of_parquet_files_map_style(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "a", "--max_train_steps", "1") == 0
    options = ["--set", "data.streaming=true", "--set", f"data.class_frequencies={tmp_path}/f.json"]
    assert run(folder, tmp_path / "b", *options) == 2
    assert "f.json: no file of class frequencies" in capsys.readouterr().err


def test_states_are_small_and_serialisable():
    assert len(json.dumps(new_state(183))) < 1000

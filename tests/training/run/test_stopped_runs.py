# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Runs that are started twice, diverge or meet a broken sample: what they say, and what they leave."""

import shutil
import subprocess
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from training_runs import CONTEXT, FOREVER, LATEST, Run, assert_whole, step_of, succeed

from dpsims_hf.training.build_data import build_datasets
from dpsims_hf.training.options.command_line import options_from_args, parse_args
from dpsims_hf.training.run.checkpoints import list_checkpoints
from dpsims_hf.training.run.interruption import quiet_worker


pytestmark = pytest.mark.integration


@pytest.mark.slow
def test_two_runs_into_one_folder_refuse_and_kill_9_frees_it(tiny_dataset_dir: Path, tmp_path: Path):
    output = tmp_path / "out"
    first = Run(tiny_dataset_dir, output, *FOREVER, "--set", "data.workers=1")
    first.until(lambda: list_checkpoints(output))
    for processes in (1, 2):
        second = Run(tiny_dataset_dir, output, *FOREVER, *LATEST, processes=processes)
        assert second.wait() == [2] * processes
        holder = f"process {first.processes[0].pid} on "
        assert f"error: {output} belongs to a run that is still going ({holder}" in second.text
    assert all(process.is_alive() for process in first.processes)
    first.kill()
    step = step_of(list_checkpoints(output)[-1])
    succeed(tiny_dataset_dir, output, *LATEST, "--max_train_steps", str(step + 1))


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_good_checkpoint(
    tiny_dataset_dir: Path, tmp_path: Path, processes: int
):
    output = tmp_path / "out"
    succeed(tiny_dataset_dir, output, "--max_train_steps", "1")
    broken = ("--set", "training.learning_rate_discriminator=1e30", "--max_train_steps", "9", *LATEST)
    run = Run(tiny_dataset_dir, output, *broken, processes=processes)
    assert run.wait() == [2] * processes, run.text
    assert "is not finite" in run.text and "not saved, the last good checkpoint is checkpoint-1" in run.text
    line = next(line for line in run.text.splitlines() if line.startswith("error: step "))
    assert any(f"{term}=" in line for term in ("d_real", "d_fake", "g_gan")), line
    assert [path.name for path in list_checkpoints(output)] == ["checkpoint-1"]


@pytest.mark.slow
def test_weights_that_are_not_finite_are_not_saved(tiny_dataset_dir: Path, tmp_path: Path):
    """The step that broke them had finite losses."""
    output = tmp_path / "out"
    succeed(tiny_dataset_dir, output, "--max_train_steps", "1")
    broken = ("--set", "training.learning_rate_generator=1e39", "--max_train_steps", "2", *LATEST)
    run = Run(tiny_dataset_dir, output, *broken)
    assert run.wait() == [2], run.text
    assert "error: step 2: " in run.text and "is not finite, so it is not saved" in run.text
    assert [path.name for path in list_checkpoints(output)] == ["checkpoint-1"]


@pytest.mark.parametrize(("processes", "workers"), [pytest.param(1, 1, marks=pytest.mark.slow), (2, 0)])
def test_a_sample_that_breaks_during_the_run_is_named_and_nothing_is_lost(
    tiny_dataset_dir: Path, tmp_path: Path, processes: int, workers: int
):
    data, output = tmp_path / "data", tmp_path / "out"
    shutil.copytree(tiny_dataset_dir, data)
    options = ("--set", f"data.workers={workers}", "--set", "data.cache=none", "--max_train_steps", "100000")
    run = Run(data, output, *options, processes=processes)
    run.until_step(2)
    broken = sorted((data / "train" / "images").iterdir())[0]
    broken.write_bytes(b"no picture any more")
    assert run.wait() == [2] * processes, run.text
    assert f"error: after step {step_of(list_checkpoints(output)[-1])}: " in run.text
    assert str(broken) in next(line for line in run.text.splitlines() if line.startswith("error: "))
    assert_whole(output)


def wait_as_a_worker_does(ready: Connection) -> None:
    quiet_worker(0)
    ready.send(True)
    time.sleep(60)


def test_a_loader_worker_dies_of_its_trainers_signal_alone():
    """A job's SIGTERM reaches workers too; one that died of it would break the step that is to be saved."""
    ready, theirs = CONTEXT.Pipe()
    worker = CONTEXT.Process(target=wait_as_a_worker_does, args=(theirs,))
    worker.start()
    assert ready.recv()
    for name in ("TERM", "USR1", "INT"):
        subprocess.run(["/bin/kill", f"-{name}", str(worker.pid)], check=True)
    worker.join(1)
    assert worker.is_alive()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--train_dir", "nowhere"), "--train_dir nowhere: no such folder"),
        (("--train_dir", "prepared"), "it was written by `prepare`: give it as --dataset_name"),
        (("--train_dir", "original"), "go through python -m dpsims_hf.data.prepare first"),
        (("--dataset_name", "pairs"), "a folder of photos and labels; give it as --train_dir"),
        (("--dataset_name", "./nowhere"), "--dataset_name ./nowhere: no such folder"),
    ],
)
def test_data_under_the_wrong_flag(tmp_path: Path, monkeypatch, arguments, words):
    for path in ("prepared/data/train.parquet", "original/leftImg8bit/x.png", "pairs/train/labels/x.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        build_datasets(options_from_args(parse_args(["--recipe", "tiny", *arguments])))

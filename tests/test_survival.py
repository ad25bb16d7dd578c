# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Runs that are really killed, starved of disk space, fed rubbish or started twice."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from training_runs import Run, succeed
from transformers import AutoModel

from dpsims_hf.training.checkpoints import list_checkpoints


FOREVER = (
    "--max_train_steps",
    "100000",
    "--checkpointing_steps",
    "1",
    "--set",
    "training.batch_norm_refresh_batches=1",
)
LATEST = ("--resume_from_checkpoint", "latest")


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def leftovers(output: Path) -> list[str]:
    """What stands beside whole checkpoints."""
    return sorted(path.name for path in output.glob(".*checkpoint-*"))


def assert_whole(output: Path) -> None:
    """Every folder with a checkpoint's name can be loaded and continued."""
    for folder in output.glob("checkpoint-*"):
        assert torch.isfinite(AutoModel.from_pretrained(folder).to_image.weight).all()
        AutoModel.from_pretrained(folder, subfolder="discriminator")
        progress = json.loads((folder / "training_state" / "progress.json").read_text())
        assert progress["step"] == step_of(folder)
        for name in ("optimizer.bin", "optimizer_1.bin"):
            torch.load(folder / "training_state" / name, weights_only=True)


# Names that stand there at some moment of a save: models being written, the state beside them.
MOMENTS = ["..checkpoint-*.partial", ".checkpoint-*.incomplete/training_state"]


def test_kill_9_at_any_moment_loses_at_most_the_steps_since_the_last_checkpoint(
    tiny_dataset_dir: Path, tmp_path: Path
):
    output, reached, cleaned = tmp_path / "out", 0, 0
    for moment in [*MOMENTS, None]:
        run = Run(tiny_dataset_dir, output, *FOREVER, *LATEST)
        run.until(lambda reached=reached: any(step_of(path) > reached + 1 for path in list_checkpoints(output)))
        if moment:
            run.until(lambda moment=moment: any(output.glob(moment)), f"waited for {moment}\n")
        run.kill()
        assert_whole(output)
        if reached:
            assert f"resumed from {output / f'checkpoint-{reached}'} at step {reached}" in run.text
            cleaned += "which an earlier run left incomplete" in run.text
        reached = step_of(list_checkpoints(output)[-1])
    assert cleaned, "no kill hit a save"
    text = succeed(tiny_dataset_dir, output, *FOREVER[2:], *LATEST, "--max_train_steps", str(reached + 1))
    assert f"at step {reached}," in text and leftovers(output) == []


def test_a_killed_replacement_brings_the_old_checkpoint_back(tiny_dataset_dir: Path, tmp_path: Path):
    """Killed between the two renames of a step that is saved a second time."""
    output = tmp_path / "out"
    succeed(tiny_dataset_dir, output, "--max_train_steps", "1")
    (output / "checkpoint-1").rename(output / ".checkpoint-1.replaced")
    text = succeed(tiny_dataset_dir, output, *LATEST, "--max_train_steps", "2")
    assert "at step 1, 2 samples seen" in text and leftovers(output) == []


def test_going_back_to_an_older_checkpoint_keeps_the_newer_ones_apart(tiny_dataset_dir: Path, tmp_path: Path):
    output = tmp_path / "out"
    steps = ("--checkpointing_steps", "1", "--checkpoints_total_limit", "2")
    succeed(tiny_dataset_dir, output, *steps, "--max_train_steps", "3")
    continued = ("--resume_from_checkpoint", "checkpoint-2", "--max_train_steps", "4")
    text = succeed(tiny_dataset_dir, output, *steps, *continued)
    assert "newer than checkpoint-2 and no longer part of this run: renamed to abandoned-checkpoint-3" in text
    assert sorted(path.name for path in output.glob("*checkpoint-*")) == [
        "abandoned-checkpoint-3",
        "checkpoint-3",
        "checkpoint-4",
    ]


# -- disk space -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_a_full_disk_keeps_the_old_checkpoint_and_training_goes_on(
    tiny_dataset_dir: Path, small_disk: Path, tmp_path: Path
):
    output = small_disk / "out"
    run = Run(tiny_dataset_dir, output, *FOREVER, "--checkpoints_total_limit", "1", log_dir=tmp_path)
    try:
        run.until(lambda: list_checkpoints(output))
        filler = fill(small_disk)
        run.until_said("No space left on device; older checkpoints are kept, training goes on and tries again")
        run.until(lambda: not leftovers(output))
        assert_whole(output)
        [kept] = list_checkpoints(output)
        filler.unlink()
        run.until(lambda: any(step_of(path) > step_of(kept) for path in list_checkpoints(output)))
        run.signal(signal.SIGTERM)
        assert run.wait() == [0], run.text
        assert_whole(output)
    finally:
        run.kill()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_last_checkpoint_that_cannot_be_written_ends_the_run_with_an_error(
    tiny_dataset_dir: Path, tmp_path: Path, processes: int
):
    output = tmp_path / "out"
    common = ("--checkpointing_steps", "1", "--checkpoints_total_limit", "1")
    succeed(tiny_dataset_dir, output, *common, "--max_train_steps", "1")
    continued = (*LATEST, "--max_train_steps", "3")
    # The optimizers' states are larger than this, the models smaller: it fails in the middle.
    run = Run(tiny_dataset_dir, output, *common, *continued, processes=processes, largest_file=400_000)
    assert run.wait() == [2] * processes, run.text
    assert f"checkpoint-2 could not be written to {output}: " in run.text and "training goes on" in run.text
    assert f"error: checkpoint-3 could not be written to {output}: " in run.text
    assert [path.name for path in list_checkpoints(output)] == ["checkpoint-1"] and leftovers(output) == []
    assert_whole(output)


# -- two runs, bad numbers, bad data --------------------------------------------------------------------------------


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


@pytest.mark.parametrize("processes", [1, 2])
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


def test_weights_that_are_not_finite_are_not_saved(tiny_dataset_dir: Path, tmp_path: Path):
    """The step that broke them had finite losses."""
    output = tmp_path / "out"
    succeed(tiny_dataset_dir, output, "--max_train_steps", "1")
    broken = ("--set", "training.learning_rate_generator=1e39", "--max_train_steps", "2", *LATEST)
    run = Run(tiny_dataset_dir, output, *broken)
    assert run.wait() == [2], run.text
    assert "error: step 2: " in run.text and "is not finite, so it is not saved" in run.text
    assert [path.name for path in list_checkpoints(output)] == ["checkpoint-1"]


@pytest.mark.parametrize(("processes", "workers"), [(1, 1), (2, 0)])
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

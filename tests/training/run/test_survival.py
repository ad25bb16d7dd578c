# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Runs that are really killed or starved of disk space."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_runs import FOREVER, LATEST, Run, assert_whole, leftovers, step_of, succeed

from dpsims_hf.training.run.checkpoints import list_checkpoints


pytestmark = pytest.mark.integration


# Names that stand there at some moment of a save: models being written, the state beside them.
MOMENTS = ["..checkpoint-*.partial", ".checkpoint-*.incomplete/training_state"]


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_killed_replacement_brings_the_old_checkpoint_back(tiny_dataset_dir: Path, tmp_path: Path):
    """Killed between the two renames of a step that is saved a second time."""
    output = tmp_path / "out"
    succeed(tiny_dataset_dir, output, "--max_train_steps", "1")
    (output / "checkpoint-1").rename(output / ".checkpoint-1.replaced")
    text = succeed(tiny_dataset_dir, output, *LATEST, "--max_train_steps", "2")
    assert "at step 1, 2 samples seen" in text and leftovers(output) == []


@pytest.mark.slow
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
        pytest.skip("a full disk is a small file system: needs the right to mount one")
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
        run.until_said("No space left on device")  # and of which file
        run.until_said("; older checkpoints are kept, training goes on and tries again")
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


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
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

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How many processes a run was asked to have, by whoever starts it, and how many it has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpsims_hf.training.run.checkpoints import list_checkpoints
from dpsims_hf.training.run.processes import Request, check_processes, requested_processes


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[3]


def launch(data: Path, output: Path, *launcher: str, script: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", *launcher, "train_accelerate.py", "--recipe", "tiny", "--cpu"]
    command += ["--backbone_weights", "random", "--report_to", "jsonl", "--sample_steps", "0", *script]
    command += ["--train_dir", str(data), "--output_dir", str(output), "--max_train_steps", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)


LAUNCHER = ("accelerate.commands.accelerate_cli", "launch")


@pytest.mark.slow
def test_a_launcher_that_starts_one_process_for_two_is_refused(tiny_dataset_dir: Path, tmp_path: Path):
    result = launch(tiny_dataset_dir, tmp_path / "out", *LAUNCHER, "--cpu", "--num_processes", "2")
    assert result.returncode != 0
    assert "error: accelerate launch asks for 2 process(es), but this run has 1; start it by torchrun" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_documented_configuration_starts_two(tiny_dataset_dir: Path, tmp_path: Path):
    file = ROOT / "accelerate_configs" / "cpu_two_processes.yaml"
    result = launch(
        tiny_dataset_dir, tmp_path / "out", *LAUNCHER, "--config_file", str(file), script=("--expect_processes", "2")
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (
        "2 process(es) on cpu, no; effective batch 4 = 2 process(es) x 1 micro-batch(es) x 2 image(s)" in result.stdout
    )
    assert len(list_checkpoints(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("flag", "environment", "got", "message"),
    [
        (2, {}, 1, "--expect_processes asks for 2 process.es., but this run has 1; start 2 processes: torchrun"),
        (1, {"SLURM_NTASKS": "8"}, 1, None),
        (None, {"SLURM_NTASKS": "8"}, 1, "SLURM .SLURM_NTASKS. asks for 8 .*slurm.sh does; or --expect_processes 1"),
        (None, {"SLURM_NTASKS": "2"}, 16, None),
        (None, {"SLURM_NTASKS": "16", "WORLD_SIZE": "16"}, 16, None),
        (None, {"WORLD_SIZE": "4"}, 1, "WORLD_SIZE asks for 4 process.es., but this run has 1; set RANK"),
        (None, {"OMPI_COMM_WORLD_SIZE": "4"}, 1, "mpirun .OMPI_COMM_WORLD_SIZE. asks for 4"),
        (None, {}, 1, None),
    ],
)
def test_who_asks_for_processes(flag: int | None, environment: dict[str, str], got: int, message: str | None):
    requests = requested_processes(flag, environment, [])
    if message is None:
        check_processes(got, requests)
    else:
        with pytest.raises(ValueError, match=message):
            check_processes(got, requests)


def test_what_accelerate_was_asked_stands_in_its_command_or_configuration(tmp_path: Path):
    environment = {"ACCELERATE_MIXED_PRECISION": "no"}
    file = tmp_path / "config.yaml"
    file.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nnum_processes: 3\n")
    python = ["/usr/bin/python3", "/usr/bin/accelerate", "launch"]
    for arguments, count in ((["--cpu", "--num_processes", "2"], 2), (["--config_file", str(file)], 3)):
        [request] = requested_processes(
            None, environment, [[*python, *arguments, "train_accelerate.py", "--seed", "1"]]
        )
        assert isinstance(request, Request) and (request.count, request.source) == (count, "accelerate launch")
    assert requested_processes(None, {}, [[*python, "--num_processes", "2", "train_accelerate.py"]]) == []

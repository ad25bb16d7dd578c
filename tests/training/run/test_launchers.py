# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Runs under a launcher that is stopped or killed: the trainer saves, ends and leaves nobody behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from training_runs import (
    FOREVER,
    LATEST,
    ROOT,
    Run,
    assert_whole,
    leftovers,
    run_here,
    states,
    step_of,
    subprocess_environment,
)

from dpsims_hf.training.run import interruption
from dpsims_hf.training.run.checkpoints import list_checkpoints
from dpsims_hf.training.run.launcher import Launcher, find_launcher, is_launcher
from dpsims_hf.training.run.run_lock import RunLock


pytestmark = pytest.mark.integration


ACCELERATE = ("accelerate.commands.accelerate_cli", "launch", "--num_processes", "1")
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")
MANY = ("--max_train_steps", "100000")


class Launched:
    """train_accelerate.py under a launcher.

    Args:
        launcher: module and arguments; none starts the script itself.
        data: folder of the data.
        output: folder of the run.
        arguments: further arguments of the script.
    """

    def __init__(self, launcher: tuple[str, ...], data: Path, output: Path, *arguments: str) -> None:
        command = [sys.executable, *(["-m", *launcher] if launcher else []), "train_accelerate.py", "--cpu"]
        command += ["--recipe", "tiny", "--backbone_weights", "random", "--report_to", "jsonl", "--sample_steps", "0"]
        command += ["--train_dir", str(data), "--output_dir", str(output), *arguments]
        self.output, self.log = output, output.with_suffix(".log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=subprocess_environment(), stdout=log, stderr=subprocess.STDOUT
            )
        self.family: list[psutil.Process] = []

    @property
    def text(self) -> str:
        """All that was written."""
        return self.log.read_text()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait while the launcher lives."""
        deadline = time.time() + 200
        while not condition():
            assert time.time() < deadline and self.process.poll() is None, self.text
            time.sleep(0.02)

    def until_step(self, step: int) -> None:
        """Wait for a step, and remember all processes that there are."""
        self.until(lambda: f"step {step} " in self.text)
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def ends(self, seconds: float = 60) -> int:
        """Wait for the end of every process; the exit status of the first."""
        status = self.process.wait(seconds)
        _, alive = psutil.wait_procs(self.family, seconds)
        assert alive == [], self.text
        return status

    def kill(self) -> None:
        """Whatever is left."""
        for process in [*self.family, psutil.Process(os.getpid())]:
            if process.pid != os.getpid() and process.is_running():
                process.kill()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def launched(tiny_dataset_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    """Starts runs, and ends what a failed test leaves."""
    started: list[Launched] = []

    def start(launcher: tuple[str, ...], *arguments: str) -> Launched:
        started.append(Launched(launcher, tiny_dataset_dir, tmp_path / "out", *arguments))
        return started[-1]

    yield start
    for run in started:
        run.kill()


def the_step_that_was_saved(run: Launched, words: str) -> int:
    """Of the only checkpoint; the lock is free, nothing else lies about."""
    [checkpoint] = list_checkpoints(run.output)
    step = step_of(checkpoint)
    assert f"stopped by a signal after step {step}; --resume_from_checkpoint latest continues ({words})" in run.text
    assert leftovers(run.output) == []
    assert_whole(run.output)
    with RunLock(run.output) as lock:
        lock.acquire()
    return step


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
def test_a_launcher_that_ends_lets_the_trainer_save_and_end(
    launched: Callable[..., Launched], tiny_dataset_dir: Path, tmp_path: Path, name: str
):
    """... and the run that goes on equals one that was never stopped, bit for bit."""
    run = launched(ACCELERATE, *MANY, "--set", "data.workers=1")
    run.until_step(2)
    assert len(run.family) >= 2  # the trainer and its loader worker
    run.process.send_signal(getattr(signal, name))
    run.ends()
    step = the_step_that_was_saved(run, "the end of its launcher")
    if step > 300:  # a machine that was busy elsewhere for minutes
        return
    settings = ["--max_train_steps", str(step + 1), "--sample_steps", "0"]
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as `subprocess_environment` has it: bits are equal for one number of threads
    try:
        assert run_here(tiny_dataset_dir, run.output, *LATEST, *settings) == 0
        assert run_here(tiny_dataset_dir, tmp_path / "whole", *settings) == 0
    finally:
        torch.set_num_threads(before)
    expected, resumed = (states(folder / f"checkpoint-{step + 1}") for folder in (tmp_path / "whole", run.output))
    assert expected.keys() == resumed.keys()
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_torchrun_that_ends_lets_both_processes_save_and_end(launched: Callable[..., Launched], name: str):
    run = launched(TORCHRUN, *MANY)
    run.until_step(2)
    run.process.send_signal(getattr(signal, name))
    run.ends()
    the_step_that_was_saved(run, "the end of its launcher" if name == "SIGKILL" else name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_every_stop_signal_saves_and_exits_with_0(launched: Callable[..., Launched], name: str):
    run = launched((), *MANY)
    run.until_step(2)
    run.process.send_signal(getattr(signal, name))
    assert run.ends() == 0, run.text
    the_step_that_was_saved(run, name)


@pytest.mark.slow
def test_a_launcher_that_ends_before_the_first_step_leaves_nobody(launched: Callable[..., Launched]):
    """In the seconds in which the trainer imports its libraries."""
    run = launched(ACCELERATE, *MANY)
    run.until(lambda: psutil.Process(run.process.pid).children())
    run.family = psutil.Process(run.process.pid).children(recursive=True)
    run.process.kill()
    run.ends()
    assert "stopped by a signal before the first step (the end of its launcher)" in run.text, run.text
    assert list_checkpoints(run.output) == []


def stopped_within_a_save(run: Run) -> None:
    """Freeze the run while it writes a checkpoint: signals wait until it is thawed."""
    deadline = time.time() + 60
    while time.time() < deadline:
        run.until(lambda: any(run.output.glob("..checkpoint-*.partial")), "waited for a save\n")
        run.signal(signal.SIGSTOP)
        while psutil.Process(run.processes[0].pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)
        if any(run.output.glob("..checkpoint-*.partial")):
            return
        run.signal(signal.SIGCONT)
    raise AssertionError("no save was met")


@pytest.mark.slow
def test_a_repeated_signal_does_not_break_the_save(tiny_dataset_dir: Path, tmp_path: Path):
    run = Run(tiny_dataset_dir, tmp_path / "out", *FOREVER)
    stopped_within_a_save(run)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCONT):
        run.signal(number)
    assert run.wait() == [0], run.text
    assert "already stopping: the checkpoint is being saved" in run.text
    step = step_of(list_checkpoints(run.output)[-1])
    assert f"stopped by a signal after step {step}; " in run.text and leftovers(run.output) == []
    assert_whole(run.output)


HELD = """
import time
from dpsims_hf.training.run.interruption import StopSignals
with StopSignals() as signals:
    signals.hold()
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
        print(signals.received, flush=True)
"""


def test_the_third_signal_ends_the_run_at_once():
    process = subprocess.Popen(
        [sys.executable, "-c", HELD],
        cwd=ROOT,
        env=subprocess_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGUSR1)
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        while process.stdout.readline() != "SIGUSR1\n":
            pass
        process.send_signal(number)
    assert "once more ends the run without it" in process.stderr.readline() + process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    process.stdout.close()  # not before: a broken pipe would end it in another way
    process.stderr.close()


def test_what_is_said_about_the_next_signal_is_true_when_it_is_said(monkeypatch: pytest.MonkeyPatch):
    handlers = []
    monkeypatch.setattr(interruption, "_say", lambda text: handlers.append(signal.getsignal(signal.SIGTERM)))
    with interruption.StopSignals() as signals:
        signals.hold()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert handlers == [signal.SIG_DFL]


@pytest.mark.slow
def test_no_loader_worker_outlives_a_killed_trainer(tiny_dataset_dir: Path, tmp_path: Path):
    run = Run(tiny_dataset_dir, tmp_path / "out", *MANY, "--set", "data.workers=2")
    run.until_step(1)
    trainer = psutil.Process(run.processes[0].pid)
    helpers = [one for one in psutil.process_iter() if one.pid != trainer.pid and writes_into(run.logs[0], one)]
    assert len(helpers) >= 2
    run.kill()
    _, alive = psutil.wait_procs(helpers, 20)
    assert alive == []


def writes_into(log: Path, process: psutil.Process) -> bool:
    """As the trainer and all that it starts do."""
    try:
        return os.readlink(f"/proc/{process.pid}/fd/1") == str(log)
    except OSError:
        return False


@pytest.mark.slow
def test_a_run_whose_output_nobody_reads_any_more_saves(tiny_dataset_dir: Path, tmp_path: Path):
    """Ctrl-C ends the `tee` behind it too."""
    command = [sys.executable, "train_accelerate.py", "--recipe", "tiny", "--backbone_weights", "random", "--cpu"]
    command += ["--train_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path / "out"), "--report_to", "jsonl"]
    run = subprocess.Popen(
        [*command, *MANY, "--sample_steps", "0"],
        cwd=ROOT,
        env=subprocess_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for line in run.stdout:
        if b"step 2 " in line:
            break
    run.stdout.close()
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 0
    assert len(list_checkpoints(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["/usr/bin/python3", "/usr/bin/accelerate", "launch", "train_accelerate.py"], True),
        (["python", "-m", "accelerate.commands.launch", "x.py"], True),
        (["python3", "/usr/bin/torchrun", "x.py"], True),
        (["python3", "-m", "torch.distributed.run", "x.py"], True),
        (["bash", "launch"], False),
        (["python3", "accelerate_tests.py"], False),
        ([], False),
    ],
)
def test_what_a_launcher_looks_like(command: list[str], expected: bool):
    assert is_launcher(command) is expected


def test_who_is_watched():
    """A shell passes its variables on and may end; a launcher that ended before anybody looked is noticed."""
    assert find_launcher({}) is None
    gone = find_launcher({"ACCELERATE_MIXED_PRECISION": "no"}, started_by=os.getpid())
    assert gone is not None and gone.is_gone()
    sleeper = subprocess.Popen(["sleep", "60"])
    launcher = Launcher(sleeper.pid)
    assert not launcher.is_gone()
    sleeper.kill()
    deadline = time.time() + 5
    while not launcher.is_gone():  # a zombie until somebody waits for it
        assert time.time() < deadline
    sleeper.wait()
    assert launcher.is_gone() and Launcher(sleeper.pid).is_gone()

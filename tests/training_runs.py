# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Training runs in processes of their own, to be killed, starved or signalled; one import serves all of them."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from transformers import AutoModel


ROOT = Path(__file__).parents[1]
# The server imports what a run needs once; each process of a run is a fork of it and starts in no time.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["train_accelerate"])
TIMEOUT = 120
FOREVER = (
    "--max_train_steps",
    "100000",
    "--checkpointing_steps",
    "1",
    "--set",
    "training.batch_norm_refresh_batches=1",
)
LATEST = ("--resume_from_checkpoint", "latest")


def _main(arguments: list[str], environment: dict[str, str], log: str, largest_file: int | None) -> None:
    import resource

    os.environ.update(environment)
    torch.set_num_threads(1)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(stream), "w", buffering=1) for stream in (1, 2))
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    import train_accelerate

    train_accelerate.run(arguments)


def run_here(
    data: Path, output: Path, *arguments: str, data_flag: str = "--train_dir", with_samples: bool = True
) -> int:
    """The script in this process, with the smallest recipe on the CPU; returns its exit status."""
    import train_accelerate

    AcceleratorState._reset_state(True)
    base = ["--recipe", "tiny", "--backbone_weights", "random", "--cpu", "--report_to", "jsonl"]
    base += [] if with_samples else ["--sample_steps", "0"]
    try:
        return train_accelerate.main([*base, data_flag, str(data), "--output_dir", str(output), *arguments])
    finally:
        AcceleratorState._reset_state(True)


class Run:
    """A run of train_accelerate.py on one or several CPU processes, started as SLURM would: by RANK and WORLD_SIZE.

    Args:
        data: folder of the data.
        output: folder of the run.
        arguments: further arguments, after those of the smallest recipe.
        processes: how many.
        environment: further variables.
        largest_file: bytes at which the system refuses to let a file grow.
        log_dir: where what they say is kept; None: beside `output`.
    """

    def __init__(
        self,
        data: Path,
        output: Path,
        *arguments: str,
        processes: int = 1,
        environment: dict[str, str] | None = None,
        largest_file: int | None = None,
        log_dir: Path | None = None,
    ) -> None:
        base = ["--recipe", "tiny", "--backbone_weights", "random", "--cpu", "--report_to", "jsonl"]
        base += ["--train_dir", str(data), "--output_dir", str(output), "--sample_steps", "0"]
        self.output = output
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        attempt = f"{output.name}-{port}"
        self.logs = [(log_dir or output.parent) / f"{attempt}-{rank}.log" for rank in range(processes)]
        self.processes = []
        for rank, log in enumerate(self.logs):
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            place |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
            variables = {**(place if processes > 1 else {}), **(environment or {})}
            log.touch()
            process = CONTEXT.Process(target=_main, args=([*base, *arguments], variables, str(log), largest_file))
            process.start()
            self.processes.append(process)

    @property
    def text(self) -> str:
        """All that all processes have written."""
        return "".join(log.read_text() for log in self.logs)

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait for a condition while the run lives."""
        deadline = time.time() + TIMEOUT
        while not condition():
            assert time.time() < deadline and all(process.is_alive() for process in self.processes), what + self.text
            time.sleep(0.002)

    def until_said(self, words: str) -> None:
        """Wait until a process has written this."""
        self.until(lambda: words in self.text, f"waited for {words!r}\n")

    def until_step(self, step: int) -> None:
        """Wait until a step's numbers are logged."""
        self.until(lambda: f"step {step} " in self.text, f"waited for step {step}\n")

    def wait(self) -> list[int]:
        """Exit codes of all processes."""
        for process in self.processes:
            process.join(TIMEOUT)
        codes = [process.exitcode for process in self.processes]
        self.kill()
        return codes

    def signal(self, number: int, rank: int = 0) -> None:
        """Send a signal to one process."""
        os.kill(self.processes[rank].pid, number)

    def kill(self) -> None:
        """kill -9 all processes and wait for their end."""
        for process in self.processes:
            if process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            process.join(TIMEOUT)


def subprocess_environment() -> dict[str, str]:
    """Of a run that is started as a user does, from anywhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def succeed(data: Path, output: Path, *arguments: str, **settings: int) -> str:
    """A whole run, which must end well; what it said."""
    run = Run(data, output, *arguments, **settings)
    codes = run.wait()
    assert codes == [0] * len(codes), run.text
    return run.text


def states(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, optimizers included."""
    tensors = {}
    for file in sorted(folder.rglob("*.safetensors")):
        tensors.update({f"{file.relative_to(folder)}:{k}": v for k, v in load_file(file).items()})
    for name in ("optimizer.bin", "optimizer_1.bin"):
        state = torch.load(folder / "training_state" / name, weights_only=True)["state"]
        tensors.update({f"{name}:{i}:{k}": v for i, entry in state.items() for k, v in entry.items()})
    return tensors


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

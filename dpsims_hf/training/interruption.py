# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What ends a run early: signals, errors of single processes, and how all processes of a run come to agree on it."""

import multiprocessing
import os
import signal
import threading
from typing import Any

import torch
from accelerate import Accelerator


# SIGUSR1 is what SLURM is asked to send ahead of the end of a job's time (accelerate_configs/slurm.sh).
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name))


class StoppedElsewhere(Exception):
    """Another process of this run stopped for a reason that it tells itself."""


class StopSignals:
    """Within `with`, the first signal is remembered in `received`; a second SIGTERM or SIGINT works as it ever did."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._previous: dict[int, Any] = {}

    def _request_stop(self, signum: int, frame: Any) -> None:
        self.received = signal.Signals(signum).name
        if signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._previous[signum])

    def __enter__(self) -> "StopSignals":
        self._previous = {signum: signal.signal(signum, self._request_stop) for signum in STOP_SIGNALS}
        return self

    def __exit__(self, *error: Any) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)


def quiet_worker(worker_id: int) -> None:
    """`worker_init_fn` of data loaders: a signal to a whole job is the trainer's business, who ends its workers.

    A worker that died of it would raise an error in the middle of the trainer's last step.
    """
    for signum in STOP_SIGNALS:
        if signum != signal.SIGTERM:
            signal.signal(signum, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_when_the_trainer_says, daemon=True).start()


def _exit_when_the_trainer_says() -> None:
    trainer = multiprocessing.parent_process().pid  # getppid() may be a fork server
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)


def agree(accelerator: Accelerator, *flags: bool) -> list[bool]:
    """Which of the flags is set on any process; all processes call this together."""
    if accelerator.num_processes == 1:
        return list(flags)
    values = torch.tensor(flags, dtype=torch.int64, device=accelerator.device)
    return [bool(count) for count in accelerator.reduce(values, "sum").tolist()]


def last_line(error: Exception) -> str:
    """The message of an error; of one that comes out of a worker process without the worker's traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix(f"{type(error).__name__}: ")


__all__ = ["StopSignals", "StoppedElsewhere", "agree", "last_line", "quiet_worker"]

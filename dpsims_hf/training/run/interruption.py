# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What ends a run early: signals, a launcher that is gone, errors of single processes, and how all processes of a run
come to agree on it.
"""

import _thread
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, TextIO

import torch
from accelerate import Accelerator

from .launcher import Launcher


# SIGUSR1 is what SLURM is asked to send ahead of the end of a job's time (accelerate_configs/slurm.sh), SIGHUP what a
# closed terminal sends.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name)
)
# Only these ask a run that is stopping already to hurry; a closing terminal sends several SIGHUPs at once.
URGENT = (signal.SIGTERM, signal.SIGINT)
FORCE_AFTER = 3
WATCH_SECONDS = 0.25


class StoppedElsewhere(Exception):
    """Another process of this run stopped for a reason that it tells itself."""


class StoppedEarly(BaseException):
    """A signal came before the first step: there is nothing to save. No library's `except Exception` takes it."""


class StopSignals:
    """Within `with`, the first signal is remembered in `received`, and the end of the launcher counts as one.

    Before `hold` it raises `StoppedEarly` besides. A second SIGTERM or SIGINT does nothing, so that what is being
    saved is saved; the third ends the process at once, as the system does without a handler.

    Args:
        launcher: of this process, to be watched; None if there is none.
    """

    def __init__(self, launcher: Launcher | None = None) -> None:
        self.received: str | None = None
        self._launcher, self._launcher_gone = launcher, False
        self._urgent, self._holding = 0, False
        self._left = threading.Event()
        self._previous: dict[int, Any] = {}

    def hold(self) -> None:
        """From here on the run looks at `received` itself, between its steps."""
        self._holding = True

    def _request_stop(self, signum: int, frame: Any) -> None:
        is_first = self.received is None
        if self._launcher_gone:
            self._launcher_gone = False  # told once; what follows is a signal
            self.received = self.received or "the end of its launcher"
        else:
            self.received = self.received or signal.Signals(signum).name
            self._urgent += signum in URGENT
            if self._urgent == FORCE_AFTER - 1:
                for urgent in URGENT:  # by the system, and before it is said: Python's handlers wait for a long call
                    signal.signal(urgent, signal.SIG_DFL)
                _say(b"\nalready stopping: the checkpoint is being saved; once more ends the run without it\n")
        if is_first and not self._holding:
            raise StoppedEarly

    def _watch(self) -> None:
        while not self._left.wait(WATCH_SECONDS):
            if self._launcher.is_gone():
                self._launcher_gone = True
                _thread.interrupt_main(signal.SIGTERM)  # runs the handler, in the main thread
                return

    def __enter__(self) -> "StopSignals":
        for signum in STOP_SIGNALS:
            if signal.Signals(signum).name == "SIGHUP" and signal.getsignal(signum) == signal.SIG_IGN:
                continue  # nohup: the run is to outlive its terminal
            self._previous[signum] = signal.signal(signum, self._request_stop)
        if self._launcher is not None:
            threading.Thread(target=self._watch, name="launcher", daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._left.set()
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)


def ignore_stop_signals() -> None:
    """For a process that is about to end: a repeated signal must not change its exit status."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


class LastingStream:
    """A terminal or pipe to write to that may go away: what cannot be written any more is dropped.

    Ctrl-C also ends the `tee` behind a run, and a run is worth more than what it says.

    Args:
        stream: sys.stdout or sys.stderr.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop it."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop it."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _say(text: bytes) -> None:
    """To stderr from within a signal handler, where Python's streams may be in the middle of a write."""
    with suppress(OSError):
        os.write(2, text)


def quiet_worker(worker_id: int) -> None:
    """`worker_init_fn` of data loaders: the trainer deals with a signal to a whole job, and ends its workers itself.

    A worker that died of it would raise an error in the middle of the trainer's last step.
    """
    for signum in STOP_SIGNALS:
        if signum != signal.SIGTERM:
            signal.signal(signum, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_when_the_trainer_says, daemon=True).start()
    threading.Thread(target=_exit_with_the_trainer, daemon=True).start()


def _exit_with_the_trainer() -> None:
    # The loader's own check compares getppid(), which is that of a fork server where there is one.
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


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


__all__ = [
    "LastingStream",
    "StopSignals",
    "StoppedEarly",
    "StoppedElsewhere",
    "agree",
    "ignore_stop_signals",
    "last_line",
    "quiet_worker",
]

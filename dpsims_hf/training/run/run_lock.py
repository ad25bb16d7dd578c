# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""One run per output folder: a lock that the operating system releases however the run ends."""

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list


try:
    import fcntl
except ImportError:  # Windows has no such locks: there the user takes care
    fcntl = None

LOCK_FILE = ".run.lock"


class RunLock:
    """The output folder's lock, held by the main process of a run.

    A POSIX record lock: the kernel drops it when the process ends, kill -9 included, and a forked loader worker that
    outlives its parent does not inherit it.

    Args:
        output_dir: of the run; made if absent.
    """

    def __init__(self, output_dir: str | os.PathLike) -> None:
        self.path = Path(output_dir) / LOCK_FILE
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock and write down who holds it; a ValueError names another holder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Only one descriptor of the file per process: closing a second one would drop the lock.
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 4096).decode(errors="replace")
            self.release()
            raise ValueError(
                f"{self.path.parent} belongs to a run that is still going ({_describe(holder)}); stop that one, or "
                "choose another --output_dir"
            ) from None
        text = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat("T", "seconds")}
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(text).encode(), 0)

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go of it, if it is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _describe(holder: str) -> str:
    try:
        text = json.loads(holder)
        return f"process {text['pid']} on {text['host']}, since {text['since']}"
    except (ValueError, KeyError, TypeError):  # it is just being written
        return "its process number is not known yet"


def lock_output_dir(accelerator: Accelerator, output_dir: str | os.PathLike) -> RunLock:
    """Take the folder for this run, on all processes together.

    Raises:
        ValueError: on every process if another run has it, or if some process does not see the main one's folder.
    """
    lock, problem = RunLock(output_dir), None
    if accelerator.is_main_process:
        try:
            lock.acquire()
        except (ValueError, OSError) as error:
            problem = str(error)
    problem = broadcast_object_list([problem])[0]
    if problem is not None:
        raise ValueError(problem)
    if not lock.path.is_file():
        lock.release()
        raise ValueError(
            f"process {accelerator.process_index} on {socket.gethostname()} does not see {output_dir} of the main "
            "process; all machines of a run need one shared --output_dir"
        )
    return lock


__all__ = ["RunLock", "lock_output_dir"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The launcher that started this process, and noticing that it is gone.

`accelerate launch` dies of a signal and tells the process it started nothing; a launcher that is killed cannot. The
trainer would run on with nobody to stop it. A shell is no launcher: a run under `nohup` outlives its terminal.
"""

import os
from collections.abc import Mapping

import psutil


# What the launchers set for the processes they start.
VARIABLES = ("TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION")
COMMANDS = ("torchrun", "torch.distributed.run", "torch.distributed.launch", "accelerate-launch")


class Launcher:
    """A process that started this one.

    Args:
        process: its process number.
        is_gone: it has ended already.
    """

    def __init__(self, process: int, is_gone: bool = False) -> None:
        self.pid, self._is_gone = process, is_gone
        self._is_parent = process == os.getppid()
        self._process: psutil.Process | None = None
        if not is_gone:
            try:
                self._process = psutil.Process(process)
            except psutil.NoSuchProcess:
                self._is_gone = True

    def is_gone(self) -> bool:
        """Whether it has ended; a parent that is dead but not waited for counts as ended."""
        if not self._is_gone and self._is_parent:
            self._is_gone = os.getppid() != self.pid
        elif not self._is_gone:
            try:
                self._is_gone = not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                self._is_gone = True
            except psutil.AccessDenied:  # another user's: it is there
                pass
        return self._is_gone


def find_launcher(environment: Mapping[str, str], started_by: int | None = None) -> Launcher | None:
    """The launcher of this process, None if it was started by hand.

    Args:
        environment: of this process.
        started_by: the parent process when this one began; another one now means that it ended meanwhile.
    """
    if not any(name in environment for name in VARIABLES):
        return None
    if started_by is not None and started_by != os.getppid():
        return Launcher(started_by, is_gone=True)
    parents = psutil.Process(os.getpid()).parents()
    for parent in parents:
        command = _command(parent)
        if is_launcher(command):
            return Launcher(parent.pid)
    # A program that starts processes by accelerate's functions; a shell only passes its variables on.
    is_python = bool(parents) and os.path.basename(next(iter(_command(parents[0])), "")).startswith("python")
    return Launcher(parents[0].pid) if is_python else None


def is_launcher(command: list[str]) -> bool:
    """Whether a command line is that of `accelerate launch`, `torchrun` or the modules behind them."""
    names = [os.path.basename(part) for part in command[:4]]
    if any(name in COMMANDS for name in names) or any(
        part.endswith("torch/distributed/run.py") or part.endswith("accelerate/commands/launch.py")
        for part in command[:4]
    ):
        return True
    if "accelerate.commands.launch" in names:
        return True
    return "launch" in names and any(name.startswith("accelerate") for name in names)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # another user's, or gone
        return []


__all__ = ["Launcher", "find_launcher", "is_launcher"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How many processes a run was asked to have, and how many it got.

A launcher that falls back to one process says nothing (`accelerate launch --cpu --num_processes 2` does): a run for 8
GPUs would train on one of them for days. So what was asked is looked up wherever it stands; a difference is refused.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

import psutil
from accelerate import Accelerator

from .options import TrainingOptions


# --multi_gpu also on CPUs: it is the script's own --cpu that decides.
LAUNCH = "torchrun --nproc_per_node {count}, or accelerate launch --multi_gpu --num_processes {count}"
# Variables that job starters set for every process they start -> how they are called.
STARTERS = {"SLURM_NTASKS": "SLURM", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}


class Request(NamedTuple):
    """A wish for a number of processes.

    Args:
        count: processes in all.
        source: where it stands, for a message.
        remedy: what helps if the run has another number.
        at_least: more processes than this are fine.
    """

    count: int
    source: str
    remedy: str
    at_least: bool = False


def requested_processes(
    flag: int | None, environment: Mapping[str, str], parents: list[list[str]] | None = None
) -> list[Request]:
    """Every wish for a number of processes; the flag alone, where it is given.

    Args:
        flag: --expect_processes.
        environment: of this process.
        parents: command lines of the parent process and its parents; None asks the operating system.
    """
    if flag is not None:
        return [Request(flag, "--expect_processes", f"start {flag} processes: {LAUNCH.format(count=flag)}")]
    wishes = []
    if environment.get("WORLD_SIZE", "").isdigit():
        wishes.append(
            Request(int(environment["WORLD_SIZE"]), "WORLD_SIZE", "set RANK, LOCAL_RANK and MASTER_ADDR too")
        )
    elif "ACCELERATE_MIXED_PRECISION" in environment:  # accelerate launch, in the form that starts one process
        count = _asked_of_accelerate(parents if parents is not None else _parent_commands())
        if count:
            wishes.append(Request(count, "accelerate launch", f"start it by {LAUNCH.format(count=count)}"))
    for variable, starter in STARTERS.items():
        # Each task may well start several processes, one per GPU; less than one per task means runs side by side.
        if environment.get(variable, "").isdigit():
            remedy = "give each task its RANK and WORLD_SIZE as accelerate_configs/slurm.sh does"
            wishes.append(Request(int(environment[variable]), f"{starter} ({variable})", remedy, at_least=True))
    return wishes


def check_processes(got: int, wishes: list[Request]) -> None:
    """Raise a ValueError if a run of `got` processes is not what was asked for."""
    for wish in wishes:
        if got == wish.count or (wish.at_least and got > wish.count):
            continue
        raise ValueError(
            f"{wish.source} asks for {wish.count} process(es), but this run has {got}; {wish.remedy}"
            + ("" if wish.source == "--expect_processes" else f"; or --expect_processes {got} if {got} is right")
        )


def describe_processes(accelerator: Accelerator, training: TrainingOptions) -> str:
    """One line: how many processes, where, and what the effective batch is."""
    processes, micro_batches = accelerator.num_processes, training.gradient_accumulation_steps
    return (
        f"{processes} process(es) on {accelerator.device.type}, {accelerator.mixed_precision}; effective batch "
        f"{processes * micro_batches * training.batch_size} = {processes} process(es) x {micro_batches} "
        f"micro-batch(es) x {training.batch_size} image(s)"
    )


def _parent_commands() -> list[list[str]]:
    commands = []
    for parent in psutil.Process(os.getpid()).parents()[:3]:
        try:
            commands.append(parent.cmdline())
        except psutil.Error:  # another user's, or gone
            break
    return commands


def _asked_of_accelerate(commands: list[list[str]]) -> int | None:
    """--num_processes of the `accelerate launch` that started this process, or of its configuration file."""
    from accelerate.commands.config.config_args import default_config_file, load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    for command in commands:
        names = [os.path.basename(part) for part in command[:4]]
        if "launch" not in names or not any(name.startswith("accelerate") for name in names):
            continue
        arguments, _ = launch_command_parser().parse_known_args(command[names.index("launch") + 1 :])
        if arguments.num_processes:
            return arguments.num_processes
        file = arguments.config_file or default_config_file
        return load_config_from_file(file).num_processes if os.path.isfile(file) else None
    return None


__all__ = ["Request", "check_processes", "describe_processes", "requested_processes"]

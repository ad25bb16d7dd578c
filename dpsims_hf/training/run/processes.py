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

from ..options import TrainingOptions


# --multi_gpu also on CPUs: it is the script's own --cpu that decides.
LAUNCH = "torchrun --nproc_per_node {count}, or accelerate launch --multi_gpu --num_processes {count}"
# Variables that job starters set for every process they start -> how they are called.
STARTERS = {"SLURM_NTASKS": "SLURM", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}


class Request(NamedTuple):
    """A number of processes that somebody or something asked for.

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
    """Every number of processes that was asked for; that of the flag alone, where it is given.

    Args:
        flag: --expect_processes.
        environment: of this process.
        parents: command lines of the parent process and its parents; None asks the operating system.
    """
    if flag is not None:
        return [Request(flag, "--expect_processes", f"start {flag} processes: {LAUNCH.format(count=flag)}")]
    requests = []
    if environment.get("WORLD_SIZE", "").isdigit():
        requests.append(
            Request(int(environment["WORLD_SIZE"]), "WORLD_SIZE", "set RANK, LOCAL_RANK and MASTER_ADDR too")
        )
    elif "ACCELERATE_MIXED_PRECISION" in environment:  # accelerate launch, in the form that starts one process
        count = _asked_of_accelerate(parents if parents is not None else _parent_commands())
        if count:
            requests.append(Request(count, "accelerate launch", f"start it by {LAUNCH.format(count=count)}"))
    for variable, starter in STARTERS.items():
        # Each task may well start several processes, one per GPU; less than one per task means runs side by side.
        if environment.get(variable, "").isdigit():
            remedy = "give each task its RANK and WORLD_SIZE as accelerate_configs/slurm.sh does"
            requests.append(Request(int(environment[variable]), f"{starter} ({variable})", remedy, at_least=True))
    return requests


# Variables by which `accelerate launch` asks for what shards a model -> how it is called.
SHARDING = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism configuration",
}


def check_sharding(environment: Mapping[str, str]) -> None:
    """Raise a ValueError if the launcher asks for a model in pieces, which this training does not know.

    Args:
        environment: of this process.
    """
    for variable, name in SHARDING.items():
        if environment.get(variable, "").lower() in ("1", "true", "yes", "on"):
            raise ValueError(
                f"{name} ({variable}) is not supported: the averaged generator, checkpoints and batch norm need whole "
                "networks on every process; start it by accelerate launch --multi_gpu, or choose an "
                "accelerate_configs/ file"
            )


def check_processes(got: int, requests: list[Request]) -> None:
    """Raise a ValueError if a run of `got` processes is not what was asked for."""
    for request in requests:
        if got == request.count or (request.at_least and got > request.count):
            continue
        raise ValueError(
            f"{request.source} asks for {request.count} process(es), but this run has {got}; {request.remedy}"
            + ("" if request.source == "--expect_processes" else f"; or --expect_processes {got} if {got} is right")
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


__all__ = ["SHARDING", "Request", "check_processes", "check_sharding", "describe_processes", "requested_processes"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Time and memory of a training step under each switch, beside the same step without it.

    python -m benchmarks.training_step                                              # a small network, on the CPU too
    python -m benchmarks.training_step --recipe ade20k --batch_size 8 --rounds 20   # paper size, on a GPU

Each row starts two runs in processes of their own and lets them take turns, a step each, so that whatever else the
machine does hits both; the ratio is that of the medians. Memory is the device's peak, on a CPU the growth of the
process over what it had before the first step. Data is drawn; backbone and feature networks have random weights.
"""

import argparse
import json
import multiprocessing
import os
import resource
import socket
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any


@dataclass
class Variant:
    """A row of the table.

    Args:
        name: of the switch.
        before, after: arguments of train_accelerate.py of the two runs.
        processes: of the second run.
    """

    name: str
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    processes: int = 1


def switch(*texts: str) -> list[str]:
    return [part for text in texts for part in ("--set", text)]


VARIANTS = {
    "channels_last": Variant("channels last", switch("training.channels_last=false"), []),
    "bf16": Variant("bfloat16", ["--mixed_precision", "no"], ["--mixed_precision", "bf16"]),
    "backbone": Variant("backbone in bfloat16", [], switch("training.backbone_dtype=bfloat16")),
    "compile": Variant("torch.compile", [], switch("training.compile=true")),
    "checkpointing": Variant("gradient checkpointing", [], switch("training.gradient_checkpointing=true")),
    "processes": Variant("two processes", [], [], processes=2),
}


def serve(connection: Connection, arguments: list[str], environment: dict[str, str], threads: int) -> None:
    """One process of a run: a step for every message, answered by its seconds; the message None ends it."""
    os.environ.update(environment)
    import torch
    from accelerate.utils import send_to_device

    import train_accelerate
    from dpsims_hf.training.options.command_line import options_from_args, parse_args
    from dpsims_hf.training.prepare import prepare_run

    torch.set_num_threads(threads)
    options = options_from_args(parse_args(arguments))
    accelerator = train_accelerate.make_accelerator(options)
    trainer, _, batches = prepare_run(options, accelerator)
    source = iter(batches)
    micro_batches = [next(source) for _ in range(options.training.gradient_accumulation_steps)]
    micro_batches = send_to_device(micro_batches, accelerator.device)
    on_gpu = accelerator.device.type == "cuda"
    at_rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    connection.send("ready")
    while (step := connection.recv()) is not None:
        start = time.perf_counter()
        trainer.step(step, micro_batches)
        if on_gpu:
            torch.cuda.synchronize()
        connection.send(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - at_rest
    connection.send(torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak)
    accelerator.end_training()


class Contender:
    """A run whose processes wait for the word to do a step."""

    def __init__(self, arguments: list[str], processes: int, threads: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        context = multiprocessing.get_context("spawn")
        self.connections, self.processes = [], []
        for rank in range(processes):
            place: dict[str, Any] = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
            place |= {"LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1"}
            environment = {name: str(value) for name, value in place.items()} if processes > 1 else {}
            ours, theirs = context.Pipe()
            self.processes.append(context.Process(target=serve, args=(theirs, arguments, environment, threads)))
            self.processes[-1].start()
            theirs.close()
            self.connections.append(ours)
        for connection in self.connections:
            connection.recv()

    def step(self, number: int) -> float:
        """Seconds of one step, of the slowest process."""
        for connection in self.connections:
            connection.send(number)
        return max(connection.recv() for connection in self.connections)

    def finish(self) -> float:
        """End the processes; the largest peak of memory in MiB."""
        for connection in self.connections:
            connection.send(None)
        peaks = [connection.recv() for connection in self.connections]
        for process in self.processes:
            process.join()
        return max(peaks)


def compare(variant: Variant, common: list[str], rounds: int, threads: int) -> str:
    """One row: medians, their ratio and the ratio of memory."""
    sides = [
        Contender([*common, *variant.before], 1, threads),
        Contender([*common, *variant.after], variant.processes, threads),
    ]
    warm_up = 3
    seconds = [[side.step(number) for side in sides] for number in range(warm_up + rounds)][warm_up:]
    before, after = (statistics.median(column) for column in zip(*seconds, strict=True))
    memory = [side.finish() for side in sides]
    return (
        f"{variant.name:24s} {before * 1e3:9.1f} {after * 1e3:9.1f} {after / before:7.2f} "
        f"{variant.processes * before / after:10.2f} {memory[0]:9.0f} {memory[1]:9.0f} {memory[1] / memory[0]:7.2f}"
    )


def random_features(recipe: str) -> list[str]:
    """Options that keep a recipe's feature networks from being downloaded."""
    from dpsims_hf.training.options import resolve_options

    return [
        f"{section}.networks=" + json.dumps([{**asdict(spec), "weights": "random"} for spec in chosen.networks])
        for section, chosen in resolve_options(recipe).features.items()
    ]


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--image_size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="default: the recipe's")
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10, help="steps that count, after 3 that do not")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--set", action="append", default=[], help="further options of both runs")
    args = parser.parse_args()

    import torch

    from dpsims_hf.data.synthetic import write_synthetic_dataset

    on_gpu = torch.cuda.is_available() and not args.cpu
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {args.threads} thread(s) per process"
    texts = [*args.set, "data.workers=0", "data.cache=none", *random_features(args.recipe)]
    if args.image_size:
        texts += [f"{section}.image_size={args.image_size}" for section in ("data", "generator")]
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic_dataset(f"{folder}/data", size=tuple(args.image_size or (32, 64)))
        common = ["--recipe", args.recipe, "--train_dir", f"{folder}/data", "--output_dir", f"{folder}/out"]
        common += ["--backbone_weights", "random", "--report_to", "--train_batch_size", str(args.batch_size)]
        common += [*(["--cpu"] if args.cpu else []), *switch(*texts)]
        print(f"{args.recipe}, batch of {args.batch_size} per process, {device}\n")
        print(f"{'':24s} ms before  ms after   ratio  images/s x  MiB before  after   ratio")
        for name in args.variants:
            if name == "processes" and on_gpu and torch.cuda.device_count() < 2:
                print(f"{VARIANTS[name].name:24s} needs two GPUs, or --cpu")
                continue
            print(compare(VARIANTS[name], common, args.rounds, args.threads), flush=True)


if __name__ == "__main__":
    main()

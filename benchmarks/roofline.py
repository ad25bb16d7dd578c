# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How near the fast form comes to what the machine can do, block by block.

    python -m benchmarks.roofline --family dpsims [--dtype bfloat16]

Ceilings are measured first, on this machine: the best of some 3x3 convolutions, and the best rate at which a large
tensor is read and written. Each part of the network then stands with its share of the convolution ceiling. Its
arithmetic is what its convolutions and matrix products really do, two per multiply-add, as counted by
`torch.utils.flop_counter` and, for oneDNN's packed kernels, by their shapes: what distinct neighbourhoods and coarse
maps save is not counted as done.
"""

import argparse
import statistics
import time
from collections import defaultdict
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dpsims_hf.layers_inference_convolution import PackedConv2d

from .turns import FAMILIES, add_arguments, build, device_of, head, label_map


def best_rate(call: Any, work: float, clock: Any, device: torch.device, repeats: int = 7) -> float:
    """Work per second of the fastest call."""
    times = []
    for _ in range(repeats + 1):
        start = clock()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return work / min(times[1:])


def ceilings(device: torch.device, dtype: torch.dtype, clock: Any) -> tuple[float, float]:
    """(operations, bytes) per second."""
    rates = []
    for channels, side in ((128, 128), (256, 64), (512, 32)):
        conv = PackedConv2d(torch.randn(channels, channels, 3, 3, device=device), None, dtype)
        hidden = torch.randn(1, channels, side, side, device=device).to(dtype)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        call = lambda conv=conv, hidden=hidden: conv(hidden)  # noqa: E731
        rates.append(best_rate(call, 18.0 * channels**2 * side**2, clock, device))
    large = torch.zeros(2**25, device=device)
    other = torch.empty_like(large)
    return max(rates), best_rate(lambda: other.copy_(large), 8.0 * large.numel(), clock, device)


class Counter:
    """Seconds and operations of each part of a network.

    Args:
        parts: modules by name.
        device: they are on it.
        clock: of the seconds.
    """

    def __init__(self, parts: dict[str, nn.Module], device: torch.device, clock: Any) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.operations: dict[str, float] = defaultdict(float)
        self.device, self.clock, self.starts = device, clock, {}
        self.counts = False
        for name, part in parts.items():
            part.register_forward_pre_hook(lambda module, inputs, name=name: self._begin(name))
            part.register_forward_hook(lambda module, inputs, output, name=name: self._end(name))
            for module in part.modules():
                if isinstance(module, PackedConv2d) and module.packed:
                    module.register_forward_hook(lambda m, i, output, name=name: self._convolved(name, m, i, output))

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock()

    def _begin(self, name: str) -> None:
        self.flops = FlopCounterMode(display=False).__enter__() if self.counts else None
        self.starts[name] = self._now()

    def _end(self, name: str) -> None:
        if self.counts:
            self.flops.__exit__(None, None, None)
            self.operations[name] += self.flops.get_total_flops()
        else:
            self.seconds[name].append(self._now() - self.starts[name])

    def _convolved(self, name: str, module: PackedConv2d, inputs: tuple, output: torch.Tensor) -> None:
        if self.counts:
            self.operations[name] += 2.0 * output.numel() * inputs[0].shape[1] * module.kernel**2


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--family", choices=list(FAMILIES), default="dpsims")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--num_labels", type=int, default=151)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    args = parser.parse_args()
    device = device_of(args)
    clock = time.process_time if args.processor_time else time.perf_counter
    dtype = getattr(torch, args.dtype)
    model = build(args.family, args.preset, args.num_labels, tuple(args.size), device).for_inference(dtype)
    inputs = {
        "label_map": label_map(args, tuple(args.size), args.num_labels, 1, device),
        "noise": model.sample_noise(1, generator=torch.Generator().manual_seed(0)),
    }
    parts = {"pyramid": model.pyramid} if hasattr(model, "pyramid") else {}
    parts |= {"first convolution": model.low_resolution_input}
    parts |= {f"block {index}": block for index, block in enumerate(model.blocks)}
    parts |= {"to_image": model.to_image}
    operations, memory = ceilings(device, dtype, clock)
    counter = Counter(parts, device, clock)
    whole = []
    for number in range(args.rounds + 2):
        counter.counts = number == 0
        start = clock()
        float(model(**inputs).images.sum())
        if number > 1:
            whole.append(clock() - start)
    print(f"{head(device, args)}\n{args.family}, {args.preset} size, {args.dtype}, {args.size[0]}x{args.size[1]}\n")
    print(f"ceilings: {operations / 1e9:.0f} GFLOP/s of 3x3 convolutions, {memory / 1e9:.1f} GB/s of copying\n")
    print(f"{'':20s} {'ms':>8s} {'share of time':>14s} {'GFLOP':>8s} {'GFLOP/s':>8s} {'of ceiling':>11s}")
    total = statistics.median(whole)
    rows = {name: (statistics.median(counter.seconds[name][1:]), counter.operations[name]) for name in parts}
    rows["whole forward pass"] = (total, sum(counter.operations.values()))
    for name, (seconds, done) in rows.items():
        rate = done / seconds
        print(
            f"{name:20s} {1e3 * seconds:8.1f} {100 * seconds / total:12.0f} % {done / 1e9:8.1f} {rate / 1e9:8.0f} "
            f"{100 * rate / operations:9.0f} %"
        )


if __name__ == "__main__":
    main()

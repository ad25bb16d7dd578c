# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How time and memory of an image grow with its size, the number of classes and the batch.

    python -m benchmarks.scaling --family oasis
    python -m benchmarks.scaling --family dpsims --preset small --sizes 128 256 512 1024 --batches 1 8 32

One axis at a time, from 256x256 pixels, 151 classes and one image, plain and fast form in turns, float32. Memory is
the device's peak, on a CPU what the process grew by over all that came before it (0: no more than that).
"""

import argparse
import resource

import torch

from .turns import FAMILIES, TITLE, add_arguments, build, device_of, head, label_map, row, take_turns


def memory(device: torch.device) -> float:
    """Peak so far, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(args: argparse.Namespace, device: torch.device, side: int, classes: int, batch: int) -> None:
    """Print two rows."""
    model = build(args.family, args.preset, classes, (side, side), device)
    inputs = {
        "label_map": label_map(args, (side, side), classes, batch, device),
        "noise": model.sample_noise(batch, generator=torch.Generator().manual_seed(0)),
    }
    fast = model.for_inference("float32")
    before = memory(device)
    fast(**inputs)
    grown = memory(device) - before
    calls = {"fast": lambda: fast(**inputs)}
    if not args.fast_only:
        calls = {"plain": lambda: model(**inputs), **calls}
    seconds = take_turns(calls, args, device)
    for name, values in seconds.items():
        text = row(f"{side}x{side}, {classes} classes, x{batch} {name}", values, next(iter(seconds.values())))
        print(text + (f"  {grown:7.0f} MiB" if name == "fast" else ""), flush=True)


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--family", choices=list(FAMILIES), default="oasis")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--sizes", type=int, nargs="*", default=(128, 256, 512, 1024))
    parser.add_argument("--classes", type=int, nargs="*", default=(12, 151, 1000))
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 4, 16, 32))
    parser.add_argument("--fast_only", action="store_true")
    args = parser.parse_args()
    device = device_of(args)
    print(f"{head(device, args)}\n{args.family}, {args.preset} size\n\n{TITLE}")
    for side in args.sizes:
        measure(args, device, side, 151, 1)
    for classes in args.classes:
        measure(args, device, 256, classes, 1)
    for batch in args.batches:
        measure(args, device, 256, 151, batch)


if __name__ == "__main__":
    main()

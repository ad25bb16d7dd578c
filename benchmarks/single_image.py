# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Time for one image, as in DP-SIMS Table 4 (256x256, mean of 50 runs) and DP-GAN Table 5 (Cityscapes, 256x512).

    python -m benchmarks.single_image                                  # the four families, 151 classes, 256x256
    python -m benchmarks.single_image --size 256 512 --num_labels 35   # on a GPU if there is one; --cpu
    python -m benchmarks.single_image --model checkpoints/dpsims-camvid-small

Weights are random unless a checkpoint is named: time does not depend on them. A run is noise and label map in, image
out, all on the device, one after the other.
"""

import argparse
import time
from statistics import mean, stdev

import torch
from torch import nn

import dpsims_hf
from dpsims_hf import SemanticImageSynthesisPipeline


FAMILIES = {name: f"{name.upper()}Generator" for name in ("dpsims", "dpgan", "oasis", "spade")}


@torch.no_grad()
def seconds_per_image(generator: nn.Module, size: tuple[int, int], runs: int, warm_up: int = 5) -> list[float]:
    """Seconds of `runs` single images after `warm_up` that are not counted.

    Args:
        generator: in eval mode, on its device.
        size: (height, width).
        runs: how many.
        warm_up: before them.
    """
    device, rng = next(generator.parameters()).device, torch.Generator().manual_seed(0)
    label_map = torch.randint(0, generator.config.num_labels, (1, *size), generator=rng).to(device)
    inputs = {"label_map": label_map}
    if getattr(generator.config, "use_instance_offsets", False):
        inputs["instance_offsets"] = torch.zeros(1, 2, *size, device=device)
    found = []
    for run in range(warm_up + runs):
        noise = generator.sample_noise(1, generator=rng).to(device)
        _wait(device)
        start = time.perf_counter()
        generator(noise=noise, **inputs)
        _wait(device)
        if run >= warm_up:
            found.append(time.perf_counter() - start)
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(arguments: list[str] | None = None) -> None:
    """Print mean and standard deviation for each generator."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--model", help="a checkpoint, instead")
    parser.add_argument("--preset", default="paper", help="size of the networks: paper, small or tiny")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--num_labels", type=int, default=151)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    size, generators = tuple(args.size), {}
    if args.model:
        generators[args.model] = SemanticImageSynthesisPipeline.from_pretrained(args.model).generator_model
        size = tuple(generators[args.model].config.image_size)
    for family in () if args.model else args.families:
        model_class = getattr(dpsims_hf, FAMILIES[family])
        fields = {"num_labels": args.num_labels, "image_size": size}
        generators[family] = model_class(model_class.config_class.from_preset(args.preset, **fields))
    print(f"{size[0]}x{size[1]}, float32, {name}, mean of {args.runs} runs")
    for label, generator in generators.items():
        times = seconds_per_image(generator.to(device).eval(), size, args.runs)
        spread = stdev(times) if len(times) > 1 else 0.0
        print(f"{label:8s}  {1000 * mean(times):9.1f} ms  +- {1000 * spread:.1f}")


if __name__ == "__main__":
    main()

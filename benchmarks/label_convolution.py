# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Convolution over class indices: dense one-hot against table look-up, side by side in one run.

    python -m benchmarks.label_convolution

Prints the ratio of times (forward and backward) for several class counts; above 1 the look-up is faster. The choice
that `LabelConv2d` makes (`TABLE_LOOKUP_FROM`) should follow it.
"""

import time

import torch

from dpsims_hf import layers_label


def seconds(layer: layers_label.LabelConv2d, label_map: torch.Tensor, look_up: bool, repeats: int = 5) -> float:
    """Best time of a forward and backward pass."""
    layers_label.TABLE_LOOKUP_FROM = 1 if look_up else 10**9
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        layer(label_map).mean().backward()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print a table."""
    print("classes  one-hot (ms)  look-up (ms)  one-hot / look-up")
    for num_labels in (12, 35, 64, 151, 183):
        layer = layers_label.LabelConv2d(num_labels, 32)
        label_map = torch.randint(0, num_labels, (2, 256, 256))
        dense, look_up = seconds(layer, label_map, False), seconds(layer, label_map, True)
        print(f"{num_labels:7d}  {1e3 * dense:12.1f}  {1e3 * look_up:12.1f}  {dense / look_up:17.2f}")


if __name__ == "__main__":
    main()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""3D noise as vectors and a map of regions against the tensor itself: `LabelNoiseConv2d` and a dense convolution.

    python -m benchmarks.noise_convolution [--size 256] [--num_labels 151]

Both compute the first convolution of a SPADE norm of OASIS (noise 64, width 128), forward and backward, in one run on
the same inputs. Printed: seconds of each, and their ratio.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from dpsims_hf.layers_noise import LabelNoiseConv2d, noise_map


def seconds(function: Callable[[], torch.Tensor], repeats: int = 3) -> float:
    """Best of some forward and backward passes."""
    function().sum().backward()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function().sum().backward()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Compare for one, some and many regions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--num_labels", type=int, default=151)
    parser.add_argument("--batch_size", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(0)
    layer = LabelNoiseConv2d(args.num_labels, 64, 128)
    coarse = torch.randint(0, args.num_labels, (args.batch_size, args.size // 16, args.size // 16))
    label_map = coarse.repeat_interleave(16, 1).repeat_interleave(16, 2)
    for regions in (1, 4, 32):
        noise = torch.randn(args.batch_size, regions, 64)
        region_map = None if regions == 1 else label_map % regions

        def sparse(noise: torch.Tensor = noise, region_map: torch.Tensor | None = region_map) -> torch.Tensor:
            return layer(label_map, noise, region_map)

        def dense(noise: torch.Tensor = noise, region_map: torch.Tensor | None = region_map) -> torch.Tensor:
            one_hot = F.one_hot(label_map, args.num_labels).permute(0, 3, 1, 2).float()
            noise_3d = noise_map(noise, torch.zeros_like(label_map) if region_map is None else region_map)
            weight = torch.cat([layer.noise.weight, layer.labels.weight], dim=1)
            return F.conv2d(torch.cat([noise_3d, one_hot], dim=1), weight, layer.labels.bias, padding=1)

        torch.testing.assert_close(sparse(), dense(), rtol=1e-3, atol=1e-3)
        ours, theirs = seconds(sparse), seconds(dense)
        print(f"{regions:3d} regions: vectors {ours:.3f} s, 3D tensor {theirs:.3f} s, ratio {theirs / ours:.1f}")


if __name__ == "__main__":
    main()

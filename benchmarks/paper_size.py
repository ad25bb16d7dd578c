# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The paper-size networks: parameters beside the papers' counts, then parameters and GFLOPs as measured.

    python -m benchmarks.paper_size                      # 151 classes, 256x256, ConvNeXt-L
    python -m benchmarks.paper_size --size 256 512 --num_labels 35

The first table uses the class counts of the papers. The second runs every family's generator and discriminator once
forward and backward. GFLOPs are counted by `torch.utils.flop_counter` on a forward pass of one image: twice the
multiply-adds of convolutions, matrix products and attention; a table look-up of labels costs none. The backbone has
random weights: counting needs none.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dpsims_hf
from dpsims_hf import (
    DPGANGenerator,
    DPSIMSDiscriminatorConfig,
    OASISDiscriminator,
    OASISGenerator,
    SPADEDiscriminator,
    SPADEGenerator,
)
from dpsims_hf.modeling_dpsims_discriminator import FrozenBackbone


# Class counts, void included: 151 of ADE20K, 35 of Cityscapes.
PUBLISHED: list[tuple[str, type, dict[str, Any], str]] = [
    ("OASIS generator without noise", OASISGenerator, {"num_labels": 151, "noise_dim": 0}, "72 (OASIS, App. C)"),
    ("  with 3D noise", OASISGenerator, {"num_labels": 151}, "72 + 2 (OASIS, App. C)"),
    ("SPADE generator without noise", SPADEGenerator, {"num_labels": 151, "noise_dim": 0}, "96 (OASIS, App. C)"),
    ("OASIS discriminator", OASISDiscriminator, {"num_labels": 151}, "22 (OASIS, App. C)"),
    ("OASIS generator", OASISGenerator, {"num_labels": 35}, "71.1 (DP-GAN, Table 5)"),
    ("SPADE generator without noise", SPADEGenerator, {"num_labels": 35, "noise_dim": 0}, "93.0 (DP-GAN, Table 5)"),
    ("SPADE discriminator", SPADEDiscriminator, {"num_labels": 35}, "5.5 (OASIS, App. C)"),
    ("DP-GAN generator", DPGANGenerator, {"num_labels": 35}, "69.5 (DP-GAN, Table 5)"),
]


def millions(parameters: Iterator[nn.Parameter]) -> float:
    """How many numbers, in millions."""
    return sum(parameter.numel() for parameter in parameters) / 1e6


def print_published() -> None:
    """Counts of learnable parameters beside those of the papers."""
    print(f"{'learnable parameters (M)':38s}  classes    here  paper")
    for name, model_class, overrides, paper in PUBLISHED:
        with torch.device("meta"):
            model = model_class(model_class.config_class(spectral_norm=False, **overrides))
        print(f"{name:38s}  {overrides['num_labels']:7d}  {millions(model.parameters()):6.1f}  {paper}")
    name = DPSIMSDiscriminatorConfig().backbone
    with torch.device("meta"):
        backbone = FrozenBackbone(name)
    count = millions(backbone.parameters())
    print(f"{'ConvNeXt-L, features only':38s}  {'':7s}  {count:6.1f}  198 with its classifier (DP-SIMS, Table 2)\n")


def measure(family: str, size: tuple[int, int], num_labels: int, **discriminator_fields: Any) -> None:
    """Run one generator and its discriminator forward and backward, and print what they hold and cost."""
    generator_class, discriminator_class = (
        getattr(dpsims_hf, f"{family}{part}") for part in ("Generator", "Discriminator")
    )
    generator = generator_class(generator_class.config_class(num_labels=num_labels, image_size=size)).train()
    config = discriminator_class.config_class(num_labels=num_labels, **discriminator_fields)
    discriminator = discriminator_class(config).train()
    label_map = torch.randint(0, num_labels, (1, *size))
    with FlopCounterMode(display=False) as generator_flops:
        images = generator(label_map, noise=generator.sample_noise(1)).images
    with FlopCounterMode(display=False) as discriminator_flops:
        reads = {"label_map": label_map} if getattr(discriminator, "reads_label_map", False) else {}
        output = discriminator(images, **reads)
    start = time.perf_counter()
    logits = [result for result in (output.segmentation_logits, *(output.patch_logits or ())) if result is not None]
    sum(result.square().mean() for result in logits).backward()
    backward = time.perf_counter() - start

    gflops = [counter.get_total_flops() / 1e9 for counter in (generator_flops, discriminator_flops)]
    learned = millions(p for p in discriminator.parameters() if p.requires_grad)
    frozen = millions(p for p in discriminator.parameters() if not p.requires_grad)
    print(f"{family:6s} generator      {millions(generator.parameters()):7.1f} M parameters  {gflops[0]:8.1f} GFLOPs")
    print(f"{family:6s} discriminator  {learned:7.1f} M trainable   {gflops[1]:8.1f} GFLOPs")
    if frozen:
        print(f"  {'backbone':18s}  {frozen:7.1f} M frozen ({config.backbone})")
    learnable = [p for model in (generator, discriminator) for p in model.parameters() if p.requires_grad]
    missing = sum(p.grad is None for p in learnable)
    print(f"  backward through both: {backward:.1f} s; parameters without gradient: {missing}")


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--num_labels", type=int, default=151)
    parser.add_argument("--backbone", default=DPSIMSDiscriminatorConfig().backbone)
    args = parser.parse_args()
    torch.manual_seed(0)
    print_published()
    print(f"{args.num_labels} classes, {args.size[0]}x{args.size[1]}, one image")
    measure("DPSIMS", args.size, args.num_labels, backbone=args.backbone)
    measure("DPGAN", args.size, args.num_labels)
    measure("OASIS", args.size, args.num_labels)
    measure("SPADE", args.size, args.num_labels)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()

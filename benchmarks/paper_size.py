"""Build the paper-size networks, run each forward and backward once, and print parameters and GFLOPs as measured.

    python benchmarks/paper_size.py                      # 151 classes, 256x256, ConvNeXt-L
    python benchmarks/paper_size.py --size 256 512 --num_labels 35

GFLOPs are counted by `torch.utils.flop_counter` on a forward pass of one image: twice the multiply-adds of
convolutions, matrix products and attention. The backbone has random weights: counting needs none.
"""

import argparse
import resource
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from dpsims_hf import DPSIMSDiscriminator, DPSIMSDiscriminatorConfig, DPSIMSGenerator, DPSIMSGeneratorConfig


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--num_labels", type=int, default=151)
    parser.add_argument("--backbone", default=DPSIMSDiscriminatorConfig().backbone)
    args = parser.parse_args()
    torch.manual_seed(0)
    generator = DPSIMSGenerator(DPSIMSGeneratorConfig(num_labels=args.num_labels, image_size=args.size))
    discriminator = DPSIMSDiscriminator(
        DPSIMSDiscriminatorConfig(num_labels=args.num_labels, backbone=args.backbone)
    ).train()
    label_map = torch.randint(0, args.num_labels, (1, *args.size))

    with FlopCounterMode(display=False) as generator_flops:
        images = generator.train()(label_map, noise=generator.sample_noise(1)).images
    with FlopCounterMode(display=False) as discriminator_flops:
        logits = discriminator(images).segmentation_logits
    start = time.perf_counter()
    logits.square().mean().backward()
    backward = time.perf_counter() - start

    trainable = sum(parameter.numel() for parameter in discriminator.parameters() if parameter.requires_grad)
    frozen = sum(parameter.numel() for parameter in discriminator.backbone.parameters())
    gflops = [counter.get_total_flops() / 1e9 for counter in (generator_flops, discriminator_flops)]
    print(f"{args.num_labels} classes, {args.size[0]}x{args.size[1]}, one image")
    generated = sum(parameter.numel() for parameter in generator.parameters())
    print(f"generator      {generated / 1e6:7.1f} M parameters  {gflops[0]:8.1f} GFLOPs")
    print(f"discriminator  {trainable / 1e6:7.1f} M trainable   {gflops[1]:8.1f} GFLOPs")
    print(f"  backbone     {frozen / 1e6:7.1f} M frozen ({args.backbone})")
    missing = [name for name, p in generator.named_parameters() if p.grad is None]
    print(f"backward through both: {backward:.1f} s; parameters without gradient: {len(missing)}")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Time of one forward pass: plain, fast form, bfloat16, compiled; and beside them diffusion models of the same task.

    python -m benchmarks.inference                                            # all families, paper size, 256x256
    python -m benchmarks.inference --preset small --size 192 256 --num_labels 12 --batch_size 1 16
    python -m benchmarks.inference --families dpsims --diffusion               # DP-SIMS Table 4, on this machine

All forms of a network take turns in one run; the ratio is to its plain form in float32. The diffusion models are
diffusers' own networks built from configs with made-up weights, since time does not depend on weights; --steps of
their steps are timed and the rest extrapolated: a network that denoises 256x256 pixels in 1000, 250 and 27 steps (the
size of SDM's, after Wang et al., 2022), and Stable Diffusion 1.5 with a segmentation ControlNet at 512x512, 20 steps,
with guidance (two passes a step).
"""

import argparse
import statistics
from collections.abc import Callable

import torch

from .turns import FAMILIES, TITLE, add_arguments, build, device_of, head, label_map, row, take_turns


def forms(
    args: argparse.Namespace, family: str, batch: int, device: torch.device
) -> dict[str, Callable[[], torch.Tensor]]:
    """Calls that make a batch of images."""
    size = tuple(args.size)
    model = build(family, args.preset, args.num_labels, size, device)
    inputs = {
        "label_map": label_map(args, size, args.num_labels, batch, device),
        "noise": model.sample_noise(batch, generator=torch.Generator().manual_seed(0)),
    }

    def call(network: torch.nn.Module) -> Callable[[], torch.Tensor]:
        return lambda: network(**inputs).images

    def autocast() -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return model(**inputs).images

    calls = {"plain float32": call(model)}
    calls["fast float32"] = call(model.for_inference("float32"))
    calls["plain, autocast bfloat16"] = autocast
    calls["fast bfloat16"] = call(model.for_inference("bfloat16"))
    if args.compile:
        calls["compiled float32"] = call(torch.compile(model))
    return calls


def compare(args: argparse.Namespace, device: torch.device) -> float:
    """Print a table; seconds of one image of the fastest form of the first family."""
    fastest = 0.0
    print(TITLE)
    for family in args.families:
        for batch in args.batch_size:
            seconds = take_turns(forms(args, family, batch, device), args, device)
            base = seconds["plain float32"]
            for name, values in seconds.items():
                print(row(f"{family} x{batch} {name}", values, base), flush=True)
            fastest = fastest or min(statistics.median(values) for values in seconds.values()) / batch
    return fastest


def bare(build_network: Callable[[], torch.nn.Module], device: torch.device) -> torch.nn.Module:
    """A network without its initialisation: every weight is 0.01."""
    with torch.device("meta"):
        network = build_network()
    network = network.to_empty(device=device).eval()
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data.fill_(0.01)
    return network


def pixel_diffusion(device: torch.device) -> Callable[[], object]:
    """A step of a network of SDM's size: 256 channels, 256x256 pixels, attention at 32, 16 and 8."""
    from diffusers import UNet2DModel

    down = ["DownBlock2D"] * 3 + ["AttnDownBlock2D"] * 3
    network = bare(
        lambda: UNet2DModel(
            sample_size=256,
            block_out_channels=(256, 256, 512, 512, 1024, 1024),
            layers_per_block=2,
            attention_head_dim=64,
            down_block_types=tuple(down),
            up_block_types=("AttnUpBlock2D",) * 3 + ("UpBlock2D",) * 3,
        ),
        device,
    )
    sample = torch.zeros(1, 3, 256, 256, device=device)
    return lambda: network(sample, 10)


def control_diffusion(device: torch.device) -> Callable[[], object]:
    """A step of Stable Diffusion 1.5 with a ControlNet, 512x512 pixels, with guidance: two images each."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    sizes = {"cross_attention_dim": 768, "attention_head_dim": 8}
    network = bare(lambda: UNet2DConditionModel(sample_size=64, **sizes), device)
    control = bare(lambda: ControlNetModel(**sizes), device)
    latents, text = torch.zeros(2, 4, 64, 64, device=device), torch.zeros(2, 77, 768, device=device)
    picture = torch.zeros(2, 3, 512, 512, device=device)

    def step() -> object:
        down, middle = control(latents, 10, text, picture, return_dict=False)
        return network(
            latents, 10, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample

    return step


def diffusion(args: argparse.Namespace, device: torch.device, ours: float) -> None:
    """Print seconds of an image, extrapolated from a few steps, and the ratio to ours."""
    few = argparse.Namespace(rounds=args.steps, processor_time=args.processor_time)
    for name, make, counts in (
        ("diffusion of SDM's size, 256x256", pixel_diffusion, (1000, 250, 27)),
        ("SD 1.5 and ControlNet, 512x512", control_diffusion, (20,)),
    ):
        step = statistics.median(take_turns({name: make(device)}, few, device)[name])
        for count in counts:
            print(
                f"{name}, {count:4d} steps: {count * step:9.1f} s ({args.steps} steps of {step:.2f} s timed, the rest "
                f"extrapolated), {count * step / ours:8.0f} times ours",
                flush=True,
            )


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--num_labels", type=int, default=151)
    parser.add_argument("--batch_size", type=int, nargs="+", default=(1,))
    parser.add_argument("--compile", action="store_true", help="torch.compile of the plain form, too")
    parser.add_argument("--diffusion", action="store_true", help="diffusion models, too")
    parser.add_argument("--steps", type=int, default=2, help="of diffusion that are timed")
    args = parser.parse_args()
    device = device_of(args)
    print(f"{head(device, args)}\n{args.preset} size, {args.num_labels} classes, {args.size[0]}x{args.size[1]}\n")
    ours = compare(args, device)
    if args.diffusion:
        diffusion(args, device, ours)


if __name__ == "__main__":
    main()

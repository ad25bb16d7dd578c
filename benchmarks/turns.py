# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the benchmarks share: contenders that take turns, label maps, and a head that says where it was measured."""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dpsims_hf import DPGANGenerator, DPSIMSGenerator, OASISGenerator, SPADEGenerator
from dpsims_hf.data.synthetic import draw_scene
from dpsims_hf.image_processing_files import resize_nearest
from dpsims_hf.modeling_base import SemanticGenerator
from dpsims_hf.modeling_inference import has_bfloat16


FAMILIES = {"dpsims": DPSIMSGenerator, "dpgan": DPGANGenerator, "oasis": OASISGenerator, "spade": SPADEGenerator}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of this folder can be told."""
    parser.add_argument("--threads", type=int, help="of the processor; default: torch's")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender that count")
    parser.add_argument("--processor_time", action="store_true", help="instead of the clock's: for busy machines")
    parser.add_argument("--label_maps", help="folder of index PNGs, taken in turns; default: a drawn scene")
    parser.add_argument("--cpu", action="store_true", help="also where there is a GPU")


def device_of(args: argparse.Namespace) -> torch.device:
    """Where it runs; sets the threads."""
    if args.threads:
        torch.set_num_threads(args.threads)
    return torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")


def head(device: torch.device, args: argparse.Namespace) -> str:
    """Machine and versions."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        flags = [flag for flag in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if capabilities.get(flag)]
        name = f"{capabilities.get('cpu_name', platform.processor())}, {torch.get_num_threads()} thread(s), "
        name += " ".join(flags)
    found = []
    for package in ("torch", "transformers", "diffusers"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    half = "bfloat16 in hardware" if has_bfloat16(device) else "no bfloat16 in hardware"
    clock = "processor time" if args.processor_time else "wall time"
    return f"{name}; {half}; {', '.join(found)}; {clock}, medians of {args.rounds} turns"


def take_turns(
    contenders: Mapping[str, Callable[[], object]], args: argparse.Namespace, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each, one call after the other's, after a call each that does not count."""
    clock = time.process_time if args.processor_time else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(args.rounds + 1):
        for name, call in contenders.items():
            start = clock()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if round_number:
                seconds[name].append(clock() - start)
    return seconds


def row(name: str, seconds: list[float], base: list[float]) -> str:
    """Median, the middle half of the turns, and how many times faster than `base` (ratio of the medians)."""
    middle = statistics.median(seconds)
    quarters = np.percentile(seconds, [25, 75])
    ratio = statistics.median(base) / middle
    return f"{name:34s} {1e3 * middle:9.1f} {1e3 * quarters[0]:9.1f}-{1e3 * quarters[1]:<9.1f} {ratio:7.2f}"


TITLE = f"{'':34s} {'ms':>9s} {'middle half':>13s} {'':6s} {'ratio':>6s}"


def label_map(
    args: argparse.Namespace, size: tuple[int, int], num_labels: int, batch: int, device: torch.device
) -> torch.Tensor:
    """(batch, height, width): files of the folder, or drawn scenes; their classes spread over all."""
    if args.label_maps:
        files = sorted(Path(args.label_maps).glob("*.png"))
        if not files:
            raise SystemExit(f"--label_maps {args.label_maps}: no PNG in it")
        maps = [np.asarray(Image.open(files[i % len(files)])).astype(np.int64) for i in range(batch)]
    else:
        maps = [draw_scene(size, seed)[1].astype(np.int64) for seed in range(batch)]
    spread = [resize_nearest(single, *size) * max(1, num_labels // 12) % num_labels for single in maps]
    return torch.from_numpy(np.stack(spread)).to(device)


def build(family: str, preset: str, num_labels: int, size: tuple[int, int], device: torch.device) -> SemanticGenerator:
    """A generator with random weights: what it draws does not matter here."""
    model_class = FAMILIES[family]
    fields = {"num_labels": num_labels, "image_size": size}
    torch.manual_seed(0)
    config = model_class.config_class.from_preset(preset, **fields)
    return model_class(config).eval().to(device)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Images per second of the loader alone, and the share of a training step that waits for it.

    python -m benchmarks.data_loading [--images 48] [--source_size 512 683] [--size 256 256] [--workers 0 1 2 4]
    python -m benchmarks.data_loading --training_steps 0     # the loader alone

Drawn scenes, photos as JPEG, labels as PNG, embedded in parquet files and read once map-style (without a cache, from
memory, from memory-mapped files) and once as a stream; resize, crop and flip as on ADE20K. All variants take turns in
one run, so that their ratios hold on a busy machine; printed are ratios to map-style without cache and workers. The
second part trains the tiny recipe and measures `TrainingBatches.waited`.
"""

import argparse
import io
import tempfile
import time
from itertools import islice
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from torch.utils.data import DataLoader

from dpsims_hf.data import DrawSampler, JointTransform, SemanticImageDataset, collate
from dpsims_hf.data.picture_cache import decode
from dpsims_hf.data.sources.hub_loading import resolve_hub_dataset
from dpsims_hf.data.streaming import StreamingSemanticDataset, collate_stream, open_stream
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC, draw_scene
from dpsims_hf.training.options.command_line import options_from_args, parse_args
from dpsims_hf.training.prepare import prepare_run


FILES = 4  # parquet files


def encoded(array: np.ndarray, kind: str) -> dict[str, bytes | str]:
    """The cell of an image column."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return {"bytes": stream.getvalue(), "path": f"scene.{kind.lower()}"}


def write_set(folder: Path, images: int, size: tuple[int, int]) -> None:
    """Parquet files and a classes.json, as `prepare` would push them."""
    SYNTHETIC_SPEC.to_json(folder / "classes.json")
    (folder / "data").mkdir()
    features = datasets.Features({"image": datasets.Image(), "label_map": datasets.Image()})
    per_file = -(-images // FILES)
    for number in range(FILES):
        scenes = [draw_scene(size, seed)[:2] for seed in range(number * per_file, (number + 1) * per_file)]
        rows = {
            "image": [encoded(photo, "JPEG") for photo, _ in scenes],
            "label_map": [encoded(labels, "PNG") for _, labels in scenes],
        }
        file = folder / "data" / f"train-{number:05d}-of-{FILES:05d}.parquet"
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(file), batch_size=per_file)


def loaders(folder: Path, size: tuple[int, int], batch_size: int, workers: int) -> dict[str, DataLoader]:
    """Every kind of loading, with this number of workers."""
    transform = JointTransform(size, (286 / 256, 286 / 256))
    found = resolve_hub_dataset(folder)
    made: dict[str, DataLoader] = {}
    for cache in ("none", "memory", "disk"):
        dataset = SemanticImageDataset.from_hub(folder, "train", transform)
        dataset.use_decoded(decode(dataset, cache, folder / "cache", progress=False))
        sampler = DrawSampler(1_000_000, len(dataset))
        made[f"map-style, cache {cache}"] = DataLoader(
            dataset, batch_size, sampler=sampler, collate_fn=collate, num_workers=workers
        )
    stream = StreamingSemanticDataset(open_stream(found, "train"), found.spec, transform, shuffle_buffer=16)
    made["stream"] = DataLoader(stream, batch_size, collate_fn=collate_stream, num_workers=workers)
    return made


def seconds_per_image(loader: DataLoader, batches: int) -> float:
    """In the steady state: what the workers had fetched ahead is taken first."""
    iterator = iter(loader)
    for _ in islice(iterator, 2 + 2 * loader.num_workers):
        pass
    start = time.perf_counter()
    for _ in islice(iterator, batches):
        pass
    return (time.perf_counter() - start) / (batches * loader.batch_size)


def loading(folder: Path, args: argparse.Namespace) -> None:
    """Print the speed of all loaders as ratios."""
    variants = {
        (name, workers): loader
        for workers in args.workers
        for name, loader in loaders(folder, tuple(args.size), args.batch_size, workers).items()
    }
    times: dict[tuple[str, int], float] = {}
    for _ in range(args.rounds):
        for key, loader in variants.items():
            times[key] = min(times.get(key, float("inf")), seconds_per_image(loader, args.batches))
    base = next(iter(times.values()))
    width = max(len(name) for name, _ in times)
    print(f"images per second, 1 = {1 / base:.0f}/s here (map-style, no cache, {args.workers[0]} workers)")
    print(f"{'workers':<{width}} " + " ".join(f"{workers:>6}" for workers in args.workers))
    for name in dict.fromkeys(name for name, _ in times):
        ratios = [base / times[name, workers] for workers in args.workers]
        print(f"{name:<{width}} " + " ".join(f"{ratio:6.2f}" for ratio in ratios))


def waiting_share(folder: Path, output: Path, steps: int, settings: dict[str, str]) -> float:
    """The share of time in which a real training of the tiny recipe waits for its batches."""
    AcceleratorState._reset_state(True)
    arguments = ["--recipe", "tiny", "--backbone_weights", "random", "--cpu", "--report_to", "--sample_steps", "0"]
    arguments += ["--dataset_name", str(folder), "--output_dir", str(output), "--max_train_steps", str(steps + 4)]
    for key, value in settings.items():
        arguments += ["--set", f"data.{key}={value}"]
    options = options_from_args(parse_args(arguments))
    trainer, _, batches = prepare_run(options, Accelerator(cpu=True))
    source = iter(batches)
    for step in range(4):  # networks and workers warm up
        trainer.step(step, [next(source)])
    waited, start = batches.waited, time.perf_counter()
    for step in range(4, steps + 4):
        trainer.step(step, [next(source)])
    share = (batches.waited - waited) / (time.perf_counter() - start)
    AcceleratorState._reset_state(True)
    return share


def waiting(folder: Path, args: argparse.Namespace) -> None:
    """Print the shares of some settings."""
    print(f"share of a step's time spent waiting for data (tiny recipe, {args.training_steps} steps)")
    for workers in args.workers:
        for settings in ({"cache": "none"}, {"cache": "memory"}, {"cache": "disk"}, {"streaming": "true"}):
            chosen = {"workers": str(workers), "shuffle_buffer": "16", "cache_dir": str(folder / "cache"), **settings}
            with tempfile.TemporaryDirectory() as output:
                share = waiting_share(folder, Path(output), args.training_steps, chosen)
            name = ", ".join(f"{key} {value}" for key, value in settings.items())
            print(f"{workers} workers, {name:<14}  {100 * share:5.1f} %")


def main() -> None:
    """Write the set, measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=48, help="in the set")
    parser.add_argument("--source_size", type=int, nargs=2, default=(512, 683), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--workers", type=int, nargs="+", default=(0, 1, 2, 4))
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--batches", type=int, default=12, help="timed, per round")
    parser.add_argument("--rounds", type=int, default=2, help="the best one counts")
    parser.add_argument("--training_steps", type=int, default=12, help="0 leaves the training out")
    args = parser.parse_args()
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder), args.images, tuple(args.source_size))
        loading(Path(folder), args)
        if args.training_steps:
            waiting(Path(folder), args)


if __name__ == "__main__":
    main()

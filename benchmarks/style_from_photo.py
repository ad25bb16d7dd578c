# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How near `match_style` comes to a photo's colours, beside the best of 16 seeds: medians over photos of a split.

    python -m benchmarks.style_from_photo --model CHECKPOINT --dataset_dir DIR [--split val] [--count 24]

The i-th label map takes the look of another scene, the photo half a split further on, whose label map is given. The
distance is `style_distance`: of class-wise means and deviations, in LAB units.
"""

import argparse
import statistics
import time
from pathlib import Path

from tqdm import tqdm

from dpsims_hf import SemanticImageSynthesisPipeline


def main() -> None:
    """Search, and print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="checkpoint folder")
    parser.add_argument("--dataset_dir", required=True, help="folder with SPLIT/images and SPLIT/labels")
    parser.add_argument("--split", default="val", help="default: val")
    parser.add_argument("--count", type=int, default=24, help="label maps, spread evenly over the split; default: 24")
    options = parser.parse_args()
    root = Path(options.dataset_dir) / options.split
    labels = sorted((root / "labels").iterdir())
    photos = {path.stem: path for path in (root / "images").iterdir()}
    count = min(options.count, len(labels))
    chosen = [round(index * (len(labels) - 1) / max(count - 1, 1)) for index in range(count)]
    pipe = SemanticImageSynthesisPipeline.from_pretrained(options.model)
    found: dict[str, list[float]] = {"the best of 16 seeds": [], "one noise": [], "one per class": []}
    started = time.perf_counter()
    for index in tqdm(chosen, unit="map"):
        other = labels[(index + len(labels) // 2) % len(labels)]
        for name, per_class in (("one noise", False), ("one per class", True)):
            style = pipe.match_style(labels[index], photos[other.stem], other, per_class=per_class)
            found[name].append(style.distance)
        found["the best of 16 seeds"].append(style.start_distance)
    seconds = (time.perf_counter() - started) / (2 * len(chosen))
    height, width = pipe.generator_model.config.image_size
    print(f"{options.model}, {count} label maps of {options.split}, {height}x{width}; {seconds:.1f} s a search")
    for name, values in found.items():
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if count > 1 else values * 3
        print(f"{name:>22}: median {middle:5.1f} LAB, quartiles {low:.1f} to {high:.1f}")


if __name__ == "__main__":
    main()

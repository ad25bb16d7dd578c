# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Draw the sample grid of a card: one row per label map, one generated image per seed.

    python tools/draw_samples.py CHECKPOINT FOLDER_OF_LABEL_MAPS samples.png --rows 6 --seeds 4 [--show_labels]

Photos are not shown: a dataset's terms may forbid passing them on. `--show_labels` puts the label map first; use it
for drawn examples.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from dpsims_hf import SemanticImageSynthesisPipeline


GAP = 4  # pixels of white around each picture


def grid(rows: list[list[np.ndarray]]) -> Image.Image:
    """One picture of equally large (height, width, 3) uint8 pictures, row by row, on white."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    canvas = np.full(((height + GAP) * len(rows) + GAP, (width + GAP) * columns + GAP, 3), 255, dtype=np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = GAP + y * (height + GAP), GAP + x * (width + GAP)
            canvas[top : top + height, left : left + width] = picture
    return Image.fromarray(canvas)


def draw_sheet(checkpoint: str, label_maps: Path, rows: int, seeds: int, show_labels: bool) -> Image.Image:
    """One row per label map, evenly spaced ones of the folder; one column per seed, the label map first if wanted."""
    pipe = SemanticImageSynthesisPipeline.from_pretrained(checkpoint)
    size = dict(zip(("height", "width"), pipe.generator_model.config.image_size, strict=True))
    files = sorted(label_maps.glob("*.png"))
    sheet = []
    for index in np.linspace(0, len(files) - 1, min(rows, len(files))).round().astype(int):
        label_map = pipe.processor(label_maps=str(files[index]), size=size).label_map[0]
        images = pipe(label_map, seed=0, num_images_per_label_map=seeds).images
        shown = [pipe.processor.colorize(label_map)] if show_labels else []
        sheet.append([np.asarray(image) for image in [*shown, *images]])
    return grid(sheet)


def main() -> None:
    """Parse, generate, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("label_maps", type=Path, help="folder of label maps; evenly spaced ones are taken")
    parser.add_argument("output")
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--show_labels", action="store_true")
    args = parser.parse_args()
    draw_sheet(args.checkpoint, args.label_maps, args.rows, args.seeds, args.show_labels).save(args.output)


if __name__ == "__main__":
    main()

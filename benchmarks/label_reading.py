# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label maps read per second, and the ratio to reading without evidence: what `decode_label_map` did before.

    python -m benchmarks.label_reading [--size 360 480] [--rounds 15]

Index, palette and colour PNGs in CamVid's classes, from bytes in memory. The old reading takes the indices as they
are, and snaps each distinct colour to the nearest class. Both take turns file by file, and the processor time of the
quietest quarter of the rounds counts, so that the ratio holds on a busy machine. A ratio above 1: reading by evidence
is faster.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.image_processing_files import STRIP_PIXELS, count_values, nearest_color, packed_colors, unpacked_colors


def old_strips(image: Image.Image | np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows at a time; of an image a copy of them."""
    height, width = image.shape if isinstance(image, np.ndarray) else (image.height, image.width)
    step = max(1, STRIP_PIXELS // width)
    for start in range(0, height, step):
        rows = slice(start, min(height, start + step))
        is_array = isinstance(image, np.ndarray)
        yield rows, image[rows] if is_array else np.asarray(image.crop((0, start, width, rows.stop)))


def old_index(image: Image.Image, num_labels: int, void_values: list[int], void: int) -> np.ndarray:
    """Indices as they are, void values looked for one by one."""
    label_map = np.empty((image.height, image.width), dtype=np.int64)
    for rows, part in old_strips(image):
        label_map[rows] = part
    for _, part in old_strips(label_map):
        part[np.isin(part, void_values)] = void
    if label_map.min() < 0 or label_map.max() >= num_labels:
        raise ValueError("out of range")
    return label_map


def old_colors(image: Image.Image, palette: np.ndarray, tolerance: float) -> np.ndarray:
    """The nearest class of every distinct colour."""
    keys = count_values(packed_colors(part) for _, part in old_strips(image))[0]
    nearest, distance = nearest_color(unpacked_colors(keys), palette)
    known = distance <= tolerance**2
    label_map = np.empty((image.height, image.width), dtype=np.int64)
    for rows, part in old_strips(image):
        label_map[rows] = np.where(known, nearest, -1)[np.searchsorted(keys, packed_colors(part))]
    return label_map


def seconds(function: Callable[[], np.ndarray]) -> float:
    """Processor time of one call, whatever else runs."""
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(size: tuple[int, int], rounds: int) -> dict[str, tuple[float, float]]:
    """Files per second and ratio to the old reading, by kind of file."""
    spec = load_label_preset("camvid")
    processor = spec.image_processor()
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, spec.num_labels, (-(-size[0] // 24), -(-size[1] // 24)))
    labels = np.kron(blocks, np.ones((24, 24), dtype=np.int64))[: size[0], : size[1]]
    colors = np.asarray(spec.palette, dtype=np.uint8)
    stored = np.where(labels == spec.void_label_id, 255, labels).astype(np.uint8)
    paletted = Image.fromarray(stored)
    paletted.putpalette(rng.integers(0, 256, 768).tolist())
    files = {"index": Image.fromarray(stored), "palette": paletted, "colours": Image.fromarray(colors[labels])}
    found = {}
    for kind, image in files.items():
        stream = io.BytesIO()
        image.save(stream, "PNG")

        def new(data: bytes = stream.getvalue()) -> np.ndarray:
            return processor.decode_label_map(io.BytesIO(data))

        def old(data: bytes = stream.getvalue(), kind: str = kind) -> np.ndarray:
            image = Image.open(io.BytesIO(data))
            image.load()
            if kind == "colours":
                return old_colors(image, colors.astype(np.int32), processor.color_tolerance)
            return old_index(image, spec.num_labels, list(spec.void_values), spec.void_label_id)

        assert np.array_equal(new(), old()) and np.array_equal(new(), labels)
        times = [(seconds(new), seconds(old)) for _ in range(rounds)]
        quiet_new, quiet_old = (statistics.quantiles(column, n=4)[0] for column in zip(*times, strict=True))
        found[kind] = (1 / quiet_new, quiet_old / quiet_new)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    for kind, (rate, ratio) in compare(tuple(args.size), args.rounds).items():
        print(f"{kind:<8} {rate:8.0f} maps/s   {ratio:5.2f} x the old reading")


if __name__ == "__main__":
    main()

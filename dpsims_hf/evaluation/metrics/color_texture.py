# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Colour and texture statistics per class, real against generated (OASIS Sec. 4.1).

OASIS compares LAB histograms by the earth mover's distance and local binary patterns by the chi-square distance, per
class, then takes the mean over classes. It leaves open what stands here as constants: 32 bins per LAB channel, the
earth mover's distance per channel (their mean), and 8 neighbours at radius 1 in uniform patterns.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .confusion import as_label_map
from .feature_set import as_image


COLOR_BINS = 32
LAB_RANGES = ((0.0, 100.0), (-128.0, 128.0), (-128.0, 128.0))
LBP_NEIGHBOURS, LBP_RADIUS = 8, 1
TEXTURE_BINS = LBP_NEIGHBOURS + 2  # uniform patterns by their number of ones, and one bin for all others


class ColorTextureHistograms:
    """Running histograms of one set of images: two small arrays of integers per label id.

    An image that is added twice counts twice: shard without padding.
    """

    def __init__(self) -> None:
        self.color: dict[int, np.ndarray] = {}  # label id -> (3, COLOR_BINS) int64
        self.texture: dict[int, np.ndarray] = {}  # label id -> (TEXTURE_BINS,) int64

    def update(self, images: Sequence[Any], label_maps: Sequence[Any]) -> None:
        """Count the pixels of images by the label of each pixel; if one pair is wrong, none is counted.

        Args:
            images: PIL images or uint8 arrays (height, width, 3).
            label_maps: One per image, integers (height, width), any ids, void included (it is left out at the end).
        """
        if len(images) != len(label_maps):
            raise ValueError(f"{len(images)} images came with {len(label_maps)} label maps: one each")
        checked = []
        for image, label_map in zip(images, label_maps, strict=True):
            image, label_map = as_image(image), as_label_map(label_map)
            if image.shape[:2] != label_map.shape:
                raise ValueError(f"image is {image.shape[:2]} and label map {label_map.shape} (height, width): resize")
            checked.append((image, label_map))
        for image, label_map in checked:
            self._count(image, label_map)

    def _count(self, image: np.ndarray, label_map: np.ndarray) -> None:
        labels, position = np.unique(label_map, return_inverse=True)
        position = position.reshape(label_map.shape)
        color = [_histograms(bins, position, len(labels), COLOR_BINS) for bins in lab_bins(image)]
        texture = _histograms(texture_codes(image), position, len(labels), TEXTURE_BINS)
        for row, label in enumerate(labels.tolist()):
            self._add(label, np.stack([channel[row] for channel in color]), texture[row])

    def _add(self, label: int, color: np.ndarray, texture: np.ndarray) -> None:
        self.color[label] = self.color.get(label, 0) + color
        self.texture[label] = self.texture.get(label, 0) + texture

    def merge(self, other: "ColorTextureHistograms") -> None:
        """Add another process's counts; integers, so the order does not matter."""
        for label, color in other.color.items():
            self._add(label, color, other.texture[label])


def color_texture_distance(
    real: ColorTextureHistograms, fake: ColorTextureHistograms, num_labels: int, ignore_index: int | None = None
) -> dict[str, Any]:
    """Distances between the histograms of two sets of images; smaller is nearer to the real ones.

    Args:
        real: Histograms of the real images.
        fake: Histograms of the generated images.
        num_labels: Labels, 0 .. num_labels - 1.
        ignore_index: Id that means void and is left out; None for none.

    Returns:
        color_distance: earth mover's distance in LAB units, mean over channels, then over classes.
        texture_distance: chi-square distance, in [0, 1], mean over classes.
        per_class_color_distance, per_class_texture_distance: lists of num_labels, None for classes left out.
        num_classes_counted: classes that both sets have.

    Raises:
        ValueError: an empty set, ids outside the range, or no class in common.
    """
    for name, histograms in (("real", real), ("generated", fake)):
        if not histograms.color:
            raise ValueError(f"no {name} images were added: both sets are needed")
        wrong = [label for label in histograms.color if label != ignore_index and not 0 <= label < num_labels]
        if wrong:
            raise ValueError(
                f"label maps of the {name} images hold {wrong[0]} but num_labels={num_labels}, "
                f"ignore_index={ignore_index}: raise num_labels, or name the void value as ignore_index"
            )
    color: list[float | None] = [None] * num_labels
    texture: list[float | None] = [None] * num_labels
    common = sorted((real.color.keys() & fake.color.keys()) - {ignore_index})
    if not common:
        raise ValueError("the real and the generated images have no class in common: check the label maps")
    for label in common:
        color[label] = earth_movers_distance(real.color[label], fake.color[label])
        texture[label] = chi_square(real.texture[label], fake.texture[label])
    return {
        "color_distance": float(np.mean([color[label] for label in common])),
        "texture_distance": float(np.mean([texture[label] for label in common])),
        "per_class_color_distance": color,
        "per_class_texture_distance": texture,
        "num_classes_counted": len(common),
    }


def earth_movers_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean over L, a, b of the earth mover's distance in LAB units. (3, COLOR_BINS) counts; totals may differ."""
    from scipy.stats import wasserstein_distance

    values = []
    for (low, high), a, b in zip(LAB_RANGES, real, fake, strict=True):
        centres = low + (np.arange(COLOR_BINS) + 0.5) * (high - low) / COLOR_BINS
        values.append(wasserstein_distance(centres, centres, a, b))
    return float(np.mean(values))


def chi_square(real: np.ndarray, fake: np.ndarray) -> float:
    """1/2 sum (p - q)^2 / (p + q) of two histograms' shares p and q: 0 for equal ones, 1 without overlap."""
    p, q = real / real.sum(), fake / fake.sum()
    total = p + q
    return float(0.5 * np.sum(np.divide((p - q) ** 2, total, out=np.zeros_like(total), where=total > 0)))


def lab_bins(image: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 sRGB -> (3, height, width) bin numbers 0 .. COLOR_BINS - 1 of CIE LAB (D65)."""
    from skimage.color import rgb2lab

    low, high = np.array(LAB_RANGES).T
    bins = np.floor((rgb2lab(image) - low) / (high - low) * COLOR_BINS).astype(np.int64)
    return bins.clip(0, COLOR_BINS - 1).transpose(2, 0, 1)


def texture_codes(image: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 -> (height, width) uniform local binary patterns 0 .. TEXTURE_BINS - 1, of grey."""
    from skimage.color import rgb2gray
    from skimage.feature import local_binary_pattern

    grey = np.round(rgb2gray(image) * 255).astype(np.uint8)
    return local_binary_pattern(grey, LBP_NEIGHBOURS, LBP_RADIUS, method="uniform").astype(np.int64)


def _histograms(bins: np.ndarray, position: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) counts of `bins` for each value of `position`."""
    counts = np.bincount((position * columns + bins).ravel(), minlength=rows * columns)
    return counts.reshape(rows, columns)

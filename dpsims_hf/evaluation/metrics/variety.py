# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Variety: how far the images of one label map differ, against how far real photos differ.

Three spreads. Of colours: the standard deviation, over the images, of the mean colour of a class in CIELAB; of chroma:
the same without lightness, since a network may vary brightness alone. Of features: the mean distance of pairs in the
levels of a pre-trained network (LPIPS of Zhang et al. 2018 without its learned weights).

Photos: the mean colour of a class hardly depends on the layout, so colours are compared with all photos of the set.
Features do, so each label map is compared with its own photo and those whose class histograms are nearest, as many as
images. In films these are frames a second apart.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from .confusion import as_label_map
from .feature_set import as_image
from .grid_artifacts import ratio


IMAGES = 16  # per label map, generated and real
MINIMUM_SHARE = 0.002  # of an image's pixels: below, the mean colour of a class is that of an edge

Colors = dict[int, tuple[float, tuple[float, float, float]]]  # label -> share of the pixels, mean L, a, b


def class_colors(image: Any, label_map: Any) -> Colors:
    """Share and mean CIELAB colour (D65) of each label in one image.

    Args:
        image: PIL image or uint8 (height, width, 3), sRGB.
        label_map: Integers (height, width), any ids.
    """
    from skimage.color import rgb2lab

    image, label_map = as_image(image), as_label_map(label_map)
    if image.shape[:2] != label_map.shape:
        raise ValueError(f"image is {image.shape[:2]} and label map {label_map.shape} (height, width): resize")
    labels, position = np.unique(label_map, return_inverse=True)
    position = position.ravel()
    lab = rgb2lab(image).reshape(-1, 3)
    counts = np.bincount(position)
    means = np.stack([np.bincount(position, lab[:, channel]) for channel in range(3)], axis=1) / counts[:, None]
    shares = (counts / label_map.size).tolist()
    return {label: (shares[row], tuple(means[row].tolist())) for row, label in enumerate(labels.tolist())}


def color_spread(colors: Sequence[Colors], labels: Iterable[int]) -> dict[int, tuple[float, float]]:
    """Spread of the mean colour of a class over images.

    Args:
        colors: Of each image.
        labels: Classes wanted; those with MINIMUM_SHARE of fewer than two images are left out.

    Returns:
        label -> the root of the summed sample variances of L, a and b, and of a and b alone (chroma).
    """
    spreads = {}
    for label in labels:
        means = [image[label][1] for image in colors if label in image and image[label][0] >= MINIMUM_SHARE]
        if len(means) > 1:
            variances = np.var(np.array(means), axis=0, ddof=1)
            spreads[label] = (float(np.sqrt(variances.sum())), float(np.sqrt(variances[1:].sum())))
    return spreads


def level_distances(levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Distances of all pairs of images in the levels of a network.

    Args:
        levels: (n, channels, height, width) each.

    Returns:
        (pairs,) float64, pairs as in `diversity`: squared distance of the vectors at each place, scaled to length 1,
        mean over places, then over levels.
    """
    first, second = torch.triu_indices(len(levels[0]), len(levels[0]), 1)
    total = torch.zeros(len(first), dtype=torch.float64, device=levels[0].device)
    for level in levels:
        unit = level.double() / level.double().norm(dim=1, keepdim=True).clamp(min=1e-10)
        rows = unit.flatten(1)
        products = rows @ rows.T  # |a - b|^2 = |a|^2 + |b|^2 - 2 ab, of all pairs at once
        squares = products.diagonal()
        gaps = squares[first] + squares[second] - 2 * products[first, second]
        total += gaps.clamp(min=0) / (level.shape[2] * level.shape[3])
    return (total / len(levels)).cpu()


class PhotoVariety:
    """Colours of a set of photos, and distances between those of similar layout, by number.

    Args:
        ignore_index: Label that means void; None for none.
    """

    def __init__(self, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index
        self.colors: dict[int, Colors] = {}
        self.distances: dict[int, float] = {}  # label map -> mean over the pairs of its photos

    def __len__(self) -> int:
        return len(self.colors)

    def add(self, index: int, image: Any, label_map: Any) -> None:
        """Look at the colours of one photo; a number that comes twice counts once."""
        self.colors.setdefault(index, class_colors(image, label_map))

    def add_distances(self, index: int, distances: Sequence[float]) -> None:
        """Add `level_distances` of the photos beside one label map; no pairs add nothing."""
        mean = _mean(torch.as_tensor(distances, dtype=torch.float64).tolist())
        if mean is not None:
            self.distances.setdefault(index, mean)

    def merge(self, other: "PhotoVariety") -> None:
        """Take over what another process collected."""
        self.colors = other.colors | self.colors
        self.distances = other.distances | self.distances

    def nearest(self, index: int, count: int) -> list[int]:
        """The `count` photos (fewer if there are no more) whose class histograms are nearest to that of photo `index`.

        Distance: sum over the classes, void left out, of the absolute difference of shares. The photo itself comes
        first, and of equally near ones the lower number.
        """
        own = self.colors[index]

        def distance(other: int) -> float:
            labels = (own.keys() | self.colors[other].keys()) - {self.ignore_index}
            shares = [(own.get(label, (0.0,))[0], self.colors[other].get(label, (0.0,))[0]) for label in labels]
            return math.fsum(abs(a - b) for a, b in shares)

        return sorted(self.colors, key=lambda other: (other != index, distance(other), other))[:count]

    def feature_spread(self) -> float | None:
        """Mean over the label maps of the mean over pairs; None without distances."""
        return _mean(list(self.distances.values()))

    def color_spread(self, label: int) -> tuple[float, float] | None:
        """Colour and chroma spread of a class over all photos; None with fewer than two that have it."""
        return color_spread([self.colors[index] for index in sorted(self.colors)], [label]).get(label)


class GeneratedVariety:
    """Spreads over the images of each label map: some numbers per map, so that any sharding gives the same means."""

    def __init__(self) -> None:
        # label map -> mean distance of pairs (None if not measured), label -> colour and chroma spread
        self._maps: dict[int, tuple[float | None, dict[int, tuple[float, float]]]] = {}

    def __len__(self) -> int:
        return len(self._maps)

    def add(self, index: int, colors: Sequence[Colors], distances: Sequence[float] = ()) -> None:
        """Add one label map; a number that comes twice counts once.

        Args:
            index: Number of the label map.
            colors: `class_colors` of its images, at least two.
            distances: `level_distances` of them; none leaves features out.
        """
        if len(colors) < 2:
            raise ValueError(f"variety needs at least 2 images per label map, not {len(colors)}")
        mean = _mean(torch.as_tensor(distances, dtype=torch.float64).tolist())
        self._maps.setdefault(index, (mean, color_spread(colors, colors[0])))

    def merge(self, other: "GeneratedVariety") -> None:
        """Take over what another process collected."""
        self._maps = other._maps | self._maps

    def feature_spread(self) -> float | None:
        """Mean over the label maps of the mean over pairs; None without distances."""
        return _mean([distance for distance, _ in self._maps.values() if distance is not None])

    def color_spread(self, label: int) -> tuple[float, float] | None:
        """Colour and chroma spread of a class, mean over the label maps that have it; None if none has."""
        found = [spreads[label] for _, spreads in self._maps.values() if label in spreads]
        return (_mean([color for color, _ in found]), _mean([chroma for _, chroma in found])) if found else None


def variety_scores(
    real: PhotoVariety, fake: GeneratedVariety | PhotoVariety, num_labels: int, ignore_index: int | None = None
) -> dict[str, Any]:
    """Spread of generated images beside that of real photos.

    Args:
        real: Of the photos.
        fake: Of the images of each label map.
        num_labels: Labels, 0 .. num_labels - 1.
        ignore_index: Id that means void and is left out; None for none.

    Returns:
        color_spread, chroma_spread: mean over the classes that both sets have, LAB units.
        feature_spread: `level_distances`, mean over pairs, then over label maps; None where they were not measured.
        color_spread_real_photos, chroma_spread_real_photos, feature_spread_real_photos: the same of the photos.
        color_spread_ratio, chroma_spread_ratio, feature_spread_ratio: generated / real. Photos of similar layout
            still differ in layout, which images of one label map do not: the last stays well below 1.
        per_class_color_spread, per_class_chroma_spread, and of each _real_photos and _ratio: lists of num_labels,
            None for classes that one of the sets lacks.
        num_label_maps: of the generated images.

    Raises:
        ValueError: an empty set.
    """
    for name, state in (("real", real), ("generated", fake)):
        if not len(state):
            raise ValueError(f"no {name} images were added: both sets are needed")
    found: dict[int, tuple[tuple[float, float], tuple[float, float]]] = {}
    for label in range(num_labels):
        sides = None if label == ignore_index else (fake.color_spread(label), real.color_spread(label))
        if sides and None not in sides:
            found[label] = sides
    result: dict[str, Any] = {}
    for part, name in enumerate(("color_spread", "chroma_spread")):
        columns = []
        for side, suffix in enumerate(("", "_real_photos")):
            values = {label: sides[side][part] for label, sides in found.items()}
            columns.append([values.get(label) for label in range(num_labels)])
            result[f"{name}{suffix}"], result[f"per_class_{name}{suffix}"] = _mean(list(values.values())), columns[-1]
        result[f"per_class_{name}_ratio"] = [ratio(*pair) for pair in zip(*columns, strict=True)]
    result["feature_spread"], result["feature_spread_real_photos"] = fake.feature_spread(), real.feature_spread()
    for name in ("color_spread", "chroma_spread", "feature_spread"):
        result[f"{name}_ratio"] = ratio(result[name], result[f"{name}_real_photos"])
    return result | {"num_label_maps": len(fake)}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


__all__ = [
    "IMAGES",
    "GeneratedVariety",
    "PhotoVariety",
    "class_colors",
    "color_spread",
    "level_distances",
    "variety_scores",
]

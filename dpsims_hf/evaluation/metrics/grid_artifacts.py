# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The fault of up-sampling networks measured: power at the frequencies of the up-sampling grid, inside regions of one
class, and the distance of radial power spectra (cf. Durall et al. 2020, "Watch your Up-Convolution").

A window wholly inside one class shows texture and nothing of the layout. A generator that up-samples by factors of two
repeats itself there every 2, 4, 8, 16 pixels, which a photo does not. Photos have structure along the axes too, so a
value says nothing without that of the real photos of the same label maps.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from .confusion import as_label_map
from .feature_set import as_image


WINDOW = 32  # pixels; 64 where period 16 is asked for, too near to the mean brightness in a smaller window
WINDOW_STEP = 16  # pixels from one window to the next
CYCLES = (4, 8, 12, 16)  # per window, on the axes and diagonals: periods 8, 4, 8/3 and 2 of 32 pixels
RING_WIDTH, RING_MINIMUM = 1.0, 8  # cycles to either side of a frequency's radius; bins, or the ring grows
SPECTRUM_BINS = 32  # radial bins up to half a cycle per pixel
LUMA = (0.299, 0.587, 0.114)
ROUNDING = 1 / 12  # variance of rounding to 8 bit: less power than its is no structure


class GridArtifacts:
    """Running sums of one set of images, kept per image: any sharding, merged, gives the same numbers.

    Images are known by number; a number that comes twice counts once.

    Args:
        window: Side of the windows, pixels.
        cycles: Frequencies in cycles per window; the first divides the others, and all are at most window / 2.
    """

    def __init__(self, window: int = WINDOW, cycles: Sequence[int] = CYCLES) -> None:
        self.window, self.cycles = window, tuple(cycles)
        # image -> its spectrum, and label -> number of windows and sum of their excess per frequency
        self._images: dict[int, tuple[np.ndarray, dict[int, tuple[int, np.ndarray]]]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def update(self, images: Sequence[Any], label_maps: Sequence[Any], indices: Sequence[int] | None = None) -> None:
        """Look at images; if one is wrong, none is added.

        Args:
            images: PIL images or uint8 arrays (height, width, 3).
            label_maps: One per image, integers (height, width), any ids, void included (it is left out at the end).
            indices: Numbers of the images, unique over all processes; None counts on, right in one process only.
        """
        if indices is None:
            start = max(self._images, default=-1) + 1
            indices = range(start, start + len(images))
        if not len(images) == len(label_maps) == len(indices):
            raise ValueError(f"{len(images)} images, {len(label_maps)} label maps, {len(indices)} indices: one each")
        new = {}
        for index, image, label_map in zip(indices, images, label_maps, strict=True):
            image, label_map = as_image(image), as_label_map(label_map)
            if image.shape[:2] != label_map.shape:
                raise ValueError(f"image is {image.shape[:2]} and label map {label_map.shape} (height, width): resize")
            new.setdefault(int(index), self._look(image @ np.array(LUMA), label_map))
        self._images = new | self._images

    def _look(self, grey: np.ndarray, label_map: np.ndarray) -> tuple[np.ndarray, dict[int, tuple[int, np.ndarray]]]:
        windows, labels = one_class_windows(grey, label_map, self.window)
        excess = grid_excess(windows, self.cycles)
        inside = {label: excess[labels == label] for label in set(labels.tolist())}
        return radial_spectrum(grey), {label: (len(rows), rows.sum(0)) for label, rows in inside.items()}

    def merge(self, other: "GridArtifacts") -> None:
        """Take over what another process collected."""
        if (self.window, self.cycles) != (other.window, other.cycles):
            raise ValueError(
                f"cannot merge windows of {other.window} pixels at {other.cycles} cycles into {self.window} at "
                f"{self.cycles}"
            )
        self._images = other._images | self._images

    def spectrum(self) -> np.ndarray:
        """(SPECTRUM_BINS,) mean over the images of `radial_spectrum`; NaN for bins that no image has."""
        columns = np.stack([spectrum for spectrum, _ in self._images.values()], axis=1)
        return np.array([_mean(column[~np.isnan(column)].tolist(), math.nan) for column in columns])

    def windows(self, label: int) -> int:
        """Number of windows inside a label."""
        return sum(sums[label][0] for _, sums in self._images.values() if label in sums)

    def excess(self, labels: Sequence[int]) -> list[float] | None:
        """`grid_excess` of each frequency, mean over all windows inside some labels; None if there is none."""
        total = sum(map(self.windows, labels))
        if not total:
            return None
        found = [sums[label][1] for _, sums in self._images.values() for label in labels if label in sums]
        # fsum is exact: the order of the images does not matter.
        return [math.fsum(column) / total for column in np.stack(found, axis=1).tolist()]

    def labels(self) -> set[int]:
        """Labels that have a window."""
        return {label for _, sums in self._images.values() for label in sums}


def grid_artifact_scores(
    real: GridArtifacts, fake: GridArtifacts, num_labels: int, ignore_index: int | None = None
) -> dict[str, Any]:
    """Grid artifacts of generated images beside those of real photos.

    Args:
        real, fake: Sums of both sets, of the same label maps.
        num_labels: Labels, 0 .. num_labels - 1.
        ignore_index: Id that means void and is left out; None for none.

    Returns:
        grid_artifacts: `grid_excess`, mean over frequencies and over all windows of the generated images; None where
            no window fits into a class. White noise has about 0.55 (see there).
        grid_artifacts_real_photos: the same of the real photos.
        grid_artifacts_ratio: their quotient; 1 is as good as real.
        spectrum_distance: mean absolute difference of the radial power spectra of whole images, dB.
        per_period_grid_artifacts, per_period_grid_artifacts_real_photos: lists by frequency.
        per_class_grid_artifacts, per_class_grid_artifacts_real_photos, per_class_grid_artifacts_ratio: lists of
            num_labels, None for classes without a window.
        num_windows: windows of the generated images.

    Raises:
        ValueError: an empty set, two sizes of windows, or ids outside the range.
    """
    for name, state in (("real", real), ("generated", fake)):
        if not len(state):
            raise ValueError(f"no {name} images were added: both sets are needed")
        wrong = [label for label in state.labels() if label != ignore_index and not 0 <= label < num_labels]
        if wrong:
            raise ValueError(
                f"label maps of the {name} images hold {wrong[0]} but num_labels={num_labels}, "
                f"ignore_index={ignore_index}: raise num_labels, or name the void value as ignore_index"
            )
    if (real.window, real.cycles) != (fake.window, fake.cycles):
        raise ValueError(f"windows of {real.window} and {fake.window} pixels do not compare: take one size")
    labels = [label for label in range(num_labels) if label != ignore_index]
    gap = np.abs(real.spectrum() - fake.spectrum())
    result: dict[str, Any] = {
        "spectrum_distance": float(np.nanmean(gap)) if (~np.isnan(gap)).any() else None,
        "num_windows": sum(map(fake.windows, labels)),
    }
    values = {}
    for suffix, state in (("", fake), ("_real_photos", real)):
        periods = state.excess(labels)
        result[f"per_period_grid_artifacts{suffix}"] = periods
        result[f"grid_artifacts{suffix}"] = _mean(periods or [], None)
        values[suffix] = [
            None if label == ignore_index else _mean(state.excess([label]) or [], None) for label in range(num_labels)
        ]
        result[f"per_class_grid_artifacts{suffix}"] = values[suffix]
    result["grid_artifacts_ratio"] = ratio(result["grid_artifacts"], result["grid_artifacts_real_photos"])
    result["per_class_grid_artifacts_ratio"] = [
        ratio(*pair) for pair in zip(values[""], values["_real_photos"], strict=True)
    ]
    return result


def grid_excess(windows: np.ndarray, cycles: Sequence[int] = CYCLES) -> np.ndarray:
    """How far grid frequencies stand out: log2 of their power over the median power around, not below 0.

    Each frequency is taken at four places, two axes and two diagonals; the value is the mean of the four. Windows are
    weighted by a Hann window. "Around" are bins at the same distance from the origin, RING_WIDTH to either side,
    without those next to a multiple of cycles[0]: a grid with all its harmonics is not its own surroundings. The
    power of 8-bit rounding is added to both, so a flat window has 0.

    A wave A sin(2 pi x cycles / s) has 1/4 log2(1 + 4/3 (s A)^2) at its own frequency and 0 at others; white noise
    has E1(ln 2) / ln 2 = 0.55 (its power is exponential, with median ln 2) and slightly more for the small rings.

    Args:
        windows: (n, s, s) grey values of 0 .. 255.
        cycles: Per window; the first divides the others.

    Returns:
        (n, len(cycles)) float64.
    """
    size = windows.shape[-1]
    hann = np.sin(np.pi * np.arange(size) / size) ** 2
    weights = np.outer(hann, hann)
    values = windows.astype(np.float64)
    values = values - values.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(values * weights)) ** 2 + ROUNDING * (weights**2).sum()
    excess = [
        np.log2(power[:, row, column] / np.median(power[:, ring], axis=1)).clip(min=0)
        for row, column, ring in _places(size, tuple(cycles))
    ]
    return np.stack(excess, axis=1).reshape(len(windows), len(cycles), 4).mean(axis=2)


@cache
def _places(size: int, cycles: tuple[int, ...]) -> list[tuple[int, int, np.ndarray]]:
    """Row, column and ring mask (size, size) of each frequency's four places."""
    base = cycles[0]
    if base < 3 or any(cycle % base or 2 * cycle > size for cycle in cycles) or size % base:
        raise ValueError(f"cycles {cycles} in a window of {size}: give multiples of the first, 3 to {size // 2}")
    steps = np.fft.fftfreq(size, 1 / size).astype(int)
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    radius = np.hypot(rows, columns)
    leaks = [(axis % base <= 1) | (axis % base == base - 1) for axis in (rows, columns)]  # Hann: one bin to each side
    surroundings = ~(leaks[0] & leaks[1])
    places = []
    for cycle in cycles:
        for row, column in ((cycle, 0), (0, cycle), (cycle, cycle), (cycle, -cycle)):
            width = RING_WIDTH
            while True:
                ring = surroundings & (np.abs(radius - math.hypot(row, column)) <= width)
                if ring.sum() >= RING_MINIMUM:
                    break
                width += 0.5
            places.append((row, column, ring))
    return places


def one_class_windows(grey: np.ndarray, label_map: np.ndarray, size: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """Windows that lie wholly inside one label, on a lattice of WINDOW_STEP pixels.

    Args:
        grey, label_map: (height, width).
        size: Side of a window.

    Returns:
        (n, size, size) grey values and (n,) labels; n is 0 where none fits.
    """
    if min(grey.shape) < size:
        return np.empty((0, size, size)), np.empty(0, dtype=np.int64)
    view = np.lib.stride_tricks.sliding_window_view
    labels = view(label_map, (size, size))[::WINDOW_STEP, ::WINDOW_STEP]
    lowest = labels.min(axis=(2, 3))
    inside = lowest == labels.max(axis=(2, 3))
    return view(grey, (size, size))[::WINDOW_STEP, ::WINDOW_STEP][inside], lowest[inside]


def radial_spectrum(grey: np.ndarray) -> np.ndarray:
    """Power spectrum of an image over the radius alone.

    Args:
        grey: (height, width) of 0 .. 255; weighted by a Hann window.

    Returns:
        (SPECTRUM_BINS,) mean power in dB over rings of equal width up to half a cycle per pixel, the mean brightness
        left out; NaN for rings without a frequency (small images).
    """
    hann = [np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in grey.shape]
    weights = np.outer(*hann)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * weights)) ** 2 / (weights**2).sum() + ROUNDING
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in grey.shape), indexing="ij"))
    ring = np.ceil(radius * 2 * SPECTRUM_BINS).astype(int) - 1
    known = (ring >= 0) & (ring < SPECTRUM_BINS)
    counts = np.bincount(ring[known], minlength=SPECTRUM_BINS)
    sums = np.bincount(ring[known], power[known], minlength=SPECTRUM_BINS)
    mean = np.divide(sums, counts, out=np.full(SPECTRUM_BINS, np.nan), where=counts > 0)
    return 10 * np.log10(mean)


def ratio(value: float | None, reference: float | None) -> float | None:
    """value / reference; None where one is not known or the reference is 0."""
    return None if value is None or not reference else value / reference


def _mean(values: Sequence[float], default: float | None) -> float | None:
    return math.fsum(values) / len(values) if values else default


__all__ = [
    "GridArtifacts",
    "grid_artifact_scores",
    "grid_excess",
    "one_class_windows",
    "radial_spectrum",
    "ratio",
]

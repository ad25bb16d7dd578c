# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The ways in which a label file can be read, what they are called, and the record of what was decided and why."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .image_processing_files import listing
from .image_processing_label_files import OPAQUE, Census, LabelPixels


READINGS = {
    "ids": "its numbers are class ids, as the label space writes them (of a palette file: the indices)",
    "colors": "its colours are the classes' (of a palette file: its palette's)",
    "nearest_colors": "each pixel is the class of the nearest colour",
    "bgr_colors": "its colours are the classes' with red and blue swapped",
    "ids_from_0": "its numbers are class ids, and 0 is the first class",
    "ids_from_1": "its numbers are class ids plus 1, and 0 is void",
    "mask": "0 is class 0 and 255 is class 1",
    "ids_256": "a number is class id * 256 + object",
    "ids_1000": "a number is class id * 1000 + object",
    "ids_1000_plain": "a number is class id * 1000 + object, and below 1000 the class id",
}
COMBINED = ("ids_256", "ids_1000", "ids_1000_plain")
TURNED = "turned upright as its EXIF orientation says"  # a note of a `Reading`
WHERE = '(in Python; --label_reading in commands, "Read the file as" on the page)'


class Candidate(NamedTuple):
    """A way to read a file: the id of each distinct value (-1: none), and the pixels that it explains exactly."""

    name: str
    ids: np.ndarray
    pixels: int


class Reading(NamedTuple):
    """How a label file was read.

    Args:
        name: A key of READINGS.
        why: One phrase: what was taken, how much of the file it explains exactly, and what else was considered.
        exact_pixels: Pixels whose value means a class exactly.
        pixels: All that are not transparent.
        shares: Each reading that was considered, and the share of the pixels that it explains exactly.
        notes: What else the reader should know, one sentence each.
        what: What was taken, as "palette indices".
        half_transparent: Pixels with an alpha that is neither 0 nor 255.
        span: The lowest and highest number in the file that is none of the label space's void values, None if its
            numbers are not class ids counted from 0, or it says itself that they are.
    """

    name: str
    why: str
    exact_pixels: int
    pixels: int
    shares: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    what: str = ""
    half_transparent: int = 0
    span: tuple[int, int] | None = None

    @property
    def exact_share(self) -> float:
        """Share of the pixels that are explained exactly, in [0, 1]."""
        return self.exact_pixels / max(1, self.pixels)


class LabelMap(np.ndarray):
    """Class ids, (height, width) int64, and `reading`: how they were read. Computing gives plain arrays."""

    reading: Reading | None = None

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)


class LabelSpace(NamedTuple):
    """What label files can mean.

    Args:
        names, colors: Of each class.
        void: Its id, or None.
        void_values: Numbers in files that mean void.
        numbers: (number in a file, class id), void included if there is one.
        legal: The legal numbers as text.
        encoding: Name of the label encoding in which the numbers are class ids; empty: they are the ids.
        is_told: Somebody has said how the files of this label space write class ids.
        is_shifted: The encoding only counts from elsewhere than 0.
        plain: `numbers` without the encoding.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    void: int | None
    void_values: tuple[int, ...]
    numbers: tuple[tuple[int, int], ...]
    legal: str
    encoding: str = ""
    is_told: bool = True
    is_shifted: bool = False
    plain: tuple[tuple[int, int], ...] = ()

    @property
    def legal_ids(self) -> str:
        """The legal class ids in words."""
        void = f" and {listing(list(self.void_values))} (void)" if self.void is not None and self.void_values else ""
        return f"0..{len(self.names) - 1}{void}"

    @property
    def num_things(self) -> int:
        """Classes before a void that stands at the end, as one that is added to a list of classes does."""
        return len(self.names) - (self.void == len(self.names) - 1)

    @property
    def speaks_otherwise(self) -> bool:
        """Whether numbers in files may be other than class ids."""
        return bool(self.encoding) or not self.is_told

    def of_ids(self) -> "LabelSpace":
        """The same for numbers that are class ids."""
        numbers = self.plain or self.numbers
        return self._replace(numbers=numbers, encoding="", is_told=True, is_shifted=False, legal=self.legal_ids)

    def ids_of_numbers(self, numbers: np.ndarray, reading: str) -> np.ndarray:
        """Class ids of numbers of any type, -1 for those without a meaning."""
        if (
            reading == "ids"
            and numbers.dtype == np.int64
            and numbers.size
            and numbers.min() >= 0
            and numbers.max() < 256
        ):
            return _byte_table(self.numbers)[numbers]  # the most frequent case
        numbers = numbers.astype(np.int64)
        if reading == "mask":
            return np.select([numbers == 0, (numbers == 255) & (len(self.names) > 1)], [0, 1], -1)
        if reading == "ids_from_1":
            void = -1 if self.void is None else self.void
            is_void = np.isin(numbers, [0, *(v for v in self.void_values if v > self.num_things)])
            shifted = np.where((numbers >= 1) & (numbers <= self.num_things), numbers - 1, -1)
            return np.where(is_void, void, shifted)
        if reading == "ids_256":
            numbers = numbers // 256
        elif reading == "ids_1000":
            numbers = numbers // 1000
        elif reading == "ids_1000_plain":
            numbers = np.where(numbers < 1000, numbers, numbers // 1000)
        legal, ids = _number_table(self.plain or self.numbers if reading == "ids_from_0" else self.numbers)
        places = np.searchsorted(legal, numbers).clip(max=len(legal) - 1)
        return np.where(legal[places] == numbers, ids[places], -1)

    def may_start_at_1(self, low: int, high: int) -> bool:
        """Whether numbers from `low` to `high` speak for ids from 1: none is 0, and the last is void's id.

        Void is then a class of its own at the end, and label files have another value for it.
        """
        return low >= 1 and high == self.void == self.num_things and any(v != self.void for v in self.void_values)

    def ids_of_colors(self, keys: np.ndarray) -> np.ndarray:
        """Class ids of colours 0xRRGGBB, any shape, -1 for those of no class."""
        factor, stored, ids = _color_table(self.colors)
        slots = (keys.astype(np.uint32) * factor) >> 16
        return np.where(stored[slots] == keys, ids[slots], -1)


@lru_cache(maxsize=64)
def _byte_table(numbers: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The id of each number 0..255, -1: none."""
    table = np.full(256, -1, dtype=np.int64)
    for number, label_id in numbers:
        if 0 <= number < 256:
            table[number] = label_id
    return table


@lru_cache(maxsize=64)
def _number_table(numbers: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """The legal numbers, sorted, and the id of each; a stranger's table may reach far."""
    legal, ids = np.array(sorted(numbers), dtype=np.int64).T
    return legal, ids


@lru_cache(maxsize=64)
def _color_table(colors: tuple[tuple[int, int, int], ...]) -> tuple[np.uint32, np.ndarray, np.ndarray]:
    """A hash table without collisions: slot = (colour * factor) >> 16; the colour and the id in each slot."""
    keys = np.array([r << 16 | g << 8 | b for r, g, b in colors], dtype=np.uint32)
    rng = np.random.default_rng(0)
    while True:
        factor = np.uint32(rng.integers(1, 2**31) * 2 + 1)
        slots = (keys * factor) >> 16
        if len(np.unique(slots)) == len(keys):
            break
    stored, ids = np.full(2**16, -1, dtype=np.int32), np.zeros(2**16, dtype=np.int64)
    stored[slots], ids[slots] = keys.astype(np.int32), np.arange(len(keys))
    return factor, stored, ids


@lru_cache(maxsize=64)
def _palette_ids(space: LabelSpace, palette: bytes) -> np.ndarray:
    """The id of each index of a palette (256 times r, g, b, alpha) by its colour; a transparent one is void."""
    red, green, blue, alpha = np.frombuffer(palette, dtype=np.uint8).reshape(-1, 4).astype(np.int64).T
    ids = space.ids_of_colors(red << 16 | green << 8 | blue)
    return np.where(alpha < OPAQUE, -1 if space.void is None else space.void, ids)


def candidate(name: str, space: LabelSpace, pixels: LabelPixels, census: Census) -> Candidate | None:
    """A reading of a file, None if such a file cannot have it."""
    if name == "colors" and pixels.palette is not None:
        ids = _palette_ids(space, pixels.palette.tobytes())[census.keys]
    elif "colors" in name:
        keys = colors_of(pixels, census.keys)
        keys = swapped(keys) if name == "bgr_colors" else keys
        ids = space.ids_of_colors(keys)
    else:
        numbers = numbers_of(pixels, census.keys)
        if numbers is None:
            return None
        ids = space.ids_of_numbers(numbers, name)
    return Candidate(name, ids, int(census.counts[ids >= 0].sum()))


def numbered_objects(name: str, numbers: np.ndarray) -> float:
    """How densely the objects of a combined reading are numbered from 0 or 1 on, in (0, 1]; 0 for a single class.

    Class 3's objects 0..6 are 768..774 as class * 256 + object. Divided by 1000 these have a class too, but the
    objects of several classes are then strewn over 0..999.
    """
    base = 256 if name == "ids_256" else 1000
    combined = numbers[numbers >= base] if name == "ids_1000_plain" else numbers
    objects = np.unique(combined % base)
    if len(np.unique(combined // base)) < 2:
        return 0.0
    return len(objects) / (int(objects[-1]) + 1)


def colors_of(pixels: LabelPixels, keys: np.ndarray) -> np.ndarray:
    """Values of a census as colours 0xRRGGBB; numbers as greys (-1 beyond 255)."""
    if pixels.kind == "colors":
        return keys
    if pixels.palette is not None:
        red, green, blue, _ = pixels.palette[keys].astype(np.int64).T
        return red << 16 | green << 8 | blue
    keys = keys.astype(np.int64)
    return np.where((keys >= 0) & (keys < 256), keys * 0x010101, -1)


def numbers_of(pixels: LabelPixels, keys: np.ndarray) -> np.ndarray | None:
    """Values of a census as numbers; of colours what one channel holds while the others are 0, or all hold alike."""
    if pixels.kind != "colors":
        return keys
    channels = [keys >> 16, keys >> 8 & 255, keys & 255]
    if all(np.array_equal(channels[0], other) for other in channels[1:]):
        return channels[0]
    used = [channel for channel in channels if channel.any()]
    return used[0] if len(used) == 1 else None


def swapped(keys: np.ndarray) -> np.ndarray:
    """Colours 0xRRGGBB with red and blue swapped."""
    return (keys & 255) << 16 | keys & 0xFF00 | keys >> 16


def is_mask(numbers: np.ndarray | None) -> bool:
    """Whether numbers are 0 and 255 alone."""
    return numbers is not None and len(numbers) <= 2 and numbers.tolist() in ([255], [0, 255])


def has_table(palette: np.ndarray, indices: np.ndarray, space: LabelSpace) -> bool:
    """Whether a file's palette has a label space's colours in their order, at the indices that the file uses.

    Args:
        palette: (256, 4) of the file.
        indices: That the file uses; void's place, and what lies behind the classes, is not looked at.
        space: The label space.
    """
    used = indices[(indices < len(space.colors)) & (indices != (-1 if space.void is None else space.void))]
    return bool((palette[used, :3] == np.asarray(space.colors, dtype=np.uint8)[used]).all())


def in_words(name: str, pixels: LabelPixels, encoding: str = "") -> str:
    """What a reading takes from such a file; `encoding` is that of the label space."""
    if name == "ids" and encoding:
        return f"values of the label encoding {encoding}"
    if name == "ids":
        return {"numbers": "class ids", "palette": "palette indices", "colors": "class ids in one channel"}[
            pixels.kind
        ]
    if name == "colors":
        return {"numbers": "greys", "palette": "palette colours", "colors": "class colours"}[pixels.kind]
    words = {"nearest_colors": "nearest class colours", "mask": "a mask", "ids_from_0": "class ids from 0"}
    return words.get(name, name)


__all__ = [
    "COMBINED",
    "READINGS",
    "TURNED",
    "WHERE",
    "Candidate",
    "LabelMap",
    "LabelSpace",
    "Reading",
    "candidate",
    "colors_of",
    "has_table",
    "in_words",
    "is_mask",
    "numbered_objects",
    "numbers_of",
    "swapped",
]

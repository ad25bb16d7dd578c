# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the values of a label file mean, by evidence: the one place where processor, data, page and zip files read.

A file can be read in several ways: its numbers are class ids, its palette's indices are, its colours are, one channel
holds ids, 16-bit numbers hold class and object. Each way is scored by the pixels that it explains EXACTLY. One that
explains all of them wins; if two do and disagree, or none does, the error shows them and says how to say which is
meant. Only antialiasing is tolerated: a colour between those of two classes beside it.
"""

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from .image_processing_files import (
    count_values,
    image_size,
    nearest_color,
    snap_blends,
    spans,
    unpacked_colors,
)
from .image_processing_label_files import TRANSPARENT, Census, LabelPixels, Run, open_label, seen_colors
from .image_processing_label_messages import LabelMessages
from .image_processing_reading import (
    COMBINED,
    READINGS,
    TURNED,
    WHERE,
    Candidate,
    LabelMap,
    LabelSpace,
    Reading,
    candidate,
    has_table,
    in_words,
    is_mask,
    numbered_objects,
    numbers_of,
)


MOSTLY = 0.95  # explained by a reading that contradicts a weak winner: then neither is taken
KEPT_PIXELS = 2**20  # of a file whose runs are kept; those of a larger one are found twice, to save memory
DENSE, STREWN = 0.5, 0.1  # how densely a combined reading numbers its objects, to be likely and to be not
DARK = 32  # colours below it in all channels may be numbers; they are never taken for black


class LabelReader:
    """Reads label files of one label space.

    Args:
        space: The label space.
        tolerance: How far a colour may lie outside of those it is a blend of, and what "nearest_colors" calls near.
        max_unmatched: Share of pixels with a colour that nothing explains above which a colour file is refused.
        has_colors: False if the colours are made up: of a set's palette files they are then no evidence, nor of
            a file that has the whole table in its order, as programs add it.
        usual: The reading of this space's files where nobody says another, None: by evidence.
    """

    def __init__(
        self,
        space: LabelSpace,
        tolerance: float,
        max_unmatched: float,
        has_colors: bool = True,
        usual: str | None = None,
    ) -> None:
        self.space, self.tolerance, self.max_unmatched, self.has_colors = space, tolerance, max_unmatched, has_colors
        self.palette = np.asarray(space.colors, dtype=np.int32)
        self.usual, self.say = usual, LabelMessages(space, tolerance)

    def read(self, image: Any, source: str, reading: str | None = None, in_set: bool = False) -> LabelMap:
        """Class ids of a label file, see `SemanticImageProcessor.decode_label_map`."""
        if reading is not None and reading not in READINGS:
            raise ValueError(f"reading {reading!r} is unknown: choose one of {', '.join(READINGS)}")
        pixels = open_label(image, source, lossy=(reading or self.usual) == "nearest_colors")
        if isinstance(image, (np.ndarray, torch.Tensor)) and pixels.kind == "numbers":
            pixels = pixels._replace(is_marked=True)
        if pixels.is_marked and self.space.speaks_otherwise:  # class ids, whatever the label space's files hold
            reader = LabelReader(self.space.of_ids(), self.tolerance, self.max_unmatched, self.has_colors)
            return reader.read(pixels, source, reading)
        runs = list(pixels.runs()) if pixels.size <= KEPT_PIXELS else None
        census = pixels.census(runs)
        _require_whole(census.keys, source)
        if census.transparent and self.space.void is None:
            raise ValueError(self.say.no_void(census.transparent, "transparent", source))
        if reading is None and (usual := self._usual(pixels, census)) is not None:
            reading = usual
        if reading is None:
            tried = self._candidates(pixels, census, in_set)
            chosen = self._decide(tried, pixels, census, source)
            if not in_set:
                self._check_start(chosen, tried, pixels, census, source)
        else:
            given = candidate(reading, self.space, pixels, census)
            if given is None:
                raise ValueError(f"{source}: a colour file cannot be read as {reading}: {READINGS[reading]}")
            chosen, tried = given, [given]
        notes: list[str] = []
        if chosen.pixels < census.counts.sum():
            if "colors" not in chosen.name:
                raise ValueError(self.say.illegal(chosen, pixels, census, source))
            label_map, notes = self._snapped(chosen.name, pixels, source)
            for note in notes:
                warnings.warn(f"{source}: {note}", stacklevel=3)
        else:
            label_map = _filled(pixels, runs, census.keys, chosen.ids, self.space.void or 0)
        result = label_map.view(LabelMap)
        result.reading = self._record(chosen, tried, pixels, census, notes)
        return result

    # -- evidence -------------------------------------------------------------------------------------------------

    def _usual(self, pixels: LabelPixels, census: Census) -> str | None:
        """The usual reading, if such a file can have it."""
        if self.usual is None or (pixels.is_marked and "colors" not in self.usual):
            return None
        one = candidate(self.usual, self.space, pixels, census)
        if one is None:
            return None
        is_kind = (pixels.kind == "numbers") != ("colors" in self.usual)
        return self.usual if is_kind or one.pixels == census.counts.sum() else None

    def _candidates(self, pixels: LabelPixels, census: Census, in_set: bool) -> list[Candidate]:
        """The readings that a file may have without being asked for."""
        names = {"numbers": ("ids",), "palette": ("ids", "colors"), "colors": ("colors", "ids")}[pixels.kind]
        if pixels.kind == "colors" and is_mask(numbers_of(pixels, census.keys)):
            names = ("colors",)  # 0 and 255 alone are no evidence for ids
        if pixels.kind == "palette" and not self.has_colors:
            # Of a set nobody has seen the made-up colours; who uploads a file may have painted with them.
            names = ("ids",) if in_set or has_table(pixels.palette, census.keys, self.space) else names
        found = [candidate(name, self.space, pixels, census) for name in names]
        tried = [one for one in found if one is not None]
        is_large = pixels.kind == "numbers" and census.keys.max(initial=0) >= 256
        if is_large and tried[0].pixels < census.counts.sum():
            tried += [one for name in COMBINED if (one := candidate(name, self.space, pixels, census))]
        return tried

    def _check_start(
        self, chosen: Candidate, tried: list[Candidate], pixels: LabelPixels, census: Census, source: str
    ) -> None:
        """Ask about ids that may just as well be counted from elsewhere, or be ids without the label encoding.

        What somebody has said of the files holds, but for clear signs against it: void's own id where there should be
        another, or a table that makes most of the file void while every number is a class id.

        Raises:
            ValueError: both explain every pixel and differ.
        """
        space, numbers = self.space, numbers_of(pixels, census.keys)
        if chosen.name != "ids" or numbers is None or pixels.is_marked or not len(numbers):
            return
        if space.encoding:
            void = census.counts[chosen.ids == (-1 if space.void is None else space.void)].sum()
            names, is_asked = ("ids", "ids_from_0"), not space.is_shifted and 2 * void > census.counts.sum()
        else:
            low, high = _span(numbers, space)
            is_asked = low >= 1 and space.void != 0 and (not space.is_told or space.may_start_at_1(low, high))
            names = ("ids_from_0", "ids_from_1")
        if not is_asked or any(one is not chosen and np.array_equal(one.ids, chosen.ids) for one in tried):
            return  # in the second case the palette's colours say the same
        other = candidate(names[1], space, pixels, census)
        if other is None or other.pixels < census.counts.sum() or np.array_equal(other.ids, chosen.ids):
            return
        pair = [one._replace(name=name) for one, name in zip((chosen, other), names, strict=True)]
        raise ValueError(self.say.two_starts(pair, pixels, census, source))

    def _decide(self, tried: list[Candidate], pixels: LabelPixels, census: Census, source: str) -> Candidate:
        """The reading that explains every pixel, or colours that need antialiasing explained.

        Raises:
            ValueError: two that contradict each other, or none.
        """
        total = census.counts.sum()
        complete = [one for one in tried if one.pixels == total]
        if not complete:
            best = max(tried, key=lambda one: one.pixels)
            if best.name == "colors" and 2 * best.pixels >= total:
                return best
            raise ValueError(self.say.no_reading(best, tried, pixels, census, source))
        if complete[0].name in COMBINED:
            density = {one.name: numbered_objects(one.name, census.keys) for one in complete}
            likely = [one for one in complete if density[one.name] >= DENSE]
            if likely and all(density[one.name] < STREWN for one in complete if one not in likely):
                complete = likely
        winner, rivals = complete[0], complete[1:]
        if winner.name in COMBINED or pixels.kind == "palette":
            # Indices are always small, and small numbers divided by 256 are 0: they fit where they are not meant.
            rivals += [one for one in tried if MOSTLY * total <= one.pixels < total]
        for rival in rivals:
            differs = (rival.ids >= 0) & (rival.ids != winner.ids)
            if differs.any():
                raise ValueError(
                    f"{source}: two readings fit and contradict each other in "
                    f"{100 * census.counts[differs].sum() / total:.1f} % of the pixels: "
                    f"{self.say.shown(winner, pixels, census)}; {self.say.shown(rival, pixels, census)}; "
                    f'say which is meant: reading="{winner.name}" or reading="{rival.name}" {WHERE}'
                )
        return winner

    # -- colours of no class --------------------------------------------------------------------------------------

    def _snapped(self, name: str, pixels: LabelPixels, source: str) -> tuple[np.ndarray, list[str]]:
        """The label map of a file with colours of no class, and what was done about them.

        Raises:
            ValueError: more, or others, than antialiasing explains.
        """
        pixels, asked = seen_colors(pixels, is_swapped=name == "bgr_colors"), name == "nearest_colors"
        label_map, near = np.empty(image_size(pixels.values), dtype=np.int64), 0
        for rows, keys in pixels.keys():
            label_map[rows] = self.space.ids_of_colors(keys)
            if pixels.has_alpha:
                void: Any = self.space.void  # there is one where pixels are transparent
                label_map[rows][keys == TRANSPARENT] = void
            if asked:
                near += self._take_near(keys, label_map[rows])
        unmatched = int(np.count_nonzero(label_map < 0))
        if 2 * unmatched <= label_map.size:  # more cannot be antialiasing
            snap_blends(pixels.values, label_map, self.palette, self.tolerance)
        keys, counts = count_values(keys[label_map[rows] < 0] for rows, keys in pixels.keys())
        self._check_unknown(keys, counts, unmatched, asked, pixels, source)
        if len(keys):
            nearest = nearest_color(unpacked_colors(keys), self.palette)[0]
            for rows, packed in pixels.keys():
                missing = label_map[rows] < 0
                label_map[rows][missing] = nearest[np.searchsorted(keys, packed[missing])]
        share = f"{unmatched} of {label_map.size} pixels ({100 * unmatched / label_map.size:.1f} %)"
        notes = [f"{near} of {label_map.size} pixels are a little off their class's colour"] if near else []
        if unmatched:
            notes.append(
                f"{share} have no class colour ({counts.sum()} of them are no blend of neighbouring classes either); "
                "each was snapped to the nearest class"
            )
        return label_map, notes

    def _take_near(self, keys: np.ndarray, ids: np.ndarray) -> int:
        """Give colours within the tolerance their class, in place; how many pixels that were."""
        missing = ids < 0
        distinct, inverse = np.unique(keys[missing], return_inverse=True)
        if not len(distinct):
            return 0
        nearest, distance = nearest_color(unpacked_colors(distinct), self.palette)
        given = np.where(distance <= self.tolerance**2, nearest, -1)[inverse]
        ids[missing] = given
        return int(np.count_nonzero(given >= 0))

    def _check_unknown(
        self, keys: np.ndarray, counts: np.ndarray, unmatched: int, asked: bool, pixels: LabelPixels, source: str
    ) -> None:
        """Refuse what neither antialiasing nor a few stray pixels explain."""
        height, width = image_size(pixels.values)
        dark = (unpacked_colors(keys) < DARK).all(axis=-1) & (not asked)
        is_much = counts.sum() > self.max_unmatched * height * width and not asked
        if not (is_much or dark.any() or 2 * unmatched > height * width):
            return
        text = self.say.unknown_colors(keys, counts, counts.sum() / (height * width), source)
        if dark.any() and not is_much:
            text += f"; {counts[dark].sum()} pixels are nearly black and may be numbers: dark colours are not snapped"
        raise ValueError(text + ("" if asked else self.say.hints(pixels, pixels.census())))

    # -- the record -----------------------------------------------------------------------------------------------

    def _record(
        self,
        chosen: Candidate,
        tried: list[Candidate],
        pixels: LabelPixels,
        census: Census,
        notes: list[str],
    ) -> Reading:
        total = int(census.counts.sum())
        shares = tuple((one.name, one.pixels / max(1, total)) for one in tried)
        what = in_words(chosen.name, pixels, self.space.encoding)
        why = f"{what} {100 * chosen.pixels / max(1, total):.1f} % of the pixels exactly"
        others = [
            f"{in_words(one.name, pixels, self.space.encoding)} {100 * one.pixels / max(1, total):.1f} %"
            for one in tried
            if one is not chosen
        ]
        why += f" (as {', '.join(others)})" if others else ""
        if census.between:
            share = 100 * census.between / pixels.size
            notes = [
                *notes,
                f"{census.between} pixels ({share:.2f} %) are half transparent: painted from half on, void below",
            ]
        if pixels.is_turned:
            notes = [*notes, TURNED]
        if (
            pixels.kind == "numbers"
            and chosen.name == "ids"
            and is_mask(census.keys)
            and 255 in self.space.void_values
        ):
            notes = [*notes, 'only 0 and 255: 255 is read as void; if it is a mask, ask for reading="mask"']
        numbers = numbers_of(pixels, census.keys) if chosen.name == "ids" and not self.space.encoding else None
        span = None if numbers is None or pixels.is_marked or not len(numbers) else _span(numbers, self.space)
        if span is not None:
            notes = [*notes, *self._start_notes(span)]
        if self.space.encoding and chosen.name == "ids" and self.space.is_shifted:
            notes = [*notes, 'if its numbers are class ids from 0 on, ask for reading="ids_from_0"']
        if self.space.void is not None and (chosen.ids == self.space.void).all():
            notes = [*notes, "no labelled pixel: all of it is void"]
        between = census.between
        return Reading(chosen.name, why, chosen.pixels, total, shares, tuple(notes), what, between, span)

    def _start_notes(self, span: tuple[int, int]) -> list[str]:
        """What the reader of a file without the number 0 should know."""
        void, names = self.space.void, self.space.names
        if self.space.may_start_at_1(*span):
            return [f'never 0, and {void} is read as void; if ids start at 1, ask for reading="ids_from_1"']
        if 1 <= span[0] <= span[1] < len(names) and void != 0:
            return [f'no {names[0]} (0) in it; if ids start at 1, ask for reading="ids_from_1"']
        return []


@lru_cache(maxsize=64)
def label_reader(
    names: tuple[str, ...],
    colors: tuple[tuple[int, int, int], ...],
    void: int | None,
    void_values: tuple[int, ...],
    encoding: tuple[str, int | None, tuple[tuple[int, int], ...]] | None,
    has_colors: bool,
    usual: str | None,
    tolerance: float,
    max_unmatched: float,
) -> LabelReader:
    """The reader of a label space; see `LabelSpace`.

    `encoding` is (name, offset, (number, id) pairs that go before the offset); None: nobody has said.
    """
    void_numbers = {} if void is None else dict.fromkeys(void_values, void)
    plain = {i: i for i in range(len(names))} | void_numbers
    name, offset, pairs = encoding or ("ids", 0, ())
    meanings = plain
    if not (offset == 0 and not pairs):
        shifted = {} if offset is None else {i - offset: i for i in range(len(names)) if i >= offset}
        meanings = void_numbers | shifted | dict(pairs)
    is_plain = meanings == plain
    shifts = {label - number for number, label in meanings.items() if label != void}
    space = LabelSpace(
        names,
        colors,
        void,
        void_values,
        tuple(meanings.items()),
        spans(list(meanings)),
        "" if is_plain else name,
        encoding is not None,
        len(shifts := {label - number for number, label in meanings.items() if label != void}) == 1
        and 0 not in shifts,
        tuple(plain.items()),
    )
    space = space._replace(legal=space.legal_ids) if is_plain else space
    return LabelReader(space, tolerance, max_unmatched, has_colors, usual)


def _span(numbers: np.ndarray, space: LabelSpace) -> tuple[int, int]:
    """The lowest and highest of sorted numbers that is no value of void's but its id; (0, 0) if there is none."""
    listed, void = numbers.tolist(), set(space.void_values) - {space.void}
    low = next((number for number in listed if number not in void), 0)
    return int(low), int(next((number for number in reversed(listed) if number not in void), 0))


def _require_whole(keys: np.ndarray, source: str) -> None:
    if keys.dtype.kind == "f" and not np.array_equal(keys.astype(np.int64), keys):
        raise ValueError(f"{source}: label values are not whole numbers (dtype {keys.dtype}); pass integer class ids")


def _filled(pixels: LabelPixels, runs: list[Run] | None, keys: np.ndarray, ids: np.ndarray, void: int) -> np.ndarray:
    """The label map from the ids of the distinct values; transparent pixels are `void`."""
    label_map = np.empty(image_size(pixels.values), dtype=np.int64)
    changed = np.flatnonzero(keys != ids)
    if pixels.kind != "colors" and not pixels.has_alpha and len(changed) <= 2:  # ids, and a value for void
        for rows, values in pixels.keys():
            label_map[rows] = values
            for i in changed:
                label_map[rows][values == values.dtype.type(keys[i])] = ids[i]  # of one type: no copy in a larger one
        return label_map
    if pixels.is_bytes and ids.max(initial=0) < 256:
        table = np.zeros(256, dtype=np.uint8)
        table[keys] = ids
        for rows, values in pixels.keys():
            found = np.frombuffer(values.tobytes().translate(table.tobytes()), dtype=np.uint8)
            label_map[rows] = found.reshape(values.shape)
        return label_map
    for rows, values, lengths in pixels.runs() if runs is None else runs:
        found = ids[np.searchsorted(keys, values).clip(max=len(keys) - 1)] if len(keys) else np.zeros_like(values)
        if pixels.has_alpha:
            found[values == TRANSPARENT] = void
        label_map[rows] = np.repeat(found, lengths).reshape(label_map[rows].shape)
    return label_map


__all__ = ["LabelReader", "label_reader"]

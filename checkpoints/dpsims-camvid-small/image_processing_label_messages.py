# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What is said about label files that cannot be read: what is wrong, what is legal, and which reading would do."""

import numpy as np

from .image_processing_files import listing, nearest_color, unpacked_colors
from .image_processing_label_files import Census, LabelPixels
from .image_processing_reading import (
    READINGS,
    WHERE,
    Candidate,
    LabelSpace,
    candidate,
    colors_of,
    in_words,
    is_mask,
    numbers_of,
)


class LabelMessages:
    """One line each.

    Args:
        space: The label space.
        tolerance: See `LabelReader`.
    """

    def __init__(self, space: LabelSpace, tolerance: float) -> None:
        self.space, self.tolerance = space, tolerance
        self.palette = np.asarray(space.colors, dtype=np.int32)

    def shown(self, one: Candidate, pixels: LabelPixels, census: Census) -> str:
        """A reading and the classes that it finds."""
        known = one.ids >= 0
        counts = np.bincount(one.ids[known], census.counts[known], len(self.space.names))
        top = [i for i in np.argsort(-counts, kind="stable")[:4].tolist() if counts[i]]
        classes = ", ".join(f"{self.space.names[i]} {100 * counts[i] / census.counts.sum():.1f} %" for i in top)
        return f"{one.name} ({in_words(one.name, pixels, self.space.encoding)}) gives {classes}"

    def no_reading(
        self, best: Candidate, tried: list[Candidate], pixels: LabelPixels, census: Census, source: str
    ) -> str:
        """The message about a file that no reading explains."""
        wrong, total = best.ids < 0, max(1, census.counts.sum())
        if best.name == "colors":
            keys, counts = colors_of(pixels, census.keys[wrong]), census.counts[wrong]
            text = self.unknown_colors(keys, counts, counts.sum() / total, source)
        else:
            text = self.illegal(best, pixels, census, source)
        for one in tried:
            if one is not best:
                words = in_words(one.name, pixels, self.space.encoding)
                text += f"; read as {words} {100 * one.pixels / total:.1f} % fit"
        return text + self.hints(pixels, census)

    def no_void(self, count: int, what: str, source: str) -> str:
        """The message about void pixels where there is no void."""
        return (
            f"{source}: {count} {what} pixels, but this label space has no void label: "
            f"legal are {self.space.legal}; fill them with a class"
        )

    def illegal(self, one: Candidate, pixels: LabelPixels, census: Census, source: str) -> str:
        """The message about numbers without a meaning."""
        numbers, wrong = numbers_of(pixels, census.keys), one.ids < 0
        is_void = wrong & np.isin(numbers, self.space.void_values)
        if one.name == "ids" and is_void.any():
            return self.no_void(int(census.counts[is_void].sum()), "void", source)
        values, count = listing(numbers[wrong].tolist()), int(census.counts[wrong].sum())
        if self.space.encoding and one.name == "ids":
            return (
                f"{source}: label value {values} has no meaning in the label encoding {self.space.encoding} "
                f"({count} pixels): legal are {self.space.legal}; correct the file, or name the encoding that it has"
            )
        as_what = "" if one.name == "ids" else f" where {READINGS[one.name]}"
        return (
            f"{source}: label id {values} out of range{as_what} ({count} pixels): legal are {self.space.legal}; "
            "correct the file, or add the class or void value to classes.json"
        )

    def unknown_colors(self, keys: np.ndarray, counts: np.ndarray, share: float, source: str) -> str:
        """The message about colours of no class."""
        top = np.argsort(-counts, kind="stable")[:5]
        worst = ", ".join(f"({keys[i] >> 16}, {keys[i] >> 8 & 255}, {keys[i] & 255}) x {counts[i]}" for i in top)
        legal = listing([f"{name} {color}" for name, color in zip(self.space.names, self.space.colors, strict=True)])
        return (
            f"{source}: {100 * share:.1f} % of the pixels have unknown colours ({len(keys)} of them, most "
            f"often {worst}); the palette is {legal}"
        )

    def hints(self, pixels: LabelPixels, census: Census) -> str:
        """The readings that must be asked for and would explain every pixel, and what snapping would do."""
        total, hints = census.counts.sum(), []
        numbers = numbers_of(pixels, census.keys)
        for name in ("mask", "ids_from_1", "bgr_colors"):
            if (name == "mask" and not is_mask(numbers)) or (name == "bgr_colors" and pixels.kind == "numbers"):
                continue
            one = candidate(name, self.space, pixels, census)
            if one is not None and one.pixels == total:
                more = ' (or an encoding with "offset": -1 in label_encodings)' if name == "ids_from_1" else ""
                hints.append(f'every pixel fits if {READINGS[name]}: reading="{name}"{more}')
        if pixels.kind != "numbers" and not hints:
            distance = nearest_color(unpacked_colors(colors_of(pixels, census.keys)), self.palette)[1]
            far = census.counts[distance > self.tolerance**2].sum()
            if 2 * far < total:
                hints.append(
                    f"to give {100 * census.counts[distance > 0].sum() / total:.1f} % of the pixels the nearest class "
                    f'colour ({100 * far / total:.1f} % are far from all), ask for reading="nearest_colors"'
                )
        return "".join(f"; {hint}" for hint in hints) + (f" {WHERE}" if hints else "")

    def two_starts(self, pair: list[Candidate], pixels: LabelPixels, census: Census, source: str) -> str:
        """The message about numbers that may be counted from 0 or from 1, or be in an encoding or not."""
        told = "" if self.space.encoding else "; or, once for all, with the image processor's label_encoding"
        return (
            f"{source}: its numbers can be read in two ways, and nothing says in which: "
            f"{'; '.join(self.shown(one, pixels, census) for one in pair)}; say which is meant: "
            f'reading="{pair[0].name}" or reading="{pair[1].name}" {WHERE}{told}'
        )


__all__ = ["LabelMessages"]

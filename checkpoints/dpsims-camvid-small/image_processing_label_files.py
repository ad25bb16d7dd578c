# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label files before they are understood: which files may be one, true grey values, palettes, and what alpha means.

What Pillow does to a file without a word is undone or refused here: grey PNGs of 1, 2 and 4 bits come back with their
own values, 16-bit colours (of which Pillow keeps the upper byte) are refused, and so is what a lossy format has saved.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin

from .image_processing_files import (
    channels_last,
    image_size,
    open_header,
    open_image,
    packed_colors,
    strips,
    to_numpy,
)


INDEX_MODES = ("1", "L", "P", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
LABEL_MODES = (*INDEX_MODES, "LA", "RGB", "RGBA")
LOSSY = {"JPEG": "a JPEG", "MPO": "a JPEG", "WEBP": "a WebP", "JPEG2000": "a JPEG 2000", "AVIF": "an AVIF file"}
LOSSY_TIFF = ("jpeg", "webp")  # what `raw_mode` tells of a TIFF that is compressed so
OPAQUE = 128  # alpha from here on is painted, below it is not
MARK = ("Label values", "class ids from 0")  # text chunk of the PNGs of class ids that this package writes
TRANSPARENT = -1  # stands for the value of a pixel that is not painted, where there is alpha
GREY_SCALES = {"L;2": 85, "L;4": 17}  # what Pillow multiplies grey values of 2 and 4 bits by


Run = tuple[slice, np.ndarray, np.ndarray]


class Census(NamedTuple):
    """The distinct values of a label file (numbers, palette indices, or colours 0xRRGGBB) and their pixels.

    `transparent` pixels are not among them; `between` pixels have an alpha that is neither 0 nor 255.
    """

    keys: np.ndarray
    counts: np.ndarray
    transparent: int = 0
    between: int = 0


class LabelPixels(NamedTuple):
    """A label file opened, not understood.

    Args:
        values: Image, or array (height, width) of numbers or (height, width, 3 or 4) uint8 of colours.
        kind: "numbers", "palette" or "colors".
        has_alpha: The last channel is alpha.
        scale: Pillow has multiplied the numbers by it.
        palette: (n, 4) uint8, r, g, b, alpha of each index.
        is_turned: It had an EXIF orientation, which was applied.
        mode: Of the image, empty for an array.
        is_marked: The file itself says that its numbers are class ids, see `save_ids`.
    """

    values: Image.Image | np.ndarray
    kind: str
    has_alpha: bool = False
    scale: int = 1
    palette: np.ndarray | None = None
    is_turned: bool = False
    mode: str = ""
    is_marked: bool = False

    @property
    def size(self) -> int:
        """Number of pixels."""
        height, width = image_size(self.values)
        return height * width

    @property
    def is_bytes(self) -> bool:
        """Whether the values are numbers or indices of 8 bits, without alpha."""
        return isinstance(self.values, np.ndarray) and self.values.dtype == np.uint8 and self.values.ndim == 2

    def keys(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows, and their values as the census has them; TRANSPARENT where alpha is below half."""
        for rows, part in strips(self.values):
            if self.kind == "colors":
                keys = packed_colors(part)
            else:
                keys = part[..., 0] if part.ndim == 3 else part
                keys = keys.astype(np.uint8) if keys.dtype == bool else keys
                keys = keys // self.scale if self.scale > 1 else keys
            if self.has_alpha:  # in a type that holds TRANSPARENT
                keys = keys if keys.dtype.kind == "f" else keys.astype(np.int32)
                keys = np.where(part[..., -1] < OPAQUE, TRANSPARENT, keys)
            yield rows, keys

    def runs(self) -> Iterator[Run]:
        """Rows, and `keys` of them as runs of one value: the values and how often each comes; label maps have few."""
        for rows, keys in self.keys():
            flat = keys.ravel()
            ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
            lengths = ends + 1
            lengths[1:] -= lengths[:-1].copy()
            yield rows, flat[ends], lengths

    def census(self, runs: Iterable[Run] | None = None) -> Census:
        """Count all values, from `runs` if they are known."""
        values, counts = np.empty(0, np.int64), np.empty(0, np.int64)
        for _, new, lengths in self.runs() if runs is None else runs:
            if new.dtype in (np.uint8, np.uint16):
                number = np.bincount(new, lengths)
                new = np.flatnonzero(number)
                lengths = number[new]
                if not len(values):
                    values, counts = new, lengths.astype(np.int64)
                    continue
            values, inverse = np.unique(np.concatenate([values, new]) if len(values) else new, return_inverse=True)
            lengths = np.concatenate([counts, lengths]) if len(counts) else lengths
            counts = np.bincount(inverse, lengths, len(values)).astype(np.int64)
        if not self.has_alpha:
            return Census(values, counts)
        seen = values != TRANSPARENT
        strip = (part[..., -1].ravel().astype(np.int64) for _, part in strips(self.values))
        alphas = np.sum([np.bincount(part, minlength=256) for part in strip], axis=0)
        return Census(values[seen], counts[seen], int(counts[~seen].sum()), int(alphas[1:255].sum()))

    def as_colors(self) -> "LabelPixels":
        """A palette file as the colours that people see."""
        if self.palette is None:
            return self
        values = np.asarray(self.values)
        colors = self.palette[values[..., 0] if self.has_alpha else values]
        is_opaque = bool((self.palette[:, 3] == 255).all())
        return LabelPixels(colors[..., :3] if is_opaque else colors, "colors", has_alpha=not is_opaque)


def open_label(image: Any, source: str, lossy: bool = False, raw: str | None = None) -> LabelPixels:
    """Open what may be a label map.

    Args:
        image: Path, binary file object, PIL image, array or tensor, see `SemanticImageProcessor.decode_label_map`;
            what this function gave is given back.
        source: What errors call it.
        lossy: Take JPEG and the like too.
        raw: From `raw_mode`, for an image that was checked and decoded since.

    Raises:
        ValueError: unreadable, no label map, or a kind of file whose values do not survive.
    """
    if isinstance(image, LabelPixels):
        return image
    if isinstance(image, (np.ndarray, torch.Tensor)):
        return _open_array(channels_last(to_numpy(image)), source)
    opened = open_header(image, source)  # not decoded yet: only then does it tell how its file stores the pixels
    if raw is None:
        raw = raw_mode(opened)
        check_format(opened.format if opened.format in LOSSY or opened is not image else None, raw, source, lossy)
    loaded = open_image(opened, source)
    is_marked = loaded.info.get(MARK[0]) == MARK[1]
    if loaded.mode not in LABEL_MODES:
        raise ValueError(f"{source}: mode {loaded.mode} is no label map; save it as an index, palette or RGB PNG")
    turned = _upright(loaded)
    is_turned = turned is not loaded
    mode = turned.mode
    if mode == "RGB" and isinstance(turned.info.get("transparency"), tuple):
        turned, mode = turned.convert("RGBA"), "RGBA"
    if mode.startswith("RGB") or mode == "LA":  # several bytes a pixel: no second copy
        return LabelPixels(turned, "colors" if mode != "LA" else "numbers", mode[-1] == "A", 1, None, is_turned, mode)
    values, scale = np.asarray(turned), GREY_SCALES.get(raw, 1)
    values = values.astype(np.uint8) if values.dtype == bool else values
    palette, is_opaque = _palette(turned) if mode == "P" else (None, True)
    alpha = None
    if not is_opaque:
        alpha = palette[:, 3][values]
    elif palette is None and isinstance(turned.info.get("transparency"), int):
        alpha = np.where(values == turned.info["transparency"] * scale, 0, 255)
    if alpha is not None:  # a transparent index or grey (tRNS) is not painted, as where each pixel has its alpha
        values = np.stack([values, alpha.astype(values.dtype)], axis=-1)
    kind = "numbers" if palette is None else "palette"
    return LabelPixels(values, kind, alpha is not None, scale, palette, is_turned, mode, is_marked)


def seen_colors(pixels: LabelPixels, is_swapped: bool) -> LabelPixels:
    """A file as what people see, or with red and blue swapped."""
    if pixels.kind == "numbers":
        values = np.asarray(pixels.values)
        grey = (values[..., 0] if values.ndim == 3 else values) // pixels.scale
        channels = [grey.astype(np.uint8)] * 3 + [values[..., -1].astype(np.uint8)] * pixels.has_alpha
        pixels = LabelPixels(np.stack(channels, axis=-1), "colors", pixels.has_alpha)
    pixels = pixels.as_colors()
    if not is_swapped:
        return pixels
    values = np.asarray(pixels.values)
    return pixels._replace(values=np.ascontiguousarray(values[..., [2, 1, 0, 3][: values.shape[2]]]))


def save_ids(label_map: np.ndarray, target: Any) -> None:
    """Write class ids as a PNG of 8 bits, above 255 of 16, that says itself that they are class ids.

    It is then read as such whatever label encoding the files of its label space have.

    Args:
        label_map: (height, width), whole numbers 0..65535.
        target: Path or binary file object.
    """
    mark = PngImagePlugin.PngInfo()
    mark.add_text(*MARK)
    values = label_map.astype(np.uint8 if label_map.max(initial=0) < 256 else np.uint16)
    Image.fromarray(values).save(target, "PNG", pnginfo=mark)


def _open_array(values: np.ndarray, source: str) -> LabelPixels:
    is_color = values.ndim == 3 and values.dtype == np.uint8
    if not values.size or not (values.ndim == 2 or (is_color and values.shape[-1] in (3, 4))):
        raise ValueError(
            f"{source}: a {values.dtype} array of shape {values.shape} is no label map; "
            "pass integers (height, width) or uint8 colours (height, width, 3)"
        )
    return LabelPixels(values, "colors" if is_color else "numbers", is_color and values.shape[-1] == 4)


def check_format(kind: str | None, raw: str, source: str, lossy: bool = False) -> None:
    """Refuse formats (as Pillow calls them) and raw modes that lose values; `lossy` takes JPEG and the like."""
    if kind in LOSSY and not lossy:
        raise ValueError(
            f"{source}: {LOSSY[kind]}, and lossy compression changes class values at every border; save the label map "
            "as PNG, or ask for the nearest class colour of each pixel: the reading nearest_colors"
        )
    if kind not in (None, "PNG", "TIFF", *LOSSY):  # the datasets library writes palette and 16-bit images as TIFF
        raise ValueError(f"{source}: a {kind}; label maps are read from PNG only (or lossless TIFF), save it as PNG")
    if kind == "TIFF" and (raw.startswith(("L;", "1;")) and raw not in GREY_SCALES or raw in LOSSY_TIFF):
        raise ValueError(f"{source}: a TIFF with inverted greys or JPEG inside, which changes values; save it as PNG")
    if raw == "LA;16B":
        raise ValueError(f"{source}: a 16-bit grey PNG with transparency is not read; save it without transparency")
    if raw in ("RGB;16B", "RGBA;16B"):
        raise ValueError(f"{source}: a 16-bit colour PNG, whose lower bits would be lost; save it with 8 bits")


def raw_mode(image: Image.Image) -> str:
    """How the file stores a pixel, as Pillow calls it; empty once the pixels are decoded.

    Of a TIFF with lossy compression it tells that.
    """
    if image.format == "TIFF":
        compression = str(image.info.get("compression", "")).removeprefix("tiff_")
        if compression in LOSSY_TIFF:
            return compression
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    return arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""


def _upright(image: Image.Image) -> Image.Image:
    """Turned as viewers show it; the same object if there is nothing to turn."""
    if "exif" not in image.info and "Raw profile type exif" not in image.info:
        return image
    try:
        if image.getexif().get(0x0112, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data: the pixels are fine
        return image


def _palette(image: Image.Image) -> tuple[np.ndarray, bool]:
    """(256, 4) uint8, and whether all are opaque; indices beyond the palette are black, as Pillow shows them."""
    palette, alpha = image.palette, image.info.get("transparency")
    if palette is not None and palette.mode == "RGB" and isinstance(palette.palette, (bytes, bytearray)):
        stored = bytes(palette.palette)
    else:
        stored = bytes(image.getpalette("RGB") or [])
    return _palette_of(stored, alpha if isinstance(alpha, (bytes, int)) else None)


@lru_cache(maxsize=64)
def _palette_of(stored: bytes, alpha: bytes | int | None) -> tuple[np.ndarray, bool]:
    colors = np.zeros((256, 4), dtype=np.uint8)
    colors[:, 3] = 255
    rows = np.frombuffer(stored[: len(stored) // 3 * 3], dtype=np.uint8).reshape(-1, 3)[:256]
    colors[: len(rows), :3] = rows
    if isinstance(alpha, bytes):
        colors[: len(alpha), 3] = np.frombuffer(alpha[:256], dtype=np.uint8)
    elif isinstance(alpha, int) and 0 <= alpha < 256:
        colors[alpha, 3] = 0
    return colors, bool((colors[:, 3] == 255).all())


__all__ = [
    "OPAQUE",
    "TRANSPARENT",
    "Census",
    "LabelPixels",
    "Run",
    "check_format",
    "open_label",
    "raw_mode",
    "save_ids",
    "seen_colors",
]

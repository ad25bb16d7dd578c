# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Reading image files, resizing arrays and matching colours: the leaf functions under `SemanticImageProcessor`."""

import os
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from .image_processing_parts import TooManyPartsError, check_parts
from .image_processing_photos import check_single, foreign_kind, scaled_to_8_bits, upright_rgb


# What Pillow raises on unreadable files; a decompression bomb is refused, not decoded.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
# All that is asked of Pillow. It knows dozens of formats more, among them PostScript, which it gives to a program, and
# icons, whose pictures are larger than they say.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
MAX_PIXELS = 50_000_000  # of a picture in a file; a telephone's largest photos have 48 million, and take 600 MB
STRIP_PIXELS = 2**20
WINDOW = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]  # antialiasing spreads over at most 2 px


def default_palette(num_labels: int) -> list[list[int]]:
    """Distinct colours for any number of classes: the bit-interleaving rule of the Pascal VOC colour map."""
    bits = [[(k >> (3 * i + c) & 1) << (7 - i) for i in range(8)] for k in range(num_labels) for c in range(3)]
    return np.array(bits, dtype=np.int64).sum(axis=1).reshape(num_labels, 3).tolist()


def nearest_indices(source: int, target: int) -> np.ndarray:
    """Source index of each of `target` pixels under nearest-neighbour resizing (pixel centres, as Pillow does)."""
    return np.minimum(((np.arange(target) + 0.5) * (source / target)).astype(np.int64), source - 1)


def resize_nearest(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of a (height, width) array of any dtype; no new value can appear."""
    if values.shape == (height, width):
        return values
    return values[nearest_indices(values.shape[0], height)[:, None], nearest_indices(values.shape[1], width)]


def resize_photo(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bicubic resize (Pillow) of a (height, width, 3) uint8 photo."""
    if photo.shape[:2] == (height, width):
        return photo
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC))


def photo_to_pixel_values(photo: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 -> (3, height, width) float32 in [-1, 1]."""
    return np.ascontiguousarray(photo.transpose(2, 0, 1)).astype(np.float32) / np.float32(127.5) - np.float32(1.0)


@cache
def _formats() -> list[str]:
    """Those of FORMATS that this Pillow was built with."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def open_header(image: Any, source: str) -> Image.Image:
    """Find out what a picture is; no pixel is decoded.

    Args:
        image: a path, a seekable binary file object, or a PIL image.
        source: what errors call it.

    Raises:
        ValueError: missing, no picture of a known format, more than MAX_PIXELS (a PIL image whose pixels are there
            already may have more), or made of far more parts than programs write; one line that names it.
    """
    if not isinstance(image, Image.Image):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is a lower one
                check_parts(image, source)
                image = Image.open(image, formats=_formats())
        except Image.DecompressionBombError:
            raise ValueError(_too_large(source, "more than 178 million")) from None
        except UNREADABLE as error:
            if isinstance(error, TooManyPartsError):
                raise
            kind = foreign_kind(image) if isinstance(error, UnidentifiedImageError) else None
            if kind is not None:
                raise ValueError(f"{source}: {kind} is not read; save it as PNG or JPEG") from error
            raise ValueError(f"{source}: cannot be read as an image ({_reason(error)}); replace the file") from error
    if image.width * image.height > MAX_PIXELS and not _is_decoded(image):
        raise ValueError(_too_large(source, f"{image.width} x {image.height}"))
    return image


def _is_decoded(image: Image.Image) -> bool:
    """Whether the pixels are in memory; the file of a picture that says so may be anybody's."""
    return not getattr(image, "tile", None)


def _too_large(source: str, pixels: str) -> str:
    return (
        f"{source}: {pixels} pixels; at most {MAX_PIXELS:,} are decoded: scale it down (label maps: nearest "
        "neighbour) or cut it into tiles"
    )


def open_image(image: Any, source: str) -> Image.Image:
    """Open and fully decode a path, binary file object or PIL image.

    Raises:
        ValueError: as `open_header`, or a picture that is truncated, or several in one file; the message names it.
    """
    image = open_header(image, source)
    check_single(image, source)
    try:
        image.load()
    except UNREADABLE as error:
        raise ValueError(f"{source}: truncated or corrupt image ({_reason(error)}); replace the file") from error
    return image


def read_photo(image: Any, source: str = "photo") -> np.ndarray:
    """A path, file object, PIL image, or array (HWC or CHW; 1, 3 or 4 channels) -> (height, width, 3) uint8, upright.

    Arrays are uint8, or uint16 that are scaled; of what other kinds become see `upright_rgb`.
    """
    if isinstance(image, (np.ndarray, torch.Tensor)):
        values = to_numpy(image)
        if values.dtype == np.uint16:
            values = scaled_to_8_bits(values, source)
        if values.dtype != np.uint8 or values.ndim not in (2, 3):
            how = " (floats in [0, 1]: (255 * photo).round().astype(np.uint8))" if values.dtype.kind == "f" else ""
            raise ValueError(
                f"{source}: photo array of shape {values.shape} and dtype {values.dtype}; pass uint8 HWC or CHW{how}"
            )
        return np.asarray(Image.fromarray(channels_last(values)).convert("RGB"))
    source = str(image) if isinstance(image, (str, os.PathLike)) else source
    return np.asarray(upright_rgb(open_image(image, source), source))


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):  # its own text names a memory address when bytes are read
        return "not a known image file, or cut off in its header"
    return " ".join(str(error).split()) or type(error).__name__


def to_numpy(values: np.ndarray | torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def instance_numbers(values: np.ndarray, source: str) -> np.ndarray:
    """(height, width) int64 >= 0 from numbers, or from colours that are numbers: R + 256 G + 65536 B."""
    if values.ndim == 3 and values.shape[-1] in (3, 4) and values.dtype == np.uint8:
        return values[..., :3].astype(np.int64) @ np.array([1, 256, 65536])
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"{source}: a {values.dtype} array of shape {values.shape} is no instance map; pass integers "
            "(height, width), or 8-bit RGB"
        )
    ids = values.astype(np.int64)
    if values.dtype.kind == "f" and not np.array_equal(ids, values):
        raise ValueError(f"{source}: instance ids are not whole numbers (dtype {values.dtype}); pass integers")
    if ids.min(initial=0) < 0 or ids.max(initial=0) > np.iinfo(np.int32).max:
        raise ValueError(
            f"{source}: instance ids {ids.min()}..{ids.max()} are out of range: legal are 0 (none) .. 2**31-1"
        )
    return ids


def channels_last(values: np.ndarray) -> np.ndarray:
    """Bring (1, H, W), (H, W, 1), (3|4, H, W) and (H, W, 3|4) arrays to (H, W) or (H, W, 3|4)."""
    if values.ndim == 3 and values.shape[-1] not in (1, 3, 4) and values.shape[0] in (1, 3, 4):
        values = values.transpose(1, 2, 0)
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else np.ascontiguousarray(values)


def listing(values: list, limit: int = 12) -> str:
    more = f", ... ({len(values)} in all)" if len(values) > limit else ""
    return ", ".join(str(value) for value in values[:limit]) + more


def spans(values: list[int]) -> str:
    """Whole numbers as text: 0..5, 9, 255."""
    parts: list[list[int]] = []
    for value in sorted(set(values)):
        if parts and parts[-1][1] == value - 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return listing([str(low) if low == high else f"{low}..{high}" for low, high in parts])


def nearest_color(colors: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of, and squared distance to, the nearest palette colour; in chunks, since a photo has 10^5 colours."""
    nearest, distance = np.empty(len(colors), np.int64), np.empty(len(colors), np.int64)
    step = max(1, 2**20 // len(palette))
    for start in range(0, len(colors), step):
        squared = ((colors[start : start + step, None] - palette[None]) ** 2).sum(axis=2)
        nearest[start : start + step] = squared.argmin(axis=1)
        distance[start : start + step] = squared.min(axis=1)
    return nearest, distance


def snap_blends(image: Image.Image | np.ndarray, label_map: np.ndarray, palette: np.ndarray, tolerance: float) -> None:
    """Give antialiased border pixels (label -1) the nearest class of their own neighbourhood, in place.

    A blend of sky and building may lie nearest to road; only classes within 2 px come into question, and only for
    colours between the colours of two or more. Everything else stays -1.
    """
    above = np.full((2, label_map.shape[1] + 4), -1, np.int32)  # of the strip above, before its blends were given
    for rows, colors in strips(image):
        below = label_map[rows.stop : rows.stop + 2]
        padded = np.full((rows.stop - rows.start + 4, label_map.shape[1] + 4), -1, np.int32)
        padded[:2] = above
        padded[2:-2, 2:-2] = label_map[rows]
        padded[rows.stop - rows.start + 2 :, 2:-2][: len(below)] = below
        above = padded[-4:-2].copy()
        unknown = np.argwhere(padded[2:-2, 2:-2] < 0)
        for start in range(0, len(unknown), 2**14):  # looking around takes a kilobyte for each
            at = tuple(unknown[start : start + 2**14].T)
            label_map[rows][at] = _blended(colors[..., :3][at].astype(np.int32), padded, at, palette, tolerance)


def _blended(
    own: np.ndarray, padded: np.ndarray, at: tuple[np.ndarray, np.ndarray], palette: np.ndarray, tolerance: float
) -> np.ndarray:
    """The labels of some pixels by `snap_blends`; `padded` has 2 px more on each side."""
    around = np.stack([padded[at[0] + 2 + dy, at[1] + 2 + dx] for dy, dx in WINDOW], axis=1)
    absent = around < 0
    near = palette[np.maximum(around, 0)]  # (pixels, window, 3)
    low = np.where(absent[..., None], 256, near).min(axis=1) - tolerance
    high = np.where(absent[..., None], -1, near).max(axis=1) + tolerance
    several = np.where(absent, len(palette), around).min(axis=1) < around.max(axis=1)  # a blend has two sides
    blend = ((own >= low) & (own <= high)).all(axis=1) & several
    squared = np.where(absent, np.iinfo(np.int32).max, ((own[:, None] - near) ** 2).sum(axis=2))
    return np.where(blend, around[np.arange(len(around)), squared.argmin(axis=1)], -1)


def strips(image: Image.Image | np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """An image some rows at a time, with their numbers: a second copy of a large one takes hundreds of megabytes."""
    height, width = image_size(image)
    step = max(1, STRIP_PIXELS // max(1, width))
    for start in range(0, height, step):
        rows = slice(start, min(height, start + step))
        if isinstance(image, np.ndarray):
            yield rows, image[rows]
        else:
            yield rows, np.asarray(image if step >= height else image.crop((0, start, width, rows.stop)))


def packed_colors(colors: np.ndarray) -> np.ndarray:
    """uint8 (..., 3 or more) -> int32 (...), 0xRRGGBB."""
    packed = colors[..., 0].astype(np.int32)
    for channel in (1, 2):
        packed <<= 8
        packed |= colors[..., channel]
    return packed


def unpacked_colors(packed: np.ndarray) -> np.ndarray:
    """Inverse of `packed_colors`: (..., 3) in 0..255, in the type of `packed`."""
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)


def count_values(arrays: Iterable[np.ndarray], limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """`np.unique(..., return_counts=True)` of all arrays together; stops once there are more than `limit` values."""
    values, counts = np.empty(0, np.int32), np.empty(0, np.int64)
    for array in arrays:
        new, number = np.unique(array, return_counts=True)
        values, inverse = np.unique(np.concatenate([values, new]), return_inverse=True)
        counts = np.bincount(inverse, np.concatenate([counts, number]), len(values)).astype(np.int64)
        if limit is not None and len(values) > limit:
            break
    return values, counts


def image_size(values: Image.Image | np.ndarray) -> tuple[int, int]:
    """(height, width)."""
    return values.shape[:2] if isinstance(values, np.ndarray) else (values.height, values.width)


def as_list(items: Any, color: bool) -> list:
    """One item, a list, or a batched array -> a list; an (n, H, W) array of labels is a batch, never CHW colours."""
    if isinstance(items, (list, tuple)):
        if not items:
            raise ValueError("an empty list of images: pass at least one")
        return list(items)
    if isinstance(items, (np.ndarray, torch.Tensor)):
        if items.ndim == 4:
            return list(items)
        if items.ndim == 3 and not color and not (to_numpy(items).dtype == np.uint8 and items.shape[-1] in (3, 4)):
            return list(items)
    return [items]


def stack_arrays(arrays: list[np.ndarray], what: str) -> np.ndarray:
    sizes = sorted({array.shape[-2:] for array in arrays})
    if len(sizes) > 1:
        raise ValueError(
            f"{what} of different sizes {listing([f'{h}x{w}' for h, w in sizes])}: pass size= to resize them"
        )
    return np.stack(arrays)


__all__ = [
    "MAX_PIXELS",
    "as_list",
    "image_size",
    "stack_arrays",
    "channels_last",
    "count_values",
    "default_palette",
    "instance_numbers",
    "listing",
    "nearest_color",
    "nearest_indices",
    "open_header",
    "open_image",
    "packed_colors",
    "photo_to_pixel_values",
    "read_photo",
    "resize_nearest",
    "resize_photo",
    "snap_blends",
    "spans",
    "strips",
    "to_numpy",
    "unpacked_colors",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label maps from outlines: COCO's polygons and run lengths, and Labelme's shapes. Unlabelled pixels are class 0."""

import base64
import io
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ...configuration_rules import shortened
from ...image_processing_files import MAX_PIXELS, open_header


MAX_COORDINATE = 10 * 2**16  # beyond the picture, where nothing is drawn; Pillow goes through every row of a circle
BACKGROUND = "background"  # class 0 of what is drawn from outlines
LABELME_SHAPES = ("polygon", "rectangle", "circle", "mask")
MAX_MASK_BYTES = 20_000_000  # of the PNG of a Labelme shape, as text


def draw_coco(size: tuple[int, int], annotations: Sequence[Mapping[str, Any]], ids: Mapping[int, int]) -> np.ndarray:
    """The label map of one picture from COCO annotations; where objects overlap, the smaller one is on top.

    Args:
        size: (height, width).
        annotations: Of the picture: `category_id`, `segmentation` (polygons, or run lengths with `counts` and `size`).
        ids: Category -> class id.

    Returns:
        (height, width) uint16.

    Raises:
        ValueError: a category that is not listed, or an outline that is no polygon and no run length.
    """
    canvas = _canvas(*size)
    for annotation in sorted(annotations, key=lambda entry: -float(entry.get("area") or 0)):
        category: Any = annotation.get("category_id")
        outline = annotation.get("segmentation")
        if category not in ids:
            raise ValueError(f"category {category} is not in the list of categories")
        if isinstance(outline, Mapping):
            mask = Image.fromarray((decode_run_lengths(outline) * 255).astype(np.uint8))
            if mask.size != canvas.size:
                raise ValueError(f"run lengths of size {mask.size[::-1]}, the picture has {size} (height, width)")
            canvas.paste(ids[category], mask=mask)
            continue
        if not isinstance(outline, list):
            raise ValueError("an annotation without segmentation")
        for polygon in outline:
            if not isinstance(polygon, list | array) or len(polygon) < 6 or len(polygon) % 2:
                raise ValueError("a polygon of fewer than three points")
            ImageDraw.Draw(canvas).polygon([_coordinate(v) for v in polygon], fill=ids[category])
    return np.asarray(canvas).astype(np.uint16)


def _size(height: Any, width: Any) -> tuple[int, int]:
    """A picture's size as a file says it; it may say anything."""
    sides = (height, width)
    whole = all(isinstance(side, (int, float)) and 0 < side <= MAX_PIXELS and side == int(side) for side in sides)
    if not whole or height * width > MAX_PIXELS:
        raise ValueError(
            f"a picture of {shortened(height)} x {shortened(width)} pixels (height x width): legal are whole numbers, "
            f"{MAX_PIXELS:,} pixels in all"
        )
    return int(height), int(width)


def _canvas(height: Any, width: Any) -> Image.Image:
    height, width = _size(height, width)
    return Image.new("I", (width, height), 0)


def _coordinate(value: Any) -> float:
    number = float(value)
    if not abs(number) <= MAX_COORDINATE:  # NaN neither
        raise ValueError(f"a point at {number:g}: legal are -{MAX_COORDINATE}..{MAX_COORDINATE}")
    return number


def decode_run_lengths(content: Mapping[str, Any]) -> np.ndarray:
    """COCO's run lengths, plain or as text, -> (height, width) bool. Columns first; the first run is 0.

    The text holds 6 bits a character, of which 5 are digits and one says that more follow; from the third run on it is
    the difference to the run before the last.

    Raises:
        ValueError: runs that do not fill the picture.
    """
    height, width = _size(*content["size"])
    counts = content["counts"]
    counts = _counts_of_text(counts) if isinstance(counts, (str, bytes)) else [int(count) for count in counts]
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"run lengths of {sum(counts)} pixels for {height} x {width}")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def _counts_of_text(text: str | bytes) -> list[int]:
    data = text.encode() if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for byte in data:
        digit = byte - 48
        value |= (digit & 31) << shift
        shift += 5
        if shift > 60 or not 0 <= digit < 64:  # a run has up to 28 bits
            raise ValueError("run lengths that are none")
        if digit & 32:
            continue
        if digit & 16:  # the sign
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def draw_labelme(content: Mapping[str, Any], ids: Mapping[str, int]) -> tuple[np.ndarray, list[str]]:
    """The label map of a Labelme file; later shapes lie on top.

    Args:
        content: Of the file: `shapes`, `imageHeight`, `imageWidth`.
        ids: Label -> class id.

    Returns:
        (height, width) uint16, and the kinds of shapes that have no area and were left out.

    Raises:
        ValueError: no such file, or a label that is not listed.
    """
    try:
        height, width = content["imageHeight"], content["imageWidth"]
        shapes = content["shapes"]
    except (KeyError, TypeError):
        raise ValueError("no imageHeight, imageWidth and shapes in it; save it with Labelme") from None
    canvas, left_out = _canvas(height, width), []
    draw = ImageDraw.Draw(canvas)
    for shape in shapes:
        label, kind = shape.get("label"), shape.get("shape_type") or "polygon"
        points = [(_coordinate(x), _coordinate(y)) for x, y in shape.get("points", [])]
        if label not in ids:
            raise ValueError(f"the label {str(label)[:60]!r} is not in the class list")
        if kind == "polygon" and len(points) >= 3:
            draw.polygon(points, fill=ids[label])
        elif kind == "rectangle" and len(points) == 2:
            (x0, x1), (y0, y1) = (sorted(axis) for axis in zip(*points, strict=True))
            draw.rectangle((x0, y0, x1, y1), fill=ids[label])
        elif kind == "circle" and len(points) == 2:
            (x, y), (x1, y1) = points
            radius = math.hypot(x - x1, y - y1)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ids[label])
        elif kind == "mask" and points and shape.get("mask"):
            left, top = (round(min(axis)) for axis in zip(*points, strict=True))
            canvas.paste(ids[label], (left, top), _labelme_mask(shape["mask"]))
        else:
            left_out.append(str(kind)[:20])
    return np.asarray(canvas).astype(np.uint16), left_out


def _labelme_mask(text: Any) -> Image.Image:
    """The mask of a shape that Labelme's AI tools draw: a PNG in base64, of the shape's box."""
    try:
        if len(text) > MAX_MASK_BYTES:
            raise ValueError("too large")
        with open_header(io.BytesIO(base64.b64decode(text, validate=True)), "mask") as image:
            values = np.asarray(image)
            if image.format != "PNG" or values.ndim != 2:
                raise ValueError("another kind")
    except (OSError, SyntaxError, TypeError, ValueError):
        raise ValueError("a shape whose mask is no PNG in base64; draw it again in Labelme") from None
    return Image.fromarray(((values > 0) * 255).astype(np.uint8))


__all__ = ["BACKGROUND", "LABELME_SHAPES", "decode_run_lengths", "draw_coco", "draw_labelme"]

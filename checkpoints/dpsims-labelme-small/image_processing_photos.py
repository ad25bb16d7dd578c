# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Photos of every kind as 8-bit RGB: 16 bits are scaled, CMYK and colour profiles converted, other kinds named."""

import io
import os
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageOps


TWELVE_BITS = 4096
MAX_PROFILE_BYTES = 4_000_000
MAGIC = (
    (4, b"ftyphei", "an HEIC photo, as telephones write them"),
    (4, b"ftyphev", "an HEIC photo, as telephones write them"),
    (4, b"ftypmif1", "an HEIC photo, as telephones write them"),
    (4, b"ftypmsf1", "an HEIC photo, as telephones write them"),
    (4, b"ftypavif", "an AVIF photo"),
    (4, b"ftypcrx", "a camera's raw file (CR3)"),
    (8, b"CR", "a camera's raw file (CR2)"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"),
    (0, b"IIRO", "a camera's raw file (ORF)"),
    (0, b"IIU\0", "a camera's raw file (RW2)"),
    (4, b"ftyp", "a video"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (4, b"JXL ", "a JPEG XL"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR file"),
    (0, b"#?", "a Radiance HDR file"),
    (128, b"DICM", "a DICOM file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"MATLAB ", "a MATLAB file"),
    (0, b"\x89HDF", "an HDF5 file (.h5, newer .mat)"),
    (0, b"PK\3\4", "a zip file (.npz)"),
    (0, b"%PDF", "a PDF"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself (git lfs pull)"),
    (0, b"<", "a text file (HTML, SVG or XML)"),
)


def foreign_kind(file: Any) -> str | None:
    """What a file that Pillow does not know is, by its first bytes; None if that is not known here either.

    Args:
        file: A path, or a seekable binary file object.
    """
    try:
        if isinstance(file, (str, os.PathLike)):
            with open(file, "rb") as stream:
                head = stream.read(160)
        else:
            file.seek(0)
            head = file.read(160)
    except (OSError, ValueError, AttributeError):
        return None
    return next((name for start, magic, name in MAGIC if head[start : start + len(magic)] == magic), None)


def check_single(image: Image.Image, source: str) -> None:
    """Refuse a file of several pages or frames: which of them is meant, nobody has said.

    The further pictures behind the one of a telephone's JPEG (depth, previews) are no pages. An image in which a page
    was chosen with `seek` is taken.

    Raises:
        ValueError: more than one page or frame.
    """
    try:
        is_several = bool(getattr(image, "is_animated", False)) and image.tell() == 0
    except Exception:  # a damaged second page: whoever decodes the first has words for the file
        is_several = True
    if is_several and image.format != "MPO":
        kind = "animated" if image.format in ("GIF", "PNG", "WEBP", "AVIF") else "of several pages"
        name = "APNG" if image.format == "PNG" else str(image.format or "picture")
        raise ValueError(f"{source}: a {name} file, {kind}; save the one that is meant as a PNG of its own")


def upright_rgb(image: Image.Image, source: str, in_place: bool = False) -> Image.Image:
    """A decoded photo turned as its EXIF orientation says, in 8-bit RGB.

    Args:
        image: Of any mode; 16-bit greys are scaled to 8 bits, CMYK and colours of a profile other than sRGB converted.
        source: What messages call it.
        in_place: Turn the image itself, which saves a copy.

    Raises:
        ValueError: floating-point or 32-bit values, whose range nobody knows, or LAB without a profile.
    """
    try:
        if in_place:
            ImageOps.exif_transpose(image, in_place=True)
        else:
            image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data: the pixels are fine
        pass
    if image.mode.startswith("I"):
        return Image.fromarray(scaled_to_8_bits(np.asarray(image), source)).convert("RGB")
    if image.mode == "F":
        raise ValueError(f"{source}: a photo of floating-point values; save it with 8 or 16 bits per channel")
    profile = image.info.get("icc_profile")
    if image.mode in ("RGB", "CMYK", "LAB") and profile and len(profile) <= MAX_PROFILE_BYTES:
        image = _to_srgb(image, profile, source)
    if image.mode == "LAB":
        raise ValueError(f"{source}: a photo in LAB colours without a profile; save it as RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def scaled_to_8_bits(values: np.ndarray, source: str) -> np.ndarray:
    """Values 0..65535 of any integer type -> uint8, 65535 becoming 255.

    Raises:
        ValueError: values beyond.
    """
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535:
        raise ValueError(f"{source}: grey values {low}..{high} of a 32-bit photo; save it with 8 or 16 bits")
    if 255 < high < TWELVE_BITS:
        warnings.warn(
            f"{source}: a 16-bit photo whose values end at {high}; if it has 12 bits, scale it to 16 or 8 bits, it is "
            "nearly black",
            stacklevel=4,
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _to_srgb(image: Image.Image, profile: bytes, source: str) -> Image.Image:
    try:
        transform = _transform(profile, image.mode)
        if transform is None:
            return image
        from PIL import ImageCms

        return ImageCms.applyTransform(image, transform) or image  # None only in place
    except ImportError:  # a Pillow without LittleCMS
        reason = "this Pillow cannot convert it"
    except Exception as error:  # LittleCMS' complaints about damaged profiles have no common class
        reason = " ".join(str(error).split())[:120]
    warnings.warn(f"{source}: its colour profile is left out ({reason})", stacklevel=4)
    return image


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> Any:
    """From a profile to sRGB; None if it is sRGB."""
    from PIL import ImageCms

    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if mode == "RGB" and "srgb" in ImageCms.getProfileDescription(opened).lower():
        return None
    return ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")


__all__ = ["check_single", "foreign_kind", "scaled_to_8_bits", "upright_rgb"]

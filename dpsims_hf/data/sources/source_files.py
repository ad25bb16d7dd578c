# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The files of one picture, whatever the layout they were found in."""

from pathlib import Path
from typing import Any, NamedTuple


PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LABEL_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")


class SourceFiles(NamedTuple):
    """The files of one picture; `segments` are the entries of a panoptic JSON for it."""

    name: str
    image: Path
    label_map: Path
    instance_map: Path | None = None
    segments: list[dict[str, Any]] | None = None


__all__ = ["LABEL_SUFFIXES", "PHOTO_SUFFIXES", "SourceFiles"]

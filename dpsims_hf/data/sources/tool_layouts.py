# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The layouts that annotation tools write, a row each: what a folder of it looks like, and how it is read."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..specs import DatasetSpec
from .mask_layouts import Found, is_beside, is_two_folders, read_beside, read_two_folders, read_voc, voc_root
from .outline_layouts import is_coco, is_labelme, read_coco, read_labelme


class ToolLayout(NamedTuple):
    """How a folder is told, and how its pictures and label space are found.

    Args:
        looks_like: What errors say of it.
        is_it: Whether a folder has it.
        read: (folder, label space or None) -> label space and splits.
    """

    looks_like: str
    is_it: Callable[[Path], bool]
    read: Callable[[Path, DatasetSpec | None], Found]


TOOL_LAYOUTS: dict[str, ToolLayout] = {
    "voc": ToolLayout("Pascal VOC (JPEGImages/, SegmentationClass/)", lambda r: voc_root(r) is not None, read_voc),
    "coco_json": ToolLayout("COCO's JSON with outlines", is_coco, read_coco),
    "labelme": ToolLayout("Labelme's JSON beside each photo", is_labelme, read_labelme),
    "two_folders": ToolLayout("images/ and masks/ (or labels/, annotations/)", is_two_folders, read_two_folders),
    "beside": ToolLayout("NAME_mask.png or NAME.png beside NAME.jpg", is_beside, read_beside),
}


def recognise_tool_layout(root: Path) -> str | None:
    """The first layout that a folder has, None for none."""
    return next((name for name, layout in TOOL_LAYOUTS.items() if layout.is_it(root)), None)


__all__ = ["TOOL_LAYOUTS", "ToolLayout", "recognise_tool_layout"]

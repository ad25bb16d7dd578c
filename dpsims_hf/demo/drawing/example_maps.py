# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The label maps that the demo brings along: their folder, their label spaces, and those that fit a model."""

from collections.abc import Sequence
from pathlib import Path


EXAMPLES_DIR = Path(__file__).parents[1] / "examples"  # written by `python -m dpsims_hf.demo.draw_examples`

# CamVid's eleven classes in the order and the colours of the SegNet release.
CAMVID_CLASSES: dict[str, tuple[int, int, int]] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}

# LabelMeFacade's eight classes in the order and the colours of the preset.
FACADE_CLASSES: dict[str, tuple[int, int, int]] = {
    "sky": (70, 130, 180),
    "building": (140, 110, 100),
    "window": (60, 60, 160),
    "door": (160, 110, 40),
    "vegetation": (60, 140, 60),
    "car": (140, 30, 140),
    "road": (110, 80, 110),
    "pavement": (190, 170, 150),
}
# Folder inside EXAMPLES_DIR -> names of its maps' classes by id.
LABEL_SPACES = {"": tuple(CAMVID_CLASSES), "labelme_facade": tuple(FACADE_CLASSES)}


def example_paths(labels: Sequence[str]) -> list[Path]:
    """The drawn examples of the model's label space, if there are any (a void class after it is fine).

    Args:
        labels: names of the model's classes, by id.
    """
    for folder, classes in LABEL_SPACES.items():
        if tuple(labels[: len(classes)]) == classes:
            return sorted((EXAMPLES_DIR / folder).glob("*.png"))
    return []


__all__ = ["CAMVID_CLASSES", "EXAMPLES_DIR", "FACADE_CLASSES", "LABEL_SPACES", "example_paths"]

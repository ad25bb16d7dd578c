# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Draws the example label maps of the demo: invented streets and houses, a folder for each label space but CamVid's.

No pixel comes from a dataset. The files are palette PNGs, so that a viewer shows colours and a program reads indices.

    python -m dpsims_hf.demo.draw_examples [--output_dir DIR]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..drawing.example_maps import CAMVID_CLASSES, EXAMPLES_DIR, FACADE_CLASSES
from . import facade_scenes, street_scenes
from .street_drawing import Street


class LabelSpace(NamedTuple):
    """The examples of one label space: folder inside `EXAMPLES_DIR`, classes' colours by name, scenes by name."""

    folder: str
    classes: Mapping[str, tuple[int, int, int]]
    scenes: Mapping[str, Callable[[], Street]]


LABEL_SPACES = (
    LabelSpace("", CAMVID_CLASSES, street_scenes.EXAMPLES),
    LabelSpace("labelme_facade", FACADE_CLASSES, facade_scenes.EXAMPLES),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="draw_examples", description=__doc__.partition("\n")[0])
    parser.add_argument("--output_dir", type=Path, default=EXAMPLES_DIR, help="where the PNG files go")
    output_dir = parser.parse_args(arguments).output_dir
    for space in LABEL_SPACES:
        folder = output_dir / space.folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, scene in space.scenes.items():
            scene().palette_image().save(folder / f"{name}.png", optimize=True)
            print(folder / f"{name}.png")


__all__ = ["LABEL_SPACES", "LabelSpace", "main"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Pictures to try a style with: painted by this program over the drawn label maps, so that nobody's photo is needed.

Each class gets a colour that runs from top to bottom, a grain, and haze towards the horizon.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from .example_maps import LABEL_SPACES, example_paths


HORIZON = 0.45  # of the height, from the top
SCALE = 2  # pixels of a picture per pixel of its label map, on each side
LIKE = {"vegetation": "tree", "fence": "building", "door": "building"}
OTHER = "other"  # what stands in the street
Color = tuple[int, int, int]


class Mood(NamedTuple):
    """The light of a picture.

    Args:
        scene: name of the drawn example that it is painted over, for each label space in its order.
        haze: colour of the distance.
        colors: by class: at the top of the class and at its bottom.
    """

    scenes: tuple[str, ...]
    haze: Color
    colors: dict[str, tuple[Color, Color]]


MOODS = {
    "evening": Mood(
        ("parked_cars", "boulevard"),
        (236, 140, 84),
        {
            "sky": ((62, 52, 104), (250, 158, 84)),
            "building": ((70, 44, 58), (112, 66, 58)),
            "window": ((255, 208, 120), (240, 168, 84)),
            "road": ((92, 66, 82), (38, 32, 52)),
            "pavement": ((140, 92, 92), (78, 58, 76)),
            "tree": ((36, 34, 44), (58, 42, 40)),
            "car": ((70, 40, 66), (24, 20, 34)),
            OTHER: ((64, 44, 62), (30, 24, 38)),
        },
    ),
    "winter": Mood(
        ("suburb", "lane"),
        (226, 232, 240),
        {
            "sky": ((196, 208, 222), (232, 236, 242)),
            "building": ((150, 150, 160), (178, 180, 190)),
            "window": ((96, 108, 126), (122, 134, 150)),
            "road": ((214, 220, 230), (176, 186, 202)),
            "pavement": ((240, 243, 248), (224, 230, 240)),
            "tree": ((206, 212, 222), (132, 136, 146)),
            "car": ((110, 122, 142), (64, 72, 88)),
            OTHER: ((104, 112, 126), (70, 78, 92)),
        },
    ),
    "summer": Mood(
        ("avenue", "park"),
        (206, 222, 236),
        {
            "sky": ((42, 112, 212), (166, 206, 240)),
            "building": ((222, 186, 132), (196, 150, 98)),
            "window": ((84, 112, 150), (60, 78, 104)),
            "road": ((150, 146, 142), (112, 108, 106)),
            "pavement": ((206, 196, 176), (186, 174, 152)),
            "tree": ((92, 156, 46), (38, 92, 26)),
            "car": ((196, 40, 34), (92, 16, 18)),
            OTHER: ((96, 98, 110), (54, 56, 68)),
        },
    ),
}


class ExamplePhoto(NamedTuple):
    """A painted picture.

    Args:
        name: what it is called.
        image: RGB.
        label_map: (height, width) ids of its classes, of the picture's proportions.
    """

    name: str
    image: Image.Image
    label_map: np.ndarray


def example_photos(labels: Sequence[str]) -> list[ExamplePhoto]:
    """The pictures for a model of a label space that has drawn examples; none for others.

    Args:
        labels: names of the model's classes, by id.
    """
    paths = {path.stem: path for path in example_paths(labels)}
    for space, classes in enumerate(LABEL_SPACES.values()):
        if paths and tuple(labels[: len(classes)]) == classes:
            return [_painted(name, paths[mood.scenes[space]], classes) for name, mood in MOODS.items()]
    return []


@cache
def _painted(name: str, path: Path, classes: tuple[str, ...]) -> ExamplePhoto:
    with Image.open(path) as image:
        label_map = np.asarray(image).astype(np.int64)
    return ExamplePhoto(name, paint(label_map, classes, MOODS[name]), label_map)


def paint(label_map: np.ndarray, classes: Sequence[str], mood: Mood) -> Image.Image:
    """A picture of a label map in a light.

    Args:
        label_map: (height, width) ids of `classes`.
        classes: names by id; those that the mood does not know get the colour of OTHER.
        mood: the light.

    Returns:
        RGB of SCALE times the size.
    """
    rng = np.random.default_rng(0)
    large = label_map.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    picture = np.zeros((*large.shape, 3))
    rows = np.arange(large.shape[0])[:, None]
    for label in np.unique(label_map):
        name = classes[label]
        top, bottom = mood.colors.get(LIKE.get(name, name), mood.colors[OTHER])
        mask = large == label
        used = np.flatnonzero(mask.any(axis=1))
        along = np.clip((rows - used[0]) / max(1, used[-1] - used[0]), 0, 1)
        shade = np.array(top) + along[..., None] * (np.array(bottom) - np.array(top))
        amount = 4.0 if name == "sky" else 16.0
        grain = amount * (_cloud(rng, large.shape, 24) + _cloud(rng, large.shape, 6))
        picture = np.where(mask[..., None], shade + grain[..., None], picture)
    distance = np.exp(-np.abs(rows / large.shape[0] - HORIZON) / 0.12)
    picture += 0.35 * distance[..., None] * (np.array(mood.haze) - picture)
    image = Image.fromarray(picture.round().clip(0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(SCALE / 3))


def _cloud(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> np.ndarray:
    """Smooth noise of about unit size, with spots of `cell` pixels."""
    small = rng.standard_normal((shape[0] // cell + 2, shape[1] // cell + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))


__all__ = ["ExamplePhoto", "example_photos", "paint"]

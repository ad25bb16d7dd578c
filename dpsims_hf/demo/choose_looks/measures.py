# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the light of a seed is, in numbers, and which seed stands for which name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...pipeline_style import rgb_to_lab


WALLS = ("building", "house", "wall", "facade", "skyscraper", "architecture")
FEWEST = 0.005  # of the pixels that a part needs to be measured
APART = 12.0  # LAB units between two looks


class Light(NamedTuple):
    """Means of one image in LAB units; nan for a part that the label map does not have.

    Args:
        sky: its lightness.
        blue: of the sky, minus its b.
        sky_chroma: how colourful the sky is.
        ground: lightness of all but the sky.
        warmth: a + b of the walls, or of all but the sky.
        contrast: standard deviation of all lightness.
    """

    sky: float
    blue: float
    sky_chroma: float
    ground: float
    warmth: float
    contrast: float


class Kind(NamedTuple):
    """What a name means.

    Args:
        name: of the look.
        score: standardized values by name -> the larger, the more it is that; (seeds,) float64.
        holds: values of one seed, the medians of all -> whether it may be called so.
    """

    name: str
    score: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    holds: Callable[[Light, Light], bool]


# In the order in which the page shows them.
KINDS = (
    Kind(
        "day",
        lambda z: np.minimum(z["ground"], 1) + 0.5 * z["contrast"] + z["blue"],  # brighter still is overexposed
        lambda one, middle: one.ground >= middle.ground + 3 and one.sky >= 60,
    ),
    Kind("blue sky", lambda z: z["blue"], lambda one, middle: one.blue >= max(6.0, middle.blue + 3)),
    Kind(
        "overcast",
        lambda z: -z["sky_chroma"] - z["warmth"] - abs(z["ground"]),
        lambda one, middle: one.sky_chroma <= 6 and one.sky >= 70 and abs(one.ground - middle.ground) <= 8,
    ),
    Kind(
        "cold light",
        lambda z: -z["warmth"] - 0.5 * abs(z["ground"]),
        lambda one, middle: one.warmth <= middle.warmth - 3 and abs(one.ground - middle.ground) <= 10,
    ),
    Kind("evening light", lambda z: z["warmth"], lambda one, middle: one.warmth >= middle.warmth + 3),
    Kind(
        "dusk",
        lambda z: -z["sky"] - z["ground"],
        lambda one, middle: one.sky <= middle.sky - 5 and one.ground <= middle.ground - 5,
    ),
)
FIRST = ("dusk", "evening light", "blue sky", "day", "overcast", "cold light")  # who chooses first has the best seed


def light(image: np.ndarray, label_map: np.ndarray, labels: Sequence[str]) -> Light:
    """Measure an image.

    Args:
        image: (height, width, 3) uint8.
        label_map: (height, width) ids of `labels`.
        labels: names of the classes by id.
    """
    lab = rgb_to_lab(torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 127.5 - 1).numpy()
    sky = _part(label_map, labels, ("sky",))
    walls = _part(label_map, labels, WALLS)
    walls = walls if walls.mean() >= FEWEST else ~sky
    of_sky, of_ground, of_walls = (_mean(lab, mask) for mask in (sky, ~sky, walls))
    return Light(
        sky=of_sky[0],
        blue=-of_sky[2],
        sky_chroma=float(np.hypot(of_sky[1], of_sky[2])),
        ground=of_ground[0],
        warmth=of_walls[1] + of_walls[2],
        contrast=float(lab[0].std()),
    )


def _part(label_map: np.ndarray, labels: Sequence[str], words: Sequence[str]) -> np.ndarray:
    ids = [label for label, name in enumerate(labels) if any(word in name.lower() for word in words)]
    return np.isin(label_map, ids)


def _mean(lab: np.ndarray, mask: np.ndarray) -> list[float]:
    return lab[:, mask].mean(axis=1).tolist() if mask.mean() >= FEWEST else [float("nan")] * 3


def mean_light(lights: Iterable[Light]) -> Light:
    """Of the images of several scenes; a part that only some have is measured on those."""
    return _over(list(lights), np.nanmean)


def _over(lights: Sequence[Light], how: Callable[..., np.ndarray]) -> Light:
    values = np.array(lights, dtype=np.float64)
    known = ~np.isnan(values).all(axis=0)
    result = np.full(len(Light._fields), np.nan)
    result[known] = how(values[:, known], axis=0)
    return Light(*result.tolist())


def middle_light(lights: Sequence[Light]) -> Light:
    """Medians over seeds."""
    return _over(lights, np.nanmedian)


def ranked(lights: Sequence[Light]) -> dict[str, list[int]]:
    """Name -> places in `lights` of those that may be called so, the best one first; a name may have none.

    Args:
        lights: of the seeds, one each.
    """
    middle = middle_light(lights)
    values = np.array(lights, dtype=np.float64)
    spread = values.std(axis=0)
    z = dict(zip(Light._fields, ((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)).T, strict=True))
    found = {}
    for kind in KINDS:
        score = kind.score(z)  # of nan nothing holds
        order = np.argsort(-score, kind="stable").tolist()
        found[kind.name] = [place for place in order if kind.holds(lights[place], middle)]
    return found


def apart(one: Light, others: Iterable[Light]) -> bool:
    """Whether a look is another one to the eye than those chosen before."""
    return all(np.sqrt(np.nansum(np.square(np.subtract(one, other)))) >= APART for other in others)


__all__ = ["FIRST", "KINDS", "Kind", "Light", "apart", "light", "mean_light", "middle_light", "ranked"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What an image of the page is a function of: a label map, a seed, and new noise for parts of it. No page here."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..pipeline_noise import Selection, check_has_noise, walk_noise
from .model_library import LoadedModel
from .turns import image_turn, seconds_waited


MAX_SEED = 2**31 - 1
MAX_NAME = 1000  # characters of a file name that are looked at
MAX_IMAGES = 16  # per request
MAX_STEPS = 32  # images of a walk between two seeds
SECONDS = 120  # a request may compute


@dataclass(frozen=True)
class Scene:
    """The label map on the table.

    Args:
        name: safe as the stem of a file name.
        label_map: (height, width) class ids at a legal size of the model.
        labels: names of the classes by id.
    """

    name: str
    label_map: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Reroll:
    """New noise for one class, or for the connected region of one class under a point.

    Args:
        seed: of the new noise, 0 .. MAX_SEED.
        label: name of the class; or
        point: (row, column), pixels of the image.
    """

    seed: int
    label: str | None = None
    point: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.label is None) == (self.point is None):
            raise ValueError("a re-roll names either a class or a point (row, column)")
        check_seed(self.seed)


@dataclass(frozen=True)
class Variant:
    """One image of a label map.

    Args:
        seed: of the noise, 0 .. MAX_SEED.
        rerolls: made one after the other; where two meet, the later one counts.
    """

    seed: int
    rerolls: tuple[Reroll, ...] = ()

    def __post_init__(self) -> None:
        check_seed(self.seed)


class Deadline:
    """Raises a ValueError once a request has computed for too long.

    Args:
        seconds: from now; those that it waits for other visitors do not count.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds - seconds_waited()

    def check(self) -> None:
        """Call it between two images."""
        if time.monotonic() > self._end + seconds_waited():
            raise ValueError(f"stopped after {self.seconds:.0f} seconds; ask for fewer images or a smaller size")


def check_seed(seed: Any) -> int:
    """A whole number in 0 .. MAX_SEED, or a ValueError."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not (whole or isinstance(seed, float) and seed.is_integer()) or not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed {seed!r} is out of range: legal are whole numbers in 0..{MAX_SEED}")
    return int(seed)


def check_count(count: Any, most: int = MAX_IMAGES, what: str = "num_images") -> int:
    """A whole number in 1 .. most, or a ValueError."""
    if isinstance(count, bool) or not isinstance(count, int | float) or count != count // 1 or not 1 <= count <= most:
        raise ValueError(f"{what}={count!r} is out of range: legal are whole numbers in 1..{most}")
    return int(count)


def file_stem(name: str) -> str:
    """A name of anything -> a stem that is safe in file names everywhere."""
    stem = re.sub(r"[^\w.-]+", "_", re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name[-MAX_NAME:])).strip("._-")
    return stem[:60] or "label_map"


def consecutive(seed: int, count: int) -> list[Variant]:
    """Variants of the seeds seed, seed + 1, ...; after MAX_SEED comes 0."""
    return [Variant((check_seed(seed) + i) % (MAX_SEED + 1)) for i in range(check_count(count))]


def render(
    model: LoadedModel, scene: Scene, variants: Sequence[Variant], deadline: Deadline | None = None
) -> list[Image.Image]:
    """Draw a scene; each image is a function of the label map and its variant alone, bit for bit.

    Args:
        model: whose classes the scene names.
        scene: the label map.
        variants: one image each.
        deadline: checked before every image.

    Raises:
        ValueError: a class or point that does not exist, a model without noise, the deadline, the page's budget.
    """
    model.check_cost(scene.label_map.shape, len(variants))
    images = []
    for variant in variants:
        with image_turn():
            if deadline is not None:
                deadline.check()
            images += model.pipe(scene.label_map.astype(np.int64), **pipeline_arguments(model, scene, variant)).images
    return images


def walk(
    model: LoadedModel,
    scene: Scene,
    seeds: tuple[int, int],
    steps: int,
    labels: list[str] | None,
    deadline: Deadline,
) -> list[Image.Image]:
    """The images of `pipe.interpolate` bit for bit, with a look at the clock before each.

    Args:
        model: it draws.
        scene: the label map.
        seeds: of the ends.
        steps: images, both ends included.
        labels: names of the classes that walk; None for all pixels.
        deadline: raises once it is too late.

    Raises:
        ValueError: as `render`; a class that does not exist.
    """
    check_has_noise(model.pipe.generator_model.config.noise_dim)
    if steps < 2:
        raise ValueError(f"steps={steps}: a walk has at least 2 images, its two ends")
    model.check_cost(scene.label_map.shape, steps, "frames")
    label_map = torch.from_numpy(scene.label_map.astype(np.int64))
    regions = Selection(labels=labels).region_map(label_map, model.processor.id2label)
    start, end = (seed_noise(model, seed) for seed in seeds)
    height, width = scene.label_map.shape
    arguments = {"size": {"height": height, "width": width}}
    images = []
    for noises, chosen in walk_noise(start, end, steps, labels is not None, regions):
        for noise in noises.split(1):
            with image_turn():
                deadline.check()
                images += model.pipe(label_map.numpy(), noise=noise, resample_regions=chosen, **arguments).images
    return images


def pipeline_arguments(model: LoadedModel, scene: Scene, variant: Variant) -> dict[str, Any]:
    """Keyword arguments of the pipeline that draw one variant."""
    height, width = scene.label_map.shape
    arguments: dict[str, Any] = {"size": {"height": height, "width": width}, "num_images_per_label_map": 1}
    if not variant.rerolls:
        return arguments | {"seed": variant.seed}
    selections = [
        Selection(labels=None if r.label is None else [r.label], points=None if r.point is None else [r.point])
        for r in variant.rerolls
    ]
    if len(selections) == 1:  # the pipeline's own words, as people would write them
        chosen = {"resample_labels": selections[0].labels, "resample_points": selections[0].points}
        return arguments | {"seed": variant.seed, "resample_seed": variant.rerolls[0].seed} | chosen
    label_map = torch.from_numpy(scene.label_map.astype(np.int64))
    regions = torch.zeros_like(label_map)
    for number, selection in enumerate(selections, start=1):
        selection.check(None, model.pipe.generator_model.config.noise_dim)
        mask = selection.region_map(label_map, model.processor.id2label)
        if mask is not None:
            regions[mask > 0] = number
    noises = [seed_noise(model, seed) for seed in (variant.seed, *(r.seed for r in variant.rerolls))]
    return arguments | {"noise": torch.stack(noises, dim=1), "resample_regions": regions}


def seed_noise(model: LoadedModel, seed: int) -> torch.Tensor:
    """(1, noise_dim): the noise that an image of this seed has everywhere."""
    return model.pipe.generator_model.sample_noise(1, generator=torch.Generator().manual_seed(seed))


__all__ = [
    "MAX_IMAGES",
    "MAX_SEED",
    "MAX_STEPS",
    "SECONDS",
    "Deadline",
    "Reroll",
    "Scene",
    "Variant",
    "check_count",
    "check_seed",
    "consecutive",
    "file_stem",
    "pipeline_arguments",
    "render",
    "seed_noise",
    "walk",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What determines an image of the page: a label map, a seed, and new noise for parts of it."""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...pipeline_noise import Selection, check_has_noise, seed_noise, slerp
from ..models.library import LoadedModel
from ..models.turns import image_turn, pass_on, seconds_waited
from .found_noise import FoundNoise


MAX_SEED = 2**31 - 1
MAX_NAME = 1000  # characters of a file name that are looked at
MAX_IMAGES = 16  # per request
MAX_STEPS = 32  # images of a walk between two seeds
SECONDS = 120  # a request may compute


@dataclass(frozen=True)
class Scene:
    """A label map and its name.

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
        noise: found for a photo, in the place of the seed's; the seed is then the one that its search started from.
    """

    seed: int
    rerolls: tuple[Reroll, ...] = ()
    noise: FoundNoise | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def is_special(self) -> bool:
        """Whether it is more than a seed."""
        return bool(self.rerolls) or self.noise is not None


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


def with_seed(look: Variant, seed: Any) -> Variant:
    """The variant of a seed; the same one, re-rolls and found noise and all, if it has this seed, or if it is none."""
    try:
        seed = check_seed(seed or 0)
    except ValueError:
        return look
    return look if look.seed == seed else Variant(seed)


def new_seed() -> int:
    """A random seed."""
    return secrets.randbelow(MAX_SEED + 1)


def typed_seed(text: str) -> int:
    """A seed as typed; nothing typed gives a random one."""
    text = text.strip()
    if not text:
        return new_seed()
    if not text.isdecimal():
        raise ValueError(
            f"seed {text!r} is not a whole number in 0..{MAX_SEED}; leave the field empty for a random one"
        )
    return check_seed(int(text))


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
    model: LoadedModel,
    scene: Scene,
    variants: Sequence[Variant],
    deadline: Deadline | None = None,
    each: Callable[[int, int], None] | None = None,
    dtype: str | None = None,
) -> list[Image.Image]:
    """Draw a scene; each image is a function of the label map and its variant alone, bit for bit.

    Args:
        model: whose classes the scene names.
        scene: the label map.
        variants: one image each.
        deadline: checked before every image.
        each: gets the number of images made and of all of them.
        dtype: number type of the computation, "float32" or "bfloat16"; None takes the model's.

    Raises:
        ValueError: a class or point that does not exist, a model without noise or with noise of another length than
            was found, the deadline, the page's budget.
    """
    model.check_cost(scene.label_map.shape, len(variants))
    images = []
    for variant in variants:
        with image_turn():
            if deadline is not None:
                deadline.check()
            arguments = pipeline_arguments(model, scene, variant) | {"autocast_dtype": number_type(model, dtype)}
            images += model.pipe(scene.label_map.astype(np.int64), **arguments).images
        if each is not None:
            each(len(images), len(variants))
    return images


def walk(
    model: LoadedModel,
    scene: Scene,
    seeds: tuple[int, int],
    steps: int,
    labels: list[str] | None,
    deadline: Deadline,
    rerolls: Sequence[Reroll] = (),
    each: Callable[[int, int], None] | None = None,
    found: FoundNoise | None = None,
) -> list[Image.Image]:
    """The images on the way between two seeds; others have their turns between two of them, until the deadline.

    Args:
        model: it draws.
        scene: the label map.
        seeds: of the ends.
        steps: images, both ends included.
        labels: names of the classes that walk; None for all pixels.
        deadline: raises once it is too late.
        rerolls: parts that keep their own noise all the way; without them, the images are those of
            `pipe.interpolate`.
        each: gets the number of images made and of all of them.
        found: noise that the walk starts from, in the place of that of the first seed.

    Raises:
        ValueError: as `render`; a class that does not exist, fewer than 2 steps.
    """
    check_has_noise(model.pipe.generator_model.config.noise_dim)
    model.check_cost(scene.label_map.shape, steps, "frames")
    height, width = scene.label_map.shape

    def between(pipe: Any, index: int, total: int, image: Image.Image) -> None:
        if each is not None:
            each(index + 1, total)
        if index + 1 < total:
            pass_on()
            deadline.check()

    arguments = {"size": {"height": height, "width": width}, "callback_on_image_end": between}
    arguments["autocast_dtype"] = number_type(model)
    label_map = scene.label_map.astype(np.int64)
    with image_turn():
        deadline.check()
        if not rerolls and found is None:
            return model.pipe.interpolate(label_map, *seeds, steps=steps, resample_labels=labels, **arguments).images
        noise, regions = _walk_by_parts(model, scene, seeds, steps, labels, Variant(seeds[0], tuple(rerolls), found))
        return model.pipe(label_map, noise=noise, resample_regions=regions, **arguments).images


def _walk_by_parts(
    model: LoadedModel, scene: Scene, seeds: tuple[int, int], steps: int, labels: list[str] | None, start: Variant
) -> tuple[torch.Tensor, torch.Tensor]:
    """(steps, regions, noise_dim) and the (height, width) map of its rows: those of the start, of which re-rolls stay
    as they are, and behind them those of the classes that walk, if it is not all of them.
    """
    if steps < 2:
        raise ValueError(f"steps={steps}: an interpolation has at least 2 images, its two ends")
    rows, regions = _rows_and_regions(model, scene, start)
    own = len(rows) - len(start.rerolls)
    end = seed_noise(model.pipe.generator_model.sample_noise, seeds[1]).expand(own, -1)
    path = torch.stack([rows[:own], *(slerp(rows[:own], end, step / (steps - 1)) for step in range(1, steps))])
    fixed = rows[own:].expand(steps, -1, -1)
    if labels is None:
        return torch.cat([path, fixed], dim=1), regions
    label_map = torch.from_numpy(scene.label_map.astype(np.int64))
    walking = Selection(labels=labels).region_map(label_map, model.processor.id2label)
    if walking is not None:
        regions = torch.where((walking > 0) & (regions < own), regions + len(rows), regions)
    return torch.cat([rows.expand(steps, -1, -1), path], dim=1), regions


def _rows_and_regions(model: LoadedModel, scene: Scene, variant: Variant) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, noise_dim): the noise of the seed or what was found in its place, then one row for each re-roll; and the
    (height, width) map of the row that a pixel obeys.
    """
    sample = model.pipe.generator_model.sample_noise
    regions = _reroll_regions(model, scene, variant.rerolls)
    own = seed_noise(sample, variant.seed) if variant.noise is None else _found_rows(model, variant.noise)
    if len(own) > 1:
        names = {name: row for row, name in enumerate(variant.noise.labels, start=1)}
        table = torch.tensor([names.get(name, 0) for name in scene.labels])
        by_class = table[torch.from_numpy(scene.label_map.astype(np.int64))]
        regions = torch.where(regions > 0, regions + len(own) - 1, by_class)
    return torch.cat([own, *(seed_noise(sample, reroll.seed) for reroll in variant.rerolls)]), regions


def takes_noise(model: LoadedModel, found: FoundNoise) -> bool:
    """Whether a model takes noise of this length."""
    return found.noise_dim == model.pipe.generator_model.config.noise_dim


def _found_rows(model: LoadedModel, found: FoundNoise) -> torch.Tensor:
    if not takes_noise(model, found):
        raise ValueError(
            f"the look of {found.photo} has noise of {found.noise_dim} numbers, and {model.name} takes "
            f"{model.pipe.generator_model.config.noise_dim}: choose "
            f"{found.model or 'the model that it was found with'}, or another look"
        )
    return found.vectors()


def _reroll_regions(model: LoadedModel, scene: Scene, rerolls: Sequence[Reroll]) -> torch.Tensor:
    """(height, width) int64: 0, or the number (from 1) of the last re-roll of a pixel."""
    label_map = torch.from_numpy(scene.label_map.astype(np.int64))
    regions = torch.zeros_like(label_map)
    for number, selection in enumerate(map(_selection, rerolls), start=1):
        selection.check(None, model.pipe.generator_model.config.noise_dim)
        mask = selection.region_map(label_map, model.processor.id2label)
        if mask is not None:
            regions[mask > 0] = number
    return regions


def _selection(reroll: Reroll) -> Selection:
    return Selection(
        labels=None if reroll.label is None else [reroll.label],
        points=None if reroll.point is None else [reroll.point],
    )


def number_type(model: LoadedModel, dtype: str | None = None) -> torch.dtype:
    """What images are computed in; None takes the model's."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype or model.dtype]


def pipeline_arguments(model: LoadedModel, scene: Scene, variant: Variant) -> dict[str, Any]:
    """Keyword arguments of the pipeline that draw one variant."""
    height, width = scene.label_map.shape
    arguments: dict[str, Any] = {"size": {"height": height, "width": width}, "num_images_per_label_map": 1}
    if variant.noise is not None:
        rows, regions = _rows_and_regions(model, scene, variant)
        return arguments | ({"noise": rows} if len(rows) == 1 else {"noise": rows[None], "resample_regions": regions})
    if not variant.rerolls:
        return arguments | {"seed": variant.seed}
    if len(variant.rerolls) == 1:  # the pipeline's own arguments, as one would write them by hand
        selection = _selection(variant.rerolls[0])
        chosen = {"resample_labels": selection.labels, "resample_points": selection.points}
        return arguments | {"seed": variant.seed, "resample_seed": variant.rerolls[0].seed} | chosen
    rows, regions = _rows_and_regions(model, scene, variant)
    return arguments | {"noise": rows[None], "resample_regions": regions}


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
    "new_seed",
    "number_type",
    "pipeline_arguments",
    "render",
    "takes_noise",
    "typed_seed",
    "walk",
    "with_seed",
]

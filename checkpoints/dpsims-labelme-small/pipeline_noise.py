# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which noise each pixel of the pipeline's images gets: seeds, walks between seeds, pixels that are re-sampled (OASIS
Sec. 3.3, App. B.2 and B.3). Pure functions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F
from transformers.utils import logging


logger = logging.get_logger(__name__)

# Without resample_seed an image of seed s takes its new noise from seed s + this: far from its neighbours' seeds.
RESAMPLE_SEED_OFFSET = 2**20


class Selection(NamedTuple):
    """The pixels that get new noise.

    Args:
        labels: class names or ids, or a boolean mask of any size: these pixels share one new noise.
        regions: boolean or integer mask of any size: region k > 0 has its own.
        points: (row, column) pairs: the connected component under each has its own.
    """

    labels: Any = None
    regions: Any = None
    points: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked for."""
        return all(part is None for part in self)

    def check(self, noise: torch.Tensor | None, noise_dim: int) -> None:
        """Raise a ValueError if it does not go with the noise that the user gives or with the model's."""
        if not self.is_empty:
            check_has_noise(noise_dim)
        if noise is not None and noise.ndim == 3:
            if self.regions is None or self.labels is not None or self.points is not None:
                raise ValueError("noise (images, regions, noise_dim) goes with resample_regions, its map, alone")

    def region_map(self, label_map: torch.Tensor, id2label: Mapping[int, str]) -> torch.Tensor | None:
        """Which noise each pixel obeys.

        The numbers: `regions` keeps its own, 1 .. R; `labels`, if given, is R + 1; the components of `points` follow
        in the points' order, several points on one component counting once. A pixel that is chosen more than once
        goes to `regions`, else to its component, else to `labels`.

        Args:
            label_map: (height, width) int64.
            id2label: the classes.

        Returns:
            (height, width) int64: 0 keeps its noise, k > 0 takes the k-th new one; None if no pixel is chosen.

        Raises:
            ValueError: for unknown classes, masks or points that do not fit.
        """
        if self.is_empty:
            return None
        result, used = torch.zeros_like(label_map), 0
        if self.regions is not None:
            used = int(_mask_numbers(self.regions).max())
        if self.labels is not None:
            used += 1
            result[_label_mask(label_map, self.labels, id2label)] = used
        if self.points is not None:
            for number, component in enumerate(_components_under(label_map, self.points), start=used + 1):
                result[component] = number
        if self.regions is not None:
            drawn = _resized_mask(self.regions, label_map.shape)
            result = torch.where(drawn > 0, drawn, result)
        if result.any():
            return result
        logger.warning("no pixel of this label map is to be re-sampled: its images stay as they are")
        return None


def check_has_noise(noise_dim: int) -> None:
    """Raise a ValueError if the model has no noise that could be chosen."""
    if noise_dim == 0:
        raise ValueError(
            "this model has no noise (config.noise_dim is 0): it cannot re-sample or interpolate; call it without "
            "resample_labels, resample_regions and resample_points"
        )


# -- vectors ----------------------------------------------------------------------------------------------------------


def slerp(start: torch.Tensor, end: torch.Tensor, fraction: float) -> torch.Tensor:
    """Spherical interpolation of noise (..., noise_dim); 0 and 1 give the ends exactly."""
    if fraction in (0, 1):
        return (end if fraction else start).clone()
    cosine = F.cosine_similarity(start.double(), end.double(), dim=-1).clamp(-1, 1)[..., None]
    angle = torch.arccos(cosine)
    if bool((angle.sin() < 1e-6).any()):  # same or opposite directions: no arc is singled out
        return torch.lerp(start, end, fraction)
    left, right = torch.sin((1 - fraction) * angle), torch.sin(fraction * angle)
    return ((left * start + right * end) / torch.sin(angle)).to(start.dtype)


def lerp(start: torch.Tensor, end: torch.Tensor, fraction: float) -> torch.Tensor:
    """Linear interpolation of noise (..., noise_dim) (OASIS, App. B.3); 0 and 1 give the ends exactly."""
    return torch.lerp(start, end, fraction) if 0 < fraction < 1 else (end if fraction else start).clone()


WALKS = {"spherical": slerp, "linear": lerp}


def walk_noise(
    start: torch.Tensor,
    end: torch.Tensor,
    steps: int,
    local: bool,
    regions: torch.Tensor | None,
    mode: str = "spherical",
) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Noise on the way from `start` to `end`.

    Args:
        start, end: (1, noise_dim).
        steps: images, both ends included.
        local: only the pixels that are not 0 in `regions` walk.
        regions: (height, width) int64; None chooses no pixel.
        mode: a key of `WALKS`.

    Returns:
        (noise, map of its rows or None) of the first image, then of the others. The first has no map: it is the image
        of `start` bit for bit.
    """
    if mode not in WALKS:
        raise ValueError(f"mode={mode!r} is no way to interpolate; choose one of {', '.join(WALKS)}")
    walk = torch.cat([WALKS[mode](start, end, i / (steps - 1)) for i in range(1, steps)])
    if not local:
        return [(start, None), (walk, None)]
    still = start.expand_as(walk)
    if regions is None:
        return [(start, None), (still, None)]
    return [(start, None), (torch.stack([still, walk], dim=1), (regions > 0).long())]


def seed_noise(sample: Callable[..., torch.Tensor], seed: int) -> torch.Tensor:
    """(1, noise_dim): what the model's `sample_noise` gives for a seed, drawn on the CPU."""
    return sample(1, generator=torch.Generator().manual_seed(seed))


class Draw(NamedTuple):
    """The noise of the images of one label map.

    Args:
        noise: (images, noise_dim), or (images, regions, noise_dim) as the user gave it.
        seeds: of each image; None where its noise is given, or comes from a generator.
        new_seeds: of each image's new noise; None if none is drawn.
    """

    noise: torch.Tensor
    seeds: list[int | None]
    new_seeds: list[int] | None


def draws(
    sample: Callable[..., torch.Tensor],
    label_maps: int,
    count: int,
    seed: int | Sequence[int] | None,
    generator: torch.Generator | Sequence[torch.Generator] | None,
    noise: torch.Tensor | None,
    resample_seed: int | None,
    resamples: bool,
) -> list[Draw]:
    """The noise of all images of a request.

    Args:
        sample: the model's `sample_noise`.
        label_maps: how many.
        count: images of each.
        seed: every label map's images have seed, seed + 1, ..., or the seeds as listed; None is 0.
        generator: in place of the seed: one, of which each image takes the next draw, or a list of one for each.
        noise: in place of both, the same for every label map.
        resample_seed: see `resample_seeds`; with a generator None draws each image's from it, after all noise.
        resamples: whether new noise is drawn.

    Raises:
        ValueError: for a generator beside `seed` or `noise`, and for a number of generators that does not fit.
    """
    given = [name for name, value in (("seed", seed), ("generator", generator)) if value is not None]
    if len(given) == 2 or (generator is not None and noise is not None):
        other = "seed" if len(given) == 2 else "noise"
        raise ValueError(f"generator and {other} are given: an image's noise comes from one of them; leave one out")
    drawn = resamples and (noise is None or noise.ndim == 2)
    if generator is None:
        seeds: list[Any] = image_seeds(0 if seed is None else seed, count, noise)
        base = torch.cat([seed_noise(sample, single) for single in seeds]) if noise is None else noise
        return [Draw(base, seeds, resample_seeds(seeds, resample_seed) if drawn else None)] * label_maps
    image_seeds(0, count, None)  # for its error
    rngs = _image_generators(generator, label_maps * count)
    noises = torch.cat([sample(1, generator=rng) for rng in rngs]).split(count)
    new_seeds: list[int] = []
    if drawn and resample_seed is None:
        new_seeds = [int(torch.randint(2**31, (1,), generator=rng, device=rng.device)) for rng in rngs]
    elif drawn:
        new_seeds = resample_seeds([None] * count, resample_seed) * label_maps
    parts = [new_seeds[start : start + count] or None for start in range(0, label_maps * count, count)]
    return [Draw(single, [None] * count, part) for single, part in zip(noises, parts, strict=True)]


def _image_generators(generator: Any, images: int) -> list[torch.Generator]:
    """One generator for each image; a ValueError for what is none."""
    several = isinstance(generator, (list, tuple))
    rngs = list(generator) if several else [generator] * images
    if len(rngs) != images:
        raise ValueError(
            f"{len(rngs)} generators for {images} images: pass one torch.Generator, or one for each image"
        )
    wrong = next((rng for rng in rngs if not isinstance(rng, torch.Generator)), None)
    if wrong is not None:
        raise ValueError(
            f"generator={wrong!r} is no torch.Generator; the network is pipe.generator_model, a number is seed="
        )
    return rngs


def image_seeds(seed: int | Sequence[int], count: int, noise: torch.Tensor | None) -> list[int | None]:
    """One seed per image of a label map: seed, seed + 1, ..., or the seeds as listed; None where noise is given."""
    if noise is not None:
        if noise.ndim not in (2, 3) or not len(noise):
            raise ValueError(
                f"noise has shape {tuple(noise.shape)}; expected (images, noise_dim) or (images, regions, noise_dim)"
            )
        return [None] * len(noise)
    seeds: list[int | None] = (
        [int(s) for s in seed] if hasattr(seed, "__iter__") else [int(seed) + i for i in range(count)]
    )
    if not seeds:
        raise ValueError(f"num_images_per_label_map={count}: ask for at least 1 image")
    return seeds


def resample_seeds(seeds: list[int | None], resample_seed: int | None) -> list[int]:
    """The seed of each image's new noise."""
    if resample_seed is not None:
        return [int(resample_seed) + i for i in range(len(seeds))]
    return [(i if seed is None else seed) + RESAMPLE_SEED_OFFSET for i, seed in enumerate(seeds)]


def region_noise(
    noise: torch.Tensor, seeds: list[int] | None, regions: torch.Tensor | None, sample: Callable[..., torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Noise for every region of a label map.

    Args:
        noise: (images, noise_dim), of the pixels that keep theirs; or (images, regions, noise_dim), complete.
        seeds: of each image's new noise; None if none is drawn.
        regions: (height, width) int64, from `Selection.region_map`; None chooses no pixel.
        sample: the model's `sample_noise`.

    Returns:
        (images, regions, noise_dim) and the map of its rows. New noise is drawn for the numbers only that stand in
        `regions`, which are closed up; the first of a seed is the noise that an image of this seed has. Without
        regions (images, noise_dim) and None: the image stays as it is bit for bit.
    """
    if regions is None:
        return (noise if noise.ndim == 2 else noise[:, 0]), None
    if seeds is None:
        return noise, regions
    numbers = [0, *torch.unique(regions[regions > 0]).tolist()]
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    # One vector at a time: the k-th of a seed does not depend on which others are used.
    draws = (torch.cat([sample(1, generator=rng) for rng in rngs]) for _ in range(numbers[-1]))
    used = set(numbers)
    new = [draw for number, draw in enumerate(draws, start=1) if number in used]
    # Closed up, a 0/255 mask or a map of instance ids costs the network no more than its regions do.
    return torch.stack([noise.to(new[0].device), *new], dim=1), torch.searchsorted(torch.tensor(numbers), regions)


# -- pixels -----------------------------------------------------------------------------------------------------------


def _label_mask(label_map: torch.Tensor, labels: Any, id2label: Mapping[int, str]) -> torch.Tensor:
    if isinstance(labels, (np.ndarray, torch.Tensor)) and labels.ndim == 2:
        return _resized_mask(labels, label_map.shape) > 0
    return torch.isin(label_map, torch.tensor(label_ids(labels, id2label), dtype=torch.int64))


def label_ids(labels: Any, id2label: Mapping[int, str]) -> list[int]:
    """Ids of classes given by name or id; an unknown one raises a ValueError that lists the classes."""
    id2label = {int(key): name for key, name in id2label.items()}
    ids: dict[str | int, int] = {name: key for key, name in id2label.items()} | {key: key for key in id2label}
    labels = [labels] if isinstance(labels, str) or not hasattr(labels, "__iter__") else list(labels)
    labels = [label if isinstance(label, str) else int(label) for label in labels]
    unknown = [label for label in labels if label not in ids]
    if unknown:
        listing = ", ".join(f"{key} {name}" for key, name in id2label.items())
        raise ValueError(f"resample_labels: no class {unknown[0]!r}; the classes are {listing}")
    return [ids[label] for label in labels]


def _resized_mask(mask: np.ndarray | torch.Tensor, size: torch.Size) -> torch.Tensor:
    """A boolean or integer (height, width) mask as int64 at `size`, by nearest neighbour as the label map was."""
    # float64 holds every number exactly; "nearest-exact" takes the pixel under the centre, as the processor does.
    return F.interpolate(_mask_numbers(mask)[None, None], size=tuple(size), mode="nearest-exact")[0, 0].long()


def _mask_numbers(mask: np.ndarray | torch.Tensor) -> torch.Tensor:
    """The mask as float64 at its own size."""
    mask = torch.as_tensor(mask).cpu()
    numbers = mask.double()
    if mask.ndim != 2 or mask.is_floating_point() or not mask.numel() or bool((numbers < 0).any()):
        raise ValueError(
            f"re-sampling mask of shape {tuple(mask.shape)} and type {mask.dtype}: give a (height, width) array, "
            "boolean or of region numbers from 0 (keep) up"
        )
    return numbers


def connected_component(label_map: torch.Tensor, point: Sequence[int]) -> torch.Tensor:
    """The pixels that are joined to a point by steps up, down, left and right within its class.

    Args:
        label_map: (height, width), integers.
        point: (row, column), counted from 0 at the top left.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: if the point lies outside; the message names the legal range.
    """
    return _components_under(torch.as_tensor(label_map).cpu(), [point])[0]


def _components_under(label_map: torch.Tensor, points: Any) -> list[torch.Tensor]:
    """The connected components (boolean masks) under one (row, column) or several, each once, in the points' order."""
    pairs = list(points)
    if pairs and np.ndim(pairs[0]) == 0:
        pairs = [points]
    places = [_checked_point(pair, *label_map.shape) for pair in pairs]
    if not places:
        return []
    components = label_components(label_map)
    return [components == number for number in dict.fromkeys(int(components[place]) for place in places)]


def _checked_point(point: Any, height: int, width: int) -> tuple[int, int]:
    """The (row, column) as plain numbers, or a ValueError."""
    values = np.asarray(point)
    if values.shape != (2,) or values.dtype.kind not in "iu":
        raise ValueError(f"point {point!r} is no (row, column) pair of whole numbers")
    row, column = (int(value) for value in values)
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(
            f"point ({row}, {column}) lies outside: legal are (row, column) with row 0..{height - 1} and column "
            f"0..{width - 1}, pixels of the generated image ({height}x{width}, height x width)"
        )
    return row, column


def label_components(label_map: torch.Tensor) -> torch.Tensor:
    """Number every pixel's connected component; (height, width) int64, equal within a component and nowhere else."""
    # A run is a stretch of equal pixels in a row. Runs of one class that touch across two rows are one component.
    starts = torch.ones(label_map.shape, dtype=torch.bool)
    starts[:, 1:] = label_map[:, 1:] != label_map[:, :-1]
    run = starts.flatten().cumsum(0).view(label_map.shape) - 1
    touching = label_map[1:] == label_map[:-1]
    upper, lower = run[:-1][touching], run[1:][touching]
    root = torch.arange(int(run[-1, -1]) + 1)
    # Every root joins the smallest root it touches. Of the roots that still touch others at least every second one
    # goes in two rounds, so that even a spiral takes few of them.
    while len(upper):
        root.scatter_reduce_(0, torch.maximum(upper, lower), torch.minimum(upper, lower), "amin")
        while not torch.equal(root, root[root]):
            root = root[root]
        upper, lower = root[upper], root[lower]
        apart = upper != lower
        upper, lower = upper[apart], lower[apart]
    return root[run]


__all__ = [
    "Selection",
    "Draw",
    "check_has_noise",
    "draws",
    "connected_component",
    "label_components",
    "image_seeds",
    "region_noise",
    "resample_seeds",
    "seed_noise",
    "lerp",
    "slerp",
    "walk_noise",
]

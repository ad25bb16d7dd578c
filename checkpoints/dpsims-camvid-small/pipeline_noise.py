# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which noise each image of the pipeline gets: seeds, interpolation, regions that are re-sampled. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F


# Without resample_seed an image of seed s takes its new noise from seed s + this: far from its neighbours' seeds.
RESAMPLE_SEED_OFFSET = 2**20


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


def image_seeds(seed: int | Sequence[int], count: int, noise: torch.Tensor | None) -> list[int | None]:
    """One seed per image of a label map: seed, seed + 1, ..., or the seeds as listed; None where noise is given."""
    if noise is not None:
        if noise.ndim not in (2, 3) or not len(noise):
            raise ValueError(
                f"noise has shape {tuple(noise.shape)}; expected (images, noise_dim) or (images, regions, noise_dim)"
            )
        return [None] * len(noise)
    seeds = [int(s) for s in seed] if hasattr(seed, "__iter__") else [int(seed) + i for i in range(count)]
    if not seeds:
        raise ValueError(f"num_images_per_label_map={count}: ask for at least 1 image")
    return seeds


def resample_seeds(seeds: list[int | None], resample_seed: int | None) -> list[int]:
    """The seed of each image's new noise."""
    if resample_seed is not None:
        return [int(resample_seed) + i for i in range(len(seeds))]
    return [(i if seed is None else seed) + RESAMPLE_SEED_OFFSET for i, seed in enumerate(seeds)]


def label_ids(labels: Any, id2label: Mapping[int, str]) -> list[int]:
    """Ids of classes given by name or id; an unknown one raises a ValueError that lists the classes."""
    ids: dict[str | int, int] = {name: key for key, name in id2label.items()} | {key: key for key in id2label}
    labels = [labels] if isinstance(labels, (str, int)) else list(labels)
    labels = [label if isinstance(label, str) else int(label) for label in labels]
    unknown = [label for label in labels if label not in ids]
    if unknown:
        listing = ", ".join(f"{key} {name}" for key, name in id2label.items())
        raise ValueError(f"resample_labels: no class {unknown[0]!r}; the classes are {listing}")
    return [ids[label] for label in labels]


def region_map(label_map: torch.Tensor, labels: Any, regions: Any, id2label: Mapping[int, str]) -> torch.Tensor | None:
    """Which noise each pixel obeys.

    Args:
        label_map: (height, width) int64.
        labels: class names or ids, or a boolean mask of any size; these pixels form one region more.
        regions: boolean or integer mask of any size.
        id2label: the classes.

    Returns:
        (height, width) int64: 0 keeps its noise, k > 0 takes the k-th new one; None if nothing was asked for.
    """
    if labels is None and regions is None:
        return None
    size = tuple(label_map.shape)
    result = torch.zeros(size, dtype=torch.int64) if regions is None else resized_mask(regions, size)
    if labels is not None:
        if isinstance(labels, (np.ndarray, torch.Tensor)) and labels.ndim == 2:
            chosen = resized_mask(labels, size) > 0
        else:
            chosen = torch.isin(label_map, torch.tensor(label_ids(labels, id2label), dtype=torch.int64))
        result[chosen & (result == 0)] = int(result.max()) + 1
    return result


def resized_mask(mask: np.ndarray | torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A boolean or integer (height, width) mask as int64 at `size`, by nearest neighbour as the label map was."""
    mask = torch.as_tensor(mask).cpu()
    if mask.ndim != 2 or mask.is_floating_point() or not mask.numel() or bool((mask < 0).any()):
        raise ValueError(
            f"re-sampling mask of shape {tuple(mask.shape)} and type {mask.dtype}: give a (height, width) array, "
            "boolean or of region numbers from 0 (keep) up"
        )
    # float64 holds every number exactly; "nearest-exact" takes the pixel under the centre, as the processor does.
    return F.interpolate(mask[None, None].double(), size=size, mode="nearest-exact")[0, 0].long()


__all__ = ["image_seeds", "region_map", "resample_seeds", "slerp"]

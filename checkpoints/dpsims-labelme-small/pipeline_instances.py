# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Instance maps as two channels: from each pixel to its object's centre (DP-SIMS Sec. 4.1, after Panoptic-DeepLab)."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from .pipeline_noise import label_components


def instance_offsets(
    instance_map: np.ndarray | torch.Tensor,
    label_map: np.ndarray | torch.Tensor | None = None,
    stuff_ids: Iterable[int] = (),
) -> torch.Tensor:
    """(centre of mass - pixel) / (height, width) on every instance, 0 elsewhere.

    To be computed after resize, crop and flip: the centre is that of the visible part, and a mirrored map then has
    mirrored offsets by construction.

    Args:
        instance_map: (height, width) integers; one id per object, 0 = none.
        label_map: (height, width) class indices; needed only with `stuff_ids`.
        stuff_ids: Labels whose pixels get 0 (stuff, and void).

    Returns:
        (2, height, width) float32: channel 0 vertical, channel 1 horizontal, both in [-1, 1].
    """
    instances = _array(instance_map).astype(np.int64)  # a copy
    stuff_ids = sorted(set(stuff_ids))
    if stuff_ids:
        if label_map is None or tuple(label_map.shape) != instances.shape:
            shape = None if label_map is None else tuple(label_map.shape)
            raise ValueError(f"stuff_ids need a label map of shape {instances.shape}, got {shape}")
        instances[np.isin(_array(label_map), stuff_ids)] = 0
    height, width = instances.shape
    _, inverse = np.unique(instances, return_inverse=True)
    inverse = inverse.ravel()
    sizes = np.bincount(inverse)
    offsets = np.empty((2, height, width), dtype=np.float32)
    grid = np.indices((height, width))
    for axis, extent in enumerate((height, width)):
        position = grid[axis].ravel()
        centre = np.bincount(inverse, weights=position) / sizes
        offsets[axis] = ((centre[inverse] - position) / extent).reshape(height, width)
    offsets[:, instances == 0] = 0.0
    return torch.from_numpy(offsets)


def _array(values: np.ndarray | torch.Tensor) -> np.ndarray:
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def batch_instance_offsets(
    label_maps: Sequence[torch.Tensor] | torch.Tensor, instance_maps: Any, processor: Any
) -> torch.Tensor | list[torch.Tensor]:
    """Offsets for a batch of label maps.

    Args:
        label_maps: (batch, height, width) class indices, or a list of (height, width).
        instance_maps: one item or a list, one per label map, of any size: what `processor.decode_instance_map` takes.
            None takes every connected region of one class for one object, which is what a painted map says.
        processor: knows the labels without objects.

    Returns:
        (batch, 2, height, width) float32, see `instance_offsets`; a list if the sizes differ.

    Raises:
        ValueError: for a number of instance maps that is not that of the label maps, or one that cannot be read.
    """
    label_maps = [single.cpu() for single in label_maps]
    if instance_maps is None:
        instances = [label_components(single) + 1 for single in label_maps]
    else:
        several = isinstance(instance_maps, (list, tuple))
        given = list(instance_maps) if several else [instance_maps] * len(label_maps)
        if len(given) != len(label_maps):
            raise ValueError(f"{len(given)} instance maps for {len(label_maps)} label maps: pass one for each")
        pairs = enumerate(zip(given, label_maps, strict=True))
        instances = [
            processor.decode_instance_map(item, f"instance map {index}", tuple(single.shape))
            for index, (item, single) in pairs
        ]
    offsets = [
        instance_offsets(single, label_map, processor.stuff_ids)
        for single, label_map in zip(instances, label_maps, strict=True)
    ]
    return torch.stack(offsets) if len({single.shape for single in offsets}) == 1 else offsets


def generator_offsets(
    config: Any,
    label_maps: Sequence[torch.Tensor] | torch.Tensor,
    instance_maps: Any,
    given: torch.Tensor | None,
    processor: Any,
) -> torch.Tensor | list[torch.Tensor] | None:
    """What a generator takes of the objects.

    Args:
        config: the generator's.
        label_maps, instance_maps, processor: see `batch_instance_offsets`.
        given: (batch, 2, height, width) offsets in place of instance maps.

    Returns:
        What `batch_instance_offsets` gives for a model that takes instances, else what was given.

    Raises:
        ValueError: as `batch_instance_offsets`; instance maps for a model that takes none.
    """
    if getattr(config, "use_instance_offsets", False):
        return batch_instance_offsets(label_maps, instance_maps, processor) if given is None else given
    if instance_maps is not None:
        raise ValueError("this model takes no instances: leave instance_map out")
    return given


__all__ = ["batch_instance_offsets", "generator_offsets", "instance_offsets"]

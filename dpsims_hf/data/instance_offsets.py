"""Instance maps as two channels: from each pixel to its object's centre (DP-SIMS Sec. 4.1, after Panoptic-DeepLab)."""

from collections.abc import Iterable

import numpy as np
import torch


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
    instances = np.array(instance_map, dtype=np.int64)
    stuff_ids = sorted(set(stuff_ids))
    if stuff_ids:
        if label_map is None or tuple(label_map.shape) != instances.shape:
            shape = None if label_map is None else tuple(label_map.shape)
            raise ValueError(f"stuff_ids need a label map of shape {instances.shape}, got {shape}")
        instances[np.isin(np.asarray(label_map), stuff_ids)] = 0
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


__all__ = ["instance_offsets"]

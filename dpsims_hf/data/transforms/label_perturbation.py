# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label maps with sloppy borders, as people sketch: a smooth random shift of every pixel of the map, not the photo."""

import numpy as np
import torch
from torch.nn import functional as F


SPACING = 8.0  # pixels between the knots of the shift, at least
FOLDING = 4.0  # knots are this many times the shift apart, so that the map does not fold over itself


def perturb_labels(
    label_map: np.ndarray, strength: float, generator: torch.Generator, instance_map: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Move the borders of a label map, and of the instance map by the same shift.

    Every pixel takes the value of a pixel nearby (bicubic interpolation of normal shifts on a coarse grid), so values
    survive exactly and none appears. The strength of this call is drawn from [0, `strength`]: exact maps occur too.

    Args:
        label_map: (height, width) integers.
        strength: Standard deviation of the largest shift, in pixels; 0 returns the maps as they are.
        generator: Source of all draws.
        instance_map: (height, width) integers or None.

    Returns:
        Both maps.
    """
    if strength == 0:
        return label_map, instance_map
    height, width = label_map.shape
    own = float(torch.rand((), generator=generator)) * strength
    spacing = max(SPACING, FOLDING * own)
    knots = (max(2, round(height / spacing) + 1), max(2, round(width / spacing) + 1))
    coarse = own * torch.randn(1, 2, *knots, generator=generator)
    shifts = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0].round().long().numpy()
    rows = _reflected(np.arange(height)[:, None] + shifts[0], height)
    columns = _reflected(np.arange(width)[None, :] + shifts[1], width)
    return label_map[rows, columns], None if instance_map is None else instance_map[rows, columns]


def _reflected(positions: np.ndarray, extent: int) -> np.ndarray:
    """Positions beyond the picture turn back at its border; those still beyond stay on it."""
    positions = np.where(positions < 0, -positions, positions)
    positions = np.where(positions >= extent, 2 * (extent - 1) - positions, positions)
    return positions.clip(0, extent - 1)


__all__ = ["perturb_labels"]

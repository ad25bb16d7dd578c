# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A random shift before the discriminator and the feature networks.

A frozen backbone with strides sees every picture of a generator at the same phase, so a lattice with the period of a
stride looks the same to it everywhere, and G is not told. Shifted by a few pixels, real and generated pictures alike,
it is seen at every phase.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def random_shift(
    label_map: torch.Tensor,
    images: Sequence[torch.Tensor],
    limit: int,
    rng: torch.Generator | Sequence[torch.Generator],
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Shift each image of a batch, and its label map along, by up to `limit` pixels; the border is mirrored.

    Args:
        label_map: (batch, height, width) int64.
        images: one or more (batch, 3, height, width) that belong to it; the same image is moved alike in all.
        limit: largest shift in each direction; smaller than height and width.
        rng: CPU generators, one per image of the batch, or one for all.

    Returns:
        The label map and the images at their sizes; gradients go through the images.
    """
    count = len(label_map)
    rngs = [rng] * count if isinstance(rng, torch.Generator) else rng
    corners = [torch.randint(0, 2 * limit + 1, (2,), generator=one).tolist() for one in rngs]
    labels = _shifted(label_map[:, None].float(), limit, corners)[:, 0].long()  # float: reflection knows no integers
    return labels, tuple(_shifted(batch, limit, corners) for batch in images)


def _shifted(maps: torch.Tensor, limit: int, corners: list[list[int]]) -> torch.Tensor:
    height, width = maps.shape[-2:]
    padded = F.pad(maps, [limit] * 4, mode="reflect")
    crops = [one[:, y : y + height, x : x + width] for one, (y, x) in zip(padded, corners, strict=True)]
    result = torch.stack(crops)
    return result.contiguous(memory_format=torch.channels_last) if maps.shape[1] > 1 else result


__all__ = ["random_shift"]

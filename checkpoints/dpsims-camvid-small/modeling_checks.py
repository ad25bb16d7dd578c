# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Checks of what networks are given: sizes, types, ranges; errors name the value and the remedy."""

import torch


def check_multiples(name: str, size: tuple[int, int], divisor: int) -> None:
    """Raise a ValueError that names the nearest legal size if a side is no positive multiple of `divisor`."""
    height, width = size
    if height % divisor or width % divisor or not height or not width:
        nearest = tuple(max(divisor, round(side / divisor) * divisor) for side in size)
        raise ValueError(
            f"{name} is {height}x{width} (height x width), but both sides must be multiples of {divisor}; the nearest "
            f"legal size is {nearest[0]}x{nearest[1]}"
        )


def check_images(pixel_values: torch.Tensor, divisor: int) -> None:
    """Raise a ValueError unless this is a batch of RGB images whose sides are multiples of `divisor`."""
    if pixel_values.ndim != 4 or pixel_values.shape[1] != 3 or not pixel_values.is_floating_point():
        raise ValueError(
            f"pixel_values has shape {tuple(pixel_values.shape)} and type {pixel_values.dtype}; give (batch, 3, "
            "height, width), float in [-1, 1]"
        )
    height, width = pixel_values.shape[-2:]
    check_multiples("pixel_values", (height, width), divisor)


def is_integer(tensor: torch.Tensor) -> bool:
    """Whether the type is one of whole numbers."""
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


__all__ = ["check_images", "check_multiples", "is_integer"]

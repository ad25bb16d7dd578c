# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Image sizes and feature levels of timm backbones: transformers are built for one size unless told otherwise."""

import re
from typing import Any, NoReturn

import torch


# Of networks that take any size if a switch says so.
SIZE_SWITCHES = {
    r"swin(v2)?_": {"strict_img_size": False},
    r"(vit_(tiny|small|base|large|huge|giant)_patch|deit)": {"dynamic_img_size": True},
}


def size_switches(name: str) -> dict[str, Any]:
    """The switches by which the backbone of this timm name takes images of other sizes than it was trained on."""
    return next((dict(switches) for start, switches in SIZE_SWITCHES.items() if re.match(start, name)), {})


def refuse_size(name: str, size: tuple[int, int], error: Exception) -> NoReturn:
    """Say that a backbone does not take images of this (height, width); errors about anything else stay as they are.

    Raises:
        ValueError: with the remedy.
    """
    about_size = isinstance(error, AssertionError) or "size" in str(error)
    if not about_size or isinstance(error, torch.OutOfMemoryError):
        raise error
    reason = " ".join(str(error).split())[:120]
    height, width = size
    raise ValueError(
        f"backbone {name!r} does not take images of {height}x{width} ({reason}); give backbone_kwargs "
        f'{{"img_size": [{height}, {width}]}} if it knows that, the size of its training, or another backbone'
    ) from error


def check_levels(name: str, strides: list[int]) -> None:
    """Refuse a backbone whose levels a UNet cannot join.

    Raises:
        ValueError: strides that are no powers of two, or do not rise from level to level.
    """
    rising = all(before < after for before, after in zip(strides, strides[1:], strict=False))
    if rising and all(stride & (stride - 1) == 0 for stride in strides):
        return
    raise ValueError(
        f"backbone {name!r} gives levels of strides {', '.join(map(str, strides))}; the decoder needs rising powers "
        "of two: take a network of several scales (ConvNeXt, Swin, ResNet), or one level of this one, if its patches "
        "are of 8, 16 or 32 pixels, by backbone_out_indices=[-1]"
    )


__all__ = ["check_levels", "refuse_size", "size_switches"]

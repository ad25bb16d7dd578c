# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What networks give, as other libraries take it: images as diffusers has them, label maps as transformers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F


OUTPUT_TYPES = ("pil", "np", "pt", "np_uint8", "pt_uint8")


def images_as(images: torch.Tensor, output_type: str) -> Any:
    """Generated images in the form that was asked for.

    8 bits are (x + 1) * 127.5 in float32, rounded half to even, clamped; the same on every run.

    Args:
        images: (batch, 3, height, width) or (3, height, width) in [-1, 1]; what lies outside is clamped.
        output_type: one of `OUTPUT_TYPES`. As in diffusers: "pil" (list of RGB images), "np" (batch, height, width, 3)
            float32 in [0, 1], "pt" (batch, 3, height, width) float32 in [0, 1] on the device of `images`. In 8 bit:
            "np_uint8" and "pt_uint8", of the same shapes.

    Raises:
        ValueError: for another type or shape, and for numbers that are none.
    """
    check_output_type(output_type)
    images = images.detach()[None] if images.ndim == 3 else images.detach()
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images of shape {tuple(images.shape)}: expected (batch, 3, height, width)")
    if not torch.isfinite(images).all():
        raise ValueError("images hold NaN or infinite values: the generator's output is broken")
    if output_type in ("np", "pt"):
        images = (images.float() * 0.5 + 0.5).clamp(0, 1)
    else:
        images = ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    if output_type.startswith("pt"):
        return images
    arrays = images.permute(0, 2, 3, 1).cpu().contiguous().numpy()
    return [Image.fromarray(array) for array in arrays] if output_type == "pil" else arrays


def check_output_type(output_type: str) -> None:
    """Raise a ValueError that lists the legal ones."""
    if output_type not in OUTPUT_TYPES:
        known = ", ".join(f'"{name}"' for name in OUTPUT_TYPES)
        raise ValueError(f"output_type {output_type!r} is unknown: choose one of {known}")


def joined(parts: Sequence[Any], output_type: str) -> Any:
    """Images of several passes as one list, array or tensor; a list of single ones where their sizes differ."""
    if output_type == "pil" or len({tuple(part.shape[1:]) for part in parts}) > 1:
        return [image for part in parts for image in part]
    return np.concatenate(parts) if output_type.startswith("np") else torch.cat(list(parts))


def semantic_maps(outputs: Any, target_sizes: Sequence[tuple[int, int]] | torch.Tensor | None) -> list[torch.Tensor]:
    """The class of each pixel, by a segmenter's logits, as transformers' processors give it.

    Args:
        outputs: with `logits` (batch, classes, height, width), or a discriminator's `segmentation_logits`, whose last
            channel, "fake", is left out.
        target_sizes: (height, width) of each image, to which the logits are resized (bilinear) before the classes are
            taken; None leaves their size.

    Returns:
        One (height, width) int64 map for each image.

    Raises:
        ValueError: for a number of sizes that is not that of the images.
    """
    logits = getattr(outputs, "logits", None)
    if logits is None:
        logits = outputs["segmentation_logits"][:, :-1] if "segmentation_logits" in outputs else outputs["logits"]
    if target_sizes is None:
        return list(logits.argmax(dim=1))
    sizes = [tuple(int(side) for side in size) for size in target_sizes]
    if len(sizes) != len(logits):
        raise ValueError(f"{len(sizes)} target_sizes for {len(logits)} images: pass one (height, width) for each")
    resized = (
        F.interpolate(single[None].float(), size=size, mode="bilinear", align_corners=False)
        for single, size in zip(logits, sizes, strict=True)
    )
    return [single.argmax(dim=1)[0] for single in resized]


__all__ = ["OUTPUT_TYPES", "check_output_type", "images_as", "joined", "semantic_maps"]

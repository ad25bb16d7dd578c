# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The pipeline's forward passes: which images share one, and how the model runs through them."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from .image_processing_outputs import joined


QUIET_PASSES = 16  # no progress bar below this many forward passes


class Pass(NamedTuple):
    """What one forward pass of the generator takes, on the CPU.

    Args:
        label_map: (height, width) int64, of all its images.
        noise: (images, noise_dim), or (images, regions, noise_dim).
        regions: (height, width) int64, which noise each pixel obeys; None for one noise everywhere.
        offsets: (2, height, width) float32 of the objects; None for models that take none.
    """

    label_map: torch.Tensor
    noise: torch.Tensor
    regions: torch.Tensor | None
    offsets: torch.Tensor | None


def forward_passes(
    label_maps: Sequence[torch.Tensor],
    plans: Sequence[Sequence[tuple[torch.Tensor, torch.Tensor | None]]],
    offsets: Any,
    batch_size: int,
) -> list[Pass]:
    """All forward passes that a request needs, in the order of its images.

    Args:
        label_maps: (height, width) int64 each; their sizes may differ.
        plans: of each label map (noise of some images, map of its rows or None), see `region_noise`, `walk_noise`.
        offsets: (2, height, width) of each label map, or None.
        batch_size: images of a pass.
    """
    return [
        Pass(label_map, part, regions, None if offsets is None else torch.as_tensor(offsets[index]))
        for index, (label_map, plan) in enumerate(zip(label_maps, plans, strict=True))
        for noise, regions in plan
        for part in noise.split(batch_size)
    ]


class Reports(NamedTuple):
    """Who is told how far a request is.

    Args:
        progress_bar: wraps the passes, if there are QUIET_PASSES or more.
        on_image_end: called as on_image_end(index, total, image) for every image of a pass after it.
        on_step_end: called as on_step_end(pass, {"images": (images, 3, height, width) in [-1, 1]}) before that; where
            it returns a dict with "images", these take their place.
        interrupted: asked before each pass but the first; True ends the request with the images that there are.
    """

    progress_bar: Callable[[Iterable], Iterable] = iter
    on_image_end: Callable[[int, int, Any], None] | None = None
    on_step_end: Callable[[int, dict[str, torch.Tensor]], dict | None] | None = None
    interrupted: Callable[[], bool] = lambda: False


def generate_images(
    model: PreTrainedModel,
    processor: Any,
    passes: Sequence[Pass],
    output_type: str,
    autocast_dtype: torch.dtype | None = None,
    reports: Reports | None = None,
) -> list | np.ndarray | torch.Tensor:
    """Run a generator through forward passes and join the images.

    Args:
        model: the generator; it is put into evaluation mode.
        processor: turns what it generates into pictures or numbers.
        passes: see `forward_passes`.
        output_type: see `SemanticImageProcessor.postprocess`.
        autocast_dtype: see `computing_form`.
        reports: who is told; None is nobody.

    Returns:
        As `SemanticImageProcessor.postprocess`; a list of single images for arrays of different sizes.
    """
    reports = reports or Reports()
    device = model.eval().device
    model, autocast_dtype = computing_form(model, autocast_dtype)
    parts, done, total = [], 0, sum(len(single.noise) for single in passes)
    for step, single in enumerate(passes if len(passes) < QUIET_PASSES else reports.progress_bar(passes)):
        if step and reports.interrupted():
            break
        images = _pass_images(model, single, device, autocast_dtype)
        if reports.on_step_end is not None:
            images = (reports.on_step_end(step, {"images": images}) or {}).get("images", images)
        parts.append(processor.postprocess(images.float(), output_type))
        if reports.on_image_end is not None:
            for index, image in enumerate(parts[-1], start=done):
                reports.on_image_end(index, total, image)
        done += len(images)
    return joined(parts, output_type)


def _pass_images(
    model: PreTrainedModel, single: Pass, device: torch.device, autocast_dtype: torch.dtype | None
) -> torch.Tensor:
    """(images, 3, height, width) in [-1, 1]."""
    label_map, noise, regions, offsets = single
    inputs: dict[str, torch.Tensor | None] = {"noise": noise.to(device)}
    for name, value in (("label_map", label_map), ("noise_regions", regions), ("instance_offsets", offsets)):
        inputs[name] = None if value is None else value.to(device).expand(len(noise), *value.shape)
    with autocast(device, autocast_dtype):
        return model(**inputs).images


def computing_form(model: Any, dtype: torch.dtype | None) -> tuple[Any, torch.dtype | None]:
    """What computes the images, and what is left for `autocast`.

    A generator's fast form where it has one (see `SemanticGenerator.for_inference`), with None for the number type
    that it finds fastest; else the model itself. Models that are offloaded, compiled or in half precision are left as
    they are.
    """
    if dtype not in (None, torch.float32, torch.bfloat16) or not hasattr(type(model), "kept_for_inference"):
        return model, dtype
    if hasattr(model, "_hf_hook") or model.dtype not in (torch.float32, torch.bfloat16):
        return model, None if dtype == torch.float32 else dtype
    return model.kept_for_inference(dtype or "auto"), None


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    """Mixed precision in a `with` block; None computes in float32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


__all__ = ["Pass", "Reports", "autocast", "computing_form", "forward_passes", "generate_images"]

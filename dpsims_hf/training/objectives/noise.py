# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The noise of a batch in training, and what a generator makes of it."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Noise:
    """Noise of a batch.

    Args:
        vectors: (batch, noise_dim), or (batch, regions, noise_dim).
        regions: (batch, height, width), which vector each pixel obeys; None with one vector per image.
        texture_seed: (batch,) int64 of the generator's texture noise; None for a generator without.
        from_photo: (batch,) bool, whose vector tells the photo's appearance; None where the option is off.
    """

    vectors: torch.Tensor
    regions: torch.Tensor | None = None
    texture_seed: torch.Tensor | None = None
    from_photo: torch.Tensor | None = None

    @staticmethod
    def stacked(parts: "list[Noise]") -> "Noise":
        """One batch of several."""
        columns = ([getattr(part, entry.name) for part in parts] for entry in fields(Noise))
        return Noise(*(None if column[0] is None else torch.cat(column) for column in columns))


@dataclass(frozen=True)
class Draw:
    """A detached generator output, kept from D's half-step: a second image of each label map that costs nothing.

    Args:
        noise: what it was made from.
        images, features: what the generator gave.
    """

    noise: Noise
    images: torch.Tensor
    features: torch.Tensor | None


def generate(
    generator: nn.Module,
    batch: dict[str, torch.Tensor],
    noise: Noise,
    output_features: bool,
    from_photos: bool = False,
) -> Any:
    """Run the generator on a batch's label maps; `from_photos` shows it the photos, whose style it takes."""
    extra = {"instance_offsets": batch["instance_offsets"]} if "instance_offsets" in batch else {}
    if noise.texture_seed is not None:
        extra["texture_seed"] = noise.texture_seed
    if from_photos:
        extra["style_images"] = batch["pixel_values"]
    return generator(
        batch["label_map"],
        noise=noise.vectors,
        noise_regions=noise.regions,
        output_features=output_features,
        **extra,
    )


def sample_noise(
    generator: nn.Module,
    label_map: torch.Tensor,
    sampling: str,
    num_labels: int,
    rng: torch.Generator,
    coin: torch.Tensor | None = None,
) -> Noise:
    """Noise for label maps (OASIS App. A.7, Table I).

    Args:
        generator: the bare generator.
        label_map: (batch, height, width).
        sampling: one of `NOISE_SAMPLINGS`.
        num_labels: classes, void included.
        rng: a CPU generator.
        coin: scalar in [0, 1) on the CPU, decides for "mix"; None draws it. One coin serves a whole step, as in the
            paper.
    """
    noise = _sample_vectors(generator, label_map, sampling, num_labels, rng, coin)
    if not generator.config.texture_noise:
        return noise
    seeds = torch.randint(0, 2**30, (len(label_map),), generator=rng)
    return replace(noise, texture_seed=seeds.to(label_map.device))


def _sample_vectors(
    generator: nn.Module,
    label_map: torch.Tensor,
    sampling: str,
    num_labels: int,
    rng: torch.Generator,
    coin: torch.Tensor | None,
) -> Noise:
    count = len(label_map)
    if sampling == "mix":
        coin = torch.rand((), generator=rng) if coin is None else coin
        sampling = "region" if coin < 0.5 else "image"
    if sampling == "image":
        return Noise(generator.sample_noise(count, generator=rng).to(label_map.device))
    if sampling == "region":
        return Noise(generator.sample_noise(count, num_labels, rng).to(label_map.device), label_map)
    pixels = label_map[0].numel()
    regions = torch.arange(pixels, device=label_map.device).view(1, *label_map.shape[1:]).expand_as(label_map)
    return Noise(generator.sample_noise(count, pixels, rng).to(label_map.device), regions)


__all__ = ["Draw", "Noise", "generate", "sample_noise"]

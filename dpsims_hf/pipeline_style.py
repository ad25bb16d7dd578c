# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Style from a photo: the noise whose image has the photo's colours class by class, found by gradient descent.

One forward pass has no encoder for a photo's look (SPADE trains one); but noise steers light and colours, so the
look is searched for in the noise. Ours: none of the three papers has it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from diffusers.utils import BaseOutput
from torch.nn import functional as F
from transformers import PreTrainedModel

from .pipeline_instances import generator_offsets
from .pipeline_noise import check_has_noise


MIN_SHARE = 0.002  # of an image's pixels: below, a class's mean colour is that of an edge
LEARNING_RATE = 0.15  # of Adam: noise has unit variance
PRIOR = 0.5  # LAB units per unit by which the noise's mean square exceeds 1
MAX_STEPS = 1000


@dataclass
class StyleOutput(BaseOutput):
    """Noise for `pipe(label_map, noise=style.noise, resample_regions=style.noise_regions)`.

    Args:
        noise: (1, noise_dim), or (1, regions, noise_dim) with one vector per class.
        noise_regions: (height, width) int64, which vector each pixel obeys; None with one vector.
        distance: between the image's and the photo's colours, LAB units, see `style_distance`.
        start_distance: the same for the best of the seeds that the search began with.
        start_seed: that seed.
        labels: the classes that were compared.
    """

    noise: torch.Tensor
    noise_regions: torch.Tensor | None
    distance: float
    start_distance: float
    start_seed: int
    labels: list[int]


def rgb_to_lab(images: torch.Tensor) -> torch.Tensor:
    """sRGB to CIELAB (D65, 2 degrees), differentiable.

    Args:
        images: (..., 3, height, width) in [-1, 1].

    Returns:
        Of the same shape: L in [0, 100], a and b about [-128, 128].
    """
    values = ((images.float() + 1) / 2).clamp(0, 1)
    # The powers' arguments are kept off 0, where their gradients are infinite.
    linear = torch.where(values > 0.04045, ((values.clamp(min=0.04) + 0.055) / 1.055) ** 2.4, values / 12.92)
    to_xyz = linear.new_tensor(
        [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    )
    white = linear.new_tensor([0.95047, 1.0, 1.08883])
    xyz = torch.einsum("rc,...chw->...rhw", to_xyz / white[:, None], linear)
    root = torch.where(xyz > 0.008856, xyz.clamp(min=0.008) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def class_statistics(images: torch.Tensor, label_map: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """Mean and standard deviation of each class's colours.

    Args:
        images: (batch, 3, height, width) in [-1, 1].
        label_map: (height, width) int64, which has all of `labels`.
        labels: Classes.

    Returns:
        (batch, labels, 2, 3): means, then deviations, of L, a, b.
    """
    lab = rgb_to_lab(images).flatten(2)
    members = torch.stack([(label_map == label).flatten() for label in labels]).to(lab)
    weights = members / members.sum(dim=1, keepdim=True)
    means = torch.einsum("bcp,lp->blc", lab, weights)
    squares = torch.einsum("bcp,lp->blc", lab.square(), weights)
    deviations = (squares - means.square()).clamp(min=1e-2).sqrt()
    return torch.stack([means, deviations], dim=2)


def style_distance(statistics: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """How far colours lie from a photo's, class by class.

    Args:
        statistics: (batch, labels, 2, 3), see `class_statistics`.
        target: (labels, 2, 3), of the photo.

    Returns:
        (batch,): the distance of the means plus that of the deviations, LAB units, mean over the classes.
    """
    return (statistics - target).square().sum(dim=-1).add(1e-8).sqrt().sum(dim=-1).mean(dim=-1)


def shared_labels(label_map: torch.Tensor, photo_label_map: torch.Tensor, void: int | None) -> list[int]:
    """Classes that both maps have in MIN_SHARE of their pixels or more.

    Raises:
        ValueError: if there is none.
    """
    found = []
    for single in (label_map, photo_label_map):
        labels, counts = torch.unique(single, return_counts=True)
        found.append({int(label) for label in labels[counts >= MIN_SHARE * single.numel()]} - {void})
    shared = sorted(found[0] & found[1])
    if not shared:
        raise ValueError(
            f"the photo has no class of the label map: its classes are {sorted(found[1])}, the map's "
            f"{sorted(found[0])}; take another photo, or give photo_label_map"
        )
    return shared


def class_regions(label_map: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """(height, width) int64: 1 + its place in `labels` for a class of them, 0 for all others."""
    regions = torch.zeros_like(label_map)
    for number, label in enumerate(labels, start=1):
        regions[label_map == label] = number
    return regions


class StyleSearch:
    """The search for one label map and one photo.

    Args:
        model: the generator; its weights are left alone.
        label_map: (height, width) int64, the image's.
        target: (labels, 2, 3), see `class_statistics`.
        labels: the classes compared.
        offsets: (1, 2, height, width) of the objects; None for models that take none.
        per_class: one noise vector for each class compared, and one for the rest.
        on_image: called after each image of the search.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        label_map: torch.Tensor,
        target: torch.Tensor,
        labels: list[int],
        offsets: torch.Tensor | None,
        per_class: bool,
        on_image: Callable[[], None] = lambda: None,
    ) -> None:
        self.on_image = on_image
        self.model, self.labels = model, labels
        self.offsets = None if offsets is None else offsets.to(model.device)
        self.label_map = label_map.to(model.device)
        self.target = target.to(model.device)
        self.regions = class_regions(self.label_map, labels) if per_class else None

    def start(self, seed: int, number: int) -> tuple[int, torch.Tensor, float]:
        """The best of `number` seeds from `seed` on, its noise (1, regions, noise_dim), and its distance."""
        found = [float(self.distance(self.noise_of(single))) for single in range(seed, seed + number)]
        best = min(range(number), key=found.__getitem__)
        return seed + best, self.noise_of(seed + best), found[best]

    def noise_of(self, seed: int) -> torch.Tensor:
        """(1, regions, noise_dim): a seed's noise, the same for every region."""
        noise = self.model.sample_noise(1, generator=torch.Generator().manual_seed(seed))[:, None]
        return noise.expand(1, 1 if self.regions is None else len(self.labels) + 1, -1).clone()

    def distance(self, noise: torch.Tensor) -> torch.Tensor:
        """Of the image of a noise (1, regions, noise_dim)."""
        regions = None if self.regions is None else self.regions[None]
        images = self.model(self.label_map[None], noise, regions, instance_offsets=self.offsets).images
        distance = style_distance(class_statistics(images, self.label_map, self.labels), self.target)[0]
        self.on_image()
        return distance

    def descend(self, noise: torch.Tensor, steps: int) -> tuple[torch.Tensor, float]:
        """The best noise on the way of `steps` steps of Adam, its start included, and its distance."""
        noise = noise.clone().requires_grad_()
        optimizer = torch.optim.Adam([noise], lr=LEARNING_RATE, betas=(0.8, 0.9))
        best, smallest = noise.detach().clone(), float("inf")
        for step in range(steps + 1):
            with torch.enable_grad():
                distance = self.distance(noise)
                if not distance.requires_grad:
                    raise ValueError(
                        f"{type(self.model).__name__} gives no gradients here (ONNX, or a fast form); "
                        "match_style needs the network that the checkpoint holds"
                    )
                # Noise that no seed draws leaves what the generator has learned: its length stays near a seed's.
                excess = F.relu(noise.square().mean(dim=-1) - 1).mean()
                (noise.grad,) = torch.autograd.grad(distance + PRIOR * excess, noise)
            if (value := float(distance.detach())) < smallest:
                best, smallest = noise.detach().clone(), value
            if step < steps:
                optimizer.step()
        return best, smallest


def match_style(
    pipe: Any,
    label_map: Any,
    photo: Any,
    photo_label_map: Any = None,
    per_class: bool = False,
    seed: int = 0,
    num_seeds: int = 16,
    steps: int = 20,
    instance_map: Any = None,
    size: dict[str, int] | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> StyleOutput:
    """Find the noise whose image has a photo's colours class by class, by gradient descent.

    `pipe(label_map, noise=style.noise, resample_regions=style.noise_regions)` then makes the image. The same inputs
    give the same noise. The search starts from the best of `num_seeds` seeds and never ends above it.

    Args:
        pipe: a `SemanticImageSynthesisPipeline`, whose method this is.
        label_map, photo: one of each, whatever the processor takes.
        photo_label_map: the photo's classes; None asks the discriminator (`pipe.segment`).
        per_class: one noise vector for each class that both have, instead of one for the whole image: closer to the
            photo, and less of one light.
        seed, num_seeds: the seeds to start from: seed .. seed + num_seeds - 1.
        steps: of the descent.
        instance_map, size: as for images.
        callback: called as callback(done, total) after each image of the search, num_seeds + steps + 1 in all. What
            it raises ends the search.

    Raises:
        ValueError: for a model without noise or gradients, a photo without any of the map's classes, values out of
            range.
    """
    pipe._require_generator()
    _check_search(num_seeds, steps)
    model, processor = pipe.generator_model.eval(), pipe.processor
    check_has_noise(model.config.noise_dim)
    full = _one(processor(label_maps=label_map, size=size)["label_map"], "label_map")
    side = dict(zip(("height", "width"), full.shape, strict=True))
    pixels = processor(images=photo, size=side)["pixel_values"]
    _one(pixels, "photo")
    if photo_label_map is None:
        photo_label_map = pipe.segment(photo, size=side)
    photo_labels = _one(processor(label_maps=photo_label_map, size=side)["label_map"], "photo_label_map")
    labels = shared_labels(full, photo_labels, processor.void_label_id)
    target = class_statistics(pixels, photo_labels, labels)[0]

    offsets = generator_offsets(model.config, full[None], instance_map, None, processor)
    report = partial(_report, callback, count(1), num_seeds + steps + 1)
    search = StyleSearch(model, full, target, labels, offsets, per_class, report)
    with torch.no_grad():
        start_seed, start, start_distance = search.start(seed, num_seeds)
        noise, distance = search.descend(start, steps)
    regions = None if search.regions is None else search.regions.cpu()
    noise = (noise if per_class else noise[:, 0]).cpu()
    return StyleOutput(noise, regions, distance, start_distance, start_seed, labels)


def _report(callback: Callable[[int, int], None] | None, images: Iterator[int], total: int) -> None:
    if callback is not None:
        callback(next(images), total)


def _one(batch: torch.Tensor, name: str) -> torch.Tensor:
    if len(batch) != 1:
        raise ValueError(f"{name} holds {len(batch)} pictures; a style goes from one photo to one label map")
    return batch[0]


def _check_search(num_seeds: int, steps: int) -> None:
    for name, value, lowest in (("num_seeds", num_seeds, 1), ("steps", steps, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= MAX_STEPS:
            raise ValueError(f"{name}={value!r} must be a whole number in {lowest}..{MAX_STEPS}")


__all__ = [
    "StyleOutput",
    "StyleSearch",
    "class_regions",
    "class_statistics",
    "match_style",
    "rgb_to_lab",
    "shared_labels",
    "style_distance",
]

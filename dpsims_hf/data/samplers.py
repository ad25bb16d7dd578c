# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which training image comes when: rare-class weights (DP-SIMS Sec. 4.1), class frequencies, stateless sampling."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Sampler

from .transforms import stateless_generator


ORDER_STREAM = 1  # keeps the draws of the order apart from those of the augmentation (dataset.py)


def inverse_root_rarity(presence: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """f_k^(-1/2), k the rarest class of each image; 1 for an image without classes.

    Args:
        presence: (images, num_labels) bool, void left out.
        frequency: (num_labels,) share of images in which a class occurs.

    Returns:
        (images,) float64, at least 1.
    """
    return np.where(presence, frequency, 1.0).min(axis=1) ** -0.5


def without_void(class_presence: np.ndarray, void_label_id: int | None) -> np.ndarray:
    """A copy of (images, num_labels) bool in which void occurs nowhere."""
    presence = np.array(class_presence, dtype=bool)
    if void_label_id is not None:
        presence[:, void_label_id] = False
    return presence


def rare_class_weights(class_presence: np.ndarray, void_label_id: int | None = None) -> torch.Tensor:
    """Sampling probability of every training image: p ~ f_k^(-1/2) (DP-SIMS Sec. 4.1).

    f_c is the share of images in which class c occurs, k the class of the image with the smallest f. Void is no class
    here. An image of void alone counts as if its rarest class were everywhere (f = 1).

    Args:
        class_presence: (images, num_labels) bool.
        void_label_id: The label left out, or None.

    Returns:
        (images,) float64, sum 1.
    """
    shape = np.shape(class_presence)
    if len(shape) != 2 or not shape[0]:
        raise ValueError(f"class_presence of shape {shape}: expected (images, num_labels) with at least one image")
    presence = without_void(class_presence, void_label_id)
    weights = torch.from_numpy(inverse_root_rarity(presence, presence.mean(axis=0)))
    return weights / weights.sum()


@dataclass(frozen=True)
class ClassFrequencies:
    """In how many images each class occurs.

    Args:
        num_images: Images counted.
        images_with_class: One count per label; void, which is no class here, has 0.
        mean_weight: Mean of f_k^(-1/2) over the images, k the rarest class of each.
    """

    num_images: int
    images_with_class: tuple[int, ...]
    mean_weight: float

    @classmethod
    def from_presence(cls, class_presence: np.ndarray, void_label_id: int | None = None) -> "ClassFrequencies":
        """From (images, num_labels) bool."""
        presence = without_void(class_presence, void_label_id)
        if not len(presence):
            raise ValueError("class frequencies need at least one image")
        weights = inverse_root_rarity(presence, presence.mean(axis=0))
        return cls(len(presence), tuple(presence.sum(axis=0).tolist()), float(weights.mean()))

    def copies(self, presence: np.ndarray) -> np.ndarray:
        """How often images should appear if each appeared once on average: f_k^(-1/2) / mean.

        Args:
            presence: (images, num_labels) bool, void left out; a class that was not counted is as rare as one image.

        Returns:
            (images,) float64.
        """
        frequency = np.maximum(self.images_with_class, 1) / self.num_images
        return inverse_root_rarity(presence, frequency) / self.mean_weight

    def to_json(self, path: str | Path) -> None:
        """Write a file for `from_json`."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, path: str | Path, num_labels: int) -> "ClassFrequencies":
        """Read a file of `to_json`.

        Raises:
            ValueError: no such file, another file, or frequencies of another label space.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            counts = tuple(int(count) for count in content["images_with_class"])
            frequencies = cls(int(content["num_images"]), counts, float(content["mean_weight"]))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: no file of class frequencies ({error!r}); "
                "write one with python -m dpsims_hf.data.class_frequencies"
            ) from None
        if len(counts) != num_labels:
            raise ValueError(f"{path}: counts of {len(counts)} labels, but the set has {num_labels}")
        return frequencies


class DrawSampler(Sampler[tuple[int, int]]):
    """Yields (index, draw) for draw = first_draw .. num_draws-1; the dataset augments from `draw`.

    The index of draw p depends on (seed, p // epoch length, p % epoch length) only; an epoch is as long as the data
    set. All processes iterate the same sampler and accelerate deals the batches out; skipping batches skips draws.

    Args:
        num_draws: Samples in the whole run (steps x global batch size).
        dataset_len: Images in the dataset.
        weights: (images,) probabilities, drawn with replacement; None shuffles each epoch without replacement.
        seed: Seed of the order.
        first_draw: Begin with this draw (a run that goes on), as if those before it had been skipped.
    """

    def __init__(
        self,
        num_draws: int,
        dataset_len: int,
        weights: torch.Tensor | None = None,
        seed: int = 0,
        first_draw: int = 0,
    ) -> None:
        if num_draws < 0 or first_draw < 0 or dataset_len < 1:
            raise ValueError(
                f"num_draws {num_draws} and first_draw {first_draw} must be >= 0 and dataset_len {dataset_len} >= 1"
            )
        if weights is not None and len(weights) != dataset_len:
            raise ValueError(f"{len(weights)} weights for {dataset_len} images: pass one weight per image")
        self.num_draws, self.dataset_len, self.weights, self.seed = num_draws, dataset_len, weights, seed
        self.first_draw = first_draw

    def epoch_order(self, epoch: int) -> list[int]:
        """The image indices of one epoch, in order."""
        generator = stateless_generator(self.seed, ORDER_STREAM, epoch)
        if self.weights is None:
            return torch.randperm(self.dataset_len, generator=generator).tolist()
        return torch.multinomial(self.weights, self.dataset_len, replacement=True, generator=generator).tolist()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        last = self.first_draw + len(self)
        for epoch in range(self.first_draw // self.dataset_len, -(-last // self.dataset_len)):
            first, order = epoch * self.dataset_len, self.epoch_order(epoch)
            for draw in range(max(first, self.first_draw), min(first + self.dataset_len, last)):
                yield order[draw - first], draw

    def __len__(self) -> int:
        return max(0, self.num_draws - self.first_draw)


__all__ = ["ClassFrequencies", "DrawSampler", "inverse_root_rarity", "rare_class_weights", "without_void"]

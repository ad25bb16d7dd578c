# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Resize, crop and flip of photo, label map and instance map together.

Every random number comes from the generator that is passed in; without one this is the plain evaluation resize.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from ...image_processing_files import nearest_indices, resize_nearest, resize_photo
from .label_perturbation import perturb_labels


def stateless_generator(*key: int) -> torch.Generator:
    """A CPU generator that depends on `key` (integers) only.

    Keys that differ anywhere give unrelated streams, so (seed 0, draw 1) and (seed 1, draw 0) share nothing. With
    draws numbered this way there is no random state to save, and a resumed run sees what an uninterrupted one sees.
    """
    # Not NumPy's SeedSequence: it pads with zeros, so (0, 1) and (0, 1, 0) would be one stream.
    digest = hashlib.blake2b(repr(tuple(int(part) for part in key)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


@dataclass(frozen=True)
class JointTransform:
    """Random scale, random crop of exactly `size`, random flip (no colour jitter: the photo is the target).

    Args:
        size: (height, width) of what comes out.
        scale_range: The pair is first resized to `size` times a factor drawn uniformly from here; at least 1.0.
            (286/256, 286/256) is the resize-then-crop of SPADE and OASIS.
        horizontal_flip: Probability of a mirror image.
        keep_aspect: Resize by one factor, so that the pair just covers `size` (times the scale), and crop; without
            draws the crop is the middle. False stretches to `size`.
        label_perturbation: See `perturb_labels`; only with draws.
    """

    size: tuple[int, int]
    scale_range: tuple[float, float] = (1.0, 1.0)
    horizontal_flip: float = 0.5
    keep_aspect: bool = False
    label_perturbation: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if min(self.size) < 1:
            raise ValueError(f"size {self.size} must be (height, width) of at least one pixel")
        if not 1.0 <= low <= high:
            raise ValueError(f"scale_range {self.scale_range} must be (low, high) with 1.0 <= low <= high")
        if not 0.0 <= self.horizontal_flip <= 1.0:
            raise ValueError(f"horizontal_flip {self.horizontal_flip} must be a probability in [0, 1]")
        if self.label_perturbation < 0:
            raise ValueError(f"label_perturbation {self.label_perturbation} must be at least 0")

    @property
    def is_scale_fixed(self) -> bool:
        """Whether every draw resizes a pair to the same size."""
        return self.scale_range[0] == self.scale_range[1]

    def full_size(self, source: tuple[int, int], scale: float) -> tuple[int, int]:
        """(height, width) to which a pair of size `source` is resized before the crop."""
        height, width = self.size
        if self.keep_aspect:
            factor = max(height / source[0], width / source[1]) * scale
            return max(height, round(source[0] * factor)), max(width, round(source[1] * factor))
        return max(height, round(height * scale)), max(width, round(width * scale))

    def prepared(
        self, photo: np.ndarray, label_map: np.ndarray, instance_map: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """What may stand for the originals without changing any augmented sample: all three at the size before the
        crop if the scale is fixed, else the originals themselves.
        """
        if not self.is_scale_fixed:
            return photo, label_map, instance_map
        size = self.full_size(label_map.shape, self.scale_range[0])
        instance_map = None if instance_map is None else resize_nearest(instance_map, *size)
        return resize_photo(photo, *size), resize_nearest(label_map, *size), instance_map

    def __call__(
        self,
        photo: np.ndarray,
        label_map: np.ndarray,
        instance_map: np.ndarray | None = None,
        generator: torch.Generator | None = None,
        is_prepared: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Transform one sample.

        Args:
            photo: (height, width, 3) uint8.
            label_map: (height, width) integers, same size as the photo.
            instance_map: (height, width) integers or None.
            generator: Source of the draws; None resizes to `size` without scale, crop or flip.
            is_prepared: The three come from `prepared`.

        Returns:
            The same three at `size`; values of label and instance map survive exactly.
        """
        height, width = self.size
        scale, top_share, left_share, flip = 1.0, 0.5, 0.5, 1.0
        if generator is not None:  # always four draws, so one option does not shift the draws of another
            scale, top_share, left_share, flip = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
            scale = self.scale_range[0] + scale * (self.scale_range[1] - self.scale_range[0])
        full_height, full_width = self.full_size(label_map.shape, scale)
        if is_prepared and self.is_scale_fixed:
            full_height, full_width = label_map.shape
        top = int(top_share * (full_height - height + 1))
        left = int(left_share * (full_width - width + 1))
        step = -1 if flip < self.horizontal_flip else 1

        photo = resize_photo(photo, full_height, full_width)[top : top + height, left : left + width][:, ::step]
        # Nearest resize and crop in one indexing: the same pixel centres as the photo's resize.
        rows = nearest_indices(label_map.shape[0], full_height)[top : top + height, None]
        columns = nearest_indices(label_map.shape[1], full_width)[left : left + width][::step]
        label_map = label_map[rows, columns]
        instance_map = None if instance_map is None else instance_map[rows, columns]
        if generator is not None:
            label_map, instance_map = perturb_labels(label_map, self.label_perturbation, generator, instance_map)
        return photo, label_map, instance_map


__all__ = ["JointTransform", "stateless_generator"]

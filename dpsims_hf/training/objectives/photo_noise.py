# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Noise that tells the generator what its photo looks like: light, and the colours of its classes.

A generator that is compared with the photo of its label map learns to ignore noise that says nothing about the photo:
all seeds look alike. Here the first components of z are the photo's own appearance (mean colour and contrast of each
class), whitened over the dataset, so that over all photos they are distributed like the N(0, I) that is drawn when
there is no photo. What G learns to read from them, a seed then chooses. It takes the place of the encoder of SPADE
(Park et al., 2019, Sec. 3), which is trained and pulled to N(0, I) by a loss. Not in DP-SIMS.
"""

import logging

import numpy as np
import torch

from ...data import SemanticImageDataset


logger = logging.getLogger("train")

STATISTICS = 4  # per class: mean of red, green, blue, and the deviation of their average
MAX_CLASSES = 16  # the most frequent ones
MIN_SHARE = 0.004  # of a picture's pixels; smaller regions say too little
MAX_PHOTOS = 400
EXPLAINED = 0.98  # share of the variance that the kept components explain


def appearance(pixel_values: torch.Tensor, label_map: torch.Tensor, classes: list[int]) -> torch.Tensor:
    """Colour and contrast of each class in one picture.

    Args:
        pixel_values: (3, height, width) in [-1, 1].
        label_map: (height, width) int64.
        classes: which classes.

    Returns:
        (len(classes) * 4,) float64: means of red, green and blue, and the deviation of their average; NaN where a
        class is absent or covers too little.
    """
    pixels, labels = pixel_values.flatten(1).double().cpu(), label_map.flatten().cpu()
    values = torch.cat([pixels, pixels.mean(dim=0, keepdim=True)]).T  # (pixels, 4): red, green, blue, grey
    size = int(labels.max()) + 1
    counts = torch.bincount(labels, minlength=size).double()
    sums = torch.zeros(size, STATISTICS, dtype=torch.float64).index_add_(0, labels, values)
    squares = torch.zeros(size, dtype=torch.float64).index_add_(0, labels, values[:, 3] ** 2)
    result = torch.full((len(classes), STATISTICS), float("nan"), dtype=torch.float64)
    for row, label in enumerate(classes):
        if label < size and counts[label] >= MIN_SHARE * len(labels):
            mean = sums[label] / counts[label]
            deviation = (squares[label] / counts[label] - mean[3] ** 2).clamp(min=0).sqrt()
            result[row] = torch.cat([mean[:3], deviation[None]])
    return result.flatten()


class PhotoNoise:
    """Turns a photo into noise that is N(0, I) over the dataset; see the head of this file.

    Args:
        rows: (photos, classes * 4) float64, `appearance` of photos, NaN where unknown.
        classes: of the columns.
        noise_dim: length of a noise vector; at most three quarters of it are used.
    """

    def __init__(self, rows: torch.Tensor, classes: list[int], noise_dim: int) -> None:
        self.classes, self.noise_dim = classes, noise_dim
        known = ~rows.isnan()
        filled = torch.where(known, rows, 0.0)
        counts = known.sum(dim=0).clamp(min=1)
        self.mean = filled.sum(dim=0) / counts
        centred = torch.where(known, rows - self.mean, 0.0)
        self.scale = (centred.square().sum(dim=0) / counts).sqrt().clamp(min=1e-3)
        self.covariance = _fit_covariance(torch.where(known, centred / self.scale, float("nan")))
        values, vectors = torch.linalg.eigh(self.covariance)
        values, vectors = values.flip(0), vectors.flip(1)
        share = values.cumsum(0) / values.sum()
        kept = min(int((share < EXPLAINED).sum()) + 1, 3 * noise_dim // 4)
        self.projection = vectors[:, :kept] / values[:kept].sqrt()

    @property
    def dimensions(self) -> int:
        """How many components of z the appearance takes."""
        return self.projection.shape[1]

    @classmethod
    def fit(cls, dataset: SemanticImageDataset, noise_dim: int, void_label_id: int | None) -> "PhotoNoise":
        """Measure up to 400 photos of a dataset, evenly spread over it; the same at every call."""
        order = np.linspace(0, len(dataset) - 1, min(len(dataset), MAX_PHOTOS)).round().astype(int).tolist()
        samples = [dataset[index] for index in order]
        presence = torch.stack(
            [torch.bincount(s["label_map"].flatten(), minlength=dataset.spec.num_labels) for s in samples]
        )
        often = (presence >= MIN_SHARE * samples[0]["label_map"].numel()).sum(dim=0)
        if void_label_id is not None:
            often[void_label_id] = 0
        ranked = often.argsort(descending=True, stable=True).tolist()
        classes = sorted(label for label in ranked[:MAX_CLASSES] if often[label] >= 2)
        if not classes:
            raise ValueError("loss.photo_noise: no class covers enough of two photos; set it to 0")
        rows = torch.stack([appearance(s["pixel_values"], s["label_map"], classes) for s in samples])
        fitted = cls(rows, classes, noise_dim)
        logger.info(
            "noise from photos: colours of %d classes in %d of %d components",
            len(classes),
            fitted.dimensions,
            noise_dim,
        )
        return fitted

    def __call__(
        self, pixel_values: torch.Tensor, label_map: torch.Tensor, noise: torch.Tensor, rng: torch.Generator
    ) -> torch.Tensor:
        """Put a photo's appearance in the first components of its noise.

        Args:
            pixel_values: (3, height, width) in [-1, 1].
            label_map: (height, width) int64.
            noise: (noise_dim,) drawn from N(0, I), for all that the photo does not tell.
            rng: CPU generator; what the photo does not show is drawn from the dataset's distribution given what it
                shows.

        Returns:
            (noise_dim,) like `noise`.
        """
        row = (appearance(pixel_values, label_map, self.classes) - self.mean) / self.scale
        row = _complete(row, self.covariance, torch.randn(len(row), generator=rng, dtype=torch.float64))
        code = (row @ self.projection).clamp(-3.5, 3.5)
        return torch.cat([code.to(noise), noise[self.dimensions :]])


def _fit_covariance(rows: torch.Tensor, rounds: int = 15, ridge: float = 0.02) -> torch.Tensor:
    """Covariance of standardised rows with gaps (NaN), by expectation-maximisation for a Gaussian of mean 0."""
    size = rows.shape[1]
    identity = torch.eye(size, dtype=torch.float64)
    covariance = identity.clone()
    for _ in range(rounds):
        total = torch.zeros_like(covariance)
        for row in rows:
            mean, spread = _conditional(row, covariance)
            total += torch.outer(mean, mean) + spread
        covariance = (1 - ridge) * total / len(rows) + ridge * identity
    return covariance


def _conditional(row: torch.Tensor, covariance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of a row given its known entries."""
    known = ~row.isnan()
    mean, spread = torch.where(known, row, 0.0), torch.zeros_like(covariance)
    if known.all():
        return mean, spread
    gaps = ~known
    across = covariance[gaps][:, known]
    gain = torch.linalg.solve(covariance[known][:, known], across.T).T if known.any() else across
    mean[gaps] = gain @ row[known]
    block = covariance[gaps][:, gaps] - gain @ across.T
    spread[gaps.nonzero(), gaps.nonzero().T] = block
    return mean, spread


def _complete(row: torch.Tensor, covariance: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Fill the gaps of a row by a draw given its known entries."""
    gaps = row.isnan()
    mean, spread = _conditional(row, covariance)
    if gaps.any():
        block = spread[gaps][:, gaps] + 1e-9 * torch.eye(int(gaps.sum()), dtype=torch.float64)
        mean[gaps] = mean[gaps] + torch.linalg.cholesky(block) @ draws[gaps]
    return mean


__all__ = ["PhotoNoise", "appearance"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Feature vectors of real and generated images, kept by image number: the state of FID, KID and precision/recall.

Vectors are kept, never images: 5,000 vectors of 2048 float32 values are 41 MB. Sums would be smaller, but a sum
depends on its order; sorted by image number, the same vectors give the same bits however they were sharded.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image


# (n, 3, height, width) uint8 -> (n, dimensions) float: the contract of torchmetrics' `feature` modules too
Extractor = Callable[[torch.Tensor], torch.Tensor]

_SAME_IMAGE = 0.05  # relative distance up to which two vectors can be one image seen in two batches or precisions


class FeatureSet:
    """A growing set of (image number, float32 vector). Any sharding, merged, gives the same `ordered()`.

    A number that comes twice counts once (distributed loaders pad the last batch with repeated images); the first
    vector stays.
    """

    def __init__(self) -> None:
        self._indices: list[np.ndarray] = []
        self._features: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(np.unique(np.concatenate(self._indices))) if self._indices else 0

    @property
    def dimensions(self) -> int | None:
        """Length of the vectors; None while the set is empty."""
        return self._features[0].shape[1] if self._features else None

    def add(self, indices: Sequence[int] | None, features: Any) -> None:
        """Keep the vectors of some images.

        Args:
            indices: (n,) image numbers, unique over all processes; None counts on from the largest number so far,
                which is right in one process only.
            features: (n, dimensions) floating, a tensor on any device, an array or a list of vectors.

        Raises:
            ValueError: wrong shape or type, values that are not finite, other dimensions than before.
        """
        indices, features = self.check(indices, features)
        if len(features):
            self._indices.append(indices)
            self._features.append(features)

    def check(self, indices: Sequence[int] | None, features: Any) -> tuple[np.ndarray, np.ndarray]:
        """What `add` would store: (n,) int64 and (n, dimensions) float32. Raises as `add`; stores nothing."""
        features = _as_matrix(features)
        if self.dimensions not in (None, features.shape[1]) and len(features):
            raise ValueError(f"features have {features.shape[1]} dimensions, the earlier ones {self.dimensions}")
        if indices is None:
            start = 1 + max((int(chunk.max()) for chunk in self._indices), default=-1)
            indices = range(start, start + len(features))
        indices = np.array(indices, dtype=np.int64)  # copies: the caller may reuse its buffers
        if indices.shape != (len(features),):
            raise ValueError(f"{len(features)} feature vectors came with indices of shape {indices.shape}: one each")
        return indices, features

    def merge(self, other: "FeatureSet") -> None:
        """Take over what another process collected; `other` stays as it is."""
        if None not in (self.dimensions, other.dimensions) and self.dimensions != other.dimensions:
            raise ValueError(f"cannot merge features of {other.dimensions} dimensions into {self.dimensions}")
        self._indices += other._indices
        self._features += other._features

    def ordered(self) -> np.ndarray:
        """(n, dimensions) float32, sorted by image number, each number once.

        Raises:
            ValueError: the set is empty, or a number came with two different vectors (numbers that are not unique).
        """
        if not self._features:
            raise ValueError("no features were added: give at least two images")
        indices, features = np.concatenate(self._indices), np.concatenate(self._features)
        numbers, first, position = np.unique(indices, return_index=True, return_inverse=True)
        if len(numbers) == len(indices):
            return features[first]
        repeated = np.setdiff1d(np.arange(len(indices)), first)
        for row in repeated:
            kept = features[first[position[row]]]
            if np.linalg.norm(features[row] - kept) > _SAME_IMAGE * np.linalg.norm(kept):
                raise ValueError(f"index {indices[row]} came with two different vectors: number the images uniquely")
        return features[first]


class RealFakeFeatures:
    """The two sets that FID, KID and precision/recall compare. They may differ in size."""

    def __init__(self) -> None:
        self.real, self.fake = FeatureSet(), FeatureSet()

    def add(
        self,
        predictions: Any = None,
        references: Any = None,
        indices: Sequence[int] | None = None,
        extractor: Extractor | None = None,
    ) -> None:
        """Add generated and real images; if anything is wrong with either, nothing is added.

        Args:
            predictions: Generated: feature vectors, or images; None for none.
            references: Real, in the same form; None for none.
            indices: (n,) image numbers, valid for both; None counts on.
            extractor: Turns images into vectors, see `extract_features`; None takes the Inception of `fid_legacy`,
                whose weights are downloaded once.
        """
        sides = [(self.fake, "predictions", predictions), (self.real, "references", references)]
        dimensions = {side.dimensions for side in (self.real, self.fake)} - {None}
        checked = []
        for side, name, items in sides:
            if items is None:
                continue
            if extractor is None and _are_images(items):
                extractor = _legacy_inception()
            vectors = extract_features(items, extractor) if extractor else _as_vectors(items, name)
            checked.append((side, *side.check(indices, vectors)))
            dimensions.add(checked[-1][2].shape[1])
        if len(dimensions) > 1:
            raise ValueError(
                f"features have {sorted(dimensions)} dimensions: real and generated need the same extractor"
            )
        for side, numbers, vectors in checked:
            side.add(numbers, vectors)

    def merge(self, other: "RealFakeFeatures") -> None:
        """Take over what another process collected."""
        self.real.merge(other.real)
        self.fake.merge(other.fake)

    def ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """(real, fake), each (n, dimensions) float32. Raises ValueError if one of them is empty."""
        for name, side in (("references (real images)", self.real), ("predictions (generated images)", self.fake)):
            if not len(side):
                raise ValueError(f"no {name} were added: both sets are needed")
        return self.real.ordered(), self.fake.ordered()


def as_image(image: Any) -> np.ndarray:
    """One picture as (height, width, 3) uint8: from PIL in any mode, or an array or tensor like it."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    image = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(
            f"an image is {image.dtype} of shape {image.shape}; give PIL or uint8 (height, width, 3)"
            + _conversion(image)
        )
    return image


def _conversion(image: np.ndarray) -> str:
    """How to make a picture of what looks like one."""
    steps = "np.asarray(image)"
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        steps += ".transpose(1, 2, 0)"
    elif image.ndim != 3 or image.shape[2] != 3:
        return ""
    if image.dtype.kind == "f" and image.size:
        scale = f"(255 * {steps})" if image.min() >= 0 else f"(127.5 * ({steps} + 1))"
        steps = f"{scale}.round().clip(0, 255).astype(np.uint8)"
    elif image.dtype != np.uint8:
        return ""
    return f"; for each: {steps}" if steps != "np.asarray(image)" else ""


@torch.no_grad()
def extract_features(images: Sequence[Any], extractor: Extractor, batch_size: int = 32) -> np.ndarray:
    """Run an extractor over pictures, in batches of neighbours of one size.

    Args:
        images: PIL images or uint8 arrays (height, width, 3); sizes may differ.
        extractor: (n, 3, height, width) uint8 on the CPU -> (n, dimensions) float on any device. It resizes and scales
            as its protocol says.
        batch_size: Images per call, at most.

    Returns:
        (len(images), dimensions) float32.
    """
    arrays = [as_image(image) for image in images]
    vectors, start = [], 0
    while start < len(arrays):
        stop = start + 1
        while stop < min(start + batch_size, len(arrays)) and arrays[stop].shape == arrays[start].shape:
            stop += 1
        batch = torch.from_numpy(np.stack(arrays[start:stop])).permute(0, 3, 1, 2).contiguous()
        vectors.append(_as_matrix(extractor(batch)))
        if len(vectors[-1]) != stop - start:
            raise ValueError(f"the extractor gave {len(vectors[-1])} vectors for {stop - start} images: one each")
        start = stop
    if not vectors:
        raise ValueError("no images were given: the list is empty")
    return np.concatenate(vectors)


def _as_vectors(items: Any, name: str) -> np.ndarray:
    if not len(items):
        raise ValueError(f"{name} is empty: give at least one feature vector")
    return _as_matrix(items)


def _are_images(items: Any) -> bool:
    return len(items) > 0 and (isinstance(items[0], Image.Image) or np.ndim(items[0]) == 3)


@cache
def _legacy_inception() -> Extractor:
    from ..features import load_extractor

    return load_extractor("inception")


def _as_matrix(features: Any) -> np.ndarray:
    """(n, dimensions) float32 copy, checked."""
    if isinstance(features, Sequence) and len(features) and isinstance(features[0], torch.Tensor):
        features = torch.stack([vector.detach().cpu() for vector in features])
    if isinstance(features, torch.Tensor):
        features = features.detach().cpu()
        features = (features.float() if features.is_floating_point() else features).numpy()
    features = np.asarray(features)
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
        raise ValueError(
            f"features are {features.dtype} of shape {features.shape}; give floats of shape (n, dimensions)"
        )
    features = features.astype(np.float32)
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinity: check the extractor and its input")
    return features

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Improved precision and recall (Kynkäänniemi et al. 2019) of feature sets."""

import numpy as np


_CHUNK = 1024  # rows of the distance matrix held at once: 1024 x 5000 float64 are 41 MB
_ROUNDING = 1e-11  # relative error of a squared distance from a matrix product


def improved_precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Share of generated images inside the real manifold (precision), and of real ones inside the generated (recall).

    The manifold of a set is the union of balls around its points; a ball's radius is the distance to the point's k-th
    nearest neighbour in its own set, itself not counted (Kynkäänniemi et al., Eq. 1 and 2; they use k = 3).

    Args:
        real: (n_real, dimensions).
        fake: (n_fake, dimensions).
        k: Neighbour whose distance is the radius.

    Returns:
        (precision, recall), each in [0, 1]. Values for different k or n do not compare.
    """
    real, fake = (np.asarray(features, dtype=np.float64) for features in (real, fake))
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features of shapes {real.shape} and {fake.shape} do not fit; give (n, dimensions) each")
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(f"k={k} with {len(real)} real, {len(fake)} generated: k must be 1 or more, below both")
    centre = real.mean(axis=0)  # small norms keep squared distances exact to about 1e-15 of them
    real, fake = real - centre, fake - centre
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points: np.ndarray, manifold: np.ndarray, k: int) -> float:
    radii = np.concatenate([_squared_radii(manifold, start, k) for start in range(0, len(manifold), _CHUNK)])
    inside = 0
    for start in range(0, len(points), _CHUNK):
        chunk = points[start : start + _CHUNK]
        # A point on the edge is inside; without the allowance, rounding could put a copy outside a ball of radius 0.
        allowance = _ROUNDING * (np.sum(chunk**2, axis=1)[:, None] + np.sum(manifold**2, axis=1))
        inside += int((_squared_distances(chunk, manifold) <= radii + allowance).any(axis=1).sum())
    return inside / len(points)


def _squared_radii(features: np.ndarray, start: int, k: int) -> np.ndarray:
    distances = _squared_distances(features[start : start + _CHUNK], features)
    rows = np.arange(len(distances))
    distances[rows, start + rows] = np.inf  # a point is not its own neighbour
    return np.partition(distances, k - 1, axis=1)[:, k - 1]


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)
    return np.maximum(squares - 2 * (a @ b.T), 0.0)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Fréchet distance (FID, Heusel et al. 2017) and kernel distance (KID, Binkowski et al. 2018) of feature sets."""

import warnings

import numpy as np


def gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a set, as FID fits them.

    Args:
        features: (n, dimensions), n >= 2.

    Returns:
        (dimensions,) and (dimensions, dimensions), float64; the covariance is divided by n - 1.
    """
    features = _as_float64(features, "features")
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 images, not {len(features)}")
    mean = features.mean(axis=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)) in float64.

    The trace of the root is the sum of the singular values of cov_a^(1/2) cov_b^(1/2). That is symmetric and stable
    for singular covariances, where a matrix square root of the product fails or turns complex.

    Args:
        mean_a: (dimensions,).
        cov_a: (dimensions, dimensions), symmetric.
        mean_b: As mean_a.
        cov_b: As cov_a.

    Returns:
        The squared distance, not below 0.
    """
    mean_a, cov_a, mean_b, cov_b = (np.asarray(x, dtype=np.float64) for x in (mean_a, cov_a, mean_b, cov_b))
    size = len(mean_a) if mean_a.ndim == 1 else None
    if mean_b.shape != (size,) or cov_a.shape != (size, size) or cov_b.shape != (size, size):
        shapes = ", ".join(str(x.shape) for x in (mean_a, cov_a, mean_b, cov_b))
        raise ValueError(f"means and covariances of shapes {shapes} do not fit; expected (d,), (d, d), (d,), (d, d)")
    if not all(np.isfinite(x).all() for x in (mean_a, cov_a, mean_b, cov_b)):
        raise ValueError("means or covariances hold NaN or infinity: check the features")
    roots = np.linalg.svd(_root(cov_a).T @ _root(cov_b), compute_uv=False)
    distance = np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * roots.sum()
    return max(float(distance), 0.0)  # rounding must not give a negative distance


def fid(real: np.ndarray, fake: np.ndarray) -> float:
    """Fréchet distance of two feature sets.

    Args:
        real: (n_real, dimensions).
        fake: (n_fake, dimensions); the sets may differ in size.

    Warns:
        UserWarning: a set has no more images than dimensions. The value is defined, but strongly biased upwards.
    """
    _check_dimensions(real, fake)
    for name, features in (("real", real), ("generated", fake)):
        images, dimensions = np.shape(features)
        if images <= dimensions:
            warnings.warn(
                f"{images} {name} images for {dimensions} feature dimensions: the covariance is singular and FID is "
                "biased upwards; compare only with values from the same number of images",
                stacklevel=2,
            )
    return frechet_distance(*gaussian(real), *gaussian(fake))


def kid(
    real: np.ndarray, fake: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Kernel distance: unbiased squared MMD with the kernel (x.y / dimensions + 1)^3, over random subsets.

    Args:
        real: (n_real, dimensions).
        fake: (n_fake, dimensions).
        subsets: How many pairs of subsets are drawn.
        subset_size: Images per subset, drawn without replacement; at most the smaller set.
        seed: Of the draws.

    Returns:
        Mean and standard deviation (over the subsets, not of the mean). The mean can fall slightly below 0.
    """
    real, fake = _check_dimensions(real, fake)
    available = min(len(real), len(fake))
    if not 2 <= subset_size <= available:
        raise ValueError(
            f"subset_size={subset_size} with {len(real)} real, {len(fake)} generated: pass subset_size= "
            f"of 2 to {available}"
        )
    if subsets < 1:
        raise ValueError(f"subsets={subsets}: draw at least 1")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        chosen_real = real[rng.choice(len(real), subset_size, replace=False)]
        chosen_fake = fake[rng.choice(len(fake), subset_size, replace=False)]
        values.append(_squared_mmd(chosen_real, chosen_fake))
    return float(np.mean(values)), float(np.std(values))


def _root(covariance: np.ndarray) -> np.ndarray:
    """F with F F^T = covariance. Eigenvalues below the rounding of the largest are zeros that rounding moved."""
    values, vectors = np.linalg.eigh(covariance)
    limit = len(values) * np.finfo(np.float64).eps * np.abs(values).max(initial=0.0)
    return vectors * np.sqrt(np.where(values > limit, values, 0.0))


def _squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased estimate for two sets of one size m: pairs of an image with itself are left out within a set."""
    size, dimensions = a.shape
    within = 0.0
    for features in (a, b):
        kernel = (features @ features.T / dimensions + 1) ** 3
        within += kernel.sum() - np.trace(kernel)
    across = ((a @ b.T / dimensions + 1) ** 3).sum()
    return within / (size * (size - 1)) - 2 * across / size**2


def _check_dimensions(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, fake = _as_float64(real, "real"), _as_float64(fake, "fake")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real features have {real.shape[1]} dimensions, generated {fake.shape[1]}: one extractor")
    return real, fake


def _as_float64(features: np.ndarray, name: str) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
        raise ValueError(f"{name} is {features.dtype} of shape {features.shape}; give floats of shape (n, dimensions)")
    return features.astype(np.float64)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Is anything labelled at all? A set that is void throughout would train to its end with a loss of zero."""

import warnings

import numpy as np


MOST = 0.5  # share of void pixels above which a set is warned of


def empty_maps(pixel_counts: np.ndarray, void_label_id: int | None) -> list[int]:
    """Rows of label maps that were read and have no labelled pixel.

    Args:
        pixel_counts: (images, num_labels), a row of zeros for a map that could not be read.
        void_label_id: The label that means "unknown", or None.
    """
    if void_label_id is None:
        return []
    pixels = pixel_counts.sum(axis=1)
    return np.flatnonzero((pixels > 0) & (pixel_counts[:, void_label_id] == pixels)).tolist()


def void_share(pixel_counts: np.ndarray, void_label_id: int | None) -> float:
    """Share of void pixels, in [0, 1]."""
    total = int(pixel_counts.sum())
    return 0.0 if void_label_id is None or not total else int(pixel_counts[:, void_label_id].sum()) / total


def check_labelled(pixel_counts: np.ndarray, void_label_id: int | None, name: str) -> None:
    """Refuse a set without a labelled pixel, and warn of one that is mostly void.

    Args:
        pixel_counts: As in `empty_maps`.
        void_label_id: As in `empty_maps`.
        name: What messages call the set.

    Raises:
        ValueError: every pixel is void.
    """
    share = void_share(pixel_counts, void_label_id)
    look = "python -m dpsims_hf.data.inspect shows how the files are read; --label_reading says how they are meant"
    if share == 1.0:
        raise ValueError(f"{name}: no labelled pixel in {len(pixel_counts)} label maps, all are void; {look}")
    if share > MOST:
        count = len(empty_maps(pixel_counts, void_label_id))
        warnings.warn(
            f"{name}: {100 * share:.1f} % of the pixels are void, {count} of {len(pixel_counts)} label maps have no "
            f"labelled pixel; {look}",
            stacklevel=3,
        )


__all__ = ["check_labelled", "empty_maps", "void_share"]

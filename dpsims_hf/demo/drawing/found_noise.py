# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Noise that was found for a photo and stands in the place of a seed's: exact, and as JSON content."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...configuration_limits import MAX_LABELS, NAME
from ...configuration_rules import Items, Text, shortened


MAX_NUMBERS = 100_000  # of all vectors together
LARGEST = 1000.0  # of a number; noise is of about unit size
SHORT_NAME = Text(1000)


@dataclass(frozen=True)
class FoundNoise:
    """One noise vector for all pixels, or one for the rest and one for each of some classes.

    Args:
        data: (1 + len(labels), noise_dim) float32, little-endian; the row of the rest comes first.
        labels: names of the classes that have a vector of their own.
        photo: name of the photo that it was found for.
        model: name of the model that it was found with.
    """

    data: bytes
    labels: tuple[str, ...] = ()
    photo: str = "photo"
    model: str = ""

    def __post_init__(self) -> None:
        numbers, rest = divmod(len(self.data), 4)
        if rest or not 0 < numbers <= MAX_NUMBERS or numbers % (1 + len(self.labels)):
            raise ValueError(
                f"noise of {len(self.data):,} bytes is illegal: legal are up to {MAX_NUMBERS:,} numbers of 4 bytes, "
                f"in {1 + len(self.labels)} vectors of one length"
            )
        largest = np.abs(self.rows).max()  # NaN stays NaN
        if not largest <= LARGEST:
            raise ValueError(f"noise has a number of size {largest:g}: legal is up to {LARGEST:g}")

    @property
    def rows(self) -> np.ndarray:
        """(1 + len(labels), noise_dim) float32."""
        return np.frombuffer(self.data, "<f4").reshape(1 + len(self.labels), -1)

    @property
    def noise_dim(self) -> int:
        """Numbers of a vector."""
        return self.rows.shape[1]

    def vectors(self) -> torch.Tensor:
        """(1 + len(labels), noise_dim) float32."""
        return torch.from_numpy(self.rows.astype(np.float32))  # a copy: bytes cannot be written to


def found_noise(rows: torch.Tensor, labels: tuple[str, ...] = (), photo: str = "photo", model: str = "") -> FoundNoise:
    """Of vectors.

    Args:
        rows: (1 + len(labels), noise_dim).
        labels, photo, model: see `FoundNoise`.
    """
    return FoundNoise(rows.cpu().numpy().astype("<f4").tobytes(), labels, photo, model)


def noise_content(noise: FoundNoise) -> dict[str, Any]:
    """JSON content for `read_noise`; the numbers as base64 of 4 bytes each, little-endian, so that none is rounded."""
    text = base64.b64encode(noise.data).decode()
    return {"noise": text, "labels": list(noise.labels), "photo": noise.photo, "model": noise.model}


def read_noise(content: Any) -> FoundNoise:
    """Inverse of `noise_content`; takes what /match_style calls `style` as well, where the numbers are written out.

    Raises:
        ValueError: anything else; one line.
    """
    if not isinstance(content, dict) or not {"noise", "labels"} <= content.keys():
        raise ValueError(f"look={shortened(content)} is illegal: legal is a table with noise and labels")
    noise, labels = content["noise"], content["labels"]
    Items(NAME, 0, MAX_LABELS).check("look.labels", labels)
    if len(set(labels)) < len(labels):
        raise ValueError("look.labels names a class twice")
    if isinstance(noise, list) and len(noise) == 1:  # one for all pixels; the labels say what was compared
        labels = []
    data = _from_text(noise) if isinstance(noise, str) else _from_rows(noise, 1 + len(labels))
    photo, model = content.get("photo", "photo"), content.get("model", "")
    SHORT_NAME.check("look.photo", photo)
    SHORT_NAME.check("look.model", model)
    return FoundNoise(data, tuple(labels), photo, model)


def _from_text(text: str) -> bytes:
    if len(text) > 6 * MAX_NUMBERS:
        raise ValueError(f"look.noise has {len(text):,} characters: legal are up to {6 * MAX_NUMBERS:,}")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("look.noise is no base64 text") from None


def _from_rows(rows: Any, count: int) -> bytes:
    if not isinstance(rows, list) or len(rows) != count or not all(isinstance(row, list) for row in rows):
        raise ValueError(f"look.noise={shortened(rows)} is illegal: legal are {count} lists of numbers")
    if sum(map(len, rows)) > MAX_NUMBERS or len(set(map(len, rows))) > 1:
        raise ValueError(f"look.noise: legal are lists of one length, up to {MAX_NUMBERS:,} numbers in all")
    for number in (number for row in rows for number in row):
        if not isinstance(number, int | float) or isinstance(number, bool) or not abs(number) <= LARGEST:  # nor NaN
            raise ValueError(f"look.noise holds {shortened(number)}: legal are numbers of size up to {LARGEST:g}")
    return np.array(rows, dtype="<f4").tobytes()


__all__ = ["FoundNoise", "found_noise", "noise_content", "read_noise"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Small drawn street scenes in the local data layout: something to train and test on that needs no download."""

from pathlib import Path

import numpy as np
from PIL import Image

from .specs import SPEC_FILE, DatasetSpec


SKY, BUILDING, ROAD, CAR, VOID = range(5)
SYNTHETIC_SPEC = DatasetSpec(
    name="synthetic_streets",
    labels=("sky", "building", "road", "car", "void"),
    palette=((70, 130, 180), (128, 0, 0), (128, 64, 128), (64, 0, 128), (0, 0, 0)),
    void_label_id=VOID,
    void_values=(255,),
    stuff_ids=(SKY, BUILDING, ROAD, VOID),
)


def draw_scene(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one scene: sky over houses over a road, up to three cars, a void strip (bonnet) on most pictures.

    Args:
        size: (height, width).
        seed: The scene depends on it and on `size` only.

    Returns:
        Photo (height, width, 3) uint8, label file values (height, width) uint8 (void = 255), and the instance map
        (height, width) uint8 (cars 1, 2, ...; 0 = none).
    """
    rng = np.random.default_rng(seed)
    height, width = size
    labels = np.full(size, SKY, dtype=np.uint8)
    instances = np.zeros(size, dtype=np.uint8)
    horizon = int(height * rng.uniform(0.5, 0.65))
    left = 0
    while left < width:  # a row of houses of different heights, with gaps of sky
        house = max(2, int(width * rng.uniform(0.1, 0.3)))
        if rng.random() < 0.8:
            labels[int(horizon * rng.uniform(0.2, 0.8)) : horizon, left : left + house] = BUILDING
        left += house
    labels[horizon:] = ROAD
    for instance in range(1, int(rng.integers(0, 4)) + 1):
        car_height, car_width = (
            max(2, int(height * rng.uniform(0.1, 0.2))),
            max(3, int(width * rng.uniform(0.12, 0.25))),
        )
        bottom = int(rng.uniform(horizon + 1, height - 1))
        start = int(rng.integers(0, max(1, width - car_width)))
        box = (slice(max(0, bottom - car_height), bottom), slice(start, start + car_width))
        labels[box], instances[box] = CAR, instance
    if rng.random() < 0.7:
        labels[height - max(1, height // 16) :] = 255
        instances[height - max(1, height // 16) :] = 0
    return _paint(labels, instances, horizon, rng), labels, instances


def _paint(labels: np.ndarray, instances: np.ndarray, horizon: int, rng: np.random.Generator) -> np.ndarray:
    """A picture that agrees with the labels: one colour per class and scene, light from above, class-wise texture."""
    height, width = labels.shape
    rows, columns = np.mgrid[0:height, 0:width]
    light = rng.uniform(0.7, 1.1)
    photo = np.empty((height, width, 3), dtype=np.float64)
    base = {SKY: (140, 180, 225), BUILDING: (165, 120, 95), ROAD: (95, 95, 100), 255: (25, 25, 30)}
    for value, color in base.items():
        photo[labels == value] = np.array(color) * light + rng.uniform(-15, 15, 3)
    for instance in range(1, int(instances.max()) + 1):
        photo[instances == instance] = rng.uniform(30, 220, 3)
    windows = (labels == BUILDING) & (rows % 6 < 2) & (columns % 6 < 3)
    photo[windows] *= 0.5
    photo[labels == SKY] += ((horizon - rows) / max(1, horizon) * -40)[labels == SKY][:, None]
    photo += rng.normal(0, 4, (height, width, 1))
    return np.clip(photo, 0, 255).astype(np.uint8)


def write_synthetic_dataset(
    directory: str | Path, num_train: int = 8, num_val: int = 4, size: tuple[int, int] = (32, 64), seed: int = 0
) -> Path:
    """Write {train,val}/{images,labels,instances} and classes.json.

    Args:
        directory: Created if missing.
        num_train: Scenes in train/.
        num_val: Scenes in val/; no scene of train/ occurs there.
        size: (height, width).
        seed: Same seed, same files.

    Returns:
        The directory.
    """
    directory = Path(directory)
    for split, count, first in (("train", num_train, 0), ("val", num_val, num_train)):
        folders = {kind: directory / split / kind for kind in ("images", "labels", "instances")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            drawn = draw_scene(size, seed * 1_000_003 + number)
            for folder, array in zip(folders.values(), drawn, strict=True):
                Image.fromarray(array).save(folder / f"scene_{number:04d}.png")
    SYNTHETIC_SPEC.to_json(directory / SPEC_FILE)
    return directory


__all__ = ["SYNTHETIC_SPEC", "draw_scene", "write_synthetic_dataset"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Small datasets in the folders, file names and value encodings of Cityscapes, ADE20K and COCO-Stuff."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


SIZE = (32, 64)
CITYSCAPES_TRAIN_IDS = {  # labels.py of cityscapesScripts: id -> trainId; every other id is 255
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14},
    **{28: 15, 31: 16, 32: 17, 33: 18},
}


def blocks(values: list[int], seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(height, width) int64 of 4x4 blocks with random values, each of `values` at least once."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(values, size[0] // 4 * (size[1] // 4))
    cells[rng.permutation(len(cells))[: len(values)]] = values
    return np.kron(cells.reshape(size[0] // 4, size[1] // 4), np.ones((4, 4), dtype=np.int64))


def save(path: Path, array: np.ndarray) -> Path:
    """Save as an image; the format follows from the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def photo(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def cityscapes(root: Path, train_ids: bool = False) -> dict[str, dict[str, np.ndarray]]:
    """leftImg8bit and gtFine with labelIds (8 bit) and instanceIds (16 bit), also the empty labels of test.

    Returns:
        "label_map" and "instance_map" as stored, by "SPLIT/NAME".
    """
    labels, instances = {}, {}
    names = [("train", "aachen", 0), ("train", "bochum", 1), ("val", "frankfurt", 2), ("test", "berlin", 3)]
    for split, city, seed in names:
        stem = f"{city}_{seed:06d}_000019"
        save(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", photo(seed))
        values = blocks(list(range(34)), seed) if split != "test" else np.zeros(SIZE, dtype=np.int64)
        numbers = blocks([0, 1, 2], seed + 100)
        things = np.isin(values, range(24, 34)) & (numbers > 0)  # number 0: a group, which has the class alone
        ids = np.where(things, values * 1000 + numbers - 1, values)
        folder = root / "gtFine" / split / city
        save(folder / f"{stem}_gtFine_labelIds.png", values.astype(np.uint8))
        save(folder / f"{stem}_gtFine_instanceIds.png", ids.astype(np.uint16))
        save(folder / f"{stem}_gtFine_color.png", photo(seed))
        if train_ids:
            trained = np.vectorize(lambda value: CITYSCAPES_TRAIN_IDS.get(value, 255))(values)
            save(folder / f"{stem}_gtFine_labelTrainIds.png", trained.astype(np.uint8))
        key = f"{split}/{city}/{stem}"
        labels[key], instances[key] = values, ids
    return {"label_map": labels, "instance_map": instances}


def ade20k(root: Path, instances: bool = False) -> dict[str, dict[str, np.ndarray]]:
    """ADEChallengeData2016: annotations hold 0 (other) and 1..150; annotations_instance R category, G object."""
    labels, objects = {}, {}
    for split, stem, seed in [
        ("training", "ADE_train_1", 0),
        ("training", "ADE_train_2", 1),
        ("validation", "ADE_val_1", 2),
    ]:
        base = root / "ADEChallengeData2016"
        save(base / "images" / split / f"{stem}.jpg", photo(seed))
        values = blocks([0, 1, 13, 21, 149, 150], seed)
        save(base / "annotations" / split / f"{stem}.png", values.astype(np.uint8))
        if instances:
            numbers = np.where(values == 13, blocks([1, 2, 200], seed + 50), 0)
            rgb = np.stack([(values == 13) * 5, numbers, numbers * 0], axis=-1).astype(np.uint8)
            save(base / "annotations_instance" / split / f"{stem}.png", rgb)
            objects[f"{split}/{stem}"] = numbers
        labels[f"{split}/{stem}"] = values
    return {"label_map": labels, "instance_map": objects}


def coco_stuff(root: Path, panoptic: bool = False) -> dict[str, dict[str, np.ndarray]]:
    """train2017, val2017 and stuffthingmaps (category id - 1; 255 unlabeled); panoptic RGB PNGs with their JSON.

    Segments: two people (category 1), a crowd of people, merged sky (187), stuff 92; 0 is void.
    """
    labels, segments = {}, {}
    for split, numbers in (("train2017", (9, 25)), ("val2017", (139,))):
        annotations = []
        for number in numbers:
            stem = f"{number:012d}"
            save(root / split / f"{stem}.jpg", photo(number))
            values = blocks([0, 1, 91, 181, 255], number)
            save(root / "stuffthingmaps" / split / f"{stem}.png", values.astype(np.uint8))
            labels[f"{split}/{stem}"] = values
            if panoptic:
                people = blocks([3_000_001, 70_000, 12_345_678], number + 1)  # the last one is the crowd
                stuff = np.select([values == 255, values == 91], [0, 500], 900_000)
                ids = np.where(values == 0, people, stuff)
                rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
                save(root / "annotations" / f"panoptic_{split}" / f"{stem}.png", rgb)
                rows = [(3_000_001, 1, 0), (70_000, 1, 0), (12_345_678, 1, 1), (500, 92, 0), (900_000, 187, 0)]
                info = [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in rows]
                annotations.append({"image_id": number, "file_name": f"{stem}.png", "segments_info": info})
                segments[f"{split}/{stem}"] = ids
        if panoptic:
            file = root / "annotations" / f"panoptic_{split}.json"
            file.write_text(json.dumps({"annotations": annotations, "categories": []}))
    return {"label_map": labels, "instance_map": segments}

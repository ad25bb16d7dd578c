# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Instance files of the known datasets -> one id per object; crowds, groups, stuff and void are no objects."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...image_processing_files import instance_numbers, listing


INSTANCE_ENCODINGS = {
    "ids": "one number per object, 0 = none; an RGB file is R + 256 G + 256^2 B",
    "cityscapes": "class * 1000 + number for objects; groups and stuff have the class alone, below 1000",
    "coco_panoptic": "segment id = R + 256 G + 256^2 B, 0 = void; segments_info says what each is",
    "ade20k": "RGB of annotations_instance: R is the category, G the object, 0 = none",
}
CITYSCAPES_FIRST = 1000


def instance_ids(
    values: np.ndarray,
    encoding: str = "ids",
    label_map: np.ndarray | None = None,
    thing_ids: Iterable[int] | None = None,
    segments_info: Sequence[Mapping[str, Any]] | None = None,
    source: str = "instance map",
) -> np.ndarray:
    """Decode an instance file.

    Args:
        values: (height, width) integers, or (height, width, 3 or 4) uint8; alpha means nothing.
        encoding: A key of INSTANCE_ENCODINGS.
        label_map: (height, width) class ids; given, pixels of all labels but `thing_ids` get 0.
        thing_ids: Labels that have objects (void is none of them); None: all.
        segments_info: For coco_panoptic, the image's entries {"id", "category_id", "iscrowd"}. Crowds get 0, and so
            do categories that are not in `thing_ids` (a category id is a label id). Without it neither is known.
        source: What errors call the file.

    Returns:
        (height, width) int32, 0 = no object.

    Raises:
        ValueError: an unknown encoding, values that do not fit it, or segments without an entry.
    """
    if encoding not in INSTANCE_ENCODINGS:
        raise ValueError(f"{source}: instance encoding {encoding!r} is not one of {', '.join(INSTANCE_ENCODINGS)}")
    things = None if thing_ids is None else {int(label) for label in thing_ids}
    if encoding == "ade20k":
        ids = _channels(values, encoding, source)[..., 1].astype(np.int32)
    else:
        ids = instance_numbers(values, source)
        if encoding == "cityscapes":
            ids = np.where(ids >= CITYSCAPES_FIRST, ids, 0)
        elif encoding == "coco_panoptic" and segments_info is not None:
            ids = _only_objects(ids, segments_info, things, source)
    if label_map is not None and things is not None:
        if label_map.shape != ids.shape:
            raise ValueError(f"{source}: size {ids.shape} differs from the label map's {label_map.shape}")
        ids = np.where(np.isin(label_map, sorted(things)), ids, 0)
    return ids.astype(np.int32)


def compact_ids(ids: np.ndarray) -> np.ndarray:
    """Ids that fit a 16-bit file: unchanged if they do, else 1, 2, ... in their order; (height, width) uint16.

    Raises:
        ValueError: more than 65535 objects.
    """
    if ids.max(initial=0) <= 0xFFFF:
        return ids.astype(np.uint16)
    found, inverse = np.unique(np.append(ids.ravel(), 0), return_inverse=True)  # 0 is there, and comes first
    if len(found) > 0x10000:
        raise ValueError(f"{len(found) - 1} objects in one image do not fit a 16-bit PNG; merge the smallest")
    return inverse[:-1].reshape(ids.shape).astype(np.uint16)


def _channels(values: np.ndarray, encoding: str, source: str) -> np.ndarray:
    if values.ndim != 3 or values.shape[-1] not in (3, 4) or values.dtype != np.uint8:
        raise ValueError(
            f"{source}: the instance encoding {encoding} is an 8-bit RGB file, this is {values.dtype} of shape "
            f"{values.shape}; name the encoding that it has"
        )
    return values[..., :3]


def _only_objects(
    ids: np.ndarray, segments_info: Sequence[Mapping[str, Any]], things: set[int] | None, source: str
) -> np.ndarray:
    objects = [0]
    for segment in segments_info:
        category = int(segment["category_id"])
        if not segment.get("iscrowd", 0) and (things is None or category in things):
            objects.append(int(segment["id"]))
    unknown = np.setdiff1d(ids, [0, *(int(segment["id"]) for segment in segments_info)])
    if len(unknown):
        raise ValueError(
            f"{source}: segment id {listing(unknown.tolist())} is not in segments_info; take the JSON of the same "
            "images"
        )
    return np.where(np.isin(ids, objects), ids, 0)


__all__ = ["INSTANCE_ENCODINGS", "compact_ids", "instance_ids"]

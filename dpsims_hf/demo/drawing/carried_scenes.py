# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A label map in the classes of another model: by their names, and at a size that it can draw."""

from collections.abc import Sequence

import numpy as np

from ..models.library import LoadedModel
from .scenes import Scene


def map_labels(label_map: np.ndarray, labels: Sequence[str], target: Sequence[str], name: str) -> np.ndarray:
    """The same classes in the numbers of another model, by their names.

    Args:
        label_map: (height, width) ids of `labels`.
        labels, target: names by id.
        name: of the other model, for the message.

    Raises:
        ValueError: a class of the map does not exist there; all such are named.
    """
    if tuple(labels) == tuple(target):  # names may stand twice
        return label_map
    number = {label: index for index, label in reversed(list(enumerate(target)))}
    used = np.unique(label_map).tolist()
    missing = [labels[index] for index in used if labels[index] not in number]
    if missing:
        raise ValueError(
            f"model {name!r} has no class {', '.join(map(repr, missing))}: choose a model with the classes of this "
            "label map, or a label map without them"
        )
    table = np.zeros(len(labels), dtype=np.int64)
    table[used] = [number[labels[index]] for index in used]
    return table[label_map]


def carried_scene(model: LoadedModel, scene: Scene) -> tuple[Scene, list[str]]:
    """The scene in another model's classes and at its size, and the names of the classes that it lacks.

    Their pixels become the model's void class, or its first one.

    Raises:
        ValueError: the model has none of the classes.
    """
    known = set(model.labels)
    used = np.unique(scene.label_map).tolist()
    missing = [scene.labels[label] for label in used if scene.labels[label] not in known]
    if tuple(scene.labels) == model.labels or not missing or len(missing) == len(used):
        carried = scene_for(model, scene)
    else:
        void = model.processor.void_label_id
        stand_in = model.labels[0 if void is None else void]
        labels = tuple(name if name in known else stand_in for name in scene.labels)
        carried = scene_for(model, Scene(scene.name, scene.label_map, labels))
    return Scene(carried.name, _at_legal_size(model, carried.label_map), carried.labels), missing


def no_match(missing: Sequence[str]) -> str:
    """What the page says of the classes that a model lacks."""
    return f". No match in this model for {', '.join(missing)}: drawn as unknown" if missing else ""


def _at_legal_size(model: LoadedModel, label_map: np.ndarray) -> np.ndarray:
    divisor = model.processor.size_divisor
    return label_map if not any(side % divisor for side in label_map.shape) else model.fit(label_map)


def scene_for(model: LoadedModel, scene: Scene) -> Scene:
    """The scene in another model's classes; ValueError if it lacks one."""
    return Scene(scene.name, map_labels(scene.label_map, scene.labels, model.labels, model.name), model.labels)


__all__ = ["carried_scene", "map_labels", "no_match", "scene_for"]

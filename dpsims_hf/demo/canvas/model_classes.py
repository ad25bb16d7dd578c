# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Between the canvas and a model: its classes, and the scene on it."""

from typing import Any

import gradio as gr
import numpy as np

from ..drawing.carried_scenes import carried_scene
from ..drawing.scenes import Scene
from ..models.library import MAX_STRETCH, LoadedModel
from .label_canvas import decode_runs


# What a newcomer paints first: an object, by its name.
OBJECTS = ("car", "vehicle", "tree", "person", "pedestrian", "building", "vegetation", "house", "window", "door")


def model_classes(model: LoadedModel) -> dict[str, Any]:
    """The arguments of `LabelCanvas` that a model decides: classes, eraser, the first brush, and the legal sizes.

    Args:
        model: under the paint is its void class if it has one, else its first class.
    """
    palette, void = model.processor.palette, model.processor.void_label_id
    classes = [{"id": i, "name": name, "color": list(palette[i])} for i, name in enumerate(model.labels)]
    height, width = model.training_size
    return {
        "classes": classes,
        "eraser_label": 0 if void is None else void,
        "first_label": first_label(model.labels, void),
        "owner": model.name,
        "fit": {"height": height, "width": width, "divisor": model.processor.size_divisor, "stretch": MAX_STRETCH},
    }


def first_label(labels: tuple[str, ...], void: int | None) -> int:
    """The id of the class that the brush starts with: an object if there is one with a known name."""
    named = [labels.index(name) for name in OBJECTS if name in labels]
    others = [label for label in range(len(labels)) if label != void]
    return (named or others or [0])[0]


def canvas_scene(model: LoadedModel, label_map: np.ndarray | None, name: str) -> Any:
    """The session's scene of what is on a canvas; an empty one leaves it as it is.

    Args:
        model: whose classes the canvas has.
        label_map: (height, width) class ids, or None.
        name: of the scene.
    """
    return gr.skip() if label_map is None else Scene(name, label_map, model.labels)


def kept_scene(model: LoadedModel, name: str, content: Any) -> Scene:
    """The scene of a map as the browser keeps it (label_canvas_keeper.js), in the classes of a model.

    Raises:
        ValueError, LookupError, TypeError: it is none, or in none of these classes.
    """
    labels = tuple(str(entry["name"])[:200] for entry in content["classes"])
    return carried_scene(model, Scene(name, decode_runs(content, len(labels)), labels))[0]


__all__ = ["canvas_scene", "kept_scene", "model_classes"]

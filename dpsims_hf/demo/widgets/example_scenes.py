# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The scenes that one can start from: the drawn examples, for models of their label space, and an empty canvas."""

import math
from functools import lru_cache
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from ..drawing.example_maps import example_paths
from ..models.library import LoadedModel


MOST_IN_A_ROW = 5  # more are cut off beside the canvas


def blank_map(model: LoadedModel) -> np.ndarray:
    """(height, width): one class everywhere, at the training size."""
    return np.zeros(model.training_size, dtype=np.int64)


def example_gallery(model: LoadedModel, elem_id: str, blank: bool = True, render: bool = True) -> gr.Gallery:
    """Thumbnails to click.

    Args:
        model: whose label space decides what is offered.
        elem_id: of the gallery.
        blank: whether an empty canvas is the last entry.
        render: put it onto the page that is open; False for an event's answer.
    """
    entries = [(_thumbnail(path), path.stem.replace("_", " ")) for path in example_paths(model.labels)]
    if blank:
        color = tuple(model.processor.palette[0])
        entries.append((Image.new("RGB", model.training_size[::-1], color), f"empty: all {model.labels[0]}"))
    rows = math.ceil(len(entries) / MOST_IN_A_ROW) or 1
    return gr.Gallery(
        entries,
        show_label=False,
        container=False,
        format="png",
        columns=math.ceil(max(2, len(entries)) / rows),
        rows=rows,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id=elem_id,
        elem_classes="thumbnails",
        visible=bool(entries),
        render=render,
    )


@lru_cache
def _thumbnail(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


__all__ = ["blank_map", "example_gallery"]

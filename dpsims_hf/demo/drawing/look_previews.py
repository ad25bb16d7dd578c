# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The looks of a model on the present scene: which image each of them is, and small pictures of them."""

from dataclasses import replace

from PIL import Image

from ...image_processing_files import resize_nearest
from ..models.library import LoadedModel
from ..models.model_looks import ModelLook, look_of_seed
from ..models.turns import stand_back
from .scenes import Reroll, Scene, Variant, render
from .variants import fitting, scene_key


SMALLER = 2  # times, on each side: a fourth of the work
PREVIEW_SECONDS = 20.0  # that all of them may compute; a slower model shows names alone


def with_look(variant: Variant, look: ModelLook) -> Variant:
    """The image that one looks at in a look of the model: parts that were re-rolled stay as they are."""
    return Variant(look.seed, variant.rerolls)


def look_name(model: LoadedModel, variant: Variant) -> str:
    """The name of the model's look that a variant has, "" for none."""
    return "" if variant.noise is not None else look_of_seed(model.looks, variant.seed)


def previews_key(model: LoadedModel, scene: Scene, variant: Variant) -> str:
    """Equal where `draw_previews` draws the same."""
    return f"{scene_key(model.name, scene)} {variant.rerolls!r}"


def draw_previews(model: LoadedModel, scene: Scene, variant: Variant) -> list[Image.Image]:
    """A small picture of each look, one after the other, each when nobody else waits for the model.

    Args:
        model: whose looks they are; it draws.
        scene: in its classes.
        variant: the image looked at, whose re-rolls the looks have as well.

    Returns:
        One image for each look; none if they would take longer than PREVIEW_SECONDS.

    Raises:
        ValueError: the page's budget, or nobody waits for them any more.
    """
    stand_back()
    small = smaller_scene(model, scene)
    if model.cost.seconds(small.label_map.shape) * len(model.looks) > PREVIEW_SECONDS:
        return []
    rerolls = tuple(_on(reroll, scene, small) for reroll in variant.rerolls)
    start = fitting(replace(variant, rerolls=rerolls, noise=None), small, model)
    return render(model, small, [with_look(start, look) for look in model.looks])


def smaller_scene(model: LoadedModel, scene: Scene) -> Scene:
    """The scene as its thumbnails are drawn."""
    divisor = model.processor.size_divisor
    height, width = (max(1, round(side / SMALLER / divisor)) * divisor for side in scene.label_map.shape)
    return Scene(scene.name, resize_nearest(scene.label_map, height, width), scene.labels)


def _on(reroll: Reroll, scene: Scene, small: Scene) -> Reroll:
    """The same re-roll of the smaller scene."""
    if reroll.point is None:
        return reroll
    row, column = (
        min(int((place + 0.5) * to / size), to - 1)
        for place, to, size in zip(reroll.point, small.label_map.shape, scene.label_map.shape, strict=True)
    )
    return replace(reroll, point=(row, column))


__all__ = ["draw_previews", "look_name", "previews_key", "smaller_scene", "with_look"]

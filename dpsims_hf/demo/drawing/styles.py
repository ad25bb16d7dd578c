# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The style of a photo for a drawn scene: `pipe.match_style` within the page's budget, and what is written of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...image_processing_files import resize_photo
from ...pipeline_noise import check_has_noise
from ..models.library import LoadedModel, working_size
from ..models.turns import image_turn, pass_on
from .found_noise import FoundNoise, found_noise
from .photo_segmentation import proposal_size, propose
from .scenes import Deadline, Scene, Variant, render


SEEDS, STEPS = 16, 20  # that the search looks at, of its descent
# Of the budget. The plain network takes about twice as long as the form that draws, and thrice that with gradients.
IMAGES = 2 * (SEEDS + 3 * (STEPS + 1)) + 1
MAX_MAP_DISTANCE = 0.02  # of two aspect ratios: a photo and its label map show the same


class Style(NamedTuple):
    """What came of it.

    Args:
        image: the scene in the photo's colours.
        photo: as it was compared, at a legal size of the model.
        photo_label_map: its classes, (height, width) int64.
        content: JSON content, from which the pipeline makes the image again.
        variant: the image as one of the page.
    """

    image: Image.Image
    photo: Image.Image
    photo_label_map: np.ndarray
    content: dict[str, Any]
    variant: Variant


def take_style(
    model: LoadedModel,
    scene: Scene,
    photo: Image.Image,
    photo_label_map: np.ndarray | None = None,
    per_class: bool = False,
    each: Callable[[int, int], None] | None = None,
    name: str = "photo",
) -> Style:
    """Find the noise whose image of a scene has a photo's colours, and draw it.

    Args:
        model: it draws.
        scene: the label map.
        photo: RGB, any size.
        photo_label_map: (height, width) ids of the model's classes; None asks the model's discriminator.
        per_class: each class may have a noise of its own.
        each: gets the number of images looked at, and of all of them.
        name: of the photo.

    Raises:
        ValueError: a model without noise, no class in common, no discriminator that could label, the page's budget.
    """
    check_has_noise(model.pipe.generator_model.config.noise_dim)
    model.check_cost(scene.label_map.shape, IMAGES)
    photo, photo_label_map = _labelled(model, photo, photo_label_map)
    deadline = Deadline()

    def between(done: int, total: int) -> None:
        if each is not None:
            each(done, total)
        pass_on()
        deadline.check()

    height, width = scene.label_map.shape
    arguments: dict[str, Any] = {"size": {"height": height, "width": width}}
    label_map = scene.label_map.astype(np.int64)
    with image_turn():
        style = model.pipe.match_style(
            label_map,
            photo,
            photo_label_map,
            per_class=per_class,
            num_seeds=SEEDS,
            steps=STEPS,
            callback=between,
            **arguments,
        )
        variant = Variant(style.start_seed, noise=_found(model, scene, style, name))
        image = render(model, scene, [variant])[0]
    return Style(image, photo, photo_label_map, _content(model, scene, style, variant), variant)


def _found(model: LoadedModel, scene: Scene, style: Any, photo: str) -> FoundNoise:
    """By class names, of which a label space may have one twice: then the first one counts."""
    if style.noise_regions is None:
        return found_noise(style.noise, photo=photo, model=model.name)
    rows: dict[str, int] = {}
    for row, label in enumerate(style.labels, start=1):
        rows.setdefault(scene.labels[label], row)
    return found_noise(style.noise[0, [0, *rows.values()]], tuple(rows), photo, model.name)


def _labelled(model: LoadedModel, photo: Image.Image, label_map: np.ndarray | None) -> tuple[Image.Image, np.ndarray]:
    """The photo and its label map at one legal size."""
    if label_map is None:
        proposal = propose(model, photo)
        return proposal.photo, proposal.label_map
    small, label_map = scaled(model, photo, label_map)
    return small, label_map


def scaled(
    model: LoadedModel, photo: Image.Image, label_map: np.ndarray | None = None
) -> tuple[Image.Image, np.ndarray | None]:
    """A photo, and its label map if there is one, at the size at which a model compares them; to do it again changes
    nothing.

    Raises:
        ValueError: the two have other proportions; no label map, and no discriminator to make one.
    """
    if label_map is None:
        return Image.fromarray(resize_photo(np.asarray(photo), *proposal_size(model, photo))), None
    height, width = working_size((photo.height, photo.width), model.training_size, model.processor.size_divisor)
    small = Image.fromarray(resize_photo(np.asarray(photo), height, width))
    ratio = (photo.width / photo.height) / (label_map.shape[1] / label_map.shape[0])
    if abs(ratio - 1) > MAX_MAP_DISTANCE:
        raise ValueError(
            f"the photo has {photo.width} x {photo.height} pixels and its label map {label_map.shape[1]} x "
            f"{label_map.shape[0]}: send the label map of this photo, of the same proportions"
        )
    resized = model.processor(label_maps=label_map, size={"height": height, "width": width})["label_map"][0]
    return small, resized.numpy()


def _content(model: LoadedModel, scene: Scene, style: Any, variant: Variant) -> dict[str, Any]:
    """JSON content: `noise` is one vector, or the rest's and then one for each of `labels`."""
    height, width = scene.label_map.shape
    return {
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "size": {"height": height, "width": width},
        "dtype": model.dtype,
        "labels": list(variant.noise.labels) or [scene.labels[label] for label in style.labels],
        "per_class": style.noise_regions is not None,
        "noise": variant.noise.rows.tolist(),
        "photo": variant.noise.photo,
        "color_distance": style.distance,
        "best_seed": style.start_seed,
        "best_seed_color_distance": style.start_distance,
    }


__all__ = ["Style", "take_style"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a browser tab keeps of a scene beside its label map: model, seed, re-rolls, locked images, looks.

The browser gives it back after a reload. It may be anything: it is checked like a file from a stranger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..models.library import MAX_NAME
from .found_noise import FoundNoise, noise_content, read_noise
from .named_looks import MAX_LOOKS, NamedLook, read_variant, variant_content, with_look
from .scenes import MAX_IMAGES, Variant, file_stem
from .variants import Grid, Planned


MAX_SHOTS = 50  # of an image of the grid that are kept, the last ones
MAX_NOISES = 64  # different ones that were found for photos


@dataclass(frozen=True)
class Look:
    """What determines the images of a label map, and where the visitor was.

    Args:
        model: name of the model.
        name: of the scene.
        variant: the image looked at.
        plan: the images of the Vary tab.
        looks: that are kept under names.
    """

    model: str = ""
    name: str = "sketch"
    variant: Variant = field(default_factory=lambda: Variant(0))
    plan: tuple[Planned, ...] = ()
    looks: tuple[NamedLook, ...] = ()


def look_content(
    model: str, name: str, variant: Variant, grid: Grid, looks: Sequence[NamedLook] = ()
) -> dict[str, Any]:
    """JSON content for `read_look`; `noises` holds each found noise once, however many images have it."""
    noises: dict[FoundNoise, int] = {}

    def content(variant: Variant) -> dict[str, Any]:
        plain = variant_content(replace(variant, noise=None))
        return plain if variant.noise is None else plain | {"look": noises.setdefault(variant.noise, len(noises))}

    told = {
        "model": model,
        "name": name,
        "variant": content(variant),
        "looks": [{"name": look.name, "model": look.model, "variant": content(look.variant)} for look in looks],
        "plan": [
            {"locked": item.locked, "variants": [content(v) for v in item.variants[-MAX_SHOTS:]]}
            for item in grid.planned
        ],
    }
    return told | {"noises": [noise_content(noise) for noise in noises]}


def read_look(content: Any) -> Look | None:
    """Inverse of `look_content`; None for anything else."""
    try:
        model, name = content["model"], content["name"]
        if not isinstance(model, str) or len(model) > MAX_NAME or not isinstance(name, str):
            return None
        noises = [read_noise(item) for item in _short(content.get("noises", []), MAX_NOISES)]
        plan = [
            Planned(
                tuple(_read_variant(v, noises) for v in _short(item["variants"], MAX_SHOTS)), item["locked"] is True
            )
            for item in _short(content["plan"], MAX_IMAGES)
        ]
        if not all(item.variants for item in plan):
            return None
        looks: tuple[NamedLook, ...] = ()
        for item in _short(content.get("looks", []), MAX_LOOKS):
            looks = with_look(looks, item["name"], item["model"], _read_variant(item["variant"], noises))
        return Look(model, file_stem(name), _read_variant(content["variant"], noises), tuple(plan), looks)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _read_variant(content: Any, noises: Sequence[FoundNoise]) -> Variant:
    number = content.get("look")
    if number is None:
        return read_variant(content)
    if type(number) is not int or number < 0:
        raise ValueError("no number of a noise")
    return replace(read_variant({**content, "look": None}), noise=noises[number])


def _short(items: Any, most: int) -> Sequence[Any]:
    if not isinstance(items, list) or len(items) > most:
        raise ValueError(f"not a list of at most {most}")
    return items


__all__ = ["Look", "look_content", "read_look"]

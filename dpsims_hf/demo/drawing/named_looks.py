# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Looks that a visitor keeps under names, and looks as JSON content. What is read may come from anybody."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...configuration_limits import NAME
from ...configuration_rules import Maybe, shortened
from ..models.library import MAX_NAME as MAX_MODEL_NAME
from .found_noise import noise_content, read_noise
from .scenes import Reroll, Variant


MAX_LOOKS = 24  # that one visitor keeps
MAX_LOOK_NAME = 40  # characters
MAX_REROLLS = 1000  # of an image


@dataclass(frozen=True)
class NamedLook:
    """A look that is kept.

    Args:
        name: printable, no two of a list are equal.
        model: name of the model that it was seen with.
        variant: seed or found noise, and re-rolls.
    """

    name: str
    model: str
    variant: Variant

    def __post_init__(self) -> None:
        if self.name != clean_name(self.name) or not self.name:
            raise ValueError(f"{shortened(self.name)} is no name of a look")
        if not isinstance(self.model, str) or len(self.model) > MAX_MODEL_NAME:
            raise ValueError(f"{shortened(self.model)} is no name of a model")


def clean_name(text: Any) -> str:
    """A name as typed: printable, one space between words, at most MAX_LOOK_NAME characters."""
    if not isinstance(text, str):
        raise ValueError(f"{shortened(text)} is no name of a look")
    words = "".join(c if c.isprintable() else " " for c in text[: 10 * MAX_LOOK_NAME]).split()
    return " ".join(words)[:MAX_LOOK_NAME].strip()


def named(looks: Sequence[NamedLook], name: str | None) -> NamedLook:
    """The look of a name; ValueError if none is chosen or there is none."""
    if not name:
        raise ValueError("no look chosen: choose one of the list first")
    for look in looks:
        if look.name == name:
            return look
    raise ValueError(f"no look is called {shortened(name)}: choose one of the list")


def with_look(looks: Sequence[NamedLook], name: str, model: str, variant: Variant) -> tuple[NamedLook, ...]:
    """The list with one more look.

    Raises:
        ValueError: the name is taken, or the list is full.
    """
    _check_free(looks, name)
    if len(looks) >= MAX_LOOKS:
        raise ValueError(f"{MAX_LOOKS} looks are kept already: delete one first")
    return (*looks, NamedLook(name, model, variant))


def renamed(looks: Sequence[NamedLook], name: str | None, new_name: str) -> tuple[NamedLook, ...]:
    """The list with another name for one of its looks; ValueError if that is empty or taken."""
    look, new_name = named(looks, name), clean_name(new_name)
    if not new_name:
        raise ValueError("type the new name of the look first")
    if new_name != look.name:
        _check_free(looks, new_name)
    return tuple(replace(item, name=new_name) if item is look else item for item in looks)


def without(looks: Sequence[NamedLook], name: str | None) -> tuple[NamedLook, ...]:
    """The list without a look."""
    look = named(looks, name)
    return tuple(item for item in looks if item is not look)


def free_name(looks: Sequence[NamedLook], name: str) -> str:
    """The name, or the name with a number behind it that no look has."""
    taken, number, free = {look.name for look in looks}, 2, name
    while free in taken:
        ending = f" {number}"
        free, number = name[: MAX_LOOK_NAME - len(ending)].strip() + ending, number + 1
    return free


def joined(looks: Sequence[NamedLook], others: Sequence[NamedLook]) -> tuple[NamedLook, ...]:
    """One list of two: equal looks once, other looks of one name under another one, and no more than fit."""
    for other in others:
        if other not in looks and len(looks) < MAX_LOOKS:
            looks = (*looks, replace(other, name=free_name(looks, other.name)))
    return tuple(looks)


def _check_free(looks: Sequence[NamedLook], name: str) -> None:
    if any(look.name == name for look in looks):
        raise ValueError(f"a look is called {name!r} already: type another name")


# -- JSON -------------------------------------------------------------------------------------------------------------


def variant_content(variant: Variant) -> dict[str, Any]:
    """JSON content for `read_variant`."""
    rerolls = [{k: v for k, v in asdict(reroll).items() if v is not None} for reroll in variant.rerolls]
    found = {} if variant.noise is None else {"look": noise_content(variant.noise)}
    return {"seed": variant.seed, "rerolls": rerolls, **found}


def read_variant(content: Any) -> Variant:
    """Inverse of `variant_content`; ValueError, LookupError or TypeError for anything else."""
    rerolls, found = content["rerolls"], content.get("look")
    if not isinstance(rerolls, list) or len(rerolls) > MAX_REROLLS:
        raise ValueError(f"rerolls={shortened(rerolls)} is illegal: legal is a list of up to {MAX_REROLLS}")
    return Variant(content["seed"], tuple(map(_read_reroll, rerolls)), None if found is None else read_noise(found))


def _read_reroll(entry: dict[str, Any]) -> Reroll:
    point = entry.get("point")
    Maybe(NAME).check("label", entry.get("label"))
    return Reroll(entry["seed"], entry.get("label"), None if point is None else (int(point[0]), int(point[1])))


def looks_content(looks: Sequence[NamedLook]) -> list[dict[str, Any]]:
    """JSON content for `read_looks`."""
    return [{"name": look.name, "model": look.model, **variant_content(look.variant)} for look in looks]


def read_looks(content: Any) -> tuple[NamedLook, ...]:
    """Inverse of `looks_content`; ValueError, LookupError or TypeError for anything else."""
    if not isinstance(content, list) or len(content) > MAX_LOOKS:
        raise ValueError(f"looks={shortened(content)} is illegal: legal is a list of up to {MAX_LOOKS}")
    looks: tuple[NamedLook, ...] = ()
    for entry in content:
        looks = with_look(looks, entry["name"], entry["model"], read_variant(entry))
    return looks


__all__ = [
    "MAX_LOOKS",
    "NamedLook",
    "clean_name",
    "free_name",
    "joined",
    "looks_content",
    "named",
    "read_looks",
    "read_variant",
    "renamed",
    "variant_content",
    "with_look",
    "without",
]

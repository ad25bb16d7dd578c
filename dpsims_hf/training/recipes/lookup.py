# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""All recipes by name: DP-SIMS's bare ("ade20k", also "dpsims/ade20k"), the other families' with their prefix."""

from ..families import FAMILIES
from .recipe import Recipe


RECIPES: dict[str, Recipe] = {name: recipe for family in FAMILIES.values() for name, recipe in family.recipes.items()}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; a ValueError lists the known ones."""
    bare = name.removeprefix("dpsims/")
    if bare not in RECIPES or (bare != name and RECIPES[bare].family != "dpsims"):
        raise ValueError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[bare]


def counterpart(recipe: Recipe, family: str) -> Recipe:
    """The recipe for the same data of another family: where a swapped network takes its settings from.

    Raises:
        ValueError: if that family has none for this data.
    """
    if family == recipe.family:
        return recipe
    for other in RECIPES.values():
        if (other.family, other.dataset) == (family, recipe.dataset):
            return other
    known = sorted({other.dataset for other in RECIPES.values() if other.family == family})
    raise ValueError(
        f"there is no {family} recipe for {recipe.dataset}, from which a swapped network would take its settings; "
        f"{family} has recipes for {', '.join(known)}"
    )

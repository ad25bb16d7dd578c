# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The options of a run from a recipe: default <- recipe <- what was given, each value with its source."""

import dataclasses
import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...configuration_rules import shortened
from ..families import get_family
from ..recipes.lookup import counterpart, get_recipe
from ..recipes.origins import PAPER
from .record import SECTIONS, RunOptions
from .sections import FEATURE_SECTIONS
from .types import check_config_field, typed


Entry = tuple[str, str, Any, str]  # section, key, value, source
NETWORKS = ("generator", "discriminator")


def parse_override(text: str) -> tuple[str, str, Any]:
    """Split SECTION.KEY=VALUE; VALUE is JSON where it parses as JSON, else a string."""
    name, equals, value = text.partition("=")
    section, dot, key = name.partition(".")
    if not (equals and dot and section and key):
        raise ValueError(f"--set {text!r} must read SECTION.KEY=VALUE, for instance loss.focal_gamma=0")
    try:
        return section, key, json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return section, key, value


def resolve_options(
    recipe: str,
    overrides: Iterable[Entry] | Mapping[str, Any] | None = None,
    generator_family: str | None = None,
    discriminator_family: str | None = None,
    as_released: bool = False,
    as_written: bool = False,
) -> RunOptions:
    """Default <- recipe <- overrides.

    Args:
        recipe: a name of `RECIPES`; its family gives the objective.
        overrides: {"section.key": value}, or (section, key, value, source) in order.
        generator_family, discriminator_family: swaps; None follows the recipe. A swapped network takes its settings
            from its own family's recipe for the same data.
        as_released: take the values of the paper's released code where they differ from the paper's.
        as_written: take the paper's value wherever the recipe or a default has another; sizes of a preset stay.

    Raises:
        ValueError: for an unknown recipe, section, key or value, listing what is known.
    """
    chosen = get_recipe(recipe)
    families = {
        "loss": chosen.family,
        "generator": generator_family or chosen.family,
        "discriminator": discriminator_family or chosen.family,
    }
    for family in families.values():
        get_family(family)  # an unknown one is refused by that name, before its recipes are looked for
    sources = {"recipe": "given", "loss.family": f"recipe {recipe}"}
    for network, given in (("generator", generator_family), ("discriminator", discriminator_family)):
        sources[f"{network}.family"] = f"--{network}_family" if given else f"recipe {recipe}"
    if as_released and as_written:
        raise ValueError("as_released and as_written exclude each other: two origins of the same values")
    entries = _recipe_entries(recipe, families, as_released)
    if as_written:
        entries += _paper_entries(entries, families)
    entries += _as_entries(overrides)
    return build_options(recipe, families, entries, sources)


def build_options(
    recipe: str, families: Mapping[str, str], entries: Iterable[Entry], sources: dict[str, str]
) -> RunOptions:
    """The options of a run: defaults, then the entries in their order.

    Args:
        recipe: its name.
        families: of "loss", "generator" and "discriminator".
        entries: values with their sources.
        sources: of recipe and families.

    Raises:
        ValueError: for an unknown section, key or value, listing what is known.
    """
    loss_weights = get_family(families["loss"]).loss_weights
    known = _known_options(loss_weights, families)
    values: dict[str, dict[str, Any]] = {section: {} for section in known}
    for section, key, value, source in entries:
        if section not in known:
            raise ValueError(f"unknown section {section!r} in {section}.{key}; known: {', '.join(known)}")
        if key not in known[section]:
            raise ValueError(f"unknown option {section}.{key}; known in {section}: {', '.join(known[section])}")
        if section in NETWORKS:
            check_config_field(f"{section}.{key}", value, known[section][key])
        values[section][key] = value
        sources[f"{section}.{key}"] = source
    return RunOptions(
        recipe=recipe,
        loss=typed(loss_weights, "loss", values["loss"]),
        features={
            section: typed(options_class, section, values[section])
            for section, (options_class, _) in FEATURE_SECTIONS.items()
            if section in known
        },
        generator=values["generator"],
        discriminator=values["discriminator"],
        family=families["loss"],
        generator_family=families["generator"],
        discriminator_family=families["discriminator"],
        sources=sources,
        **{section: typed(options_class, section, values[section]) for section, options_class in SECTIONS.items()},
    )


def _known_options(loss_weights: type, families: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The options that exist, by section; of the networks with their defaults."""
    classes = {"training": SECTIONS["training"], "data": SECTIONS["data"], "loss": loss_weights}
    losses = {entry.name for entry in dataclasses.fields(loss_weights)}
    classes |= {name: found for name, (found, weight) in FEATURE_SECTIONS.items() if weight in losses}
    known: dict[str, dict[str, Any]] = {}
    for section, options_class in classes.items():
        known[section] = dict.fromkeys(entry.name for entry in dataclasses.fields(options_class))
    for network in NETWORKS:
        config_class = getattr(get_family(families[network]), network).config_class
        known[network] = {"preset": None} | config_defaults(config_class)
    for section, options_class in SECTIONS.items():
        known.setdefault(section, dict.fromkeys(entry.name for entry in dataclasses.fields(options_class)))
    return known


def _as_entries(overrides: Iterable[Entry] | Mapping[str, Any] | None) -> list[Entry]:
    if not isinstance(overrides, Mapping):
        return list(overrides or [])
    for name in overrides:
        if not all(name.partition(".")):
            raise ValueError(f"{shortened(name)} must read SECTION.KEY, for instance loss.focal_gamma")
    return [(*name.split(".", 1), value, "given") for name, value in overrides.items()]


def _recipe_entries(recipe: str, families: Mapping[str, str], as_released: bool) -> list[Entry]:
    """Entries of a recipe, with swapped networks' sections from their own families' recipes."""
    chosen = get_recipe(recipe)
    entries = []
    for section in (*chosen.settings, *(set(NETWORKS) - set(chosen.settings))):
        origin = counterpart(chosen, families[section]) if section in NETWORKS else chosen
        name = recipe if origin is chosen else f"{origin.family}/{origin.dataset}"
        for key, setting in origin.settings.get(section, {}).items():
            value, source = setting.value, setting.source
            if as_released and setting.released is not None:
                value, source = setting.released, f"released code (instead of {setting.value}, {source})"
            entries.append((section, key, value, f"recipe {name}: {source}"))
    return entries


def _paper_entries(entries: list[Entry], families: Mapping[str, str]) -> list[Entry]:
    """The papers' values of all options that a recipe does not take from its paper and no preset decides."""
    settled = {(section, key) for section, key, _, source in entries if ": paper " in source}
    for section, key, value, _ in entries:
        if section in NETWORKS and key == "preset":
            config_class = getattr(get_family(families[section]), section).config_class
            settled |= {(section, name) for name in config_class.presets.get(value, {})}
    found = []
    for network, family in families.items():
        for name, known in PAPER[family].items():
            section, _, key = name.partition(".")
            own = section == network if network in NETWORKS else section not in NETWORKS
            if own and known.can_be_set and (section, key) not in settled:
                found.append((section, key, known.value, f"paper {known.place} (--as_written)"))
    return found


def config_defaults(config_class: type) -> dict[str, Any]:
    """Fields of a model config and their defaults."""
    parameters = inspect.signature(config_class.__init__).parameters
    return {name: entry.default for name, entry in parameters.items() if name not in ("self", "kwargs")}


__all__ = ["build_options", "config_defaults", "parse_override", "resolve_options"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What `--dry_run` prints: every option of a run with its source, and which values are not the paper's."""

import json
from typing import Any

from ..families import get_family
from ..recipes.lookup import RECIPES
from ..recipes.origins import NETWORKS, PaperValue, default_source, paper_value, plain
from .record import RunOptions
from .resolve import config_defaults


def families_of(options: RunOptions) -> dict[str, str]:
    """Family of the losses and of each network."""
    return {
        "loss": options.family,
        "generator": options.generator_family,
        "discriminator": options.discriminator_family,
    }


def described_options(options: RunOptions) -> dict[str, tuple[Any, str]]:
    """All options, every field of the networks' configs included: "section.key" -> (value, source).

    A source begins with "paper", "released" or "ours", or says which recipe, flag or file gave the value; those of
    inputs, validation and launch may be "default".
    """
    families = families_of(options)
    fields: dict[str, tuple[Any, str]] = {}
    for network in NETWORKS:
        config_class = getattr(get_family(families[network]), network).config_class
        preset = getattr(options, network).get("preset")
        values = dict.fromkeys(config_defaults(config_class), "") | {"preset": ""}
        for key in values:
            name = f"{network}.{key}"
            value = config_defaults(config_class).get(key)
            fields[name] = (value, default_source(families, name, value))
        for key, value in config_class.presets.get(preset, {}).items():
            if key != "num_labels":
                fields[f"{network}.{key}"] = (value, f"ours: preset {preset}")
    rows = {name: (entry["value"], options.sources.get(name)) for name, entry in options.record().items()}
    for name, (value, source) in rows.items():
        source = None if source == "default" else source  # so a run's file calls what nobody set
        fields[name] = (value, source or default_source(families, name, value) or "default")
    order = dict.fromkeys(name.partition(".")[0] for name in rows)
    ranked = {section: rank for rank, section in enumerate(order)}
    return dict(sorted(fields.items(), key=lambda item: ranked[item[0].partition(".")[0]]))


def departures(options: RunOptions) -> dict[str, PaperValue]:
    """The options whose value is not the one that the paper gives, with the paper's.

    A recipe that is named after the paper's data says more than the table of its family: what it takes from the paper
    is the paper's value for this data.
    """
    families, found = families_of(options), {}
    for name, (value, _) in described_options(options).items():
        known = _of_the_recipe(options, name) or paper_value(families, name)
        if known is not None and plain(value) != plain(known.value):
            found[name] = known
    return found


def describe_options(options: RunOptions) -> str:
    """One line per option: name, value, source, and what the paper has where that is something else; then a count."""
    described, departing = described_options(options), departures(options)
    rows = [(name, json.dumps(value), source) for name, (value, source) in described.items()]
    width = max(len(name) for name, _, _ in rows)
    lines = []
    for name, value, source in rows:
        line = f"{name:<{width}}  {value:<28}  # {source}"
        if name in departing:
            line += f"; DEPARTS from the paper: {_shown(departing[name])} ({departing[name].place})"
        lines.append(line)
    names = ", ".join(departing) or "none"
    return "\n".join([*lines, f"{'':<{width}}  {len(departing):<28}  # options depart from the paper: {names}"])


def _of_the_recipe(options: RunOptions, name: str) -> PaperValue | None:
    section, _, key = name.partition(".")
    if section in NETWORKS and getattr(options, f"{section}_family") != options.family:
        return None
    recipe = RECIPES.get(options.recipe.removeprefix("dpsims/"))
    setting = recipe.settings.get(section, {}).get(key) if recipe else None
    if setting is None or not setting.source.startswith("paper "):
        return None
    return PaperValue(setting.value, setting.source.removeprefix("paper "))


def _shown(known: PaperValue) -> str:
    return known.text or json.dumps(plain(known.value))


__all__ = ["departures", "describe_options", "described_options"]

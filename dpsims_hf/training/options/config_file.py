# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a run wrote about itself, `training_options.json`, taken as the options of another run.

Such a file may come from somebody else: it is data. It is bounded and checked before anything is built from it, and it
does not say where this run writes, on what it runs or what it publishes (`LaunchOptions`, and the folder of caches).
"""

import os
from collections.abc import Iterable
from typing import Any

from ...configuration_limits import SIDE, WIDTH
from ...configuration_rules import Anything, Choice, Entries, Fields, Integer, Items, Rule, Text, read_json
from ..families import FAMILIES
from .record import RunOptions
from .resolve import Entry, build_options


NAMES = Text(100, r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)?", "SECTION.KEY")
OPTIONS_FILE = Entries(NAMES, Fields({"value": Anything(), "source": Text(400)}, required=("value",)), 1000)
RECIPE = Text(100, "[a-z0-9_/]*", "the name of a recipe")
FAMILY = Choice(tuple(FAMILIES))
FAMILY_KEYS = {"loss.family": "loss", "generator.family": "generator", "discriminator.family": "discriminator"}
LEFT_OUT = ("data.cache_dir",)  # a place on another machine, and written to
# What takes memory or processes: far beyond real runs.
BOUNDS: dict[str, Rule] = {
    "training.num_train_epochs": Integer(0, 2**31),
    "training.batch_size": Integer(1, 2**16),
    "training.gradient_accumulation_steps": Integer(1, 2**16),
    "training.batch_norm_refresh_batches": Integer(0, 2**16),
    "training.sample_maps": Integer(1, 1024),
    "training.sample_noises": Integer(1, 1024),
    "data.image_size": Items(SIDE, 2, 2),
    "data.workers": Integer(0, 1024),
    "data.shuffle_buffer": Integer(1, 2**24),
    "contrastive.hidden_dim": WIDTH,
    "contrastive.output_dim": WIDTH,
    "loss.contrastive_negatives": Integer(0, 2**20),
}


def read_options(file: str | os.PathLike, overrides: Iterable[Entry] = ()) -> RunOptions:
    """The options of the run that wrote this file, and what is given instead.

    Args:
        file: a `training_options.json`.
        overrides: (section, key, value, source) in order.

    Raises:
        ValueError: the file is no such file, or an option does not exist or cannot be; one line that names it.
    """
    content = read_json(file)
    overrides = list(overrides)
    try:
        recipe, families, entries = _parsed(content, f"--config {os.fspath(file)}")
        sources = {key: _source(content[key], file) for key in ("recipe", *FAMILY_KEYS) if key in content}
        build_options(recipe, families, entries, dict(sources))  # what is wrong in the file is told as the file's
    except ValueError as error:
        raise ValueError(f"{os.fspath(file)}: {error}") from None
    return build_options(recipe, families, [*entries, *overrides], sources)


def _parsed(content: dict[str, Any], source: str) -> tuple[str, dict[str, str], list[Entry]]:
    OPTIONS_FILE.check("options", content)
    missing = [key for key in FAMILY_KEYS if key not in content]
    if missing:
        raise ValueError(f"{missing[0]} is missing: these are not the options of a run (its training_options.json)")
    values = {key: entry["value"] for key, entry in content.items()}
    recipe = values.pop("recipe", "")
    RECIPE.check("recipe", recipe)
    families = {}
    for key, part in FAMILY_KEYS.items():
        families[part] = values.pop(key)
        FAMILY.check(key, families[part])
    entries = []
    for key, value in values.items():
        section, _, name = key.partition(".")
        if section == "launch" or key in LEFT_OUT:
            continue
        if key in BOUNDS:
            BOUNDS[key].check(key, value)
        entries.append((section, name, value, content[key].get("source", source)))
    if "loss.lambda_diversity" in values and "loss.diversity_gradient" not in values:
        entries.append(("loss", "diversity_gradient", "one", f"{source}, of a release that knew no other"))
    return recipe, families, entries


def _source(entry: dict[str, Any], file: str | os.PathLike) -> str:
    return entry.get("source", f"--config {os.fspath(file)}")


__all__ = ["read_options"]

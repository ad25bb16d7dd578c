# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a recipe is: named settings of a complete training run, each value with its source. Recipes are Python, so that
every line can say why. Here stand also the parts that recipes of all families share.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """A value and where it comes from.

    Args:
        value: the value.
        source: "paper ..." or "released code ..." with its place, or "ours ..." with the reason.
        released: what the paper's released code has where it differs; None where it does not.
    """

    value: Any
    source: str
    released: Any = None


@dataclass(frozen=True)
class Recipe:
    """Settings by section and key.

    Args:
        family: row of `FAMILIES`.
        dataset: which data it is for; a swapped network takes its settings from its own family's recipe for it.
        description: one line for the list of recipes.
        settings: section -> key -> Setting.
    """

    family: str
    dataset: str
    description: str
    settings: dict[str, dict[str, Setting]]


def merged(base: dict[str, dict[str, Setting]], *changes: dict[str, dict[str, Setting]]) -> dict:
    """`base` with later settings in place of earlier ones."""
    result = {section: dict(settings) for section, settings in base.items()}
    for change in changes:
        for section, settings in change.items():
            result.setdefault(section, {}).update(settings)
    return result


def sized(height: int, width: int, source: str) -> dict[str, dict[str, Setting]]:
    """Training crops and published size in one."""
    where = Setting((height, width), source)
    return {"data": {"image_size": where}, "generator": {"image_size": where}}


CAMVID_SMALL_RUN: dict[str, dict[str, Setting]] = {
    "training": {
        "batch_size": Setting(8, "ours: one process, two CPU cores"),
        "max_train_steps": Setting(1500, "ours: about 40 minutes on two cores"),
        "ema_decay": Setting(0.998, "ours: half-life of 350 steps for a short run"),
        "batch_norm_refresh_batches": Setting(12, "ours: about 100 label maps of 367"),
        "sample_steps": Setting(250, "ours"),
        "checkpointing_steps": Setting(250, "ours"),
    },
    "data": {
        "image_size": Setting((96, 128), "ours: CPU size"),
        "scale_range": Setting((1.0, 1.2), "ours: a little room for crops"),
        "workers": Setting(0, "ours: both cores belong to the networks"),
    },
    "generator": {
        "preset": Setting("small", "ours"),
        "image_size": Setting((192, 256), "ours: the size the model is published for"),
    },
    "discriminator": {"preset": Setting("small", "ours")},
}

KEEP_ASPECT: dict[str, dict[str, Setting]] = {"data": {"keep_aspect": Setting(True, "ours: photos of several shapes")}}

TINY_RUN: dict[str, dict[str, Setting]] = {
    "training": {
        "batch_size": Setting(2, "ours: for tests"),
        "max_train_steps": Setting(4, "ours: for tests"),
        "mixed_precision": Setting("no", "ours: for tests"),
        "batch_norm_refresh_batches": Setting(2, "ours: for tests"),
        "sample_maps": Setting(2, "ours: for tests"),
        "sample_noises": Setting(2, "ours: for tests"),
        "log_steps": Setting(1, "ours: for tests"),
    },
    "data": {"image_size": Setting((32, 64), "ours: for tests"), "workers": Setting(0, "ours: for tests")},
    "generator": {"preset": Setting("tiny", "ours: for tests"), "image_size": Setting((32, 64), "ours: for tests")},
    "discriminator": {"preset": Setting("tiny", "ours: for tests")},
}

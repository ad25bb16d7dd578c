# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The options of a run: one typed record, from a recipe, from what a run wrote, or from the command line."""

from .config_file import read_options
from .description import departures, describe_options
from .record import InputOptions, LaunchOptions, RunOptions, ValidationOptions
from .resolve import parse_override, resolve_options
from .sections import (
    FEATURE_SECTIONS,
    ContrastiveOptions,
    DataOptions,
    PerceptualOptions,
    TrainingOptions,
)


__all__ = [
    "FEATURE_SECTIONS",
    "ContrastiveOptions",
    "DataOptions",
    "InputOptions",
    "LaunchOptions",
    "PerceptualOptions",
    "RunOptions",
    "TrainingOptions",
    "ValidationOptions",
    "departures",
    "describe_options",
    "parse_override",
    "read_options",
    "resolve_options",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Configs of all families."""

from pathlib import Path

from dpsims_hf.training.families import FAMILIES


ROOT = Path(__file__).parents[2]
NETWORKS = [network for family in FAMILIES.values() for network in (family.generator, family.discriminator)]
CONFIGS = [network.config_class for network in NETWORKS]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Fixtures of the models' tests."""

from pathlib import Path

import pytest

from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.hub import save_model_folder
from dpsims_hf.training.families import FAMILIES


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator and a DP-SIMS discriminator with its backbone inside, random."""
    family = FAMILIES["dpsims"]
    names = {"id2label": SYNTHETIC_SPEC.id2label, "num_labels": None}
    generator = family.generator(family.generator.config_class.from_preset("tiny", **names))
    discriminator = family.discriminator(family.discriminator.config_class.from_preset("tiny", **names))
    processor = SYNTHETIC_SPEC.image_processor(size=(32, 64), size_divisor=8)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return save_model_folder(folder, generator, processor, discriminator, include_backbone=True)

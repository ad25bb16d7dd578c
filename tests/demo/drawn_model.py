# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A random model in the label space of the drawn examples, with a discriminator, for tests of the page."""

import torch

from dpsims_hf import (
    DPSIMSDiscriminator,
    DPSIMSDiscriminatorConfig,
    DPSIMSGenerator,
    DPSIMSGeneratorConfig,
    SemanticImageProcessor,
    SemanticImageSynthesisPipeline,
)
from dpsims_hf.demo.drawing.example_maps import CAMVID_CLASSES
from dpsims_hf.demo.models.library import LoadedModel


VOID = len(CAMVID_CLASSES)
HEIGHT, WIDTH = 32, 64


def drawn_model(with_discriminator: bool = True, with_void: bool = True) -> LoadedModel:
    """For 32x64 pixels; the generator's sides are multiples of 8, the discriminator's of 32."""
    names = [*CAMVID_CLASSES, "void"] if with_void else list(CAMVID_CLASSES)
    spec = {"num_labels": None, "id2label": dict(enumerate(names)), "void_label_id": VOID if with_void else None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = DPSIMSGeneratorConfig.from_preset("tiny", attention_gate_init=1.0, **spec)
        generator = DPSIMSGenerator(config).eval()
        discriminator = DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny", **spec)).eval()
    processor = SemanticImageProcessor(
        id2label=spec["id2label"],
        palette=[*map(list, CAMVID_CLASSES.values()), [0, 0, 0]][: len(names)],
        void_label_id=spec["void_label_id"],
        void_values=[255] if with_void else None,
        size={"height": HEIGHT, "width": WIDTH},
        size_divisor=config.size_divisor,
    )
    return LoadedModel(
        "drawn",
        SemanticImageSynthesisPipeline(generator, processor, discriminator if with_discriminator else None),
    )

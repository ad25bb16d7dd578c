# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Tiny models with noise that matters, a drawn street, and what a pipeline hands its generator: for tests anywhere."""

import numpy as np
import torch
from PIL import Image

from dpsims_hf import (
    DPGANGenerator,
    DPGANGeneratorConfig,
    DPSIMSDiscriminator,
    DPSIMSDiscriminatorConfig,
    DPSIMSGenerator,
    DPSIMSGeneratorConfig,
    OASISGenerator,
    OASISGeneratorConfig,
    SemanticImageProcessor,
    SPADEGenerator,
    SPADEGeneratorConfig,
)


NAMES = {0: "sky", 1: "road", 2: "car", 3: "tree", 4: "void"}
SIZE = (32, 64)


def tiny_generator(**overrides) -> DPSIMSGenerator:
    """Noise gates open and batch statistics learned: an untrained network would answer 0 or 255 everywhere."""
    torch.manual_seed(0)
    config = DPSIMSGeneratorConfig.from_preset(
        "tiny", num_labels=None, id2label=NAMES, attention_gate_init=1.0, **overrides
    )
    generator = DPSIMSGenerator(config)
    offsets = torch.zeros(4, 2, *SIZE) if config.use_instance_offsets else None
    with torch.no_grad():
        for _ in range(20):
            noise = generator.sample_noise(4)
            generator(torch.randint(0, len(NAMES), (4, *SIZE)), noise=noise, instance_offsets=offsets)
        generator.to_image.weight.mul_(0.5)
    return generator.eval()


def tiny_processor(**overrides) -> SemanticImageProcessor:
    size = {"height": SIZE[0], "width": SIZE[1]}
    return SemanticImageProcessor(id2label=NAMES, size=size, size_divisor=8, **overrides)


def tiny_discriminator() -> DPSIMSDiscriminator:
    torch.manual_seed(1)
    config = DPSIMSDiscriminatorConfig.from_preset("tiny", num_labels=None, id2label=NAMES)
    return DPSIMSDiscriminator(config).eval()


def street(car_left: int = 10) -> np.ndarray:
    """Sky above, road below, a car on it."""
    label_map = np.zeros(SIZE, dtype=np.uint8)
    label_map[16:] = 1
    label_map[20:28, car_left : car_left + 20] = 2
    return label_map


def pixels(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image) for image in images])


def learned_generator(family: str, **overrides):
    """A tiny generator whose images depend on the noise."""
    if family == "dpsims":
        return tiny_generator(**overrides)
    config_class, model_class = {
        "oasis": (OASISGeneratorConfig, OASISGenerator),
        "dpgan": (DPGANGeneratorConfig, DPGANGenerator),
        "spade": (SPADEGeneratorConfig, SPADEGenerator),
    }[family]
    torch.manual_seed(0)
    config = config_class.from_preset("tiny", num_labels=None, id2label=NAMES, init_gain=1.0, **overrides)
    generator = model_class(config)
    with torch.no_grad():
        for _ in range(20):  # batch statistics
            generator(torch.randint(0, len(NAMES), (4, *SIZE)))
        generator.to_image.weight.mul_(0.3)
    return generator.eval()


def two_cars() -> np.ndarray:
    """A car on the left, one on the right, road between them."""
    label_map = street(4)
    label_map[20:28, 40:60] = 2
    return label_map


def captured_inputs(pipe, *args, **kwargs) -> list[dict]:
    """The keyword arguments of every forward pass of the generator."""
    calls = []
    handle = pipe.generator_model.register_forward_pre_hook(
        lambda module, positional, keywords: calls.append(dict(keywords)), with_kwargs=True
    )
    try:
        pipe(*args, **kwargs)
    finally:
        handle.remove()
    return calls

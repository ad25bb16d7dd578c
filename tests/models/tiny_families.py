# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Tiny networks of all families."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

import dpsims_hf


FAMILIES = ["DPSIMS", "DPGAN", "OASIS", "SPADE"]
WITH_3D_NOISE = ["DPGAN", "OASIS"]
LABEL_PIXELS = ["DPSIMS", "DPGAN", "OASIS"]  # SPADE's discriminator judges patches alone
CONFIGS = [f"{family}{part}Config" for family in FAMILIES for part in ("Generator", "Discriminator")]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(family: str, part: str = "Generator", preset: str = "tiny", **overrides: object) -> PreTrainedModel:
    """A fresh network in training mode."""
    model_class = getattr(dpsims_hf, f"{family}{part}")
    torch.manual_seed(0)
    return model_class(model_class.config_class.from_preset(preset, **overrides))


def make_discriminator(family: str, **overrides: object) -> PreTrainedModel:
    lively = {} if family == "DPSIMS" else {"init_gain": 1.0}
    return make(family, "Discriminator", **{**lively, **overrides}).eval()


def judge(model: PreTrainedModel, pixel_values: torch.Tensor, **options: bool) -> ModelOutput:
    """A discriminator's output; one that reads label maps gets one of all classes."""
    if getattr(model, "reads_label_map", False):
        batch, _, height, width = pixel_values.shape
        numbers = torch.arange(batch * height * width).view(batch, height, width)
        options["label_map"] = numbers % model.config.num_labels
    return model(pixel_values, **options)


def pixels(batch: int = 2, height: int = 32, width: int = 64) -> torch.Tensor:
    return random(batch, 3, height, width).tanh()


def assert_every_parameter_learns(model: nn.Module, outputs: list[torch.Tensor]) -> None:
    """A parameter without gradient stops DistributedDataParallel; a kernel with a gradient of 0 learns nothing."""
    sum((output * random(*output.shape)).sum() for output in outputs).backward()
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not [name for name, parameter in learned.items() if parameter.grad is None]
    assert not [name for name, parameter in learned.items() if parameter.ndim > 1 and not parameter.grad.any()]


def assert_same_weights(first: nn.Module, second: nn.Module) -> None:
    expected, found = first.state_dict(), second.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())

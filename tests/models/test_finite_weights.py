# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights that are NaN or infinite are refused when they are loaded, not seen as black images later."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from refusals import refused
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from dpsims_hf import OASISDiscriminator, OASISDiscriminatorConfig, SemanticImageSynthesisPipeline


def spoilt(folder: Path, target: Path, value: float, which: int = -1) -> str:
    """A copy of a checkpoint with one number changed; the name of its tensor."""
    shutil.copytree(folder, target)
    file = target / "model.safetensors"
    tensors = load_file(file)
    name = sorted(name for name, tensor in tensors.items() if tensor.is_floating_point())[which]
    tensors[name].view(-1)[-1] = value
    save_file(tensors, file, metadata={"format": "pt"})
    return name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, -1])
def test_a_generator_of_no_numbers_is_refused(tiny_checkpoint_dir, tmp_path, value, which):
    name = spoilt(tiny_checkpoint_dir, tmp_path / "model", value, which=which)
    words = (repr(name), "NaN or infinite", "take an earlier checkpoint")
    refused(lambda: AutoModel.from_pretrained(tmp_path / "model"), *words, seconds=5)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "model"), *words, seconds=5)


def test_a_discriminator_of_no_numbers_is_refused(tmp_path):
    OASISDiscriminator(OASISDiscriminatorConfig.from_preset("tiny", num_labels=3)).save_pretrained(tmp_path / "whole")
    assert OASISDiscriminator.from_pretrained(tmp_path / "whole").config.num_labels == 3
    name = spoilt(tmp_path / "whole", tmp_path / "model", math.nan)
    for load in (OASISDiscriminator.from_pretrained, AutoModel.from_pretrained):
        refused(lambda load=load: load(tmp_path / "model"), repr(name), "NaN or infinite", seconds=5)


def test_numbers_beyond_a_smaller_type_are_told(tiny_checkpoint_dir, tmp_path):
    name = spoilt(tiny_checkpoint_dir, tmp_path / "model", 1e30)
    load = AutoModel.from_pretrained
    assert torch.isfinite(load(tmp_path / "model").state_dict()[name]).all()
    words = (repr(name), "torch.float16", "load it as torch.float32")
    refused(lambda: load(tmp_path / "model", dtype=torch.float16), *words, seconds=5)

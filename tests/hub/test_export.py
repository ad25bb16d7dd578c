# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`python -m dpsims_hf.hub export`: from a training checkpoint to a folder to publish."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from dpsims_hf import DPSIMSDiscriminator, DPSIMSDiscriminatorConfig, DPSIMSGenerator
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.hub import save_model_folder, validate_model_folder
from dpsims_hf.hub.__main__ import main


pytestmark = pytest.mark.integration


@pytest.fixture
def checkpoint(tiny_generator: DPSIMSGenerator, tmp_path: Path) -> Path:
    """What training leaves: spectral norm in place, the backbone outside."""
    processor = SYNTHETIC_SPEC.image_processor(size=(32, 64), size_divisor=8)
    discriminator = DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny"))
    return save_model_folder(tmp_path / "checkpoint-7", tiny_generator, processor, discriminator)


def test_export_folds_shrinks_and_fills_the_card(checkpoint: Path, tiny_generator: DPSIMSGenerator, tmp_path: Path):
    weights, fields = tmp_path / "backbone.safetensors", tmp_path / "fields.json"
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    fields.write_text(json.dumps({"name": "Little streets", "steps": "7", "license": "cc-by-nc-4.0"}))
    output = tmp_path / "published"
    arguments = ["export", str(checkpoint), str(output), "--card_fields", str(fields)]
    assert main([*arguments, "--backbone_weights", str(weights)]) == 0
    assert validate_model_folder(output) == []
    stored = load_file(output / "model.safetensors")
    assert not any("parametrizations" in name for name in stored)
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim > 1} == {torch.float16}
    card = (output / "README.md").read_text()
    assert "# Little streets" in card and "- Steps: 7" in card and "license: cc-by-nc-4.0" in card

    model = AutoModel.from_pretrained(output)
    assert model.dtype == torch.float32 and not model.config.spectral_norm
    inputs = {"label_map": torch.zeros(1, 32, 64, dtype=torch.long), "noise": torch.ones(1, 8)}
    torch.testing.assert_close(model(**inputs).images, tiny_generator(**inputs).images, atol=0.02, rtol=0.02)
    discriminator = AutoModel.from_pretrained(output, subfolder="discriminator")
    assert discriminator.backbone_ready and discriminator(torch.zeros(1, 3, 32, 64))[0].shape == (1, 6, 32, 64)


def test_export_without_backbone_weights_leaves_them_outside(checkpoint: Path, tmp_path: Path):
    assert main(["export", str(checkpoint), str(tmp_path / "out"), "--dtype", "float32"]) == 0
    names = load_file(tmp_path / "out" / "discriminator" / "model.safetensors")
    assert not any(name.startswith("backbone") for name in names)


def test_wrong_arguments_are_one_line(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["export", str(checkpoint), str(tmp_path / "out"), "--backbone_weights", "absent.safetensors"]) == 1
    assert capsys.readouterr().err.strip().endswith("absent.safetensors: no such file of backbone weights")

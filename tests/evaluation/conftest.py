# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Fixtures of the evaluation's tests."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from command_runs import command, model_arguments, run
from safetensors.torch import save_file

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.evaluation.sources import noise_seed
from dpsims_hf.evaluation.train_segmenter import SegmenterOptions, train


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, tiny_dataset_dir: Path) -> dict[str, str]:
    """Weights of a small random backbone, and a segmenter after one step of training."""
    folder = tmp_path_factory.mktemp("networks")
    weights = str(folder / "backbone.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model("test_resnet").state_dict(), weights)
        options = {"backbone": "test_resnet", "backbone_weights": weights, "image_size": (32, 64)}
        train(SegmenterOptions(str(tiny_dataset_dir), str(folder / "segmenter"), **options, steps=1, device="cpu"))
    return {"features": "timm:test_resnet", "feature_weights": weights, "segmenter": str(folder / "segmenter")}


@pytest.fixture(scope="module")
def model_dir(tiny_checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkpoint whose card may be written."""
    return shutil.copytree(tiny_checkpoint_dir, tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def evaluated(
    tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The output of one full run in this process."""
    output = tmp_path_factory.mktemp("evaluated")
    assert run(command(tiny_dataset_dir, networks, output, *model_arguments(model_dir))) == 0
    return output


@pytest.fixture(scope="module")
def images(tiny_dataset_dir: Path, model_dir: Path) -> dict[int, dict[str, np.ndarray]]:
    """Seed -> name -> the image that the pipeline makes for a label map, (height, width, 3) uint8."""
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    labels = sorted((tiny_dataset_dir / "val" / "labels").iterdir())
    options = {"num_images_per_label_map": 1, "output_type": "np_uint8"}
    return {
        seed: {path.stem: pipe(path, noise_seed(seed, i), **options).images[0] for i, path in enumerate(labels)}
        for seed in (0, 1)
    }

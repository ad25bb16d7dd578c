# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Runs of the evaluation's command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState

from dpsims_hf.evaluation.__main__ import main


METRICS = ["fid", "kid", "precision_recall", "mean_iou", "color_texture", "ms_ssim", "grid_artifacts", "variety"]


def run(arguments: list[str]) -> int:
    """The command in this process; other tests may have left an accelerator of other settings behind."""
    AcceleratorState._reset_state(True)
    try:
        return main(arguments)
    finally:
        AcceleratorState._reset_state(True)


def command(data: Path, networks: dict[str, str], output: Path, *arguments: str) -> list[str]:
    options = ["--dataset_dir", str(data), "--output_dir", str(output), "--batch_size", "1", "--cpu"]
    return [*options, *(part for name, value in networks.items() for part in (f"--{name}", value)), *arguments]


def model_arguments(model: Path) -> list[str]:
    arguments = ["--model", str(model), "--metrics", *METRICS, "--seeds", "0", "1", "--images_per_label_map", "3"]
    return [*arguments, "--with_random_weights", "--write_card"]


def load(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


NAMES = [f"scene_{number:04d}" for number in range(8, 12)]

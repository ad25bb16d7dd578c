# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`--validation_steps`: the values of the evaluation command, of the averaged generator, without touching the run."""

import json
from pathlib import Path

import pytest
import timm
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file

import train_accelerate
from dpsims_hf.evaluation import __main__ as command


def run(data: Path, output: Path, *arguments: str) -> int:
    AcceleratorState._reset_state(True)
    fixed = ["--recipe", "oasis/tiny", "--cpu", "--report_to", "jsonl", "--train_dir", str(data)]
    try:
        return train_accelerate.main([*fixed, "--output_dir", str(output), *arguments])
    finally:
        AcceleratorState._reset_state(True)


VALUES = {
    "color_texture_oasis": ("color_distance", "texture_distance"),
    "grid_artifacts_32": ("spectrum_distance",),  # no window fits into the tiny maps: the rest has no value
    "variety_backbone": ("color_spread", "chroma_spread", "color_spread_ratio", "feature_spread_ratio"),
}


@pytest.mark.slow
@pytest.mark.integration
def test_values_are_those_of_the_command_and_the_run_stays_the_same(tiny_dataset_dir: Path, tmp_path: Path):
    backbone = str(tmp_path / "backbone.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model("test_resnet").state_dict(), backbone)
    metrics = ["color_texture", "grid_artifacts", "variety"]
    validation = ["--validation_steps", "2", "--validation_images", "3", "--validation_metrics", *metrics]
    validation += ["--validation_features", "timm:test_resnet", "--validation_feature_weights", backbone]
    assert run(tiny_dataset_dir, tmp_path / "with", *validation) == 0
    assert run(tiny_dataset_dir, tmp_path / "without") == 0
    lines = [json.loads(line) for line in (tmp_path / "with" / "metrics.jsonl").read_text().splitlines()]
    logged = {line["step"]: line for line in lines if "color_texture_oasis/color_distance" in line}
    assert sorted(logged) == [2, 4]

    weights = [load_file(tmp_path / name / "checkpoint-4" / "model.safetensors") for name in ("with", "without")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])

    split = "val" if (tiny_dataset_dir / "val").is_dir() else "train"
    out = tmp_path / "out"
    arguments = ["--model", str(tmp_path / "with" / "checkpoint-4"), "--dataset_dir", str(tiny_dataset_dir), "--cpu"]
    arguments += ["--split", split, "--max_images", "3", "--batch_size", "2", "--metrics", *metrics]
    arguments += ["--features", "timm:test_resnet", "--feature_weights", backbone]
    assert command.main([*arguments, "--output_dir", str(out)]) == 0
    protocols = json.loads((out / "results.json").read_text())["protocols"]
    for protocol, names in VALUES.items():
        for name in names:
            expected = protocols[protocol]["values"][name]["mean"]  # logged in float32
            # Features see it where one pixel of the saved weights' image rounds the other way.
            close = 1e-4 if name.startswith("feature") else 1e-6
            assert logged[4][f"{protocol}/{name}"] == pytest.approx(expected, rel=close), name
    reference = protocols["variety_backbone"]["real_photos"]["color_spread"]
    for step in (2, 4):  # the photos' own value stands beside every value
        assert logged[step]["variety_backbone/color_spread_real_photos"] == pytest.approx(reference, rel=1e-6)
    card = (tmp_path / "with" / "checkpoint-4" / "README.md").read_text()
    assert "| variety_backbone | color_spread_real_photos |" in card

"""`--validation_steps`: the values of the evaluation command, of the averaged generator, without touching the run."""

import json
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

import train_accelerate
from dpsims_hf.evaluation import __main__ as command


def run(data: Path, output: Path, *arguments: str) -> int:
    AcceleratorState._reset_state(True)
    fixed = ["--recipe", "oasis/tiny", "--cpu", "--report_to", "jsonl", "--train_dir", str(data)]
    try:
        return train_accelerate.main([*fixed, "--output_dir", str(output), *arguments])
    finally:
        AcceleratorState._reset_state(True)


def test_values_are_those_of_the_command_and_the_run_stays_the_same(tiny_dataset_dir: Path, tmp_path: Path):
    validation = ["--validation_steps", "2", "--validation_metrics", "color_texture", "--validation_images", "3"]
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
    arguments += ["--split", split, "--max_images", "3", "--batch_size", "2", "--metrics", "color_texture"]
    assert command.main([*arguments, "--output_dir", str(out)]) == 0
    values = json.loads((out / "results.json").read_text())["protocols"]["color_texture_oasis"]["values"]
    for name in ("color_distance", "texture_distance"):
        expected = torch.tensor(values[name]["mean"]).item()  # logged in float32
        assert abs(logged[4][f"color_texture_oasis/{name}"] - expected) < 1e-6 * expected

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Noise that tells a photo's appearance: distributed like N(0, I), and the photo can be read from it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import run_here

from dpsims_hf.training.objectives.dpsims import DPSIMSLossWeights
from dpsims_hf.training.objectives.photo_noise import PhotoNoise, appearance


SETTINGS = (
    *("--set", "loss.photo_noise=0.7"),
    *("--set", "loss.lambda_color=10"),
    *("--set", "loss.random_shift=3"),
    *("--set", "generator.texture_noise=true"),
    *("--set", 'loss.schedule={"lambda_color": [[0, 10], [3, 1]]}'),
)


def test_appearance_by_hand():
    pixels = torch.zeros(3, 2, 4)
    pixels[0, :, :2] = 1.0  # the left half is red
    pixels[:, 0, 2:], pixels[:, 1, 2:] = 0.5, -0.5  # the right half: light and dark grey
    labels = torch.tensor([[0, 0, 2, 2], [0, 0, 2, 2]])
    row = appearance(pixels, labels, [0, 1, 2])
    assert row[:4].tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0])
    assert row[4:8].isnan().all()
    assert row[8:].tolist() == pytest.approx([0.0, 0.0, 0.0, 0.5])


def rows_of_a_known_law(count: int = 400) -> torch.Tensor:
    """8 numbers from 3 hidden ones, with gaps."""
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, 8, generator=rng, dtype=torch.float64)
    rows = torch.randn(count, 3, generator=rng, dtype=torch.float64) @ mixing + 0.3
    rows += 0.05 * torch.randn(rows.shape, generator=rng, dtype=torch.float64)
    gaps = (torch.rand(count, 2, generator=rng) < 0.3).repeat_interleave(4, dim=1)
    gaps[gaps.all(dim=1)] = False
    return torch.where(gaps, float("nan"), rows)


def test_covariance_is_found_in_spite_of_gaps():
    whole = PhotoNoise(rows_of_a_known_law(4000), [0, 1], 16)
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, 8, generator=rng, dtype=torch.float64)
    true = mixing.T @ mixing + 0.05**2 * torch.eye(8, dtype=torch.float64)
    scale = true.diagonal().sqrt()
    torch.testing.assert_close(whole.covariance, true / torch.outer(scale, scale), atol=0.08, rtol=0)
    assert whole.dimensions == 3


def photo(row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two halves with the colours and the contrast that a row asks for."""
    pixels, labels = torch.zeros(3, 2, 4, dtype=torch.float64), torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    for half, values in ((slice(0, 2), row[:4]), (slice(2, 4), row[4:])):
        pixels[:, :, half] = values[:3, None, None]
        pixels[:, 0, half] += values[3]
        pixels[:, 1, half] -= values[3]
    return pixels, labels


def test_noise_of_photos_is_standard_normal_and_tells_them_apart():
    rng = torch.Generator().manual_seed(1)
    colors = torch.randn(500, 8, generator=rng, dtype=torch.float64) * 0.2
    colors[:, 3::4] = colors[:, 3::4].abs()
    rows = torch.stack([appearance(*photo(row), [0, 1]) for row in colors])
    fitted = PhotoNoise(rows, [0, 1], 16)
    noise = torch.randn(500, 16, generator=rng)
    codes = torch.stack([fitted(*photo(row), one, rng) for row, one in zip(colors, noise, strict=True)])
    assert codes.shape == (500, 16) and fitted.dimensions == 8
    assert codes.mean(dim=0).abs().max() < 0.15 and (codes.std(dim=0) - 1).abs().max() < 0.15
    assert torch.equal(codes[:, 8:], noise[:, 8:])
    # The colours are a linear function of the noise.
    solution = torch.linalg.lstsq(torch.cat([codes[:, :8].double(), torch.ones(500, 1)], dim=1), rows).solution
    rebuilt = torch.cat([codes[:, :8].double(), torch.ones(500, 1)], dim=1) @ solution
    assert (rebuilt - rows).abs().mean() < 0.02


def test_what_a_photo_does_not_show_is_drawn_given_what_it_shows():
    fitted = PhotoNoise(rows_of_a_known_law(), [0, 1], 16)
    pixels, labels = photo(torch.tensor([0.5] * 8, dtype=torch.float64))
    labels[:] = 0
    draws = [fitted(pixels, labels, torch.zeros(16), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and torch.isfinite(draws[2]).all()


@pytest.mark.slow
@pytest.mark.integration
def test_a_run_with_all_of_it_resumes_exactly(tiny_dataset_dir: Path, tmp_path: Path):
    assert run_here(tiny_dataset_dir, tmp_path / "whole", *SETTINGS, "--max_train_steps", "4") == 0
    assert run_here(tiny_dataset_dir, tmp_path / "parts", *SETTINGS, "--max_train_steps", "2") == 0
    resume = ("--resume_from_checkpoint", "latest", "--max_train_steps", "4")
    assert run_here(tiny_dataset_dir, tmp_path / "parts", *SETTINGS, *resume) == 0
    first, second = (load_file(tmp_path / name / "checkpoint-4" / "model.safetensors") for name in ("whole", "parts"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    colors = [line["g_color"] for line in lines if "g_color" in line]
    assert len(colors) == 4 and colors[3] < colors[0] / 3


def test_it_does_not_go_with_noise_per_region():
    with pytest.raises(ValueError, match="photo_noise.*noise_sampling='region'"):
        DPSIMSLossWeights(photo_noise=0.5, noise_sampling="region")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("--set", "loss.random_shift=32"), "loss.random_shift=32 must be smaller than both sides"),
        (
            ("--recipe", "oasis/tiny", "--set", "generator.noise_dim=0", "--set", "loss.photo_noise=1"),
            "noise_dim is 0",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: tuple, message: str, tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    assert run_here(tiny_dataset_dir, tmp_path / "run", *settings) == 2
    assert message in capsys.readouterr().err

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Gains of the texture noise as a share of what they are added to."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_families import FAMILIES, make, random
from training_runs import run_here

from dpsims_hf.layers_texture import TextureNoise
from dpsims_hf.training.options.sections import TrainingOptions
from dpsims_hf.training.texture_gains import fit_texture_gains


def batch_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        "label_map": torch.arange(3 * 32 * 64).view(3, 32, 64) // 97 % 5,
        "noise": random(3, model.config.noise_dim),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_gains_are_the_share_of_the_spread_where_the_noise_is_added(family):
    model = make(family, "Generator", texture_noise=True).train()
    textures = {name: module for name, module in model.named_modules() if isinstance(module, TextureNoise)}
    first = next(iter(textures.values()))
    with torch.no_grad():
        first.gain[0] = -3.0
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = fit_texture_gains(model, 0.25, batch_of(model))
    assert before.keys() == textures.keys() and all(share > 0 for share in before.values())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]) or name.endswith("gain"), name
    assert first.gain[0] < 0, "a sign that was learned stays"
    found = {}
    for name, module in textures.items():
        module.register_forward_pre_hook(lambda texture, inputs, name=name: found.update({name: inputs[0].clone()}))
    with torch.no_grad():
        model(**batch_of(model))
    for name, hidden in found.items():
        spread = hidden.std(dim=(0, 2, 3)).clamp_min(1e-6)
        torch.testing.assert_close(textures[name].gain.abs(), 0.25 * spread, rtol=1e-4, atol=1e-9)


def test_a_generator_without_noise_and_a_share_that_is_none():
    model = make("DPSIMS", "Generator")
    with pytest.raises(ValueError, match=r"generator\.texture_noise=true"):
        fit_texture_gains(model, 0.25, batch_of(model))
    for share in (-0.1, 2.5, float("nan")):
        with pytest.raises(ValueError, match=r"texture_noise_share=.* must be in \[0, 2\]"):
            TrainingOptions(texture_noise_share=share)


@pytest.mark.integration
def test_a_new_run_starts_with_them_and_a_resumed_one_keeps_its_own(tiny_dataset_dir: Path, tmp_path: Path):
    common = ["--set", "generator.texture_noise=true"]
    fitted = [*common, "--set", "training.texture_noise_share=0.3"]

    def gains(output: Path, step: int) -> list[torch.Tensor]:
        tensors = load_file(output / f"checkpoint-{step}" / "training_state" / "generator.safetensors")
        return [tensors[name] for name in sorted(tensors) if name.endswith("gain")]

    still = ["--set", "training.learning_rate_generator=0"]
    run_here(tiny_dataset_dir, tmp_path / "plain", "--max_train_steps", "1", *common, *still)
    run_here(tiny_dataset_dir, tmp_path / "fitted", "--max_train_steps", "1", *fitted, *still)
    plain, new = gains(tmp_path / "plain", 1), gains(tmp_path / "fitted", 1)
    assert new and all(torch.allclose(gain, torch.full_like(gain, 0.04)) for gain in plain)
    assert not any(torch.allclose(gain, torch.full_like(gain, 0.04)) for gain in new)
    run_here(
        tiny_dataset_dir, tmp_path / "fitted", "--max_train_steps", "2", *fitted, *still,
        "--resume_from_checkpoint", "latest",
    )  # fmt: skip
    assert all(map(torch.equal, gains(tmp_path / "fitted", 2), new))

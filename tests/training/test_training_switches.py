# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Switches that change how a step is computed, and neither its result nor what is saved."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from training_runs import Run, succeed
from transformers import PreTrainedModel

from dpsims_hf import (
    DPGANGenerator,
    DPGANGeneratorConfig,
    DPSIMSDiscriminator,
    DPSIMSDiscriminatorConfig,
    DPSIMSGenerator,
    DPSIMSGeneratorConfig,
    OASISGenerator,
    OASISGeneratorConfig,
)
from dpsims_hf.training.options import parse_override, resolve_options


pytestmark = pytest.mark.integration


STEPS = ("--max_train_steps", "2", "--set", "training.batch_norm_refresh_batches=1")
GENERATORS = [
    (DPSIMSGenerator, DPSIMSGeneratorConfig),
    (DPGANGenerator, DPGANGeneratorConfig),
    (OASISGenerator, OASISGeneratorConfig),
]


def numbers(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def stored_names(checkpoint: Path) -> list[str]:
    names = []
    for file in sorted(checkpoint.rglob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            names += [f"{file.relative_to(checkpoint)}:{name}" for name in tensors.keys()]
    return names


@pytest.fixture(scope="module")
def plain(tiny_dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps without any switch."""
    output = tmp_path_factory.mktemp("runs") / "plain"
    succeed(tiny_dataset_dir, output, *STEPS)
    return output


def pair(model_class: type, config_class: type) -> list[PreTrainedModel]:
    torch.manual_seed(0)
    first, second = (model_class(config_class.from_preset("tiny")).train() for _ in range(2))
    second.load_state_dict(first.state_dict())
    return [first, second]


@pytest.mark.parametrize(("model_class", "config_class"), GENERATORS)
def test_checkpointed_blocks_compute_the_same_to_the_last_bit(model_class: type, config_class: type):
    """Gradients, and what a second forward pass would spoil: running statistics, power iterations, counters."""
    kept, recomputed = pair(model_class, config_class)
    recomputed.activation_checkpointing_enable()
    labels = torch.randint(0, 5, (2, 32, 64), generator=torch.Generator().manual_seed(1))
    noise = kept.sample_noise(2, generator=torch.Generator().manual_seed(2))
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    for model in (kept, recomputed):
        for _ in range(2):  # gradients of two passes add up
            model(labels, noise=noise).images.square().mean().backward()
    states = kept.state_dict(), recomputed.state_dict()
    assert [name for name in before if not torch.equal(states[0][name], states[1][name])] == []
    assert any(not torch.equal(before[name], states[0][name]) for name in before if name.endswith("running_mean"))
    for (name, one), other in zip(kept.named_parameters(), recomputed.parameters(), strict=True):
        assert one.grad is None if other.grad is None else torch.equal(one.grad, other.grad), name


@pytest.mark.parametrize(("model_class", "config_class"), GENERATORS)
def test_checkpointed_blocks_keep_less(model_class: type, config_class: type):
    """Bytes that the forward pass keeps for the backward pass."""
    labels = torch.zeros(2, 32, 64, dtype=torch.int64)
    kept_bytes = []
    for model, enabled in zip(pair(model_class, config_class), (False, True), strict=True):
        if enabled:
            model.activation_checkpointing_enable()
        kept: dict[int, int] = {}

        def note(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output = model(labels, noise=torch.zeros(2, 8))
        kept_bytes.append(sum(kept.values()))
        del output
    assert kept_bytes[1] < 0.6 * kept_bytes[0]


def test_the_older_name_of_the_switch_works_too():
    model = DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("tiny"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing and model.blocks[0].gradient_checkpointing
        model.gradient_checkpointing_disable()
    assert not model.blocks[0].gradient_checkpointing


@pytest.mark.slow
def test_a_run_with_gradient_checkpointing_is_the_same_run(plain: Path, tiny_dataset_dir: Path, tmp_path: Path):
    succeed(tiny_dataset_dir, tmp_path / "out", *STEPS, "--set", "training.gradient_checkpointing=true")
    assert numbers(tmp_path / "out") == numbers(plain)


@pytest.mark.slow
def test_a_compiled_run_is_the_same_run_with_the_same_names(plain: Path, tiny_dataset_dir: Path, tmp_path: Path):
    """The eager backend traces as inductor does, without its minutes of code generation on a CPU."""
    compiled = ("--set", "training.compile=true", "--set", "training.compile_backend=eager")
    succeed(tiny_dataset_dir, tmp_path / "out", *STEPS, *compiled)
    assert numbers(tmp_path / "out")[0] == pytest.approx(numbers(plain)[0], rel=1e-4)
    assert numbers(tmp_path / "out")[1] == pytest.approx(numbers(plain)[1], rel=1e-2)
    names = stored_names(tmp_path / "out" / "checkpoint-2")
    assert names == stored_names(plain / "checkpoint-2") and len(names) > 300


@pytest.mark.slow
def test_channels_last_changes_nothing_but_rounding(plain: Path, tiny_dataset_dir: Path, tmp_path: Path):
    succeed(tiny_dataset_dir, tmp_path / "out", *STEPS, "--set", "training.channels_last=false")
    for ours, expected in zip(numbers(tmp_path / "out"), numbers(plain), strict=True):
        assert ours == pytest.approx(expected, rel=1e-2)


@pytest.mark.slow
def test_a_backbone_in_bfloat16_trains_with_nearly_the_same_losses(
    plain: Path, tiny_dataset_dir: Path, tmp_path: Path
):
    text = succeed(tiny_dataset_dir, tmp_path / "out", *STEPS, "--set", "training.backbone_dtype=bfloat16")
    assert "frozen backbone unchanged" in text
    ours, expected = numbers(tmp_path / "out")[0], numbers(plain)[0]
    assert ours == pytest.approx(expected, rel=0.03) and ours["d_real"] != expected["d_real"]


def test_gradients_pass_through_a_bfloat16_backbone():
    discriminator = DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny", backbone="test_resnet"))
    images = torch.rand(2, 3, 32, 64, requires_grad=True)
    discriminator.backbone.network.to(torch.bfloat16)
    logits = discriminator(images).segmentation_logits
    logits.square().mean().backward()
    assert logits.dtype == images.grad.dtype == torch.float32 and images.grad.abs().sum() > 0
    assert all(level.dtype == torch.float32 for level in discriminator.backbone(images))


def test_a_backbone_type_without_a_backbone_is_refused(tiny_dataset_dir: Path, tmp_path: Path):
    options = ("--recipe", "oasis/tiny", "--set", "training.backbone_dtype=bfloat16")
    run = Run(tiny_dataset_dir, tmp_path / "out", *options)
    assert run.wait() == [2]
    assert "is for a frozen backbone, which this oasis-discriminator does not have" in run.text


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["training.backbone_dtype=int8"], "training.backbone_dtype='int8'; choose one of float32, bfloat16"),
        (["training.compile=true", "training.gradient_checkpointing=true"], "do not go together"),
    ],
)
def test_wrong_switches_are_named(texts: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        resolve_options("tiny", [(*parse_override(text), "--set") for text in texts])

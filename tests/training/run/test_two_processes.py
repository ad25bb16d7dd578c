# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Two processes are one run: the same numbers as one process on the joined batch, one checkpoint, one answer."""

import json
import signal
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from training_runs import CONTEXT, Run, succeed

from dpsims_hf.training.objectives.common import class_balance
from dpsims_hf.training.objectives.losses import class_weights
from dpsims_hf.training.objectives.weights import AdversarialLossWeights
from dpsims_hf.training.run.checkpoints import list_checkpoints


pytestmark = pytest.mark.integration


EXACT = ("--set", "loss.global_class_weights=true", "--set", "training.batch_norm_refresh_batches=1")
JOINED = ("--train_batch_size", "4")
HALVED = ("--train_batch_size", "2")


def numbers(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def weights(checkpoint: Path, network: str) -> torch.Tensor:
    """All weights and running statistics of a live network in one vector."""
    folder = checkpoint / "discriminator" if network == "discriminator" else checkpoint / "training_state"
    file = folder / ("model.safetensors" if network == "discriminator" else f"{network}.safetensors")
    return torch.cat([tensor.double().flatten() for tensor in load_file(file).values()])


def gradients(checkpoint: Path) -> torch.Tensor:
    """The last step's gradients of both networks: Adam's first moment, since beta_1 is 0."""
    states = [
        torch.load(checkpoint / "training_state" / name, weights_only=True)["state"]
        for name in ("optimizer.bin", "optimizer_1.bin")
    ]
    return torch.cat([entry["exp_avg"].double().flatten() for state in states for entry in state.values()])


def relative(ours: torch.Tensor, expected: torch.Tensor) -> float:
    return float((ours - expected).norm() / expected.norm())


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "accumulation"), [("tiny", 1), ("tiny", 2), ("dpgan/tiny", 2)])
def test_two_processes_equal_one_with_the_joined_batch(
    tiny_dataset_dir: Path, tmp_path: Path, recipe: str, accumulation: int
):
    """Losses, gradients, class weights, batch norm, parameters: by the whole script."""
    common = ["--recipe", recipe, "--max_train_steps", "3", "--gradient_accumulation_steps", str(accumulation)]
    common += ["--checkpointing_steps", "1", "--checkpoints_total_limit", "0", *EXACT]
    one = Run(tiny_dataset_dir, tmp_path / "one", *common, *JOINED)
    two = Run(tiny_dataset_dir, tmp_path / "two", *common, *HALVED, processes=2)
    assert one.wait() == [0] and two.wait() == [0, 0], one.text + two.text
    expected, ours = numbers(tmp_path / "one"), numbers(tmp_path / "two")
    assert ours[0] == pytest.approx(expected[0], rel=1e-4, abs=1e-7) and expected[0] != expected[1]
    assert ours[-1] == pytest.approx(expected[-1], rel=1e-2, abs=1e-5)
    first, last = (f"checkpoint-{step}" for step in (1, 3))
    # Of one process: torch's own batch norm in float32 is 2e-3 away from its float64 here, ours 2e-6.
    assert relative(gradients(tmp_path / "two" / first), gradients(tmp_path / "one" / first)) < 1e-2
    for network in ("generator", "discriminator"):
        start, end = (weights(tmp_path / "one" / name, network) for name in (first, last))
        difference = weights(tmp_path / "two" / last, network) - end
        # Adam moves a bias before a batch norm, whose true gradient is 0, by the sign of rounding errors.
        assert difference.norm() < 0.05 * (end - start).norm()


def alphas(rank: int, folder: str, labels: torch.Tensor) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    found = {
        choice: class_balance(labels[rank], AdversarialLossWeights(global_class_weights=choice), 4, 3)
        for choice in (False, True)
    }
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_class_weights_are_each_processes_own_or_those_of_all(tmp_path: Path):
    """OASIS Eq. 2: B * H * W / (K * n_c), K the classes present, without void (3)."""
    labels = torch.tensor([[[[0, 0, 0, 1]]], [[[1, 1, 2, 3]]]])
    workers = [CONTEXT.Process(target=alphas, args=(rank, str(tmp_path), labels)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    own = [[4 / (2 * 3), 4 / 2, 0.0, 0.0], [0.0, 4 / (2 * 2), 4 / 2, 0.0]]
    torch.testing.assert_close([one[False].tolist() for one in found], own)
    joined = [8 / (3 * 3), 8 / (3 * 3), 8 / 3, 0.0]
    torch.testing.assert_close([one[True].tolist() for one in found], [joined, joined])
    torch.testing.assert_close(class_weights(labels[:, 0], 4, 3).tolist(), joined)


@pytest.mark.slow
def test_processes_weigh_classes_by_themselves_unless_asked(tiny_dataset_dir: Path, tmp_path: Path):
    common = ["--max_train_steps", "1", *HALVED, "--set", "training.batch_norm_refresh_batches=1"]
    losses = []
    for choice in ("false", "true"):
        output = tmp_path / choice
        succeed(tiny_dataset_dir, output, *common, "--set", f"loss.global_class_weights={choice}", processes=2)
        losses.append(numbers(output)[0])
    assert losses[0]["d_fake"] == losses[1]["d_fake"]
    assert losses[0]["d_real"] != pytest.approx(losses[1]["d_real"], rel=1e-4)


@pytest.mark.parametrize(("before", "now"), [(1, 2), (2, 1)])
@pytest.mark.slow
def test_a_run_goes_on_with_other_processes(tiny_dataset_dir: Path, tmp_path: Path, before: int, now: int):
    """Four images per step in any case: the same run, whoever shares the work."""
    common = list(EXACT)
    whole = Run(tiny_dataset_dir, tmp_path / "whole", *common, *JOINED, "--max_train_steps", "3")
    output, batches = tmp_path / "moved", {1: JOINED, 2: HALVED}
    succeed(tiny_dataset_dir, output, *common, *batches[before], "--max_train_steps", "2", processes=before)
    continued = ["--resume_from_checkpoint", "latest", "--max_train_steps", "3"]
    text = succeed(tiny_dataset_dir, output, *common, *batches[now], *continued, processes=now)
    assert f"{now} process(es) instead of {before}: the data goes on behind the last sample seen" in text
    assert "at step 2, 8 samples seen" in text
    assert "not exact: sums over processes round differently" in text
    assert "images per step instead" not in text and "batch norm sees" not in text and "are weighed" not in text
    assert whole.wait() == [0], whole.text
    progress = json.loads((output / "checkpoint-3" / "training_state" / "progress.json").read_text())
    assert (progress["samples_seen"], progress["processes"], progress["data"]) == (12, now, {"draws": 12})
    expected, ours = numbers(tmp_path / "whole")[-1], numbers(output)[-1]
    assert ours == pytest.approx(expected, rel=1e-2, abs=1e-5)


@pytest.mark.slow
def test_what_is_not_exact_is_said(tiny_dataset_dir: Path, tmp_path: Path):
    succeed(tiny_dataset_dir, tmp_path / "out", *HALVED, "--max_train_steps", "1")
    continued = ["--resume_from_checkpoint", "latest", "--max_train_steps", "2"]
    text = succeed(tiny_dataset_dir, tmp_path / "out", "--train_batch_size", "3", *continued, processes=2)
    assert "not exact: 6 images per step instead of 2" in text
    assert "not exact: batch norm sees 6 images at once instead of 2" in text
    assert "not exact: classes are weighed by 3 images, a process's own batch, instead of 2" in text
    progress = json.loads((tmp_path / "out" / "checkpoint-2" / "training_state" / "progress.json").read_text())
    assert progress["data"] == {"draws": 8}


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.slow)])
def test_a_signal_to_one_process_stops_both(tiny_dataset_dir: Path, tmp_path: Path, number: int):
    run = Run(tiny_dataset_dir, tmp_path / "out", "--max_train_steps", "100000", processes=2)
    run.until_step(2)
    run.signal(number, rank=1)
    assert run.wait() == [0, 0], run.text
    [checkpoint] = list_checkpoints(tmp_path / "out")
    step = int(checkpoint.name.removeprefix("checkpoint-"))
    assert f"stopped by a signal after step {step}; --resume_from_checkpoint latest continues" in run.text

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""train_accelerate.py as it is run: names in the log, exact resume, stop signal, two processes, clear errors."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from training_runs import ROOT, run_here, states, subprocess_environment
from transformers import AutoModel

import train_accelerate


pytestmark = pytest.mark.integration


TERMS = {"d_real", "d_fake", "g_gan", "g_contrastive", "g_diversity", "diversity_ratio", "image_difference"}
OASIS_TERMS = {"d_real", "d_fake", "d_labelmix", "g_gan", "image_difference"}
DPGAN_TERMS = OASIS_TERMS | {"d_patch_real", "d_patch_fake", "g_patch", "g_feature_matching"}
SPADE_TERMS = {"d_real", "d_fake", "g_gan", "g_vgg", "image_difference"}
RECIPE_TERMS = {"tiny": TERMS, "oasis/tiny": OASIS_TERMS, "dpgan/tiny": DPGAN_TERMS, "spade/tiny": SPADE_TERMS}


@pytest.fixture(scope="module")
def run_of(tiny_dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Four steps of a recipe in one go."""

    @cache
    def finished(recipe: str) -> Path:
        output = tmp_path_factory.mktemp("run")
        assert run_here(tiny_dataset_dir, output, "--recipe", recipe, "--sample_steps", "4") == 0
        return output

    return finished


@pytest.fixture(scope="module")
def finished_run(run_of: Callable[[str], Path]) -> Path:
    return run_of("tiny")


def numbers(folder: Path) -> list[dict[str, float]]:
    """What a run logged, step by step."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("recipe", list(RECIPE_TERMS))
def test_a_run_leaves_checkpoint_numbers_pictures_and_options(run_of: Callable[[str], Path], recipe: str):
    finished_run = run_of(recipe)
    lines = numbers(finished_run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert set(lines[-1]) == {"step", *RECIPE_TERMS[recipe]}
    grid = Image.open(finished_run / "samples" / "step-000004.png")
    assert grid.size == (4 * (64 + 4) + 4, 2 * (32 + 4) + 4)  # label | real | two fakes, two maps
    assert Image.open(finished_run / "curves.png").width > 500
    options = json.loads((finished_run / "training_options.json").read_text())
    assert options["training.batch_size"] == {"value": 2, "source": f"recipe {recipe}: ours: for tests"}
    assert options["training.sample_steps"]["source"] == "--sample_steps"


@pytest.mark.parametrize("recipe", list(RECIPE_TERMS))
def test_checkpoint_is_a_loadable_model_folder(run_of: Callable[[str], Path], recipe: str):
    finished_run = run_of(recipe)
    folder = finished_run / "checkpoint-4"
    model = AutoModel.from_pretrained(folder)
    images = model(torch.zeros(1, 32, 64, dtype=torch.long), noise=torch.zeros(1, 8)).images
    assert torch.isfinite(images).all()
    assert model.config.id2label[0] == "sky"
    discriminator = AutoModel.from_pretrained(folder, subfolder="discriminator")
    if recipe == "spade/tiny":  # it judges patches alone
        scores = discriminator(images, torch.zeros(1, 32, 64, dtype=torch.long)).patch_logits
        assert len(scores) == 2 and all(score.shape[:2] == (1, 1) for score in scores)
    else:
        assert discriminator(images).segmentation_logits.shape == (1, 6, 32, 64)
    assert not list(folder.glob("discriminator/*.py")) and not list(finished_run.glob(".checkpoint*"))


@pytest.mark.parametrize("recipe", list(RECIPE_TERMS))
def test_resumed_run_equals_uninterrupted_run_bit_for_bit(
    run_of: Callable[[str], Path], tiny_dataset_dir: Path, tmp_path: Path, recipe: str
):
    finished_run, choice = run_of(recipe), ["--recipe", recipe]
    assert run_here(tiny_dataset_dir, tmp_path, *choice, "--max_train_steps", "2", "--sample_steps", "0") == 0
    torch.manual_seed(12345)  # whatever happened to the global random state in between
    assert run_here(tiny_dataset_dir, tmp_path, *choice, "--resume_from_checkpoint", "latest") == 0
    expected, resumed = states(finished_run / "checkpoint-4"), states(tmp_path / "checkpoint-4")
    assert expected.keys() == resumed.keys() and len(expected) > (150 if recipe == "spade/tiny" else 300)
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []


def test_a_new_run_starts_from_weights_with_a_new_part(
    finished_run: Path, tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    folder = finished_run / "checkpoint-4"
    arguments = ["--initialize_from", str(folder), "--set", "generator.position_waves=4", "--max_train_steps", "1"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments, "--set", "training.learning_rate_generator=0.0") == 0
    assert "new parameters: ['pyramid.levels.0.convolution.position.weight']" in capsys.readouterr().out
    before = load_file(folder / "training_state" / "generator.safetensors")
    after = load_file(tmp_path / "checkpoint-1" / "training_state" / "generator.safetensors")
    same = [name for name in before if "running" not in name and "num_batches" not in name and "parametr" not in name]
    assert len(same) > 50 and all(torch.equal(before[name], after[name]) for name in same)


def test_a_learning_rate_changed_on_resume_counts(tiny_dataset_dir: Path, tmp_path: Path):
    assert run_here(tiny_dataset_dir, tmp_path, "--max_train_steps", "1", "--sample_steps", "0") == 0
    arguments = ["--resume_from_checkpoint", "latest", "--max_train_steps", "2", "--sample_steps", "0"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments, "--set", "training.learning_rate_generator=0.0") == 0
    first, second = (load_file(tmp_path / f"checkpoint-{n}/training_state/generator.safetensors") for n in (1, 2))
    assert torch.equal(first["to_image.weight"], second["to_image.weight"])
    discriminators = [load_file(tmp_path / f"checkpoint-{n}/discriminator/model.safetensors") for n in (1, 2)]
    assert not torch.equal(*(state["classifier.weight"] for state in discriminators))


def test_weights_that_do_not_fit_are_one_clear_line(
    finished_run: Path, tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    arguments = ["--initialize_from", str(finished_run / "checkpoint-4"), "--max_train_steps", "1"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments, "--set", "generator.base_channels=8") == 2
    assert "this run's networks have" in capsys.readouterr().err
    assert run_here(tiny_dataset_dir, tmp_path, "--initialize_from", str(tmp_path / "absent")) == 2
    assert "holds no model.safetensors" in capsys.readouterr().err


def test_a_new_run_starts_from_the_embedded_checkpoint(tiny_dataset_dir: Path, tmp_path: Path):
    """A published folder has folded weights and no training state; it starts a run all the same."""
    published = ROOT / "checkpoints" / "dpsims-camvid-small"
    data = tmp_path / "data"
    shutil.copytree(tiny_dataset_dir, data)
    shutil.copyfile(ROOT / "tests" / "fixtures" / "camvid_classes.json", data / "classes.json")
    for split in ("train", "val"):
        for label in (data / split / "labels").iterdir():
            Image.open(label).point(lambda value: min(value, 10)).save(label)
    arguments = ["--recipe", "camvid_small", "--initialize_from", str(published), "--max_train_steps", "1"]
    arguments += ["--set", "loss.lambda_contrastive=0", "--set", "loss.schedule={}", "--sample_steps", "0"]
    arguments += ["--set", "training.batch_norm_refresh_batches=1", "--train_batch_size", "2"]
    assert run_here(data, tmp_path / "out", *arguments) == 0
    assert (tmp_path / "out" / "checkpoint-1" / "model.safetensors").is_file()


def test_another_seed_is_another_run(finished_run: Path, tiny_dataset_dir: Path, tmp_path: Path):
    assert run_here(tiny_dataset_dir, tmp_path, "--seed", "1", "--max_train_steps", "1") == 0
    first = json.loads((finished_run / "metrics.jsonl").read_text().splitlines()[0])
    other = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert first["d_real"] != other["d_real"]


def test_total_limit_and_refusal_to_mix_runs(tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    arguments = ["--checkpointing_steps", "1", "--checkpoints_total_limit", "2", "--sample_steps", "0"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments, "--max_train_steps", "3") == 0
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments) == 2
    assert "holds checkpoints of an earlier run; add --resume_from_checkpoint latest" in capsys.readouterr().err
    assert run_here(tiny_dataset_dir, tmp_path, "--resume_from_checkpoint", "checkpoint-9") == 2
    assert "no checkpoint 'checkpoint-9'; complete checkpoints" in capsys.readouterr().err


def test_accumulation_runs_and_consumes_two_micro_batches(tiny_dataset_dir: Path, tmp_path: Path):
    assert run_here(tiny_dataset_dir, tmp_path, "--gradient_accumulation_steps", "2", "--max_train_steps", "2") == 0
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2 and set(json.loads(lines[0])) == {"step", *TERMS}


def test_bfloat16_and_clipping(tiny_dataset_dir: Path, tmp_path: Path):
    arguments = ["--mixed_precision", "bf16", "--set", "training.max_grad_norm=1", "--max_train_steps", "2"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments) == 0
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["generator_grad_norm"] > 0 and last["discriminator_grad_norm"] > 0


def test_ablation_flag_lands_in_the_saved_config(tiny_dataset_dir: Path, tmp_path: Path):
    arguments = ["--set", "generator.use_self_attention=false", "--set", "loss.lambda_contrastive=0"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments, "--max_train_steps", "1") == 0
    assert json.loads((tmp_path / "checkpoint-1" / "config.json").read_text())["use_self_attention"] is False
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert set(line) == {"step", *TERMS} - {"g_contrastive"}


def test_instance_offsets_train(tiny_dataset_dir: Path, tmp_path: Path):
    arguments = ["--set", "generator.use_instance_offsets=true", "--max_train_steps", "1", "--sample_steps", "1"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments) == 0
    assert (tmp_path / "samples" / "step-000001.png").is_file()


def test_a_style_encoder_trains_and_goes_on_exactly(tiny_dataset_dir: Path, tmp_path: Path):
    choice = ["--recipe", "spade/tiny", "--set", "generator.use_style_encoder=true", "--sample_steps", "0"]
    assert run_here(tiny_dataset_dir, tmp_path / "whole", *choice, "--max_train_steps", "2") == 0
    for more in (("--max_train_steps", "1"), ("--max_train_steps", "2", "--resume_from_checkpoint", "latest")):
        assert run_here(tiny_dataset_dir, tmp_path / "parts", *choice, *more) == 0
    expected, resumed = (states(tmp_path / name / "checkpoint-2") for name in ("whole", "parts"))
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []
    assert set(numbers(tmp_path / "whole")[-1]) == {"step", "g_kl", *SPADE_TERMS}
    model = AutoModel.from_pretrained(tmp_path / "whole" / "checkpoint-2")
    mean = model.encode_style(torch.rand(1, 3, 20, 30) * 2 - 1).mean
    assert torch.isfinite(model(torch.zeros(1, 32, 64, dtype=torch.long), noise=mean).images).all()


VGG = '[{"network": "test_resnet", "out_indices": [1, 2], "weights": "random"}]'


def test_a_swapped_pair_trains_with_a_perceptual_loss(tiny_dataset_dir: Path, tmp_path: Path):
    arguments = ["--recipe", "oasis/tiny", "--generator_family", "dpgan", "--discriminator_family", "dpsims"]
    for change in ("loss.lambda_vgg=10", f"perceptual.networks={VGG}", "perceptual.level_weights=[1, 1]"):
        arguments += ["--set", change]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments, "--max_train_steps", "1") == 0
    assert set(numbers(tmp_path)[-1]) == {"step", "g_vgg", *OASIS_TERMS}
    folder = tmp_path / "checkpoint-1"
    assert type(AutoModel.from_pretrained(folder)).__name__ == "DPGANGenerator"
    discriminator = AutoModel.from_pretrained(folder, subfolder="discriminator")
    assert type(discriminator).__name__ == "DPSIMSDiscriminator"
    assert discriminator(torch.zeros(1, 3, 32, 64)).segmentation_logits.shape == (1, 6, 32, 64)


@pytest.mark.slow
def test_patch_heads_as_released_are_logged_and_learn_nothing(tiny_dataset_dir: Path, tmp_path: Path):
    arguments = ["--recipe", "dpgan/tiny", "--as_released", "--max_train_steps", "2", "--checkpointing_steps", "1"]
    assert run_here(tiny_dataset_dir, tmp_path, *arguments, "--sample_steps", "0") == 0
    assert set(numbers(tmp_path)[-1]) == {"step", *DPGAN_TERMS}
    first, second = (load_file(tmp_path / f"checkpoint-{n}/discriminator/model.safetensors") for n in (1, 2))
    heads = [name for name in first if name.startswith("patch_heads") and name.endswith("weight")]
    assert heads and all(torch.equal(first[name], second[name]) for name in heads)
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])


def test_dry_run_prints_every_option_with_its_source(capsys: pytest.CaptureFixture, tmp_path: Path):
    status = train_accelerate.main(
        ["--recipe", "camvid_small", "--dry_run", "--set", "loss.focal_gamma=0", "--output_dir", str(tmp_path / "x")]
    )
    text = capsys.readouterr().out
    assert status == 0 and not (tmp_path / "x").exists()
    assert "# --set loss.focal_gamma=0" in text and "# recipe camvid_small: paper Sec. 4.1" in text
    assert all("  # " in line for line in text.splitlines())


def break_label(folder: Path, change: str) -> str:
    label = sorted((folder / "train" / "labels").iterdir())[0]
    if change == "out of range":
        Image.new("L", (64, 32), 77).save(label)
    elif change == "truncated":
        label.write_bytes(label.read_bytes()[:40])
    elif change == "unpaired":
        label.unlink()
    elif change == "empty":
        shutil.rmtree(folder / "train")
    return label.name


@pytest.mark.parametrize(
    ("change", "message"),
    [("out of range", "77"), ("truncated", "{name}"), ("unpaired", "label"), ("empty", "train/images")],
)
def test_broken_data_is_one_clear_line_before_training(
    tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture, change: str, message: str
):
    data = tmp_path / "data"
    shutil.copytree(tiny_dataset_dir, data)
    name = break_label(data, change)
    assert run_here(data, tmp_path / "out") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and message.format(name=name) in errors[0]
    assert not list((tmp_path / "out").glob("checkpoint*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "loss.gamma=1"], "unknown option loss.gamma"),
        (["--recipe", "nothing"], "unknown recipe 'nothing'"),
        (["--report_to", "mlflow"], "--report_to 'mlflow' is unknown"),
        (["--backbone_weights", "absent.safetensors"], "absent.safetensors: no such file"),
        (["--set", "data.image_size=[40,64]"], "multiples of"),
        (["--recipe", "dpgan/tiny", "--discriminator_family", "oasis"], "oasis-discriminator does not give"),
        (["--recipe", "oasis/tiny", "--discriminator_family", "spade"], "d_real needs a class for each pixel"),
        (["--recipe", "spade/tiny", "--discriminator_family", "oasis"], "d_real needs verdicts on images together"),
    ],
)
def test_wrong_arguments_are_one_clear_line(
    tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], message: str
):
    assert run_here(tiny_dataset_dir, tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/metrics.jsonl")) and not list(tmp_path.glob("out/checkpoint*"))


@pytest.mark.slow
def test_sigterm_saves_and_the_run_continues(tiny_dataset_dir: Path, tmp_path: Path):
    command = [sys.executable, "train_accelerate.py", "--recipe", "tiny", "--backbone_weights", "random", "--cpu"]
    command += ["--train_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path), "--report_to", "jsonl"]
    process = subprocess.Popen(
        [*command, "--max_train_steps", "100000"],
        cwd=ROOT,
        env=subprocess_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.time() + 240
    while not (tmp_path / "metrics.jsonl").is_file() and time.time() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "stopped by a signal after step" in output
    [checkpoint] = tmp_path.glob("checkpoint-*")
    step = int(checkpoint.name.split("-")[1])
    assert (
        run_here(tiny_dataset_dir, tmp_path, "--resume_from_checkpoint", "latest", "--max_train_steps", str(step + 1))
        == 0
    )
    assert (tmp_path / f"checkpoint-{step + 1}").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["tiny", "dpgan/tiny", "spade/tiny"])
def test_two_processes_train_one_model(tiny_dataset_dir: Path, tmp_path: Path, recipe: str):
    """The second step stops if a parameter got no gradient in the first."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["train_accelerate.py", "--recipe", recipe, "--backbone_weights", "random", "--cpu"]
    command += ["--report_to", "jsonl"]
    command += ["--train_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path), "--max_train_steps", "2"]
    command += ["--gradient_accumulation_steps", "2"]
    result = subprocess.run(
        command, cwd=ROOT, env=subprocess_environment(), capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 process(es) on cpu" in result.stdout
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert AutoModel.from_pretrained(tmp_path / "checkpoint-2").config.num_labels == 5

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Flags that users of other training scripts type: taken, or refused in one line that says what to type instead."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

import train_accelerate
from dpsims_hf.training.options.command_line import options_from_args, parse_args
from dpsims_hf.training.run.processes import SHARDING, check_sharding
from dpsims_hf.training.run.reporting import chosen_trackers, tracker_settings


def options(*arguments: str):
    return options_from_args(parse_args(["--recipe", "tiny", *arguments]))


@pytest.mark.parametrize(
    ("arguments", "section", "key", "value"),
    [
        (["--learning_rate_generator", "2e-4"], "training", "learning_rate_generator", 2e-4),
        (["--learning_rate_discriminator", "4e-4"], "training", "learning_rate_discriminator", 4e-4),
        (["--dataloader_num_workers", "3"], "data", "workers", 3),
        (["--gradient_checkpointing"], "training", "gradient_checkpointing", True),
        (["--allow_tf32"], "training", "allow_tf32", True),
        (["--num_train_epochs", "7"], "training", "num_train_epochs", 7),
        (["--max_train_samples", "5"], "inputs", "max_train_samples", 5),
        (["--run_name", "first"], "launch", "run_name", "first"),
        (["--report_to", "none"], "launch", "report_to", ("none",)),
        (["--push_to_hub", "--hub_model_id", "me/model"], "launch", "push_to_hub", "me/model"),
        (["--push_to_hub", "me/model"], "launch", "push_to_hub", "me/model"),
    ],
)
def test_a_flag_is_an_option(arguments: list[str], section: str, key: str, value: object):
    chosen = options(*arguments)
    assert getattr(getattr(chosen, section), key) == value
    assert chosen.source(f"{section}.{key}").startswith("--")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--learning_rate", "1e-4"], "--learning_rate_generator and --learning_rate_discriminator"),
        (["--num_train_epochs", "2", "--max_train_steps", "9"], "give one of them"),
        (["--hub_model_id", "me/model"], "--push_to_hub says to push"),
        (["--push_to_hub", "me/one", "--hub_model_id", "me/other"], "differ"),
        (["--push_to_hub"], "--push_to_hub user/name or --hub_model_id"),
        (["--max_train_samples", "0"], "inputs.max_train_samples=0 must be at least 1"),
        (["--num_train_epochs", "-1"], "training.num_train_epochs=-1 must be at least 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(arguments: list[str], words: str):
    with pytest.raises(ValueError) as refused:
        options(*arguments)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_report_to_none_and_all():
    assert chosen_trackers(["none"]) == []
    assert chosen_trackers(["jsonl", "jsonl"]) == ["jsonl"]
    every = chosen_trackers(["all"])
    assert "jsonl" in every and ("wandb" in every) == (find_spec("wandb") is not None)
    with pytest.raises(ValueError, match="none goes with no other name"):
        chosen_trackers(["none", "jsonl"])
    with pytest.raises(ValueError, match="'mlflow' is unknown; choose none, all"):
        chosen_trackers(["mlflow"])


def test_trackers_write_into_the_runs_folder_under_the_runs_name():
    settings = tracker_settings("first", Path("OUT"))
    assert settings["wandb"] == {"dir": "OUT", "name": "first"} and settings["trackio"] == {"name": "first"}
    assert tracker_settings(None, "OUT")["wandb"] == {"dir": "OUT"}


@pytest.mark.parametrize("variable", sorted(SHARDING))
def test_sharded_models_are_refused_before_anything_is_built(variable: str, monkeypatch, capsys):
    monkeypatch.setenv(variable, "true")
    assert train_accelerate.main(["--recipe", "tiny", "--train_dir", "/no/such/folder", "--cpu"]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert SHARDING[variable] in line and "--multi_gpu" in line
    check_sharding({variable: "false"})


def test_a_token_is_used_and_warned_of_and_never_recorded(monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "")  # and put back as it was
    secret = "hf_" + "a" * 30
    arguments = ["--recipe", "tiny", "--hub_token", secret, "--dry_run"]
    assert train_accelerate.main(arguments) == 0
    shown = capsys.readouterr().out
    assert os.environ["HF_TOKEN"] == secret and "hf auth login" in shown and secret not in shown
    assert secret not in json.dumps(options_from_args(parse_args(arguments)).record())


@pytest.mark.integration
def test_epochs_of_a_few_samples_without_trackers(tiny_dataset_dir: Path, tmp_path: Path):
    arguments = ["--recipe", "tiny", "--train_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path / "run")]
    arguments += ["--backbone_weights", "random", "--cpu", "--report_to", "none", "--sample_steps", "0"]
    arguments += ["--max_train_samples", "4", "--train_batch_size", "2", "--num_train_epochs", "1"]
    arguments += ["--dataloader_num_workers", "0", "--gradient_checkpointing", "--run_name", "short"]
    assert train_accelerate.main(arguments) == 0
    assert (tmp_path / "run" / "checkpoint-2").is_dir(), "4 samples, 2 at a time: 2 steps"
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    recorded = json.loads((tmp_path / "run" / "training_options.json").read_text())
    assert recorded["training.num_train_epochs"]["value"] == 1

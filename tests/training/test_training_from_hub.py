# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The whole way through a server that speaks the Hub's protocol: a set is pushed, trained from by name, map-style and
as a stream, and every checkpoint arrives with its card and tag.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import ROOT, HubServer, hub_server
from huggingface_hub import ModelCard
from safetensors.torch import load

from dpsims_hf.data.synthetic import write_synthetic_dataset


pytestmark = pytest.mark.slow


TRAIN = (str(ROOT / "train_accelerate.py"), "--recipe", "tiny", "--backbone_weights", "random", "--cpu")
SHORT = ("--max_train_steps", "2", "--checkpointing_steps", "1", "--sample_steps", "2", "--report_to", "jsonl")


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture(scope="module")
def home(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder beside which nothing of the set lies: it was prepared elsewhere and pushed."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder = write_synthetic_dataset(elsewhere / "streets")
    command = ("-m", "dpsims_hf.data.prepare", str(folder), "--output_dir", str(elsewhere / "parquet"))
    run = hub.run(elsewhere, *command, "--push", "user/streets")
    assert run.returncode == 0, run.stderr
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def trained(hub: HubServer, home: Path) -> subprocess.CompletedProcess:
    """A run whose every checkpoint is pushed."""
    validation = ("--validation_steps", "1", "--validation_metrics", "ms_ssim")
    run = hub.run(
        home, *TRAIN, *SHORT, *validation, "--dataset_name", "user/streets", "--push_to_hub", "user/model",
        "--output_dir", str(home / "run"), "--license", "cc0-1.0", "--hub_private",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    return run


def test_every_checkpoint_is_a_tagged_revision(hub, home, trained):
    repository = hub.repositories["model", "user/model"]
    assert set(repository.tags) == {"step-1", "step-2"} and repository.settings["visibility"] == "private"
    for step in (1, 2):
        files, folder = dict(repository.find(f"step-{step}")[1]), home / "run" / f"checkpoint-{step}"
        assert not [name for name in files if "training_state" in name]
        assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
        assert f"pushed {folder} to {hub.url}/user/model" in trained.stdout
    assert "samples.png" in files and files["samples.png"] == (home / "run/samples/step-000002.png").read_bytes()
    weights = [load(repository.find(f"step-{step}")[1]["model.safetensors"]) for step in (1, 2)]
    assert not torch.equal(weights[0]["to_image.weight"], weights[1]["to_image.weight"])
    assert not list((home / "run").glob(".*push")), "nothing is left of the pushes"


def test_the_card_says_what_the_run_knows(hub, trained):
    card = ModelCard(hub.repositories["model", "user/model"].files["README.md"].decode())
    assert card.data.license == "cc0-1.0" and card.data.datasets == ["user/streets"]
    result = card.data.eval_results[0]
    assert result.dataset_type == "user/streets" and result.metric_type == "ms_ssim_2_scales"
    assert f"{result.metric_value:.4g}" in card.text and result.metric_args["step"] == 2
    for fact in ("# dpsims on synthetic_streets", "2 of 2, batch", "crops of 32x64", "1 process(es) on cpu",
                 "Recipe `tiny`", "![Label map, photo, generated images](samples.png)", "car"):  # fmt: skip
        assert fact in card.text, fact


def test_the_cards_snippets_run_for_a_stranger(hub, home, trained):
    """Both snippets, by the repository's name, in a process without this package."""
    card = hub.repositories["model", "user/model"].files["README.md"].decode()
    blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(blocks) == 2 and all('path = "user/model"' in block for block in blocks)
    work = home / "stranger"
    work.mkdir()
    environment = hub.environment(home) | {"PYTHONPATH": ""}
    code = "\n".join(blocks) + "\nimport sys; assert 'dpsims_hf' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], env=environment, cwd=work, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    pictures = sorted(path.name for path in work.glob("*.png"))
    assert pictures == ["image.png", "image_0.png", "image_1.png", "image_2.png", "image_3.png", "label_map.png"]


def test_a_stream_trains_by_name(hub, home):
    run = hub.run(
        home, *TRAIN, *SHORT, "--dataset_name", "user/streets", "--output_dir", str(home / "stream"),
        "--set", "data.streaming=true", "--set", "data.shuffle_buffer=4",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    numbers = (home / "stream" / "metrics.jsonl").read_text()
    assert numbers.count("\n") >= 1 and (home / "stream" / "checkpoint-2" / "model.safetensors").is_file()
    known = json.loads((home / "stream" / "checkpoint-2" / "training_state" / "data.json").read_text())
    files = hub.repositories["dataset", "user/streets"].files
    assert known["unit"] == "files" and len(known["rows"]) == 1
    for name, sizes, content_id in known["rows"]:
        assert sizes == [len(files[name])] and content_id == hashlib.sha1(files[name]).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "token", "words"),
    [
        (["--dataset_name", "user/streets", "--push_to_hub", "user/new"], "hf_reader", "may not write to user/new"),
        (["--dataset_name", "user/absent"], "hf_x", "user/absent"),
    ],
)
def test_what_cannot_work_stops_before_training(hub, home, arguments, token, words):
    run = hub.run(home, *TRAIN, *SHORT, *arguments, "--output_dir", str(home / "refused"), token=token)
    assert run.returncode == 2
    error = run.stderr.strip().splitlines()[-1]
    assert error.startswith("error: ") and words in error and "step 1" not in run.stdout


def test_a_server_that_goes_away_costs_the_push_and_not_the_run(home, tmp_path, tiny_dataset_dir):
    with hub_server() as server:
        server.dies_in = "/commit/"
        arguments = ("--train_dir", str(tiny_dataset_dir), "--push_to_hub", "user/model", "--max_train_steps", "1")
        run = server.run(tmp_path, *TRAIN, "--report_to", "jsonl", *arguments, "--output_dir", str(tmp_path / "run"))
        assert run.returncode == 2
        folder = tmp_path / "run" / "checkpoint-1"
        error = run.stderr.strip().splitlines()[-1]
        assert error.startswith(
            f"error: {folder} is complete but was not pushed: the connection to {server.url} broke"
        )
        assert np.isfinite(load((folder / "model.safetensors").read_bytes())["to_image.weight"].numpy()).all()

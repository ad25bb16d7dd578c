# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Publishing to a server that speaks the Hub's protocol: models, Spaces, and what its failures say."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import HubServer, hub_server

from dpsims_hf.hub.repositories import PublishError
from dpsims_hf.hub.space import write_space
from dpsims_hf.training.run.pushes import BackgroundPush


pytestmark = pytest.mark.integration


PUSH = ("-m", "dpsims_hf.hub", "push")
# What a stranger has: transformers, a name, and no package of ours.
STRANGER = """
import sys
import numpy as np, torch
from transformers import AutoImageProcessor, AutoModel
generator = AutoModel.from_pretrained("user/model", revision=sys.argv[2], trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained("user/model", revision=sys.argv[2], trust_remote_code=True)
label_map = (torch.arange(32 * 64) // 97 % 5).view(1, 32, 64)
with torch.no_grad():
    images = generator(label_map, noise=torch.ones(1, generator.config.noise_dim)).images
np.save(sys.argv[1], images.numpy())
assert "dpsims_hf" not in sys.modules
"""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stranger(python_path: str, environment: dict[str, str], home: Path, *arguments: str) -> np.ndarray:
    environment = environment | {"PYTHONPATH": python_path}
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, str(home / "images.npy"), *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return np.load(home / "images.npy")


@pytest.mark.slow
def test_a_stranger_loads_a_revision_by_name_and_gets_the_same_image(tmp_path, hub, tiny_checkpoint_dir):
    before = content(tiny_checkpoint_dir)
    for tag in ("step-1", "step-2"):
        run = hub.run(tmp_path, *PUSH, str(tiny_checkpoint_dir), "user/model", "--tag", tag)
        assert run.returncode == 0, run.stderr
    assert content(tiny_checkpoint_dir) == before
    repository = hub.repositories["model", "user/model"]
    assert list(repository.tags) == ["step-1", "step-2"] and {"modeling_dpsims.py", "README.md"} <= set(
        repository.files
    )
    # What is on the Hub changes; the tagged revision stays.
    repository.commit(repository.files | {"model.safetensors": b"broken"})
    images = stranger("", hub.environment(tmp_path), tmp_path, "step-1")
    local = tmp_path / "local"
    local.mkdir()
    code = STRANGER.replace('"user/model", revision=sys.argv[2]', "sys.argv[2]")
    environment = os.environ | {"HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": ""}
    arguments = [sys.executable, "-c", code, str(local / "images.npy"), str(tiny_checkpoint_dir)]
    subprocess.run(arguments, env=environment, cwd=local, check=True, capture_output=True)
    assert images.std() > 0.1 and np.array_equal(images, np.load(local / "images.npy"))


@pytest.mark.parametrize(
    ("token", "repo_id", "words"),
    [
        pytest.param(
            "hf_wrong",
            "user/model",
            "the Hub refused the token; run `hf auth login`, or set HF_TOKEN",
            marks=pytest.mark.slow,
        ),
        ("hf_reader", "user/model", "this token may not write to user/model; take one with write access"),
        pytest.param(
            "hf_x", "no/such/name", "'no/such/name' is no repository name: write user/name", marks=pytest.mark.slow
        ),
        pytest.param("hf_x", "name", "'name' is no repository name: write user/name", marks=pytest.mark.slow),
    ],
)
def test_refusals_are_one_line_and_change_nothing(tmp_path, hub, tiny_checkpoint_dir, token, repo_id, words):
    before = content(tiny_checkpoint_dir)
    run = hub.run(tmp_path, *PUSH, str(tiny_checkpoint_dir), repo_id, token=token)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("error: ") and words in run.stderr
    assert not hub.repositories and content(tiny_checkpoint_dir) == before


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["/lfs/", "/commit/"])
def test_a_server_that_goes_away_leaves_both_sides_as_they_were(tmp_path, hub, tiny_checkpoint_dir, moment):
    before = content(tiny_checkpoint_dir)
    hub.dies_in = moment
    run = hub.run(tmp_path, *PUSH, str(tiny_checkpoint_dir), "user/model")
    assert run.returncode == 1
    error = run.stderr.strip().splitlines()[-1]
    assert error.startswith(f"error: the connection to {hub.url} broke") and error.endswith("run the command again")
    assert hub.repositories["model", "user/model"].files == {} and content(tiny_checkpoint_dir) == before


@pytest.mark.slow
def test_a_repository_that_is_not_there(tmp_path, hub):
    code = (
        "from dpsims_hf.demo.models.library import load_model\n"
        "try:\n    load_model('user/absent', 'user/absent')\nexcept ValueError as error:\n    print(error)"
    )
    run = hub.run(tmp_path, "-c", code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("model 'user/absent' cannot be used: ") and run.stdout.count("\n") == 1


# -- Spaces -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_space_opens_on_the_checkpoint_that_went_along(tmp_path, hub, tiny_checkpoint_dir):
    run = hub.run(
        tmp_path,
        "-m",
        "dpsims_hf.hub",
        "space",
        "user/page",
        "--model",
        str(tiny_checkpoint_dir),
        "--title",
        "Streets",
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"{hub.url}/spaces/user/page"
    space = hub.repositories["space", "user/page"]
    assert space.settings["sdk"] == "gradio"
    assert space.variables == {"DPSIMS_MODEL": "checkpoints/tiny"}
    script = "dpsims_hf/demo/canvas/label_canvas.js"
    assert {"app.py", "requirements.txt", script, "checkpoints/tiny/config.json"} <= set(space.files)
    assert not [name for name in space.files if "__pycache__" in name or name.startswith("tests/")]
    folder = write_space(tmp_path / "page", str(tiny_checkpoint_dir), "Streets")
    assert content(folder) == space.files
    # The Space's machine: its files, its variable, nothing else of this repository.
    code = (
        "import app, dpsims_hf, sys\n"
        "options = app.parse_arguments([])\n"
        "library = app.load_library(options.model, public=True)\n"
        "from dpsims_hf.demo import build_demo\n"
        "print(dpsims_hf.__file__, library.default.name, build_demo(library).title)"
    )
    environment = os.environ | {"PYTHONPATH": "", **space.variables}
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(folder / "dpsims_hf" / "__init__.py"), "checkpoints/tiny", "DP-SIMS"]


def test_a_space_on_a_model_of_the_hub_is_its_card(tmp_path):
    from huggingface_hub import RepoCard

    folder = write_space(tmp_path / "page", "user/model")
    card = RepoCard.load(folder / "README.md")
    facts = card.data.to_dict()
    assert (facts["sdk"], facts["app_file"], facts["models"]) == ("gradio", "app.py", ["user/model"])
    assert not (folder / "checkpoints").exists() and "`user/model`" in card.text
    with pytest.raises(ValueError, match="exists and is not empty"):
        write_space(tmp_path / "page", "user/model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is no checkpoint to open a Space on: .*config.json is missing"):
        write_space(tmp_path / "other", str(tmp_path / "empty"))


@pytest.mark.parametrize("arguments", [["--model", "a/b"], ["user/page", "--model", "a/b", "--output_dir", "x"]])
def test_a_space_goes_to_one_place(capsys, arguments):
    from dpsims_hf.hub.__main__ import main

    assert main(["space", *arguments]) == 1
    assert "name the Space's REPO_ID, or --output_dir DIR (one of the two)" in capsys.readouterr().err


# -- pushes beside a run ----------------------------------------------------------------------------------------------


def test_pushes_run_beside_training_from_what_was_there(tmp_path):
    """The run prunes a checkpoint while it is being pushed: what arrives is whole; failures wait for `finish`."""
    seen: dict[int, dict[str, bytes]] = {}

    def push(folder: Path, step: int) -> str:
        if step == 2:
            raise PublishError("the token expired")
        seen[step] = content(folder)
        return f"address {step}"

    pushes = BackgroundPush(push)
    folders = []
    for step in (1, 2, 3):
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "training_state").mkdir(parents=True)
        (folder / "training_state" / "optimizer.bin").write_bytes(b"moments")
        (folder / "model.safetensors").write_bytes(b"weights %d" % step)
        pushes.add(folder, step)
        for path in (folder / "model.safetensors", folder / "training_state" / "optimizer.bin"):
            path.unlink()
        folders.append(folder)
    outcomes = dict(pushes.done() + pushes.finish())
    assert seen == {1: {"model.safetensors": b"weights 1"}, 3: {"model.safetensors": b"weights 3"}}
    assert outcomes[folders[0]] == "address 1" and outcomes[folders[2]] == "address 3"
    assert isinstance(outcomes[folders[1]], PublishError) and str(outcomes[folders[1]]) == "the token expired"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]

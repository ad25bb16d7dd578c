# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints that something happened to after they were written: `latest` is the newest that is as it was written."""

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from finished_runs import STATE, STEPS, older_version
from safetensors.torch import load_file, save_file
from training_runs import FOREVER, LATEST, Run, run_here, step_of

from dpsims_hf.data.prepare import main as prepare
from dpsims_hf.training.data_identity import describe_change
from dpsims_hf.training.run import manifest
from dpsims_hf.training.run.checkpoints import first_not_finite
from dpsims_hf.training.run.manifest import manifest_problem, write_manifest
from dpsims_hf.training.run.run_folder import checkpoint_folders, find_checkpoint, newest_verified


pytestmark = pytest.mark.integration


FILES = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "modeling_dpsims.py",
    "discriminator/config.json",
    "discriminator/model.safetensors",
    f"{STATE}/generator.safetensors",
    f"{STATE}/optimizer.bin",
    f"{STATE}/optimizer_1.bin",
    f"{STATE}/random_states_0.pkl",
    f"{STATE}/progress.json",
    f"{STATE}/data.json",
    f"{STATE}/manifest.json",
)


def flip(file: Path, rng: random.Random | None = None) -> None:
    """One bit; in a manifest one that counts."""
    content = bytearray(file.read_bytes())
    place = len(content) // 2 if rng is None else rng.randrange(len(content))
    content[place] ^= 1 << (0 if rng is None else rng.randrange(8))
    file.write_bytes(content)


def truncate(file: Path, rng: random.Random | None = None) -> None:
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: size // 2 if rng is None else rng.randrange(size)])


def test_the_manifest_names_every_file(run_folder: Path):
    folder = run_folder / "checkpoint-2"
    content = json.loads((folder / STATE / "manifest.json").read_text())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(content["files"]) == files - {f"{STATE}/manifest.json"} and set(FILES) <= files
    for name, entry in content["files"].items():
        assert entry["size"] == (folder / name).stat().st_size and len(entry["sha256"]) == 64
    assert newest_verified(run_folder) == (folder, [])


@pytest.mark.parametrize("damage", [Path.unlink, flip, truncate, Path.touch], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_latest_falls_back_and_says_why(
    run_folder: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None]
):
    damage(run_folder / "checkpoint-2" / name)
    if damage is Path.touch:  # a date is no content
        assert find_checkpoint(run_folder, "latest") == run_folder / "checkpoint-2" and not caplog.messages
        return
    assert find_checkpoint(run_folder, "latest") == run_folder / "checkpoint-1"
    [line] = caplog.messages
    assert line.startswith("passed over, since not as written: checkpoint-2 (") and "\n" not in line
    if name != f"{STATE}/manifest.json":
        assert name in line
    with pytest.raises(
        ValueError, match="checkpoint-2 is not as it was written: .*latest takes checkpoint-1"
    ) as error:
        find_checkpoint(run_folder, "checkpoint-2")
    assert "\n" not in str(error.value)


def test_what_people_change_breaks_nothing(run_folder: Path, caplog: pytest.LogCaptureFixture):
    folder = run_folder / "checkpoint-2"
    (folder / "README.md").write_text("another card")
    (folder / "notes.txt").write_text("mine")
    assert find_checkpoint(run_folder, "latest") == folder
    assert find_checkpoint("elsewhere", str(folder)) == folder and not caplog.messages


PROGRESS = [
    "{}",
    "[1]",
    "-3",
    "",
    "\ufffe",
    "[" * 100_000,
    *({"step": value} for value in ("x", -3, 10**9, 1, True, None, 2.0, [2])),
    {"ema_updates": "x"},
    {"samples_seen": -1},
    {"processes": "two"},
    {"options": []},
    {"options": {}},
    {"options": {"training.batch_size": "x", "training.gradient_accumulation_steps": 1}},
    {"samples_seen": 10**30},
    {"data": 3},
]


@pytest.mark.parametrize("progress", PROGRESS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("has_manifest", [True, False])
def test_progress_that_is_none(run_folder: Path, caplog: pytest.LogCaptureFixture, progress, has_manifest: bool):
    """With a manifest that fits, too: somebody may have written a new one."""
    folder = run_folder / "checkpoint-2"
    older_version(folder, progress)
    if has_manifest:
        write_manifest(folder)
    assert find_checkpoint(run_folder, "latest") == run_folder / "checkpoint-1"
    [line] = caplog.messages
    assert f"checkpoint-2 ({STATE}/progress.json" in line and len(line) < 400


def test_an_older_versions_checkpoint_is_taken_with_a_word(run_folder: Path, caplog: pytest.LogCaptureFixture):
    folder = run_folder / "checkpoint-2"
    older_version(folder)
    for wanted in ("latest", "checkpoint-2"):
        caplog.clear()
        assert find_checkpoint(run_folder, wanted) == folder
        assert caplog.messages == [
            f"{folder} has no manifest (an older version wrote it): its files load, more is not known"
        ]
    truncate(folder / STATE / "optimizer.bin")
    assert find_checkpoint(run_folder, "latest") == run_folder / "checkpoint-1"


@pytest.mark.parametrize("content", [{"state": {}}, {"state": {}, "param_groups": []}, [1]])
def test_an_optimizer_file_of_something_else_is_passed_over(run_folder: Path, content):
    older_version(run_folder / "checkpoint-2")
    torch.save(content, run_folder / "checkpoint-2" / STATE / "optimizer.bin")
    assert find_checkpoint(run_folder, "latest") == run_folder / "checkpoint-1"


@pytest.mark.parametrize("name", ["model.safetensors", f"{STATE}/generator.safetensors", f"{STATE}/optimizer.bin"])
def test_values_that_are_not_finite_are_never_the_last_good_ones(run_folder: Path, name: str):
    file = run_folder / "checkpoint-2" / name
    if file.suffix == ".bin":
        state = torch.load(file, weights_only=True)
        state["state"][0]["exp_avg"].view(-1)[0] = float("inf")
        torch.save(state, file)
    else:
        tensors = load_file(file)
        tensors["to_image.bias"][0] = float("nan")
        save_file(tensors, file)
    write_manifest(run_folder / "checkpoint-2")
    found, [problem] = newest_verified(run_folder)
    assert found == run_folder / "checkpoint-1" and name in problem and "is not finite" in problem


def test_moments_of_an_optimizer_count_when_saving():
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert first_not_finite([network], [optimizer]) is None
    optimizer.state[network.bias]["exp_avg_sq"][1] = float("nan")
    assert first_not_finite([network], [optimizer]) == "1.exp_avg_sq of optimizer 0"


def test_nothing_whole_is_an_error_not_a_new_run(run_folder: Path, tiny_dataset_dir: Path, capsys):
    for folder in checkpoint_folders(run_folder):
        truncate(folder / "model.safetensors")
    before = sorted(path.name for path in run_folder.iterdir())
    assert run_here(tiny_dataset_dir, run_folder, *LATEST, *STEPS, "--max_train_steps", "3") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: no checkpoint in {run_folder} is as it was written: checkpoint-2 (model.safe")
    assert sorted(path.name for path in run_folder.iterdir()) == before
    (run_folder / "checkpoint-2" / STATE / "progress.json").unlink()
    (run_folder / "checkpoint-1" / STATE / "progress.json").unlink()
    assert run_here(tiny_dataset_dir, run_folder, *STEPS, "--max_train_steps", "3") == 2
    assert "holds checkpoints of an earlier run" in capsys.readouterr().err


def test_a_run_goes_on_from_the_one_before(run_folder: Path, tiny_dataset_dir: Path, capsys):
    flip(run_folder / "checkpoint-2" / "discriminator" / "model.safetensors")
    assert run_here(tiny_dataset_dir, run_folder, *LATEST, *STEPS, "--max_train_steps", "3") == 0
    text = capsys.readouterr().out
    assert "checkpoint-2 (discriminator/model.safetensors does not have the SHA-256 of its manifest" in text
    assert "at step 1," in text and "renamed to abandoned-checkpoint-2" in text
    assert [step_of(path) for path in checkpoint_folders(run_folder)] == [1, 2, 3]
    assert newest_verified(run_folder) == (run_folder / "checkpoint-3", [])


def test_weights_for_a_new_run_are_verified_too(run_folder: Path, tiny_dataset_dir: Path, tmp_path: Path, capsys):
    flip(run_folder / "checkpoint-2" / "model.safetensors")
    arguments = ["--initialize_from", str(run_folder / "checkpoint-2"), "--max_train_steps", "1"]
    assert run_here(tiny_dataset_dir, tmp_path / "new", *arguments) == 2
    assert "checkpoint-2 is not as it was written: model.safetensors does not have" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": 1, "files": {"../../x": {"size": 1, "sha256": ""}}}'])
def test_a_manifest_that_is_none(run_folder: Path, content: str):
    (run_folder / "checkpoint-2" / STATE / "manifest.json").write_text(content)
    assert manifest_problem(run_folder / "checkpoint-2") == f"{STATE}/manifest.json is no manifest"


def test_a_manifest_costs_little_of_a_save(tmp_path: Path):
    """Hashing runs beside the wait for the disk; 64 MiB take about 0.1 s."""
    (tmp_path / STATE).mkdir()
    for index in range(4):
        (tmp_path / f"{index}.safetensors").write_bytes(bytes(16 << 20))
    start = time.perf_counter()
    write_manifest(tmp_path)
    assert time.perf_counter() - start < 10 and manifest_problem(tmp_path) is None
    assert manifest.MANIFEST_FILE == "manifest.json"


# -- the data ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tiny_dataset_dir: Path, tmp_path: Path) -> Path:
    """A copy of the data, at another place than that of the finished run."""
    return Path(shutil.copytree(tiny_dataset_dir, tmp_path / "data"))


def test_a_set_that_only_moved_is_the_same(run_folder: Path, data: Path, capsys):
    assert run_here(data, run_folder, *LATEST, *STEPS, "--max_train_steps", "3") == 0
    text = capsys.readouterr().out
    assert "the data is not what it was" not in text and "passed over" not in text


def test_changed_files_are_counted(run_folder: Path, data: Path, capsys):
    photos, labels = data / "train" / "images", data / "train" / "labels"
    names = sorted(path.stem for path in labels.iterdir())
    for name in names[:2]:
        next(photos.glob(f"{name}.*")).unlink()
        (labels / f"{name}.png").unlink()
    photo = next(photos.glob(f"{names[2]}.*"))
    shutil.copy(photo, photo.with_stem("another"))
    shutil.copy(labels / f"{names[2]}.png", labels / "another.png")
    shutil.copy(labels / f"{names[3]}.png", labels / f"{names[4]}.png")
    assert run_here(data, run_folder, *LATEST, *STEPS, "--max_train_steps", "3") == 0
    assert "the data is not what it was: 2 photos removed, 1 added, 1 changed since step 2" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("streaming", ["false", "true"])
def test_sets_of_parquet_files_are_compared_too(data: Path, tmp_path: Path, capsys, streaming: str):
    """Map-style by the rows' names and contents, a stream by its files."""
    output = tmp_path / "run"
    settings = [*STEPS, "--set", f"data.streaming={streaming}"]

    def go_on(prepared: Path, steps: int) -> str:
        arguments = [*settings, *LATEST, "--max_train_steps", str(steps)]
        assert run_here(prepared, output, *arguments, data_flag="--dataset_name") == 0
        return capsys.readouterr().out

    assert prepare([str(data), "--output_dir", str(tmp_path / "before")]) == 0
    assert "the data is not what it was" not in go_on(tmp_path / "before", 1)
    shutil.copytree(tmp_path / "before", tmp_path / "moved")
    assert "the data is not what it was" not in go_on(tmp_path / "moved", 2)
    name = sorted(path.stem for path in (data / "train" / "labels").iterdir())[0]
    for file in (data / "train").glob(f"*/{name}.*"):
        file.unlink()
    assert prepare([str(data), "--output_dir", str(tmp_path / "after")]) == 0
    words = {"false": "1 photos removed, 0 added, 0 changed", "true": "0 files removed, 0 added, 1 changed"}
    assert f"the data is not what it was: {words[streaming]} since step 2" in go_on(tmp_path / "after", 3)


def test_rows_without_names_are_counted_by_content():
    rows = [("", [100, 10], "a"), ("", [200, 20], "b"), ("", [200, 20], "b")]
    before = {"unit": "photos", "complete": True, "rows": rows}
    assert describe_change(before, {**before, "rows": rows[::-1]}, 4) is None
    change = describe_change(before, {**before, "rows": [rows[1], ("", [200, 20], "c")]}, 4)
    assert change.startswith("the data is not what it was: 2 photos removed, 1 added, 0 changed since step 4; ")
    partly = {**before, "complete": False}
    assert describe_change(partly, {**before, "rows": [*rows[:2], ("", [200, 20], "c")]}, 4) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[1].update(name="another"), "class 1 was '{1}' and is 'another'"),
        (lambda c: (c[0].update(name=c[1]["name"]), c[1].update(name="sky")), "class 0 was 'sky' and is '{1}'"),
        (lambda c: c[2].update(color=[1, 2, 3]), "the colour of class 2 '{2}' was"),
        (lambda c: c.append({"id": len(c), "name": "new", "color": [9, 9, 9]}), "class 5 was not there and is 'new'"),
    ],
    ids=["renamed", "swapped", "colour", "added"],
)
def test_other_classes_are_refused(run_folder: Path, data: Path, capsys, change, words: str):
    file = data / "classes.json"
    content = json.loads(file.read_text())
    names = [entry["name"] for entry in content["classes"]]
    change(content["classes"])
    file.write_text(json.dumps(content))
    assert run_here(data, run_folder, *LATEST, *STEPS, "--max_train_steps", "3") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {run_folder / 'checkpoint-2'} was trained on other classes: ")
    assert words.format(*names) in error, error
    assert newest_verified(run_folder)[0] == run_folder / "checkpoint-2"


# -- whatever happens -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_ten_kills_and_damages_in_a_row(tiny_dataset_dir: Path, tmp_path: Path, seed: int):
    """kill -9 at some moment, then a flipped bit, a cut or a lost file in all but one of the checkpoints."""
    rng, output = random.Random(seed), tmp_path / "out"
    expected = 0
    for _ in range(10):
        run = Run(tiny_dataset_dir, output, *FOREVER, *LATEST, "--checkpoints_total_limit", "3")
        reached = expected
        if reached:
            run.until_said(f"resumed from {output / f'checkpoint-{reached}'} at step {reached},")
        run.until(lambda reached=reached: any(step_of(path) > reached + 1 for path in checkpoint_folders(output)))
        time.sleep(rng.random() / 2)
        run.kill()
        folders = checkpoint_folders(output)
        spared = rng.choice(folders)
        for folder in folders:
            if folder != spared:
                damage_something(folder, rng)
        found, _ = newest_verified(output)
        assert found == spared
        expected = step_of(found)


def damage_something(folder: Path, rng: random.Random) -> None:
    """Of what has to stay as it was written."""
    file = folder / rng.choice(FILES[:-1])
    rng.choice([flip, truncate, lambda file, rng: file.unlink()])(file, rng)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Everything a run needs is one record: made in a notebook, written by a run, read again by another one."""

import copy
import dataclasses
import json
import random
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

import train_accelerate
from dpsims_hf.training.options import RunOptions, describe_options, read_options, resolve_options
from dpsims_hf.training.options.command_line import FLAGS, options_from_args, parse_args
from dpsims_hf.training.recipes.lookup import RECIPES


def written(options: RunOptions, folder: Path) -> Path:
    """The file that a run leaves."""
    file = folder / "training_options.json"
    file.write_text(json.dumps(options.record(), indent=1))
    return file


def options_of(*arguments: str) -> RunOptions:
    return options_from_args(parse_args(list(arguments)))


@pytest.fixture
def state():
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


# -- the same options again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_what_a_run_wrote_gives_the_same_options(recipe: str, tmp_path: Path):
    given = {"inputs.train_dir": "data", "inputs.initialize_classes": ["tree=vegetation"], "validation.steps": 5}
    options = resolve_options(recipe, given, as_released=True)
    again = read_options(written(options, tmp_path))
    assert again.record() == options.record()
    assert (again.training, again.data, again.loss, again.inputs, again.validation) == (
        options.training,
        options.data,
        options.loss,
        options.inputs,
        options.validation,
    )


def test_swapped_families_are_kept(tmp_path: Path):
    options = resolve_options("oasis/tiny", generator_family="dpgan", discriminator_family="dpsims")
    again = read_options(written(options, tmp_path))
    assert (again.family, again.generator_family, again.discriminator_family) == ("oasis", "dpgan", "dpsims")
    assert again.record() == options.record()


def test_flags_and_set_win_over_the_file(tmp_path: Path):
    file = written(options_of("--recipe", "tiny", "--train_dir", "there", "--seed", "3"), tmp_path)
    base = options_of("--config", str(file))
    assert (base.inputs.train_dir, base.training.seed) == ("there", 3)
    assert base.source("training.seed") == "--seed" and base.source("loss.focal_gamma").startswith("recipe tiny: ")
    changed = options_of("--config", str(file), "--train_dir", "here", "--set", "training.seed=4")
    assert (changed.inputs.train_dir, changed.training.seed) == ("here", 4)
    assert changed.source("training.seed") == "--set training.seed=4"
    assert changed.recipe == "tiny" and changed.loss == base.loss


def test_a_file_does_not_say_where_to_write_and_what_to_publish(tmp_path: Path):
    given = {
        "launch.output_dir": "/somewhere",
        "launch.push_to_hub": "somebody/else",
        "launch.resume_from_checkpoint": "latest",
        "data.cache_dir": "/somewhere",
    }
    again = read_options(written(resolve_options("tiny", given), tmp_path))
    assert again.launch == resolve_options("tiny").launch and again.data.cache_dir == ""


def test_a_file_of_an_older_run_gives_what_it_knows(tmp_path: Path):
    """Without recipe, inputs and validation, which files did not have."""
    options = resolve_options("dpgan/tiny", {"inputs.train_dir": "data"})
    old = {key: entry for key, entry in options.record().items() if key in options.flat()}
    file = tmp_path / "training_options.json"
    file.write_text(json.dumps(old))
    again = read_options(file, [("inputs", "train_dir", "data", "--train_dir")])
    assert again.flat() == options.flat() and again.inputs == options.inputs and again.recipe == ""


def test_every_flag_is_an_option():
    args, known = vars(parse_args(["--recipe", "tiny"])), resolve_options("tiny").record()
    beside = {"recipe", "config", "generator_family", "discriminator_family", "as_released", "as_written", "set"}
    beside |= {"learning_rate", "hub_model_id", "hub_token"}  # refused, short for others, and no option to keep
    assert set(args) == set(FLAGS) | beside | {"dry_run"}
    assert all(args[flag] is None for flag in FLAGS)
    assert {name for name in FLAGS.values()} <= set(known) | {"inputs.contrastive_weights"}


def test_recipe_and_file_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = str(written(resolve_options("tiny"), tmp_path))
    for arguments, words in (
        (["--config", file, "--recipe", "tiny"], "not allowed with argument"),
        ([], "one of the arguments --recipe --config is required"),
    ):
        with pytest.raises(SystemExit):
            parse_args(arguments)
        assert words in capsys.readouterr().err
    with pytest.raises(ValueError, match="--as_released goes with --recipe"):
        options_of("--config", file, "--as_released")


# -- in Python ------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_the_example_of_the_record_makes_a_step(tiny_dataset_dir: Path, tmp_path: Path, monkeypatch, state: None):
    """The block in the docstring, as it stands."""
    text = RunOptions.__doc__.split("in a notebook:\n\n")[1].split("\n\n    Args:")[0]
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(textwrap.dedent(text).replace('"DIR"', repr(str(tiny_dataset_dir))), scope)
    assert {"d_real", "d_fake", "g_gan"} <= set(scope["losses"])
    assert all(torch.isfinite(value) for value in scope["losses"].values())


def test_names_without_a_section_are_refused():
    with pytest.raises(ValueError, match="'max_train_steps' must read SECTION.KEY"):
        resolve_options("tiny", {"max_train_steps": 3})


# -- files from elsewhere -------------------------------------------------------------------------------------------


def changed(key: str, value: Any, source: str = "default") -> dict:
    return {key: {"value": value, "source": source}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("training.foo", 1), "unknown option training.foo"),
        (changed("trainings.seed", 1), "unknown section 'trainings'"),
        (changed("training.seed", "three"), "training.seed='three' must be like its default 0"),
        (changed("training.seed", 10**400), "training.seed=<whole number"),
        (changed("training.seed", float("nan")), "training.seed=nan must be like its default 0"),
        (changed("training.learning_rate_generator", float("inf")), "training.learning_rate_generator=inf must be"),
        (changed("training.batch_size", 10**9), "training.batch_size=1000000000 is illegal"),
        (changed("training.compile", 1), "training.compile=1 must be like its default false"),
        (changed("data.image_size", ["a", "b"]), r"data.image_size\[0\]='a' is illegal"),
        (changed("data.image_size", [-32, 64]), r"data.image_size\[0\]=-32 is illegal"),
        (changed("data.scale_range", [1.0]), "data.scale_range"),
        (changed("data.workers", 10**6), "data.workers=1000000 is illegal"),
        (changed("data.ada_kinds", [["blit"]]), "data.ada_kinds=<list of 1> must be like its default"),
        (changed("loss.schedule", 5), "loss.schedule=5 must be a table"),
        (changed("loss.schedule", {"lambda_gan": 5}), "loss.schedule: lambda_gan=5 must be"),
        (changed("loss.lambda_gan", [1]), r"loss.lambda_gan=\[1\] must be like its default 1.0"),
        (changed("loss.family", "pix2pix"), "loss.family='pix2pix' is unknown; choose one of dpsims"),
        (changed("loss.family", ["dpsims"]), "loss.family=<list of 1> is unknown"),
        (changed("generator.base_channels", 10**9), "generator.base_channels=1000000000"),
        (changed("generator.preset", [1]), "generator.preset"),
        (changed("generator.nothing", 1), "unknown option generator.nothing"),
        (changed("discriminator.backbone", "../../x"), "discriminator.backbone='../../x'"),
        (changed("discriminator.backbone_kwargs", {"checkpoint_path": "x"}), "checkpoint_path"),
        (changed("contrastive.networks", [5]), "contrastive.networks=<list of 1>|contrastive.networks=.5. must"),
        (changed("contrastive.networks", [{"path": "x"}]), "unknown key 'path'"),
        (changed("contrastive.networks", [{"network": 5}]), "contrastive.networks.network=5 must be like"),
        (changed("inputs.train_dir", 5), "inputs.train_dir=5 must be a string or null"),
        (changed("inputs.initialize_classes", "ab"), "inputs.initialize_classes='ab' must be like its default"),
        (changed("validation.images", 0), "validation.images=0 must be at least 1"),
        (changed("recipe", "x\n`rm`"), "recipe=.*is illegal: legal is the name of a recipe"),
        (changed("training.seed", 0, "x\ny"), "source=.*is illegal"),
        (changed("training.seed", 0, "x" * 500), "source=.*500 characters"),
        (changed("a b", 0), "a key of options='a b' is illegal"),
        ({"training.seed": 5}, r"options\['training.seed'\]=5 is illegal"),
        ({"training.seed": {"source": "default"}}, "value is missing"),
        ({f"training.k{n}": {"value": 0} for n in range(1001)}, "options=<table of"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(
    change: dict, words: str, tmp_path: Path, capsys: pytest.CaptureFixture, state: None
):
    file = tmp_path / "training_options.json"
    file.write_text(json.dumps(resolve_options("tiny").record() | change))
    with pytest.raises(ValueError, match=words) as caught:
        read_options(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ") and "\n" not in text and len(text) < 1200
    assert train_accelerate.main(["--config", str(file), "--cpu"]) == 2
    assert capsys.readouterr().err == f"error: {text}\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[1, 2]", "no JSON object"),
        (b"{}", "loss.family is missing: these are not the options of a run"),
        (b'{"a": {"value": "' + b"x" * 5_000_000 + b'"}}', "longer than 4 MB"),
        (b'{"model_type": "dpsims-generator"}', r"options\['model_type'\]"),
    ],
)
def test_other_files_are_refused(content: bytes, words: str, tmp_path: Path):
    file = tmp_path / "training_options.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_options(file)
    with pytest.raises(ValueError, match="not readable as JSON"):
        read_options(tmp_path / "nothing.json")


ODD = (None, True, -1, 0, 2**70, 1e308, "", "x" * 5000, [], [[]], {}, {"a": {"b": [1]}}, [None], "\x1b[31m", "../..")


def test_no_value_of_a_file_gives_anything_but_one_line(tmp_path: Path):
    rng, file = random.Random(0), tmp_path / "training_options.json"
    records = [resolve_options(recipe).record() for recipe in ("camvid_small", "oasis/ade20k", "dpgan/tiny")]
    for _ in range(300):
        record = copy.deepcopy(rng.choice(records))
        for key in rng.sample(sorted(record), 2):
            record[key] = rng.choice([{"value": rng.choice(ODD), "source": "default"}, rng.choice(ODD)])
        file.write_text(json.dumps(record))
        try:
            options = read_options(file)
        except ValueError as error:
            assert "\n" not in str(error) and "\x1b" not in str(error)
        else:
            assert dataclasses.is_dataclass(options) and describe_options(options)


# -- the same run again ---------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_the_file_of_a_run_gives_the_same_run(tiny_dataset_dir: Path, tmp_path: Path, state: None):
    base = ["--backbone_weights", "random", "--sample_steps", "0", "--max_train_steps", "2", "--seed", "5"]
    base += ["--recipe", "tiny", "--train_dir", str(tiny_dataset_dir), "--set", "loss.lambda_labelmix=5"]
    machine = ["--cpu", "--report_to", "jsonl"]
    assert train_accelerate.main([*base, *machine, "--output_dir", str(tmp_path / "a")]) == 0
    AcceleratorState._reset_state(True)
    file = tmp_path / "a" / "training_options.json"
    assert train_accelerate.main(["--config", str(file), *machine, "--output_dir", str(tmp_path / "b")]) == 0
    first, second = ((tmp_path / name / "metrics.jsonl").read_text() for name in "ab")
    assert first == second and "d_labelmix" in first
    records = [json.loads((tmp_path / name / "training_options.json").read_text()) for name in "ab"]
    differing = {key for key in records[0] if records[0][key] != records[1][key]}
    assert differing == {"launch.output_dir"}
    cards = [(tmp_path / name / "checkpoint-2" / "README.md").read_text() for name in "ab"]
    assert cards[0] == cards[1] and "Recipe `tiny` with other" in cards[0]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Tables of experiments: their lists of runs, going on, signs, and one table from end to end with tiny recipes."""

import json
from pathlib import Path

import pytest

from dpsims_hf.evaluation.train_segmenter import SegmenterOptions, train
from dpsims_hf.training.options.command_line import options_from_args
from dpsims_hf.training.options.command_line import parse_args as parse_training
from experiments import __main__ as program
from experiments.report import same_sign, write
from experiments.runs import BATCH_SIZE, Plan, carry_out, is_finished, list_runs
from experiments.tables import TABLES


def plan_of(folder: Path, recipes: str = "tiny", steps: int = 2, seeds: int = 2) -> Plan:
    return Plan("data", folder, recipes, steps, seeds)


def pretend(values: dict[str, float], calls: list[list[str]]):
    """In place of the commands: a run's "evaluation" gives a value by the name of its folder."""

    def call(arguments: list[str], log: Path) -> None:
        calls.append(arguments)
        if "dpsims_hf.evaluation" in arguments:
            folder = Path(arguments[arguments.index("--output_dir") + 1])
            folder.mkdir(exist_ok=True)
            value = {"values": {"fid": {"mean": values[folder.parent.name]}}, "random_weights": {"fid": 300.0}}
            (folder / "results.json").write_text(json.dumps({"protocols": {"fid_backbone": value}}))

    return call


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("recipes", ["camvid_small", "labelme_small"])
def test_rows_resolve_and_see_the_same(tmp_path, name, recipes):
    """Each row is a legal training command; rows have one budget and size, and differ from the reference."""
    runs = list_runs(TABLES[name], plan_of(tmp_path, recipes, seeds=1))
    flat = [options_from_args(parse_training(list(run.train))).flat() for run in runs]
    for options in flat:
        assert (options["training.batch_size"], options["training.max_train_steps"]) == (BATCH_SIZE, 2)
        assert list(options["data.image_size"]) == list(options["generator.image_size"]) == [96, 128]
    settings = [[part for part in run.train if part != str(run.folder)] for run in runs]
    assert all(settings.count(one) == 1 for one in settings)


def test_finished_runs_are_skipped_and_others_go_on(tmp_path):
    calls: list[list[str]] = []
    plan, table = plan_of(tmp_path), TABLES["e"]
    runs = list_runs(table, plan)
    assert [run.folder.name for run in runs[:3]] == [f"{row.name}_seed0" for row in table.rows], "seed after seed"
    values = {"weighted_focal_seed0": 100.0, "weighted_ce_seed0": 90.0, "focal_seed0": 101.0}
    values |= {"weighted_focal_seed1": 100.0, "weighted_ce_seed1": 120.0, "focal_seed1": 103.0}
    for run in runs:
        carry_out(run, pretend(values, calls))
    assert all(is_finished(run) for run in runs) and len(calls) == 2 * len(runs)
    assert calls[0][-2:] == ["--resume_from_checkpoint", "latest"]
    result = write(table, plan, runs)
    assert (result["finished"], result["random_weights"]) == (6, {"fid": 300.0})
    assert result["rows"]["focal"]["effects"]["fid"] == {"0": 1.0, "1": 3.0}
    assert result["rows"]["focal"]["same_sign"]["fid"] == "yes"
    assert result["rows"]["weighted_ce"]["same_sign"]["fid"] == "seeds differ"
    text = (tmp_path / "table.md").read_text()
    assert "| focal | 102 | 101, 103 | +2 | +0.1 (DP-SIMS Table 8, ADE20K) | yes |" in text
    assert "| *random weights* | 300 |" in text and "6 of 6 runs" in text

    longer = list_runs(table, plan_of(tmp_path, steps=4))
    assert not any(is_finished(run) for run in longer), "more steps: trained on"
    carry_out(longer[0], pretend(values, calls))
    other = list_runs(table, plan_of(tmp_path, recipes="camvid_small"))
    with pytest.raises(ValueError, match=r"holds a run of other settings.*another --output_dir"):
        carry_out(other[0], pretend(values, calls))


@pytest.mark.parametrize(("effects", "expected"), [((-1.0,), "no"), ((2.0, 1.0), "yes"), ((), ""), ((0.0,), "no")])
def test_signs(effects, expected):
    entry = {"effects": {"fid": dict(enumerate(effects))}, "paper": {"fid": {"row": 28.3, "reference": 22.7}}}
    assert same_sign(entry, "fid") == expected


def test_listing_runs_nothing(tmp_path, capsys):
    arguments = ["b", "--train_dir", "data", "--segmenter", "s", "--output_dir", str(tmp_path / "out"), "--list"]
    assert program.main(arguments) == 0
    said = capsys.readouterr().out
    assert said.count("train_accelerate.py") == 6 and said.count("--backbone_weights random") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_table_from_end_to_end(tiny_dataset_dir: Path, tmp_path: Path, capsys):
    """Tiny recipes through the true commands: numbers, both ends of the scale; a second call trains nothing."""
    import timm
    from safetensors.torch import save_file

    weights, segmenter = str(tmp_path / "backbone.safetensors"), str(tmp_path / "segmenter")
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    options = {"backbone": "test_resnet", "backbone_weights": weights, "image_size": (32, 64)}
    train(SegmenterOptions(str(tiny_dataset_dir), segmenter, **options, steps=1, device="cpu"))
    arguments = ["f", "--recipes", "tiny", "--train_dir", str(tiny_dataset_dir), "--steps", "1", "--seeds", "1"]
    arguments += ["--segmenter", segmenter, "--features", "timm:test_resnet", "--feature_weights", weights]
    arguments += ["--weights", "random", "--cpu", "--output_dir", str(tmp_path / "out")]
    assert program.main(arguments) == 0, capsys.readouterr().err
    result = json.loads((tmp_path / "out" / "f" / "results.json").read_text())
    assert result["finished"] == result["planned"] == 2
    assert result["real_photos"].keys() >= {"mean_iou"} and result["random_weights"].keys() >= {"fid", "mean_iou"}
    for row in result["rows"].values():
        assert row["values"].keys() == {"fid", "mean_iou", "feature_spread"}
    written = (tmp_path / "out" / "f" / "with_loss_seed0" / "checkpoint-1" / "model.safetensors").stat().st_mtime_ns
    assert program.main(arguments) == 0 and "with_loss_seed0 is finished" in capsys.readouterr().out
    again = tmp_path / "out" / "f" / "with_loss_seed0" / "checkpoint-1" / "model.safetensors"
    assert again.stat().st_mtime_ns == written

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Every value of a run says where it is from, and what differs from the paper is said to differ."""

import json
import re
import shlex
from pathlib import Path

import pytest

import train_accelerate
from dpsims_hf.evaluation.__main__ import check_args, select_protocols
from dpsims_hf.evaluation.__main__ import parse_args as parse_evaluation_args
from dpsims_hf.training.families import FAMILIES
from dpsims_hf.training.options import departures, describe_options, resolve_options
from dpsims_hf.training.options.command_line import options_from_args, parse_args
from dpsims_hf.training.options.description import described_options
from dpsims_hf.training.options.resolve import config_defaults
from dpsims_hf.training.recipes.lookup import RECIPES
from dpsims_hf.training.recipes.origins import PAPER, default_source, paper_value


ORIGIN = re.compile(r"(recipe \S+: )?(paper|released|ours)\b")
COMPUTED = ("training", "data", "loss", "contrastive", "perceptual", "generator", "discriminator")


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_value_says_paper_released_or_ours(name: str):
    for swap in (None, *FAMILIES):
        described = described_options(resolve_options(name, generator_family=swap, discriminator_family=swap))
        silent = {
            key: source
            for key, (_, source) in described.items()
            if key.startswith(COMPUTED) and not key.endswith(".family") and not ORIGIN.match(source)
        }
        assert silent == {}


@pytest.mark.parametrize("name", list(RECIPES))
def test_what_a_recipe_takes_from_its_paper_is_what_the_table_says(name: str):
    """Two places that were written apart; what depends on the data stands in the recipes alone."""
    family = RECIPES[name].family
    of_the_data = {"loss.lambda_labelmix", "discriminator.backbone"}
    for section, settings in RECIPES[name].settings.items():
        for key, setting in settings.items():
            known = PAPER[family].get(f"{section}.{key}")
            if setting.source.startswith("paper") and known and f"{section}.{key}" not in of_the_data:
                assert setting.value == known.value, f"{name}: {section}.{key}"


def test_the_papers_values_read_from_their_texts():
    """DP-SIMS Sec. 4.1, OASIS App. C.3, DP-GAN supplement Sec. 2, by hand; lambda_patch has factor 1 in Eq. 9."""
    dpsims, oasis, dpgan = (resolve_options(name) for name in ("cityscapes", "oasis/coco_stuff", "dpgan/cityscapes"))
    assert (dpsims.loss.lambda_gan, dpsims.loss.lambda_contrastive, dpsims.loss.lambda_diversity) == (1, 100, 10)
    assert (dpsims.training.adam_beta1, dpsims.training.adam_beta2, dpsims.training.ema_warmup) == (0, 0.99, False)
    assert dpsims.generator["low_resolution_offsets"] is dpsims.generator["use_instance_offsets"] is True
    assert (oasis.loss.lambda_labelmix, oasis.training.batch_size * 4, oasis.training.max_train_steps) == (
        10,
        32,
        118287 * 100 // 32,
    )
    assert (dpgan.training.learning_rate_generator, dpgan.training.learning_rate_discriminator) == (1e-4, 4e-4)
    forms = [options.loss.class_weight_form for options in (dpsims, oasis, dpgan)]
    assert forms == ["inverse_frequency", "inverse_frequency", "mean_inverse_frequency"]
    released = [resolve_options(name, as_released=True).loss for name in ("oasis/ade20k", "dpgan/ade20k")]
    assert [loss.class_weight_form for loss in released] == ["balanced", "balanced"] and released[1].lambda_patch == 1


def test_departures_of_the_papers_recipes():
    assert set(departures(resolve_options("ade20k"))) == {
        "loss.label_smoothing_form",
        "loss.label_smoothing_targets",
        "loss.generator_step_statistics",
    }
    assert departures(resolve_options("oasis/ade20k")) == {}
    assert set(departures(resolve_options("dpgan/ade20k"))) == {"generator.channel_multipliers"}
    small = departures(resolve_options("camvid_small"))
    assert {"training.ema_warmup", "loss.lambda_color", "generator.texture_noise", "contrastive.networks"} <= set(
        small
    )


def test_what_is_given_departs_too():
    changed = departures(resolve_options("oasis/coco_stuff", {"loss.lambda_labelmix": 5.0, "loss.focal_gamma": 2.0}))
    assert (changed["loss.lambda_labelmix"].value, changed["loss.lambda_labelmix"].place) == (10.0, "App. C.3")
    assert set(changed) == {"loss.lambda_labelmix", "loss.focal_gamma"}
    swapped = departures(resolve_options("oasis/ade20k", generator_family="dpgan"))
    assert set(swapped) == {"generator.channel_multipliers"}


@pytest.mark.parametrize("name", list(RECIPES))
def test_as_written_leaves_only_what_no_option_gives_and_a_presets_sizes(name: str):
    options = resolve_options(name, as_written=True)
    left = set(departures(options))
    families = {"loss": options.family, "generator": options.generator_family}
    families["discriminator"] = options.discriminator_family
    in_presets = {
        f"{network}.{key}"
        for network in ("generator", "discriminator")
        for key in getattr(FAMILIES[families[network]], network).config_class.presets.get(
            getattr(options, network).get("preset"), {}
        )
    }
    assert all(key in in_presets or not paper_value(families, key).can_be_set for key in left)
    with pytest.raises(ValueError, match="as_released and as_written exclude each other"):
        resolve_options(name, as_written=True, as_released=True)


def test_as_written_gives_way_to_what_is_given():
    options = resolve_options("camvid_small", {"loss.lambda_color": 3.0}, as_written=True)
    assert options.loss.lambda_color == 3.0 and options.loss.lambda_contrastive == 100.0
    assert options.source("loss.lambda_contrastive") == "paper Sec. 4.1 (--as_written)"


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_table_is_about_options_that_there_are(family: str):
    described = described_options(resolve_options(f"{family}/tiny"))
    assert set(PAPER[family]) <= set(described)
    assert (
        default_source(dict.fromkeys(("loss", "generator", "discriminator"), family), "loss.no_such_option", 0) == ""
    )


def test_dry_run_prints_all_fields_of_the_networks(capsys: pytest.CaptureFixture):
    assert train_accelerate.main(["--recipe", "dpgan/tiny", "--discriminator_family", "dpsims", "--dry_run"]) == 0
    printed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")}
    for section, network in (
        ("generator", FAMILIES["dpgan"].generator),
        ("discriminator", FAMILIES["dpsims"].discriminator),
    ):
        for field in config_defaults(network.config_class):
            assert f"{section}.{field}" in printed
    assert '"test_resnet"' in printed["discriminator.backbone"]
    assert "[4, 4, 2, 2, 1]" in printed["generator.channel_multipliers"]
    assert "# ours: preset tiny; DEPARTS from the paper: five blocks" in printed["generator.channel_multipliers"]


def test_a_departure_shows_both_values_and_the_place():
    text = describe_options(resolve_options("ade20k"))
    line = next(line for line in text.splitlines() if line.startswith("loss.generator_step_statistics"))
    assert '"running"' in line and 'DEPARTS from the paper: "batch" (Sec. 3.1: batch statistics)' in line
    assert text.splitlines()[-1].split("#")[1].startswith(" options depart from the paper: loss.label_smoothing_form")


def test_an_older_runs_file_keeps_half_of_the_gradient(tmp_path):
    """`training_options.json` of releases before `diversity_gradient` says nothing of it."""
    from dpsims_hf.training.options import read_options

    record = resolve_options("tiny").record()
    assert record.pop("loss.diversity_gradient")["value"] == "both"
    (tmp_path / "training_options.json").write_text(json.dumps(record))
    again = read_options(tmp_path / "training_options.json")
    assert (again.loss.diversity_gradient, again.loss.lambda_diversity) == ("one", 10.0)
    assert resolve_options("camvid_small").loss.diversity_gradient == "one"  # as it was tried
    assert described_options(again)["loss.global_class_weights"][1].startswith("ours: each process by its own batch")


# -- docs/papers.md ---------------------------------------------------------------------------------------------------


PAGE = Path(__file__).parents[2] / "docs" / "papers.md"
COMMANDS = [text for text in re.findall(r"`([^`]+)`", PAGE.read_text()) if text.startswith("--")]
TRAINED = [text for text in COMMANDS if text.startswith("--recipe")]
MEASURED = [text for text in COMMANDS if text.startswith(("--protocols", "--metrics", "--real_only"))]


@pytest.mark.parametrize("text", sorted(set(TRAINED)))
def test_training_commands_of_the_page_resolve(text: str):
    options = options_from_args(parse_args(shlex.split(text)))
    assert describe_options(options)
    for name in re.findall(r"--set (\S+?)=", text):
        assert options.source(name).startswith("--set ")
    for network in ("generator", "discriminator"):  # a config that cannot be is told before data is read
        fields = dict(getattr(options, network))
        config_class = getattr(FAMILIES[getattr(options, f"{network}_family")], network).config_class
        config_class.from_preset(fields.pop("preset", "paper"), **{"num_labels": 5, **fields})


@pytest.mark.parametrize("text", sorted(set(MEASURED)))
def test_evaluation_commands_of_the_page_name_what_there_is(text: str):
    args = parse_evaluation_args([*shlex.split(text), "--model", "m", "--dataset_dir", "d"])
    check_args(args)
    assert select_protocols(args)


def test_the_page_has_every_table():
    """A row for each table of the papers' texts, by their captions."""
    page = PAGE.read_text().split("## ")
    rows = {part.split("\n")[0]: part for part in page}
    for section, tables in (
        ("DP-SIMS", "1 2 3 4 5 6 7 8 9".split()),
        ("DP-GAN", ["1", "2", "3", "4(a)", "4(b)", "4(c)", *(f"supplement {n}" for n in range(1, 7))]),
        ("OASIS", [*"12345", *"BEFHIJKL"]),
    ):
        for table in tables:
            assert re.search(rf"^\| {re.escape(table)}[ ,:]", rows[section], flags=re.MULTILINE), (section, table)
    assert len(set(TRAINED)) > 55

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Looks that come with a model: the file, how they are chosen, and their thumbnails."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpsims_hf.demo import choose_looks
from dpsims_hf.demo.choose_looks.measures import KINDS, Light, apart, light, mean_light, ranked
from dpsims_hf.demo.drawing.look_previews import draw_previews, look_name, previews_key, smaller_scene
from dpsims_hf.demo.drawing.scenes import MAX_SEED, Reroll, Scene, Variant, render
from dpsims_hf.demo.drawing.settings import image_settings, read_settings
from dpsims_hf.demo.drawing.variants import Entry, Grid, Shot
from dpsims_hf.demo.models.library import LoadedModel, load_model
from dpsims_hf.demo.models.model_looks import LOOKS_FILE, ModelLook, looks_file, read_looks_file
from dpsims_hf.hub.selection import published_files


SHA = "0" * 64
LOOKS = (ModelLook("day", 3), ModelLook("evening light", 70))


# -- the file ---------------------------------------------------------------------------------------------------------


def with_looks(folder: Path, target: Path, **changes: object) -> LoadedModel:
    """A copy of a checkpoint with looks of its weights."""
    shutil.copytree(folder, target)
    sha = load_model("m", str(target)).weights_sha256
    (target / LOOKS_FILE).write_text(json.dumps(looks_file(LOOKS, sha) | changes))
    return load_model("m", str(target))


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return with_looks(tiny_checkpoint_dir, tmp_path_factory.mktemp("looks") / "model")


def test_a_model_brings_its_looks(model, tiny_checkpoint_dir):
    assert model.looks == LOOKS
    assert load_model("plain", str(tiny_checkpoint_dir)).looks == ()
    assert LOOKS_FILE in published_files(model.source)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights_sha256": SHA}, "chosen for other weights; choose them again by python -m"),
        ({"looks": [{"name": "<b>", "seed": 3}]}, "a name of up to 24 letters"),
    ],
)
def test_a_wrong_file_is_told_in_the_log_and_refuses_no_model(tiny_checkpoint_dir, tmp_path, capsys, changes, words):
    assert with_looks(tiny_checkpoint_dir, tmp_path / "model", **changes).looks == ()
    assert capsys.readouterr().out.startswith("m: no looks are shown: looks.json")
    (tmp_path / "model" / LOOKS_FILE).write_text("[" * 9999)
    assert load_model("m", str(tmp_path / "model")).looks == ()
    assert "looks.json: not readable as JSON" in capsys.readouterr().out
    with pytest.raises(ValueError, match=words):
        read_looks_file(looks_file(LOOKS, SHA) | changes, "1" * 64)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"looks": []}, "a list of 1..8"),
        ({"looks": [{"name": f"l{n}", "seed": n} for n in range(9)]}, "a list of 1..8"),
        ({"looks": [{"name": "x" * 25, "seed": 0}]}, "a name of up to 24"),
        ({"looks": [{"name": "", "seed": 0}]}, "a name of up to 24"),
        ({"looks": [{"name": "a\u202eb", "seed": 0}]}, "a name of up to 24"),
        ({"looks": [{"name": "a", "seed": MAX_SEED + 1}]}, "whole number 0"),
        ({"looks": [{"name": "a", "seed": 1.0}]}, "whole number 0"),
        ({"looks": [{"name": "a", "seed": 0, "code": "x"}]}, "unknown field"),
        ({"looks": [{"name": "a", "seed": 0}, {"name": "a", "seed": 1}]}, "stands twice"),
        ({"looks": [{"name": "a", "seed": 0}, {"name": "b", "seed": 0}]}, "stands twice"),
        ({"looks": {"a": 0}}, "a list of 1..8"),
        ({"format": "other"}, "format 'other' is unknown"),
        ({"weights_sha256": "?"}, "64 hexadecimal digits"),
        ({"run": "os.system"}, "unknown field"),
    ],
)
def test_what_are_no_looks_is_refused_in_one_line(changes, words):
    assert read_looks_file(looks_file(LOOKS, SHA, "by hand"), SHA) == LOOKS
    with pytest.raises(ValueError) as error:
        read_looks_file(looks_file(LOOKS, SHA) | changes, SHA)
    assert words in str(error.value) and "\n" not in str(error.value)


# -- choosing ---------------------------------------------------------------------------------------------------------

NOON = Light(sky=85, blue=12, sky_chroma=12, ground=45, warmth=6, contrast=20)


def test_names_go_to_the_seeds_that_are_what_they_say():
    ordinary = [NOON._replace(ground=45 + n / 10, warmth=6 + n / 10) for n in range(9)]
    lights = [
        *ordinary,
        NOON._replace(sky=40, ground=30),  # 9: dusk
        NOON._replace(warmth=15),  # 10: evening
        NOON._replace(blue=30, sky_chroma=30),  # 11: blue sky
        NOON._replace(ground=60),  # 12: day
        NOON._replace(blue=1, sky_chroma=1, contrast=12),  # 13: overcast
        NOON._replace(warmth=-2),  # 14: cold
    ]
    best = {name: places[0] for name, places in ranked(lights).items() if places}
    wanted = {"dusk": 9, "evening light": 10, "blue sky": 11, "day": 12, "overcast": 13, "cold light": 14}
    assert best == wanted
    assert not any(ranked(ordinary).values()), "nothing stands out"
    assert apart(lights[9], [NOON]) and not apart(ordinary[1], [ordinary[0]])


def test_light_is_that_of_sky_ground_and_walls():
    labels = ("sky", "old house", "road")
    label_map = np.zeros((30, 40), dtype=np.int64)
    label_map[10:] = 1
    label_map[20:] = 2
    image = np.array([(90, 140, 230), (230, 170, 90), (60, 60, 60)], dtype=np.uint8)[label_map]
    one = light(image, label_map, labels)
    assert one.blue > 30 and one.warmth > 40 and one.sky > one.ground > 40 and one.contrast > 10
    without_sky = light(image[10:], label_map[10:], labels)
    assert np.isnan(without_sky.sky) and without_sky.warmth == pytest.approx(one.warmth)
    both = mean_light([one, without_sky])
    assert both.sky == one.sky and both.ground == pytest.approx((one.ground + without_sky.ground) / 2)
    # without a sky anywhere, its names are given to nobody, and warm stays warm
    inside = [without_sky._replace(warmth=10.0 * n, ground=50.0 + n) for n in range(9)]
    found = ranked(inside)
    assert found["evening light"][0] == 8 and found["cold light"][0] == 0
    assert not found["dusk"] and not found["blue sky"] and not found["overcast"]


def test_the_command_writes_what_the_page_reads(tiny_checkpoint_dir, tmp_path, monkeypatch, capsys):
    from dpsims_hf.image_processing_label_files import save_ids

    folder, maps = tmp_path / "model", tmp_path / "maps"
    shutil.copytree(tiny_checkpoint_dir, folder)
    maps.mkdir()
    label_map = np.zeros((32, 64), dtype=np.int64)
    label_map[16:] = 2
    save_ids(label_map, maps / "street.png")
    # noise of a random network changes little: every third seed may have a name here
    kinds = [kind._replace(holds=lambda one, middle: one.ground > middle.ground) for kind in KINDS[:2]]
    monkeypatch.setattr(choose_looks.measures, "KINDS", tuple(kinds))
    monkeypatch.setattr(choose_looks, "KINDS", tuple(kinds))
    monkeypatch.setattr(choose_looks, "FIRST", tuple(kind.name for kind in kinds))
    monkeypatch.setattr(choose_looks, "apart", lambda one, others: True)
    arguments = [str(folder), "--label_maps", str(maps), "--seeds", "6", "--sheet", str(tmp_path / "sheet.png")]
    choose_looks.main(arguments)
    first = (folder / LOOKS_FILE).read_text()
    looks = load_model("m", str(folder)).looks
    assert [look.name for look in looks] == ["day", "blue sky"] and (tmp_path / "sheet.png").is_file()
    choose_looks.main(arguments)
    assert (folder / LOOKS_FILE).read_text() == first
    assert capsys.readouterr().out.rstrip().endswith(f"{folder / LOOKS_FILE}: day, blue sky")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere is no folder"),
        (["MODEL"], "no drawn examples of this model's classes: name a folder"),
        (["MODEL", "--label_maps", "EMPTY"], "holds no PNG"),
        (["MODEL", "--seeds", "1"], "at least 2 seeds"),
    ],
)
def test_the_command_says_what_is_wrong(tiny_checkpoint_dir, tmp_path, arguments, words):
    names = {"MODEL": str(tiny_checkpoint_dir), "EMPTY": str(tmp_path)}
    with pytest.raises(SystemExit, match=words):
        choose_looks.main([names.get(argument, argument) for argument in arguments])


# -- on the page ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(model: LoadedModel) -> Scene:
    label_map = np.zeros((32, 64), dtype=np.int64)
    label_map[16:] = 2
    label_map[20:28, 16:32] = 3
    return Scene("street", label_map, model.labels)


def test_a_thumbnail_is_the_look_of_the_present_scene_in_small(model, scene):
    small = smaller_scene(model, scene)
    assert small.label_map.shape == (16, 32)
    variant = Variant(9, (Reroll(5, point=(24, 20)),))
    drawn = draw_previews(model, scene, variant)
    wanted = render(model, small, [Variant(look.seed, (Reroll(5, point=(12, 10)),)) for look in LOOKS])
    assert all(np.array_equal(*pair) for pair in zip(drawn, wanted, strict=True))
    keys = {previews_key(model, scene, each) for each in (variant, Variant(9), Variant(3), Variant(70))}
    assert len(keys) == 2, "the seed looked at is in no thumbnail"


def test_a_slow_model_shows_names_alone(model, scene, monkeypatch):
    monkeypatch.setattr(type(model.cost), "seconds", lambda self, size: 12.0)
    assert draw_previews(model, scene, Variant(0)) == []


def test_the_settings_say_the_name(model, scene):
    assert look_name(model, Variant(70)) == "evening light" and look_name(model, Variant(71)) == ""
    content = image_settings(model, scene, [Variant(70, (Reroll(5, label="car"),)), Variant(1)])
    assert [entry.get("look_name") for entry in content["images"]] == ["evening light", None]
    assert read_settings(content)[1][0] == Variant(70, (Reroll(5, label="car"),))


def test_a_full_grid_makes_room_for_a_look():
    entries = tuple(Entry((Shot(Variant(seed), "file"),), locked=seed == 15) for seed in range(16))
    grid = Grid("key", entries, chosen=4)
    look = Entry((Shot(Variant(70), "file"),))
    seeds = [entry.variant.seed for entry in grid.with_first(look).entries]
    assert seeds == [70, *range(14), 15] and grid.with_first(look).chosen == 0
    locked = replace(grid, entries=tuple(replace(entry, locked=True) for entry in entries))
    assert [entry.variant.seed for entry in locked.with_first(look).entries] == [70, *range(15)]

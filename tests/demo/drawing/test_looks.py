# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Looks: noise found for a photo is exact, is an image of the page like others, and is kept under names."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dpsims_hf.demo.drawing.example_maps import CAMVID_CLASSES, FACADE_CLASSES
from dpsims_hf.demo.drawing.example_photos import MOODS, example_photos
from dpsims_hf.demo.drawing.found_noise import MAX_NUMBERS, FoundNoise, found_noise, noise_content, read_noise
from dpsims_hf.demo.drawing.named_looks import (
    MAX_LOOKS,
    NamedLook,
    clean_name,
    free_name,
    joined,
    looks_content,
    named,
    read_looks,
    renamed,
    with_look,
    without,
)
from dpsims_hf.demo.drawing.scenes import Deadline, Reroll, Scene, Variant, render, walk
from dpsims_hf.demo.drawing.settings import image_name, image_settings, read_settings
from dpsims_hf.demo.drawing.variants import Grid, Part, Planned, base, fitting, history, rerolled
from dpsims_hf.demo.image_settings import recreate
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model
from dpsims_hf.demo.server import api
from dpsims_hf.image_processing_label_files import save_ids


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path) -> LoadedModel:
    return load_model("checkpoints/tiny", str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def scene(model: LoadedModel) -> Scene:
    """Sky, road, and a car on it."""
    label_map = np.zeros((32, 64), dtype=np.int64)
    label_map[16:] = 2
    label_map[20:28, 16:32] = 3
    return Scene("street", label_map, model.labels)


def rows(count: int, numbers: int = 8) -> torch.Tensor:
    return torch.randn(count, numbers, generator=torch.Generator().manual_seed(count))


WHOLE = found_noise(rows(1), photo="dusk", model="checkpoints/tiny")
BY_CLASS = found_noise(rows(3), ("sky", "car"), "dusk", "checkpoints/tiny")


# -- noise ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [WHOLE, BY_CLASS], ids=["whole", "by_class"])
def test_noise_survives_json_bit_for_bit(noise):
    content = json.loads(json.dumps(noise_content(noise)))
    assert read_noise(content) == noise and noise.vectors().shape == (1 + len(noise.labels), 8)
    style = {"noise": noise.rows.tolist(), "labels": list(noise.labels) or ["road"], "photo": "dusk"}
    assert read_noise(json.loads(json.dumps(style))) == replace(noise, model="")


ROW = [0.5] * 8


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (3, "legal is a table with noise and labels"),
        ({"noise": [ROW]}, "legal is a table with noise and labels"),
        ({"noise": [ROW, ROW], "labels": []}, "legal are 1 lists of numbers"),
        ({"noise": [ROW, ROW], "labels": ["sky", "car"]}, "legal are 3 lists"),
        ({"noise": [ROW, ROW[1:]], "labels": ["sky"]}, "lists of one length"),
        ({"noise": [ROW] * 3, "labels": ["sky", "sky"]}, "names a class twice"),
        ({"noise": [ROW], "labels": [3]}, "look.labels"),
        ({"noise": [["a"] * 8], "labels": []}, "look.noise holds 'a': legal are numbers of size up to 1000"),
        ({"noise": [[True] * 8], "labels": []}, "legal are numbers"),
        ({"noise": [[float("nan")] * 8], "labels": []}, "legal are numbers"),
        ({"noise": [[10**400]], "labels": []}, "look.noise holds"),
        ({"noise": [[1e30]], "labels": []}, "look.noise holds 1e+30"),
        ({"noise": [[0.0] * (MAX_NUMBERS + 1)], "labels": []}, "up to 100,000 numbers"),
        ({"noise": [[]], "labels": []}, "noise of 0 bytes"),
        ({"noise": "?", "labels": []}, "no base64"),
        ({"noise": "A" * 700_000, "labels": []}, "700,000 characters"),
        ({"noise": base64.b64encode(b"12345").decode(), "labels": []}, "noise of 5 bytes"),
        ({"noise": base64.b64encode(np.float32("nan").tobytes()).decode(), "labels": []}, "a number of size nan"),
        ({"noise": [ROW], "labels": [], "photo": 3}, "look.photo"),
        ({"noise": [ROW], "labels": [], "model": "x" * 2000}, "look.model"),
    ],
)
def test_what_is_no_noise_is_refused_in_one_line(content, words):
    with pytest.raises(ValueError) as error:
        read_noise(content)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_an_image_of_found_noise_is_that_of_the_pipeline(model, scene):
    size = {"height": 32, "width": 64}
    plain = model.pipe(scene.label_map, noise=rows(1), size=size).images[0]
    assert np.array_equal(np.asarray(render(model, scene, [Variant(3, noise=WHOLE)])[0]), np.asarray(plain))
    regions = np.array([1, 0, 0, 2, *[0] * (len(scene.labels) - 4)])[scene.label_map]
    assert (scene.labels[0], scene.labels[3]) == ("sky", "car")
    by_class = model.pipe(scene.label_map, noise=rows(3)[None], resample_regions=regions, size=size).images[0]
    drawn = [np.asarray(image) for image in render(model, scene, [Variant(3, noise=BY_CLASS), Variant(3)])]
    assert np.array_equal(drawn[0], np.asarray(by_class)) and not np.array_equal(*drawn)


def test_a_re_roll_on_a_look_keeps_the_rest_of_it(model, scene):
    look = Variant(3, noise=BY_CLASS)
    changed = rerolled(look, scene, Part("car"), 7)
    assert changed.noise == BY_CLASS and history(changed, scene) == "look of dusk, then car with seed 7"
    before, after = (np.asarray(image) for image in render(model, scene, [look, changed]))
    assert not np.array_equal(before, after)
    regions = np.array([1, 0, 0, 3, *[0] * (len(scene.labels) - 4)])[scene.label_map]
    sample = model.pipe.generator_model.sample_noise(1, generator=torch.Generator().manual_seed(7))
    noise = torch.cat([rows(3), sample])[None]
    size = {"height": 32, "width": 64}
    wanted = model.pipe(scene.label_map, noise=noise, resample_regions=regions, size=size).images[0]
    assert np.array_equal(after, np.asarray(wanted))


def test_a_walk_starts_from_a_look(model, scene):
    look = Variant(3, (Reroll(5, label="road"),), BY_CLASS)
    frames = walk(model, scene, (3, 9), 3, None, Deadline(), look.rerolls, found=look.noise)
    first, last = render(model, scene, [look, Variant(9, look.rerolls)])
    assert np.array_equal(np.asarray(frames[0]), np.asarray(first))
    assert np.array_equal(np.asarray(frames[2]), np.asarray(last))
    only_sky = walk(model, scene, (3, 9), 2, ["sky"], Deadline(), look.rerolls, found=look.noise)
    assert np.array_equal(np.asarray(only_sky[0]), np.asarray(first))
    assert not np.array_equal(np.asarray(only_sky[1]), np.asarray(last))


def test_the_endpoint_interpolate_starts_from_a_look(model, scene, tmp_path):
    save_ids(scene.label_map, tmp_path / "street.png")
    handlers = api._Handlers(ModelLibrary(model), str(tmp_path))
    look = {"noise": BY_CLASS.rows.tolist(), "labels": ["sky", "car"], "photo": "dusk"}
    files, settings = handlers.interpolate(str(tmp_path / "street.png"), 3, 9, 3, look=look)
    drawn = [np.asarray(Image.open(file)) for file in files]
    ends = render(model, scene, [Variant(3, noise=BY_CLASS), Variant(9)])
    assert np.array_equal(drawn[0], np.asarray(ends[0])) and np.array_equal(drawn[2], np.asarray(ends[1]))
    assert read_noise(json.loads(json.dumps(settings["look"]))) == replace(BY_CLASS, model="")
    again, _ = handlers.interpolate(str(tmp_path / "street.png"), 3, 9, 3, look=settings["look"])
    assert again == files and len(drawn) == 3
    with pytest.raises(ValueError, match="^look=3 is illegal"):
        handlers.interpolate(str(tmp_path / "street.png"), look=3)


def test_noise_of_another_length_is_told_and_left_out_where_a_scene_is_carried(model, scene):
    long = Variant(3, noise=found_noise(rows(1, 16), photo="dusk", model="checkpoints/other"))
    with pytest.raises(ValueError, match="look of dusk has noise of 16 numbers.* takes 8: choose checkpoints/other"):
        render(model, scene, [long])
    assert fitting(long, scene, model) == Variant(3) and fitting(long, scene) == long
    assert fitting(Variant(3, noise=WHOLE), scene, model).noise == WHOLE


def test_a_look_is_among_the_images_of_vary(model, scene):
    look = Variant(3, noise=WHOLE)
    grid = Grid("old", plan=(Planned((Variant(0),)), Planned((Variant(1),))))
    assert grid.lacks(look) and not grid.lacks(Variant(7))
    made = grid.for_scene("new", scene, look, model)
    assert [item.variants[-1] for item in made.plan] == [look, Variant(0), Variant(1)] and made.chosen == 0
    assert base(look) == "look of dusk" and base(Variant(3)) == "seed 3"


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [WHOLE, BY_CLASS], ids=["whole", "by_class"])
def test_settings_make_the_look_again_and_carry_the_kept_ones(model, scene, noise):
    variant = Variant(3, (Reroll(7, label="road"),), noise)
    looks = (NamedLook("evening", model.name, variant), NamedLook("seed 5", model.name, Variant(5)))
    content = json.loads(json.dumps(image_settings(model, scene, [variant], looks)))
    again, variants, _ = read_settings(content)
    assert variants == [variant] and np.array_equal(again.label_map, scene.label_map)
    assert read_looks(content["looks"]) == looks
    made, drawn = recreate(content, model)[0], render(model, scene, [variant])[0]
    assert np.array_equal(np.asarray(made), np.asarray(drawn))
    names = {image_name(scene, v) for v in (variant, Variant(3), Variant(3, noise=noise), Variant(3, variant.rerolls))}
    assert len(names) == 4


def test_settings_with_a_wrong_look_are_refused(model, scene):
    content = image_settings(model, scene, [Variant(3, noise=WHOLE)])
    for look in (3, {"noise": "x", "labels": []}, {"noise": [[1.0]], "labels": "abc"}):
        content["images"][0]["look"] = look
        with pytest.raises(ValueError, match="not settings of an image"):
            read_settings(content)
    for looks in (3, [3], [{"name": "a"}], [{"name": "", "model": "", "seed": 0, "rerolls": []}]):
        with pytest.raises(ValueError, match="not settings of an image"):
            read_settings(image_settings(model, scene, [Variant(3)]) | {"looks": looks})


# -- names ------------------------------------------------------------------------------------------------------------


def test_looks_are_kept_renamed_and_deleted():
    looks = with_look((), "dusk", "m", Variant(3, noise=WHOLE))
    looks = with_look(looks, "noon", "m", Variant(5))
    assert named(looks, "noon").variant == Variant(5)
    looks = renamed(looks, "dusk", "  late \n evening ")
    assert [look.name for look in looks] == ["late evening", "noon"]
    assert renamed(looks, "noon", "noon") == looks
    assert [look.name for look in without(looks, "noon")] == ["late evening"]
    for wrong, words in (
        (lambda: with_look(looks, "noon", "m", Variant(6)), "called 'noon' already"),
        (lambda: renamed(looks, "noon", "late evening"), "called 'late evening' already"),
        (lambda: renamed(looks, "noon", " \n"), "type the new name"),
        (lambda: without(looks, None), "no look chosen"),
        (lambda: named(looks, "night"), "no look is called 'night'"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


def test_the_list_has_an_end():
    looks = tuple(NamedLook(f"look {number}", "m", Variant(number)) for number in range(MAX_LOOKS))
    with pytest.raises(ValueError, match=f"{MAX_LOOKS} looks are kept already: delete one"):
        with_look(looks, "one more", "m", Variant(99))
    assert read_looks(looks_content(looks)) == looks
    with pytest.raises(ValueError, match="legal is a list of up to"):
        read_looks([*looks_content(looks), {}])


def test_lists_are_joined_by_what_is_in_them():
    mine = (NamedLook("dusk", "m", Variant(1)),)
    others = (
        NamedLook("dusk", "m", Variant(1)),
        NamedLook("dusk", "m", Variant(2)),
        NamedLook("noon", "m", Variant(3)),
    )
    assert [(look.name, look.variant.seed) for look in joined(mine, others[1:])] == [
        ("dusk", 1),
        ("dusk 2", 2),
        ("noon", 3),
    ]
    assert joined(mine, others[:1]) == mine
    assert free_name(mine, "x" * 40) == "x" * 40 and len(free_name(joined(mine, others), "dusk")) < 40


@pytest.mark.parametrize("text", [None, 3, ["a"]])
def test_a_name_is_a_text(text):
    with pytest.raises(ValueError, match="no name of a look"):
        clean_name(text)


def test_a_name_is_one_short_line():
    assert clean_name("a\u202eb\0  c") == "a b c" and len(clean_name("x" * 5000)) == 40
    with pytest.raises(ValueError, match="no name of a look"):
        NamedLook("a\nb", "m", Variant(0))


# -- painted pictures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [CAMVID_CLASSES, FACADE_CLASSES], ids=["camvid", "facade"])
def test_pictures_to_try_are_painted_class_by_class(classes):
    examples = example_photos([*classes, "void"])
    assert [example.name for example in examples] == list(MOODS)
    for example in examples:
        height, width = example.label_map.shape
        assert example.image.size == (2 * width, 2 * height) and example.label_map.max() < len(classes)
    evening, summer = examples[0], examples[2]
    sky = [np.asarray(e.image)[::2, ::2][e.label_map == 0].mean(axis=0) for e in (evening, summer)]
    assert sky[0][0] > sky[0][2] and sky[1][2] > sky[1][0]  # red against blue
    assert example_photos(["a", "b"]) == []


def test_vectors_are_not_those_of_the_file():
    vectors = FoundNoise(WHOLE.data).vectors()
    vectors += 1
    assert torch.equal(WHOLE.vectors(), rows(1))

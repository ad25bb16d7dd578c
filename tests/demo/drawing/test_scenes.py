# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the page draws: models by name, scenes, re-rolls, and settings from which images are made again."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.demo.drawing.scenes import (
    MAX_SEED,
    Deadline,
    Reroll,
    Scene,
    Variant,
    check_count,
    consecutive,
    file_stem,
    render,
)
from dpsims_hf.demo.drawing.settings import image_settings, read_settings, save_images
from dpsims_hf.demo.image_settings import recreate
from dpsims_hf.demo.models import library as model_library
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model, working_size
from dpsims_hf.hub import save_model_folder
from dpsims_hf.image_processing_label_files import save_ids


ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path) -> LoadedModel:
    return load_model(str(tiny_checkpoint_dir), str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def scene(model) -> Scene:
    """Sky, building, road with two cars that do not touch."""
    label_map = np.zeros((32, 64), dtype=np.int64)
    label_map[8:, :32] = 1
    label_map[16:] = 2
    label_map[20:28, 4:20] = label_map[20:28, 40:60] = 3
    return Scene("street", label_map, model.labels)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


# -- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((192, 256), (192, 256)),
        ((360, 480), (192, 256)),  # CamVid's own size
        ((512, 512), (224, 224)),
        ((1024, 2048), (160, 320)),
        ((7, 9), (192, 256)),
        ((1, 100_000), (32, 1024)),  # bounded: no strip of 70 000 pixels
        ((100_000, 1), (1024, 32)),
    ],
)
def test_working_size_keeps_aspect_ratio_and_area(source, expected):
    assert working_size(source, training_size=(192, 256), divisor=32) == expected


def test_a_model_fits_label_maps_without_new_values(model):
    large = np.random.default_rng(0).integers(0, 5, (96, 192))
    fitted = model.fit(large)
    assert fitted.shape == (32, 64) and np.array_equal(fitted, large[1::3, 1::3])
    assert model.labels == SYNTHETIC_SPEC.labels and model.training_size == (32, 64)


def test_the_library_finds_models_by_name_and_loads_each_once(model, tiny_checkpoint_dir):
    library = ModelLibrary(model, folder=tiny_checkpoint_dir.parent)
    offered = f"{tiny_checkpoint_dir.parent.name}/tiny"
    assert library.names == [str(tiny_checkpoint_dir), offered]
    assert library.get("") is library.get(None) is library.get(f" {tiny_checkpoint_dir} ") is model
    found: list[LoadedModel] = []
    threads = [threading.Thread(target=lambda: found.append(library.get(offered))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len({id(other) for other in found}) == 1 and found[0] is not model
    assert found[0].name == offered and found[0].weights_sha256 == model.weights_sha256


def test_the_library_forgets_the_model_used_longest_ago(model, monkeypatch):
    monkeypatch.setattr(model_library, "load_model", lambda name, source, *_: LoadedModel(name, model.pipe))
    library = ModelLibrary(model)
    names = [f"user/model_{i}" for i in range(3)]
    first, second, third = (library.get(name) for name in names)
    assert library.get(names[2]) is third and library.get(names[1]) is second
    assert library.get(names[0]) is not first  # two beside the default
    assert library.default is model


def test_a_name_that_failed_is_not_tried_again_at_once(model, monkeypatch):
    tried = []

    def fail(name, source, *_):
        tried.append(name)
        raise ValueError(f"model {name!r} cannot be used")

    monkeypatch.setattr(model_library, "load_model", fail)
    library = ModelLibrary(model)
    for _ in range(2):
        with pytest.raises(ValueError, match="'user/none' cannot be used"):
            library.get("user/none")
    assert tried == ["user/none"]
    monkeypatch.setattr(model_library.time, "monotonic", lambda: 1e12)  # much later
    with pytest.raises(ValueError, match="cannot be used"):
        library.get("user/none")
    assert tried == ["user/none"] * 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/nowhere/at/all", "no such folder"),
        ("word", "no such folder"),
        ("tests", "no config.json"),
        ("nobody/nothing", "cannot be used"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(model, name, words, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match=words) as caught:
        ModelLibrary(model).get(name)
    assert repr(name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_public_page_takes_no_folders_of_the_machine(model, tiny_checkpoint_dir):
    library = ModelLibrary(model, tiny_checkpoint_dir.parent, local_folders=False)
    with pytest.raises(ValueError, match="this page accepts"):
        library.get(str(tiny_checkpoint_dir / ".." / "tiny"))
    with pytest.raises(ValueError, match="this page accepts"):
        library.get("/etc")
    assert library.get(f"{tiny_checkpoint_dir.parent.name}/tiny").labels == model.labels


def test_other_kinds_of_models_are_refused_before_their_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ValueError, match="'chosen' cannot be used: .*model_type='bert' is none of these models"):
        load_model("chosen", str(tmp_path))


# -- images -----------------------------------------------------------------------------------------------------------


def test_an_image_is_a_function_of_its_map_and_variant(model, scene):
    alone = model.pipe(scene.label_map, seed=7, num_images_per_label_map=1).images[0]
    images = render(model, scene, consecutive(5, 4))
    assert np.array_equal(pixels(images[2]), pixels(alone))
    assert not np.array_equal(pixels(images[0]), pixels(images[1]))
    assert [v.seed for v in consecutive(MAX_SEED, 2)] == [MAX_SEED, 0]


def test_one_reroll_is_what_the_pipeline_does(model, scene):
    ours = render(model, scene, [Variant(1, (Reroll(9, label="car"),)), Variant(1, (Reroll(9, point=(22, 45)),))])
    by_label = model.pipe(scene.label_map, 1, 1, resample_labels=["car"], resample_seed=9).images[0]
    by_point = model.pipe(scene.label_map, 1, 1, resample_points=[(22, 45)], resample_seed=9).images[0]
    assert np.array_equal(pixels(ours[0]), pixels(by_label)) and np.array_equal(pixels(ours[1]), pixels(by_point))
    assert not np.array_equal(pixels(ours[0]), pixels(ours[1]))


def test_a_model_with_instances_takes_connected_regions_for_objects(scene, tmp_path):
    """Painted cars that do not touch are two objects; the page and the pipeline say the same."""
    id2label, stuff = dict(enumerate(scene.labels)), [0, 1, 2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = DPSIMSGeneratorConfig.from_preset(
            "tiny", num_labels=None, id2label=id2label, use_instance_offsets=True, attention_gate_init=1.0
        )
        generator = DPSIMSGenerator(config).eval()
    processor = SYNTHETIC_SPEC.image_processor(size=config.image_size, size_divisor=config.size_divisor)
    assert processor.stuff_ids == [*stuff, SYNTHETIC_SPEC.void_label_id]
    model = load_model("with objects", str(save_model_folder(tmp_path / "model", generator, processor)))
    label_map, instances = np.full((32, 64), 2), np.zeros((32, 64), dtype=np.int64)
    label_map[20:28, 4:20] = label_map[20:28, 40:60] = 3
    instances[20:28, 4:20], instances[20:28, 40:60] = 1, 2
    image = pixels(render(model, Scene("cars", label_map, scene.labels), [Variant(0)])[0])
    given = {"num_images_per_label_map": 1, "seed": 0}
    assert np.array_equal(image, pixels(model.pipe(label_map, instance_map=instances, **given).images[0]))
    joined = model.pipe(label_map, instance_map=(instances > 0).astype(np.uint8), **given).images[0]
    assert not np.array_equal(image, pixels(joined)), "one object in two places is another picture"


def test_rerolls_add_up_and_the_later_one_counts(model, scene):
    car, sky, one_car = Reroll(9, label="car"), Reroll(4, label="sky"), Reroll(2, point=(22, 45))
    first, repeated, both, other = render(
        model,
        scene,
        [Variant(1, (car,)), Variant(1, (sky, car, car)), Variant(1, (sky, car)), Variant(1, (car, one_car))],
    )
    assert np.array_equal(pixels(repeated), pixels(both))
    assert not np.array_equal(pixels(first), pixels(both)) and not np.array_equal(pixels(first), pixels(other))
    (overruled,) = render(model, scene, [Variant(1, (one_car, car))])
    assert np.array_equal(pixels(overruled), pixels(first))  # the class covers the region that came before


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.5, "7", True, None])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ValueError, match=r"out of range: legal are whole numbers in 0\.\."):
        Variant(seed)


def test_bad_requests_are_refused_in_words(model, scene):
    with pytest.raises(ValueError, match="either a class or a point"):
        Reroll(1)
    with pytest.raises(ValueError, match="num_images=99 is out of range"):
        consecutive(0, 99)
    with pytest.raises(ValueError, match="steps=2.5"):
        check_count(2.5, 10, "steps")
    with pytest.raises(ValueError, match="no class 'horse'"):
        render(model, scene, [Variant(0, (Reroll(1, label="horse"),))])
    with pytest.raises(ValueError, match="lies outside"):
        render(model, scene, [Variant(0, (Reroll(1, point=(99, 0)), Reroll(1, label="car")))])
    with pytest.raises(ValueError, match="stopped after 0 seconds"):
        render(model, scene, [Variant(0)], Deadline(0))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("my map.png", "my_map"),
        ("../../etc/passwd", "etc_passwd"),
        ("", "label_map"),
        ("straße.PNG", "straße"),
        ("..", "label_map"),
    ],
)
def test_file_stems_are_safe(name, stem):
    assert file_stem(name) == stem


# -- settings ---------------------------------------------------------------------------------------------------------


VARIANTS = (Variant(3), Variant(3, (Reroll(5, label="car"), Reroll(6, point=(22, 45)))))


def test_settings_make_the_same_images_again(model, scene, tmp_path):
    images = render(model, scene, VARIANTS)
    saved = save_images(tmp_path, model, scene, VARIANTS, images)
    names = [Path(path).name for path in saved.images]
    assert names[0] == "street_seed_3.png" and names[1].startswith("street_seed_3_") and len(set(names)) == 2
    for path, image in zip(saved.images, images, strict=True):
        assert np.array_equal(pixels(Image.open(path)), pixels(image))
    with Image.open(saved.label_map) as stored:
        assert stored.mode == "L" and np.array_equal(np.asarray(stored), scene.label_map)
    for again, image in zip(recreate(saved.settings), images, strict=True):
        assert np.array_equal(pixels(again), pixels(image))
    content = json.loads(Path(saved.settings).read_text())
    assert content["model"] == model.name and content["images"][1]["rerolls"] == [
        {"seed": 5, "label": "car"},
        {"seed": 6, "point": [22, 45]},
    ]


@pytest.mark.slow
def test_settings_make_the_image_again_in_another_process(model, scene, tmp_path):
    saved = save_images(tmp_path, model, scene, VARIANTS[1:], render(model, scene, VARIANTS[1:]))
    command = [
        sys.executable,
        "-m",
        "dpsims_hf.demo.image_settings",
        saved.settings,
        "--output_dir",
        str(tmp_path / "again"),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (again,) = (tmp_path / "again").iterdir()
    assert np.array_equal(pixels(Image.open(again)), pixels(Image.open(saved.images[0])))


def test_other_weights_are_told(model, scene):
    content = image_settings(model, scene, VARIANTS[:1]) | {"weights_sha256": "0"}
    with pytest.warns(UserWarning, match="other weights"):
        recreate(content, model)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"label_map": {"file": "x", "png_base64": "!"}},
        {"label_map": {"file": "x", "png_base64": "AAAA"}},
        {"images": [{"seed": -4, "rerolls": []}]},
        {"images": [{"seed": 1, "rerolls": [{"seed": 1}]}]},
        {"images": 3},
        {"labels": None},
    ],
)
def test_files_that_are_no_settings_are_refused_in_one_line(model, scene, change, tmp_path):
    content = image_settings(model, scene, VARIANTS) | change
    (tmp_path / "broken.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="broken.json: not settings of an image") as caught:
        read_settings(tmp_path / "broken.json")
    assert "\n" not in str(caught.value)


def test_index_pngs_hold_ids_above_255(tmp_path):
    label_map = np.arange(600).reshape(20, 30)
    save_ids(label_map, tmp_path / "large.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "large.png")), label_map)


def test_equal_requests_share_files_and_others_do_not(model, scene, tmp_path):
    images = render(model, scene, VARIANTS[:1])
    first, second = (save_images(tmp_path, model, scene, VARIANTS[:1], images) for _ in range(2))
    assert first == second
    other_map = scene.label_map.copy()
    other_map[0, 0] = 2
    third = save_images(tmp_path, model, replace(scene, label_map=other_map), VARIANTS[:1], images)
    assert Path(third.images[0]).name == Path(first.images[0]).name and third.images != first.images

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The embedded checkpoints: small, loadable, a street where a street is drawn; and the examples of the README."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.demo.choose_looks import LookChooser, scenes_of
from dpsims_hf.demo.choose_looks.measures import light
from dpsims_hf.demo.models.library import load_model
from dpsims_hf.hub import validate_model_folder


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "checkpoints" / "dpsims-camvid-small"
LABELME = ROOT / "checkpoints" / "dpsims-labelme-small"
EMBEDDED = [CHECKPOINT, LABELME]
EXAMPLES = sorted((ROOT / "dpsims_hf" / "demo" / "examples").glob("*.png"))
FACADES = sorted((ROOT / "dpsims_hf" / "demo" / "examples" / "labelme_facade").glob("*.png"))
SCENES = {CHECKPOINT: EXAMPLES[0], LABELME: FACADES[0]}


@pytest.fixture(scope="module")
def pipe() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def labelme() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline.from_pretrained(LABELME)


@pytest.fixture(scope="module", params=EMBEDDED, ids=lambda path: path.name)
def checkpoint(request: pytest.FixtureRequest) -> tuple[SemanticImageSynthesisPipeline, Path]:
    """Each embedded checkpoint and a drawn scene of its label space."""
    fixture = "pipe" if request.param == CHECKPOINT else "labelme"
    return request.getfixturevalue(fixture), SCENES[request.param]


@pytest.mark.parametrize("folder", EMBEDDED, ids=lambda path: path.name)
def test_folder_is_publishable_and_small(folder: Path):
    assert validate_model_folder(folder) == []
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 40e6
    card = (folder / "README.md").read_text()
    assert "cc-by-nc-4.0" in card and {CHECKPOINT: "CamVid", LABELME: "LabelMeFacade"}[folder] in card
    assert "not stated" not in card
    shown = set(re.findall(r"\]\(([\w.-]+\.png)\)", card))
    assert "examples.png" in shown and shown == {path.name for path in folder.glob("*.png")}


@pytest.mark.parametrize("example", FACADES, ids=lambda path: path.stem)
def test_a_drawn_facade_becomes_a_facade(labelme: SemanticImageSynthesisPipeline, example: Path):
    images = labelme(str(example), seed=0, num_images_per_label_map=3, output_type="np_uint8").images.astype(float)
    label_map = labelme.processor.decode_label_map(str(example))
    names = {name: key for key, name in labelme.generator_model.config.id2label.items()}
    means = {name: images[:, label_map == names[name]].mean(axis=(0, 1)) for name in names if name != "void"}
    assert means["sky"].mean() > 180 and means["sky"].mean() > means["road"].mean() + 40
    assert np.ptp(means["road"]) < 30, "a road is grey"
    assert means["vegetation"].argmax() == 1, "leaves are green"
    assert means["window"].mean() < means["building"].mean() - 15, "panes are darker than walls"
    assert images[:, label_map == names["car"]].std() > 30, "a car has windows, lights and shadows"
    assert np.abs(images[0] - images[1]).mean() > 4, "the noise changes what one sees"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_drawn_street_becomes_a_street(pipe: SemanticImageSynthesisPipeline, example: Path):
    output = pipe(str(example), seed=0, num_images_per_label_map=3, output_type="np_uint8")
    label_map = pipe.processor.decode_label_map(str(example))
    images = output.images.astype(float)
    assert images.shape == (3, *label_map.shape, 3)
    names = {name: key for key, name in pipe.generator_model.config.id2label.items()}
    brightness = {name: images[:, label_map == names[name]].mean() for name in ("sky", "road", "car")}
    assert brightness["sky"] > 180 and brightness["sky"] > brightness["road"] + 40
    car = images[:, label_map == names["car"]]
    assert car.std() > 25, "a car has windows, lights and shadows"
    road = images[:, label_map == names["road"]].reshape(-1, 3).mean(axis=0)
    assert np.ptp(road) < 30, "a road is grey"
    # The noise changes what one sees: mean absolute difference of two images in grey levels of 255.
    assert np.abs(images[0] - images[1]).mean() > 4 or np.abs(images[0] - images[2]).mean() > 4


@pytest.mark.parametrize("folder", EMBEDDED, ids=lambda path: path.name)
def test_looks_are_those_of_these_weights_and_what_they_say(folder: Path):
    model = load_model(folder.name, str(folder))
    assert len(model.looks) >= 3, f"choose them again: python -m dpsims_hf.demo.choose_looks checkpoints/{folder.name}"
    scene = scenes_of(model, None, 1)[0]
    chooser = LookChooser(model, [scene])
    seen = {look.name: light(chooser.image(scene, look.seed), scene.label_map, scene.labels) for look in model.looks}
    if {"day", "dusk"} <= seen.keys():
        assert seen["day"].ground > seen["dusk"].ground + 8 and seen["day"].sky > seen["dusk"].sky + 5
    if {"evening light", "overcast"} <= seen.keys():
        assert seen["evening light"].warmth > seen["overcast"].warmth + 3


def test_the_same_seed_is_the_same_image(checkpoint: tuple[SemanticImageSynthesisPipeline, Path]):
    pipe, scene = checkpoint
    first = pipe(str(scene), seed=5, num_images_per_label_map=1, output_type="np_uint8").images
    second = pipe(str(scene), seed=4, num_images_per_label_map=2, output_type="np_uint8").images[1:]
    assert np.array_equal(first, second)


def test_resampling_the_cars_changes_the_cars_most(checkpoint: tuple[SemanticImageSynthesisPipeline, Path]):
    pipe, scene = checkpoint
    before = pipe(str(scene), seed=0, num_images_per_label_map=1, output_type="np_uint8").images[0].astype(float)
    after = pipe(
        str(scene), seed=0, num_images_per_label_map=1, resample_labels=["car"], output_type="np_uint8"
    ).images[0]
    change = np.abs(before - after).mean(axis=-1)
    label_map = pipe.processor.decode_label_map(str(scene))
    names = {name: key for key, name in pipe.generator_model.config.id2label.items()}
    assert change[label_map == names["car"]].mean() > change[label_map == names["road"]].mean()


def test_discriminator_segments_offline(checkpoint: tuple[SemanticImageSynthesisPipeline, Path]):
    pipe, scene = checkpoint
    image = pipe(str(scene), seed=0, num_images_per_label_map=1).images[0]
    label_map = np.asarray(pipe.segment(image))
    expected = pipe.processor.decode_label_map(str(scene))
    assert label_map.shape == expected.shape
    assert (label_map == expected).mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("folder", EMBEDDED, ids=lambda path: path.name)
def test_without_the_package_and_timm_the_image_is_the_same_to_the_bit(tmp_path: Path, folder: Path):
    code = (
        "import sys, torch\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('dpsims_hf', 'timm'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from transformers import AutoModel\n"
        "torch.set_num_threads(1)\n"
        "model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "inputs = torch.load(sys.argv[2], weights_only=True)\n"
        "with torch.no_grad():\n"
        "    images = model(**inputs).images\n"
        "torch.save(((images + 1) * 127.5).round().to(torch.uint8), sys.argv[3])\n"
    )
    inputs = {
        "label_map": torch.randint(0, 9, (1, 6, 8)).repeat_interleave(32, 1).repeat_interleave(32, 2),
        "noise": torch.randn(1, 64, generator=torch.Generator().manual_seed(3)),
    }
    torch.save(inputs, tmp_path / "inputs.pt")
    files = [str(folder), str(tmp_path / "inputs.pt"), str(tmp_path / "out.pt")]
    subprocess.run([sys.executable, "-c", code, *files], cwd=tmp_path, check=True, timeout=250)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            images = AutoModel.from_pretrained(folder)(**inputs).images
    finally:
        torch.set_num_threads(threads)
    expected = ((images + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(torch.load(tmp_path / "out.pt", weights_only=True), expected)

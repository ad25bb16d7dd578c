# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the page handed out is opened again; whatever else comes under such a name is refused in one line."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dpsims_hf.demo.drawing import saved_files
from dpsims_hf.demo.drawing.found_noise import found_noise
from dpsims_hf.demo.drawing.named_looks import NamedLook
from dpsims_hf.demo.drawing.saved_files import is_saved_file, opened, read_saved
from dpsims_hf.demo.drawing.scenes import Reroll, Scene, Variant
from dpsims_hf.demo.drawing.settings import image_settings
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model
from dpsims_hf.demo.widgets.opened_file import Opener


VARIANT = Variant(7, (Reroll(1, label="road"), Reroll(2, point=(3, 4))), found_noise(torch.ones(2, 8), ("sky",)))


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path) -> LoadedModel:
    return load_model("checkpoints/tiny", str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def scene(model: LoadedModel) -> Scene:
    return Scene("street", np.arange(32 * 64).reshape(32, 64) // 1024 * 2, model.labels)


@pytest.fixture
def content(model: LoadedModel, scene: Scene) -> dict:
    looks = [NamedLook("evening", model.name, VARIANT)]
    return json.loads(json.dumps(image_settings(model, scene, [VARIANT, Variant(3)], looks)))


def packed(entries: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def words(data: bytes, name: str = "x.json") -> str:
    with pytest.raises(ValueError) as error:
        read_saved(io.BytesIO(data), name)
    assert "\n" not in str(error.value) and str(error.value).startswith(name)
    return str(error.value)


@pytest.mark.parametrize("kind", ["json", "zip"])
def test_what_was_saved_is_opened(content, scene, model, kind):
    text = json.dumps(content)
    data = packed({"street.json": text, "street_seed_7.png": b"\x89PNG", "street_labels.png": b"x"})
    saved = read_saved(io.BytesIO(text.encode() if kind == "json" else data), f"x.{kind}")
    assert saved.variants == [VARIANT, Variant(3)] and saved.model == "checkpoints/tiny"
    assert saved.looks == (NamedLook("evening", model.name, VARIANT),)
    here = opened(model, saved)
    assert here.variants == saved.variants and here.notes == []
    assert np.array_equal(here.scene.label_map, scene.label_map) and here.scene.labels == model.labels


def test_the_page_takes_scene_look_images_and_kept_looks(content, scene, model, tmp_path):
    path = tmp_path / "street.json"
    path.write_text(json.dumps(content))
    opener = Opener(ModelLibrary(model, local_folders=False))
    mine = (NamedLook("evening", model.name, Variant(1)),)
    name, choice, label_map, title, seed, look, grid, looks = opener.open("", mine, str(path))
    assert np.array_equal(label_map, scene.label_map) and (choice, title, seed, look) == (
        model.name,
        "street",
        7,
        VARIANT,
    )
    assert [item.variants[-1] for item in grid.planned] == [VARIANT, Variant(3)]
    assert [(item.name, item.variant) for item in looks] == [("evening", Variant(1)), ("evening 2", VARIANT)]
    assert not isinstance(name, str)  # the model stays, and nothing is drawn anew for it


def test_a_file_names_no_model_that_the_page_does_not_offer(content, model, tmp_path, monkeypatch):
    library = ModelLibrary(model)
    monkeypatch.setattr(library, "_load", lambda name: pytest.fail(f"{name} was loaded"))
    for name in ("somebody/else", "/etc", "../x", 3, None):
        (tmp_path / "x.json").write_text(json.dumps(content | {"model": name}))
        assert Opener(library).open("", (), str(tmp_path / "x.json"))[1] == model.name


def test_other_models_and_weights_are_told(content, model):
    notes = opened(model, read_saved(io.BytesIO(json.dumps(content | {"model": "a/b"}).encode()), "x.json")).notes
    assert notes == ["saved with the model a/b, drawn by checkpoints/tiny"]
    notes = opened(model, read_saved(io.BytesIO(json.dumps(content | {"weights_sha256": "0"}).encode()), "x")).notes
    assert notes == ["checkpoints/tiny has other weights now than when it was saved: the pictures differ"]
    labels = [name.upper() if name == "road" else name for name in content["labels"]]
    foreign = read_saved(io.BytesIO(json.dumps(content | {"labels": labels}).encode()), "x.json")
    assert "No match in this model for ROAD" in opened(model, foreign).notes[-1]


def test_what_is_no_such_file_is_one_line(content, monkeypatch):
    assert "the file is empty" in words(b"")
    assert "no settings of an image" in words(b"\x89PNG") and "no settings of an image" in words(b'"text"')
    assert "no settings of an image" in words(b"\xff\xfe{}") and "no settings of an image" in words(b"[]")
    assert "not settings of an image" in words(b"{}")
    assert "no settings of an image" in words(b'{"a":' * 90_000)
    assert "far more values" in words(b"[" * 1_000_000) and "far more values" in words(b"[" + b"{}," * 100_001)
    assert "no settings of an image" in words(b"1" * 5_000_000)
    for key in content:
        if key not in ("model", "weights_sha256", "dtype", "size", "versions", "looks"):
            assert "not settings of an image" in words(
                json.dumps({k: v for k, v in content.items() if k != key}).encode()
            )
    for key in ("images", "labels", "label_map", "format", "dtype", "looks"):
        assert "not settings of an image" in words(json.dumps(content | {key: {"a": [1]}}).encode())
    monkeypatch.setattr(saved_files, "MAX_FILE_BYTES", 1000)
    assert "larger than the 1 kB" in words(json.dumps(content).encode())


def test_what_is_no_such_zip_file_is_one_line(content):
    text = json.dumps(content)
    assert "holds no JSON files" in words(packed({"a.png": b"x"}), "x.zip")
    assert "holds 2 JSON files" in words(packed({"a.json": text, "b.json": text}), "x.zip")
    assert "leads out of the archive" in words(packed({"../a.json": text}), "x.zip")
    assert "leads out of the archive" in words(packed({"/etc/a.json": text}), "x.zip")
    assert "more than 100 times its size" in words(packed({"a.json": b" " * 19_000_000}), "x.zip")
    assert "cut off or damaged" in words(packed({"a.json": text})[:-30], "x.zip")
    assert "not settings of an image" in words(packed({"a.json": "{}"}), "x.zip")


@pytest.mark.parametrize(("name", "wanted"), [("a.JSON", True), ("a.zip", True), ("a.png", False), ("json", False)])
def test_the_name_tells_which_files_these_are(name, wanted):
    assert is_saved_file(name) == wanted

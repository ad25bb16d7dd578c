# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The style of a photo on the page and through the API: image, numbers, what can be saved, what is refused."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from drawn_model import drawn_model
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from dpsims_hf.demo.drawing import styles
from dpsims_hf.demo.drawing.found_noise import noise_content
from dpsims_hf.demo.drawing.named_looks import NamedLook, read_looks
from dpsims_hf.demo.drawing.scenes import Scene, Variant, render
from dpsims_hf.demo.drawing.settings import save_images
from dpsims_hf.demo.drawing.styles import take_style
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model
from dpsims_hf.demo.models.turns import Request, requested
from dpsims_hf.demo.server import api
from dpsims_hf.demo.tabs.style import _Handlers
from dpsims_hf.demo.widgets.kept_photo import photo_content, read_photo


@pytest.fixture(scope="module", autouse=True)
def short_searches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(styles, "SEEDS", 2)
        patch.setattr(styles, "STEPS", 3)
        yield


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path) -> LoadedModel:
    return load_model("checkpoints/tiny", str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def drawn() -> LoadedModel:
    return drawn_model()


def street(height: int = 32, width: int = 64) -> np.ndarray:
    """Sky above, road below."""
    label_map = np.zeros((height, width), dtype=np.uint8)
    label_map[height // 2 :] = 2
    return label_map


@pytest.fixture(scope="module")
def scene(model: LoadedModel) -> Scene:
    return Scene("street", street().astype(np.int64), model.labels)


@pytest.fixture(scope="module")
def photo(model: LoadedModel, scene: Scene) -> Image.Image:
    """Of the model's own, twice as large."""
    return render(model, scene, [Variant(1000)])[0].resize((128, 64))


@pytest.mark.parametrize("per_class", [False, True])
def test_what_is_written_makes_the_image_again(model, scene, photo, per_class):
    steps = []
    style = take_style(model, scene, photo, street(64, 128), per_class, lambda *step: steps.append(step))
    content = json.loads(json.dumps(style.content))
    assert steps == [(number, 6) for number in range(1, 7)]
    assert content["labels"] == [scene.labels[0], scene.labels[2]] and content["per_class"] == per_class
    assert content["color_distance"] <= content["best_seed_color_distance"] and content["best_seed"] in (0, 1)
    noise, regions = torch.tensor(content["noise"])[None], None
    if per_class:
        numbers = {name: number for number, name in enumerate(content["labels"], start=1)}
        regions = np.array([numbers.get(name, 0) for name in scene.labels])[scene.label_map]
    else:
        noise = noise[:, 0]
    image = model.pipe(scene.label_map, noise=noise, resample_regions=regions, size=content["size"]).images[0]
    assert np.array_equal(np.asarray(image), np.asarray(style.image))


def test_the_tab_shows_the_image_says_how_near_it_is_and_saves_both(model, scene, photo, tmp_path):
    photo.save(tmp_path / "my photo.png")
    Image.fromarray(street()).save(tmp_path / "labels.png")
    handlers = _Handlers(ModelLibrary(model, local_folders=False))
    found, html, note = handlers.make(
        "", scene, str(tmp_path / "my photo.png"), str(tmp_path / "labels.png"), False, None
    )
    style = found[1]
    assert "data:image/png;base64," in html and f"{style.content['color_distance']:.1f} LAB units" in note
    (image_name, image, _), (name, text, kind) = handlers.files(found)
    assert (image_name, name) == ("street_in_the_style_of_my_photo.png", "street_in_the_style_of_my_photo.json")
    opened = Image.open(io.BytesIO(base64.b64decode(image)))
    assert np.array_equal(np.asarray(opened), np.asarray(style.image))
    assert json.loads(base64.b64decode(text)) == style.content and kind == "application/json"


def test_what_is_missing_is_said(model, scene, photo, tmp_path):
    handlers = _Handlers(ModelLibrary(model, local_folders=False))
    with pytest.raises(ValueError, match="no photo yet: upload one"):
        handlers.make("", scene, None, None, False, None)
    photo.save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="no label map yet: draw one"):
        handlers.make("", None, str(tmp_path / "x.png"), None, False, None)
    with pytest.raises(ValueError, match="nothing to save yet"):
        handlers.files(None)
    with pytest.raises(ValueError, match="no look yet: take the style"):
        handlers.look(None)
    with pytest.raises(ValueError, match="128 x 64 pixels and its label map 64 x 64"):
        take_style(model, scene, photo, street(64, 64))
    with pytest.raises(ValueError, match="no class of the label map"):
        take_style(model, scene, photo, np.full((64, 128), 3, dtype=np.uint8))
    with pytest.raises(ValueError, match="has no discriminator"):
        take_style(model, scene, photo)


def test_a_painted_picture_and_a_kept_photo_come_as_files(drawn, tmp_path):
    handlers = _Handlers(ModelLibrary(drawn, local_folders=False))
    select = gr.SelectData(None, {"index": 1, "value": None})
    photo, labels = handlers.example("", select)
    assert [Path(path).name for path in (photo, labels)] == ["winter.png", "winter_labels.png"]
    kept = json.loads(json.dumps(photo_content(handlers.kept("", photo, labels))))
    again, labels_again = handlers.restore(kept, "")
    assert [Path(path).name for path in (again, labels_again)] == ["winter.png", "winter_labels.png"]
    small = read_photo(kept)
    assert small.photo.size == (56, 40) and small.labels.shape == (40, 56)
    # to keep what was kept changes nothing
    twice = handlers.kept("", again, labels_again)
    assert np.array_equal(np.asarray(twice.photo), np.asarray(small.photo)) and np.array_equal(
        twice.labels, small.labels
    )
    alone = read_photo(photo_content(handlers.kept("", photo, None)))
    assert alone.labels is None and handlers.kept("", None, None) is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        3,
        {},
        {"name": "x", "photo": "data:image/png;base64,AAAA"},
        {"name": "x", "photo": "https://example.org/x.png"},
        {"name": "x", "photo": "data:image/png;base64," + "A" * 2_000_000},
        {"name": "x", "photo": ["data:image/png;base64,"]},
    ],
)
def test_what_is_no_kept_photo_is_none(content, drawn):
    assert read_photo(content) is None
    handlers = _Handlers(ModelLibrary(drawn, local_folders=False))
    assert handlers.restore(content, "") == (gr.skip(), gr.skip())


def test_a_search_that_the_page_cannot_afford_is_refused_before_it_starts(
    tiny_checkpoint_dir, scene, photo, monkeypatch
):
    monkeypatch.setenv("DPSIMS_MAX_REQUEST_SECONDS", "1e-6")
    small = load_model("small", str(tiny_checkpoint_dir))
    with requested(Request()), pytest.raises(ValueError, match="seconds"):
        take_style(small, scene, photo, street(64, 128), each=lambda *_: pytest.fail("it started"))


def assert_looks_and_files_are_served(client, street_file, content, style, folder, model, scene):
    """/generate draws the look that /match_style gave, and /open what the page saved of it."""
    images, settings = client.predict(street_file, seed=style.variant.seed, look=content, api_name="/generate")
    assert np.array_equal(np.asarray(Image.open(images[0])), np.asarray(style.image))
    assert settings["images"][0]["look"] == noise_content(style.variant.noise)
    with pytest.raises(AppError, match="num_images=2: the images of one look are equal"):
        client.predict(street_file, num_images=2, look=content, api_name="/generate")
    with pytest.raises(AppError, match="legal is a table with noise and labels"):
        client.predict(street_file, look={"noise": 1}, api_name="/generate")
    looks = [NamedLook("late", model.name, style.variant)]
    saved = save_images(folder, model, scene, [style.variant], [style.image], looks)
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for path in (*saved.images, saved.label_map, saved.settings):
            archive.write(path, Path(path).name)
    for path in (saved.settings, folder / "all.zip"):
        again, label_map, said = client.predict(handle_file(str(path)), api_name="/open")
        assert np.array_equal(np.asarray(Image.open(again[0])), np.asarray(style.image))
        assert np.array_equal(np.asarray(Image.open(label_map)), scene.label_map)
        assert read_looks(said["looks"]) == tuple(looks) and said["notes"] == []
    (folder / "no.json").write_text("[1]")
    with pytest.raises(AppError, match="no.json: no settings of an image"):
        client.predict(handle_file(str(folder / "no.json")), api_name="/open")


@pytest.mark.integration
def test_the_endpoint_gives_image_and_style(model, scene, photo, tmp_path):
    Image.fromarray(street()).save(tmp_path / "street.png")
    photo.save(tmp_path / "photo.png")
    with gr.Blocks(analytics_enabled=False) as demo:
        api.api_endpoints(ModelLibrary(model, local_folders=False))
    demo.queue()
    _, url, _ = demo.launch(prevent_thread_lock=True, _frontend=False, quiet=True, show_error=True)
    try:
        client = Client(url, verbose=False)
        street_file, photo_file = (handle_file(str(tmp_path / name)) for name in ("street.png", "photo.png"))
        image, content = client.predict(street_file, photo_file, street_file, True, api_name="/match_style")
        expected = take_style(model, scene, photo, street(), True)
        assert content == json.loads(json.dumps(expected.content))
        assert np.array_equal(np.asarray(Image.open(image)), np.asarray(expected.image))
        assert_looks_and_files_are_served(client, street_file, content, expected, tmp_path, model, scene)
        with pytest.raises(AppError, match="per_class='yes'"):
            client.predict(street_file, photo_file, street_file, "yes", api_name="/match_style")
    finally:
        demo.close()

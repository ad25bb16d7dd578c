# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The public endpoints of the Space: what a client is told, what it gets bit for bit, and what is refused."""

import inspect
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import numpy as np
import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from benchmarks.space_load import User, load, make_users
from dpsims_hf import OASISDiscriminator, OASISDiscriminatorConfig
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.demo import build_demo
from dpsims_hf.demo.drawing.photo_segmentation import propose
from dpsims_hf.demo.drawing.scenes import MAX_IMAGES, MAX_SEED, MAX_STEPS, Deadline, Scene, Variant, render
from dpsims_hf.demo.image_settings import recreate
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model
from dpsims_hf.demo.server import api
from dpsims_hf.demo.server.endpoints import ENDPOINTS, REQUIRED
from dpsims_hf.pipeline_noise import RESAMPLE_SEED_OFFSET


pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path) -> LoadedModel:
    return load_model("checkpoints/tiny", str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def library(model: LoadedModel) -> ModelLibrary:
    return ModelLibrary(model, local_folders=False)


@pytest.fixture(scope="module")
def url(library: ModelLibrary) -> Iterator[str]:
    with gr.Blocks(analytics_enabled=False) as demo:
        api.api_endpoints(library)
    demo.queue(max_size=16)
    _, url, _ = demo.launch(prevent_thread_lock=True, _frontend=False, quiet=True, show_error=True)
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def street(height: int = 32, width: int = 64) -> np.ndarray:
    """(height, width) uint8: sky, building, road with a car."""
    label_map = np.zeros((height, width), dtype=np.uint8)
    label_map[height // 4 :, : width // 2] = 1
    label_map[height // 2 :] = 2
    label_map[height * 5 // 8 : height * 7 // 8, width // 4 : width // 2] = 3
    return label_map


@pytest.fixture
def street_file(tmp_path: Path) -> Any:
    Image.fromarray(street()).save(tmp_path / "street.png")
    return handle_file(str(tmp_path / "street.png"))


@pytest.fixture(scope="module")
def scene(model: LoadedModel) -> Scene:
    return Scene("street", street().astype(np.int64), model.labels)


def pixels(images: list[Any]) -> list[np.ndarray]:
    """Files or images -> arrays."""
    return [np.asarray(image if isinstance(image, Image.Image) else Image.open(image)) for image in images]


def assert_same(images: list[Any], expected: list[Any]) -> None:
    """Bit for bit."""
    assert len(images) == len(expected)
    for image, wanted in zip(pixels(images), pixels(expected), strict=True):
        assert np.array_equal(image, wanted)


# -- what a client is told --------------------------------------------------------------------------------------------


def test_the_client_sees_these_endpoints_and_no_others(client):
    seen = client.view_api(return_format="dict", print_info=False)
    assert list(seen["named_endpoints"]) == [f"/{endpoint.name}" for endpoint in ENDPOINTS]
    assert not seen["unnamed_endpoints"]
    for endpoint in ENDPOINTS:
        shown = seen["named_endpoints"][f"/{endpoint.name}"]
        assert [p["parameter_name"] for p in shown["parameters"]] == [p.name for p in endpoint.parameters]
        for parameter, told in zip(endpoint.parameters, shown["parameters"], strict=True):
            assert told["parameter_has_default"] == (parameter.default is not REQUIRED)
            assert told["parameter_default"] == (None if parameter.default is REQUIRED else parameter.default)
        assert [value["label"] for value in shown["returns"]] == [value.name for value in endpoint.returns]
        for parameter in endpoint.parameters:
            assert f"{parameter.name}: {parameter.text}." in shown["description"]


def test_the_whole_page_serves_them_under_these_names(library):
    # a private event takes a name too: the endpoints must be registered before the tabs
    public = [event.api_name for event in build_demo(library).fns.values() if event.api_visibility != "private"]
    assert public == [endpoint.name for endpoint in ENDPOINTS]


def test_the_client_is_told_types(client):
    seen = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    told = {
        (name.strip("/"), parameter["parameter_name"]): parameter["python_type"]["type"]
        for name, endpoint in seen.items()
        for parameter in endpoint["parameters"]
    }
    assert told["generate", "label_map"] == told["segment", "photo"] == told["evaluate", "pairs"] == "filepath"
    assert told["generate", "seed"] == told["generate", "num_images"] == told["interpolate", "steps"] == "int"
    assert told["generate", "resample_labels"] == "None | list[str]"
    assert told["evaluate", "seeds"] == "None | list[int]"
    assert told["generate", "model"] == told["decode", "label_space"] == "None | str"
    given = [value["python_type"]["type"] for value in seen["/generate"]["returns"]]
    assert given[0] == "list[filepath]"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_the_handlers_have_the_defaults_that_the_table_tells(endpoint):
    parameters = list(inspect.signature(getattr(api._Handlers, endpoint.name)).parameters.values())[1:]
    told = [(parameter.name, parameter.default) for parameter in endpoint.parameters]
    # gradio cannot tell a required file from an optional one by its component, only by the signature
    assert [(parameter.name, parameter.default) for parameter in parameters] == told


# -- generate ---------------------------------------------------------------------------------------------------------


def test_generate_draws_consecutive_seeds(client, model, scene, street_file):
    images, settings = client.predict(label_map=street_file, seed=5, num_images=2, api_name="/generate")
    assert [Path(path).name for path in images] == ["street_seed_5.png", "street_seed_6.png"]
    assert_same(images, render(model, scene, [Variant(5), Variant(6)]))
    assert_same(images, recreate(settings, model))
    assert [entry["seed"] for entry in settings["images"]] == [5, 6] and settings["model"] == "checkpoints/tiny"


def test_generate_has_defaults(client, model, scene, street_file):
    images, settings = client.predict(label_map=street_file, api_name="/generate")
    assert_same(images, render(model, scene, [Variant(0)]))
    assert settings["images"] == [{"file": "street_seed_0.png", "seed": 0, "rerolls": []}]


@pytest.mark.parametrize("classes", [["car"], ["car", "sky"], ["car", "sky", "car"]])
def test_generate_resamples_classes_as_the_pipeline_does(client, model, street_file, classes):
    images, settings = client.predict(
        label_map=street_file, seed=3, num_images=2, resample_labels=classes, api_name="/generate"
    )
    assert_same(images, recreate(settings, model))
    expected = model.pipe(street(), seed=3, num_images_per_label_map=2, resample_labels=classes).images
    assert_same(images, expected)
    assert not np.array_equal(*pixels([images[0], model.pipe(street(), seed=3, num_images_per_label_map=1).images[0]]))
    wanted = [{"seed": 3 + RESAMPLE_SEED_OFFSET, "label": label} for label in dict.fromkeys(classes)]
    assert settings["images"][0]["rerolls"] == wanted


def test_generate_wraps_the_largest_seed(client, model, street_file):
    images, settings = client.predict(
        label_map=street_file, seed=MAX_SEED, num_images=2, resample_labels=["car"], api_name="/generate"
    )
    assert [entry["seed"] for entry in settings["images"]] == [MAX_SEED, 0]
    assert settings["images"][0]["rerolls"] == [{"seed": RESAMPLE_SEED_OFFSET - 1, "label": "car"}]
    assert_same(images, recreate(settings, model))


def test_generate_by_a_palette_file_of_another_size(client, model, tmp_path):
    colors = np.array(SYNTHETIC_SPEC.palette, dtype=np.uint8)[street(96, 192)]
    Image.fromarray(colors).save(tmp_path / "large_labels.png")
    images, settings = client.predict(label_map=handle_file(str(tmp_path / "large_labels.png")), api_name="/generate")
    assert Path(images[0]).name == "large_seed_0.png" and settings["size"] == {"height": 32, "width": 64}
    assert_same(images, render(model, Scene("large", street().astype(np.int64), model.labels), [Variant(0)]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": -1}, f"seed -1 is out of range: legal are whole numbers in 0..{MAX_SEED}"),
        ({"seed": 1.5}, "seed 1.5 is out of range"),
        ({"seed": "7"}, "seed '7' is out of range"),
        ({"seed": None}, "seed None is out of range"),
        ({"num_images": 0}, f"num_images=0 is out of range: legal are whole numbers in 1..{MAX_IMAGES}"),
        ({"num_images": MAX_IMAGES + 1}, "is out of range"),
        ({"resample_labels": ["cat"]}, "no class 'cat'; the classes are 0 sky"),
        ({"resample_labels": ["cat", "car"]}, "no class 'cat'; the classes are 0 sky"),
        ({"resample_labels": [3]}, "resample_labels=[3]: give a list of names"),
        ({"resample_labels": {"car": 1}}, "give a list of names"),
        ({"model": "/etc"}, "model '/etc': this page accepts checkpoints/tiny or a Hub id"),
        ({"model": 5}, "model=5: give the name of a model"),
        ({"label_map": None}, "label_map: no file was sent"),
    ],
)
def test_wrong_values_are_refused_in_one_line(client, street_file, wrong, words):
    with pytest.raises(AppError) as caught:
        client.predict(**{"label_map": street_file} | wrong, api_name="/generate")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_label_map_is_refused(client, tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    for name in ("generate", "interpolate", "decode"):
        with pytest.raises(AppError, match="^notes.png: ") as caught:
            client.predict(label_map=handle_file(str(tmp_path / "notes.png")), api_name=f"/{name}")
        assert "\n" not in str(caught.value) and "/tmp" not in str(caught.value)


def test_the_deadline_is_kept(client, street_file, monkeypatch):
    monkeypatch.setattr(api, "Deadline", lambda: Deadline(-1.0))
    for name in ("generate", "interpolate"):
        with pytest.raises(AppError, match="^stopped after"):
            client.predict(label_map=street_file, api_name=f"/{name}")


# -- interpolate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [None, ["car", "sky"], ["void"]])
def test_interpolate_walks_as_the_pipeline_does(client, model, street_file, classes):
    wanted = {"seed_from": 2, "seed_to": 9, "steps": 4, "resample_labels": classes}
    images, settings = client.predict(label_map=street_file, **wanted, api_name="/interpolate")
    assert_same(images, model.pipe.interpolate(street(), **wanted).images)
    assert settings["files"] == [Path(path).name for path in images] and settings | wanted == settings
    assert settings["model"] == "checkpoints/tiny" and settings["weights_sha256"] == model.weights_sha256


def test_interpolate_has_defaults(client, model, street_file):
    images, _ = client.predict(label_map=street_file, api_name="/interpolate")
    assert_same(images, model.pipe.interpolate(street()).images)


@pytest.mark.parametrize("steps", [1, 0, MAX_STEPS + 1, 2.5, None])
def test_interpolate_refuses_steps_out_of_range(client, street_file, steps):
    with pytest.raises(AppError, match=f"^steps=.* is out of range: .*{MAX_STEPS}"):
        client.predict(label_map=street_file, steps=steps, api_name="/interpolate")


# -- decode, segment, evaluate ----------------------------------------------------------------------------------------


def test_decode_says_what_was_read(client, model, tmp_path):
    Image.fromarray(street(96, 192)).save(tmp_path / "own.png")
    decoded, content = client.predict(label_map=handle_file(str(tmp_path / "own.png")), api_name="/decode")
    assert Path(decoded).name == "own_labels.png" and np.array_equal(pixels([decoded])[0], street())
    assert content["name"] == "own.png" and content["size"] == {"height": 96, "width": 192}
    assert content["working_size"] == {"height": 32, "width": 64}
    assert content["unmatched"] == [] and "192 × 96 pixels, used at 64 × 32" in content["notes"][0]
    shares = {entry["name"]: entry["share"] for entry in content["classes"]}
    assert list(shares) == [entry.name for entry in model.processor.legend(street())]
    assert shares["road"] == np.mean(street() == 2) and sum(shares.values()) == pytest.approx(1)
    assert content["classes"][0].keys() == {"id", "name", "color", "share"}


def test_decode_by_a_colour_table(client, tmp_path):
    colors = np.where(street()[..., None] == 3, np.array([250, 0, 0]), np.array([0, 0, 250])).astype(np.uint8)
    Image.fromarray(colors).save(tmp_path / "painted.png")
    (tmp_path / "table.json").write_text(json.dumps({"car": [250, 0, 0], "sky": [0, 0, 250]}))
    files = {"label_map": tmp_path / "painted.png", "color_table": tmp_path / "table.json"}
    request = {name: handle_file(str(path)) for name, path in files.items()}
    decoded, _ = client.predict(**request, api_name="/decode")
    assert np.array_equal(pixels([decoded])[0], np.where(street() == 3, 3, 0))
    with pytest.raises(AppError, match="a colour table and a label space at once"):
        client.predict(**request, label_space="cityscapes", api_name="/decode")


def test_decode_refuses_unknown_label_spaces(client, street_file):
    with pytest.raises(AppError, match="label space 'mars' is unknown: choose one of "):
        client.predict(label_map=street_file, label_space="mars", api_name="/decode")


def test_segment_needs_a_discriminator(client, tmp_path):
    Image.new("RGB", (64, 32)).save(tmp_path / "photo.jpg")
    with pytest.raises(AppError, match="has no discriminator") as caught:
        client.predict(photo=handle_file(str(tmp_path / "photo.jpg")), api_name="/segment")
    assert "\n" not in str(caught.value)


def test_segment_asks_the_discriminator(client, model, tmp_path):
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (64, 128, 3), np.uint8))
    photo.save(tmp_path / "own photo.png")
    config = OASISDiscriminatorConfig.from_preset("tiny", num_labels=None, id2label=SYNTHETIC_SPEC.id2label)
    model.pipe.discriminator = OASISDiscriminator(config).eval()
    try:
        labelled = client.predict(photo=handle_file(str(tmp_path / "own photo.png")), api_name="/segment")
        expected = propose(model, photo).label_map
    finally:
        model.pipe.discriminator = None
    assert Path(labelled).name.endswith("_labels.png") and Image.open(labelled).mode == "L"
    assert np.array_equal(pixels([labelled])[0], expected) and expected.shape == (32, 64)


def test_evaluate_measures_pairs(client, model, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        Image.fromarray(street()).save(tmp_path / f"{name}_labels.png")
        rng = np.random.default_rng(seed)
        Image.fromarray(rng.integers(0, 256, (32, 64, 3), np.uint8)).save(tmp_path / f"{name}.png")
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
        for name in "ab":
            archive.write(tmp_path / f"{name}.png", f"images/{name}.png")
            archive.write(tmp_path / f"{name}_labels.png", f"labels/{name}.png")
    request = {
        "pairs": handle_file(str(tmp_path / "pairs.zip")),
        "metrics": ["color_texture"],
        "api_name": "/evaluate",
    }
    results = client.predict(**request, seeds=[0, 3])
    assert results["source"]["weights_sha256"] == model.weights_sha256
    assert results["protocols"]["color_texture_oasis"]["values"]["color_distance"]["per_seed"]
    for wrong, words in (
        ({"seeds": 3}, "seeds=3: give a list"),
        ({"metrics": ["beauty"]}, "metric 'beauty' is unknown"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(**request | wrong)


# -- files that nobody uploaded ---------------------------------------------------------------------------------------


def test_a_file_of_the_server_is_refused(client, tiny_checkpoint_dir):
    for path in ("/etc/passwd", str(tiny_checkpoint_dir / "config.json")):
        for extra in ({"meta": {"_type": "gradio.FileData"}}, {}, {"url": f"file://{path}"}):
            with pytest.raises((AppError, ValueError)) as caught:
                post(client, "generate", {"label_map": {"path": path} | extra})
            assert "root:" not in str(caught.value)


@pytest.mark.parametrize("extra", [{}, {"url": "http://example.com/map.png"}])
@pytest.mark.parametrize("path", ["http://127.0.0.1:9/map.png", "https://example.com/map.png"])
def test_an_address_is_not_fetched(client, path, extra):
    data = {"path": path, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="label_map: an address is not fetched; send the file itself"):
        post(client, "generate", {"label_map": data | extra})
    with pytest.raises(AppError, match="^map.png: cannot be read"):  # gradio lets the address of a stream pass
        post(client, "generate", {"label_map": data | {"is_stream": True}})


def post(client: Client, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call an endpoint by plain HTTP, without the client's help."""
    base = f"{client.src.rstrip('/')}/gradio_api/call/v2/{name}"
    event = httpx.post(base, json=request).json()["event_id"]
    text = httpx.get(f"{base}/{event}", timeout=30).text
    data = json.loads(text.partition("data: ")[2].splitlines()[0])
    if "event: error" in text:
        raise AppError(data["error"])
    return data


# -- many at once -----------------------------------------------------------------------------------------------------


def test_a_model_that_loads_keeps_nobody_else_waiting(client, street_file, monkeypatch):
    started, go_on = threading.Event(), threading.Event()

    def slow(name, source, device, revision):
        started.set()
        go_on.wait(60)
        raise ValueError(f"model {name!r} cannot be used")

    monkeypatch.setattr("dpsims_hf.demo.models.library.load_model", slow)
    loading = client.submit(label_map=street_file, model="user/slow", api_name="/generate")
    assert started.wait(30)
    images, _ = client.predict(label_map=street_file, api_name="/generate")
    assert len(images) == 1 and not loading.done()
    go_on.set()
    with pytest.raises(AppError, match="^model 'user/slow' cannot be used$"):
        loading.result(30)


def test_every_user_gets_the_own_image(url, model, tmp_path):
    users = make_users(model, 3, tmp_path)
    tally = load(url, users, seconds=3, memory=lambda: psutil.Process().memory_info().rss)
    assert not tally.errors and tally.wrong == 0
    assert len(tally.latencies) >= len(users) and len(tally.memory) > 2
    assert f"{len(tally.latencies)} right images, 0 wrong ones, 0 errors" in tally.report()


def test_a_wrong_image_is_seen(url, model, tmp_path):
    user, other = make_users(model, 2, tmp_path)
    mistaken = User(user.label_map, dict(zip(user.expected, other.expected.values(), strict=True)))
    tally = load(url, [mistaken], seconds=0.5, memory=lambda: 0.0)
    assert tally.wrong > 0 and not tally.latencies
    missing = User(tmp_path / "none.png", user.expected)
    assert load(url, [missing], seconds=0.5, memory=lambda: 0.0).errors.total() > 0

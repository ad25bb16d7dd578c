# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The programs of the "Python" tab, followed literally: each makes the image on the page bit for bit."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fastapi
import gradio as gr
import numpy as np
import pytest
import torch
from float_images import assert_same_bits, float_images
from PIL import Image

from dpsims_hf.demo import image_settings
from dpsims_hf.demo.drawing import snippets
from dpsims_hf.demo.drawing.found_noise import found_noise
from dpsims_hf.demo.drawing.scenes import MAX_SEED, Reroll, Scene, Variant, render
from dpsims_hf.demo.drawing.settings import save_images
from dpsims_hf.demo.drawing.snippets import Example, resample_seed
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model
from dpsims_hf.demo.server.api import api_endpoints
from dpsims_hf.demo.server.endpoints import ENDPOINTS
from dpsims_hf.demo.tabs.python import NOTHING, _Handlers, endpoints_html, python_tab
from dpsims_hf.demo.widgets.session import new_session


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[3]
PLAIN = Variant(7)
CLASS = Variant(7, (Reroll(3, label="car"),))
POINT = Variant(7, (Reroll(4, point=(20, 20)),))
ABSENT = Variant(7, (Reroll(3, label="void"),))
SEVERAL = Variant(
    7, (Reroll(3, label="car"), Reroll(4, point=(30, 60)), Reroll(5, label="sky"), Reroll(6, label="car"))
)
DEFAULT_SEED = Variant(7, (Reroll(resample_seed(7), label="car"), Reroll(resample_seed(7), label="sky")))
NOISES = torch.randn(3, 8, generator=torch.Generator().manual_seed(5))
LOOK = Variant(7, noise=found_noise(NOISES[:1], photo="dusk"))
CLASS_LOOK = Variant(7, noise=found_noise(NOISES, ("sky", "car"), "dusk"))
REROLLED_LOOK = Variant(7, (Reroll(3, label="car"),), CLASS_LOOK.noise)
VARIANTS = {
    "plain": PLAIN,
    "class": CLASS,
    "point": POINT,
    "absent": ABSENT,
    "several": SEVERAL,
    "default_seed": DEFAULT_SEED,
    "look": LOOK,
    "class_look": CLASS_LOOK,
    "rerolled_look": REROLLED_LOOK,
}


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path) -> LoadedModel:
    return load_model(str(tiny_checkpoint_dir), str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def library(model: LoadedModel, tiny_checkpoint_dir: Path) -> ModelLibrary:
    return ModelLibrary(model, folder=tiny_checkpoint_dir.parent)


@pytest.fixture(scope="module")
def url(library: ModelLibrary) -> Iterator[str]:
    with gr.Blocks(analytics_enabled=False) as demo:
        session = new_session()
        python_tab(library, session)
        api_endpoints(library)
    demo.queue(max_size=16)
    _, address, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, _frontend=False, quiet=True)
    yield address.rstrip("/")
    demo.close()


@pytest.fixture(scope="module")
def scene(model: LoadedModel) -> Scene:
    """Sky, building, road with a car, and a second car."""
    label_map = np.zeros((32, 64), dtype=np.int64)
    label_map[8:, :32] = 1
    label_map[16:] = 2
    label_map[20:28, 16:32] = 3
    label_map[20:28, 40:48] = 3
    return Scene("street", label_map, model.labels)


Prepare = Callable[[Variant], Example]


@pytest.fixture
def prepare(model: LoadedModel, scene: Scene, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """The folder of somebody who saved the label map and the settings, and nothing else."""

    def ready(variant: Variant) -> Example:
        saved = save_images(tmp_path / "server", model, scene, [variant], render(model, scene, [variant]))
        folder = tmp_path / "downloads"
        folder.mkdir()
        for path in (saved.label_map, saved.settings):
            Path(path).rename(folder / Path(path).name)
        monkeypatch.chdir(folder)
        return Example(model.name, scene, variant, url)

    return ready


def run(program: str) -> None:
    """Follow a text."""
    exec(compile(program, "snippet", "exec"), {"__name__": "__main__"})


def assert_made(example: Example, model: LoadedModel, variant: Variant | None = None) -> None:
    """The image lies in the current folder, bit for bit."""
    expected = render(model, example.scene, [variant or example.variant])[0]
    assert np.array_equal(np.asarray(Image.open(example.image)), np.asarray(expected))


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("write", [snippets.pipeline_snippet, snippets.auto_model_snippet, snippets.recreate_snippet])
def test_the_programs_make_the_image(prepare, model, write, name):
    example = prepare(VARIANTS[name])
    with float_images() as made:
        run(write(example))
    assert_made(example, model)
    with float_images() as drawn:
        render(model, example.scene, [VARIANTS[name]])
    assert_same_bits(made, drawn)


@pytest.mark.parametrize("variant", [PLAIN, DEFAULT_SEED, CLASS_LOOK], ids=["plain", "default_seed", "class_look"])
def test_the_server_makes_the_image(prepare, model, variant):
    example = prepare(variant)
    run(snippets.client_snippet(example))
    assert_made(example, model)
    Path(example.image).unlink()
    shell(snippets.curl_snippet(example, example.server))
    assert_made(example, model)


def test_the_server_makes_the_image_of_the_seed_where_it_has_no_words_for_more(prepare, model):
    example = prepare(SEVERAL)
    plain = snippets.served(example)
    assert plain.variant == PLAIN and plain.image == "street_seed_7.png"
    run(snippets.client_snippet(example))
    assert_made(plain, model)


def test_the_server_is_asked_for_another_model_by_name(prepare, model, library):
    example = prepare(PLAIN)
    other = [name for name in library.names if name != model.name][0]
    asking = Example(other, example.scene, PLAIN, example.server, page_model=other)
    assert f'model="{other}"' in snippets.client_snippet(asking)
    run(snippets.client_snippet(asking))
    assert_made(example, model)


@pytest.mark.slow
def test_a_program_runs_in_a_fresh_interpreter(prepare, model):
    example = prepare(SEVERAL)
    Path("program.py").write_text(snippets.auto_model_snippet(example), encoding="utf-8")
    shell("python program.py")
    assert_made(example, model)


def test_the_command_makes_the_image(prepare, model):
    example = prepare(SEVERAL)
    interpreter, option, module, *arguments = shlex.split(snippets.recreate_command(example))
    assert (interpreter, option, module) == ("python", "-m", image_settings.__name__)
    image_settings.main(arguments)
    assert_made(example, model)


def shell(command: str) -> None:
    """Run a text as somebody who pastes it, with the package installed."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(["bash", "-euc", command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


# -- names of all kinds -----------------------------------------------------------------------------------------------


def test_names_cannot_leave_their_quotes(model):
    label = 'it\'s a "car" \\ $(touch /tmp/x) `y`\n# z'
    scene = Scene("street", np.zeros((32, 64), dtype=np.int64), (label, "road"))
    variant = Variant(7, (Reroll(resample_seed(7), label=label),))
    example = Example('a"b\\c', scene, variant, 'http://x"y', page_model="it's")
    for write in (snippets.pipeline_snippet, snippets.auto_model_snippet, snippets.client_snippet):
        compile(write(example), "snippet", "exec")
    command = snippets.curl_snippet(example, "http://127.0.0.1:1")
    body = command.partition("\n  -d ")[2].partition(" | cut")[0]
    said = subprocess.run(["bash", "-euc", f"FILE=f; printf %s {body}"], capture_output=True, text=True).stdout
    assert json.loads(said) == {
        "label_map": {"path": "f", "meta": {"_type": "gradio.FileData"}},
        "seed": 7,
        "resample_labels": [label],
        "model": "it's",
    }


def test_the_default_seed_of_new_noise_stays_in_range():
    assert resample_seed(0) == 2**20 and resample_seed(MAX_SEED) == 2**20 - 1


# -- the tab ----------------------------------------------------------------------------------------------------------


def request(path: str = "/gradio_api/run/predict", **headers: str) -> gr.Request:
    """What an event handler is given."""
    raw = [
        (name.replace("_", "-").encode(), value.encode()) for name, value in ({"host": "me:7860"} | headers).items()
    ]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": raw, "scheme": "http"}
    return gr.Request(request=fastapi.Request(scope))


def test_the_tab_shows_the_image_on_the_table(library, model, scene, monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    handlers = _Handlers(library)
    example = Example(model.name, scene, CLASS, "http://me:7860")
    texts = handlers.texts("", scene, CLASS, request())
    assert f"`{example.label_map}`" in texts[0] and f"`{example.settings}`" in texts[0]
    assert texts[1:5] == (
        snippets.pipeline_snippet(example),
        snippets.auto_model_snippet(example),
        snippets.recreate_snippet(example),
        snippets.recreate_command(example),
    )
    assert "the image of seed 7 without your new noise" in texts[5]
    assert texts[6:] == (snippets.client_snippet(example), snippets.curl_snippet(example, "http://me:7860"))
    assert "without your new noise" not in handlers.texts("", scene, PLAIN, request())[5]
    other = [name for name in library.names if name != model.name][0]
    assert f'model="{other}"' in handlers.texts(other, scene, PLAIN, request())[6]


def test_the_tab_names_the_space_and_its_public_address(library, scene, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/street")
    forwarded = request(x_forwarded_host="somebody-street.hf.space", x_forwarded_proto="https")
    texts = _Handlers(library).texts("", scene, PLAIN, forwarded)
    assert 'Client("somebody/street")' in texts[6]
    assert texts[7].startswith("SERVER=https://somebody-street.hf.space/gradio_api\n")


def test_the_tab_without_a_label_map_of_this_model(library, scene):
    handlers = _Handlers(library)
    foreign = Scene("street", scene.label_map, ("a", "b", "c", "d"))
    for nothing in (None, foreign):
        texts = handlers.texts("", nothing, CLASS, request())
        assert texts[0] == NOTHING and '"label_map_labels.png"' in texts[1] and "resample" not in texts[1]
    with pytest.raises(ValueError, match="no label map yet"):
        handlers.current("", None, PLAIN)
    with pytest.raises(ValueError, match="other classes than this model"):
        handlers.current("", foreign, PLAIN)


def test_the_table_lists_every_parameter():
    html = endpoints_html()
    for endpoint in ENDPOINTS:
        assert f"<code>/{endpoint.name}</code>" in html
        assert all(f"<code>{parameter.signature}</code>" in html for parameter in endpoint.parameters)

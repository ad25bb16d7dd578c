# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Space without a browser: app.py, texts, palettes, examples, and what the page is made of."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.data.specs import DatasetSpec
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.demo import build_demo, command, draw_examples, launch_options
from dpsims_hf.demo.draw_examples import facade_scenes, street_scenes
from dpsims_hf.demo.drawing.example_maps import (
    CAMVID_CLASSES,
    EXAMPLES_DIR,
    FACADE_CLASSES,
    LABEL_SPACES,
    example_paths,
)
from dpsims_hf.demo.drawing.palette_files import write_palette_files
from dpsims_hf.demo.models.card_text import NO_CARD, first_paragraph, read_model_text, sections_on_terms
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model
from dpsims_hf.demo.models.turns import TURNS, image_turn
from dpsims_hf.demo.server.api import WAITING_CALLS
from dpsims_hf.demo.server.events import EVALUATION, HEAVY, LONG, on_gpu, report_errors
from dpsims_hf.demo.uploads.label_files import TranslatedClass, UnmatchedColor
from dpsims_hf.demo.widgets.example_scenes import example_gallery
from dpsims_hf.demo.widgets.html import legend_html, palette_html, translation_html, unmatched_html


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path) -> LoadedModel:
    return load_model(str(tiny_checkpoint_dir), str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def demo(model) -> gr.Blocks:
    return build_demo(ModelLibrary(model))


# -- texts and files on the page --------------------------------------------------------------------------------------


def test_legend_lists_the_classes_with_shares_and_escapes_names(model):
    label_map = np.zeros((32, 64), dtype=np.int64)
    label_map[8:, :32] = 1
    label_map[16:] = 2
    label_map[20:28, 16:32] = 3
    entries = model.processor.legend(label_map)
    html = legend_html(entries)
    assert html.count('class="chip"') == 4
    assert html.index("road") < html.index("car") and "rgb(64,0,128)" in html and "6.2 %" in html
    assert "<script>" not in palette_html(["<script>"], [(1, 2, 3)], None)


def test_tables_of_what_did_not_match_escape_and_count():
    rows = [UnmatchedColor((1, 2, 3), 1234, "<b>road")]
    html = unmatched_html(rows, 7)
    assert "#010203" in html and "1,234" in html and "&lt;b&gt;road" in html and "1 most frequent of 7" in html
    assert unmatched_html([], 0) == translation_html([]) == ""
    html = translation_html([TranslatedClass("bus", None, 5), TranslatedClass("car", "car", 9)])
    assert "no such class: unknown" in html and html.index("bus") < html.index("car")


def test_palette_files_hold_the_exact_colors(tmp_path):
    paths = write_palette_files(tmp_path, SYNTHETIC_SPEC.labels, SYNTHETIC_SPEC.palette, 4)
    spec = DatasetSpec.from_json(paths["json"])  # the JSON is a classes.json
    assert (spec.labels, spec.palette, spec.void_label_id) == (SYNTHETIC_SPEC.labels, SYNTHETIC_SPEC.palette, 4)
    chart = np.asarray(Image.open(paths["png"]))
    assert [tuple(chart[16 + 32 * row, 10].tolist()) for row in range(5)] == list(SYNTHETIC_SPEC.palette)
    assert "128  64 128\troad" in paths["gpl"].read_text()


CARD = """
# A model
First words.
Still the first.

## Use
```python
# Data is not a heading here
```

## Data and terms
Streets, cc-by-nc-4.0.
### Splits
Two.
## Results
None.
## Limits
![grid](samples.png)No faces.
"""


def test_card_sections_are_found():
    assert first_paragraph(CARD) == "First words.\nStill the first."
    terms = sections_on_terms(CARD)
    assert "Streets, cc-by-nc-4.0." in terms and "Two." in terms and "No faces." in terms
    assert "None." not in terms and "heading" not in terms


def test_model_text_comes_from_the_checkpoints_card(model, tiny_checkpoint_dir):
    pipe = model.pipe
    card = (tiny_checkpoint_dir / "README.md").read_text(encoding="utf-8")
    text = read_model_text(pipe)
    assert text.name == "tiny" and text.summary in card and text.terms != NO_CARD and "---" not in text.card[:10]
    bare = SemanticImageSynthesisPipeline(generator_model=pipe.generator_model, processor=pipe.processor)
    assert read_model_text(bare).terms == NO_CARD


# -- the drawn examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", draw_examples.LABEL_SPACES, ids=lambda space: space.folder or "camvid")
def test_committed_examples_are_what_the_script_draws(tmp_path, space):
    draw_examples.main(["--output_dir", str(tmp_path)])
    committed = sorted((EXAMPLES_DIR / space.folder).glob("*.png"))
    assert [path.stem for path in committed] == sorted(space.scenes)
    road = list(space.classes).index("road")
    for path in committed:
        with Image.open(path) as stored, Image.open(tmp_path / space.folder / path.name) as drawn:
            assert stored.mode == "P" and stored.size == (256, 192)
            assert np.array_equal(np.asarray(stored), np.asarray(drawn))
            assert tuple(stored.getpalette()[3 * road : 3 * road + 3]) == space.classes["road"]


def test_example_names_are_unique_and_every_folder_is_a_label_space():
    names = [name for space in draw_examples.LABEL_SPACES for name in space.scenes]
    assert len(names) == len(set(names))
    folders = {path.parent for path in EXAMPLES_DIR.rglob("*.png")}
    assert {space.folder: tuple(space.classes) for space in draw_examples.LABEL_SPACES} == LABEL_SPACES
    assert folders == {EXAMPLES_DIR / space.folder for space in draw_examples.LABEL_SPACES}


def test_facades_have_the_presets_classes():
    preset = json.loads((ROOT / "dpsims_hf" / "data" / "label_presets" / "labelme_facade.json").read_text())
    assert [entry["id"] for entry in preset["classes"]] == list(range(len(FACADE_CLASSES)))
    assert {entry["name"]: tuple(entry["color"]) for entry in preset["classes"]} == FACADE_CLASSES


@pytest.mark.parametrize("name", sorted(facade_scenes.EXAMPLES))
def test_facades_show_houses_and_cars_on_a_road(name):
    street = facade_scenes.EXAMPLES[name]()
    label_map, ids = np.asarray(street.palette_image()), street.ids
    assert label_map.max() < len(FACADE_CLASSES)
    for label in FACADE_CLASSES:
        assert (label_map == ids[label]).sum() > 20, label
    assert (label_map[-40:] == ids["sky"]).sum() == 0 and (label_map[:20] == ids["sky"]).mean() > 0.2
    assert not np.isin(label_map[-8:], (ids["window"], ids["door"], ids["building"])).any()


@pytest.mark.parametrize("name", sorted(street_scenes.EXAMPLES))
def test_examples_are_streets(name):
    street = street_scenes.EXAMPLES[name]()
    label_map, ids = np.asarray(street.palette_image()), street.ids
    assert label_map.max() < len(CAMVID_CLASSES)
    assert (label_map[:5] == ids["road"]).sum() == 0 and (label_map[-20:] == ids["road"]).mean() > 0.8
    assert (label_map[-40:] == ids["sky"]).sum() == 0 and (label_map[:60] == ids["sky"]).mean() > 0.2
    for label in ("building", "tree", "pavement", "pole", "sign", "car", "pedestrian"):
        assert (label_map == ids[label]).sum() > 20, label


@pytest.mark.parametrize(("folder", "shape"), [("dpsims-camvid-small", (4, 1)), ("dpsims-labelme-small", (4, 2))])
def test_no_thumbnail_is_cut_off(folder, shape):
    """Five stand beside each other; more stand in several rows."""
    config = AutoConfig.from_pretrained(ROOT / "checkpoints" / folder)
    processor = AutoImageProcessor.from_pretrained(ROOT / "checkpoints" / folder)
    labels = tuple(processor.id2label.values())
    model = SimpleNamespace(labels=labels, processor=processor, training_size=tuple(config.image_size))
    with gr.Blocks():
        gallery = example_gallery(model, "examples")
    assert (gallery.columns, gallery.rows) == shape
    assert len(example_paths(labels)) + 1 <= shape[0] * shape[1]


def test_examples_are_offered_to_models_of_their_label_space_only():
    for space in draw_examples.LABEL_SPACES:
        names = list(space.classes)
        assert [path.stem for path in example_paths(names)] == sorted(space.scenes)
        assert example_paths([*names, "void"]) == example_paths(names)
        assert example_paths(names[::-1]) == []
    assert example_paths(list(SYNTHETIC_SPEC.labels)) == []


# -- the page ---------------------------------------------------------------------------------------------------------


def test_every_endpoint_that_people_can_call_is_named(demo):
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    assert public == {"decode", "generate", "segment", "interpolate", "match_style", "open", "evaluate"}


def test_events_that_run_a_model_wait_in_threads_and_long_ones_take_no_place_of_short_ones(demo):
    limits = {options["concurrency_id"]: options["concurrency_limit"] for options in (HEAVY, LONG, EVALUATION)}
    limited = [fn for fn in demo.fns.values() if fn.concurrency_id in limits]
    assert len(limited) >= 15 and all(fn.concurrency_limit == limits[fn.concurrency_id] for fn in limited)
    assert sum(limits.values()) + WAITING_CALLS < launch_options()["max_threads"]
    assert {fn.concurrency_id for fn in demo.fns.values() if fn.api_name == "interpolate"} == {"long"}
    assert demo.enable_queue and not demo.analytics_enabled and not demo.api_open


def test_the_state_of_a_visitor_is_kept_for_an_hour_at_most(demo):
    states = [block for block in demo.blocks.values() if isinstance(block, gr.State)]
    large = [state for state in states if state.time_to_live is None and state.value not in ("", None, "sketch")]
    assert len(states) >= 4 and not large


def test_the_look_needs_nothing_from_outside(demo):
    options = launch_options()
    assert "http" not in options["css"] and "@import" not in options["css"] and "url(" not in options["css"]
    assert options["max_file_size"] == 100_000_000


def test_handlers_have_the_model_for_single_images(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)

    def draw() -> list[bool]:
        seen = [TURNS.is_busy]
        for _ in range(2):
            with image_turn():
                seen.append(TURNS.is_busy)
            seen.append(TURNS.is_busy)
        return seen

    assert on_gpu(draw)() == [False, True, False, True, False]
    assert draw() == [False] * 5  # a program of one's own waits for nobody
    with pytest.raises(ValueError, match="as it was raised"):
        on_gpu(_raises)()
    assert not TURNS.is_busy


def _raises() -> None:
    with image_turn():
        raise ValueError("as it was raised")


def test_what_an_error_quotes_is_no_html_on_the_page_and_plain_for_clients():
    def refuse() -> None:
        raise ValueError("model '<b>x</b>' & more")

    for handler, words in (
        (report_errors(refuse), "model '&lt;b&gt;x&lt;/b&gt;' &amp; more"),
        (report_errors(refuse, html=False), "model '<b>x</b>' & more"),
    ):
        with pytest.raises(gr.Error) as caught:
            handler()
        assert caught.value.message == words


# -- app.py -----------------------------------------------------------------------------------------------------------


def test_importing_app_builds_nothing_and_imports_no_gradio():
    code = "import sys, app; print(sorted({'gradio', 'torch', 'diffusers'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_options_have_the_documented_names(monkeypatch):
    options = command.parse_arguments(["--model", "x", "--share", "--server-port", "7000", "--server-name", "0.0.0.0"])
    assert (options.model, options.share, options.server_port, options.server_name) == ("x", True, 7000, "0.0.0.0")
    monkeypatch.delenv("DPSIMS_MODEL", raising=False)
    assert Path(command.parse_arguments([]).model) == command.EMBEDDED_CHECKPOINT
    monkeypatch.setenv("DPSIMS_MODEL", "user/model")
    assert command.parse_arguments([]).model == "user/model" and command.parse_arguments(["--model", "x"]).model == "x"


def test_missing_checkpoints_end_with_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "EMBEDDED_CHECKPOINT", ROOT / "checkpoints" / "not-there")
    with pytest.raises(SystemExit, match="app.py: the embedded checkpoint checkpoints/not-there is missing"):
        command.main(["--model", str(command.EMBEDDED_CHECKPOINT)])
    with pytest.raises(SystemExit, match=r"app.py: .*nowhere"):
        command.main(["--model", str(tmp_path / "nowhere")])


def test_the_library_opens_on_the_named_folder(tiny_checkpoint_dir):
    library = command.load_library(str(tiny_checkpoint_dir))
    assert library.default.name == str(tiny_checkpoint_dir) and library.local_folders
    assert library.names[1:] == ["checkpoints/dpsims-camvid-small", "checkpoints/dpsims-labelme-small"]
    public = command.load_library(str(tiny_checkpoint_dir), public=True)
    assert public.default.name == "tiny" and not public.local_folders

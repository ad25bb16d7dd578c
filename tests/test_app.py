# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Space without a browser: sizes, errors, texts, files, and the HTTP API of a running server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.data.specs import DatasetSpec
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.demo import build_demo, draw_examples, launch_options
from dpsims_hf.demo.html import legend_html, palette_html
from dpsims_hf.demo.mask_upload_tab import example_paths
from dpsims_hf.demo.model_text import NO_CARD, first_paragraph, read_model_text, sections_on_terms
from dpsims_hf.demo.palette_files import write_palette_files
from dpsims_hf.demo.synthesis import MAX_SEED, VARIANTS, Synthesizer, working_size


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint_dir: Path) -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline.from_pretrained(tiny_checkpoint_dir)


@pytest.fixture(scope="module")
def synthesizer(pipe) -> Synthesizer:
    return Synthesizer(pipe)


@pytest.fixture(scope="module")
def url(pipe) -> Iterator[str]:
    demo = build_demo(pipe)
    _, address, _ = demo.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, inbrowser=False, **launch_options()
    )
    yield address
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


def save(array: np.ndarray, path: Path) -> Path:
    Image.fromarray(array).save(path)
    return path


# -- the working size -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((192, 256), (192, 256)),
        ((360, 480), (192, 256)),  # CamVid's own size
        ((720, 960), (192, 256)),
        ((512, 512), (224, 224)),
        ((1024, 2048), (160, 320)),
        ((7, 9), (192, 256)),
        ((1, 100_000), (32, 1024)),  # bounded: no strip of 70 000 pixels
        ((100_000, 1), (1024, 32)),
    ],
)
def test_working_size_keeps_aspect_ratio_and_area(source, expected):
    assert working_size(source, training_size=(192, 256), divisor=32) == expected


def test_read_says_which_size_was_used(synthesizer, tmp_path):
    same = synthesizer.read(save(street(), tmp_path / "same.png"))
    assert same.size == (32, 64) and same.describe_size() == "same.png: 64 × 32 pixels, used as it is."
    larger = synthesizer.read(save(street(96, 192), tmp_path / "large.png"))
    assert larger.size == (32, 64) and np.array_equal(larger.label_map, street())
    assert "192 × 96 pixels, used at 64 × 32 (nearest neighbour)" in larger.describe_size()
    thin = synthesizer.read(save(street(32, 1000), tmp_path / "thin.png"))
    assert thin.size == (8, 256) and "the aspect ratio changes by 2 %" in thin.describe_size()


@pytest.mark.parametrize("mode", ["L", "I;16", "P", "RGB"])
def test_every_kind_of_label_file_gives_the_same_indices(synthesizer, tmp_path, mode):
    path = tmp_path / "map.png"
    palette = np.array(SYNTHETIC_SPEC.palette, dtype=np.uint8)
    if mode == "RGB":
        save(palette[street()], path)
    elif mode == "P":
        image = Image.fromarray(street())
        image.putpalette(np.roll(palette, 1, axis=0).tobytes())  # misleading colours: the indices count
        image.save(path)
    else:
        save(street().astype(np.uint16 if mode == "I;16" else np.uint8), path)
    with Image.open(path) as stored:
        assert stored.mode == mode
    assert np.array_equal(synthesizer.read(path).label_map, street())


def test_antialiased_borders_are_snapped_and_reported(synthesizer, tmp_path):
    colors = Image.fromarray(np.array(SYNTHETIC_SPEC.palette, dtype=np.uint8)[street(320, 640)])
    small = colors.resize((321, 161), Image.Resampling.BILINEAR)
    small.save(tmp_path / "soft.png")
    file = synthesizer.read(tmp_path / "soft.png")
    assert len(file.notes) == 1 and file.notes[0].startswith("soft.png: ")
    assert set(np.unique(file.label_map)) == {0, 1, 2, 3}


# -- errors -----------------------------------------------------------------------------------------------------------


def bad_files(folder: Path) -> dict[str, Path]:
    """A file per mistake that people make."""
    values = street()
    values[0, 0] = 77
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    good = save(street(256, 512), folder / "good.png").read_bytes()
    (folder / "truncated.png").write_bytes(good[: len(good) // 2])
    (folder / "text.png").write_text("no picture")
    return {
        "out_of_range": save(values, folder / "out_of_range.png"),
        "unknown_colors": save(noise, folder / "unknown_colors.png"),
        "truncated": folder / "truncated.png",
        "text": folder / "text.png",
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out_of_range", ("77", "0..4")),
        ("unknown_colors", ("unknown colours", "road (128, 64, 128)")),
        ("truncated", ("truncated",)),
        ("text", ("cannot be read as an image",)),
    ],
)
def test_bad_files_give_one_line_that_names_them(synthesizer, tmp_path, name, words):
    path = bad_files(tmp_path)[name]
    with pytest.raises(ValueError) as caught:
        synthesizer.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path.name}: ") and "\n" not in message
    assert str(tmp_path) not in message  # the server's folders are nobody's business
    assert all(word in message for word in words)


def test_giant_files_are_refused_by_their_header(synthesizer, tmp_path, monkeypatch):
    monkeypatch.setattr("dpsims_hf.demo.synthesis.MAX_PIXELS", 2000)
    path = save(street(), tmp_path / "giant.png")
    with pytest.raises(ValueError, match="giant.png: 64 × 32 pixels; at most 2,000"):
        synthesizer.read(path)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_seeds_out_of_range_are_refused(synthesizer, tmp_path, seed):
    file = synthesizer.read(save(street(), tmp_path / "map.png"))
    with pytest.raises(ValueError, match=f"seed {seed} is out of range"):
        synthesizer.variants(file, seed)


# -- images -----------------------------------------------------------------------------------------------------------


def test_variants_are_the_pipelines_images_of_consecutive_seeds(synthesizer, pipe, tmp_path):
    file = synthesizer.read(save(street(), tmp_path / "map.png"))
    images, seeds, seconds = synthesizer.variants(file, seed=5)
    assert seeds == [5, 6, 7, 8] and seconds > 0
    assert len(images) == VARIANTS and all(image.size == (64, 32) for image in images)
    arrays = [np.asarray(image) for image in images]
    assert all(not np.array_equal(arrays[0], other) for other in arrays[1:])
    alone = pipe(street(), seed=7, num_images_per_label_map=1).images[0]
    assert np.array_equal(np.asarray(alone), arrays[2])


# -- texts and files on the page --------------------------------------------------------------------------------------


def test_legend_lists_the_classes_with_shares_and_escapes_names(synthesizer):
    entries = synthesizer.processor.legend(street())
    html = legend_html(entries)
    assert html.count('class="chip"') == 4
    assert html.index("road") < html.index("car") and "rgb(64,0,128)" in html and "6.2 %" in html
    assert "<script>" not in palette_html(["<script>"], [(1, 2, 3)], None)


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


def test_model_text_comes_from_the_checkpoints_card(pipe, tiny_checkpoint_dir, tmp_path):
    card = (tiny_checkpoint_dir / "README.md").read_text(encoding="utf-8")
    text = read_model_text(pipe)
    assert text.name == "tiny" and text.summary in card and text.terms != NO_CARD and "---" not in text.card[:10]
    bare = SemanticImageSynthesisPipeline(generator_model=pipe.generator_model, processor=pipe.processor)
    assert read_model_text(bare).terms == NO_CARD


# -- the drawn examples -----------------------------------------------------------------------------------------------


def test_committed_examples_are_what_the_script_draws(tmp_path):
    draw_examples.main(["--output_dir", str(tmp_path)])
    committed = sorted(draw_examples.EXAMPLES_DIR.glob("*.png"))
    assert [path.stem for path in committed] == sorted(draw_examples.EXAMPLES)
    for path in committed:
        with Image.open(path) as stored, Image.open(tmp_path / path.name) as drawn:
            assert stored.mode == "P" and stored.size == (256, 192)
            assert np.array_equal(np.asarray(stored), np.asarray(drawn))
            assert tuple(stored.getpalette()[9:12]) == (128, 64, 128)


@pytest.mark.parametrize("name", sorted(draw_examples.EXAMPLES))
def test_examples_are_streets(name):
    label_map = np.asarray(draw_examples.palette_image(draw_examples.EXAMPLES[name]()))
    ids = draw_examples.IDS
    assert label_map.max() < len(draw_examples.CLASSES)
    assert (label_map[:5] == ids["road"]).sum() == 0 and (label_map[-20:] == ids["road"]).mean() > 0.8
    assert (label_map[-40:] == ids["sky"]).sum() == 0 and (label_map[:60] == ids["sky"]).mean() > 0.2
    for label in ("building", "tree", "pavement", "pole", "sign", "car", "pedestrian"):
        assert (label_map == ids[label]).sum() > 20, label


def test_examples_are_offered_to_models_of_their_label_space_only():
    names = list(draw_examples.CLASSES)
    assert len(example_paths(names)) == len(example_paths([*names, "void"])) == len(draw_examples.EXAMPLES)
    assert example_paths(names[::-1]) == example_paths(list(SYNTHETIC_SPEC.labels)) == []


# -- the server -------------------------------------------------------------------------------------------------------


def test_the_api_is_documented(client):
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(api) == {"/decode", "/generate"}
    assert [parameter["parameter_name"] for parameter in api["/generate"]["parameters"]] == ["label_map", "seed"]
    assert "whole number" in api["/generate"]["description"]


def test_generate_over_the_api_round_trips_exact_pixels(client, pipe, tmp_path):
    path = save(street(), tmp_path / "street.png")
    gallery, note = client.predict(handle_file(path), 3, api_name="/generate")
    assert [item["caption"] for item in gallery] == ["seed 3", "seed 4", "seed 5", "seed 6"]
    assert "4 images of street.png at 64 × 32" in note
    expected = pipe(street(), seed=3, num_images_per_label_map=4).images
    for item, image in zip(gallery, expected, strict=True):
        assert np.array_equal(np.asarray(Image.open(item["image"]).convert("RGB")), np.asarray(image))
    assert Path(gallery[2]["image"]).name == "street_seed_5.png"


def test_decode_over_the_api_shows_colors_and_legend(client, tmp_path):
    path = save(street(64, 128).astype(np.uint16), tmp_path / "sixteen.png")
    colored, legend, size_note = client.predict(handle_file(path), api_name="/decode")
    shown = np.asarray(Image.open(colored if isinstance(colored, str) else colored["path"]).convert("RGB"))
    assert np.array_equal(shown, np.array(SYNTHETIC_SPEC.palette, dtype=np.uint8)[street()])
    assert legend.count('class="chip"') == 4 and "128 × 64 pixels, used at 64 × 32" in size_note


@pytest.mark.parametrize("name", ["out_of_range", "unknown_colors", "truncated", "text"])
def test_errors_over_the_api_are_the_one_line(client, tmp_path, name):
    path = bad_files(tmp_path)[name]
    with pytest.raises(AppError, match=rf"^{path.name}: ") as caught:
        client.predict(handle_file(path), 0, api_name="/generate")
    assert "Traceback" not in str(caught.value)


def test_generate_without_a_file_says_what_to_do(client):
    with pytest.raises(AppError, match="click an example or upload a PNG"):
        client.predict(None, 0, api_name="/generate")


def test_demo_builds_with_a_queue_for_one(pipe):
    demo = build_demo(pipe)
    assert isinstance(demo, gr.Blocks) and not demo.analytics_enabled
    generate = next(fn for fn in demo.fns.values() if fn.api_name == "generate")
    assert generate.concurrency_limit == 1 and demo.enable_queue


def test_importing_app_builds_nothing_and_imports_no_gradio():
    code = "import sys, app; print(sorted({'gradio', 'torch', 'diffusers'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_options_have_the_documented_names():
    options = app.parse_arguments(["--model", "x", "--share", "--server-port", "7000", "--server-name", "0.0.0.0"])
    assert (options.model, options.share, options.server_port, options.server_name) == ("x", True, 7000, "0.0.0.0")
    assert Path(app.parse_arguments([]).model) == app.EMBEDDED_CHECKPOINT


def test_missing_checkpoints_end_with_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(app, "EMBEDDED_CHECKPOINT", ROOT / "checkpoints" / "not-there")
    with pytest.raises(SystemExit, match="app.py: the embedded checkpoint checkpoints/not-there is missing"):
        app.main([])
    with pytest.raises(SystemExit, match=r"app.py: .*nowhere"):
        app.main(["--model", str(tmp_path / "nowhere")])


def test_the_pipeline_is_loaded_from_the_named_folder(tiny_checkpoint_dir):
    assert app.load_pipeline(str(tiny_checkpoint_dir)).processor.num_labels == 5

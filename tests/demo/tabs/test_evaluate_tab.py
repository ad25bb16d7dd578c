# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Evaluate tab without a browser: numbers against independent ones, limits, words, the table and the files."""

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from drawn_model import HEIGHT, VOID, WIDTH, drawn_model
from PIL import Image

from dpsims_hf.data.synthetic import draw_scene
from dpsims_hf.demo.drawing import evaluation_request
from dpsims_hf.demo.drawing.evaluation_request import METRICS, Evaluated, check_seeds, default_metrics, run_evaluation
from dpsims_hf.demo.drawing.example_maps import EXAMPLES_DIR
from dpsims_hf.demo.drawing.scenes import Deadline
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary
from dpsims_hf.demo.tabs.evaluate import ARCHIVE, EXAMPLES, _Handlers
from dpsims_hf.demo.widgets.evaluation_charts import Bar, bars_html, charts_html, readable, report_html
from dpsims_hf.evaluation.metrics.diversity import ms_ssim_similarities, stack_images
from dpsims_hf.evaluation.metrics.frechet import fid
from dpsims_hf.evaluation.pairs import evaluate_pairs
from dpsims_hf.evaluation.sources import noise_seed


pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]
OFFLINE = ["miou_discriminator", "ms_ssim", "fid_discriminator", "color_texture"]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return drawn_model()


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Photos and label maps of the model's size by name."""
    scenes = {f"scene_{seed}": draw_scene((HEIGHT, WIDTH), seed) for seed in range(3)}
    return {name: (photo, np.where(labels == 255, VOID, labels)) for name, (photo, labels, _) in scenes.items()}


@pytest.fixture(scope="module")
def archive(pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    with ZipFile(folder / "my pairs.zip", "w") as file:
        for name, (photo, labels) in pairs.items():
            for kind, values in (("images", photo), ("labels", labels.astype(np.uint8))):
                Image.fromarray(values).save(folder / "one.png")
                file.write(folder / "one.png", f"{kind}/{name}.png")
    return folder / "my pairs.zip"


@pytest.fixture(scope="module")
def measured(model, archive) -> Evaluated:
    return run_evaluation(model, archive)


def labels_seen(model: LoadedModel, image: np.ndarray) -> np.ndarray:
    """What the discriminator sees in (height, width, 3) uint8."""
    with torch.no_grad():
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        return model.pipe.discriminator.eval()(pixels).segmentation_logits[0, :-1].argmax(dim=0).numpy()


def drawn(model: LoadedModel, labels: np.ndarray, *key: int) -> np.ndarray:
    return np.asarray(model.pipe(labels, noise_seed(*key), 1).images[0])


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_all_that_needs_no_download_is_measured(measured, model, pairs):
    results = measured.results
    assert json.loads(json.dumps(results)) == results
    names = {"miou_discriminator", "fid_discriminator", "ms_ssim_4_images_2_scales", "color_texture_oasis"}
    assert set(results["protocols"]) == names
    assert results["dataset"]["name"] == "my pairs.zip" and results["seeds"] == [0]
    assert results["source"]["model"] == "drawn" and results["source"]["weights_sha256"] == model.weights_sha256
    assert [row["name"] for row in results["label_maps"]] == list(pairs)
    for row, example, (photo, _) in zip(results["label_maps"], measured.examples, pairs.values(), strict=True):
        assert example["caption"].startswith(row["name"]) and np.array_equal(example["real"], photo)
    warning = results["warnings"][0]
    assert warning.startswith("3 label maps are few: FID needs thousands of images;")


def test_scores_of_each_label_map_are_those_of_its_picture(measured, model, pairs):
    for index, (row, (_, labels)) in enumerate(zip(measured.results["label_maps"], pairs.values(), strict=True)):
        picture, known = drawn(model, labels, 0, index), labels != VOID
        assert np.array_equal(measured.examples[index]["generated"], picture)
        accuracy = (labels_seen(model, picture) == labels)[known].mean()
        assert row["miou_discriminator"]["pixel_accuracy"] == pytest.approx(accuracy)
        images = stack_images([drawn(model, labels, 0, index, copy) for copy in range(4)])
        similar = float(ms_ssim_similarities(images, scales=2).mean())
        assert row["ms_ssim_4_images_2_scales"]["ms_ssim"] == pytest.approx(similar, abs=1e-6)
    means = [row["ms_ssim_4_images_2_scales"]["ms_ssim"] for row in measured.results["label_maps"]]
    values = measured.results["protocols"]["ms_ssim_4_images_2_scales"]["values"]
    assert values["ms_ssim"]["mean"] == pytest.approx(np.mean(means))


def test_the_ceiling_is_what_the_discriminator_sees_in_the_photos(measured, model, pairs):
    hits = [(labels_seen(model, photo) == labels)[labels != VOID] for photo, labels in pairs.values()]
    ceiling = measured.results["protocols"]["miou_discriminator"]["real_photos"]
    assert ceiling["pixel_accuracy"] == pytest.approx(np.concatenate(hits).mean())


@pytest.mark.filterwarnings("ignore:.*the covariance is singular")
def test_fid_on_the_discriminators_backbone(measured, model, pairs):
    def features(images: list[np.ndarray]) -> np.ndarray:
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            return model.pipe.discriminator.backbone(pixels)[-1].mean(dim=(2, 3)).numpy()

    pictures = [drawn(model, labels, 0, index) for index, (_, labels) in enumerate(pairs.values())]
    expected = fid(features([photo for photo, _ in pairs.values()]), features(pictures))
    result = measured.results["protocols"]["fid_discriminator"]
    assert result["values"]["fid"]["mean"] == pytest.approx(expected, rel=1e-3)
    assert result["facts"]["features"] == "discriminator's test_resnet"
    assert len(result["facts"]["weights_sha256"]) == 64


def test_the_drawn_examples_have_no_photos(model):
    results, examples = run_evaluation(model, None, seeds=[3, 4])
    assert set(results["protocols"]) == {"miou_discriminator", "ms_ssim_4_images_2_scales"}
    names = [path.stem for path in sorted(EXAMPLES_DIR.glob("*.png"))]
    assert [row["name"] for row in results["label_maps"]] == names and results["seeds"] == [3, 4]
    assert "real_photos" not in results["protocols"]["miou_discriminator"]
    assert all("real" not in example and "generated" in example for example in examples)
    assert results["protocols"]["miou_discriminator"]["values"]["mean_iou"]["std"] is not None
    assert any("mIoU has no upper reference" in text for text in results["warnings"])


def test_label_maps_alone_do_not_compare_with_photos(model, pairs):
    label_maps = [(None, labels) for _, labels in pairs.values()]
    with pytest.raises(ValueError, match="^Colour and texture distance compares with real photos: give photos"):
        evaluate_pairs(model.pipe, label_maps, ["color_texture"])
    with pytest.raises(ValueError, match="^no seeds"):
        evaluate_pairs(model.pipe, label_maps, ["miou_discriminator"], seeds=())


# -- requests ---------------------------------------------------------------------------------------------------------


def test_what_is_measured_when_nothing_is_chosen(model):
    assert default_metrics(model, has_photos=True) == OFFLINE
    assert default_metrics(model, has_photos=False) == ["miou_discriminator", "ms_ssim"]
    assert default_metrics(drawn_model(with_discriminator=False), has_photos=True) == ["ms_ssim", "color_texture"]


def test_seeds():
    assert check_seeds("3, 1;2  0") == (3, 1, 2, 0) and check_seeds([5, 5]) == (5,)
    for seeds, words in (
        ("0 x", "'x' is not a whole number; write seeds like '0 1 2'"),
        ("", "'' is not a whole number"),
        ("-1", "'-1' is not a whole number"),
        (range(6), "6 seeds: give 1 to 5 different ones"),
        ([], "0 seeds"),
        ([2**31], "seed 2147483648 is out of range"),
        ([True], "seed True is out of range"),
    ):
        with pytest.raises(ValueError, match=words):
            check_seeds(seeds)


def test_wrong_requests(model, archive, tmp_path):
    bare = drawn_model(with_discriminator=False)
    other = LoadedModel("other", model.pipe)
    for arguments, words in (
        ((model, archive, []), "nothing to measure"),
        ((model, archive, ["fod"]), "metric 'fod' is unknown: choose from miou_discriminator, "),
        ((model, None, ["fid_discriminator"]), "fid_discriminator compares with real photos, and the drawn examples"),
        ((bare, archive, ["miou_discriminator"]), "drawn has no discriminator"),
        ((model, archive, ["mean_iou"]), "no published segmenter is known for this model's 11 classes"),
        ((other, tmp_path / "no.zip"), "no.zip: cannot be read"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            run_evaluation(*arguments)
        assert "\n" not in str(caught.value)


def test_published_segmenters_are_found_by_the_number_of_classes(model):
    assert evaluation_request._published_segmenter(_with_classes(model, 151)) == (
        "facebook/mask2former-swin-large-ade-semantic"
    )
    with pytest.raises(ValueError, match="149 classes"):
        evaluation_request._published_segmenter(_with_classes(model, 150))


def _with_classes(model: LoadedModel, count: int) -> LoadedModel:
    """Another processor with `count` classes, void included."""
    from dpsims_hf import SemanticImageProcessor, SemanticImageSynthesisPipeline

    processor = SemanticImageProcessor({i: f"thing {i}" for i in range(count)}, void_label_id=0)
    return LoadedModel("many", SemanticImageSynthesisPipeline(model.pipe.generator_model, processor))


def test_a_download_that_fails_is_told_to_people(model, archive, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("dpsims_hf.evaluation.features.INCEPTION_URL", "http://127.0.0.1:9/inception-6726825d.pth")
    with pytest.raises(ValueError, match="the Inception weights cannot be fetched .*; go online once, or leave this"):
        run_evaluation(model, archive, ["fid"])


def test_a_request_stops_at_its_deadline_and_shows_its_progress(model, archive):
    with pytest.raises(ValueError, match="stopped after 0 seconds"):
        run_evaluation(model, archive, ["ms_ssim"], deadline=Deadline(0))
    seen = []

    def progress(iterable, desc, total):
        seen.append((desc, total))
        return iterable

    run_evaluation(model, archive, ["ms_ssim", "miou_discriminator"], [2], progress)
    assert seen == [("real photos", 3), ("seed 2", 3), ("seed 2, diversity", 3)]


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_the_table_names_protocols_and_directions(measured):
    html = report_html(measured.results)
    for protocol in measured.results["protocols"]:
        assert f"<code>{protocol}</code>" in html
    assert "real photos" in html and "↑ higher" in html and "↓ lower" in html
    assert "3 label maps of my pairs.zip (uploaded), 64 × 32 pixels, seed 0;" in html
    assert html.count('class="caution"') == len(measured.results["warnings"])


def test_a_chart_for_every_column(measured, model):
    html = charts_html(measured.results, model.processor.palette)
    titles = ("Overlap with the map", "Colour distance", "Texture distance", "Mean IoU, map by map")
    assert all(title in html for title in (*titles, "Pixel accuracy, map by map", "MS-SSIM between images"))
    assert html.count("<section>") == 6
    seen = measured.results["protocols"]["miou_discriminator"]["per_class"]["iou"]
    sky = f"width:{100 * seen[0]:.1f}%"
    assert sky in html and 'class="mark"' in html


def test_bars():
    bars = [Bar("<b>", 2.0, 4.0, (255, 0, 0)), Bar("none", None, 1.0)]
    html = bars_html("Title & all", "p", bars, is_unit=False)
    assert "&lt;b&gt;" in html and "<b>" not in html and "Title &amp; all" in html
    assert "width:50.0%" in html and "left:100.0%" in html and "background:#ff0000" in html
    assert "no pixel" in html and 'title="real photos 4"' in html
    assert "width:25.0%" in bars_html("", "p", [Bar("a", 0.25)], is_unit=True)
    assert "real photos" not in bars_html("", "p", [Bar("a", 0.25)], is_unit=True)


def test_the_files_of_a_request(model, archive, tmp_path):
    handlers = _Handlers(ModelLibrary(model), tmp_path / "cache")
    answer = handlers.evaluate("", ARCHIVE, str(archive), ["miou_discriminator"], [], None, "0")
    files = sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert [path.name for path in files] == ["my_pairs_report.zip", "my_pairs_results.json"]
    results = json.loads(files[1].read_text())
    assert set(results["protocols"]) == {"miou_discriminator"}
    with ZipFile(files[0]) as report:
        assert {"report.html", "examples.png", "per_class.csv"} <= set(report.namelist())
    assert answer[2].size[0] > answer[2].size[1] / 3 and "miou_discriminator" in answer[0]
    with pytest.raises(ValueError, match="no zip file yet"):
        handlers.evaluate("", ARCHIVE, None, ["ms_ssim"], [], None, "0")
    with pytest.raises(ValueError, match="write seeds like"):
        handlers.evaluate("", EXAMPLES, None, ["ms_ssim"], [], None, None)


def test_choices_follow_the_photos(model):
    with_photos = _Handlers.choose_source(ARCHIVE)
    without = _Handlers.choose_source(EXAMPLES)
    assert with_photos[2].value == OFFLINE and without[2].value == ["miou_discriminator", "ms_ssim"]
    assert [key for _, key in with_photos[3].choices] == [key for key, m in METRICS.items() if m.download]
    assert [key for _, key in without[3].choices] == ["mean_iou", "lpips"]
    assert with_photos[0].visible and not without[0].visible


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.66e-05, "&lt; 0.001"),
        (0.0, "0"),
        (0.25, "0.25"),
        (0.12345, "0.123"),
        (1.0, "1"),
        (249.31, "249.3"),
        (-2e-5, "&gt; -0.001"),
    ],
)
def test_small_numbers_are_readable(value, shown):
    assert readable(value) == shown

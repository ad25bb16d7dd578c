# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Grid artifacts and variety by the command and in validation: values, the photos' own beside them, protocols."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from accelerate.state import AcceleratorState
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import save_file

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.data import JointTransform, SemanticImageDataset
from dpsims_hf.data.synthetic import write_synthetic_dataset
from dpsims_hf.evaluation import build
from dpsims_hf.evaluation.__main__ import main
from dpsims_hf.evaluation.features import load_extractor
from dpsims_hf.evaluation.metrics.grid_artifacts import GridArtifacts, grid_artifact_scores
from dpsims_hf.evaluation.metrics.variety import (
    GeneratedVariety,
    PhotoVariety,
    class_colors,
    level_distances,
    variety_scores,
)
from dpsims_hf.evaluation.pairs import evaluate_pairs
from dpsims_hf.evaluation.protocols import PROTOCOLS
from dpsims_hf.evaluation.sources import noise_seed
from dpsims_hf.evaluation.validation import prepare_validation, validate
from dpsims_hf.hub import save_model_folder


pytestmark = pytest.mark.integration


SIZE = (192, 256)
COPIES = 3
NUM_LABELS, VOID = 5, 4


def run(arguments: list[str]) -> int:
    AcceleratorState._reset_state(True)
    try:
        return main(arguments)
    finally:
        AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes whose sky and road hold windows of one class."""
    return write_synthetic_dataset(tmp_path_factory.mktemp("scenes"), num_train=1, num_val=5, size=SIZE)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    weights = str(tmp_path_factory.mktemp("network") / "backbone.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model("test_resnet").state_dict(), weights)
    return {"features": "timm:test_resnet", "feature_weights": weights}


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared checkpoint at the size of the scenes, with a card that may be written."""
    pipe = SemanticImageSynthesisPipeline.from_pretrained(tiny_checkpoint_dir)
    pipe.generator_model.config.image_size = list(SIZE)
    pipe.processor.size = {"height": SIZE[0], "width": SIZE[1]}
    return save_model_folder(tmp_path_factory.mktemp("model") / "large", pipe.generator_model, pipe.processor)


@pytest.fixture(scope="module")
def results(data: Path, network: dict[str, str], model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results")
    arguments = command(data, network, output, "--model", str(model), "--metrics", "variety", "--write_card")
    arguments += ["--protocols", "grid_artifacts_32", "grid_artifacts_64", "--images_per_label_map", str(COPIES)]
    assert run([*arguments, "--batch_size", "2"]) == 0
    return output


def command(data: Path, network: dict[str, str], output: Path, *arguments: str) -> list[str]:
    options = ["--dataset_dir", str(data), "--output_dir", str(output), "--cpu"]
    return [*options, *(part for name, value in network.items() for part in (f"--{name}", value)), *arguments]


def protocols_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())["protocols"]


def read(data: Path, kind: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted((data / "val" / kind).iterdir())]


def image_of(pipe: SemanticImageSynthesisPipeline, label_map: np.ndarray, *key: int) -> np.ndarray:
    return pipe(label_map, noise_seed(*key), num_images_per_label_map=1, output_type="np_uint8").images[0]


def values_of(result: dict[str, Any]) -> dict[str, float | None]:
    return {name: summary["mean"] for name, summary in result["values"].items()}


@pytest.mark.slow
@pytest.mark.parametrize("window", [32, 64])
def test_grid_artifacts_are_those_of_the_pipelines_images(results: Path, data: Path, model: Path, window: int):
    result = protocols_of(results)[f"grid_artifacts_{window}"]
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model)
    label_maps = read(data, "labels")
    options = dict(PROTOCOLS[f"grid_artifacts_{window}"].metric_options)
    assert options["window"] == window
    real, fake = GridArtifacts(**options), GridArtifacts(**options)
    real.update(read(data, "images"), label_maps)
    fake.update([image_of(pipe, label_map, 0, i) for i, label_map in enumerate(label_maps)], label_maps)
    expected = grid_artifact_scores(real, fake, NUM_LABELS + 251, 255)  # the files hold 255 for void
    values = values_of(result)
    for name in ("grid_artifacts", "grid_artifacts_ratio", "spectrum_distance", "num_windows"):
        assert values[name] == pytest.approx(expected[name], rel=1e-9), name
    assert values["num_windows"] > 2
    periods = [8, 4, 8 / 3, 2] if window == 32 else [16, 8, 4, 2]
    found = [values[f"grid_artifacts_period_{period:.3g}"] for period in periods]
    assert found == pytest.approx(expected["per_period_grid_artifacts"], rel=1e-9)
    assert np.mean(found) == pytest.approx(values["grid_artifacts"])
    assert result["real_photos"]["grid_artifacts"] == pytest.approx(expected["grid_artifacts_real_photos"], rel=1e-9)
    beside = result["per_class"]["grid_artifacts, real photos"]
    assert beside[:VOID] == pytest.approx(expected["per_class_grid_artifacts_real_photos"][:VOID])
    assert beside[VOID] is None and len(beside) == NUM_LABELS
    assert result["facts"]["metric_options"]["window"] == window and f"windows of {window}" in result["facts"]["void"]


def test_variety_is_that_of_the_pipelines_images(results: Path, data: Path, model: Path, network: dict[str, str]):
    result = protocols_of(results)[f"variety_backbone_{COPIES}_images"]
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model)
    extractor = load_extractor(network["features"], network["feature_weights"])

    def distances(images: list[np.ndarray]) -> torch.Tensor:
        return level_distances(extractor.levels(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()))

    photos, generated = PhotoVariety(255), GeneratedVariety()
    pairs = list(zip(read(data, "images"), read(data, "labels"), strict=True))
    for index, pair in enumerate(pairs):
        photos.add(index, *pair)
    for index, (_, label_map) in enumerate(pairs):
        photos.add_distances(index, distances([pairs[row][0] for row in photos.nearest(index, COPIES)]))
        images = [image_of(pipe, label_map, 0, index, copy) for copy in range(COPIES)]
        generated.add(index, [class_colors(image, label_map) for image in images], distances(images))
    expected = variety_scores(photos, generated, NUM_LABELS + 251, 255)
    for name, value in values_of(result).items():
        assert value == pytest.approx(expected[name], rel=1e-5), name
    assert 0 < expected["color_spread_ratio"] and 0 < expected["feature_spread_ratio"] < 1
    assert result["real_photos"] == {
        name: pytest.approx(expected[f"{name}_real_photos"], rel=1e-5)
        for name in ("color_spread", "chroma_spread", "feature_spread")
    }
    per_class = result["per_class"]["color_spread, real photos"]
    assert per_class == pytest.approx(expected["per_class_color_spread_real_photos"][:NUM_LABELS])
    facts = result["facts"]
    assert (
        facts["images"].startswith("3 generated images per val label map")
        and "the 2 with the nearest" in facts["images"]
    )
    assert facts["features"] == "timm:test_resnet" and len(facts["weights_sha256"]) == 64
    assert facts["input_range"].endswith("all levels") and "dimensions" not in facts


def test_report_and_card_show_the_photos_beside(results: Path, model: Path):
    reference = protocols_of(results)["grid_artifacts_32"]["real_photos"]["grid_artifacts"]
    page, card = (results / "report.html").read_text(), (model / "README.md").read_text()
    assert "Grid artifacts, periods 8, 4, 8/3, 2" in page and f"<td>{reference:.4g}</td>" in page
    [row] = [line for line in card.splitlines() if line.startswith("| Grid artifacts, periods 8, 4, 8/3, 2 ")]
    assert row.split("|")[4].strip() == f"{reference:.4g}"
    entries = {entry.metric_name: entry for entry in ModelCard.load(model / "README.md").data.eval_results}
    entry = entries["Grid artifacts, periods 16, 8, 4, 2 (grid_artifacts_64)"]
    assert entry.metric_args["real_photos"] > 0
    assert f"colour spread, times that of real photos (variety_backbone_{COPIES}_images)" in entries
    header = (results / "per_class.csv").read_text().splitlines()[0]
    assert "grid_artifacts (grid_artifacts_32)" in header and "color_spread, real photos (variety" in header


def test_validation_gives_the_same_values(results: Path, data: Path, model: Path, network: dict[str, str]):
    dataset = SemanticImageDataset.from_folder(data, "val", JointTransform(SIZE, horizontal_flip=0.0))
    options = network | {"images_per_label_map": COPIES}
    evaluation = prepare_validation(dataset, ["grid_artifacts", "variety"], batch_size=2, **options)
    generator = SemanticImageSynthesisPipeline.from_pretrained(model).generator_model
    values = validate(evaluation, generator)
    protocols = protocols_of(results)
    for name in ("grid_artifacts_32", f"variety_backbone_{COPIES}_images"):
        for value in ("grid_artifacts", "color_spread", "feature_spread_ratio"):
            if value in protocols[name]["values"]:
                assert values[f"{name}/{value}"] == protocols[name]["values"][value]["mean"]
        for value, number in protocols[name]["real_photos"].items():
            if "period" not in value and value != "num_windows":
                assert values[f"{name}/{value}_real_photos"] == number
    assert validate(evaluation, generator) == values


def test_real_photos_have_no_variety_but_grid_artifacts(
    results: Path, data: Path, network: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    arguments = ["--real_only", "--image_size", *map(str, SIZE), "--metrics", "grid_artifacts", "variety"]
    assert run(command(data, network, tmp_path, *arguments)) == 0
    assert "variety_backbone is skipped: there is one picture per label map" in caplog.text
    [(name, result)] = protocols_of(tmp_path).items()
    reference = protocols_of(results)["grid_artifacts_32"]["real_photos"]["grid_artifacts"]
    assert (name, values_of(result)["grid_artifacts"]) == ("grid_artifacts_32", reference)
    assert not {"grid_artifacts_ratio", "spectrum_distance"} & values_of(result).keys()  # 1 and 0 by definition


def test_small_maps_say_that_no_window_fits(
    tiny_dataset_dir: Path, tiny_checkpoint_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    arguments = ["--model", str(tiny_checkpoint_dir), "--protocols", "grid_artifacts_64"]
    assert run(command(tiny_dataset_dir, {}, tmp_path, *arguments)) == 0
    result = protocols_of(tmp_path)["grid_artifacts_64"]
    values = values_of(result)
    assert values["num_windows"] == 0 and values["grid_artifacts"] is None and values["grid_artifacts_ratio"] is None
    assert values["spectrum_distance"] > 0 and result["per_class"]["grid_artifacts"] == [None] * NUM_LABELS
    assert "no window of 64x64 pixels lies inside one class" in caplog.text


def test_pairs_of_a_page_take_both(data: Path, model: Path, network: dict[str, str]):
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model)
    pairs = list(zip(read(data, "images"), read(data, "labels"), strict=True))[:3]
    results = evaluate_pairs(pipe, pairs, ["grid_artifacts", "variety"], batch_size=1, **network)
    assert {"grid_artifacts_32", "variety_backbone_4_images"} == results["protocols"].keys()
    assert results["protocols"]["variety_backbone_4_images"]["real_photos"]["color_spread"] > 0
    with pytest.raises(ValueError, match="compares with real photos: give photos"):
        evaluate_pairs(pipe, [(None, pairs[0][1])], ["grid_artifacts"])


def test_variety_wants_a_network_with_levels(tiny_dataset_dir: Path):
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    protocols = build.choose_protocols(["variety"], features="inception")
    with pytest.raises(ValueError, match="needs the levels of a timm network: --features timm:NAME, not inception"):
        build.build_measures(protocols, dataset.spec, (32, 64), features="inception")

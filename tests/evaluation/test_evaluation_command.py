# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The evaluation command and its functions, on drawn scenes with random networks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from command_runs import METRICS, NAMES, channels_first, command, load, model_arguments, run
from huggingface_hub import ModelCard
from PIL import Image

from dpsims_hf.evaluation.features import load_extractor
from dpsims_hf.evaluation.segmenters import load_segmenter


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[2]
VOID = 4


def without_time(results: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in results.items() if key != "throughput"}


def read(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


# -- values -----------------------------------------------------------------------------------------------------------


def test_the_distance_is_that_of_the_pipelines_images(
    evaluated: Path, images: dict, tiny_dataset_dir: Path, networks: dict[str, str]
):
    """An independent path: the pipeline's images, SciPy's matrix root."""
    result = load(evaluated)["protocols"]["fid_backbone"]["values"]["fid"]
    extractor = load_extractor(networks["features"], networks["feature_weights"])
    real = extractor(channels_first(read(tiny_dataset_dir / "val" / "images"))).double().numpy()
    expected = []
    for seed in (0, 1):
        fake = extractor(channels_first(np.stack(list(images[seed].values())))).double().numpy()
        covariances = [np.cov(features, rowvar=False) for features in (real, fake)]
        root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
        gap = ((real.mean(0) - fake.mean(0)) ** 2).sum()
        expected.append(gap + np.trace(covariances[0] + covariances[1] - 2 * root))
    assert result["per_seed"] == pytest.approx(expected, rel=1e-4)
    assert result["mean"] == pytest.approx(np.mean(expected), rel=1e-4)
    assert result["std"] == pytest.approx(abs(expected[0] - expected[1]) / np.sqrt(2), rel=1e-2, abs=1e-6)


def numpy_scores(segmenter: Any, images: np.ndarray, label_maps: np.ndarray) -> tuple[float, float]:
    """Mean IoU and pixel accuracy by plain NumPy; the segmenter has the classes of the set without void, its last."""
    seen = segmenter(channels_first(images)).numpy()
    known = label_maps != 255
    hits = [(known & (seen == label) & (label_maps == label)).sum() for label in range(VOID)]
    union = [(known & ((seen == label) | (label_maps == label))).sum() for label in range(VOID)]
    ious = [hit / total for hit, total in zip(hits, union, strict=True) if total]
    return float(np.mean(ious)), float(sum(hits) / known.sum())


def test_mean_iou_is_that_of_the_pipelines_images(
    evaluated: Path, images: dict, tiny_dataset_dir: Path, networks: dict[str, str]
):
    result = load(evaluated)["protocols"]["miou_own"]
    segmenter = load_segmenter(networks["segmenter"])
    label_maps = read(tiny_dataset_dir / "val" / "labels")
    scores = [numpy_scores(segmenter, np.stack(list(images[seed].values())), label_maps) for seed in (0, 1)]
    assert result["values"]["mean_iou"]["per_seed"] == pytest.approx([score[0] for score in scores], abs=1e-12)
    assert result["values"]["pixel_accuracy"]["per_seed"] == pytest.approx([score[1] for score in scores], abs=1e-12)
    ceiling = numpy_scores(segmenter, read(tiny_dataset_dir / "val" / "images"), label_maps)
    assert result["real_photos"]["mean_iou"] == pytest.approx(ceiling[0], abs=1e-12)
    assert result["real_photos"]["pixel_accuracy"] == pytest.approx(ceiling[1], abs=1e-12)


@pytest.mark.slow
def test_two_processes_give_exactly_what_one_gives(
    evaluated: Path, tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str], tmp_path: Path
):
    card = (model_dir / "README.md").read_text()
    arguments = command(tiny_dataset_dir, networks, tmp_path, *model_arguments(model_dir))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    result = subprocess.run(
        [*launch, "-m", "dpsims_hf.evaluation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **threads},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert load(tmp_path)["throughput"]["processes"] == 2
    assert without_time(load(tmp_path)) == without_time(load(evaluated))
    assert (tmp_path / "per_class.csv").read_bytes() == (evaluated / "per_class.csv").read_bytes()
    assert (model_dir / "README.md").read_text() == card  # written again with the same content
    assert result.stdout.count("measured on") == 1  # only the main process talks


def test_a_folder_of_pictures_is_measured_by_the_same_ruler(
    evaluated: Path, images: dict, tiny_dataset_dir: Path, networks: dict[str, str], tmp_path: Path
):
    (tmp_path / "pictures").mkdir()
    for name, image in images[1].items():
        Image.fromarray(image).save(tmp_path / "pictures" / f"{name}.png")
    arguments = ["--images", str(tmp_path / "pictures"), "--metrics", *METRICS]
    assert run(command(tiny_dataset_dir, networks, tmp_path / "out", *arguments)) == 0
    measured, expected = load(tmp_path / "out")["protocols"], load(evaluated)["protocols"]
    several = {"ms_ssim_3_images_2_scales", "variety_backbone_3_images"}
    assert measured.keys() == expected.keys() - several  # one picture per label map
    for protocol in measured:
        assert expected[protocol]["facts"] == measured[protocol]["facts"]
        for value, summary in measured[protocol]["values"].items():
            assert summary["per_seed"][0] == expected[protocol]["values"][value]["per_seed"][1], (protocol, value)


def test_real_photos_alone_give_the_ceiling(
    evaluated: Path, tiny_dataset_dir: Path, networks: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    arguments = ["--real_only", "--image_size", "32", "64", "--metrics", "fid", "mean_iou"]
    assert run(command(tiny_dataset_dir, networks, tmp_path, *arguments)) == 0
    protocols = load(tmp_path)["protocols"]
    assert list(protocols) == ["miou_own"]
    measured = {name: summary["mean"] for name, summary in protocols["miou_own"]["values"].items()}
    assert measured == load(evaluated)["protocols"]["miou_own"]["real_photos"]
    assert "fid_backbone is skipped: the distance of a set to itself is 0 by definition" in caplog.text


def test_all_facts_stand_beside_the_values(evaluated: Path, model_dir: Path, networks: dict[str, str]):
    results = load(evaluated)
    assert results["source"]["model"] == "tiny"
    assert len(results["source"]["weights_sha256"]) == 64
    assert (results["dataset"]["name"], results["dataset"]["split"]) == ("synthetic_streets", "val")
    assert (results["dataset"]["num_images"], results["image_size"], results["seeds"]) == (4, [32, 64], [0, 1])
    assert results["versions"]["torch"] == torch.__version__.split("+")[0]
    facts = results["protocols"]["fid_backbone"]["facts"]
    assert (facts["features"], facts["resize"], facts["dimensions"]) == ("timm:test_resnet", "none", 96)
    assert len(facts["weights_sha256"]) == 64
    facts = results["protocols"]["miou_own"]["facts"]
    assert facts["ignored_labels"] == [VOID] and "void pixels" in facts["void"]
    assert results["protocols"]["ms_ssim_3_images_2_scales"]["facts"]["scales"] == 2
    assert set(results["protocols"]["miou_own"]["random_weights"]) == set(results["protocols"]["miou_own"]["values"])
    assert "4 real images for 96 feature dimensions" in results["protocols"]["fid_backbone"]["warnings"][0]
    speed = results["throughput"]
    assert speed["images_per_second"] > 0
    assert {"generation", "features", "segmenter", "statistics"} <= speed["shares"].keys()
    assert sum(speed["shares"].values()) == pytest.approx(1.0, abs=0.01)
    assert str(Path(networks["segmenter"]).parent) not in json.dumps(results)  # no path of this machine


def test_report_names_protocols_and_needs_no_network(evaluated: Path):
    page = (evaluated / "report.html").read_text()
    assert "fid_backbone" in page and "miou_own" in page
    assert "http://" not in page and "https://" not in page
    rows = (evaluated / "per_class.csv").read_text().splitlines()
    assert rows[0].startswith("id,class,iou (miou_own),")
    assert [row.split(",")[1] for row in rows[1:]] == ["sky", "building", "road", "car", "void"]
    assert rows[-1].strip(",") == "4,void"  # void is no class
    for name in ("worst.png", "best.png"):
        assert f'src="{name}"' in page
        with Image.open(evaluated / name) as grid:
            assert grid.width >= 4 * 64 and grid.height >= 4 * 32


def test_card_gets_results_that_the_hub_reads(evaluated: Path, model_dir: Path):
    card = ModelCard.load(model_dir / "README.md")
    results = {result.metric_name: result for result in card.data.eval_results}
    fid = results["FID of a timm backbone (fid_backbone)"]
    expected = load(evaluated)["protocols"]
    assert fid.metric_value == expected["fid_backbone"]["values"]["fid"]["mean"]
    assert (fid.metric_type, fid.dataset_split, fid.metric_args["num_images"]) == ("fid_backbone", "val", 4)
    mean_iou = results["mean IoU (miou_own)"]
    assert mean_iou.metric_args["real_photos"] == expected["miou_own"]["real_photos"]["mean_iou"]
    assert card.text.count("<!-- evaluation: start -->") == 1
    assert card.text.index("## Results") < card.text.index("| mean IoU | `miou_own` |") < card.text.index("## Limits")
    assert "Not measured." not in card.text


# -- messages ---------------------------------------------------------------------------------------------------------


def error_of(capsys: pytest.CaptureFixture, arguments: list[str]) -> str:
    """The one line that the command prints when it stops with status 2."""
    capsys.readouterr()
    assert run(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def write_pictures(folder: Path, names: list[str], size: tuple[int, int] = (32, 64)) -> Path:
    folder.mkdir()
    for name in names:
        Image.fromarray(np.full((*size, 3), 90, dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def test_wrong_pictures_are_named(
    tiny_dataset_dir: Path,
    networks: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
):
    def message(folder: Path, *more: str) -> str:
        arguments = ["--images", str(folder), "--metrics", "color_texture", *more]
        return error_of(capsys, command(tiny_dataset_dir, {}, tmp_path / "out", *arguments))

    (tmp_path / "empty").mkdir()
    assert "empty: no pictures in it" in message(tmp_path / "empty")
    assert "no such folder" in message(tmp_path / "absent")
    missing = write_pictures(tmp_path / "missing", NAMES[:3])
    assert "no picture for 1 of 4 label maps: scene_0011" in message(missing)
    corrupt = write_pictures(tmp_path / "corrupt", NAMES)
    path = corrupt / "scene_0009.png"
    path.write_bytes(path.read_bytes()[:60])
    assert str(path) in message(corrupt)
    large = write_pictures(tmp_path / "large", NAMES, (64, 64))
    text = message(large, "--image_size", "32", "64")
    assert "scene_0008.png: 64x64 (height x width), label maps are 32x64" in text and "--resize_images" in text

    write_pictures(tmp_path / "extra", [*NAMES, "unknown"])
    arguments = ["--images", str(tmp_path / "extra"), "--metrics", "color_texture"]
    assert run(command(tiny_dataset_dir, {}, tmp_path / "out", *arguments)) == 0
    assert "1 pictures belong to no label map: unknown.png; not measured" in caplog.text
    arguments = ["--images", str(large), "--metrics", "color_texture", "--image_size", "32", "64", "--resize_images"]
    assert run(command(tiny_dataset_dir, {}, tmp_path / "out", *arguments)) == 0
    assert load(tmp_path / "out")["source"]["resize"] == "Pillow bicubic, antialiased, 8 bit"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_corrupt_photo_of_the_set_is_named(
    tiny_dataset_dir: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture, workers: str
):
    data = shutil.copytree(tiny_dataset_dir, tmp_path / "data")
    path = data / "val" / "images" / "scene_0010.png"
    path.write_bytes(b"no image")
    arguments = ["--model", str(model_dir), "--metrics", "color_texture", "--workers", workers]
    text = error_of(capsys, command(data, {}, tmp_path / "out", *arguments))
    assert text.startswith(f"error: {path}: cannot be read as an image")


def test_label_spaces_that_do_not_fit_give_both_counts(
    tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
):
    content = json.loads((tiny_dataset_dir / "classes.json").read_text())
    renamed = {**content, "classes": [*content["classes"]]}
    renamed["classes"][0] = {**renamed["classes"][0], "name": "heaven"}
    (tmp_path / "renamed.json").write_text(json.dumps(renamed))
    arguments = ["--model", str(model_dir), "--metrics", "mean_iou", "--classes_file", str(tmp_path / "renamed.json")]
    text = error_of(capsys, command(tiny_dataset_dir, networks, tmp_path, *arguments))
    assert "the dataset has 4 classes, the segmenter 4, and none of the same name for: heaven" in text
    more = {**content, "classes": [*content["classes"], {"id": 5, "name": "tree"}]}
    (tmp_path / "more.json").write_text(json.dumps(more))
    arguments = ["--model", str(model_dir), "--metrics", "color_texture"]
    arguments += ["--classes_file", str(tmp_path / "more.json")]
    text = error_of(capsys, command(tiny_dataset_dir, {}, tmp_path, *arguments))
    assert "the model has 5 classes and" in text and "has 6 (void included)" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "MODEL", "--metrics", "mean_iou"], "mean_iou needs a segmenter: --segmenter"),
        (["--model", "MODEL", "--protocols", "fid_best"], "unknown protocol 'fid_best': choose one of fid_legacy"),
        (["--model", "MODEL"], "name metrics (fid, kid"),
        (["--model", "DATA", "--metrics", "color_texture"], "is no checkpoint folder: it has no config.json"),
        (["--metrics", "fid"], "nothing to measure: give --model, --images or --real_only"),
        (["--real_only", "--metrics", "fid", "--image_size", "32", "64"], "no metric is left"),
        (["--model", "MODEL", "--metrics", "fid", "--max_images", "0"], "max_images=0"),
        (["--images", "DATA", "--metrics", "fid", "--write_card"], "--write_card is about a model"),
        (["--model", "x", "--metrics", "fid", "--write_card", "--max_images", "4"], "leave out --max_images"),
    ],
)
def test_what_cannot_be_measured(
    tiny_dataset_dir: Path,
    model_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    arguments: list[str],
    text: str,
):
    paths = {"MODEL": str(model_dir), "DATA": str(tiny_dataset_dir)}
    arguments = [paths.get(argument, argument) for argument in arguments]
    assert text in error_of(capsys, command(tiny_dataset_dir, {}, tmp_path, *arguments))

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
import timm
import torch
from accelerate.state import AcceleratorState
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import save_file

from dpsims_hf import OASISDiscriminator, OASISDiscriminatorConfig, SemanticImageSynthesisPipeline
from dpsims_hf.data import DatasetSpec, JointTransform, SemanticImageDataset
from dpsims_hf.evaluation import build
from dpsims_hf.evaluation.__main__ import main
from dpsims_hf.evaluation.features import load_extractor
from dpsims_hf.evaluation.runner import Evaluation, choose_rows
from dpsims_hf.evaluation.segmenters import load_segmenter
from dpsims_hf.evaluation.sources import noise_seed
from dpsims_hf.evaluation.train_segmenter import SegmenterOptions, train
from dpsims_hf.evaluation.validation import evaluate_pairs, prepare_validation, validate


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[1]
METRICS = ["fid", "kid", "precision_recall", "mean_iou", "color_texture", "ms_ssim", "grid_artifacts", "variety"]
VOID = 4


def run(arguments: list[str]) -> int:
    """The command in this process; other tests may have left an accelerator of other settings behind."""
    AcceleratorState._reset_state(True)
    try:
        return main(arguments)
    finally:
        AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, tiny_dataset_dir: Path) -> dict[str, str]:
    """Weights of a small random backbone, and a segmenter after one step of training."""
    folder = tmp_path_factory.mktemp("networks")
    weights = str(folder / "backbone.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model("test_resnet").state_dict(), weights)
        options = {"backbone": "test_resnet", "backbone_weights": weights, "image_size": (32, 64)}
        train(SegmenterOptions(str(tiny_dataset_dir), str(folder / "segmenter"), **options, steps=1, device="cpu"))
    return {"features": "timm:test_resnet", "feature_weights": weights, "segmenter": str(folder / "segmenter")}


@pytest.fixture(scope="module")
def model_dir(tiny_checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkpoint whose card may be written."""
    return shutil.copytree(tiny_checkpoint_dir, tmp_path_factory.mktemp("model") / "tiny")


def command(data: Path, networks: dict[str, str], output: Path, *arguments: str) -> list[str]:
    options = ["--dataset_dir", str(data), "--output_dir", str(output), "--batch_size", "1", "--cpu"]
    return [*options, *(part for name, value in networks.items() for part in (f"--{name}", value)), *arguments]


def model_arguments(model: Path) -> list[str]:
    arguments = ["--model", str(model), "--metrics", *METRICS, "--seeds", "0", "1", "--images_per_label_map", "3"]
    return [*arguments, "--with_random_weights", "--write_card"]


@pytest.fixture(scope="module")
def evaluated(
    tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The output of one full run in this process."""
    output = tmp_path_factory.mktemp("evaluated")
    assert run(command(tiny_dataset_dir, networks, output, *model_arguments(model_dir))) == 0
    return output


def load(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def without_time(results: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in results.items() if key != "throughput"}


@pytest.fixture(scope="module")
def images(tiny_dataset_dir: Path, model_dir: Path) -> dict[int, dict[str, np.ndarray]]:
    """Seed -> name -> the image that the pipeline makes for a label map, (height, width, 3) uint8."""
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    labels = sorted((tiny_dataset_dir / "val" / "labels").iterdir())
    options = {"num_images_per_label_map": 1, "output_type": "np"}
    return {
        seed: {path.stem: pipe(path, noise_seed(seed, i), **options).images[0] for i, path in enumerate(labels)}
        for seed in (0, 1)
    }


def read(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


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


NAMES = [f"scene_{number:04d}" for number in range(8, 12)]


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
    assert "the data set has 4 classes, the segmenter 4, and none of the same name for: heaven" in text
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


# -- parts ------------------------------------------------------------------------------------------------------------


def test_protocols_follow_from_what_is_given():
    def names(*arguments: Any, **more: Any) -> list[str]:
        return [protocol.name for protocol in build.choose_protocols(*arguments, **more)]

    assert names(["fid", "kid"]) == ["fid_legacy", "kid_legacy"]
    assert names(["fid", "kid"], features="timm:resnet50") == ["fid_backbone", "kid_backbone"]
    assert names(["fid"], features="inception_clean") == ["fid_clean"]
    assert names(["fid", "lpips"], ["fid_clean", "fid_legacy"]) == ["fid_clean", "fid_legacy", "lpips_vgg"]
    with pytest.raises(ValueError, match="no protocol for kid with features 'inception_clean'"):
        names(["kid"], features="inception_clean")


def test_lpips_is_the_mean_over_pairs_then_over_label_maps(
    tiny_dataset_dir: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    """With the distance |mean a - mean b| in place of the network."""

    def distances(images: torch.Tensor, network: Any) -> torch.Tensor:
        means = images.mean(dim=(1, 2, 3)).double()
        first, second = torch.triu_indices(len(means), len(means), 1)
        return (means[first] - means[second]).abs()

    monkeypatch.setattr(build, "load_lpips", lambda device: None)
    monkeypatch.setattr(build, "lpips_distances", distances)
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    evaluation = prepare_validation(dataset, ["lpips"], batch_size=1, images_per_label_map=3)
    values = validate(evaluation, pipe.generator_model, seed=5)
    expected = []
    for index in range(len(dataset)):
        seeds = [noise_seed(5, index, copy) for copy in range(3)]
        made = pipe(dataset.label_map(index), seed=seeds, output_type="np").images
        means = made.reshape(3, -1).mean(axis=1) / 127.5
        expected.append(np.mean([abs(means[a] - means[b]) for a, b in ((0, 1), (0, 2), (1, 2))]))
    assert values == {"lpips_vgg_3_images/lpips": pytest.approx(np.mean(expected), rel=1e-3)}


def test_validation_gives_the_commands_values_and_leaves_the_random_state(
    evaluated: Path, tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str]
):
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    evaluation = prepare_validation(dataset, ["fid", "mean_iou"], batch_size=1, **networks)
    generator = SemanticImageSynthesisPipeline.from_pretrained(model_dir).generator_model
    state = torch.random.get_rng_state()
    first = validate(evaluation, generator, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert validate(evaluation, generator, seed=1) == first
    protocols = load(evaluated)["protocols"]
    assert first["fid_backbone/fid"] == protocols["fid_backbone"]["values"]["fid"]["per_seed"][1]
    assert first["miou_own/mean_iou"] == protocols["miou_own"]["values"]["mean_iou"]["per_seed"][1]


def test_a_handful_of_pairs(
    evaluated: Path, tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str], tmp_path: Path
):
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    folder = tiny_dataset_dir / "val"
    pairs = [(folder / "images" / f"{name}.png", Image.open(folder / "labels" / f"{name}.png")) for name in NAMES]
    seen = []

    def progress(iterable: Any, desc: str, total: int) -> Any:
        seen.append((desc, total))
        return iterable

    results = evaluate_pairs(pipe, pairs, ["mean_iou"], progress=progress, segmenter=networks["segmenter"])
    expected = load(evaluated)["protocols"]["miou_own"]
    ceiling = results["protocols"]["miou_own"]["real_photos"]
    assert ceiling["mean_iou"] == expected["real_photos"]["mean_iou"]
    mean_iou = results["protocols"]["miou_own"]["values"]["mean_iou"]["per_seed"][0]
    assert mean_iou == pytest.approx(expected["values"]["mean_iou"]["per_seed"][0], abs=0.01)  # other batch size
    assert ("real photos", 1) in seen and ("seed 0", 1) in seen
    assert len(results["examples"]) == 4
    for example in results["examples"]:
        for column in ("label", "real", "generated", "predicted label"):
            assert example[column].shape == (32, 64, 3) and example[column].dtype == np.uint8
        assert "pixel accuracy" in example["caption"]
    with pytest.raises(ValueError, match="no pairs"):
        evaluate_pairs(pipe, [], ["mean_iou"])
    with pytest.raises(ValueError, match="has no discriminator"):
        evaluate_pairs(pipe, pairs, ["mean_iou"])


def test_pairs_can_be_judged_by_the_models_own_discriminator(tiny_dataset_dir: Path, model_dir: Path):
    spec = DatasetSpec.from_folder(tiny_dataset_dir)
    config = OASISDiscriminatorConfig.from_preset(
        "tiny", num_labels=None, id2label=spec.id2label, void_label_id=spec.void_label_id
    )
    source = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    discriminator = OASISDiscriminator(config).eval()
    pipe = SemanticImageSynthesisPipeline(source.generator_model, source.processor, discriminator)
    photo = np.asarray(Image.open(tiny_dataset_dir / "val" / "images" / "scene_0008.png"))
    label_map = np.asarray(Image.open(tiny_dataset_dir / "val" / "labels" / "scene_0008.png"))
    results = evaluate_pairs(pipe, [(photo, label_map)], ["mean_iou"])
    [(name, result)] = results["protocols"].items()
    assert name == "miou_discriminator"
    with torch.no_grad():
        values = channels_first(photo[None]).float() / 127.5 - 1
        seen = discriminator(values).segmentation_logits[:, :-1].argmax(dim=1)[0].numpy()
    known = label_map != 255
    assert result["real_photos"]["pixel_accuracy"] == pytest.approx((seen == label_map)[known].mean())


def test_rows_are_spread_evenly():
    assert choose_rows(10, None) == choose_rows(10, 12) == list(range(10))
    assert choose_rows(10, 4) == [0, 2, 5, 7]


def test_noise_depends_on_seed_image_and_copy():
    seeds = {noise_seed(*key) for key in [(0, 0), (0, 1), (1, 0), (0, 0, 1), (0, 1, 1)]}
    assert len(seeds) == 5 and all(0 <= seed < 2**31 for seed in seeds)


def test_a_subset_is_said_to_be_one(tiny_dataset_dir: Path, model_dir: Path, tmp_path: Path):
    arguments = ["--model", str(model_dir), "--metrics", "color_texture", "--max_images", "2"]
    assert run(command(tiny_dataset_dir, {}, tmp_path, *arguments)) == 0
    results = load(tmp_path)
    assert results["dataset"]["num_images"] == 2 and results["dataset"]["split_images"] == 4
    assert "2 of 4 label maps: values do not compare" in results["warnings"][0]
    assert (tmp_path / "examples.png").is_file()  # without a segmenter there is no worst and best


def test_evaluation_without_measures_of_real_photos_reads_none(tiny_dataset_dir: Path):
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    protocols = build.choose_protocols(["ms_ssim"])
    evaluation = Evaluation(dataset, build.build_measures(protocols, dataset.spec, (32, 64)), range(4))
    assert evaluation.real == {}

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The papers' scores by command: obj-mIoU, MS-SSIM as published, images for other tools, a discriminator's mIoU."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_runs import command, load, run
from PIL import Image
from torch.nn import functional as F

from dpsims_hf import (
    DPSIMSGenerator,
    OASISDiscriminator,
    OASISDiscriminatorConfig,
    SemanticImageSynthesisPipeline,
)
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.evaluation.build import build_measures, object_labels
from dpsims_hf.evaluation.metrics.confusion import ConfusionMatrix
from dpsims_hf.evaluation.metrics.diversity import ms_ssim_similarities, pytorch_ms_ssim_similarities
from dpsims_hf.evaluation.protocols import get_protocol
from dpsims_hf.hub import save_model_folder


# DP-GAN, Table 2: class -> IoU of SPADE, OASIS and DP-GAN, and the obj-mIoU of each.
TABLE_2 = {
    "road": (97.5, 96.9, 97.5),
    "sidewalk": (80.8, 79.2, 81.9),
    "building": (88.5, 85.1, 87.2),
    "wall": (54.3, 70.3, 71.4),
    "fence": (50.6, 64.2, 72.7),
    "pole": (40.4, 41.6, 46.9),
    "traffic light": (39.0, 50.7, 55.5),
    "traffic sign": (41.9, 49.9, 60.3),
    "vegetation": (88.7, 85.0, 87.3),
    "terrain": (69.1, 74.8, 72.9),
    "sky": (92.0, 92.0, 92.4),
    "person": (66.2, 64.9, 67.4),
    "rider": (41.5, 54.0, 55.5),
    "car": (89.1, 88.4, 89.9),
    "truck": (64.6, 65.6, 81.5),
    "bus": (73.2, 79.9, 83.1),
    "train": (42.1, 63.4, 73.9),
    "motorcycle": (29.7, 53.9, 55.3),
    "bicycle": (61.5, 63.7, 66.9),
}


def matrix_of(ious: list[float], objects: list[int]) -> ConfusionMatrix:
    """1000 pixels of each class, of which so many are found and the rest predicted outside of all classes."""
    matrix = ConfusionMatrix(len(ious), object_labels=objects)
    for label, iou in enumerate(ious):
        found = round(10 * iou)
        matrix.add_counts({(label, label): found, (label, 99): 1000 - found})
    return matrix


@pytest.mark.parametrize(("system", "published"), [(0, 53.6), (1, 61.5), (2, 66.9)])
def test_obj_miou_is_that_of_table_2(system: int, published: float):
    spec = load_label_preset("cityscapes_train_ids")
    ious = [TABLE_2[name][system] for name in spec.labels[:19]]
    objects = object_labels(spec)
    # The paper's own classes have one decimal: their mean may be off by 0.1 (DP-GAN's is 66.93, SPADE's 53.56).
    assert 100 * matrix_of(ious, objects).compute()["object_mean_iou"] == pytest.approx(published, abs=0.1)
    assert len(objects) == 11
    things = matrix_of(ious, [label for label in objects if label in spec.thing_ids])
    assert len(things.object_labels) == 8 and 100 * things.compute()["object_mean_iou"] > published + 1


def test_objects_of_other_sets_are_what_has_instances():
    assert len(object_labels(load_label_preset("cityscapes"))) == 11
    coco = load_label_preset("coco_stuff")
    assert object_labels(coco) == list(coco.thing_ids)


def noisy_images(size: tuple[int, int], noise: float) -> torch.Tensor:
    """Three pictures of one layout, [-1, 1]."""
    rng = torch.Generator().manual_seed(1)
    base = F.interpolate(torch.rand(1, 3, 12, 12, generator=rng), size=size, mode="bicubic").clamp(0, 1)
    fine = F.interpolate(torch.rand(3, 3, 40, 40, generator=rng), size=size, mode="bilinear")
    return (base + noise * fine).clamp(0, 1) * 2 - 1


@pytest.mark.parametrize(
    ("size", "noise", "expected"),
    [
        ((176, 208), 0.1, (0.9818062782, 0.9817230701, 0.9822788834)),
        ((193, 201), 0.3, (0.8728186488, 0.8708209991, 0.8753591179)),
        ((256, 256), 0.6, (0.6338798999, 0.6186550259, 0.6373620629)),
    ],
)
def test_ms_ssim_is_that_of_pytorch_msssim(size: tuple[int, int], noise: float, expected: tuple[float, ...]):
    """Values of pytorch_msssim 1.0.0, ms_ssim(a, b, data_range=1, size_average=False), on these images."""
    values = pytorch_ms_ssim_similarities(noisy_images(size, noise))
    assert values.tolist() == pytest.approx(expected, abs=2e-6)
    assert values.tolist() != pytest.approx(ms_ssim_similarities(noisy_images(size, noise)).tolist(), abs=2e-6)


def test_ms_ssim_as_published_has_a_name_and_a_least_size():
    spec, protocol = load_label_preset("camvid"), get_protocol("ms_ssim_pytorch")
    measure = build_measures([protocol], spec, (256, 256))[0]
    assert measure.facts()["metric_options"] == {"implementation": "pytorch_msssim"}
    images = noisy_images((176, 208), 0.1)
    torch.testing.assert_close(measure.distances(images), pytorch_ms_ssim_similarities(images))
    with pytest.raises(ValueError, match="images of 160x208 are too small for pytorch_msssim's five scales"):
        pytorch_ms_ssim_similarities(images[:, :, :160])


# -- by command -------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_saved_images_are_the_pipelines_and_measure_alike(
    images: dict, model_dir: Path, tiny_dataset_dir: Path, networks: dict[str, str], tmp_path: Path
):
    folder = tmp_path / "images"
    arguments = ["--model", str(model_dir), "--metrics", "fid", "--seeds", "0", "1", "--save_images", str(folder)]
    assert run(command(tiny_dataset_dir, networks, tmp_path / "a", *arguments)) == 0
    for seed in (0, 1):
        saved = {path.stem: np.asarray(Image.open(path)) for path in (folder / f"seed_{seed}").iterdir()}
        assert saved.keys() == images[seed].keys()
        assert all(np.array_equal(saved[name], image) for name, image in images[seed].items())
    arguments = ["--images", str(folder / "seed_1"), "--metrics", "fid"]
    assert run(command(tiny_dataset_dir, networks, tmp_path / "b", *arguments)) == 0
    first, second = (load(tmp_path / name)["protocols"]["fid_backbone"]["values"]["fid"] for name in "ab")
    assert second["mean"] == pytest.approx(first["per_seed"][1], rel=1e-9)


@pytest.mark.integration
@pytest.mark.parametrize("metrics", [(), ("--metrics", "ms_ssim", "--images_per_label_map", "2")])
def test_images_are_saved_whatever_is_measured(
    metrics: tuple[str, ...], model_dir: Path, tiny_dataset_dir: Path, tmp_path: Path
):
    folder = tmp_path / "images"
    arguments = ["--model", str(model_dir), "--save_images", str(folder), *metrics]
    assert run(command(tiny_dataset_dir, {}, tmp_path / "out", *arguments)) == 0
    assert {path.name for path in folder.iterdir()} == {
        f"{path.stem}.png" for path in (tiny_dataset_dir / "val" / "labels").iterdir()
    }
    assert (tmp_path / "out").exists() is bool(metrics)


@pytest.mark.integration
def test_what_cannot_be_saved_is_one_line(
    model_dir: Path, tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old.png").write_bytes(b"")
    for arguments, words in (
        (["--model", str(model_dir), "--save_images", str(tmp_path / "full")], "full: not an empty folder"),
        (["--real_only", "--image_size", "32", "64", "--save_images", "x"], "--save_images is about a model"),
        (["--real_only", "--metrics", "mean_iou", "--segmenter", "discriminator"], "give --model"),
    ):
        assert run(command(tiny_dataset_dir, {}, tmp_path / "out", *arguments)) == 2
        assert words in capsys.readouterr().err


@pytest.fixture
def pair_dir(tiny_generator: DPSIMSGenerator, tmp_path: Path) -> Path:
    """A checkpoint with a discriminator that needs no backbone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        discriminator = OASISDiscriminator(OASISDiscriminatorConfig.from_preset("tiny", init_gain=1.0)).eval()
    return save_model_folder(
        tmp_path / "pair", tiny_generator, SYNTHETIC_SPEC.image_processor((32, 64)), discriminator
    )


@pytest.mark.integration
def test_the_discriminators_miou_on_photos_is_that_of_its_own_labels(
    pair_dir: Path, tiny_dataset_dir: Path, tmp_path: Path
):
    """OASIS, App. B.4; an independent path: `pipe.segment`, and NumPy."""
    arguments = ["--model", str(pair_dir), "--real_only", "--metrics", "mean_iou", "--segmenter", "discriminator"]
    assert run(command(tiny_dataset_dir, {}, tmp_path, *arguments)) == 0
    result = load(tmp_path)["protocols"]["miou_discriminator"]["values"]["mean_iou"]["mean"]
    pipe = SemanticImageSynthesisPipeline.from_pretrained(pair_dir)
    hits, union = np.zeros(4), np.zeros(4)  # the fifth class is void
    for photo in sorted((tiny_dataset_dir / "val" / "images").iterdir()):
        labels = np.asarray(Image.open(tiny_dataset_dir / "val" / "labels" / f"{photo.stem}.png"))
        seen, known = pipe.segment(photo).numpy(), labels != 255
        for label in range(4):
            hits[label] += (known & (seen == label) & (labels == label)).sum()
            union[label] += (known & ((seen == label) | (labels == label))).sum()
    assert result == pytest.approx(np.mean(hits[union > 0] / union[union > 0]), abs=1e-9)

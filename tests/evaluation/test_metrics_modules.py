# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The `evaluate` modules in metrics/: loaded from their folders, offline, in steps and at once, with clear errors."""

import re
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from dpsims_hf.evaluation import fid, improved_precision_recall, kid
from dpsims_hf.evaluation.metrics import feature_set


pytestmark = pytest.mark.integration


METRICS = Path(__file__).parents[2] / "metrics"
NAMES = (
    "color_texture_distance",
    "fid",
    "grid_artifacts",
    "kid",
    "lpips_diversity",
    "ms_ssim_diversity",
    "precision_recall",
    "semantic_consistency",
    "variety",
)


def load(name: str, **options):
    return evaluate.load(str(METRICS / name), **options)


def photos(n: int, seed: int, size: tuple[int, int] = (10, 12)) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(n)]


def vectors(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def label_maps(n: int, seed: int, num_labels: int = 3) -> list[np.ndarray]:
    return [np.random.default_rng([seed, i]).integers(0, num_labels, (10, 12), dtype=np.uint8) for i in range(n)]


def extractor(images: torch.Tensor) -> torch.Tensor:
    return torch.cat([images.float().mean((2, 3)), images.float().std((2, 3))[:, :1]], dim=1)


def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))


# name -> inputs of one compute (each list can be split into batches), options of every call, options of compute
CASES = {
    "fid": (lambda: {"predictions": vectors(12, 0), "references": vectors(12, 1)}, {}, {}),
    "kid": (lambda: {"predictions": vectors(12, 0), "references": vectors(12, 1)}, {}, {"subset_size": 6}),
    "precision_recall": (lambda: {"predictions": vectors(12, 0), "references": vectors(12, 1)}, {}, {"k": 2}),
    "semantic_consistency": (
        lambda: {"predictions": label_maps(6, 0, 4), "references": label_maps(6, 1)},
        {},
        {"num_labels": 3, "ignore_index": 2},
    ),
    "color_texture_distance": (
        lambda: {"predictions": photos(6, 0), "references": photos(6, 1), "label_maps": label_maps(6, 2)},
        {},
        {"num_labels": 3, "ignore_index": 1},
    ),
    "grid_artifacts": (
        lambda: {
            "predictions": photos(6, 0, (48, 64)),
            "references": photos(6, 1, (48, 64)),
            "label_maps": [np.full((48, 64), i % 3, dtype=np.uint8) for i in range(6)],
        },
        {},
        {"num_labels": 3, "ignore_index": 1},
    ),
    "variety": (
        lambda: {
            "predictions": [photos(3, i) for i in range(6)],
            "references": photos(6, 9),
            "label_maps": label_maps(6, 2),
        },
        {"distance": distance},
        {"num_labels": 3, "ignore_index": 1, "similar_photos": 3},
    ),
    "lpips_diversity": (lambda: {"predictions": [photos(3, i) for i in range(6)]}, {"distance": distance}, {}),
    "ms_ssim_diversity": (lambda: {"predictions": [photos(3, i, (11, 14)) for i in range(6)]}, {"scales": 1}, {}),
}


@pytest.mark.parametrize("name", NAMES)
def test_in_steps_equals_at_once_and_compute_starts_anew(name: str):
    inputs, options, compute_options = CASES[name]
    inputs = inputs()
    metric = load(name)
    at_once = metric.compute(**inputs, **options, **compute_options)
    for start in (0, 2, 4):
        batch = {key: values[start : start + 2] for key, values in inputs.items()}
        if start == 2:  # one by one
            for row in zip(*batch.values(), strict=True):
                metric.add(**{key.removesuffix("s"): value for key, value in zip(batch, row, strict=True)}, **options)
        elif start == 4:  # left for compute
            rest = {key: values[4:] for key, values in inputs.items()}
        else:
            metric.add_batch(**batch, **options)
    assert metric.compute(**rest, **options, **compute_options) == at_once
    with pytest.raises(ValueError, match="no .* were added"):
        metric.compute(**compute_options)


@pytest.mark.parametrize("name", NAMES)
def test_folder_is_complete(name: str):
    assert sorted(path.name for path in METRICS.iterdir() if path.is_dir()) == list(NAMES)
    card = (METRICS / name / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["title"] and {"evaluate", "metric"} <= set(front["tags"])
    metric = load(name)
    result = metric.compute(**CASES[name][0](), **CASES[name][1], **CASES[name][2])
    documented = card.split("## Output")[1].split("\n## ")[0]
    assert set(result) <= set(re.findall(r"`(\w+)`", documented)), "every result is explained in the card"
    assert all(key in metric.inputs_description for key in result)
    required = {re.split(r"[>=]", line)[0] for line in (METRICS / name / "requirements.txt").read_text().splitlines()}
    assert {"evaluate", "datasets", "numpy"} <= required


@pytest.mark.parametrize("name", NAMES)
def test_num_process_is_refused(name: str):
    with pytest.raises(ValueError, match="num_process=2: load it plainly in each process"):
        load(name, num_process=2, process_id=0, experiment_id="refused")


# --- features


def test_feature_modules_give_the_functions_values():
    real, fake = vectors(15, 3), vectors(11, 4)
    both = {"predictions": fake, "references": list(torch.from_numpy(real))}
    assert load("fid").compute(**both) == {
        "fid": fid(real, fake),
        "num_predictions": 11,
        "num_references": 15,
        "feature_dimensions": 4,
    }
    result = load("kid").compute(**both, subsets=4, subset_size=5, seed=6)
    assert (result["kid"], result["kid_std"]) == kid(real, fake, 4, 5, 6)
    assert (result["subsets"], result["subset_size"], result["seed"]) == (4, 5, 6)
    result = load("precision_recall").compute(**both, k=1)
    assert (result["precision"], result["recall"]) == improved_precision_recall(real, fake, 1) and result["k"] == 1


def test_fid_takes_images_with_an_extractor():
    real, fake = photos(9, 5), photos(7, 6)
    metric = load("fid")
    metric.add_batch(references=real, extractor=extractor)
    metric.add_batch(predictions=[Image.fromarray(image) for image in fake], extractor=extractor)
    features = [extractor(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)).numpy() for images in (real, fake)]
    assert metric.compute()["fid"] == pytest.approx(fid(*features), rel=1e-5)


def test_sharded_fid_equals_one_process():
    real, fake = vectors(10, 7), vectors(10, 8)
    one = load("fid").compute(predictions=fake, references=real)
    main, other = load("fid"), load("fid")
    other.add_batch(predictions=fake[::2], references=real[::2], indices=range(0, 10, 2))
    main.add_batch(predictions=fake[1::2], references=real[1::2], indices=range(1, 10, 2))
    main.add(prediction=fake[0], reference=real[0], index=0)  # padding
    main.state.merge(other.state)
    assert main.compute() == one


def test_images_without_an_extractor_go_through_the_legacy_inception(monkeypatch):
    asked = []
    monkeypatch.setattr("dpsims_hf.evaluation.features.load_extractor", lambda name: asked.append(name) or extractor)
    feature_set._legacy_inception.cache_clear()
    real, fake = photos(6, 0), photos(5, 1)
    try:
        assert load("fid").compute(predictions=fake, references=real) == load("fid").compute(
            predictions=fake, references=real, extractor=extractor
        )
    finally:
        feature_set._legacy_inception.cache_clear()
    assert asked == ["inception"]


def test_feature_modules_errors_name_the_cause():
    metric = load("fid")
    with pytest.raises(ValueError, match="predictions is empty"):
        metric.compute(predictions=[], references=vectors(3, 0))
    with pytest.raises(ValueError, match="no images were given"):
        metric.compute(predictions=[], references=photos(3, 0), extractor=extractor)
    with pytest.raises(ValueError, match="features are int64"):
        metric.compute(predictions=np.zeros((3, 4), np.int64), references=vectors(3, 0))
    with pytest.raises(ValueError, match="no references"):
        metric.compute(predictions=vectors(3, 0))
    assert metric.compute(predictions=vectors(9, 0), references=vectors(9, 0))["num_predictions"] == 9  # nothing stuck
    with pytest.raises(ValueError, match="subset_size=1000 with 9 real, 9 generated"):
        load("kid").compute(predictions=vectors(9, 0), references=vectors(9, 1))


def test_an_error_in_compute_keeps_what_was_added():
    metric = load("kid")
    metric.add_batch(predictions=vectors(9, 0), references=vectors(9, 1))
    with pytest.raises(ValueError, match="subset_size"):
        metric.compute(subset_size=10)
    assert metric.compute(subset_size=9)["num_references"] == 9


# --- label maps


def test_semantic_consistency_contract():
    reference = np.array([[0, 0, 300], [1, 1, 65535]], np.uint16)
    prediction = np.array([[0, 1, 300], [1, 1, 0]], np.uint16)
    result = load("semantic_consistency").compute(
        predictions=[prediction], references=[Image.fromarray(reference)], num_labels=301, ignore_index=65535
    )
    assert result["mean_iou"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert result["pixel_accuracy"] == pytest.approx(4 / 5) and result["num_classes_counted"] == 3
    assert len(result["per_class_iou"]) == 301 and result["per_class_iou"][2] is None
    assert result["void_pixels"] == 1 and result["object_mean_iou"] is None


def test_semantic_consistency_merges_and_keeps_its_counts_after_errors():
    predictions, references = label_maps(5, 0), label_maps(5, 1)
    metric, other = load("semantic_consistency"), load("semantic_consistency")
    expected = metric.compute(predictions=predictions, references=references, num_labels=3)
    metric.add_batch(predictions=predictions[:2], references=references[:2])
    with pytest.raises(ValueError, match=r"prediction is \(10, 11\) and reference \(10, 12\)"):
        metric.add_batch(predictions=[predictions[2], predictions[3][:, 1:]], references=references[2:4])
    with pytest.raises(ValueError, match="2 predictions came with 1 references"):
        metric.add_batch(predictions=predictions[2:4], references=references[2:3])
    with pytest.raises(ValueError, match="reference holds label 2 .* num_labels=2"):
        metric.compute(num_labels=2)
    with pytest.raises(ValueError, match="prediction is float32"):
        metric.compute(predictions=[predictions[2].astype(np.float32)], references=references[2:3], num_labels=3)
    other.add_batch(predictions=predictions[2:], references=references[2:])
    metric.state.update(other.state)
    assert metric.compute(num_labels=3) == expected
    with pytest.raises(ValueError, match="0 predictions came with 0 references"):
        metric.compute(predictions=[], references=[], num_labels=3)


def test_modules_combine():
    both = evaluate.combine([load("fid"), load("precision_recall")])
    both.add_batch(predictions=vectors(9, 0), references=vectors(9, 1))
    result = both.compute()
    assert {"fid", "precision", "recall"} <= set(result)


# --- images


def test_color_texture_distance_of_sets_that_differ_in_length():
    metric = load("color_texture_distance")
    maps = label_maps(5, 3)
    metric.add_batch(references=photos(5, 4), label_maps=maps)
    metric.add_batch(predictions=photos(3, 5), label_maps=maps[:3])
    result = metric.compute(num_labels=3)
    assert result["num_classes_counted"] == 3 and 0 < result["texture_distance"] < 1
    same = metric.compute(predictions=photos(3, 5), references=photos(3, 5), label_maps=maps[:3], num_labels=3)
    assert same["color_distance"] == same["texture_distance"] == 0.0
    with pytest.raises(ValueError, match="label_maps is missing"):
        metric.add_batch(predictions=photos(1, 0))
    with pytest.raises(ValueError, match=r"image is \(10, 12\) and label map \(5, 12\)"):
        metric.add(prediction=photos(1, 0)[0], label_map=maps[0][:5])


def test_diversity_by_hand():
    flat = [np.full((2, 3, 3), value, np.uint8) for value in (0, 51, 255)]
    result = load("lpips_diversity").compute(predictions=[flat, [flat[0]] * 3], distance=distance)
    # In [-1, 1] the pairs differ by 0.4, 2 and 1.6; the second label map's by nothing.
    assert result == {
        "lpips_diversity": pytest.approx((0.4 + 2 + 1.6) / 3 / 2),
        "num_label_maps": 2,
        "images_per_label_map": 3,
    }
    # A callable gets [0, 1] in place of torchmetrics' measure.
    result = load("ms_ssim_diversity").compute(predictions=[flat], similarity=lambda a, b: 1 - distance(a, b))
    assert result["ms_ssim_diversity"] == pytest.approx(1 - (0.2 + 1 + 0.8) / 3) and result["scales"] is None
    same = load("ms_ssim_diversity").compute(predictions=[photos(1, 0, (176, 180)) * 2])
    assert same["ms_ssim_diversity"] == pytest.approx(1.0, abs=1e-6) and same["scales"] == 5


def test_diversity_errors_name_the_cause():
    metric = load("lpips_diversity")
    with pytest.raises(ValueError, match="at least 2 images per label map, not 1"):
        metric.compute(predictions=[photos(1, 0)], distance=distance)
    with pytest.raises(ValueError, match="list of images per label map"):
        metric.compute(predictions=[], distance=distance)
    with pytest.raises(ValueError, match="leave references out"):
        metric.compute(predictions=[photos(2, 0)], references=photos(2, 0), distance=distance)
    metric.add(prediction=photos(2, 0), distance=distance)
    with pytest.raises(ValueError, match="distance differs from the earlier calls"):
        metric.add(prediction=photos(2, 1), distance=extractor)
    assert metric.compute()["num_label_maps"] == 1
    metric = load("ms_ssim_diversity")
    with pytest.raises(ValueError, match="images of 10x12 are too small .*take larger images"):
        metric.compute(predictions=[photos(2, 0)])
    metric.add(prediction=photos(2, 0, (22, 22)), scales=2)
    with pytest.raises(ValueError, match="scales or similarity differ"):
        metric.add(prediction=photos(2, 0, (22, 22)), scales=1)
    assert metric.compute()["scales"] == 2


def test_grid_artifacts_of_processes_and_of_the_larger_window():
    inputs = CASES["grid_artifacts"][0]()
    expected = load("grid_artifacts").compute(**inputs, num_labels=3)
    main, other = load("grid_artifacts"), load("grid_artifacts")
    for metric, rows in ((main, [0, 2, 4, 1]), (other, [1, 3, 5])):  # 1 twice: padding
        metric.add_batch(**{name: [values[i] for i in rows] for name, values in inputs.items()}, indices=rows)
    main.real.merge(other.real)
    main.fake.merge(other.fake)
    assert main.compute(num_labels=3) == expected and expected["num_windows"] == 6 * 2 * 3
    larger = load("grid_artifacts", window=64, cycles=(4, 8, 16, 32))
    assert larger.compute(**inputs, num_labels=3)["grid_artifacts"] is None  # the images are 48 pixels high
    with pytest.raises(ValueError, match="label_maps is missing"):
        larger.add_batch(predictions=inputs["predictions"])
    with pytest.raises(ValueError, match=r"image is \(48, 64\) and label map \(10, 12\)"):
        larger.add(prediction=inputs["predictions"][0], label_map=label_maps(1, 0)[0])


def test_variety_by_hand_and_of_processes():
    inputs = CASES["variety"][0]()
    options = {"num_labels": 3, "similar_photos": 2}
    expected = load("variety").compute(**inputs, distance=distance, **options)
    first = torch.from_numpy(np.stack(inputs["predictions"][0])).permute(0, 3, 1, 2).float() / 127.5 - 1
    pairs = [float((first[a] - first[b]).abs().mean()) for a, b in ((0, 1), (0, 2), (1, 2))]
    metric = load("variety")
    metric.add(prediction=inputs["predictions"][0], label_map=inputs["label_maps"][0], distance=distance)
    metric.add_batch(references=inputs["references"], label_maps=inputs["label_maps"], distance=distance)
    one = metric.compute(**options)
    assert one["feature_spread"] == pytest.approx(np.mean(pairs), rel=1e-6) and one["num_label_maps"] == 1
    assert one["feature_spread_real_photos"] == expected["feature_spread_real_photos"] > 0
    assert one["color_spread_real_photos"] == expected["color_spread_real_photos"]
    without = load("variety").compute(**inputs, **options)
    assert without["feature_spread"] is None and without["color_spread"] == expected["color_spread"]

    main, other = load("variety"), load("variety")
    for metric, rows in ((main, [5, 2, 4, 1]), (other, [1, 3, 0])):  # 1 twice: padding
        part = {name: [values[i] for i in rows] for name, values in inputs.items()}
        metric.add_batch(**part, indices=rows, distance=distance)
    main.real.merge(other.real)
    main.fake.merge(other.fake)
    main.photos |= other.photos
    assert main.compute(**options) == expected


def test_variety_errors_name_the_cause():
    inputs = CASES["variety"][0]()
    metric = load("variety")
    metric.add_batch(**{name: values[:2] for name, values in inputs.items()})
    with pytest.raises(ValueError, match="distance differs from the earlier calls"):
        metric.add_batch(**inputs, distance=distance)
    with pytest.raises(ValueError, match="predictions and label_maps: give as many"):
        metric.add_batch(predictions=inputs["predictions"], label_maps=inputs["label_maps"][1:])
    with pytest.raises(ValueError, match="references and label_maps: give as many"):
        metric.add_batch(references=inputs["references"])
    with pytest.raises(ValueError, match="at least 2 images per label map, not 1"):
        metric.add(prediction=photos(1, 0), label_map=inputs["label_maps"][0])
    assert metric.compute(num_labels=3)["num_label_maps"] == 2

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""FID, KID, precision/recall and the states that they come from, against independent formulas and libraries."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from dpsims_hf import evaluation
from dpsims_hf.evaluation import (
    FeatureSet,
    RealFakeFeatures,
    extract_features,
    fid,
    frechet_distance,
    gaussian,
    improved_precision_recall,
    kid,
)


def features(n: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated random vectors, float32 as extractors give them."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dimensions, dimensions)) / math.sqrt(dimensions)
    return (rng.normal(size=(n, dimensions)) @ mixing + shift).astype(np.float32)


class Channels(torch.nn.Module):
    """(n, 3, height, width) uint8 -> (n, 6): means and spreads of the channels."""

    num_features = 6

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = images.double()
        return torch.cat([images.mean((2, 3)), images.std((2, 3))], dim=1).float()


# --- Fréchet distance


@pytest.mark.parametrize("dimensions", [3, 40])
def test_fid_equals_scipy(dimensions: int):
    real, fake = features(300, dimensions, 0), features(251, dimensions, 1, shift=0.2)
    a, b = real.astype(np.float64), fake.astype(np.float64)
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected += np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)
    assert fid(real, fake) == pytest.approx(expected, rel=1e-6)
    assert fid(fake, real) == pytest.approx(expected, rel=1e-6)


def test_fid_equals_torchmetrics_with_the_same_features():
    from torchmetrics.image.fid import FrechetInceptionDistance

    rng = np.random.default_rng(2)
    real = rng.integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    fake = rng.integers(0, 200, (33, 3, 16, 16), dtype=np.uint8)
    theirs = FrechetInceptionDistance(feature=Channels())
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(fake), real=False)
    ours = [extract_features(list(images.transpose(0, 2, 3, 1)), Channels(), batch_size=7) for images in (real, fake)]
    assert fid(*ours) == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_frechet_distance_of_gaussians_by_hand():
    # Diagonal: sum of (mean difference)^2 and (root difference)^2 = 9 + 0 + (2 - 1)^2 + (3 - 0)^2.
    value = frechet_distance(np.array([3.0, 1.0]), np.diag([4.0, 9.0]), np.array([0.0, 1.0]), np.diag([1.0, 0.0]))
    assert value == pytest.approx(19.0, rel=1e-12) and isinstance(value, float)


@pytest.mark.filterwarnings("ignore:.*covariance is singular")
@pytest.mark.parametrize("n", [20, 200])
def test_identical_sets_have_distance_zero(n: int):
    assert fid(features(n, 64, 3), features(n, 64, 3)) == pytest.approx(0.0, abs=1e-6)


def test_singular_covariances_work_with_a_warning():
    real, fake = features(20, 64, 4), features(30, 64, 5, shift=0.1)
    with pytest.warns(UserWarning, match=r"\d+ (real|generated) images for 64 feature dimensions"):
        value = fid(real, fake)
    # The nonzero singular values of the centred data give the same trace without any 64 x 64 matrix.
    a, b = (x.astype(np.float64) for x in (real, fake))
    a_c, b_c = (a - a.mean(0)) / math.sqrt(19), (b - b.mean(0)) / math.sqrt(29)
    trace = np.linalg.norm(a_c) ** 2 + np.linalg.norm(b_c) ** 2 - 2 * np.linalg.norm(a_c @ b_c.T, ord="nuc")
    assert value == pytest.approx(np.sum((a.mean(0) - b.mean(0)) ** 2) + trace, rel=1e-9)


def test_frechet_errors_name_the_cause():
    mean, cov = gaussian(features(10, 3, 0))
    with pytest.raises(ValueError, match=r"\(3,\), \(3, 3\), \(3,\), \(2, 2\) do not fit"):
        frechet_distance(mean, cov, mean, np.eye(2))
    with pytest.raises(ValueError, match="NaN"):
        frechet_distance(mean, cov * np.nan, mean, cov)
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        gaussian(features(1, 3, 0))
    with pytest.raises(ValueError, match="real features have 3 dimensions, generated 4"):
        fid(features(9, 3, 0), features(9, 4, 0))
    with pytest.raises(ValueError, match="real is uint8"):
        fid(np.zeros((9, 3), np.uint8), features(9, 3, 0))


# --- kernel distance


def test_kid_equals_torchmetrics_on_the_same_subset():
    from torchmetrics.image.kid import poly_mmd

    real, fake = features(50, 8, 6), features(50, 8, 7, shift=0.5)
    expected = float(poly_mmd(torch.from_numpy(real).double(), torch.from_numpy(fake).double()))
    mean, std = kid(real, fake, subsets=1, subset_size=50)  # the only subset of 50 is everything
    assert mean == pytest.approx(expected, rel=1e-9) and std == 0.0


def test_kid_by_hand():
    # x = {0, 2}, y = {1, 1}, one dimension: k = (x y + 1)^3. Within x: k(0, 2) = 1; within y: 8; across: 1 and 27.
    mean, _ = kid(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]), subsets=3, subset_size=2)
    assert mean == pytest.approx(1 + 8 - 2 * (1 + 1 + 27 + 27) / 4)


def test_kid_depends_on_its_seed_only():
    real, fake = features(60, 4, 8), features(60, 4, 9)
    torch.manual_seed(0)
    first = kid(real, fake, subsets=5, subset_size=20, seed=3)
    np.random.seed(1)
    assert kid(real, fake, subsets=5, subset_size=20, seed=3) == first
    assert kid(real, fake, subsets=5, subset_size=20, seed=4) != first
    with pytest.raises(ValueError, match="subset_size=61 with 60 real, 60 generated: pass subset_size= of 2 to 60"):
        kid(real, fake, subset_size=61)


# --- improved precision and recall


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_brute_force(monkeypatch: pytest.MonkeyPatch, k: int):
    monkeypatch.setattr(
        "dpsims_hf.evaluation.metrics.precision_recall._CHUNK", 16
    )  # several chunks, the last one short
    real, fake = features(40, 3, 10) + 100, features(35, 3, 11, shift=0.8) + 100

    def share(points: np.ndarray, manifold: np.ndarray) -> float:
        inside = 0
        for point in points:
            for centre in manifold:
                radius = sorted(math.dist(centre, other) for other in manifold)[k]  # [0] is the centre itself
                if math.dist(point, centre) <= radius:
                    inside += 1
                    break
        return inside / len(points)

    precision, recall = improved_precision_recall(real, fake, k)
    assert (precision, recall) == (share(fake, real), share(real, fake))
    assert 0 < precision < 1 and 0 < recall < 1


def test_precision_and_recall_at_their_ends():
    real = features(30, 5, 12)
    assert improved_precision_recall(real, real) == (1.0, 1.0)
    assert improved_precision_recall(real, real + 1e3) == (0.0, 0.0)
    points = np.random.default_rng(19).normal(size=(200, 501)).astype(np.float32)
    pairs = [np.repeat(points[chosen], 2, axis=0) for chosen in (slice(None), slice(None, 6, -1))]
    # Every image twice: the radii for k = 1 are 0, and rounding must not put an exact copy outside.
    assert improved_precision_recall(*pairs, k=1) == (1.0, 193 / 200)
    assert improved_precision_recall(real, np.repeat(real[:1], 10, axis=0))[1] == 1 / 30  # one mode: recall finds it
    with pytest.raises(ValueError, match="k=3 with 30 real, 3 generated"):
        improved_precision_recall(real, real[:3])


# --- states


def test_feature_set_does_not_depend_on_sharding():
    vectors = features(11, 4, 13)
    whole = FeatureSet()
    whole.add(range(11), vectors)
    for shards in ([range(0, 11, 2), range(1, 11, 2)], [[10, 3], [4, 5, 6, 7, 8, 9], [0, 1, 2, 0, 3]]):
        merged = FeatureSet()
        for shard in shards[::-1]:
            part = FeatureSet()
            for index in shard:
                part.add([index], torch.from_numpy(vectors[[index]]))
            merged.merge(part)
        assert len(merged) == 11
        np.testing.assert_array_equal(merged.ordered(), vectors)
    np.testing.assert_array_equal(whole.ordered(), vectors)


def test_feature_set_errors_name_the_cause():
    empty = FeatureSet()
    with pytest.raises(ValueError, match="no features were added"):
        empty.ordered()
    for wrong, message in (
        (np.zeros((2, 3), np.int64), "int64 of shape"),
        (np.zeros(3, np.float32), r"shape \(3,\)"),
        (np.full((1, 3), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            empty.add([0], wrong)
    full = FeatureSet()
    full.add([0, 1], features(2, 3, 0))
    with pytest.raises(ValueError, match="4 dimensions, the earlier ones 3"):
        full.add([2], features(1, 4, 0))
    with pytest.raises(ValueError, match="2 feature vectors came with indices of shape"):
        full.add([2], features(2, 3, 0))
    full.add([1], features(1, 3, 14))
    with pytest.raises(ValueError, match="index 1 came with two different vectors"):
        full.ordered()


def test_feature_set_takes_half_precision_and_copies():
    vectors = torch.ones(1, 3, dtype=torch.bfloat16)
    kept = FeatureSet()
    kept.add(None, vectors)
    vectors.zero_()
    kept.add(None, [[2.0, 2.0, 2.0]])
    np.testing.assert_array_equal(kept.ordered(), [[1, 1, 1], [2, 2, 2]])
    assert kept.ordered().dtype == np.float32


def test_a_wrong_batch_adds_nothing():
    state = RealFakeFeatures()
    with pytest.raises(ValueError, match=r"\[3, 4\] dimensions"):
        state.add(features(2, 3, 0), features(2, 4, 0))
    assert not len(state.real) and not len(state.fake)
    with pytest.raises(ValueError, match="references"):
        state.ordered()


def test_extractor_gets_batches_of_one_size():
    rng = np.random.default_rng(15)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((8, 8), (8, 8), (8, 8), (4, 6), (8, 8))]
    shapes = []

    def extractor(batch: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(batch.shape))
        assert batch.dtype == torch.uint8
        return batch.float().mean((2, 3))

    vectors = extract_features(images, extractor, batch_size=2)
    assert shapes == [(2, 3, 8, 8), (1, 3, 8, 8), (1, 3, 4, 6), (1, 3, 8, 8)]
    np.testing.assert_allclose(vectors, [image.mean((0, 1)) for image in images], rtol=1e-6)
    with pytest.raises(ValueError, match="float64 of shape"):
        extract_features([images[0] / 255], extractor)
    with pytest.raises(ValueError, match="1 vectors for 2 images"):
        extract_features(images[:2], lambda batch: torch.zeros(1, 3))


def test_no_heavy_library_comes_with_the_package():
    """What stands at the head of these files is paid by everyone who imports the package."""
    heavy = {"evaluate", "torchmetrics", "lpips", "skimage", "scipy", "datasets", "timm", "torchvision", "gradio"}
    init = Path(evaluation.__file__)
    siblings = [node.module for node in ast.parse(init.read_text()).body if isinstance(node, ast.ImportFrom)]
    assert {"metrics.frechet", "metrics.diversity", "metrics.color_texture"} <= set(siblings)
    for sibling in siblings:
        for node in ast.parse((init.parent / f"{sibling.replace('.', '/')}.py").read_text()).body:
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & heavy, sibling
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.split(".")[0] not in heavy, sibling

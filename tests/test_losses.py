"""Every loss term against a value worked by hand or written independently in NumPy."""

import math

import numpy as np
import pytest
import torch

from dpsims_hf.training.losses import class_weights, diversity_hinge, diversity_ratio, info_nce, n_plus_one_loss


def logits_of(probabilities: list[float]) -> torch.Tensor:
    """One pixel whose softmax is `probabilities`."""
    return torch.tensor(probabilities).log().view(1, -1, 1, 1)


def test_cross_entropy_of_one_pixel_is_minus_log_p():
    loss = n_plus_one_loss(logits_of([0.5, 0.25, 0.25]), torch.tensor([[[1]]]), gamma=0.0)
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)


def test_focal_loss_of_one_pixel():
    loss = n_plus_one_loss(logits_of([0.8, 0.15, 0.05]), torch.tensor([[[0]]]), gamma=2.0)
    assert loss.item() == pytest.approx(0.2**2 * -math.log(0.8), rel=1e-5)


def test_smoothing_gives_epsilon_to_the_other_classes():
    p = [0.7, 0.2, 0.1]
    loss = n_plus_one_loss(logits_of(p), torch.tensor([[[0]]]), gamma=2.0, label_smoothing=0.1)
    expected = 0.9 * 0.3**2 * -math.log(0.7) + 0.05 * (0.8**2 * -math.log(0.2) + 0.9**2 * -math.log(0.1))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_literal_smoothing_only_scales():
    logits, target = torch.randn(2, 4, 3, 5), torch.randint(0, 4, (2, 3, 5))
    plain = n_plus_one_loss(logits, target)
    literal = n_plus_one_loss(logits, target, label_smoothing=0.2, smoothing="literal")
    torch.testing.assert_close(literal, 0.8 * plain)


def test_smoothed_optimum_is_not_saturated():
    """With smoothing a certain answer costs more than one that leaves epsilon to the others."""
    target = torch.tensor([[[0]]])
    certain = n_plus_one_loss(logits_of([1 - 2e-6, 1e-6, 1e-6]), target, gamma=0.0, label_smoothing=0.1)
    smooth = n_plus_one_loss(logits_of([0.9, 0.05, 0.05]), target, gamma=0.0, label_smoothing=0.1)
    assert smooth < certain


def test_against_numpy_with_weights_and_void():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(2, 5, 4, 6)), rng.integers(0, 4, size=(2, 4, 6))
    counts = np.bincount(target.ravel(), minlength=4).astype(float)
    counts[3] = 0  # void
    alpha = np.where(counts > 0, target.size / ((counts > 0).sum() * np.maximum(counts, 1)), 0)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p_target = np.take_along_axis(p, target[:, None], 1)[:, 0]
    expected = (alpha[target] * (1 - p_target) ** 2 * -np.log(p_target)).mean()
    labels = torch.tensor(target)
    weights = class_weights(labels, 4, void_label_id=3)
    np.testing.assert_allclose(weights.numpy(), alpha, rtol=1e-6)
    assert n_plus_one_loss(torch.tensor(logits), labels, weights).item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_by_hand():
    # 8 pixels: class 0 six times, class 1 twice, class 2 never.
    weights = class_weights(torch.tensor([[[0, 0, 0, 1], [0, 0, 0, 1]]]), 3)
    torch.testing.assert_close(weights, torch.tensor([8 / (2 * 6), 8 / (2 * 2), 0.0]))


def test_void_pixels_count_in_the_mean_but_weigh_nothing():
    labels = torch.tensor([[[0, 1]]])  # class 1 is void
    loss = n_plus_one_loss(torch.zeros(1, 3, 1, 2), labels, class_weights(labels, 2, void_label_id=1), gamma=0.0)
    # alpha_0 = 2 pixels / (1 class * 1 pixel) = 2; the mean runs over both pixels.
    assert loss.item() == pytest.approx(2 * math.log(3) / 2, rel=1e-6)


def test_fake_is_the_last_channel_and_unweighted():
    logits = torch.zeros(1, 4, 1, 1)
    logits[0, 3] = 20.0
    fake = torch.full((1, 1, 1), 3)
    assert n_plus_one_loss(logits, fake, torch.zeros(3)).item() == pytest.approx(0.0, abs=1e-6)
    assert n_plus_one_loss(-logits, fake, torch.zeros(3)).item() > 1.0


def test_reductions_and_unknown_choices():
    logits, target = torch.randn(2, 4, 3, 5), torch.randint(0, 4, (2, 3, 5))
    per_pixel = n_plus_one_loss(logits, target, reduction="none")
    assert per_pixel.shape == target.shape
    torch.testing.assert_close(per_pixel.sum(), n_plus_one_loss(logits, target, reduction="sum"))
    with pytest.raises(ValueError, match="reduction='median'"):
        n_plus_one_loss(logits, target, reduction="median")
    with pytest.raises(ValueError, match="smoothing='soft'.*distribute, literal"):
        n_plus_one_loss(logits, target, smoothing="soft")


def test_info_nce_by_hand():
    # Two positions, orthogonal unit vectors: each query matches itself, one negative at similarity 0.
    vectors = torch.eye(2)[None]
    expected = -math.log(math.exp(1 / 0.3) / (math.exp(1 / 0.3) + 1))
    assert info_nce(vectors, vectors, temperature=0.3).item() == pytest.approx(expected, rel=1e-5)


def test_info_nce_against_numpy():
    rng = np.random.default_rng(1)
    query, positive = rng.normal(size=(2, 7, 3)), rng.normal(size=(2, 7, 3))
    losses = []
    for q, k in zip(query, positive, strict=True):
        for i in range(7):
            scores = np.exp(np.array([q[i] @ k[j] for j in range(7)]) / 0.5)
            losses.append(-np.log(scores[i] / scores.sum()))
    value = info_nce(torch.tensor(query), torch.tensor(positive), temperature=0.5)
    assert value.item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_info_nce_prefers_the_matching_position():
    vectors = torch.nn.functional.normalize(torch.randn(1, 16, 8), dim=-1)
    assert info_nce(vectors, vectors) < info_nce(vectors, vectors.roll(1, dims=1))


def test_diversity_by_hand():
    output_1, output_2 = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)
    noise_1, noise_2 = torch.zeros(2, 4), torch.tensor([[1.0, 1, 1, 1], [2.0, 2, 2, 2]])
    ratio = diversity_ratio(output_1, output_2, noise_1, noise_2)
    torch.testing.assert_close(ratio, torch.tensor([0.5, 0.25]))
    # max(0, 0.4 - 0.5) = 0 and 0.4 - 0.25 = 0.15: the hinge applies per pair, then the mean.
    assert diversity_hinge(ratio, 0.4).item() == pytest.approx(0.075, rel=1e-5)


def test_half_precision_inputs_are_computed_in_float32():
    logits, target = torch.randn(1, 4, 8, 8) * 10, torch.randint(0, 4, (1, 8, 8))
    loss = n_plus_one_loss(logits.bfloat16(), target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, n_plus_one_loss(logits.bfloat16().float(), target))
    assert info_nce(torch.randn(1, 4, 4).bfloat16(), torch.randn(1, 4, 4).bfloat16()).dtype == torch.float32

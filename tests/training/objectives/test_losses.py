# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Every loss term against a value worked by hand or written independently in NumPy."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dpsims_hf.training.objectives.dpgan import feature_matching_loss, patch_generator_loss, patch_hinge_loss
from dpsims_hf.training.objectives.dpsims import diversity_hinge, diversity_ratio, info_nce
from dpsims_hf.training.objectives.losses import (
    class_weights,
    cutmix_mask,
    labelmix,
    labelmix_loss,
    labelmix_mask,
    n_plus_one_loss,
    perceptual_loss,
)


REFERENCE = Path(__file__).parents[4] / "shared" / "reference"  # made by the original programs; not in the repository


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


def test_class_weights_of_the_papers_by_hand():
    """Two images of 4 pixels: class 0 three and four times, class 1 once and never, class 2 never."""
    labels = torch.tensor([[[0, 0], [0, 1]], [[0, 0], [0, 0]]])
    oasis = class_weights(labels, 3, form="inverse_frequency")  # Eq. 2: 4 / (mean count)
    torch.testing.assert_close(oasis, torch.tensor([4 / 3.5, 4 / 0.5, 0.0]))
    dpgan = class_weights(labels, 3, form="mean_inverse_frequency")  # Eq. 4: mean of 4/3 and 4/4; of 4/1
    torch.testing.assert_close(dpgan, torch.tensor([(4 / 3 + 1) / 2, 4.0, 0.0]))
    released = class_weights(labels, 3)
    torch.testing.assert_close(released, oasis / 2)  # K = 2 classes are present
    for form in ("inverse_frequency", "mean_inverse_frequency"):
        void = class_weights(labels, 3, void_label_id=1, form=form)
        assert void[1] == 0 and void[0] == class_weights(labels, 3, form=form)[0]
    with pytest.raises(ValueError, match="form='rare' is unknown; choose one of balanced, inverse_frequency"):
        class_weights(labels, 3, form="rare")


@pytest.mark.parametrize("form", ["balanced", "inverse_frequency", "mean_inverse_frequency"])
def test_class_weights_over_processes_are_those_of_the_whole_batch(form: str):
    """Two processes with two images each; `total` adds what the other process gives, asked in the same order."""
    labels = torch.randint(0, 4, (4, 6, 5), generator=torch.Generator().manual_seed(0))
    labels[2:][labels[2:] == 3] = 0  # only one process sees class 3
    others: list[torch.Tensor] = []
    class_weights(labels[2:], 4, total=lambda sums: (others.append(sums), sums)[1], form=form)
    answers = iter(others)
    weights = class_weights(labels[:2], 4, total=lambda sums: sums + next(answers), form=form)
    torch.testing.assert_close(weights, class_weights(labels, 4, form=form))


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


# LabelMix


def classes(seed: int = 0) -> torch.Tensor:
    """A batch in which all of 6 classes occur in both label maps."""
    return torch.randint(0, 6, (2, 16, 16), generator=torch.Generator().manual_seed(seed))


def coins(seed: int, **options: bool) -> list[bool]:
    """What class 0 .. 5 takes; the mask must be constant on each class, over the whole batch."""
    labels = classes()
    mask = labelmix_mask(labels, 6, torch.Generator().manual_seed(seed), **options)
    assert mask.shape == (2, 1, 16, 16) and mask.dtype == torch.bool
    values = [mask[:, 0][labels == label].unique().tolist() for label in range(6)]
    assert all(len(found) == 1 for found in values)
    return [found[0] for found in values]


def test_labelmix_tosses_a_fair_coin_per_class():
    tosses = [coins(seed) for seed in range(400)]
    shares = torch.tensor(tosses).float().mean(dim=0)
    assert ((shares > 0.4) & (shares < 0.6)).all()  # 4 standard deviations
    for first, second in [(0, 1), (1, 2), (4, 5)]:
        pairs = Counter((toss[first], toss[second]) for toss in tosses)
        assert len(pairs) == 4 and all(60 < count < 140 for count in pairs.values())


def test_labelmix_as_released_ties_the_first_two_classes_alone():
    tosses = [coins(seed, tie_first_two=True) for seed in range(100)]
    assert all(toss[0] == toss[1] for toss in tosses)
    assert len({(toss[0], toss[2]) for toss in tosses}) == len({(toss[2], toss[3]) for toss in tosses}) == 4


def test_cutmix_takes_a_rectangle_whose_share_is_uniform():
    """Yun et al. 2019: centre and share uniform. Without cutting off, the mean share would be 1/2."""
    labels, rng = torch.zeros(2, 40, 60, dtype=torch.long), torch.Generator().manual_seed(0)
    shares, rng_by_hand = [], torch.Generator().manual_seed(0)
    for _ in range(300):
        mask = cutmix_mask(labels, rng)
        assert mask.shape == (2, 1, 40, 60) and torch.equal(mask[0], mask[1])
        share, row, column = torch.rand(3, generator=rng_by_hand).tolist()
        height, width = 40 * math.sqrt(share), 60 * math.sqrt(share)
        rows = max(0.0, min(40, row * 40 + height / 2) - max(0, row * 40 - height / 2))
        columns = max(0.0, min(60, column * 60 + width / 2) - max(0, column * 60 - width / 2))
        generated = ~mask[0, 0]
        assert abs(int(generated.any(dim=1).sum()) - rows) <= 1 and abs(int(generated.any(dim=0).sum()) - columns) <= 1
        assert int(generated.sum()) == int(generated.any(dim=1).sum()) * int(generated.any(dim=0).sum())
        shares.append(float(generated.float().mean()))
    assert 0.2 < sum(shares) / 300 < 0.4 and min(shares) < 0.05 and max(shares) > 0.7


def test_labelmix_mask_depends_on_the_generator_alone():
    draws = [labelmix_mask(classes(), 6, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws)
    rng = torch.Generator().manual_seed(5)
    one_after_another = [labelmix_mask(classes(), 6, rng) for _ in range(8)]
    assert torch.equal(one_after_another[0], draws[0])
    assert not all(torch.equal(one_after_another[0], mask) for mask in one_after_another)


def test_labelmix_takes_the_real_image_where_the_mask_says_so():
    mask = torch.tensor([[[[True, False]]]])
    real, fake = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]), torch.zeros(1, 2, 1, 2)
    assert labelmix(real, fake, mask).tolist() == [[[[1.0, 0.0]], [[3.0, 0.0]]]]


def test_labelmix_loss_against_numpy():
    rng = np.random.default_rng(2)
    mixed, real, fake = rng.normal(size=(3, 2, 5, 4, 6))
    mask = rng.integers(0, 2, size=(2, 1, 4, 6))
    expected = ((mixed - (mask * real + (1 - mask) * fake)) ** 2).mean()
    value = labelmix_loss(*map(torch.tensor, (mixed, real, fake)), torch.tensor(mask).bool())
    assert value.item() == pytest.approx(expected, rel=1e-5)


# Patches, features


def heads(*maps: list[float]) -> list[torch.Tensor]:
    """Scores of patch heads of different sizes."""
    return [torch.tensor(scores).view(1, 1, 1, -1).requires_grad_() for scores in maps]


def test_patch_hinge_by_hand():
    scores = heads([2.0, 0.5, -1.0, 0.0], [3.0])
    # real: (0 + 0.5 + 2 + 1) / 4 and 0; fake: (3 + 1.5 + 0 + 1) / 4 and 4. Heads weigh the same, whatever their size.
    assert patch_hinge_loss(scores, real=True).item() == pytest.approx(0.875 / 2)
    assert patch_hinge_loss(scores, real=False).item() == pytest.approx((1.375 + 4) / 2)


def test_patch_generator_forms_by_hand():
    scores = heads([2.0, 0.5, -1.0, 0.0], [3.0])
    assert patch_generator_loss(scores).item() == pytest.approx(0.875 / 2)
    assert patch_generator_loss(scores, "linear").item() == pytest.approx(-(0.375 + 3) / 2)
    with pytest.raises(ValueError, match="form='wasserstein'.*hinge or linear"):
        patch_generator_loss(scores, "wasserstein")


def test_a_certain_fake_still_pays_under_the_hinge_until_it_reaches_the_margin():
    scores = heads([-5.0, 0.0, 1.5])
    patch_generator_loss(scores).backward()
    assert scores[0].grad.flatten().tolist() == pytest.approx([-1 / 3, -1 / 3, 0.0])


def test_feature_matching_by_hand():
    fake = [torch.tensor([[1.0, 3.0]], requires_grad=True), torch.tensor([[0.0, 0.0, 1.0]], requires_grad=True)]
    real = [torch.tensor([[0.0, 1.0]], requires_grad=True), torch.tensor([[3.0, 0.0, 1.0]], requires_grad=True)]
    # layers: (1 + 4) / 2 = 2.5 and 9 / 3 = 3
    assert feature_matching_loss(fake, real).item() == pytest.approx(2.75)
    total = feature_matching_loss(fake, real, "sum")
    assert total.item() == pytest.approx(5.5)
    total.backward()
    assert fake[0].grad.tolist() == [[1.0, 2.0]] and all(level.grad is None for level in real)
    with pytest.raises(ValueError, match="reduction='median'"):
        feature_matching_loss(fake, real, "median")
    with pytest.raises(ValueError):
        feature_matching_loss(fake, real[:1])


def test_perceptual_loss_by_hand():
    fake = [torch.tensor([[1.0, -3.0]], requires_grad=True), torch.tensor([[2.0]], requires_grad=True)]
    real = [torch.tensor([[0.0, 1.0]], requires_grad=True), torch.tensor([[-1.0]], requires_grad=True)]
    # levels: (1 + 4) / 2 = 2.5 and 3
    value = perceptual_loss(fake, real, (0.5, 10.0))
    assert value.item() == pytest.approx(0.5 * 2.5 + 10 * 3)
    value.backward()
    assert fake[0].grad.tolist() == [[0.25, -0.25]] and all(level.grad is None for level in real)
    with pytest.raises(ValueError):
        perceptual_loss(fake, real, (1.0,))


def test_all_terms_are_computed_in_float32():
    first, second = (torch.randn(2, 3, 4, 4).bfloat16() for _ in range(2))
    mask = torch.ones(2, 1, 4, 4).bool()
    values = [
        labelmix_loss(first, second, second, mask),
        patch_hinge_loss([first], real=True),
        patch_generator_loss([first], "linear"),
        feature_matching_loss([first], [second]),
        perceptual_loss([first], [second], (1.0,)),
    ]
    assert all(value.dtype == torch.float32 for value in values)
    assert values[0].item() == pytest.approx(((first.float() - second.float()) ** 2).mean().item(), rel=1e-5)


# Numbers of the original programs


@pytest.mark.skipif(
    not REFERENCE.is_dir(),
    reason="no ../shared/reference: tensors of the original programs, not part of the repository",
)
@pytest.mark.parametrize("family", ["oasis", "dpgan"])
def test_losses_are_those_of_the_original_programs(family: str):
    folder = REFERENCE / f"{family}_square"
    meta, tensors = json.loads((folder / "meta.json").read_text()), load_file(folder / "tensors.safetensors")
    labels, count = tensors["label"].long(), meta["semantic_nc"]
    logits = {name: value.roll(-1, dims=1) for name, value in tensors.items() if name.startswith("logits")}
    real, fake = logits["logits_real"], logits["logits_fake"]
    alpha, mask = class_weights(labels, count, meta["void_label"]), tensors["labelmix_mask"].bool()
    values = {
        "loss_real": n_plus_one_loss(real, labels, alpha, gamma=0.0),
        "loss_fake": n_plus_one_loss(fake, torch.full_like(labels, count), gamma=0.0),
        "loss_gen": n_plus_one_loss(fake, labels, alpha, gamma=0.0),
        "loss_labelmix_unweighted": labelmix_loss(logits["logits_mixed"], real, fake, mask),
    }
    if family == "dpgan":
        scores = {kind: [tensors[f"patch_score_{kind}_{head}"] for head in range(2)] for kind in ("real", "fake")}
        values["patch_d_fake"] = patch_hinge_loss(scores["fake"], real=False)
        values["patch_d_real"] = patch_hinge_loss(scores["real"], real=True)
        values["patch_g"] = patch_generator_loss(scores["fake"], "linear")
        values["feature_matching_sum"] = reference_feature_matching(folder, tensors)
    assert {name: value.item() for name, value in values.items()} == pytest.approx(meta["losses"], rel=1e-4)


def reference_feature_matching(folder: Path, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The features are not among the stored tensors: the converted discriminator makes them."""
    from dpsims_hf.checkpoint_conversion import convert_discriminator, load_original

    discriminator = convert_discriminator("dpgan", load_original(folder / "D.pth"))
    with torch.no_grad():
        fake, real = (discriminator(tensors[name], output_features=True).decoder_features for name in ("fake", "real"))
    return feature_matching_loss(fake, real, "sum")

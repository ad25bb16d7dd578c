# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The random shift before the judge, and the colour anchor with its schedule."""

import numpy as np
import pytest
import torch

from dpsims_hf import DPGANDiscriminator, DPGANDiscriminatorConfig
from dpsims_hf.training.objectives.dpgan import DPGANLossWeights, DPGANObjective
from dpsims_hf.training.objectives.dpsims import DPSIMSLossWeights, DPSIMSObjective
from dpsims_hf.training.objectives.losses import class_color_loss, color_loss, void_borders
from dpsims_hf.training.objectives.random_shift import random_shift


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 6, (3, 16, 24), generator=rng), torch.rand(3, 3, 16, 24, generator=rng)


def rngs(count: int = 3) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_every_picture_moves_with_its_labels_by_a_mirrored_border():
    labels, images = batch()
    moved_labels, (first, second) = random_shift(labels, (images, 2 * images), 5, rngs())
    assert torch.equal(second, 2 * first)
    offsets = set()
    for index in range(3):
        fits = []
        for dy in range(11):
            for dx in range(11):
                expected = np.pad(labels[index].numpy(), 5, mode="reflect")[dy : dy + 16, dx : dx + 24]
                if (expected == moved_labels[index].numpy()).all():
                    fits.append((dy, dx))
        assert len(fits) == 1
        dy, dx = fits[0]
        expected = np.pad(images[index].numpy(), ((0, 0), (5, 5), (5, 5)), mode="reflect")
        np.testing.assert_array_equal(first[index].numpy(), expected[:, dy : dy + 16, dx : dx + 24])
        offsets.add(fits[0])
    assert len(offsets) == 3


def test_every_phase_comes_up_and_the_draws_are_stateless():
    labels = torch.arange(16 * 24).view(1, 16, 24)
    images = torch.zeros(1, 3, 16, 24)
    corners = {
        int(random_shift(labels, (images,), 2, [torch.Generator().manual_seed(seed)])[0][0, 4, 4])
        for seed in range(200)
    }
    assert len(corners) == 25
    again = [random_shift(labels, (images,), 2, [torch.Generator().manual_seed(7)])[0] for _ in range(2)]
    assert torch.equal(*again)


def test_gradients_reach_every_pixel_that_is_seen():
    labels, images = batch()
    images.requires_grad_(True)
    _, (moved,) = random_shift(labels, (images,), 4, rngs())
    moved.sum().backward()
    assert images.grad.sum() == images.numel()


def test_color_loss_by_hand():
    fake, real = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    fake[0, :, :2, :2] = 1.0  # one of four squares, by 1
    fake[1, :, ::2] = 1.0  # stripes with mean 0.5 against 0.5: no difference of pooled colours
    real[1] = 0.5
    assert color_loss(fake, real, 2).item() == pytest.approx(0.125)
    assert color_loss(fake, real, 2, torch.tensor([True, False])).item() == pytest.approx(0.125)
    assert color_loss(fake, real, 2, torch.tensor([False, True])).item() == 0.0


def test_class_color_loss_by_hand():
    fake, real = torch.zeros(2, 3, 2, 4), torch.zeros(2, 3, 2, 4)
    labels = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 2]]).expand(2, 2, 4)
    fake[0, 0, :, :3] = 0.6  # class 0 of the first image: red is off by 0.6, the mean over channels by 0.2
    fake[1, :, 0, 3] = 1.0  # class 1 of the second image: one pixel
    fake[1, :, 1, 3] = 9.0  # class 2 is void
    assert class_color_loss(fake, real, labels, 3, 2).item() == pytest.approx((0.2 / 2 + 1.0 / 2) / 2)
    assert class_color_loss(fake, real, labels, 3, 2, torch.tensor([True, False])).item() == pytest.approx(0.05)
    assert class_color_loss(fake, real, labels, 3).item() == pytest.approx((0.2 / 3 + 10.0 / 3) / 2)


def test_borders_by_hand():
    labels = torch.zeros(1, 4, 6, dtype=torch.long)
    labels[:, :, 3:] = 2
    labels[:, 3, 0] = 1
    assert void_borders(labels, 1, 9)[0].tolist() == [
        [0, 0, 9, 9, 2, 2],
        [0, 0, 9, 9, 2, 2],
        [9, 9, 9, 9, 2, 2],
        [9, 9, 9, 9, 2, 2],
    ]
    assert (void_borders(labels, 3, 9) == 9).all()


def test_borders_need_void():
    weights = DPSIMSLossWeights(border_width=1, lambda_contrastive=0)
    with pytest.raises(ValueError, match="border_width=1 turns pixels to void"):
        DPSIMSObjective(weights, 5).prepare(torch.nn.Module())
    DPSIMSObjective(weights, 5, 4).prepare(torch.nn.Module())


def test_schedule_is_linear_between_points_and_constant_beyond():
    weights = DPSIMSLossWeights(
        lambda_color=3.0, schedule={"lambda_color": [[10, 60], [20, 0]], "lambda_gan": [[0, 2]]}
    )
    values = [weights.at(step).lambda_color for step in (0, 10, 15, 20, 99)]
    assert values == [60, 60, 30, 0, 0]
    assert weights.at(5).lambda_gan == 2 and weights.at(5).lambda_contrastive == 100
    assert weights.peak("lambda_color") == 60 and weights.peak("lambda_contrastive") == 100
    assert DPSIMSLossWeights().at(7) == DPSIMSLossWeights()
    dropped = DPSIMSLossWeights(lambda_contrastive=0.0, schedule={"lambda_contrastive": [[0, 5]]})
    assert dropped.at(3).lambda_contrastive == dropped.peak("lambda_contrastive") == 0


def test_what_a_schedule_asks_for_later_is_prepared_at_the_start():
    """Patch heads that train from step 10 on are not frozen, nor is a generator refused that trains from then on."""
    schedule = {"lambda_patch": [[0, 0], [10, 1]], "lambda_gan": [[0, 0], [10, 1]]}
    objective = DPGANObjective(DPGANLossWeights(lambda_feature_matching=0, schedule=schedule), 5)
    discriminator = DPGANDiscriminator(DPGANDiscriminatorConfig.from_preset("tiny"))
    objective.prepare(discriminator)
    assert all(parameter.requires_grad for parameter in discriminator.patch_heads.parameters())
    objective.at_step(0)
    assert objective.weights.lambda_patch == objective.weights.lambda_gan == 0
    objective.at_step(10)
    assert objective.weights.lambda_patch == 1


def test_colours_alone_train_a_generator():
    DPSIMSObjective(
        DPSIMSLossWeights(lambda_gan=0, lambda_contrastive=0, lambda_diversity=0, lambda_color=1), 5
    ).prepare(torch.nn.Module())


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"focal_gamma": [[0, 1]]}, "unknown weight 'focal_gamma'"),
        ({"lambda_gan": []}, r"lambda_gan=\[\] must be"),
        ({"lambda_gan": [[5, 1], [5, 2]]}, "rising steps"),
        ({"lambda_gan": [[0, -1]]}, "lambda_gan"),
        ({"lambda_gan": 3}, "lambda_gan=3"),
        ({"lambda_gan": [[0, "x"]]}, "lambda_gan"),
    ],
)
def test_wrong_schedules_are_named(schedule: dict, message: str):
    with pytest.raises(ValueError, match=message):
        DPSIMSLossWeights(schedule=schedule)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"random_shift": -1}, "random_shift=-1"), ({"color_pool": 0}, "color_pool=0"), ({"photo_noise": 1.5}, "1.5")],
)
def test_wrong_numbers_are_named(values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        DPSIMSLossWeights(**values)

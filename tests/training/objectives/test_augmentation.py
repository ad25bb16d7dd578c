# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Aspect-keeping crops, sloppy label borders, and the augmentation before the discriminator."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from training_runs import run_here

from dpsims_hf.data import JointTransform, stateless_generator
from dpsims_hf.data.synthetic import draw_scene
from dpsims_hf.data.transforms.label_perturbation import perturb_labels
from dpsims_hf.training.objectives.adaptive_augmentation import MAX_PROBABILITY, AdaptiveAugmentation


SIZE = (32, 64)
VOID = 9


def blocks(height: int, width: int, ids: int = 6) -> np.ndarray:
    """A label map of 8x8 pixel blocks."""
    small = np.random.default_rng(0).integers(0, ids, (height // 8, width // 8))
    return np.kron(small, np.ones((8, 8), dtype=np.int64))


def inner(label_map: np.ndarray, distance: int = 1) -> np.ndarray:
    """Pixels that are farther than `distance` from every other class."""
    padded = np.pad(label_map, distance, mode="edge")
    offsets = [(y, x) for y in range(2 * distance + 1) for x in range(2 * distance + 1)]
    height, width = label_map.shape
    return np.all([padded[y : y + height, x : x + width] == label_map for y, x in offsets], axis=0)


# --- aspect-keeping crop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [(60, 60), (40, 200), (33, 65)])
def test_aspect_is_kept_by_one_factor_and_a_crop(source):
    """Positions are written into the pictures: after the transform both axes must have grown by the same factor."""
    rows, columns = np.mgrid[: source[0], : source[1]]
    photo = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    transform = JointTransform(SIZE, (1.0, 1.5), 0.0, keep_aspect=True)
    for draw in range(12):
        moved, label_map, instances = transform(photo, rows * 1000 + columns, rows, stateless_generator(0, draw))
        assert moved.shape == (*SIZE, 3) and label_map.shape == SIZE and np.array_equal(instances, label_map // 1000)
        steps = [np.polyfit(np.arange(n), line, 1)[0] for n, line in ((32, label_map[:, 5] // 1000),)]
        steps += [np.polyfit(np.arange(64), label_map[5] % 1000, 1)[0]]
        assert steps[0] == pytest.approx(steps[1], rel=0.06)
        assert np.abs(moved[..., 0].astype(int) - label_map // 1000).max() <= 3  # photo and labels at one place
    whole = transform(photo, columns)[1]  # without draws: the middle
    assert whole[0, 0] == pytest.approx(source[1] - 1 - whole[0, -1], abs=2)


def test_stretching_stays_the_default():
    label_map = np.mgrid[:60, :60][1]
    assert JointTransform(SIZE)(np.zeros((60, 60, 3), np.uint8), label_map)[1].max() == 59


# --- sloppy borders ----------------------------------------------------------------------------------------------


def test_borders_move_and_nothing_else_does():
    label_map = blocks(64, 128)
    far = inner(label_map, 3)
    moved, strengths = [], []
    for draw in range(30):
        perturbed, instances = perturb_labels(label_map, 1.0, stateless_generator(draw), label_map * 7)
        assert set(np.unique(perturbed)) <= set(np.unique(label_map))
        assert np.array_equal(instances, perturbed * 7)
        assert (perturbed[far] == label_map[far]).mean() > 0.99
        moved.append((perturbed != label_map).mean())
        strengths.append(float(torch.rand((), generator=stateless_generator(draw))))
    assert np.corrcoef(moved, strengths)[0, 1] > 0.8  # each draw has a strength of its own
    assert 0.05 < max(moved) < 0.35
    again = perturb_labels(label_map, 1.0, stateless_generator(3))[0]
    assert np.array_equal(again, perturb_labels(label_map, 1.0, stateless_generator(3))[0])
    assert perturb_labels(label_map, 0.0, stateless_generator(3))[0] is label_map


def test_shifts_are_smooth_and_of_the_stated_size():
    """A label map of its own columns shows the shift itself."""
    columns = np.tile(np.arange(256), (256, 1))
    seen = []
    for draw in range(8):
        strength = float(torch.rand((), generator=stateless_generator(1, draw))) * 6.0
        shift = perturb_labels(columns, 6.0, stateless_generator(1, draw))[0] - columns
        middle = shift[32:-32, 32:-32]
        seen.append(middle.std() / strength)
        assert np.abs(np.diff(middle, axis=0)).max() <= max(2, strength)
    assert 0.4 < np.mean(seen) < 1.1  # interpolation between the knots evens out a part


def test_perturbation_leaves_photo_and_crop_alone():
    photo, labels, _ = draw_scene((48, 96), 1)
    sloppy = JointTransform(SIZE, (1.0, 1.5), label_perturbation=2.0)
    clean = JointTransform(SIZE, (1.0, 1.5))
    changed = 0
    for draw in range(6):
        first = sloppy(photo, labels, None, stateless_generator(draw))
        second = clean(photo, labels, None, stateless_generator(draw))
        assert np.array_equal(first[0], second[0])
        changed += not np.array_equal(first[1], second[1])
    assert changed >= 5
    assert np.array_equal(sloppy(photo, labels)[1], clean(photo, labels)[1])  # evaluation is exact
    with pytest.raises(ValueError, match="label_perturbation"):
        JointTransform(SIZE, label_perturbation=-1)


# --- augmentation before the discriminator -----------------------------------------------------------------------


def batch(count: int = 16, size: tuple[int, int] = (64, 64)) -> tuple[torch.Tensor, torch.Tensor]:
    """Label maps, and images whose first channel shows them."""
    labels = torch.from_numpy(np.stack([np.roll(blocks(*size), 3 * i, axis=1) for i in range(count)]))
    values = labels[:, None] / 3 - 1
    return labels, torch.cat([values, values, values], dim=1).float()


def rngs(count: int, seed: int = 0) -> list[torch.Generator]:
    return [stateless_generator(seed, row) for row in range(count)]


@pytest.mark.parametrize("kinds", [("blit",), ("geometric",), ("blit", "geometric")])
@pytest.mark.parametrize("size", [(64, 64), (32, 64)])
@pytest.mark.parametrize("void", [VOID, None])
def test_labels_move_with_the_pixels(kinds, size, void):
    labels, images = batch(24, size)
    augmentation = AdaptiveAugmentation(probability=0.7, kinds=kinds, void_label_id=void)
    moved, (real, fake) = augmentation(labels, (images, -images), rngs(24))
    assert torch.equal(real, -fake)  # one transform for both
    assert moved.dtype == torch.int64 and set(moved.unique().tolist()) <= {
        *range(6),
        *([] if void is None else [void]),
    }
    changed = (moved != labels).flatten(1).any(dim=1)
    assert 10 < int(changed.sum()) <= 24
    shown = (real[:, 0] + 1) * 3
    for row in range(24):
        clear = torch.from_numpy(inner(moved[row].numpy())) & (moved[row] != VOID)
        # A block that is squeezed below two pixels may blend; all others show their own label.
        assert ((shown[row] - moved[row]).abs() < 0.3)[clear].float().mean() > 0.97
    if void is None:
        assert not (moved == VOID).any()
    else:
        outside = (moved == VOID).float().mean()
        assert 0.01 < float(outside) < 0.4


def test_a_mirror_image_is_exact_and_as_frequent_as_the_paper_says():
    labels, images = batch(1, (32, 64))
    augmentation = AdaptiveAugmentation(probability=0.4, kinds=("blit",), void_label_id=VOID)
    mirrored = untouched = 0
    for seed in range(1500):
        moved, (real,) = augmentation(labels, (images,), rngs(1, seed))
        mirrored += torch.equal(moved, labels.flip(-1)) and torch.allclose(real, images.flip(-1), atol=1e-4)
        untouched += torch.equal(moved, labels) and torch.equal(real, images)
    # Mirrored: p/2 and no shift; untouched: neither.
    assert mirrored / 1500 == pytest.approx(0.2 * 0.6, abs=0.03)
    assert untouched / 1500 == pytest.approx(0.8 * 0.6, abs=0.04)


def test_probability_zero_is_the_identity_and_draws_are_per_image():
    labels, images = batch(4)
    off = AdaptiveAugmentation(probability=0.0, void_label_id=VOID)
    same_labels, (same,) = off(labels, (images,), rngs(4))
    assert same_labels is labels and same is images
    on = AdaptiveAugmentation(probability=0.8, void_label_id=VOID)
    whole = on(labels, (images,), rngs(4))
    halves = [on(labels[half], (images[half],), rngs(4)[half]) for half in (slice(0, 2), slice(2, 4))]
    assert torch.equal(whole[0], torch.cat([part[0] for part in halves]))
    assert torch.allclose(whole[1][0], torch.cat([part[1][0] for part in halves]), atol=1e-5)
    assert torch.equal(
        on(labels, (images,), stateless_generator(5))[0], on(labels, (images,), stateless_generator(5))[0]
    )


def test_colors_leave_labels_alone_and_keep_gray_gray_without_brightness():
    labels, images = batch(32)
    augmentation = AdaptiveAugmentation(probability=0.8, kinds=("color",), void_label_id=VOID)
    moved, (real,) = augmentation(labels, (images,), rngs(32))
    assert moved is labels and not torch.equal(real, images)
    spread = real.amax(dim=1) - real.amin(dim=1)  # hue and saturation turn about the grey axis
    assert float(spread.max()) < 1e-4


def test_gradient_reaches_the_images():
    labels, images = batch(3, (16, 16))
    images = images.double().requires_grad_()
    augmentation = AdaptiveAugmentation(probability=0.8, kinds=("color",), void_label_id=VOID)
    assert torch.autograd.gradcheck(lambda x: augmentation(labels, (x,), rngs(3))[1][0], images[:, :, :4, :4])
    warp = AdaptiveAugmentation(probability=0.8, void_label_id=VOID)
    out = warp(labels, (images,), rngs(3))[1][0]
    [gradient] = torch.autograd.grad(out.sum(), images)
    assert torch.isfinite(gradient).all() and (gradient != 0).float().mean() > 0.3


# --- its probability ---------------------------------------------------------------------------------------------


@pytest.fixture
def accelerator():
    AcceleratorState._reset_state(True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(True)


def logits(real_share: float, count: int = 4) -> torch.Tensor:
    """D's logits of 2 classes and "fake" with r_t = 2 * real_share - 1: two classes at 0 outweigh fake at 0.5."""
    values = torch.zeros(count, 3, 10, 10)
    values[:, 2] = 0.5
    values[:, 2, :, round(10 * real_share) :] = 1.0
    return values


def run_steps(augmentation: AdaptiveAugmentation, accelerator: Accelerator, share: float, steps: int) -> dict:
    for _ in range(steps):
        for _ in range(2):  # micro-batches
            augmentation.observe(logits(share))
        numbers = augmentation.update(accelerator)
    return numbers


def test_probability_follows_the_verdict_on_real_pixels(accelerator):
    augmentation = AdaptiveAugmentation(target=0.6, images=1000)
    assert run_steps(augmentation, accelerator, 1.0, 3)["ada_probability"] == 0  # the interval is four steps
    numbers = run_steps(augmentation, accelerator, 1.0, 1)
    assert float(numbers["ada_probability"]) == pytest.approx(4 * 8 / 1000)
    assert float(numbers["ada_sign"]) == 1
    numbers = run_steps(augmentation, accelerator, 0.7, 4)  # r_t = 0.4 < 0.6: back
    assert float(numbers["ada_sign"]) == pytest.approx(0.4) and augmentation.probability == 0
    run_steps(augmentation, accelerator, 0.7, 4)
    assert augmentation.probability == 0
    run_steps(augmentation, accelerator, 0.9, 400)
    assert augmentation.probability == MAX_PROBABILITY


def test_state_goes_on_in_the_middle_of_an_interval(accelerator):
    first, second = (AdaptiveAugmentation(target=0.6, images=500) for _ in range(2))
    run_steps(first, accelerator, 1.0, 6)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for augmentation in (first, second):
        run_steps(augmentation, accelerator, 0.6, 2)
    assert first.state_dict() == second.state_dict() and first.state_dict()["sign"] == pytest.approx(0.6)
    fixed = AdaptiveAugmentation(probability=0.3)
    assert run_steps(fixed, accelerator, 1.0, 8) == {"ada_probability": torch.tensor(0.3)}


# --- in a run ----------------------------------------------------------------------------------------------------


run = partial(run_here, with_samples=False)


def numbers_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_an_adaptive_run_resumes_bit_for_bit(tiny_dataset_dir: Path, tmp_path: Path):
    """Across the change of the probability after four steps; cut off in the middle of an interval."""
    options = ["--set", "data.ada_target=0.01", "--set", "data.ada_images=10", "--set", "data.label_perturbation=1"]
    options += ["--set", "data.keep_aspect=true"]
    assert run(tiny_dataset_dir, tmp_path / "a", *options, "--max_train_steps", "6") == 0
    assert run(tiny_dataset_dir, tmp_path / "b", *options, "--max_train_steps", "3") == 0
    resume = ["--resume_from_checkpoint", "latest", "--max_train_steps", "6"]
    assert run(tiny_dataset_dir, tmp_path / "b", *options, *resume) == 0
    probabilities = [line["ada_probability"] for line in numbers_of(tmp_path / "a")]
    assert probabilities[:3] == [0.0] * 3 and probabilities[3] in (0.0, pytest.approx(0.8))
    assert numbers_of(tmp_path / "a") == numbers_of(tmp_path / "b")
    first, second = (load_file(tmp_path / name / "checkpoint-6" / "model.safetensors") for name in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("recipe", ["oasis/tiny", "dpgan/tiny"])
def test_the_other_families_train_with_it(tiny_dataset_dir: Path, tmp_path: Path, recipe: str):
    options = ["--recipe", recipe, "--set", "data.ada_fixed_probability=0.8", "--max_train_steps", "1"]
    assert run(tiny_dataset_dir, tmp_path, *options) == 0
    [line] = numbers_of(tmp_path)
    assert line["ada_probability"] == pytest.approx(0.8) and "ada_sign" not in line and np.isfinite(line["d_real"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.ada_target=1.5", "data.ada_target=1.5 must be in"),
        ('data.ada_kinds=["cutout"]', "must be some of blit, geometric, color"),
        ("data.label_perturbation=-1", "data.label_perturbation=-1.0 must be at least 0"),
    ],
)
def test_wrong_options_are_one_clear_line(tiny_dataset_dir: Path, tmp_path: Path, capsys, change: str, message: str):
    assert run(tiny_dataset_dir, tmp_path / "out", "--set", change) == 2
    assert message in capsys.readouterr().err

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Grid artifacts: white noise and waves against their formulas, grids that must be found, merging, and small maps."""

import itertools

import numpy as np
import pytest
from scipy.special import exp1

from dpsims_hf.evaluation.metrics.grid_artifacts import (
    CYCLES,
    SPECTRUM_BINS,
    GridArtifacts,
    grid_artifact_scores,
    grid_excess,
    one_class_windows,
    radial_spectrum,
)


SIZES = {32: CYCLES, 64: (4, 8, 16, 32)}  # window -> cycles, of the two protocols
VOID = 3


def noise(*shape: int, spread: float = 20.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(128, spread, shape)


def scene(seed: int, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Noise, class 0 above class 1, a column of void."""
    label_map = np.zeros((height, width), dtype=np.uint8)
    label_map[height // 2 :] = 1
    label_map[:, -width // 4 :] = VOID
    return noise(height, width, 3, seed=seed).clip(0, 255).astype(np.uint8), label_map


def filled(window: int = 32, count: int = 4, change=lambda image: image) -> GridArtifacts:
    state = GridArtifacts(window, SIZES[window])
    scenes = [scene(seed) for seed in range(count)]
    state.update([change(image) for image, _ in scenes], [label_map for _, label_map in scenes])
    return state


def with_grid(image: np.ndarray, side: int = 4, height: int = 8) -> np.ndarray:
    """A checkerboard of squares: its period is two sides along the axes' sum, its power on the diagonals."""
    rows, columns = np.indices(image.shape[:2]) // side
    return (image.astype(int) + height * ((rows + columns) % 2)[..., None]).clip(0, 255).astype(np.uint8)


# --- one window


@pytest.mark.parametrize("window", SIZES)
def test_white_noise_has_its_expected_value(window: int):
    """Power over median power is exponential with median 1; a ring of finite size adds a little, never 15 %."""
    excess = grid_excess(noise(3000 * 1024 // window**2, window, window), SIZES[window])
    expected = exp1(np.log(2)) / np.log(2)
    assert expected == pytest.approx(0.5463, abs=1e-4)
    assert (excess.mean(axis=0) > 0.97 * expected).all() and (excess.mean(axis=0) < 1.15 * expected).all()
    numbers = np.random.default_rng(0).exponential(size=10**6) / np.log(2)
    assert np.log2(numbers).clip(min=0).mean() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("window", "amplitude"), [(32, 10.0), (32, 0.5), (64, 10.0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_wave_has_the_value_of_the_formula(window: int, amplitude: float, axis: int):
    for number, cycles in enumerate(SIZES[window][:-1]):
        wave = amplitude * np.sin(2 * np.pi * cycles * np.arange(window) / window + 0.3)
        picture = 100 + np.broadcast_to(wave if axis else wave[:, None], (1, window, window))
        expected = np.zeros(len(SIZES[window]))
        expected[number] = np.log2(1 + 4 / 3 * (window * amplitude) ** 2) / 4
        np.testing.assert_allclose(grid_excess(picture, SIZES[window])[0], expected, atol=1e-9)


def test_a_wave_on_the_diagonal_and_at_the_finest_frequency():
    rows, columns = np.indices((32, 32))
    diagonal = 10 * np.sin(2 * np.pi * 4 * (rows - columns) / 32)
    np.testing.assert_allclose(grid_excess(diagonal[None])[0], [np.log2(1 + 4 / 3 * 320**2) / 4, 0, 0, 0], atol=1e-9)
    stripes = 10.0 * (-1) ** columns  # all its power is in one bin, so four times that of a wave
    np.testing.assert_allclose(grid_excess(stripes[None])[0], [0, 0, 0, np.log2(1 + 16 / 3 * 320**2) / 4], atol=1e-9)


def test_a_wave_between_the_grid_frequencies_counts_nothing():
    columns = np.broadcast_to(np.arange(32), (1, 32, 32))
    assert grid_excess(100 + 10 * np.sin(2 * np.pi * 6 * columns / 32)).max() < 1e-9


def test_flat_windows_have_nothing_and_what_rounding_hides_next_to_nothing():
    assert grid_excess(np.full((2, 32, 32), 77.0)).max() == 0.0
    assert grid_excess(77 + 0.01 * np.sin(np.pi / 4 * np.indices((1, 32, 32))[2])).max() < 0.05
    assert grid_excess(noise(200, 32, 32, spread=0.01)).max() < 0.05  # white, but darker than any rounding


def test_the_value_does_not_depend_on_brightness_or_contrast_or_phase():
    picture = noise(50, 32, 32) + 30 * np.sin(2 * np.pi * 4 * np.arange(32) / 32)
    base = grid_excess(picture)
    np.testing.assert_allclose(grid_excess(picture + 60), base, atol=1e-9)
    np.testing.assert_allclose(grid_excess(3 * picture), base, atol=0.01)
    moved = noise(50, 32, 32) + 30 * np.sin(2 * np.pi * 4 * (np.arange(32) + 3) / 32)
    assert grid_excess(moved)[:, 0].mean() == pytest.approx(base[:, 0].mean(), abs=0.1)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_a_grid_in_noise_is_found_at_its_period(side: int):
    rows, columns = np.indices((32, 32)) // side
    checks = 60.0 * ((rows + columns) % 2)
    excess = grid_excess(noise(100, 32, 32) + checks).mean(axis=0)
    own = {1: 3, 2: 1, 4: 0}[side]  # periods 2, 4, 8 of CYCLES
    assert excess[own] > 2.0 and excess.argmax() == own
    assert grid_excess(noise(100, 32, 32)).mean() < 0.65


def test_period_16_needs_the_larger_window():
    rows, columns = np.indices((64, 64)) // 8
    picture = noise(60, 64, 64) + 30.0 * ((rows + columns) % 2)
    excess = grid_excess(picture, SIZES[64]).mean(axis=0)
    assert excess[0] > 2.0 and (excess[1:] < 0.75).all()


def test_wrong_cycles_are_named():
    for cycles in ((4, 6), (4, 20), (2, 4), (5, 10)):
        with pytest.raises(ValueError, match="cycles .* in a window of 32: give multiples of the first"):
            grid_excess(noise(1, 32, 32), cycles)


# --- images


def test_windows_lie_wholly_inside_one_class():
    image, label_map = scene(0)
    windows, labels = one_class_windows(image[..., 0].astype(float), label_map)
    # rows 0, 16 and 48, 64 of 96; columns 0 .. 64 of the 96 that are not void, and column 96, which is
    assert sorted(labels.tolist()) == [0] * 10 + [1] * 10 + [VOID] * 5
    np.testing.assert_array_equal(windows[0], image[:32, :32, 0])
    label_map[40, 40] = 2  # in windows of rows 16 .. 47, columns 16 .. 47 and 32 .. 63
    _, labels = one_class_windows(image[..., 0].astype(float), label_map)
    assert (labels == 0).sum() == 10 - 2 and (labels == 1).sum() == 10


def test_scores_are_the_means_over_windows():
    real, fake = filled(), filled(change=with_grid)
    scores = grid_artifact_scores(real, fake, 3, ignore_index=VOID)
    per_class = []
    for label in (0, 1):
        windows = []
        for seed in range(4):
            image, label_map = scene(seed)
            found, labels = one_class_windows(with_grid(image) @ np.array([0.299, 0.587, 0.114]), label_map)
            windows.append(grid_excess(found)[labels == label])
        per_class.append(np.concatenate(windows))
    assert scores["per_class_grid_artifacts"][:2] == pytest.approx([rows.mean() for rows in per_class])
    assert scores["per_class_grid_artifacts"][2] is None and scores["num_windows"] == 80
    assert scores["grid_artifacts"] == pytest.approx(np.concatenate(per_class).mean())
    assert scores["per_period_grid_artifacts"] == pytest.approx(np.concatenate(per_class).mean(axis=0).tolist())
    assert scores["grid_artifacts_ratio"] == scores["grid_artifacts"] / scores["grid_artifacts_real_photos"]
    assert scores["grid_artifacts_ratio"] > 1.4 and scores["spectrum_distance"] > 0
    assert scores["per_class_grid_artifacts_ratio"][1] == pytest.approx(
        scores["per_class_grid_artifacts"][1] / scores["per_class_grid_artifacts_real_photos"][1]
    )
    same = grid_artifact_scores(real, real, 3, ignore_index=VOID)
    assert same["grid_artifacts_ratio"] == 1.0 and same["spectrum_distance"] == 0.0


def test_void_windows_do_not_count():
    def spoiled(image: np.ndarray) -> np.ndarray:
        image = image.copy()
        image[:, -32:] = with_grid(image, height=90)[:, -32:]
        return image

    plain, spoilt = filled(), filled(change=spoiled)
    scores = grid_artifact_scores(plain, spoilt, 4, ignore_index=VOID)
    assert scores["grid_artifacts"] == scores["grid_artifacts_real_photos"]
    assert grid_artifact_scores(plain, spoilt, 4)["grid_artifacts_ratio"] > 1.1
    with pytest.raises(ValueError, match="real images hold 3 but num_labels=3, ignore_index=None"):
        grid_artifact_scores(plain, spoilt, 3)


@pytest.mark.parametrize("window", SIZES)
def test_sharding_does_not_change_a_bit(window: int):
    scenes = [scene(seed) for seed in range(7)]
    whole = filled(window, 7)
    for shards in (([6, 1, 4], [0, 3, 6], [2, 5]), ([0, 1, 2, 3, 4, 5, 6],)):  # 6 twice: padding
        merged = GridArtifacts(window, SIZES[window])
        for shard in shards:
            part = GridArtifacts(window, SIZES[window])
            part.update([scenes[i][0] for i in shard], [scenes[i][1] for i in shard], shard)
            part.merge(merged)
            merged = part
        assert grid_artifact_scores(whole, merged, 4) == grid_artifact_scores(whole, whole, 4)
    with pytest.raises(ValueError, match="cannot merge windows"):
        whole.merge(GridArtifacts(window // 2, (4, 8)))


@pytest.mark.parametrize("size", [(24, 40), (8, 8), (1, 1)])
def test_maps_without_a_window_have_no_value(size: tuple[int, int]):
    real, fake = GridArtifacts(), GridArtifacts()
    for state, seed in ((real, 0), (fake, 1)):
        state.update([noise(*size, 3, seed=seed).astype(np.uint8)], [np.zeros(size, np.uint8)])
    scores = grid_artifact_scores(real, fake, 2)
    assert scores["num_windows"] == 0
    for name in ("grid_artifacts", "grid_artifacts_real_photos", "grid_artifacts_ratio", "per_period_grid_artifacts"):
        assert scores[name] is None, name
    assert scores["per_class_grid_artifacts"] == [None, None]
    assert (scores["spectrum_distance"] is None) == (size == (1, 1))


def test_errors_name_the_cause_and_add_nothing():
    state, (image, label_map) = GridArtifacts(), scene(0)
    with pytest.raises(ValueError, match=r"image is \(96, 128\) and label map \(96, 127\)"):
        state.update([image, image], [label_map, label_map[:, 1:]])
    with pytest.raises(ValueError, match="2 images, 1 label maps, 2 indices"):
        state.update([image, image], [label_map])
    assert len(state) == 0
    with pytest.raises(ValueError, match="no generated images were added"):
        grid_artifact_scores(filled(), state, 4)
    with pytest.raises(ValueError, match="windows of 32 and 64 pixels do not compare"):
        grid_artifact_scores(filled(32), filled(64), 4)


# --- whole images


def test_radial_spectrum_of_white_noise_is_flat_at_its_variance():
    spectra = np.stack([10 ** (radial_spectrum(noise(96, 128, seed=seed)) / 10) for seed in range(30)])
    assert spectra.shape == (30, SPECTRUM_BINS)
    np.testing.assert_allclose(spectra.mean(axis=0)[1:], 400 + 1 / 12, rtol=0.12)
    assert spectra.mean() == pytest.approx(400, rel=0.02)


def test_spectrum_distance_of_known_contrasts():
    """Twice the contrast is 6.02 dB at every radius; images that lack fine detail differ at the outer radii alone."""
    flat = np.zeros((96, 128), np.uint8)
    base = [np.random.default_rng(seed).integers(0, 64, (96, 128, 1)).repeat(3, axis=2) for seed in range(3)]
    states = []
    for factor in (1, 2):
        states.append(GridArtifacts())
        states[-1].update([(factor * image).astype(np.uint8) for image in base], [flat] * 3)
    assert grid_artifact_scores(*states, 1)["spectrum_distance"] == pytest.approx(20 * np.log10(2), abs=0.02)
    smooth = noise(96, 128)
    for axis, shift in itertools.product((0, 1), (1, 2)):
        smooth = (smooth + np.roll(smooth, shift, axis)) / 2
    gap = radial_spectrum(noise(96, 128)) - radial_spectrum(smooth)
    assert np.abs(gap[:4]).max() < 3 and gap[-4:].min() > 6

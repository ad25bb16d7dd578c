# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Variety against numbers worked by hand: colours of classes, levels, photos of similar layout, merging."""

import numpy as np
import pytest
import torch

from dpsims_hf.evaluation.metrics.variety import (
    GeneratedVariety,
    PhotoVariety,
    class_colors,
    color_spread,
    level_distances,
    variety_scores,
)


VOID = 2
# sRGB greys whose CIE lightness is known: L* = 116 f(Y) - 16 of the linear value.
GREYS = (0, 119, 255)
LIGHTNESS = (0.0, 50.03, 100.0)


def halves(left: int | tuple, right: int | tuple) -> np.ndarray:
    """A picture of two plain halves, (10, 20, 3)."""
    image = np.empty((10, 20, 3), np.uint8)
    image[:, :10], image[:, 10:] = left, right
    return image


def two_classes(share: int = 10) -> np.ndarray:
    """Class 0 in the first `share` of 20 columns, class 1 in the others."""
    label_map = np.ones((10, 20), np.uint8)
    label_map[:, :share] = 0
    return label_map


# --- colours


def test_class_colors_by_hand():
    image, label_map = halves((255, 0, 0), 119), two_classes(5)
    colors = class_colors(image, label_map)
    assert colors[0][0] == 0.25 and colors[1][0] == 0.75
    assert colors[0][1] == pytest.approx((53.24, 80.09, 67.20), abs=0.05)  # red
    third = np.array([53.24, 80.09, 67.20]) / 3  # of class 1, a third of the pixels is red
    assert colors[1][1] == pytest.approx(third + np.array([50.03, 0, 0]) * 2 / 3, abs=0.05)
    with pytest.raises(ValueError, match=r"image is \(10, 20\) and label map \(9, 20\)"):
        class_colors(image, label_map[1:])


def test_color_spread_by_hand():
    images = [halves(grey, 119) for grey in GREYS]
    colors = [class_colors(image, two_classes()) for image in images]
    spreads = color_spread(colors, [0, 1, 7])
    assert spreads.keys() == {0, 1}
    assert spreads[0] == pytest.approx((np.std(LIGHTNESS, ddof=1), 0.0), abs=0.05)
    assert spreads[1] == pytest.approx((0.0, 0.0), abs=1e-9)
    colors = [{0: (0.5, (50.0, a, b))} for a, b in ((-3, 1), (3, 1), (0, 4))]
    assert color_spread(colors, [0])[0] == pytest.approx((np.sqrt(9 + 3), np.sqrt(9 + 3)))
    assert color_spread(colors[:1], [0]) == {}


def test_slivers_of_a_class_have_no_colour():
    colors = [{0: (share, (lightness, 0.0, 0.0))} for share, lightness in ((0.5, 10), (0.001, 90), (0.5, 20))]
    assert color_spread(colors, [0])[0][0] == pytest.approx(np.std([10, 20], ddof=1))
    assert color_spread(colors[:2], [0]) == {}


# --- features


def test_level_distances_by_hand():
    """Vectors of length 1: equal 0, at right angles 2, opposite 4; their length does not count."""
    level = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])[..., None, None].expand(4, 2, 3, 5)
    assert level_distances([level]).tolist() == pytest.approx([0, 2, 4, 2, 4, 2], abs=1e-12)
    half = level.clone()
    half[2, :, :, 1:] = half[0, :, :, 1:]  # one fifth of the places differs
    assert level_distances([half])[1] == pytest.approx(0.4)
    assert level_distances([level, half])[1] == pytest.approx((2 + 0.4) / 2)
    assert level_distances([torch.zeros(2, 2, 3, 3)]).tolist() == [0.0]
    assert level_distances([level[:1]]).shape == (0,)


def test_level_distances_are_those_of_the_definition():
    rng = torch.Generator().manual_seed(0)
    levels = [torch.randn(4, channels, side, side, generator=rng) for channels, side in ((8, 12), (16, 6))]
    expected = []
    for a, b in torch.triu_indices(4, 4, 1).T.tolist():
        units = [torch.nn.functional.normalize(level.double(), dim=1) for level in levels]
        expected.append(np.mean([float((unit[a] - unit[b]).square().sum(0).mean()) for unit in units]))
    np.testing.assert_allclose(level_distances(levels), expected, rtol=1e-9)
    assert level_distances([level[[0, 0]] for level in levels])[0] < 1e-12


# --- photos


def photo_variety() -> PhotoVariety:
    photos = PhotoVariety(VOID)
    for index, share in enumerate((10, 2, 11, 9, 18)):
        photos.add(index, halves(40 * index, 119), two_classes(share))
    return photos


def test_nearest_layouts():
    photos = photo_variety()
    assert photos.nearest(0, 3) == [0, 2, 3]  # 2 and 3 are equally near: the lower number first
    assert photos.nearest(1, 2) == [1, 3]
    assert photos.nearest(4, 9) == [4, 2, 0, 3, 1]
    label_map = two_classes(10)
    label_map[:, 10:] = VOID
    photos.add(5, halves(0, 0), label_map)  # half void: it differs from 0 by class 1 alone, 0.5; 1 and 4 by 0.8
    assert photos.nearest(0, 5) == [0, 2, 3, 5, 1]


def test_photos_colours_are_those_of_the_whole_set():
    photos = photo_variety()
    own = [class_colors(halves(40 * i, 119), two_classes(share)) for i, share in enumerate((10, 2, 11, 9, 18))]
    assert photos.color_spread(0) == color_spread(own, [0])[0]
    assert photos.color_spread(5) is None and photos.feature_spread() is None


# --- scores


def test_scores_by_hand():
    photos, generated = PhotoVariety(VOID), GeneratedVariety()
    label_map = two_classes()
    label_map[0] = VOID
    for index, grey in enumerate(GREYS):
        photos.add(index, halves(grey, grey), label_map)
    photos.add_distances(0, [0.2, 0.4, 0.6])
    photos.add_distances(1, [0.8])
    generated.add(4, [class_colors(halves(grey, 119), label_map) for grey in (0, 255)], [0.1])
    generated.add(7, [class_colors(halves(119, 119), label_map) for _ in range(2)], [0.0])
    scores = variety_scores(photos, generated, 4, VOID)
    real, ours = np.std(LIGHTNESS, ddof=1), np.std([0, 100], ddof=1) / 2  # one map of two varies, in class 0 alone
    assert scores["per_class_color_spread"] == [pytest.approx(ours, abs=0.05), 0.0, None, None]
    assert scores["per_class_color_spread_real_photos"][:2] == pytest.approx([real, real], abs=0.05)
    assert scores["per_class_color_spread_ratio"][0] == pytest.approx(ours / real, abs=0.002)
    assert scores["color_spread"] == pytest.approx(ours / 2, abs=0.05)
    assert scores["color_spread_ratio"] == pytest.approx(ours / 2 / real, abs=0.002)
    assert scores["chroma_spread"] == pytest.approx(0.0, abs=0.01)
    assert scores["feature_spread"] == pytest.approx(0.05)
    assert scores["feature_spread_real_photos"] == pytest.approx((0.4 + 0.8) / 2)
    assert scores["feature_spread_ratio"] == pytest.approx(0.05 / 0.6)
    assert scores["num_label_maps"] == 2


def test_the_photos_against_themselves_are_one():
    photos = photo_variety()
    photos.add_distances(0, [0.3])
    scores = variety_scores(photos, photos, 2, None)
    assert scores["color_spread_ratio"] == scores["feature_spread_ratio"] == 1.0


def test_classes_of_one_set_alone_do_not_count():
    photos, generated = photo_variety(), GeneratedVariety()
    images = [halves(grey, grey) for grey in GREYS]
    generated.add(0, [class_colors(image, two_classes() + 2) for image in images])  # classes 2 and 3
    scores = variety_scores(photos, generated, 4)
    assert scores["color_spread"] is scores["color_spread_ratio"] is scores["feature_spread"] is None
    assert scores["per_class_color_spread"] == [None] * 4


def test_sharding_does_not_change_a_bit():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 10, 20, 3), dtype=np.uint8)
    maps = [two_classes(int(share)) for share in rng.integers(2, 18, 9)]
    values = rng.random((9, 3))

    def collect(shard: list[int]) -> tuple[PhotoVariety, GeneratedVariety]:
        photos, generated = PhotoVariety(VOID), GeneratedVariety()
        for index in shard:
            photos.add(index, images[index], maps[index])
            photos.add_distances(index, values[index])
            colors = [class_colors(np.roll(images[index], k, 2), maps[index]) for k in range(3)]
            generated.add(index, colors, values[index] / 2)
        return photos, generated

    whole = collect(list(range(9)))
    merged = collect([])
    for shard in ([8, 1], [3, 0, 8, 2], [7, 4, 6, 5]):  # 8 twice: padding
        part = collect(shard)
        for one, other in zip(part, merged, strict=True):
            one.merge(other)
        merged = part
    assert variety_scores(*merged, 2) == variety_scores(*whole, 2)
    assert [merged[0].nearest(i, 4) for i in range(9)] == [whole[0].nearest(i, 4) for i in range(9)]


def test_errors_name_the_cause():
    with pytest.raises(ValueError, match="variety needs at least 2 images per label map, not 1"):
        GeneratedVariety().add(0, [class_colors(halves(0, 0), two_classes())])
    with pytest.raises(ValueError, match="no generated images were added"):
        variety_scores(photo_variety(), GeneratedVariety(), 2)
    with pytest.raises(ValueError, match="no real images were added"):
        variety_scores(PhotoVariety(), GeneratedVariety(), 2)

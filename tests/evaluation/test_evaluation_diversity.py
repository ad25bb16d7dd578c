# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Diversity over pairs, and colour and texture per class, against direct calls and numbers worked by hand."""

from itertools import combinations

import numpy as np
import pytest
import torch

from dpsims_hf.evaluation import (
    ColorTextureHistograms,
    DiversityMean,
    color_texture_distance,
    load_lpips,
    lpips_distances,
    ms_ssim_similarities,
    pairwise_distances,
    pairwise_mean,
    stack_images,
)
from dpsims_hf.evaluation.metrics.color_texture import chi_square, earth_movers_distance, lab_bins, texture_codes


class MeanDifference(torch.nn.Module):
    """A distance worked out by hand: mean absolute difference, (b, 1, 1, 1) as LPIPS gives it."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)


def pictures(n: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Smooth random pictures that share a background, (n, 3, height, width) in [-1, 1]."""
    rng = torch.Generator().manual_seed(seed)
    shared, own = torch.rand(1, 3, 8, 8, generator=rng), torch.rand(n, 3, 8, 8, generator=rng)
    coarse = 0.6 * shared + 0.4 * own
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") * 2 - 1


def photos(n: int, seed: int, low: int = 0, high: int = 256) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(low, high, (10, 12, 3), dtype=np.uint8) for _ in range(n)]


# --- pairs


def test_pairwise_mean_by_hand():
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    for batch_size in (1, 2, 16):
        assert pairwise_distances(images, MeanDifference(), batch_size).tolist() == [0.5, 1.0, 0.5]
    assert pairwise_mean(images, MeanDifference()) == pytest.approx(2 / 3)


def test_lpips_equals_direct_calls_and_is_zero_for_equal_images():
    import lpips

    with torch.random.fork_rng(devices=[]), pytest.warns(UserWarning, match="weights"):  # torchvision, called by lpips
        torch.manual_seed(0)
        network = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    images = pictures(4, 40, 48, 0)
    with torch.no_grad():
        direct = [network(images[i : i + 1], images[j : j + 1]).item() for i, j in combinations(range(4), 2)]
    assert min(direct) > 0
    np.testing.assert_allclose(lpips_distances(images, network), direct, rtol=1e-5)
    np.testing.assert_allclose(pairwise_distances(images, network), direct, rtol=1e-5)
    assert lpips_distances(images[:1].repeat(3, 1, 1, 1), network).tolist() == [0.0, 0.0, 0.0]


def test_lpips_without_its_weights_says_so(monkeypatch: pytest.MonkeyPatch):
    from urllib.error import URLError

    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("lpips.LPIPS", offline)
    with pytest.raises(ValueError, match="VGG16 weights .*no network.* pass distance="):
        load_lpips()


@pytest.mark.parametrize(("scales", "side"), [(5, 176), (4, 99), (2, 22), (1, 11)])
def test_ms_ssim_equals_direct_calls_and_is_one_for_equal_images(scales: int, side: int):
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)[:scales]
    weights = tuple(weight / sum(weights) for weight in weights) if scales < 5 else weights
    images = pictures(3, side, side + 8, 1)
    unit = images / 2 + 0.5
    direct = [
        ms_ssim(unit[i : i + 1], unit[j : j + 1], data_range=1.0, betas=weights).item()
        for i, j in combinations(range(3), 2)
    ]
    values = ms_ssim_similarities(images, scales)
    assert 0 < min(direct) and max(direct) < 1
    np.testing.assert_allclose(values, direct, rtol=1e-5)
    np.testing.assert_allclose(ms_ssim_similarities(images[:1].repeat(2, 1, 1, 1), scales), 1.0, atol=1e-6)


def test_ms_ssim_of_small_images_names_the_smaller_protocol():
    with pytest.raises(
        ValueError, match="images of 175x300 are too small .* at least 176; pass scales=4 and state it"
    ):
        ms_ssim_similarities(pictures(2, 175, 300, 2))
    with pytest.raises(ValueError, match="at least 11; take larger images"):
        ms_ssim_similarities(pictures(2, 10, 20, 2), scales=1)
    with pytest.raises(ValueError, match="scales=6: choose 1 to 5"):
        ms_ssim_similarities(pictures(2, 400, 400, 2), scales=6)


def test_pairs_need_two_images_and_one_value_each():
    images = pictures(3, 8, 8, 3)
    with pytest.raises(ValueError, match="at least 2 images per label map, not 1"):
        pairwise_mean(images[:1], MeanDifference())
    with pytest.raises(ValueError, match="1 values for 3 pairs"):
        pairwise_mean(images, lambda a, b: (a - b).mean())
    with pytest.raises(ValueError, match="images are torch.uint8"):
        pairwise_mean(images.byte(), MeanDifference())
    with pytest.raises(ValueError, match=r"sizes \[\(8, 8\), \(10, 12\)\]"):
        stack_images([photos(1, 0)[0], np.zeros((8, 8, 3), np.uint8)])


def test_stack_images_covers_the_range():
    stacked = stack_images([np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)])
    assert stacked.shape == (2, 3, 2, 3) and stacked[0].eq(-1).all() and stacked[1].eq(1).all()


def test_diversity_mean_does_not_depend_on_sharding():
    rng = np.random.default_rng(4)
    values = {index: torch.from_numpy(rng.random(3)) for index in range(10)}
    whole = DiversityMean()
    for index in range(10):
        whole.add(values[index], index)
    merged = DiversityMean()
    for shard in ([9, 1, 4], [7, 2, 0, 9], [3, 5, 6, 8]):  # 9 twice: padding
        part = DiversityMean()
        for index in shard:
            part.add(values[index], index)
        part.merge(merged)
        merged = part
    assert merged.compute() == whole.compute()
    assert whole.compute()["mean"] == pytest.approx(np.mean([v.mean() for v in values.values()]))
    assert (whole.compute()["num_label_maps"], whole.compute()["images_per_label_map"]) == (10, 3)
    whole.add(torch.ones(1))
    with pytest.raises(ValueError, match=r"label maps came with \[2, 3\] images"):
        whole.compute()
    with pytest.raises(ValueError, match="no label maps were added"):
        DiversityMean().compute()
    with pytest.raises(ValueError, match="not finite"):
        whole.add(torch.tensor([float("nan")]))


# --- colour and texture


def test_color_distance_of_a_known_shift():
    # All L in bin 2 against half in bin 2, half in bin 6: half of the mass moves 4 bins of 100 / 32; a and b agree.
    real, fake = np.zeros((3, 32), int), np.zeros((3, 32), int)
    real[:, 2], fake[:, 2] = 10, 4
    fake[0, 2], fake[0, 6] = 2, 2
    assert earth_movers_distance(real, fake) == pytest.approx(0.5 * 4 * 100 / 32 / 3)
    fake[1] = np.roll(fake[1], 3)  # channel a: all mass moves 3 bins of 256 / 32
    assert earth_movers_distance(real, fake) == pytest.approx((0.5 * 4 * 100 / 32 + 3 * 256 / 32) / 3)


def test_chi_square_equals_its_formula():
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 9, 10), rng.integers(0, 9, 10)
    a[0] = b[0] = 0
    p, q = a / a.sum(), b / b.sum()
    expected = sum((x - y) ** 2 / (x + y) for x, y in zip(p, q, strict=True) if x + y) / 2
    assert chi_square(a, b) == pytest.approx(expected)
    assert chi_square(a, 3 * a) == pytest.approx(0.0, abs=1e-15)
    assert chi_square(np.array([4, 0]), np.array([0, 7])) == 1.0


def test_bins_of_known_colours_and_textures():
    # CIE LAB (D65): white (100, 0, 0), black (0, 0, 0), red (53.2, 80.1, 67.2), blue (32.3, 79.2, -107.9).
    row = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]]], np.uint8)
    lightness, a, b = lab_bins(row)[:, 0]
    assert lightness.tolist() == [31, 0, int(53.2 / 3.125), int(32.3 / 3.125)]
    assert a[2:].tolist() == [int((80.1 + 128) / 8), int((79.2 + 128) / 8)]
    assert b[2:].tolist() == [int((67.2 + 128) / 8), int((128 - 107.9) / 8)]
    flat = np.full((5, 5, 3), 90, np.uint8)
    assert texture_codes(flat)[2, 2] == 8  # all 8 neighbours are as bright
    flat[2, 2] = 200
    assert texture_codes(flat)[2, 2] == 0  # all are darker
    flat[2, 2], flat[1] = 90, 10
    assert texture_codes(flat)[2, 2] == 5  # the row above is darker, the other 5 in one run


def test_distances_are_per_class_and_zero_for_identical_sets():
    images = photos(4, 6)
    maps = [np.repeat([[0], [1], [255]], [4, 4, 2], axis=0).repeat(12, axis=1) for _ in images]
    real, fake = ColorTextureHistograms(), ColorTextureHistograms()
    real.update(images, maps)
    fake.update(images, maps)
    result = color_texture_distance(real, fake, num_labels=3, ignore_index=255)
    assert result["color_distance"] == result["texture_distance"] == 0.0
    assert result["per_class_color_distance"] == [0.0, 0.0, None] and result["num_classes_counted"] == 2

    changed = [image.copy() for image in images]
    for image in changed:
        image[5:8] = 255  # rows inside class 1 only, one row from its edges: class 0 keeps its texture
    other = ColorTextureHistograms()
    other.update(changed, maps)
    result = color_texture_distance(real, other, num_labels=3, ignore_index=255)
    zero, moved, absent = result["per_class_color_distance"]
    assert zero == 0.0 and moved > 5 and absent is None
    assert result["color_distance"] == pytest.approx(moved / 2)
    assert result["per_class_texture_distance"][0] == 0.0 and result["per_class_texture_distance"][1] > 0.05
    # The same from the pixels of class 1, channel by channel.
    expected = earth_movers_distance(
        *(
            [np.bincount(np.concatenate([lab_bins(i)[c][4:8] for i in s], None), minlength=32) for c in range(3)]
            for s in (images, changed)
        )
    )
    assert moved == pytest.approx(expected)


def test_histograms_do_not_depend_on_sharding():
    images, maps = photos(5, 7), [m[..., 0] % 3 for m in photos(5, 8)]
    whole, merged = ColorTextureHistograms(), ColorTextureHistograms()
    whole.update(images, maps)
    for shard in ([4, 1], [0], [3, 2]):
        part = ColorTextureHistograms()
        part.update([images[i] for i in shard], [maps[i] for i in shard])
        merged.merge(part)
    assert whole.color.keys() == merged.color.keys()
    assert sum(h.sum() for h in whole.texture.values()) == 5 * 10 * 12
    for label in whole.color:
        np.testing.assert_array_equal(whole.color[label], merged.color[label])
        np.testing.assert_array_equal(whole.texture[label], merged.texture[label])


def test_color_texture_errors_name_the_cause():
    image, label_map = photos(1, 9)[0], np.zeros((10, 12), np.uint8)
    real, fake = ColorTextureHistograms(), ColorTextureHistograms()
    with pytest.raises(ValueError, match=r"image is \(10, 12\) and label map \(10, 11\)"):
        real.update([image, image], [label_map, label_map[:, 1:]])
    assert not real.color  # the right first pair was not counted either
    with pytest.raises(ValueError, match="2 images came with 1 label maps"):
        real.update([image, image], [label_map])
    with pytest.raises(ValueError, match="an image is float32"):
        real.update([image.astype(np.float32)], [label_map])
    with pytest.raises(ValueError, match="label map is float64"):
        real.update([image], [label_map / 2])
    real.update([image], [label_map])
    with pytest.raises(ValueError, match="no generated images were added"):
        color_texture_distance(real, fake, num_labels=2)
    fake.update([image], [label_map + 1])
    with pytest.raises(ValueError, match="generated images hold 1 but num_labels=1"):
        color_texture_distance(real, fake, num_labels=1)
    with pytest.raises(ValueError, match="no class in common"):
        color_texture_distance(real, fake, num_labels=2)

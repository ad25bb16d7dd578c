# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Noise in the pipeline: classes, regions and components that are re-sampled, walks between seeds; for every family.

Besides the real generators stands one that shows the noise itself, so that every pixel tells which vector it obeys.
"""

import numpy as np
import pytest
import torch
from tiny_pipelines import (
    NAMES,
    SIZE,
    captured_inputs,
    learned_generator,
    pixels,
    street,
    tiny_generator,
    tiny_processor,
    two_cars,
)
from transformers import PreTrainedConfig

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.layers_noise import noise_map
from dpsims_hf.modeling_base import SemanticGenerator
from dpsims_hf.pipeline_noise import RESAMPLE_SEED_OFFSET, connected_component, slerp


class ScreenConfig(PreTrainedConfig):
    model_type = "noise-screen"
    noise_dim, num_labels, size_divisor = 3, len(NAMES), 8
    num_scales, texture_noise = 1, False


class NoiseScreen(SemanticGenerator):
    """Pixel = tanh(noise vector of its region)."""

    config_class = ScreenConfig

    def __init__(self, config: ScreenConfig) -> None:
        super().__init__(config)
        self.to_image = torch.nn.Identity()
        self.unused = torch.nn.Parameter(torch.zeros(1))  # tells device and type

    def _features(self, label_map, noise, noise_regions, instance_offsets, textures):
        return noise_map(noise, torch.zeros_like(label_map) if noise_regions is None else noise_regions)


def color(vector: torch.Tensor) -> np.ndarray:
    """The colour in which the screen shows a noise vector."""
    return ((vector.tanh() + 1) * 127.5).round().byte().numpy()


def shown(*draws: tuple[int, int]) -> list[np.ndarray]:
    """The colours in which the screen shows (seed, k): the k-th vector, from 0, that the seed draws."""
    vectors = []
    for seed, k in draws:
        rng = torch.Generator().manual_seed(seed)
        vectors.append([torch.randn(1, 3, generator=rng) for _ in range(k + 1)][-1][0])
    return [color(vector) for vector in vectors]


def paint(numbers: np.ndarray, *colors: np.ndarray) -> np.ndarray:
    """The image whose pixels have the colour of their number."""
    return np.stack(colors)[numbers]


@pytest.fixture(scope="module")
def pipe() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor())


@pytest.fixture(scope="module")
def screen() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(NoiseScreen(ScreenConfig()).eval(), tiny_processor())


@pytest.fixture(scope="module", params=["dpsims", "oasis", "dpgan", "spade"])
def family_pipe(request) -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(learned_generator(request.param), tiny_processor())


# -- local re-sampling ------------------------------------------------------------------------------------------------


def test_every_region_has_its_own_noise_whatever_the_others_are(pipe):
    left, right = np.zeros(SIZE, dtype=int), np.zeros(SIZE, dtype=int)
    left[20:28, :10], right[20:28, 40:] = 1, 2
    both = captured_inputs(pipe, street(), num_images_per_label_map=1, resample_regions=left + right)[0]
    one = captured_inputs(pipe, street(), num_images_per_label_map=1, resample_regions=left)[0]
    assert both["noise"].shape == (1, 3, 8) and torch.equal(both["noise"][:, :2], one["noise"])
    assert torch.equal(both["noise_regions"][0], torch.from_numpy(left + right))
    assert not torch.equal(both["noise"][:, 1], both["noise"][:, 2])


# -- walks ------------------------------------------------------------------------------------------------------------


def test_interpolation_ends_at_the_images_of_its_seeds(pipe):
    output = pipe.interpolate(street(), seed_from=2, seed_to=9, steps=5)
    assert len(output.images) == 5 and output.seeds == [2, None, None, None, 9]
    ends = pixels(pipe(street(), seed=[2, 9]).images)
    walk = pixels(output.images)
    assert np.array_equal(walk[0], ends[0]) and np.array_equal(walk[-1], ends[1])
    steps = np.abs(np.diff(walk.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert (steps > 0).all() and steps.max() < np.abs(ends[1].astype(int) - ends[0]).mean()
    with pytest.raises(ValueError, match="steps=1"):
        pipe.interpolate(street(), steps=1)


def test_interpolation_in_a_region_moves_its_noise_alone(screen):
    drawn = np.zeros(SIZE, dtype=int)
    drawn[:4], drawn[28:] = 1, 2
    walkers = {"resample_labels": ["sky"], "resample_regions": drawn, "resample_points": (24, 50)}
    output = screen.interpolate(two_cars(), seed_from=2, seed_to=9, steps=5, batch_size=3, **walkers)
    assert output.seeds == [2, None, None, None, None] and len(output.images) == 5
    chosen = (two_cars() == 0) | (drawn > 0)
    chosen[20:28, 40:60] = True
    start, end = (torch.randn(1, 3, generator=torch.Generator().manual_seed(seed)) for seed in (2, 9))
    for index, image in enumerate(output.images):
        walked = slerp(start, end, index / 4)
        assert np.array_equal(np.asarray(image), paint(chosen.astype(int), color(start[0]), color(walked[0])))


def test_interpolation_of_several_label_maps_and_of_an_absent_class(screen):
    options = {"seed_from": 2, "seed_to": 9, "steps": 3, "resample_labels": "car", "output_type": "np_uint8"}
    output = screen.interpolate([street(), np.zeros(SIZE, dtype=np.uint8)], **options)
    assert output.seeds == [2, None, None] * 2
    assert np.array_equal(output.images[:3], screen.interpolate(street(), **options).images)
    assert np.array_equal(output.images[3:], np.broadcast_to(shown((2, 0))[0], (3, *SIZE, 3)))


def test_interpolation_refuses_what_it_does_not_know(screen):
    for option in ({"seed": 3}, {"noise": torch.zeros(1, 3)}, {"num_images_per_label_map": 2}, {"resample_seed": 1}):
        with pytest.raises(TypeError, match=next(iter(option))):
            screen.interpolate(street(), **option)


def test_a_linear_walk_is_the_straight_line_of_oasis(screen):
    """App. B.3: two noise vectors and three points between them."""
    walk = screen.interpolate(street(), seed_from=2, seed_to=9, steps=5, mode="linear").images
    start, end = (torch.randn(1, 3, generator=torch.Generator().manual_seed(seed))[0] for seed in (2, 9))
    for index, image in enumerate(walk):
        expected = color((4 - index) / 4 * start + index / 4 * end).astype(int)
        assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1  # a rounding of the 8 bits
    sphere = pixels(screen.interpolate(street(), seed_from=2, seed_to=9, steps=5).images)
    line = pixels(walk)
    assert np.array_equal(line[[0, 4]], sphere[[0, 4]]) and not np.array_equal(line[2], sphere[2])
    with pytest.raises(ValueError, match="mode='curved' is no way to interpolate; choose one of spherical, linear"):
        screen.interpolate(street(), mode="curved")


def test_slerp_by_hand():
    right, up = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert torch.allclose(slerp(right, up, 0.5), torch.full((1, 2), 2**0.5))
    assert torch.allclose(slerp(right, up, 1 / 3), torch.tensor([[3**0.5, 1.0]]))
    assert torch.equal(slerp(right, up, 0), right) and torch.equal(slerp(right, up, 1), up)
    assert torch.allclose(slerp(right, 2 * right, 0.5), 1.5 * right), "one direction: a straight line"


# -- connected components ---------------------------------------------------------------------------------------------


def flood_fill(label_map: np.ndarray, row: int, column: int) -> np.ndarray:
    """Pixel by pixel."""
    height, width = label_map.shape
    found, stack = np.zeros((height, width), dtype=bool), [(row, column)]
    found[row, column] = True
    while stack:
        r, c = stack.pop()
        for near in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            inside = 0 <= near[0] < height and 0 <= near[1] < width
            if inside and not found[near] and label_map[near] == label_map[row, column]:
                found[near] = True
                stack.append(near)
    return found


def spiral(turns: int) -> np.ndarray:
    """A one pixel wide path of 1 that winds outwards to the corner (0, 0), with a path of 0 between its arms."""
    label_map = np.ones((1, 1), dtype=np.int64)
    for _ in range(turns):
        label_map = np.rot90(label_map, -1)
        bridge = np.arange(label_map.shape[1]) == label_map.shape[1] - 1
        label_map = np.vstack([np.ones_like(bridge), bridge, label_map]).astype(np.int64)
    return label_map


def check_component(label_map: np.ndarray, point: tuple[int, int]) -> None:
    found = connected_component(torch.from_numpy(label_map), point)
    assert found.dtype == torch.bool and np.array_equal(found.numpy(), flood_fill(label_map, *point))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (23, 37), (64, 64)])
@pytest.mark.parametrize("classes", [1, 2, 3, 6])
def test_components_of_random_maps(shape, classes):
    rng = np.random.default_rng(classes)
    for _ in range(5):
        label_map = rng.integers(0, classes, shape)
        check_component(label_map, (int(rng.integers(shape[0])), int(rng.integers(shape[1]))))


@pytest.mark.parametrize("turns", [3, 10, 510])
def test_both_arms_of_a_spiral_are_one_component_each(turns):
    label_map = spiral(turns)
    assert min(label_map.shape) >= turns and np.array_equal(flood_fill(label_map, 0, 0), label_map == 1)
    for turned in (label_map, np.ascontiguousarray(np.rot90(label_map))):
        for value in (0, 1):
            check_component(turned, tuple(np.argwhere(turned == value)[0]))


def test_components_of_a_large_map():
    rng = np.random.default_rng(0)
    label_map = (rng.random((512, 512)) < 0.6).astype(np.int64)  # at 0.593 the largest component spans the map
    label_map[256, 256] = 1
    check_component(label_map, (256, 256))


def test_diagonal_neighbours_are_not_joined():
    label_map = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 0]])
    expected = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0]]).bool()
    assert torch.equal(connected_component(label_map, (1, 1)), expected)


def test_a_point_gives_its_component_new_noise_and_the_rest_its_own(screen):
    left, right = np.zeros(SIZE, dtype=int), np.zeros(SIZE, dtype=int)
    left[20:28, 4:24], right[20:28, 40:60] = 1, 1
    output = screen(two_cars(), seed=3, num_images_per_label_map=2, resample_points=(24, 5), resample_seed=50)
    assert output.seeds == [3, 4] and output.resample_seeds == [50, 51]
    for index in range(2):
        expected = paint(left, *shown((3 + index, 0), (50 + index, 0)))
        assert np.array_equal(np.asarray(output.images[index]), expected)
    # Each component has its own vector, in the order of the points; a second point on one changes nothing.
    options = {"seed": 3, "num_images_per_label_map": 1, "resample_seed": 50}
    expected = paint(2 * left + right, *shown((3, 0), (50, 0), (50, 1)))
    for points in ([(24, 50), (24, 5)], [(24, 50), (20, 41), (24, 5)], np.array([[24, 50], [24, 5]])):
        assert np.array_equal(pixels(screen(two_cars(), resample_points=points, **options).images)[0], expected)


def test_points_are_pixels_of_the_generated_image(screen):
    options = {"num_images_per_label_map": 1, "resample_points": [(24, 5)], "output_type": "np_uint8"}
    expected = screen(two_cars(), **options).images
    large = np.kron(two_cars(), np.ones((4, 4), dtype=np.uint8))
    assert np.array_equal(screen(large, **options).images, expected)
    bigger = screen(large, size={"height": 64, "width": 128}, **(options | {"resample_points": (48, 10)})).images
    assert np.array_equal(bigger[:, ::2, ::2], expected)


def test_every_label_map_has_its_own_components(screen):
    maps = [two_cars(), street(30)]
    output = screen(maps, num_images_per_label_map=1, resample_points=[(24, 45)])
    for label_map, image in zip(maps, output.images, strict=True):
        numbers = flood_fill(label_map, 24, 45).astype(int)
        assert np.array_equal(np.asarray(image), paint(numbers, *shown((0, 0), (RESAMPLE_SEED_OFFSET, 0))))


def test_point_errors(screen):
    for point in ((32, 0), (0, 64), (-1, 5)):
        with pytest.raises(ValueError, match=r"row 0\.\.31 and column 0\.\.63.*generated image \(32x64"):
            screen(street(), resample_points=[(1, 1), point])
    for points in ([(1, 2, 3)], [(1.5, 2.0)], (5,), "car"):
        with pytest.raises(ValueError, match=r"is no \(row, column\) pair of whole numbers"):
            screen(street(), resample_points=points)
    with pytest.raises(ValueError, match="goes with resample_regions, its map, alone"):
        screen(street(), noise=torch.zeros(1, 2, 3), resample_regions=street() > 0, resample_points=(1, 1))


# -- together ---------------------------------------------------------------------------------------------------------


def test_labels_points_and_regions_together(screen):
    drawn = np.zeros(SIZE, dtype=np.uint8)
    drawn[0:4], drawn[20:28, 4:10] = 4, 2  # some sky, and the front of the left car
    chosen = {"resample_labels": ["road", "car"], "resample_regions": drawn, "resample_points": [(24, 20), (8, 0)]}
    output = screen(two_cars(), seed=1, num_images_per_label_map=1, resample_seed=9, **chosen)
    # Numbers 1..4 are the regions', 5 the classes', 6 the left car's, 7 the sky's; a region wins, then a component.
    numbers = np.zeros(SIZE, dtype=int)
    numbers[:16], numbers[16:], numbers[20:28, 4:24] = 7, 5, 6
    numbers[drawn > 0] = drawn[drawn > 0]
    expected = paint(numbers, *shown((1, 0), *((9, k) for k in range(7))))
    assert np.array_equal(np.asarray(output.images[0]), expected)


def test_the_numbers_of_a_mask_may_have_gaps_and_any_integer_type(screen):
    mask = (street() == 2).astype(np.uint8) * 255
    colors = shown((0, 0), (RESAMPLE_SEED_OFFSET, 254))
    for regions in (mask, mask.astype(np.uint16), torch.from_numpy(mask.astype(np.int32))):
        inputs = captured_inputs(screen, street(), num_images_per_label_map=1, resample_regions=regions)[0]
        assert inputs["noise"].shape == (1, 2, 3), "the network sees the noise that pixels obey"
        image = screen(street(), num_images_per_label_map=1, resample_regions=regions).images[0]
        assert np.array_equal(np.asarray(image), paint(mask // 255, *colors))


def test_choosing_nothing_leaves_the_images_bit_for_bit(family_pipe):
    options = {"num_images_per_label_map": 2, "output_type": "np_uint8"}
    plain = family_pipe(street(), **options).images
    for nothing in (
        {"resample_labels": ["tree"]},
        {"resample_labels": []},
        {"resample_points": []},
        {"resample_regions": np.zeros((4, 8), dtype=bool)},
    ):
        assert np.array_equal(family_pipe(street(), **nothing, **options).images, plain)
        assert captured_inputs(family_pipe, street(), **nothing)[0]["noise_regions"] is None


# -- every family -----------------------------------------------------------------------------------------------------


def test_resampling_in_every_family(family_pipe):
    options = {
        "seed": 4,
        "num_images_per_label_map": 2,
        "output_type": "np_uint8",
        "resample_points": [(24, 12), (24, 50)],
    }
    first = family_pipe(two_cars(), resample_labels="sky", **options)
    again = family_pipe(two_cars(), resample_labels="sky", **options)
    assert np.array_equal(first.images, again.images), "the same seeds give the same image bit for bit"
    alone = family_pipe(two_cars(), resample_labels="sky", **(options | {"seed": 5, "num_images_per_label_map": 1}))
    assert np.array_equal(alone.images[0], first.images[1])
    plain = family_pipe(two_cars(), seed=4, num_images_per_label_map=2, output_type="np_uint8").images
    cars = family_pipe(two_cars(), **options).images
    change = np.abs(plain.astype(int) - cars).mean(axis=(0, 3))
    assert change[two_cars() == 2].mean() > 2 * change[:8].mean(), "the cars change more than the sky above"


def test_walks_in_every_family(family_pipe):
    options = {"resample_points": (24, 12), "output_type": "np_uint8"}
    walk = family_pipe.interpolate(two_cars(), seed_from=2, seed_to=9, steps=4, **options).images
    assert np.array_equal(walk[0], family_pipe(two_cars(), seed=[2], output_type="np_uint8").images[0])
    end = family_pipe(two_cars(), seed=[2], resample_seed=9, **options).images[0]
    assert np.array_equal(walk[-1], end) and not np.array_equal(walk[0], end)


@pytest.mark.parametrize("family", ["oasis", "dpgan"])
def test_a_model_without_noise(family):
    silent = SemanticImageSynthesisPipeline(learned_generator(family, noise_dim=0), tiny_processor())
    images = silent(street(), seed=[1, 2], output_type="np_uint8").images
    assert np.array_equal(images[0], images[1]) and images[0].std() > 0
    for options in ({"resample_labels": "car"}, {"resample_regions": street() == 2}, {"resample_points": (0, 0)}):
        with pytest.raises(ValueError, match="has no noise .config.noise_dim is 0."):
            silent(street(), **options)
    with pytest.raises(ValueError, match="has no noise .config.noise_dim is 0."):
        silent.interpolate(street())

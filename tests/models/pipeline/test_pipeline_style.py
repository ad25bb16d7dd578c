# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`pipe.match_style`: the noise whose image has a photo's colours class by class, for every family."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from tiny_pipelines import SIZE, learned_generator, street, tiny_discriminator, tiny_processor

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.pipeline_style import class_statistics, rgb_to_lab, style_distance


@pytest.fixture(scope="module", params=["dpsims", "oasis", "dpgan", "spade"])
def pipe(request) -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(learned_generator(request.param), tiny_processor(), tiny_discriminator())


def photo_of(pipe: SemanticImageSynthesisPipeline, label_map: np.ndarray, seed: int = 1000) -> np.ndarray:
    """A picture whose colours the generator can make: one of its own."""
    return pipe(label_map, seed=seed, num_images_per_label_map=1, output_type="pil").images[0]


def test_lab_is_that_of_scikit_image_and_has_gradients_everywhere():
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images[0, :, 0], images[0, :, 1], images[0, 0, 2] = -1, 1, -1  # black, white, no red
    images.requires_grad_()
    lab = rgb_to_lab(images)
    expected = rgb2lab(((images.detach() + 1) / 2).permute(0, 2, 3, 1).numpy().astype(np.float64))
    assert np.allclose(lab.detach().permute(0, 2, 3, 1), expected, atol=2e-3)
    lab.square().sum().backward()
    assert bool(images.grad.isfinite().all())


def test_statistics_are_those_of_each_classes_pixels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    label_map = street()
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    found = class_statistics(pixels, torch.from_numpy(label_map).long(), [0, 2])
    lab = rgb2lab(image)
    expected = np.stack([[lab[label_map == label].mean(0), lab[label_map == label].std(0)] for label in (0, 2)])
    assert np.allclose(found[0], expected, atol=5e-3)
    moved = torch.from_numpy(expected).float() + torch.tensor([[3.0, 0, 0], [0, 4.0, 0]])
    assert float(style_distance(found, moved)[0]) == pytest.approx(7, abs=1e-2)


@pytest.mark.parametrize("per_class", [False, True])
def test_the_image_comes_nearer_than_the_best_of_the_seeds(pipe, per_class):
    label_map, other = street(), street(30)
    photo = photo_of(pipe, other)
    style = pipe.match_style(label_map, photo, other, num_seeds=4, per_class=per_class)
    assert style.labels == [0, 1, 2] and 0 <= style.start_seed < 4
    assert style.distance < 0.9 * style.start_distance
    assert tuple(style.noise.shape)[:-1] == ((1, 4) if per_class else (1,))
    assert (style.noise_regions is not None) == per_class

    def distance(**noise) -> float:
        images = pipe(label_map, num_images_per_label_map=1, output_type="pil", **noise).images
        pictures = [
            torch.from_numpy(np.asarray(x).copy()).permute(2, 0, 1)[None] / 127.5 - 1 for x in (photo, *images)
        ]
        maps = [torch.from_numpy(x).long() for x in (other, label_map)]
        target, found = (class_statistics(x, y, style.labels) for x, y in zip(pictures, maps, strict=True))
        return float(style_distance(found, target[0])[0])

    # What it says of its image holds for the image that the pipeline then makes, rounded to 8 bits.
    assert distance(noise=style.noise, resample_regions=style.noise_regions) == pytest.approx(style.distance, abs=0.3)
    seeds = [distance(seed=seed) for seed in range(4)]
    assert np.argmin(seeds) == style.start_seed and min(seeds) == pytest.approx(style.start_distance, abs=0.3)


def test_the_same_photo_gives_the_same_noise_and_leaves_the_model_alone(pipe):
    before = {name: value.clone() for name, value in pipe.generator_model.state_dict().items()}
    photo = photo_of(pipe, street(30))
    state = torch.get_rng_state()
    first, second = (pipe.match_style(street(), photo, street(30), num_seeds=2, steps=3) for _ in range(2))
    assert torch.equal(first.noise, second.noise) and first.distance == second.distance
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in pipe.generator_model.state_dict().items())
    assert all(parameter.grad is None for parameter in pipe.generator_model.parameters())


def test_no_steps_give_the_best_seed(pipe):
    style = pipe.match_style(street(), photo_of(pipe, street()), street(), seed=5, num_seeds=3, steps=0)
    rng = torch.Generator().manual_seed(style.start_seed)
    assert torch.equal(style.noise, pipe.generator_model.sample_noise(1, generator=rng))
    assert style.distance == style.start_distance and style.start_seed in (5, 6, 7)


def test_the_discriminator_says_what_is_where(pipe):
    photo = photo_of(pipe, street())
    labels = pipe.segment(photo)
    asked = pipe.match_style(street(), photo, labels.numpy().astype(np.uint8), num_seeds=1, steps=1)
    assert asked.labels == pipe.match_style(street(), photo, num_seeds=1, steps=1).labels


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"photo_label_map": np.full(SIZE, 3, dtype=np.uint8)}, r"no class of the label map: .* \[3\]"),
        ({"photo_label_map": np.full(SIZE, 4, dtype=np.uint8)}, "no class of the label map"),  # void is no class
        ({"steps": -1}, "steps=-1 must be a whole number in 0..1000"),
        ({"num_seeds": 0}, "num_seeds=0 must be a whole number in 1..1000"),
        ({"num_seeds": 2.5}, "num_seeds=2.5"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    pipe = SemanticImageSynthesisPipeline(learned_generator("dpsims"), tiny_processor(void_label_id=4))
    arguments = {"photo_label_map": street(30)} | change
    with pytest.raises(ValueError, match=words):
        pipe.match_style(street(), np.zeros((*SIZE, 3), dtype=np.uint8), **arguments)


def test_a_model_without_noise_has_no_style():
    pipe = SemanticImageSynthesisPipeline(learned_generator("dpgan", noise_dim=0), tiny_processor())
    with pytest.raises(ValueError, match="no noise"):
        pipe.match_style(street(), np.zeros((*SIZE, 3), dtype=np.uint8), street(30))


def test_a_network_without_gradients_has_no_style():
    fast = learned_generator("dpgan").for_inference("float32")
    pipe = SemanticImageSynthesisPipeline(fast, tiny_processor())
    with pytest.raises(ValueError, match="DPGANGenerator gives no gradients here"):
        pipe.match_style(street(), np.zeros((*SIZE, 3), dtype=np.uint8), street(30), num_seeds=1, steps=1)

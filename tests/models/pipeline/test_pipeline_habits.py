# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What users of diffusers type: random generators, sizes, output types, callbacks, arguments of `from_pretrained`."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.image_processor import VaeImageProcessor
from tiny_pipelines import SIZE, pixels, street, tiny_discriminator, tiny_generator, tiny_processor

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.pipeline_loading import checked_dtype, weight_options, whole_device_map


pytestmark = pytest.mark.integration


PHOTO = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pipe() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor(), tiny_discriminator())


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "model"
    pipe.save_pretrained(path, include_backbone=True)
    return path


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- random generators ------------------------------------------------------------------------------------------------


def test_a_generators_first_image_is_that_of_its_seed(pipe):
    one = {"num_images_per_label_map": 1}
    drawn = pipe(street(), generator=random(3), **one)
    assert drawn.seeds == [None] and np.array_equal(pixels(drawn.images), pixels(pipe(street(), seed=3, **one).images))


def test_one_generator_for_each_image(pipe):
    """A list: over all label maps, in the order of the output; what one draws does not depend on the others."""
    maps = [street(), street(30)]
    images = pixels(pipe(maps, generator=[random(s) for s in (3, 4, 9, 2)], num_images_per_label_map=2).images)
    for index, seed in enumerate((3, 4, 9, 2)):
        alone = pipe(maps[index // 2], seed=seed, num_images_per_label_map=1).images
        assert np.array_equal(images[index], pixels(alone)[0])


def test_one_generator_goes_on_from_image_to_image(pipe):
    """As many draws as images, label map after label map; the generator is left where they end."""
    rng, again = random(5), random(5)
    images = pixels(pipe([street(), street(30)], generator=rng, num_images_per_label_map=2).images)
    noise = torch.cat([pipe.generator_model.sample_noise(1, generator=again) for _ in range(4)])
    assert torch.equal(rng.get_state(), again.get_state())
    assert np.array_equal(images[:2], pixels(pipe(street(), noise=noise[:2]).images))
    assert np.array_equal(images[2:], pixels(pipe(street(30), noise=noise[2:]).images))


def test_new_noise_comes_from_the_generator_too(pipe):
    """After the noise of all images, and reported, so that it can be asked for again."""
    both = pipe(street(), generator=random(3), num_images_per_label_map=2, resample_labels=["car"])
    noise = torch.cat([pipe.generator_model.sample_noise(1, generator=rng) for rng in [random(3)] for _ in range(2)])
    for index, new in enumerate(both.resample_seeds):
        again = pipe(street(), noise=noise[index : index + 1], resample_labels=["car"], resample_seed=new)
        assert np.array_equal(pixels(both.images)[index], pixels(again.images)[0])
    other = pipe(street(), generator=random(4), num_images_per_label_map=2, resample_labels=["car"])
    assert not set(both.resample_seeds) & set(other.resample_seeds)
    fixed = pipe(street(), generator=random(4), num_images_per_label_map=2, resample_labels=["car"], resample_seed=7)
    assert fixed.resample_seeds == [7, 8]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": 0, "generator": random(0)}, "generator and seed are given"),
        ({"noise": torch.zeros(1, 8), "generator": random(0)}, "generator and noise are given"),
        ({"generator": [random(0)]}, "1 generators for 4 images"),
        ({"generator": 5}, "generator=5 is no torch.Generator"),
        ({"generator": random(0), "num_images_per_label_map": 0}, "at least 1 image"),
    ],
)
def test_generators_that_do_not_fit(pipe, arguments, words):
    with pytest.raises(ValueError, match=words):
        pipe(street(), **arguments)


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_height_and_width(pipe):
    one = {"num_images_per_label_map": 1}
    by_size = pipe(street(), size={"height": 64, "width": 96}, **one).images
    assert np.array_equal(pixels(pipe(street(), height=64, width=96, **one).images), pixels(by_size))
    assert pipe(street(), height=64, **one).images[0].size == (64, 64), "the width stays the checkpoint's"
    walk = pipe.interpolate(street(), steps=2, width=96).images
    assert walk[0].size == (96, 32)
    with pytest.raises(ValueError, match="size and height or width are given"):
        pipe(street(), height=64, size={"height": 64, "width": 96})
    with pytest.raises(ValueError, match="nearest legal size is 40x64"):
        pipe(street(), height=41)


@pytest.fixture
def any_size() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor(do_resize=False))


def test_label_maps_of_several_sizes(any_size):
    """A processor that does not resize: each keeps its size, and its image is the one that it has alone."""
    large = np.kron(street(), np.ones((2, 2), dtype=np.uint8))
    images = any_size([street(), large, street(30)], num_images_per_label_map=2).images
    assert [image.size for image in images] == [(64, 32)] * 2 + [(128, 64)] * 2 + [(64, 32)] * 2
    assert np.array_equal(pixels(images[2:4]), pixels(any_size(large, num_images_per_label_map=2).images))
    arrays = any_size([street(), large], num_images_per_label_map=1, output_type="np").images
    assert [array.shape for array in arrays] == [(32, 64, 3), (64, 128, 3)]
    with pytest.raises(ValueError, match="has no size of its own; give both"):
        any_size(street(), height=64)


def test_instances_of_several_sizes():
    generator = tiny_generator(use_instance_offsets=True)
    pipe = SemanticImageSynthesisPipeline(generator, tiny_processor(do_resize=False))
    large = np.kron(street(), np.ones((2, 2), dtype=np.uint8))
    images = pipe([street(), large], num_images_per_label_map=1).images
    assert np.array_equal(pixels(images[1:]), pixels(pipe(large, num_images_per_label_map=1).images))


# -- output types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_type", ["np", "pt"])
def test_floats_are_those_of_diffusers(pipe, output_type):
    two = {"num_images_per_label_map": 2}
    images = pipe(street(), output_type=output_type, **two).images
    noise = torch.cat([pipe.generator_model.sample_noise(1, generator=random(seed)) for seed in (0, 1)])
    with torch.no_grad():
        label_map = torch.from_numpy(street()).long()[None]
        computing = pipe.generator_model.kept_for_inference("float32")
        direct = torch.cat([computing(label_map, noise=single[None]).images for single in noise])
    expected = VaeImageProcessor(do_resize=False).postprocess(direct, output_type=output_type)
    assert type(images) is type(expected) and images.dtype == expected.dtype and images.shape == expected.shape
    assert np.array_equal(np.asarray(images), np.asarray(expected))
    eight_bit = pipe(street(), output_type=f"{output_type}_uint8", **two).images
    assert str(eight_bit.dtype).endswith("uint8")
    assert np.abs(np.asarray(images) * 255 - np.asarray(eight_bit)).max() <= 0.5 + 1e-4


def test_an_unknown_output_type_is_told_before_anything_is_computed(pipe, monkeypatch):
    monkeypatch.setattr(pipe.generator_model, "forward", lambda **_: pytest.fail("it was run"))
    with pytest.raises(ValueError, match='choose one of "pil", "np", "pt", "np_uint8", "pt_uint8"'):
        pipe(street(), output_type="latent")


# -- callbacks --------------------------------------------------------------------------------------------------------


def test_a_callback_after_each_pass_sees_and_may_change_the_images(pipe):
    calls = []

    def callback(caller: Any, step: int, timestep: int, tensors: dict) -> dict | None:
        calls.append((caller is pipe, step, timestep, tuple(tensors["images"].shape)))
        return {"images": torch.ones_like(tensors["images"])} if step == 1 else None

    images = pixels(pipe(street(), num_images_per_label_map=3, batch_size=2, callback_on_step_end=callback).images)
    assert calls == [(True, 0, 0, (2, 3, *SIZE)), (True, 1, 0, (1, 3, *SIZE))]
    assert (images[2] == 255).all()
    assert np.array_equal(images[:2], pixels(pipe(street(), num_images_per_label_map=2, batch_size=2).images))
    with pytest.raises(ValueError, match="no 'latents'; there are images"):
        pipe(street(), callback_on_step_end=callback, callback_on_step_end_tensor_inputs=["latents"])


def test_an_interrupted_call_ends_with_what_there_is(pipe):
    def callback(caller: Any, step: int, timestep: int, tensors: dict) -> None:
        caller._interrupt = step == 1

    output = pipe(street(), callback_on_step_end=callback)
    assert len(output.images) == 2 and output.seeds == [0, 1] and pipe.interrupt
    assert len(pipe(street()).images) == 4, "the next call is a new one"


# -- from_pretrained --------------------------------------------------------------------------------------------------


def own(folder, **options) -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline.from_pretrained(folder, **options)


def diffusers(folder, **options) -> DiffusionPipeline:
    return DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, **options)


@pytest.mark.parametrize("load", [own, diffusers])
@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_the_type_that_is_asked_for(folder, load, name):
    pipe = load(folder, **{name: torch.bfloat16})
    assert pipe.generator_model.dtype == pipe.load_discriminator().dtype == pipe.dtype == torch.bfloat16
    image = np.asarray(pipe(street(), num_images_per_label_map=1).images[0]).astype(int)
    exact = np.asarray(load(folder)(street(), num_images_per_label_map=1).images[0])
    assert 0 < np.abs(image - exact).mean() < 4
    assert pipe.segment(PHOTO).shape == SIZE


def test_a_type_for_each_component(folder):
    pipe = own(folder, dtype={"discriminator": torch.bfloat16, "default": torch.float32}, load_discriminator=True)
    assert pipe.generator_model.dtype == torch.float32 and pipe.discriminator.dtype == torch.bfloat16
    assert checked_dtype("bfloat16") == torch.bfloat16 and checked_dtype("auto") == "auto"
    for wrong in ("int8", torch.int8, "float17", 3, {"unet": torch.float16}):
        with pytest.raises(ValueError, match="dtype"):
            checked_dtype(wrong)


@pytest.mark.parametrize("load", [own, diffusers])
def test_devices(folder, load):
    assert load(folder, device_map="cpu").generator_model.device.type == "cpu"


def test_a_network_is_not_split():
    assert whole_device_map({"": "cpu"}) == {"": torch.device("cpu")} and whole_device_map(None) is None
    expected = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    assert whole_device_map("auto") == whole_device_map("balanced") == {"": expected}
    for wrong in ({"pyramid": 0, "blocks": 1}, "everywhere", [0]):
        with pytest.raises(ValueError, match="not split over devices"):
            whole_device_map(wrong)
    with pytest.raises(ValueError, match="max_memory is given"):
        weight_options({"max_memory": {0: "1GB"}})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cpu", "device_map": "cpu"}, "give one of them"),
        ({"dtype": torch.float16, "torch_dtype": torch.bfloat16}, "contradict each other"),
        ({"use_safetensors": False}, "safetensors files alone"),
        ({"safety_checker": 1}, "knows no 'safety_checker'"),
        ({"attn_implementation": "flash_attention_2"}, "flash_attention_2"),
    ],
)
def test_arguments_that_cannot_be_met(folder, options, words):
    with pytest.raises(ValueError, match=words):
        own(folder, **options)


@pytest.mark.slow
@pytest.mark.parametrize("load", [own, diffusers])
def test_a_variant(pipe, tmp_path, load):
    """Written beside the weights; the discriminator's is loaded too, and what has none is loaded without."""
    folder = tmp_path / "model"
    pipe.save_pretrained(folder, include_backbone=True)
    other = SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor(), tiny_discriminator())
    for network in (other.generator_model.to_image, other.discriminator.classifier):
        network.bias.data.fill_(0.5)
    other.save_pretrained(folder, include_backbone=True, variant="v2")
    loaded = load(folder, variant="v2")
    assert float(loaded.generator_model.to_image.bias[0]) == 0.5
    assert float(loaded.load_discriminator().classifier.bias[0]) == 0.5
    assert float(load(folder).generator_model.to_image.bias[0]) != 0.5
    (folder / "discriminator" / "model.v2.safetensors").unlink()
    assert float(load(folder, variant="v2").load_discriminator().classifier.bias[0]) != 0.5
    with pytest.raises((OSError, ValueError), match="v3"):
        load(folder, variant="v3")


def test_the_arguments_of_save_pretrained(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "sharded", max_shard_size="20KB", include_backbone=True)
    assert len(list((tmp_path / "sharded").glob("model-*.safetensors"))) > 1
    assert np.array_equal(pixels(own(tmp_path / "sharded")(street()).images), pixels(pipe(street()).images))
    with pytest.raises(ValueError, match="safetensors alone"):
        pipe.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    assert not (tmp_path / "pickled").exists()


def test_a_checkpoint_in_a_subfolder(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "repository" / "step-5", include_backbone=True)
    loaded = own(tmp_path / "repository", subfolder="step-5")
    assert np.array_equal(pixels(loaded(street()).images), pixels(pipe(street()).images))
    assert torch.equal(loaded.segment(PHOTO), pipe.segment(PHOTO))
    with pytest.raises(ValueError, match="step-6 is no checkpoint folder"):
        own(tmp_path / "repository", subfolder="step-6")


def test_components_may_be_given(pipe, folder):
    processor = tiny_processor(do_resize=False)
    loaded = own(folder, processor=processor, discriminator=pipe.discriminator)
    assert loaded.processor is processor and loaded.discriminator is pipe.discriminator
    again = SemanticImageSynthesisPipeline(**loaded.components)
    assert np.array_equal(pixels(again(street()).images), pixels(pipe(street()).images))


def test_an_index_that_does_not_tell_is_refused(pipe, tmp_path):
    """model_index.json as it was: diffusers would have to guess revision, type and device."""
    pipe.save_pretrained(tmp_path / "old", include_backbone=True)
    index = (tmp_path / "old" / "model_index.json").read_text()
    index = index.replace('"pipeline_stored_checkpoint",', "null,").replace('"StoredCheckpoint"', "null")
    (tmp_path / "old" / "model_index.json").write_text(index)
    with pytest.raises(ValueError, match="is of an older version"):
        diffusers(tmp_path / "old")
    assert own(tmp_path / "old").generator_model is not None

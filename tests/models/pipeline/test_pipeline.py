# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""SemanticImageSynthesisPipeline: what comes out is a function of label map and seed; regions, segmentation."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipelines import (
    NAMES,
    SIZE,
    captured_inputs,
    learned_generator,
    pixels,
    street,
    tiny_discriminator,
    tiny_generator,
    tiny_processor,
)

from dpsims_hf import (
    OASISDiscriminator,
    OASISDiscriminatorConfig,
    SemanticImageSynthesisPipeline,
    SPADEDiscriminator,
    SPADEDiscriminatorConfig,
)
from dpsims_hf.data import instance_offsets
from dpsims_hf.evaluation.discriminator_judges import DiscriminatorSegmenter
from dpsims_hf.export.graphs import graph_of
from dpsims_hf.pipeline_noise import RESAMPLE_SEED_OFFSET


@pytest.fixture(scope="module")
def pipe() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor(), tiny_discriminator())


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "model"
    pipe.save_pretrained(path, include_backbone=True)
    return path


def test_images_and_seeds(pipe):
    output = pipe(street(), seed=5)
    assert output.seeds == [5, 6, 7, 8]
    assert [image.size for image in output.images] == [(64, 32)] * 4
    assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in output.images)
    different = {image.tobytes() for image in output.images}
    assert len(different) == 4, "every seed gives another image"
    images, seeds = pipe(street(), seed=5, return_dict=False)
    assert seeds == output.seeds and np.array_equal(pixels(images), pixels(output.images))


def test_an_image_is_what_the_network_gives_for_the_seed(pipe):
    noise = pipe.generator_model.sample_noise(1, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        direct = pipe.generator_model.kept_for_inference("float32")(
            torch.from_numpy(street()).long()[None], noise=noise
        ).images
    expected = ((direct[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    assert np.array_equal(pixels(pipe(street(), seed=5, num_images_per_label_map=2).images)[1], expected)


def test_the_same_seed_gives_the_same_image_whatever_is_made_beside_it(pipe):
    many = pixels(pipe([street(0), street()], seed=0, num_images_per_label_map=3).images)
    alone = pixels(pipe(street(), seed=2, num_images_per_label_map=1).images)
    listed = pixels(pipe(street(), seed=[9, 2]).images)
    assert np.array_equal(many[5], alone[0]) and np.array_equal(listed[1], alone[0])
    batched = pixels(pipe([street(0), street()], seed=0, num_images_per_label_map=3, batch_size=3).images)
    assert np.abs(batched.astype(int) - many).max() <= 1, "a larger batch may only round differently"


def test_lists_and_batches_come_out_one_label_map_after_the_other(pipe):
    output = pipe([street(0), street(40)], seed=1, num_images_per_label_map=2)
    assert output.seeds == [1, 2, 1, 2] and len(output.images) == 4
    second = pipe(street(40), seed=1, num_images_per_label_map=2)
    assert np.array_equal(pixels(output.images[2:]), pixels(second.images))
    batch = pipe(torch.from_numpy(np.stack([street(0), street(40)])).long(), seed=1, num_images_per_label_map=2)
    assert np.array_equal(pixels(batch.images), pixels(output.images))


def test_takes_whatever_the_processor_takes(pipe, tmp_path):
    expected = pixels(pipe(street(), num_images_per_label_map=1).images)
    Image.fromarray(street()).save(tmp_path / "index.png")
    pipe.processor.colorize(street()).save(tmp_path / "colour.png")
    for label_map in (tmp_path / "index.png", str(tmp_path / "colour.png"), Image.fromarray(street())):
        assert np.array_equal(pixels(pipe(label_map, num_images_per_label_map=1).images), expected)


def test_output_types(pipe):
    expected = pixels(pipe(street(), num_images_per_label_map=2).images)
    assert np.array_equal(pipe(street(), num_images_per_label_map=2, output_type="np_uint8").images, expected)
    tensor = pipe(street(), num_images_per_label_map=2, output_type="pt_uint8").images
    assert tensor.dtype == torch.uint8 and tensor.shape == (2, 3, *SIZE)
    assert np.array_equal(tensor.permute(0, 2, 3, 1).numpy(), expected)
    with pytest.raises(ValueError, match="output_type 'jpeg'"):
        pipe(street(), output_type="jpeg")


def test_given_noise_replaces_the_seeds(pipe):
    noise = torch.cat(
        [pipe.generator_model.sample_noise(1, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    )
    output = pipe(street(), noise=noise)
    assert output.seeds == [None, None]
    expected = pipe(street(), seed=3, num_images_per_label_map=2)
    assert np.array_equal(pixels(output.images), pixels(expected.images))
    with pytest.raises(ValueError, match=r"noise has shape \(8,\)"):
        pipe(street(), noise=noise[0])
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        pipe(street(), noise=torch.zeros(1, 3))


def test_the_global_random_state_is_left_alone(pipe):
    before = torch.get_rng_state()
    pipe(street(), resample_labels=["car"])
    pipe.interpolate(street(), steps=2)
    assert torch.equal(torch.get_rng_state(), before)


# -- local re-sampling (more in test_pipeline_noise.py) ---------------------------------------------------------------


def test_resampling_gives_the_class_new_noise_and_the_rest_its_own(pipe):
    output = pipe(street(), seed=1, num_images_per_label_map=2, resample_labels=["car"], resample_seed=70)
    assert output.seeds == [1, 2] and output.resample_seeds == [70, 71]
    regions = torch.from_numpy(street() == 2).long()[None]
    label_map = torch.from_numpy(street()).long()[None]
    for index in range(2):
        draws = [torch.Generator().manual_seed(seed) for seed in (1 + index, 70 + index)]
        noise = torch.stack([pipe.generator_model.sample_noise(1, generator=rng) for rng in draws], dim=1)
        with torch.no_grad():
            network = pipe.generator_model.kept_for_inference("float32")
            direct = network(label_map, noise=noise, noise_regions=regions).images
        assert np.array_equal(np.asarray(output.images[index]), pipe.processor.postprocess(direct, "np_uint8")[0])


def test_names_ids_and_masks_say_the_same(pipe):
    by_name, by_id, by_mask, by_region = (
        pixels(pipe(street(), num_images_per_label_map=2, **{key: value}).images)
        for key, value in [
            ("resample_labels", ["car"]),
            ("resample_labels", [2]),
            ("resample_labels", street() == 2),
            ("resample_regions", torch.from_numpy(street() == 2)),
        ]
    )
    assert np.array_equal(by_name, by_id) and np.array_equal(by_name, by_mask) and np.array_equal(by_name, by_region)


def test_a_mask_of_another_size_is_resized_as_the_label_map_is(pipe):
    large = np.kron(street(), np.ones((2, 2), dtype=np.uint8))
    large_mask = pixels(pipe(large, num_images_per_label_map=1, resample_labels=large == 2).images)
    assert np.array_equal(large_mask, pixels(pipe(street(), num_images_per_label_map=1, resample_labels=[2]).images))


def test_without_resample_seed_the_new_noise_follows_from_the_image_seed(pipe):
    all_four = pipe(street(), resample_labels=["car"])
    assert all_four.resample_seeds == [RESAMPLE_SEED_OFFSET + seed for seed in range(4)]
    alone = pipe(street(), seed=3, num_images_per_label_map=1, resample_labels=["car"])
    assert np.array_equal(pixels(alone.images)[0], pixels(all_four.images)[3])


def test_noise_for_every_region_may_be_given(pipe):
    regions = (street() == 2).astype(int)
    noise = torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(0))
    inputs = captured_inputs(pipe, street(), noise=noise, resample_regions=regions)[0]
    assert torch.equal(inputs["noise"], noise) and torch.equal(inputs["noise_regions"][0], torch.from_numpy(regions))
    with pytest.raises(ValueError, match="resample_regions"):
        pipe(street(), noise=noise)


def test_resampling_errors(pipe):
    with pytest.raises(ValueError, match="no class 'bicycle'.*0 sky, 1 road, 2 car, 3 tree, 4 void"):
        pipe(street(), resample_labels=["car", "bicycle"])
    with pytest.raises(ValueError, match="no class 9"):
        pipe(street(), resample_labels=[9])
    with pytest.raises(ValueError, match="mask of shape"):
        pipe(street(), resample_regions=np.zeros((1, *SIZE), dtype=int))
    with pytest.raises(ValueError, match="float32"):
        pipe(street(), resample_regions=np.zeros(SIZE, dtype=np.float32))


# -- segmentation -----------------------------------------------------------------------------------------------------


def test_segment_labels_a_photo_without_the_fake_class(pipe):
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    label_map = pipe.segment(photo)
    with torch.no_grad():
        pixel_values = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
        logits = pipe.discriminator(pixel_values).segmentation_logits
    assert label_map.dtype == torch.int64 and torch.equal(label_map, logits[0, :-1].argmax(dim=0))
    assert pipe.segment([photo]).shape == (1, *SIZE)
    bias = pipe.discriminator.classifier.bias
    with torch.no_grad():
        bias[-1] += 1000
        assert torch.equal(pipe.segment(Image.fromarray(photo)), label_map)
        bias[-1] -= 1000


def test_segment_names_the_size_that_the_discriminator_needs(pipe):
    config = OASISDiscriminatorConfig.from_preset(
        "tiny", id2label=NAMES, encoder_channels=[4] * 6, decoder_channels=[4] * 6
    )
    coarse = SemanticImageSynthesisPipeline(pipe.generator_model, pipe.processor, OASISDiscriminator(config))
    photo = np.zeros((*SIZE, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="pixel_values is 32x64 .* multiples of 64; .* 64x64"):
        coarse.segment(photo)
    assert coarse.segment(photo, size={"height": 64, "width": 64}).shape == (64, 64)


def test_a_judge_of_patches_does_not_segment(pipe, tmp_path):
    config = SPADEDiscriminatorConfig.from_preset("tiny", num_labels=None, id2label=NAMES)
    judging = SemanticImageSynthesisPipeline(pipe.generator_model, pipe.processor, SPADEDiscriminator(config))
    words = "discriminator is a spade-discriminator, which judges patches and labels no pixels"
    judging.save_pretrained(tmp_path)
    for each in (judging, SemanticImageSynthesisPipeline.from_pretrained(tmp_path)):
        with pytest.raises(ValueError, match=words):
            each.segment(np.zeros((*SIZE, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=words):
        DiscriminatorSegmenter(judging)
    with pytest.raises(ValueError, match="a spade-discriminator judges patches and labels no pixels; export its"):
        graph_of(judging.discriminator)


def test_a_photos_style_from_the_encoder_paints_other_label_maps():
    model = learned_generator("spade", use_style_encoder=True)
    pipe = SemanticImageSynthesisPipeline(model, tiny_processor())
    photo = pipe.processor(images=np.full((*SIZE, 3), 90, dtype=np.uint8))["pixel_values"]
    noise = model.encode_style(photo).mean.detach()
    [first], [second] = (pipe(street(), noise=noise * sign, output_type="np").images for sign in (1, -1))
    assert first.shape == (*SIZE, 3) and not np.array_equal(first, second)


def test_segment_says_what_is_missing(pipe, tmp_path):
    photo = np.zeros((*SIZE, 3), dtype=np.uint8)
    without = SemanticImageSynthesisPipeline(pipe.generator_model, pipe.processor)
    with pytest.raises(ValueError, match="has no discriminator"):
        without.segment(photo)
    without.save_pretrained(tmp_path / "generator_only")
    with pytest.raises(ValueError, match="generator_only.* has no discriminator"):
        SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "generator_only").segment(photo)
    pipe.save_pretrained(tmp_path / "no_backbone", include_backbone=False)
    with pytest.raises(ValueError, match="'test_resnet' has no weights.*load_backbone_weights"):
        SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "no_backbone").segment(photo)


# -- loading and saving -----------------------------------------------------------------------------------------------


def test_a_saved_pipeline_gives_the_same_images_and_labels(pipe, folder, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    loaded = SemanticImageSynthesisPipeline.from_pretrained(folder)
    assert loaded.discriminator is None, "loaded at first use: generation needs no timm"
    assert loaded.config["_name_or_path"] == str(folder)
    assert np.array_equal(pixels(loaded(street()).images), pixels(pipe(street()).images))
    assert torch.equal(loaded.segment(photo), pipe.segment(photo))
    loaded.save_pretrained(tmp_path / "again")
    again = SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "again", device="cpu", load_discriminator=True)
    assert again.discriminator is not None
    assert np.array_equal(pixels(again(street()).images), pixels(pipe(street()).images))
    assert torch.equal(again.segment(photo), pipe.segment(photo))


def test_saving_an_unused_pipeline_keeps_its_discriminator(folder, tmp_path):
    SemanticImageSynthesisPipeline.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    stored = [path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*.safetensors")]
    assert sorted(stored) == ["discriminator/model.safetensors", "model.safetensors"]
    assert SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "copy").load_discriminator().backbone_ready


def test_saving_leaves_the_models_as_they_are(pipe, tmp_path):
    parts = (pipe.generator_model.config, pipe.discriminator.config, pipe.processor)
    before = [part.to_dict() for part in parts]
    identity = [id(part) for part in parts]
    pipe.save_pretrained(tmp_path / "model", include_backbone=True)
    parts = (pipe.generator_model.config, pipe.discriminator.config, pipe.processor)
    assert [part.to_dict() for part in parts] == before and [id(part) for part in parts] == identity


def test_folders_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no folder"):
        SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no config.json"):
        SemanticImageSynthesisPipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="empty"):
        SemanticImageSynthesisPipeline()(street())


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_sizes(pipe):
    large = pipe(street(), num_images_per_label_map=1, size={"height": 64, "width": 96})
    assert large.images[0].size == (96, 64)
    with pytest.raises(ValueError, match="nearest legal size is 32x64"):
        pipe(street(), size={"height": 33, "width": 66})
    with pytest.raises(ValueError, match="num_images_per_label_map=0"):
        pipe(street(), num_images_per_label_map=0)


def test_small_work_is_silent_and_large_work_shows_progress(pipe, capfd):
    pipe(street())
    assert capfd.readouterr().err == ""
    pipe(street(), num_images_per_label_map=20)
    assert "20/20" in capfd.readouterr().err


def test_mixed_precision_is_an_option(pipe):
    exact = pixels(pipe(street()).images).astype(int)
    rough = pixels(pipe(street(), autocast_dtype=torch.bfloat16).images)
    assert 0 < np.abs(exact - rough).mean() < 4
    assert {parameter.dtype for parameter in pipe.generator_model.parameters()} == {torch.float32}


def test_instance_offsets_reach_the_network():
    pipe = SemanticImageSynthesisPipeline(tiny_generator(use_instance_offsets=True), tiny_processor())
    offsets = torch.zeros(1, 2, *SIZE)
    flat = pixels(pipe(street(), num_images_per_label_map=2, instance_offsets=offsets).images)
    offsets[:, :, 20:28, 10:30] = 0.5
    assert not np.array_equal(
        pixels(pipe(street(), num_images_per_label_map=2, instance_offsets=offsets).images), flat
    )


def two_cars() -> tuple[np.ndarray, np.ndarray]:
    """A label map with two cars that touch, as one region; and their instance map."""
    label_map, instances = np.zeros(SIZE, dtype=np.uint8), np.zeros(SIZE, dtype=np.uint16)
    label_map[20:28, 10:40] = 2
    instances[20:28, 10:20], instances[20:28, 20:40] = 2001, 2002
    return label_map, instances


def test_instances_come_from_a_map_or_from_connected_regions(tmp_path):
    pipe = SemanticImageSynthesisPipeline(tiny_generator(use_instance_offsets=True), tiny_processor(stuff_ids=[0, 1]))
    label_map, instances = two_cars()
    Image.fromarray(instances).save(tmp_path / "instances.png")
    rgb = np.stack([instances & 255, instances >> 8, 0 * instances], axis=-1).astype(np.uint8)
    given = {"seed": 3, "num_images_per_label_map": 1}
    wanted = pixels(pipe(label_map, instance_offsets=instance_offsets(instances)[None], **given).images)
    for instance_map in (instances, str(tmp_path / "instances.png"), rgb, [instances], instances.repeat(2, 0)):
        assert np.array_equal(pixels(pipe(label_map, instance_map=instance_map, **given).images), wanted)
    as_one = instance_offsets((label_map == 2).astype(np.int64))[None]
    alone = pixels(pipe(label_map, **given).images)
    assert np.array_equal(alone, pixels(pipe(label_map, instance_offsets=as_one, **given).images))
    assert not np.array_equal(alone, wanted)
    walk = pipe.interpolate(label_map, seed_from=3, seed_to=4, steps=2, instance_map=instances).images
    assert np.array_equal(pixels(walk[:1]), wanted)


def test_instance_maps_that_do_not_fit():
    label_map, instances = two_cars()
    pipe = SemanticImageSynthesisPipeline(tiny_generator(use_instance_offsets=True), tiny_processor())
    with pytest.raises(ValueError, match="2 instance maps for 1 label maps: pass one for each"):
        pipe(label_map, instance_map=[instances, instances])
    with pytest.raises(ValueError, match="instance map 0: a float64 array .* is no instance map"):
        pipe(label_map, instance_map=instances.astype(float))
    plain = SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor())
    with pytest.raises(ValueError, match="takes no instances: leave instance_map out"):
        plain(label_map, instance_map=instances)
    with pytest.raises(ValueError, match=r"stuff_ids \[9\] are out of range"):
        tiny_processor(stuff_ids=[9])

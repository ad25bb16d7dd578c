# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label spaces, joint transforms, samplers and instance offsets."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dpsims_hf.data import (
    DatasetSpec,
    DrawSampler,
    JointTransform,
    instance_offsets,
    rare_class_weights,
    stateless_generator,
)
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC


# --- label spaces ----------------------------------------------------------------------------------------------------


def write_classes(path: Path, **changes) -> Path:
    content = {
        "classes": [{"id": 1, "name": "b", "color": [9, 9, 9]}, {"id": 0, "name": "a", "color": [1, 2, 3]}],
        "void_index": 255,
        "void_color": [0, 0, 0],
    }
    path.write_text(json.dumps(content | changes))
    return path


def test_void_outside_the_classes_becomes_the_last_label(tmp_path):
    spec = DatasetSpec.from_json(write_classes(tmp_path / "classes.json"))
    assert spec.labels == ("a", "b", "void") and spec.num_labels == 3
    assert spec.void_label_id == 2 and spec.void_values == (255,)
    assert spec.palette == ((1, 2, 3), (9, 9, 9), (0, 0, 0))
    assert spec.image_processor().decode_label_map(np.array([[0, 1, 255]])).tolist() == [[0, 1, 2]]


def test_void_may_be_a_class_or_absent(tmp_path):
    spec = DatasetSpec.from_json(write_classes(tmp_path / "classes.json", void_index=0))
    assert spec.labels == ("a", "b") and spec.void_label_id == 0 and spec.void_values == ()
    spec = DatasetSpec.from_json(write_classes(tmp_path / "classes.json", void_index=None))
    assert spec.void_label_id is None and spec.num_labels == 2


def test_spec_round_trip(tmp_path):
    SYNTHETIC_SPEC.to_json(tmp_path / "classes.json")
    assert DatasetSpec.from_folder(tmp_path) == SYNTHETIC_SPEC


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [{"id": 0, "name": "a"}, {"id": 2, "name": "b"}]}, r"ids must be 0\.\.1.*got 0, 2"),
        ({"classes": [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]}, r"ids must be 0\.\.1.*got 0, 0"),
        ({"classes": [{"id": 0, "name": "a", "color": [0, 0, 0]}]}, "a .0. and void .1. share the colour"),
        ({"classes": []}, "must be a list"),
        ({"classes": [{"name": "a"}]}, 'integer "id"'),
    ],
)
def test_bad_classes_file(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        DatasetSpec.from_json(write_classes(tmp_path / "classes.json", **changes))


def test_missing_or_malformed_classes_file(tmp_path):
    with pytest.raises(ValueError, match=r"classes\.json: no such file"):
        DatasetSpec.from_folder(tmp_path)
    (tmp_path / "classes.json").write_text("{")
    with pytest.raises(ValueError, match="not readable as JSON"):
        DatasetSpec.from_folder(tmp_path)


# --- transforms ------------------------------------------------------------------------------------------------------


def aligned_sample(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo whose red channel is 40 x the label, in blocks, so alignment can be read off after any transform."""
    labels = np.kron(np.random.default_rng(3).integers(0, 6, (4, 8)), np.ones((height // 4, width // 8), dtype=int))
    photo = np.repeat((labels * 40).astype(np.uint8)[..., None], 3, axis=2)
    return photo, labels, labels * 1000


def test_photo_label_and_instances_stay_aligned_through_scale_crop_and_flip():
    photo, labels, instances = aligned_sample(64, 128)
    outcomes = set()
    for draw in range(40):
        out = JointTransform((32, 64), (1.0, 2.0), 0.5)(photo, labels, instances, stateless_generator(0, draw))
        assert out[0].shape == (32, 64, 3) and out[1].shape == (32, 64)
        assert np.array_equal(out[2], out[1] * 1000)
        # Only pixels on block borders may differ: there bicubic blends, and nearest chooses.
        wrong = np.abs(out[0][..., 0].astype(int) - out[1] * 40) > 20
        assert wrong.mean() < 0.12
        inner = out[1][1:-1, 1:-1]
        same = [out[1][1 + y : 31 + y, 1 + x : 63 + x] == inner for y in (-1, 0, 1) for x in (-1, 0, 1)]
        assert not (wrong[1:-1, 1:-1] & np.logical_and.reduce(same)).any()
        assert set(np.unique(out[1])) <= set(np.unique(labels))
        outcomes.add(out[1].tobytes())
    assert len(outcomes) > 30


def test_flip_alone_is_the_exact_mirror():
    photo, labels, _ = aligned_sample(32, 64)
    flipped = JointTransform((32, 64), horizontal_flip=1.0)(photo, labels, None, stateless_generator(0))
    assert np.array_equal(flipped[0], photo[:, ::-1]) and np.array_equal(flipped[1], labels[:, ::-1])
    assert flipped[2] is None


def test_flip_and_crop_cover_their_range():
    photo, labels, _ = aligned_sample(32, 64)
    ramp = np.tile(np.arange(64), (32, 1))  # after x2 and crop the first value tells the crop position
    left, flips = [], 0
    for draw in range(300):
        out = JointTransform((32, 64), (2.0, 2.0))(photo, ramp, None, stateless_generator(1, draw))[1]
        flips += out[0, 0] > out[0, -1]
        left.append(min(out[0, 0], out[0, -1]))
    assert 110 < flips < 190
    assert min(left) <= 1 and max(left) >= 31


def test_without_generator_it_is_the_plain_resize():
    photo, labels, _ = aligned_sample(64, 128)
    out = JointTransform((32, 64), (1.5, 2.0), 1.0)(photo, labels)
    assert np.array_equal(out[0], np.asarray(Image.fromarray(photo).resize((64, 32), Image.Resampling.BICUBIC)))
    assert np.array_equal(out[1], labels[1::2, 1::2])


def test_bad_transforms():
    with pytest.raises(ValueError, match="scale_range"):
        JointTransform((32, 64), scale_range=(0.5, 1.0))
    with pytest.raises(ValueError, match="horizontal_flip"):
        JointTransform((32, 64), horizontal_flip=1.5)


# --- sampler and weights ---------------------------------------------------------------------------------------------


def test_rare_class_weights_by_hand():
    """Classes 0, 1, 2, void 3. f = (1, 1/2, 1/4): rarest classes 0, 1, 2, 1, so p ~ (1, sqrt 2, 2, sqrt 2)."""
    presence = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)
    weights = rare_class_weights(presence, void_label_id=3)
    expected = np.array([1, 2**0.5, 2, 2**0.5])
    assert np.allclose(weights.numpy(), expected / expected.sum())
    # With void counted as a class, the first image would be as rare as the third.
    assert rare_class_weights(presence)[0] == rare_class_weights(presence)[2]
    assert presence[0, 3]  # the argument is left as it was


def test_an_image_of_void_alone_has_the_smallest_weight():
    weights = rare_class_weights(np.array([[0, 1], [1, 0], [1, 0], [1, 1]], dtype=bool), void_label_id=1)
    assert weights[0] == weights.min() > 0


def test_draws_depend_on_seed_and_position_only():
    long, short = list(DrawSampler(25, 10, seed=3)), list(DrawSampler(13, 10, seed=3))
    assert long[:13] == short and [draw for _, draw in long] == list(range(25))
    assert sorted(index for index, _ in long[:10]) == list(range(10))
    assert [i for i, _ in long[:10]] != [i for i, _ in long[10:20]]
    assert list(DrawSampler(25, 10, seed=4)) != long
    torch.manual_seed(99)
    assert list(DrawSampler(25, 10, seed=3)) == long
    assert len(DrawSampler(25, 10)) == 25


def test_weighted_draws_follow_the_weights():
    counts = np.bincount([i for i, _ in DrawSampler(4000, 4, torch.tensor([0.0, 1.0, 1.0, 2.0]), seed=0)], minlength=4)
    assert counts[0] == 0 and np.allclose(counts / 4000, [0, 0.25, 0.25, 0.5], atol=0.03)
    with pytest.raises(ValueError, match="3 weights for 4 images"):
        DrawSampler(8, 4, torch.ones(3))


def test_stateless_generators_are_unrelated():
    keys = [(0, 1), (1, 0), (0, 1, 0), (0, 2), (2**32, 1), (0, 0, 1)]  # padding zeros or splitting words would collide
    draws = {key: torch.rand(4, generator=stateless_generator(*key)).tolist() for key in keys}
    assert len({tuple(values) for values in draws.values()}) == len(keys)
    assert torch.rand(4, generator=stateless_generator(0, 1)).tolist() == draws[0, 1]


# --- instance offsets ------------------------------------------------------------------------------------------------


def test_instance_offsets_by_hand():
    """Object 5 covers rows 0-1, columns 0-2: centre (0.5, 1); object 9 is one pixel: offset 0; height 2, width 4."""
    instances = np.array([[5, 5, 5, 0], [5, 5, 5, 9]])
    offsets = instance_offsets(instances)
    assert offsets.shape == (2, 2, 4) and offsets.dtype == torch.float32
    assert offsets[0].tolist() == [[0.25, 0.25, 0.25, 0], [-0.25, -0.25, -0.25, 0]]
    assert offsets[1].tolist() == [[0.25, 0, -0.25, 0], [0.25, 0, -0.25, 0]]


def test_instance_offsets_are_zero_on_stuff_and_mirror():
    instances = np.array([[1, 1, 2, 2]])
    offsets = instance_offsets(instances, np.array([[0, 0, 7, 7]]), stuff_ids=[7])
    assert offsets[1].tolist() == [[0.125, -0.125, 0, 0]]
    mirrored = instance_offsets(instances[:, ::-1])
    assert torch.allclose(mirrored[1], -instance_offsets(instances)[1].flip(-1))
    with pytest.raises(ValueError, match="need a label map"):
        instance_offsets(instances, stuff_ids=[7])

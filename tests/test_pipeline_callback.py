# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`callback_on_image_end`: every image of a call once, in the output's order, in the output's form."""

from typing import Any

import numpy as np
import pytest
from tiny_pipelines import SIZE, street, tiny_generator, tiny_processor

from dpsims_hf import SemanticImageSynthesisPipeline


@pytest.fixture(scope="module")
def pipe() -> SemanticImageSynthesisPipeline:
    return SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor())


class Calls(list):
    """What the callback got."""

    def __call__(self, pipe: Any, index: int, total: int, image: Any) -> None:
        self.append((pipe, index, total, image))


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(("output_type", "shape"), [("pil", None), ("np", (*SIZE, 3)), ("pt", (3, *SIZE))])
def test_every_image_is_reported_once_in_the_outputs_order(pipe, output_type, shape, batch_size):
    calls, maps = Calls(), [street(), street(30)]
    options = {"num_images_per_label_map": 3, "output_type": output_type, "batch_size": batch_size}
    images = pipe(maps, callback_on_image_end=calls, **options).images
    assert [(caller is pipe, index, total) for caller, index, total, _ in calls] == [(True, i, 6) for i in range(6)]
    for (*_, got), image in zip(calls, images, strict=True):
        assert np.array_equal(np.asarray(got), np.asarray(image))
    assert shape is None or {tuple(image.shape) for *_, image in calls} == {shape}
    alone = pipe(maps, **options).images
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(images, alone, strict=True))


def test_a_walk_reports_its_first_image_too(pipe):
    calls = Calls()
    images = pipe.interpolate(street(), steps=4, resample_labels=["car"], callback_on_image_end=calls).images
    assert [(index, total) for _, index, total, _ in calls] == [(i, 4) for i in range(4)]
    assert all(np.array_equal(got, image) for (*_, got), image in zip(calls, images, strict=True))


def test_what_a_callback_raises_ends_the_call(pipe):
    seen = []

    def stop(pipe: Any, index: int, total: int, image: Any) -> None:
        seen.append(index)
        if index == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe(street(), num_images_per_label_map=4, callback_on_image_end=stop)
    assert seen == [0, 1]

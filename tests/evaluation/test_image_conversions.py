# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Images in other forms than the metrics take: the error names the conversion, and it is right."""

import numpy as np
import pytest
import torch

from dpsims_hf.evaluation.metrics.feature_set import RealFakeFeatures, as_image


PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        PICTURE.transpose(2, 0, 1),
        (PICTURE / 255).astype(np.float32),
        (PICTURE / 255).transpose(2, 0, 1),
        torch.from_numpy(PICTURE).permute(2, 0, 1) / 127.5 - 1,
    ],
)
def test_the_named_conversion_gives_the_picture(image):
    with pytest.raises(ValueError, match=r"give PIL or uint8 \(height, width, 3\); for each: ") as error:
        as_image(image)
    code = str(error.value).partition("for each: ")[2]
    assert np.array_equal(as_image(eval(code, {"np": np, "image": image})), PICTURE)


def test_a_batch_of_nchw_hears_of_it_too():
    batch = torch.zeros(2, 3, 6, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"for each: np.asarray\(image\).transpose\(1, 2, 0\)"):
        RealFakeFeatures().add(batch, batch, extractor=lambda images: images.float().mean(dim=(2, 3)))

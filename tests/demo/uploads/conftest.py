# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A label space, a label map and a photo for the tests of uploads."""

import io

import numpy as np
import pytest
from PIL import Image
from upload_files import NAMES, PALETTE, png

from dpsims_hf import SemanticImageProcessor


@pytest.fixture
def processor() -> SemanticImageProcessor:
    return SemanticImageProcessor(id2label=NAMES, palette=PALETTE, void_label_id=4, void_values=[255])


@pytest.fixture
def without_void() -> SemanticImageProcessor:
    return SemanticImageProcessor(id2label=dict(list(NAMES.items())[:4]), palette=PALETTE[:4])


@pytest.fixture
def labels() -> np.ndarray:
    """(32, 64) int64, blocks of 8 x 8 of all 5 classes."""
    return np.kron(np.arange(32).reshape(4, 8) * 3 % 5, np.ones((8, 8), dtype=np.int64))


@pytest.fixture
def photo(labels) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (*labels.shape, 3), dtype=np.uint8))


@pytest.fixture
def files(labels, photo) -> dict[str, bytes]:
    """Content of a photo (JPEG and PNG) and of a label map."""
    jpeg = io.BytesIO()
    photo.save(jpeg, "JPEG")
    return {"jpg": jpeg.getvalue(), "png": png(photo).getvalue(), "label": png(labels.astype("u1")).getvalue()}

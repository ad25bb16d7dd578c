# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""SemanticImageProcessor.decode_label_map: every kind of label file, exact values, one clear line per error."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dpsims_hf import SemanticImageProcessor


PALETTE = [[128, 128, 128], [128, 0, 0], [128, 64, 128], [64, 0, 128], [0, 0, 0]]
NAMES = {0: "sky", 1: "building", 2: "road", 3: "car", 4: "void"}


@pytest.fixture
def processor() -> SemanticImageProcessor:
    return SemanticImageProcessor(id2label=NAMES, palette=PALETTE, void_label_id=4, void_values=[255])


@pytest.fixture
def labels() -> np.ndarray:
    """(32, 64) int64 in 0..4, every class present, void among them."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 5, (4, 8)), np.ones((8, 8), dtype=np.int64))
    labels[:8, :40] = np.repeat(np.arange(5), 8)
    return labels


def raw_values(labels: np.ndarray) -> np.ndarray:
    """What a label file holds: void as 255."""
    return np.where(labels == 4, 255, labels)


def colors(labels: np.ndarray) -> np.ndarray:
    return np.array(PALETTE, dtype=np.uint8)[labels]


def save(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


# --- decoding --------------------------------------------------------------------------------------------------------


def test_every_kind_of_file_gives_the_same_indices(processor, labels, tmp_path):
    raw = raw_values(labels)
    palette_image = Image.fromarray(raw.astype(np.uint8))
    palette_image.putpalette(list(range(255, -1, -1)) * 3)  # its RGB says something else
    files = {
        "L": Image.fromarray(raw.astype(np.uint8)),
        "P": palette_image,
        "I;16": Image.fromarray(raw.astype(np.uint16)),
        "I": Image.fromarray(raw.astype(np.int32)),
        "RGB": Image.fromarray(colors(labels)),
        "RGBA": Image.fromarray(np.dstack([colors(labels), np.full(labels.shape, 255, np.uint8)])),
    }
    for mode, image in files.items():
        assert image.mode == mode
        decoded = processor.decode_label_map(image)
        assert decoded.dtype == np.int64 and np.array_equal(decoded, labels), mode
        if mode == "I":  # Pillow gives up writing 32-bit PNGs
            continue
        path = save(image, tmp_path / f"{mode.replace(';', '')}.png")
        for form in (str(path), path, io.BytesIO(path.read_bytes())):
            assert np.array_equal(processor.decode_label_map(form), labels), (mode, type(form))
    with Image.open(tmp_path / "P.png") as image:
        assert image.mode == "P"


def test_arrays_and_tensors(processor, labels):
    raw = raw_values(labels)
    for dtype in (np.uint8, np.uint16, np.int32, np.int64, np.float32):
        assert np.array_equal(processor.decode_label_map(raw.astype(dtype)), labels)
    assert np.array_equal(processor.decode_label_map(torch.from_numpy(raw)), labels)
    assert np.array_equal(processor.decode_label_map(torch.from_numpy(raw)[None]), labels)
    assert np.array_equal(processor.decode_label_map(colors(labels)), labels)
    assert np.array_equal(processor.decode_label_map(torch.from_numpy(colors(labels)).permute(2, 0, 1)), labels)
    with pytest.raises(ValueError, match="not whole numbers"):
        processor.decode_label_map(labels + 0.5)
    with pytest.raises(ValueError, match="no label map"):
        processor.decode_label_map(np.zeros((4, 4, 7), dtype=np.int64))


def test_sixteen_bit_ids_beyond_255(tmp_path):
    processor = SemanticImageProcessor(
        id2label={i: f"class {i}" for i in range(301)}, void_label_id=300, void_values=[65535]
    )
    values = np.array([[0, 255, 256], [299, 65535, 1]], dtype=np.uint16)
    path = save(Image.fromarray(values), tmp_path / "wide.png")
    assert processor.decode_label_map(path).tolist() == [[0, 255, 256], [299, 300, 1]]


def test_one_bit_mask_is_classes_zero_and_one(processor):
    image = Image.fromarray(np.eye(4, dtype=bool))
    assert image.mode == "1"
    assert np.array_equal(processor.decode_label_map(image), np.eye(4, dtype=np.int64))


def test_transparent_pixels_are_void(processor, labels):
    alpha = np.full(labels.shape, 255, dtype=np.uint8)
    alpha[:4] = 0
    rgba = np.dstack([colors(labels), alpha])
    rgba[:4, :, :3] = 77  # colour under alpha 0 means nothing
    decoded = processor.decode_label_map(Image.fromarray(rgba))
    assert (decoded[:4] == 4).all() and np.array_equal(decoded[4:], labels[4:])


def test_near_colors_are_snapped_when_asked_for(processor, labels):
    rng = np.random.default_rng(1)
    noisy = np.clip(colors(labels).astype(int) + rng.integers(-6, 7, (*labels.shape, 3)), 0, 255).astype(np.uint8)
    with pytest.raises(ValueError, match=r"unknown colours .*0.0 % are far from all.* reading=.nearest_colors"):
        processor.decode_label_map(noisy)
    with pytest.warns(UserWarning, match="pixels are a little off their class's colour"):
        decoded = processor.decode_label_map(noisy, reading="nearest_colors")
    assert np.array_equal(decoded, labels) and decoded.reading.name == "nearest_colors"


@pytest.mark.parametrize("filter_", [Image.Resampling.BOX, Image.Resampling.BILINEAR])
def test_antialiased_borders_go_to_one_of_their_own_sides(processor, filter_):
    """Sky over building: the blend (128, 64, 64) lies nearest to ROAD, which is not there and must not appear."""
    labels = np.zeros((64, 64), dtype=np.int64)
    labels[31:] = 1
    small = Image.fromarray(colors(labels)).resize((32, 32), filter_)
    assert (128, 64, 64) in set(map(tuple, np.asarray(small).reshape(-1, 3).tolist()))
    with pytest.warns(UserWarning, match="street.png: .* no class colour"):
        decoded = processor.decode_label_map(small, source="street.png")
    assert set(np.unique(decoded)) == {0, 1}
    assert (decoded[:14] == 0).all() and (decoded[17:] == 1).all()


def test_few_unknown_pixels_are_snapped_and_counted(processor, labels):
    rgb = colors(np.zeros((40, 40), dtype=np.int64))
    rgb[5, :5] = (200, 30, 30)  # nearest: building; 5 of 1600 pixels
    with pytest.warns(UserWarning, match="5 of 1600 pixels"):
        decoded = processor.decode_label_map(rgb)
    assert (decoded[5, :5] == 1).all() and decoded.sum() == 5


def test_many_unknown_colors_raise_with_the_colors_and_the_palette(processor, labels, tmp_path):
    rgb = colors(labels)
    rgb[:16] = (255, 255, 0)
    rgb[0, :10] = (1, 250, 250)
    path = save(Image.fromarray(rgb), tmp_path / "painted.png")
    with pytest.raises(ValueError) as error:
        processor.decode_label_map(path)
    text = str(error.value)
    for part in (str(path), "50.0 %", "(255, 255, 0) x 1014", "(1, 250, 250) x 10", "car (64, 0, 128)"):
        assert part in text
    assert "\n" not in text


def test_a_photo_is_not_a_label_map(processor):
    photo = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="unknown colours"):
        processor.decode_label_map(photo)


def test_grey_rgb_file_of_ids_is_read_as_ids_not_snapped_to_black(processor, labels):
    grey = np.repeat(raw_values(labels).astype(np.uint8)[..., None], 3, axis=2)
    decoded = processor.decode_label_map(grey)
    assert np.array_equal(decoded, labels) and decoded.reading.name == "ids"


def test_ids_out_of_range_name_file_ids_and_legal_range(processor, labels, tmp_path):
    raw = raw_values(labels).astype(np.uint8)
    raw[0, :3] = 7
    raw[1, 0] = 200
    path = save(Image.fromarray(raw), tmp_path / "bad.png")
    with pytest.raises(ValueError) as error:
        processor.decode_label_map(path)
    for part in (str(path), "7, 200", "4 pixels", "0..4", "255 (void)"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="my map: label id -1 out of range"):
        processor.decode_label_map(np.array([[-1, 0]]), source="my map")


def test_void_without_a_void_label(labels):
    processor = SemanticImageProcessor({0: "a", 1: "b"}, void_values=[255])
    with pytest.raises(ValueError, match="1 void pixels, but this label space has no void label"):
        processor.decode_label_map(np.array([[0, 1, 255]]))
    assert processor.decode_label_map(np.array([[0, 1, 1]])).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_truncated_png_names_the_file(processor, share, tmp_path):
    labels = np.random.default_rng(0).integers(0, 5, (64, 64), dtype=np.uint8)
    path = save(Image.fromarray(labels), tmp_path / "cut.png")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError) as error:
        processor.decode_label_map(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="upload: "):
        processor.decode_label_map(io.BytesIO(path.read_bytes()), source="upload")


def test_missing_file(processor, tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png: .*no such file"):
        processor.decode_label_map(tmp_path / "gone.png")

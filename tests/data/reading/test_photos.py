# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Photos as people have them: 16 bits, other colour spaces, EXIF; the same through dataset and page."""

import io

import numpy as np
import pytest
from label_file_cases import encoded, raw_png
from PIL import Image, ImageCms

from dpsims_hf.data.reading.rows import sizes_differ
from dpsims_hf.demo.uploads.limits import check_photo
from dpsims_hf.image_processing_files import read_photo


RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = np.linspace(0, 65535, 48).reshape(6, 8).astype(np.uint16)
ORIENTED = Image.Exif()
ORIENTED[0x0112] = 6


def profile_of(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def both(data: bytes) -> np.ndarray:
    """The photo as the dataset and the page read it, which must be the same."""
    by_data, by_page = (
        read_photo(io.BytesIO(data), "photo.png"),
        np.asarray(check_photo(io.BytesIO(data), "photo.png")),
    )
    assert by_data.dtype == np.uint8 and np.array_equal(by_data, by_page)
    return by_data


def test_16_bit_grey_is_scaled_not_clamped():
    photo = both(encoded(GREY))
    assert np.array_equal(photo[..., 0], np.round(GREY / 257).astype(np.uint8)) and (photo == 255).mean() < 0.05
    assert np.array_equal(read_photo(np.repeat(GREY[..., None], 3, axis=2))[..., 1], photo[..., 0])


def test_16_bit_colour_is_scaled():
    photo = both(raw_png(RGB.astype(np.uint16) * 257, 16, 2))
    assert np.array_equal(photo, RGB)


def test_12_bits_in_16_are_warned_of():
    with pytest.warns(UserWarning, match="values end at 4000; if it has 12 bits"):
        read_photo(np.full((4, 4), 4000, np.uint16))


def test_exif_orientation_turns_the_photo():
    assert np.array_equal(both(encoded(RGB, exif=ORIENTED)), np.rot90(RGB, -1))
    text = sizes_differ("a.png", (6, 8), (8, 6))
    assert "quarter turn" in text and "EXIF orientation was applied" in text
    assert "quarter turn" not in sizes_differ("a.png", (6, 8), (12, 16))


def test_cmyk_and_grey_with_alpha_become_rgb():
    white = encoded(Image.new("CMYK", (8, 6), (0, 0, 0, 0)), "JPEG", quality=95)
    assert (both(white) >= 250).all()
    assert both(encoded(Image.fromarray(RGB).convert("LA"))).shape == (6, 8, 3)


def test_a_profile_other_than_srgb_is_converted():
    same = encoded(RGB, icc_profile=profile_of("sRGB"))
    assert np.array_equal(both(same), RGB)
    lab = Image.fromarray(RGB).convert("RGB")
    into = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(lab, into)
    lab.info["icc_profile"] = profile_of("LAB")
    assert np.abs(read_photo(lab).astype(int) - RGB).max() <= 20
    lab.info = {}
    with pytest.raises(ValueError, match="LAB colours without a profile"):
        read_photo(lab)


def test_a_damaged_profile_is_left_out_with_a_word():
    with pytest.warns(UserWarning, match="colour profile is left out"):
        assert np.array_equal(read_photo(io.BytesIO(encoded(RGB, icc_profile=b"nonsense"))), RGB)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypcrx ", "CR3"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"%PDF-1.4", "a PDF"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"<svg xmlns=", "SVG"),
    ],
)
def test_kinds_that_are_not_read_are_named(head, kind, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(head + bytes(200))
    for file in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(ValueError, match=kind):
            read_photo(file, "photo.jpg")


def test_floats_name_the_conversion():
    with pytest.raises(ValueError, match=r"floats in \[0, 1\]: \(255 \* photo\)"):
        read_photo(RGB / 255)
    with pytest.raises(ValueError, match="floating-point values"):
        read_photo(Image.fromarray(RGB[..., 0].astype(np.float32)))

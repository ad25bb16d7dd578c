# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""SemanticImageProcessor: batching, resizing, 8-bit images and legends, loading by the Auto class."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from dpsims_hf import SemanticImageProcessor
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC, draw_scene
from dpsims_hf.image_processing_files import default_palette, resize_nearest, resize_photo


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


def colors(labels: np.ndarray) -> np.ndarray:
    return np.array(PALETTE, dtype=np.uint8)[labels]


# --- batching --------------------------------------------------------------------------------------------------------


def test_batch_of_labels_and_photos(processor, labels):
    photo = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    batch = processor(label_maps=[labels, Image.fromarray(colors(labels))], images=[photo, Image.fromarray(photo)])
    assert batch["label_map"].shape == (2, 32, 64) and batch["label_map"].dtype == torch.int64
    assert np.array_equal(batch["label_map"][1].numpy(), labels)
    assert batch["pixel_values"].shape == (2, 3, 32, 64) and batch["pixel_values"].dtype == torch.float32
    assert torch.allclose(batch["pixel_values"][0, :, 3, 5], torch.from_numpy(photo[3, 5] / 127.5 - 1).float())
    assert torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])


def test_single_items_and_batched_arrays(processor, labels):
    assert processor(labels)["label_map"].shape == (1, 32, 64)
    assert processor(np.stack([labels] * 3))["label_map"].shape == (3, 32, 64)
    assert processor(torch.from_numpy(np.stack([labels] * 3)).to(torch.uint8))["label_map"].shape == (3, 32, 64)
    assert processor(np.stack([colors(labels)] * 2))["label_map"].shape == (2, 32, 64)
    assert processor(images=torch.zeros(2, 3, 32, 32, dtype=torch.uint8))["pixel_values"].shape == (2, 3, 32, 32)
    assert isinstance(processor(labels, return_tensors="np")["label_map"], np.ndarray)
    with pytest.raises(ValueError, match="nothing to process"):
        processor()


def test_nearest_resize_is_pillows_and_makes_no_new_value(processor):
    labels = np.random.default_rng(0).choice([0, 3], (45, 77)).astype(np.uint8)
    for height, width in ((32, 64), (96, 160), (45, 77), (13, 200)):
        expected = np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
        assert np.array_equal(resize_nearest(labels, height, width), expected)
    batch = processor(labels, size={"height": 64, "width": 96})
    assert batch["label_map"].shape == (1, 64, 96) and set(batch["label_map"].unique().tolist()) == {0, 3}


def test_photo_resize_is_antialiased():
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[::2] = 255
    assert abs(resize_photo(stripes, 16, 16).astype(float).mean() - 127.5) < 2
    assert resize_photo(stripes, 16, 16).std() < 20  # nearest would keep pure black or white


def test_size_not_a_multiple_names_the_nearest_legal_size(processor):
    with pytest.raises(ValueError, match=r"size 250x250 .* multiple of 32.* 256x256"):
        processor(np.zeros((250, 250), dtype=np.int64))
    with pytest.raises(ValueError, match=r"size 20x100 .* 32x96"):
        processor(images=np.zeros((20, 100, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="multiple of 32"):
        processor(np.zeros((64, 64), dtype=np.int64), size={"height": 50, "width": 64})


def test_configured_size_and_do_resize():
    sized = SemanticImageProcessor(NAMES, PALETTE, size={"height": 32, "width": 64})
    assert sized(np.zeros((50, 90), dtype=np.int64))["label_map"].shape == (1, 32, 64)
    native = SemanticImageProcessor(NAMES, PALETTE, size={"height": 32, "width": 64}, do_resize=False)
    assert native(np.zeros((64, 96), dtype=np.int64))["label_map"].shape == (1, 64, 96)
    with pytest.raises(ValueError, match="different sizes 32x32, 64x64"):
        native([np.zeros((64, 64), dtype=np.int64), np.zeros((32, 32), dtype=np.int64)])


# --- back to people --------------------------------------------------------------------------------------------------


def test_colorize_and_back(processor, labels):
    image = processor.colorize(torch.from_numpy(labels))
    assert image.mode == "RGB" and image.size == (64, 32)
    assert np.array_equal(processor.decode_label_map(image), labels)


def test_legend(processor):
    legend = processor.legend(np.array([[1, 1, 1, 0], [2, 2, 1, 255]]))
    assert [row.id for row in legend] == [1, 2, 0, 4]
    assert legend[0] == (1, "building", (128, 0, 0), 0.5)
    assert sum(row.share for row in legend) == pytest.approx(1.0)
    json.dumps(legend)


def test_postprocess_rounds_half_to_even_and_clamps(processor):
    values = torch.tensor([-1.0, 1.0, 0.0, -3.0, 3.0, 100 / 127.5 - 1])
    images = values.reshape(1, 1, 1, 6).expand(1, 3, 1, 6)
    expected = [0, 255, 128, 0, 255, 100]  # 127.5 -> 128, the even neighbour
    assert processor.postprocess(images, "pt_uint8")[0, 0, 0].tolist() == expected
    assert processor.postprocess(images, "np_uint8")[0, 0, :, 1].tolist() == expected
    assert np.asarray(processor.postprocess(images)[0])[0, :, 2].tolist() == expected
    with pytest.raises(ValueError, match="NaN"):
        processor.postprocess(torch.full((1, 3, 2, 2), float("nan")))
    with pytest.raises(ValueError, match="latent"):
        processor.postprocess(images, "latent")
    with pytest.raises(ValueError, match="expected"):
        processor.postprocess(torch.zeros(1, 1, 4, 4))


def test_photo_survives_the_round_trip_exactly(processor):
    photo = np.arange(32 * 32 * 3, dtype=np.int64).reshape(32, 32, 3).astype(np.uint8)
    pixel_values = processor(images=photo)["pixel_values"]
    assert np.array_equal(processor.postprocess(pixel_values, "np_uint8")[0], photo)


# --- configuration ---------------------------------------------------------------------------------------------------


def test_bad_label_spaces():
    with pytest.raises(ValueError, match="building .1. and car .3. share the colour"):
        SemanticImageProcessor(NAMES, [*PALETTE[:3], PALETTE[1], PALETTE[4]])
    with pytest.raises(ValueError, match="5 colours"):
        SemanticImageProcessor(NAMES, PALETTE[:4])
    with pytest.raises(ValueError, match="keys 0..1"):
        SemanticImageProcessor({1: "a", 2: "b"})
    with pytest.raises(ValueError, match="void_label_id 5 is out of range"):
        SemanticImageProcessor(NAMES, PALETTE, void_label_id=5)


def test_default_palette_is_the_voc_rule_and_unique():
    palette = default_palette(400)
    assert palette[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert len(set(map(tuple, palette))) == 400


def test_save_and_load_by_the_class_and_the_auto_class(processor, labels, tmp_path):
    processor.size = {"height": 32, "width": 64}
    processor.save_pretrained(tmp_path)
    for loaded in (
        SemanticImageProcessor.from_pretrained(tmp_path),
        AutoImageProcessor.from_pretrained(tmp_path, trust_remote_code=True),
    ):
        code = {"AutoImageProcessor": "image_processing_semantic.SemanticImageProcessor"}
        assert loaded.to_dict() == processor.to_dict() | {"auto_map": code}
        assert loaded.id2label == NAMES
        assert np.array_equal(loaded(colors(labels))["label_map"][0].numpy(), labels)
    resized = SemanticImageProcessor.from_pretrained(tmp_path, size={"height": 64, "width": 64})
    assert resized(labels)["label_map"].shape == (1, 64, 64)


REMOTE = """
import sys, numpy as np
from transformers import AutoImageProcessor
processor = AutoImageProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
assert "dpsims_hf" not in sys.modules and type(processor).__module__.startswith("transformers_modules")
print(processor(np.load(sys.argv[2]))["label_map"].sum().item())
"""


@pytest.mark.slow
@pytest.mark.integration
def test_loads_as_remote_code_without_the_package(tmp_path):
    _, raw, _ = draw_scene((32, 64), seed=0)
    checkpoint = tmp_path / "checkpoint"
    original = SYNTHETIC_SPEC.image_processor()
    before = SemanticImageProcessor._auto_class
    try:
        SemanticImageProcessor.register_for_auto_class()
        original.save_pretrained(checkpoint)
    finally:
        SemanticImageProcessor._auto_class = before
    assert (checkpoint / "image_processing_semantic.py").is_file()
    np.save(tmp_path / "labels.npy", raw)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", REMOTE, str(checkpoint), str(tmp_path / "labels.npy")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) == int(original(raw)["label_map"].sum())


def test_no_picture_is_given_to_a_program(processor, tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever a file is called."""
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/it_ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    for arguments in ({"label_maps": str(path)}, {"images": str(path)}):
        with pytest.raises(ValueError, match="picture.png"):
            processor(**arguments)
    assert not (tmp_path / "it_ran").exists()

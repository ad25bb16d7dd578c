# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Discriminators as transformers' segmenters, and what the processor does for them."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_families import LABEL_PIXELS, make_discriminator
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation, pipeline
from transformers.modeling_outputs import SemanticSegmenterOutput

from dpsims_hf import OASISForSemanticSegmentation, SemanticImageProcessor


pytestmark = pytest.mark.integration


NAMES = {0: "sky", 1: "road", 2: "car", 3: "tree", 4: "void"}
PHOTO = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
LABELS = (np.arange(32 * 64) // 97 % 5).reshape(32, 64).astype(np.uint8)


@pytest.fixture(scope="module")
def processor() -> SemanticImageProcessor:
    return SemanticImageProcessor(NAMES, void_label_id=4, size={"height": 32, "width": 64}, size_divisor=8)


@pytest.fixture(params=LABEL_PIXELS)
def segmenter(request, tmp_path, processor):
    """(a segmenter, its discriminator, the folder that both are of)."""
    discriminator = make_discriminator(request.param, num_labels=None, id2label=NAMES, void_label_id=4)
    discriminator.classifier.weight.data.mul_(1e-3)
    backbone = {"include_backbone": True} if request.param == "DPSIMS" else {}
    discriminator.save_pretrained(tmp_path, **backbone)
    processor.save_pretrained(tmp_path)
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path)
    return loaded, discriminator, tmp_path


@torch.no_grad()
def test_logits_are_the_discriminators_without_fake(segmenter, processor):
    model, discriminator, _ = segmenter
    inputs = processor(images=PHOTO)
    output = model(**inputs)
    expected = discriminator(inputs["pixel_values"]).segmentation_logits
    assert isinstance(output, SemanticSegmenterOutput) and output.loss is None
    assert output.logits.shape == (1, 5, 32, 64) and torch.equal(output.logits, expected[:, :-1])
    assert torch.equal(model(**inputs, return_dict=False)[0], output.logits)


def test_labels_give_the_cross_entropy_and_its_gradient(segmenter, processor):
    model, discriminator, _ = segmenter
    inputs = processor(images=[PHOTO], segmentation_maps=[LABELS])
    assert inputs["labels"].dtype == torch.int64 and torch.equal(inputs["labels"][0], torch.from_numpy(LABELS).long())
    output = model(**inputs)
    logits = discriminator(inputs["pixel_values"]).segmentation_logits[:, :-1]
    torch.testing.assert_close(output.loss, F.cross_entropy(logits, inputs["labels"], ignore_index=4))
    output.loss.backward()
    assert model.classifier.weight.grad[:-1].abs().max() > 0
    assert not model.classifier.weight.grad[-1].any(), "fake is no class of it"


def test_what_is_left_out_of_the_loss(segmenter, processor):
    """Void, -100, and 255 as in transformers' data; labels of another size take resized logits."""
    model, _, _ = segmenter
    inputs = processor(images=[PHOTO], segmentation_maps=[LABELS])
    expected = model(**inputs).loss
    for marker in (-100, 255):
        labels = torch.where(inputs["labels"] == 4, marker, inputs["labels"])
        assert torch.equal(model(inputs["pixel_values"], labels=labels).loss, expected)
    logits = F.interpolate(model(inputs["pixel_values"]).logits, size=(16, 48), mode="bilinear", align_corners=False)
    small = torch.ones(1, 16, 48, dtype=torch.int64)
    assert torch.equal(model(inputs["pixel_values"], labels=small).loss, F.cross_entropy(logits, small))
    for wrong, words in ((small + 4, "labels hold 5"), (small[0], "labels have shape"), (small.float(), "float32")):
        with pytest.raises(ValueError, match=words):
            model(inputs["pixel_values"], labels=wrong)
    with pytest.raises(ValueError, match="output_hidden_states=True"):
        model(inputs["pixel_values"], output_hidden_states=True)


def test_many_classes_have_a_class_255():
    names = {number: f"class {number}" for number in range(300)}
    discriminator = make_discriminator("OASIS", num_labels=None, id2label=names)
    model = OASISForSemanticSegmentation(discriminator.config).eval()
    labels = torch.full((1, 32, 64), 255)
    with torch.no_grad():
        output = model(torch.zeros(1, 3, 32, 64), labels=labels)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))


def test_post_processing(segmenter, processor):
    """Logits, resized, then their classes; of a discriminator's output without "fake"."""
    model, discriminator, _ = segmenter
    inputs = processor(images=[PHOTO, PHOTO[::-1].copy()])
    with torch.no_grad():
        output, judged = model(**inputs), discriminator(**inputs)
    plain = processor.post_process_semantic_segmentation(output)
    assert [single.shape for single in plain] == [(32, 64)] * 2
    assert torch.equal(torch.stack(plain), output.logits.argmax(dim=1))
    sizes = [(50, 70), (20, 30)]
    resized = processor.post_process_semantic_segmentation(output, target_sizes=sizes)
    for single, logits, size in zip(resized, output.logits, sizes, strict=True):
        expected = F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False).argmax(dim=1)[0]
        assert torch.equal(single, expected)
    assert all(map(torch.equal, processor.post_process_semantic_segmentation(judged), plain))
    as_tensor = processor.post_process_semantic_segmentation(output, target_sizes=torch.tensor(sizes))
    assert all(map(torch.equal, as_tensor, resized))
    with pytest.raises(ValueError, match="1 target_sizes for 2 images"):
        processor.post_process_semantic_segmentation(output, [(5, 5)])


def test_transformers_pipeline(segmenter, processor):
    """`pipeline("image-segmentation")` by the folder's name; masks at the photo's own size."""
    model, _, folder = segmenter
    segment = pipeline("image-segmentation", model=str(folder), trust_remote_code=False, device="cpu")
    assert type(segment.model) is type(model) and type(segment.image_processor) is SemanticImageProcessor
    photo = Image.fromarray(PHOTO).resize((100, 40))
    masks = segment(photo)
    assert {entry["label"] for entry in masks} <= set(NAMES.values()) and masks
    together = sum((np.asarray(entry["mask"]) > 0).astype(int) for entry in masks)
    assert together.shape == (40, 100) and (together == 1).all(), "each pixel has one class"


def test_a_processor_of_a_segmenters_folder(segmenter):
    _, _, folder = segmenter
    loaded = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    assert type(loaded) is SemanticImageProcessor and loaded.id2label == NAMES
    data = loaded(segmentation_maps=[LABELS], images=[PHOTO], label_maps=[LABELS])
    assert set(data) == {"pixel_values", "labels", "label_map"}
    with pytest.raises(ValueError, match="segmentation map 0"):
        loaded(segmentation_maps=[np.full((32, 64), 77, dtype=np.uint8)])

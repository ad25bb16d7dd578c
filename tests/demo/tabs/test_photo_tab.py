# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Photo tab without a browser: what labels a photo, sizes, names of classes, errors as one line, handlers."""

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from drawn_model import HEIGHT, VOID, WIDTH, drawn_model
from PIL import Image

from dpsims_hf.demo.drawing.example_maps import CAMVID_CLASSES
from dpsims_hf.demo.drawing.photo_segmentation import (
    cached_segmenter,
    discriminator_of,
    propose,
    segmenter_source,
    translate,
)
from dpsims_hf.demo.drawing.scenes import Scene, Variant, render
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary
from dpsims_hf.demo.tabs.photo import DISCRIMINATOR, SEGMENTER, _Handlers
from dpsims_hf.evaluation.segmenters import load_segmenter


SEEN = ["cars", "Tree", "giraffe", "road", "sky"]  # the segmenter's classes; the model has no giraffe


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return drawn_model()


@pytest.fixture(scope="module")
def segmenter_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SegFormer of transformers."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    folder = tmp_path_factory.mktemp("segmenter")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = SegformerConfig(
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 1, 2, 2],
            decoder_hidden_size=16,
            id2label=dict(enumerate(SEEN)),
        )
        SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor().save_pretrained(folder)
    return folder


def photo(height: int = 60, width: int = 150) -> Image.Image:
    """Smooth colours."""
    rows, columns = np.mgrid[0:height, 0:width]
    values = np.stack([255 * rows / height, 255 * columns / width, 128 + 100 * np.sin(rows / 5)], axis=-1)
    return Image.fromarray(values.astype(np.uint8))


# -- who labels -------------------------------------------------------------------------------------------------------


def test_the_discriminator_labels_at_a_size_that_suits_both_networks(model):
    proposal = propose(model, photo())
    height, width = proposal.label_map.shape
    assert (height, width) == (32, 64)  # the generator alone would take 32 x 72
    assert proposal.photo.size == (width, height) and proposal.notes == ()
    pixels = torch.from_numpy(np.array(proposal.photo)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        logits = model.pipe.discriminator.eval()(pixels).segmentation_logits
    assert np.array_equal(proposal.label_map, logits[0, :-1].argmax(dim=0).numpy())
    assert proposal.label_map.dtype == np.int64
    image = render(model, Scene("photo", proposal.label_map, model.labels), [Variant(0)])[0]
    assert image.size == proposal.photo.size


def test_sides_are_kept_in_proportion(model):
    assert propose(model, photo(600, 100)).label_map.shape == (96, 32)


def test_a_segmenters_classes_are_matched_by_name(model, segmenter_dir):
    segmenter = load_segmenter(segmenter_dir)
    proposal = propose(model, photo(), segmenter)
    height, width = proposal.label_map.shape
    assert (height, width) == (32, 72)
    seen = segmenter(torch.from_numpy(np.array(proposal.photo)).permute(2, 0, 1)[None])[0].numpy()
    names = list(CAMVID_CLASSES)
    table = np.array([names.index("car"), names.index("tree"), VOID, names.index("road"), names.index("sky")])
    assert np.array_equal(proposal.label_map, table[seen])
    giraffes = 100 * (seen == 2).mean()
    told = " ".join(proposal.notes)
    assert (f"giraffe ({giraffes:.1f} %)" in told) == bool(giraffes)


def test_pixels_without_a_class_become_void_or_their_neighbours():
    seen = np.zeros((4, 6), dtype=np.int64)  # cars, then a giraffe beside a road
    seen[:, 2:4], seen[:, 4:] = 2, 3
    car, road = list(CAMVID_CLASSES).index("car"), list(CAMVID_CLASSES).index("road")
    label_map, notes = translate(seen, SEEN, drawn_model().processor)
    assert label_map[0].tolist() == [car, car, VOID, VOID, road, road]
    assert notes == ("The segmenter also saw what the model has no class for: giraffe (33.3 %). It became void.",)
    label_map, notes = translate(seen, SEEN, drawn_model(with_void=False).processor)
    assert label_map[0].tolist() == [car, car, car, road, road, road]
    assert notes[0].endswith("It became the class next to it.")
    with pytest.raises(ValueError, match="saw giraffe, and the model has no class of these names; it has sky, "):
        translate(np.full((4, 6), 2), SEEN, drawn_model().processor)


def test_without_a_discriminator_words_say_what_to_do(model):
    bare = drawn_model(with_discriminator=False)
    with pytest.raises(ValueError, match="^drawn has no discriminator: choose another segmenter or model$"):
        propose(bare, photo())
    network = discriminator_of(model)
    network.backbone_ready = False
    try:
        with pytest.raises(ValueError, match="discriminator of drawn came without the weights of test_resnet"):
            propose(model, photo())
    finally:
        network.backbone_ready = True


# -- segmenters by name -----------------------------------------------------------------------------------------------


def test_names_of_segmenters(segmenter_dir):
    assert segmenter_source(f" {segmenter_dir} ", local_folders=True) == str(segmenter_dir)
    assert segmenter_source("user/name", local_folders=False) == "user/name"
    for name, public, words in (
        (str(segmenter_dir), True, "this page accepts Hub ids 'user/name' only"),
        ("/no/such/folder", False, "no such folder; a Hub repository is called 'user/name'"),
        ("../x", True, "this page accepts Hub ids"),
        ("  ", True, "no segmenter named: type a Hub id 'user/name'$"),
        ("", False, "type a Hub id 'user/name' or a folder$"),
    ):
        with pytest.raises(ValueError, match=words):
            segmenter_source(name, local_folders=not public)


def test_a_folder_without_a_segmenter(tmp_path):
    with pytest.raises(ValueError, match="no segmentation model of transformers here or on the Hub"):
        cached_segmenter(str(tmp_path), "cpu")


# -- handlers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def handlers(model) -> _Handlers:
    return _Handlers(ModelLibrary(model))


def test_label_then_draw(handlers, model, tmp_path):
    photo().save(tmp_path / "My street.png")
    row, canvas, name, small, note = handlers.label("", str(tmp_path / "My street.png"), DISCRIMINATOR, None)
    proposal = propose(model, photo())
    assert canvas.props["underlay"].startswith("data:image/png;base64,") and name == "My_street"
    sure = f"{1 - proposal.doubts.mean():.0%}"
    assert note.startswith("150 × 60 pixels, used at 64 × 32.")
    assert (f"is sure (60% and more) of {sure} of it" in note) == bool(proposal.doubts.any())
    pair, legend = handlers.draw("", proposal.label_map, name, 7, small)
    scene, variant = handlers.scene("", proposal.label_map, name, 7, Variant(0))
    assert np.array_equal(np.asarray(pair[0]), np.asarray(proposal.photo))
    assert np.array_equal(np.asarray(pair[1]), np.asarray(render(model, scene, [Variant(7)])[0]))
    assert scene.name == "My_street" and np.array_equal(scene.label_map, proposal.label_map)
    assert variant == Variant(7) and scene.labels == model.labels
    largest = model.processor.legend(proposal.label_map)[0]
    assert legend.startswith(f'<div class="legend"><span class="chip" data-label="{largest.id}">')


def test_label_by_a_named_segmenter(handlers, model, tmp_path, segmenter_dir):
    photo().save(tmp_path / "a.png")
    path = str(tmp_path / "a.png")
    answer = handlers.label("", path, SEGMENTER, str(segmenter_dir))
    expected = propose(model, photo(), load_segmenter(segmenter_dir)).label_map
    assert np.array_equal(answer[1]._constructor_args[0]["value"], expected)
    assert answer[3].size == expected.shape[::-1]
    with pytest.raises(ValueError, match="no segmenter named"):
        handlers.label("", path, SEGMENTER, None)
    public = _Handlers(ModelLibrary(model, local_folders=False))
    with pytest.raises(ValueError, match="Hub ids 'user/name' only"):
        public.label("", path, SEGMENTER, str(segmenter_dir))


def test_handlers_without_a_photo(handlers, tmp_path):
    with pytest.raises(ValueError, match="no photo yet: upload one first"):
        handlers.label("", None, DISCRIMINATOR, None)
    with pytest.raises(ValueError, match="no label map yet: upload a photo first"):
        handlers.current("", None, "photo", 0)
    with pytest.raises(ValueError, match="forgotten after an hour: upload it again"):
        handlers.draw("", np.zeros((HEIGHT, WIDTH), dtype=np.int64), "photo", 0, None)
    assert handlers.draw("", None, "photo", 0, None) == (gr.skip(),) * 2
    (tmp_path / "a.png").write_text("<svg/>")
    with pytest.raises(ValueError, match="a.png: a text file"):
        handlers.label("", str(tmp_path / "a.png"), DISCRIMINATOR, None)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Segmenters, label spaces and protocols; the training of the own segmenter."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from segmenter_images import random_images

from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.evaluation.protocols import PROTOCOLS, get_protocol
from dpsims_hf.evaluation.segmenters import LabelMapping, Segmenter, load_segmenter, network_size


NAMES = {0: "sky", 1: "house", 2: "road"}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


def smooth_images(count: int, height: int, width: int) -> torch.Tensor:
    """Images with large areas, so that classes are not decided by single pixels."""
    return torch.nn.functional.interpolate(random_images(count, 4, 4), (height, width), mode="bilinear")


def _swin():
    from transformers import SwinConfig

    stages = ["stage1", "stage2", "stage3", "stage4"]
    return SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_features=stages
    )


def _sharpened(model):
    """Random queries are all alike, and one class wins everywhere; large weights make them differ."""
    for name, parameter in model.named_parameters():
        if re.search(r"quer|class_predictor\.weight|mask_embed.*weight", name):
            parameter.data *= 30
    return model


def _mask2former():
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor

    width = dict.fromkeys(("hidden_dim", "feature_size", "mask_feature_size", "encoder_feedforward_dim"), 32)
    config = Mask2FormerConfig(
        backbone_config=_swin(),
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=32,
        num_queries=6,
        id2label=NAMES,
        **width,
    )
    return _sharpened(Mask2FormerForUniversalSegmentation(config)), Mask2FormerImageProcessor


def _maskformer():
    from transformers import DetrConfig, MaskFormerConfig, MaskFormerForInstanceSegmentation, MaskFormerImageProcessor

    decoder = DetrConfig(
        d_model=32, encoder_layers=1, decoder_layers=1, decoder_ffn_dim=32, num_queries=6, decoder_attention_heads=2
    )
    config = MaskFormerConfig(
        backbone_config=_swin(), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, id2label=NAMES
    )
    return _sharpened(MaskFormerForInstanceSegmentation(config)), MaskFormerImageProcessor


def _segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label=NAMES,
    )
    return SegformerForSemanticSegmentation(config), SegformerImageProcessor


def _upernet():
    from transformers import ConvNextConfig, SegformerImageProcessor, UperNetConfig, UperNetForSemanticSegmentation

    backbone = ConvNextConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    config = UperNetConfig(
        backbone_config=backbone,
        hidden_size=16,
        auxiliary_in_channels=16,
        auxiliary_channels=8,
        id2label=NAMES,
    )
    return UperNetForSemanticSegmentation(config), SegformerImageProcessor


BUILDERS = {"mask2former": _mask2former, "maskformer": _maskformer, "segformer": _segformer, "upernet": _upernet}


@pytest.fixture(scope="module")
def model_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny random models with their processors, as the Hub would have them."""
    folders = {}
    for name, build in BUILDERS.items():
        folders[name] = tmp_path_factory.mktemp("models") / name
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            model, processor = build()
        model.eval().save_pretrained(folders[name])
        processor(image_mean=MEAN, image_std=STD, size={"height": 384, "width": 384}).save_pretrained(folders[name])
    return folders


def _record_inputs(segmenter: Segmenter) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    segmenter.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    return seen


# -- transformers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_every_family_labels_images_at_their_own_size(model_dirs: dict[str, Path], name: str):
    segmenter = load_segmenter(str(model_dirs[name]))
    images = smooth_images(2, 40, 72)
    labels = segmenter(images)
    assert labels.shape == (2, 40, 72) and labels.dtype == torch.int64
    assert 0 <= labels.min() and labels.max() <= 2 and len(labels.unique()) > 1
    assert segmenter.label_names == list(NAMES.values()) and segmenter.name == name
    assert torch.equal(labels[1:], segmenter(images[1:]))
    facts = segmenter.facts()
    assert facts["num_classes"] == 3 and re.fullmatch("[0-9a-f]{64}", facts["weights_sha256"])
    assert ("null class" in facts["scores"]) == (name in ("mask2former", "maskformer"))
    json.dumps(facts)


def test_mask2former_equals_the_processors_own_rule_where_that_is_right(model_dirs: dict[str, Path]):
    """transformers' post-processing assumes 384x384; at that size the two must agree."""
    from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor

    folder = model_dirs["mask2former"]
    model, processor = (
        part.from_pretrained(folder) for part in (Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor)
    )
    images = smooth_images(2, 192, 192)
    values = torch.nn.functional.interpolate(images.float() / 255, (384, 384), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    with torch.no_grad():
        outputs = model(pixel_values=(values - mean) / std)
    expected = torch.stack(processor.post_process_semantic_segmentation(outputs, target_sizes=[(192, 192)] * 2))
    labels = load_segmenter(folder, short_side=384)(images)
    assert len(expected.unique()) > 1 and torch.equal(labels, expected)


def test_segformer_scores_are_enlarged_before_the_best_class_is_taken(model_dirs: dict[str, Path]):
    from transformers import SegformerForSemanticSegmentation

    model = SegformerForSemanticSegmentation.from_pretrained(model_dirs["segformer"])
    images = smooth_images(2, 64, 96)
    values = (images.float() / 255 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.no_grad():
        logits = model(pixel_values=values).logits
    expected = torch.nn.functional.interpolate(logits, (64, 96), mode="bilinear", align_corners=False).argmax(1)
    assert logits.shape[-2:] == (16, 24)
    assert torch.equal(load_segmenter(model_dirs["segformer"])(images), expected)


def test_the_network_sees_the_stated_size_and_not_the_processors(model_dirs: dict[str, Path]):
    segmenter = load_segmenter(model_dirs["segformer"], short_side=64)
    seen = _record_inputs(segmenter)
    gray = torch.full((1, 3, 48, 96), 51, dtype=torch.uint8)  # 51 / 255 = 0.2
    assert segmenter(gray).shape == (1, 48, 96)
    assert seen[0].shape == (1, 3, 64, 128)
    expected = [(0.2 - mean) / std for mean, std in zip(MEAN, STD, strict=True)]
    torch.testing.assert_close(seen[0].mean(dim=(0, 2, 3)), torch.tensor(expected), rtol=1e-4, atol=1e-5)
    assert segmenter.facts()["short_side"] == 64 and "short side 64" in segmenter.facts()["resize"]


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((256, 256), 640, (640, 640)), ((192, 256), None, (192, 256)), ((192, 256), 512, (512, 672))]
    + [((360, 480), None, (352, 480)), ((20, 40), None, (32, 32))],
)
def test_network_size(size: tuple[int, int], short_side: int | None, expected: tuple[int, int]):
    assert network_size(*size, short_side) == expected


def test_sources_that_are_no_segmenters(tmp_path: Path, model_dirs: dict[str, Path]):
    from transformers import BertConfig, SegformerForImageClassification

    with pytest.raises(ValueError, match="somebody/nothing: no segmentation model"):
        load_segmenter("somebody/nothing")
    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="bert is no semantic segmentation"):
        load_segmenter(tmp_path / "bert")
    with pytest.raises(ValueError, match="kind 'hub'"):
        load_segmenter(model_dirs["segformer"], kind="hub")
    with pytest.raises(ValueError, match="not a folder of train_segmenter"):
        load_segmenter(model_dirs["segformer"], kind="own")
    with pytest.raises(ValueError, match="short_side=8"):
        load_segmenter(model_dirs["segformer"], short_side=8)
    classifier = SegformerForImageClassification(BUILDERS["segformer"]()[0].config)
    classifier.save_pretrained(tmp_path / "classifier")
    BUILDERS["segformer"]()[1]().save_pretrained(tmp_path / "classifier")
    with pytest.raises(ValueError, match="has no weight 'decode_head.*not trained to segment"):
        load_segmenter(tmp_path / "classifier")


def test_wrong_images(model_dirs: dict[str, Path]):
    with pytest.raises(ValueError, match="give uint8"):
        load_segmenter(model_dirs["segformer"])(torch.zeros(1, 3, 32, 32))


# -- label spaces -----------------------------------------------------------------------------------------------------


def test_labels_by_name():
    mapping = LabelMapping.by_names(
        ["Sky", "traffic_light", "pavement", "fog", "void"],
        ["traffic light", "sidewalk", "truck", "sky"],
        void_label_id=4,
        names={"pavement": "sidewalk", "fog": None, "not in this set": "truck"},
    )
    assert mapping.table == [3, 0, 1, None, None] and mapping.num_labels == 4
    label_map = torch.tensor([[[0, 1], [2, 3]], [[4, 4], [0, 0]]])
    assert mapping(label_map).tolist() == [[[3, 0], [1, -1]], [[-1, -1], [3, 3]]]
    assert mapping.ignore_index == -1
    assert mapping.restrict(torch.tensor([[0, 1], [2, 3]])).tolist() == [[0, 1], [4, 3]]  # no label means truck
    facts = mapping.facts()
    assert facts["ignored_labels"] == [3, 4] and facts["segmenter_classes_used"] == 3


def test_labels_by_order():
    mapping = LabelMapping.by_order(["other", "wall", "building"], ["a", "b"], void_label_id=0)
    assert mapping(torch.tensor([[0, 1, 2]])).tolist() == [[-1, 0, 1]]


def test_labels_that_do_not_match():
    with pytest.raises(ValueError, match="dataset has 2 classes, the segmenter 3.*for: tree"):
        LabelMapping.by_names(["sky", "tree", "void"], ["sky", "road", "car"], void_label_id=2)
    with pytest.raises(ValueError, match="dataset has 2 classes, the segmenter 3"):
        LabelMapping.by_order(["sky", "tree", "void"], ["sky", "road", "car"], void_label_id=2)
    with pytest.raises(ValueError, match="holds 3, but the segmenter has classes 0 .. 2"):
        LabelMapping([0, 3], 3)
    with pytest.raises(ValueError, match="none of the 2 labels"):
        LabelMapping([None, None], 3)
    mapping = LabelMapping([0, 1], 2)
    for illegal in (2, -1):
        with pytest.raises(ValueError, match=f"holds {illegal}, but the dataset has labels 0 .. 1"):
            mapping(torch.tensor([[0, illegal]]))


# -- protocols --------------------------------------------------------------------------------------------------------


def test_every_protocol_states_its_facts():
    for name, protocol in PROTOCOLS.items():
        facts = protocol.facts()
        assert protocol.name == name and facts == json.loads(json.dumps(facts))
        assert all(facts[key] for key in ("title", "resize", "images", "void", "source", "split"))
        assert ("20 generated" in facts["images"]) == (facts["images_per_label_map"] == 20)
        with pytest.raises(dataclasses.FrozenInstanceError):
            protocol.resize = "another"
    assert "no antialiasing" in get_protocol("fid_legacy").resize
    assert get_protocol("fid_backbone").network.startswith("timm:")
    with pytest.raises(ValueError, match="unknown protocol 'fid'.*fid_legacy"):
        get_protocol("fid")


def test_offline_protocol_has_the_arguments_of_its_backbone():
    kwargs = get_protocol("fid_backbone").network_kwargs()
    assert kwargs == {"backbone_kwargs": {"pad_type": "same"}, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert get_protocol("kid_legacy").metric_kwargs() == {"subsets": 100, "subset_size": 1000}
    assert get_protocol("miou_mf_ade").network_kwargs() == {"short_side": 640}


def test_label_rules_fit_the_published_label_spaces():
    """Cityscapes keeps its 19 training classes; COCO-Stuff's 171 give 133 panoptic ones; ADE20K is shifted by one."""
    cityscapes, coco, ade = (load_label_preset(name) for name in ("cityscapes", "coco_stuff", "ade20k"))
    nineteen = (
        "road,sidewalk,building,wall,fence,pole,traffic light,traffic sign,vegetation,terrain,sky,person,rider,car,"
        "truck,bus,train,motorcycle,bicycle"
    ).split(",")
    mapping = get_protocol("miou_mf_cityscapes").label_mapping(cityscapes.labels, nineteen, 0)
    assert [mapping.table[index] for index in (7, 8, 11, 26, 33)] == [0, 1, 2, 13, 18]
    assert mapping.facts()["segmenter_classes_used"] == 19 and mapping.table[9] is None  # parking

    table = dict(get_protocol("miou_mf_coco133").label_names)
    panoptic = sorted({table.get(label, label) for label in coco.labels[1:]} - {None})
    assert len(panoptic) == 133 and "tree-merged" in panoptic and "hat" not in panoptic
    mapping = get_protocol("miou_mf_coco133").label_mapping(coco.labels, panoptic, 0)
    ids = {label: mapping.table[index] for index, label in enumerate(coco.labels)}
    assert ids["leaves"] == ids["tree"] == panoptic.index("tree-merged") and ids["cloth"] is None
    stuff = [label for label in coco.labels[1:] if label not in dict(get_protocol("miou_mf_coco171").label_names)]
    mapping = get_protocol("miou_mf_coco171").label_mapping(coco.labels, stuff, 0)
    assert mapping.facts()["segmenter_classes_used"] == 171

    mapping = get_protocol("miou_mf_ade").label_mapping(ade.labels, [f"class {i}" for i in range(150)], 0)
    assert mapping.table[:3] == [None, 0, 1] and mapping.table[150] == 149
    with pytest.raises(ValueError, match="miou_mf_ade does not fit.*11 classes, the segmenter 150"):
        get_protocol("miou_mf_ade").label_mapping(load_label_preset("camvid").labels, ["x"] * 150, 11)

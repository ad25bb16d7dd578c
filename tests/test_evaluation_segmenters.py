# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Segmenters, label spaces and protocols; the training of the own segmenter."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from dpsims_hf.data import JointTransform, SemanticImageDataset
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.evaluation import ConfusionMatrix
from dpsims_hf.evaluation.protocols import PROTOCOLS, get_protocol
from dpsims_hf.evaluation.segmenters import LabelMapping, Segmenter, load_segmenter, network_size
from dpsims_hf.evaluation.train_segmenter import (
    SegmenterOptions,
    balanced_cross_entropy,
    class_weights,
    main,
    train,
)


BACKBONE = "test_efficientnet"
NAMES = {0: "sky", 1: "house", 2: "road"}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


def random_images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


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
    with pytest.raises(ValueError, match="data set has 2 classes, the segmenter 3.*for: tree"):
        LabelMapping.by_names(["sky", "tree", "void"], ["sky", "road", "car"], void_label_id=2)
    with pytest.raises(ValueError, match="data set has 2 classes, the segmenter 3"):
        LabelMapping.by_order(["sky", "tree", "void"], ["sky", "road", "car"], void_label_id=2)
    with pytest.raises(ValueError, match="holds 3, but the segmenter has classes 0 .. 2"):
        LabelMapping([0, 3], 3)
    with pytest.raises(ValueError, match="none of the 2 labels"):
        LabelMapping([None, None], 3)
    mapping = LabelMapping([0, 1], 2)
    for illegal in (2, -1):
        with pytest.raises(ValueError, match=f"holds {illegal}, but the data set has labels 0 .. 1"):
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


# -- the own segmenter ------------------------------------------------------------------------------------------------


def test_class_weights():
    """Shares 0.64, 0.16, 0.04, 0.16: 1 / sqrt = 1.25, 2.5, 5, 2.5; their mean over pixels is 1.8."""
    weights = class_weights(torch.tensor([64, 16, 4, 16]))
    torch.testing.assert_close(weights, torch.tensor([1.25, 2.5, 5.0, 2.5]) / 1.8)
    assert class_weights(torch.tensor([10, 0]))[1] == 0


def test_balanced_cross_entropy():
    """Two labelled pixels: log 4 x weight 3 and log(4/3) x weight 1, over 2; the void pixel has no part."""
    probabilities = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.5, 0.5]])
    logits = probabilities.log().T.view(1, 2, 1, 3)
    target = torch.tensor([[[1, 0, -1]]])
    loss = balanced_cross_entropy(logits, target, torch.tensor([1.0, 3.0]), -1)
    expected = (3 * torch.tensor(4.0).log() + torch.tensor(4 / 3).log()) / 2
    torch.testing.assert_close(loss, expected)
    assert balanced_cross_entropy(logits, torch.full_like(target, -1), torch.ones(2), -1) == 0


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backbone") / "model.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model(BACKBONE).state_dict(), path)
    return path


def _options(dataset_dir: Path, output_dir: Path, backbone_file: Path, **changes) -> SegmenterOptions:
    small = {"image_size": (32, 64), "channels": 16, "steps": 4, "batch_size": 2, "log_steps": 2, "device": "cpu"}
    options = SegmenterOptions(str(dataset_dir), str(output_dir), BACKBONE, str(backbone_file))
    return dataclasses.replace(options, **(small | changes))


@pytest.fixture(scope="module")
def trained(tiny_dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory, backbone_file: Path):
    """(folder, scores on val) of a short training."""
    folder = tmp_path_factory.mktemp("segmenter") / "streets"
    options = _options(tiny_dataset_dir, folder, backbone_file, steps=60, batch_size=4, learning_rate=1e-2)
    return folder, train(options)


@pytest.mark.integration
def test_training_learns_and_records_what_it_measured(tiny_dataset_dir: Path, trained, backbone_file: Path):
    folder, scores = trained
    segmenter = load_segmenter(str(folder))
    assert segmenter.label_names == ["sky", "building", "road", "car"] and segmenter.short_side == 32
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    matrix = ConfusionMatrix(4, ignore_index=4)  # void is the last of the set's labels
    for index in range(len(dataset)):
        photo = torch.from_numpy(dataset.photo(index).copy()).permute(2, 0, 1)[None]
        matrix.update(segmenter(photo)[0], dataset.label_map(index))
    assert matrix.compute()["mean_iou"] == scores["mean_iou"]
    assert scores["mean_iou"] > 0.5  # 0.06 to 0.2 before training
    val, training = (segmenter.facts()[key] for key in ("val", "training"))
    assert val["mean_iou"] == scores["mean_iou"] and val["num_images"] == len(dataset)
    assert set(val["per_class_iou"]) == set(segmenter.label_names)
    assert training["steps"] == 60 and training["num_images"] == 8 and training["split"] == "train"
    assert str(backbone_file.parents[1]) not in json.dumps(training)


@pytest.mark.integration
def test_own_segmenter_takes_other_sizes(trained):
    segmenter = load_segmenter(trained[0], short_side=64)
    assert segmenter(random_images(1, 50, 90)).shape == (1, 50, 90)
    assert segmenter.facts()["short_side"] == 64


def test_same_seed_same_segmenter(tiny_dataset_dir: Path, tmp_path: Path, backbone_file: Path):
    """... and the encoder: a rate of 0 leaves it alone, another rate moves its weights but never its statistics."""
    folders = [tmp_path / name for name in "abc"]
    for folder, rate in zip(folders, (1e-3, 1e-3, 0.0), strict=True):
        train(_options(tiny_dataset_dir, folder, backbone_file, backbone_learning_rate=rate))
    first, second, frozen = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(first[key], second[key]) for key in first)
    given = {key.replace(".", "_"): value for key, value in load_file(backbone_file).items()}
    moved = set()
    for key in (key for key in first if key.startswith("encoder.")):
        source = given[key.removeprefix("encoder.network.").replace(".", "_")]
        assert torch.equal(frozen[key], source)
        if not torch.equal(first[key], source):
            moved.add(key.rsplit(".", 1)[-1])
    assert moved == {"weight", "bias"}


@pytest.mark.integration
def test_the_command(tiny_dataset_dir: Path, tmp_path: Path, backbone_file: Path, capsys: pytest.CaptureFixture):
    arguments = ["--dataset_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path / "out"), "--backbone", BACKBONE]
    arguments += [
        "--backbone_weights",
        str(backbone_file),
        "--backbone_kwargs",
        '{"pad_type": "same"}',
        "--steps",
        "2",
    ]
    arguments += ["--image_size", "32", "64", "--channels", "16", "--batch_size", "2", "--log_steps", "1"]
    main(arguments + ["--backbone_mean", "0.5", "0.5", "0.5", "--device", "cpu"])
    printed = capsys.readouterr().out
    assert re.search(r"step 2/2, loss \d", printed) and re.search(r"val mIoU 0\.\d+ over 4 classes", printed)
    network = json.loads((tmp_path / "out" / "config.json").read_text())["network"]
    assert network["backbone_kwargs"] == {"pad_type": "same"} and network["mean"] == [0.5] * 3
    with pytest.raises(SystemExit, match="error: .*no such file"):
        main(["--dataset_dir", str(tmp_path), "--output_dir", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main([*arguments, "--image_size", "30", "64"])
    assert "multiples of 32" in capsys.readouterr().err

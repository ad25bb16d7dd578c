# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What only the DP-SIMS discriminator has: a backbone of any kind, frozen in fact, saved or not; Table 5.

The contract that all families share stands in test_modeling_families.py.
"""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from dpsims_hf import DPSIMSDiscriminator, DPSIMSDiscriminatorConfig
from dpsims_hf.configuration_limits import FEATURE_CONDITIONINGS
from dpsims_hf.modeling_backbone_sizes import check_levels, refuse_size
from dpsims_hf.modeling_dpsims_discriminator import FeatureConditioning, FrozenBackbone


SHARED_WEIGHTS = Path(__file__).parents[4] / "shared" / "weights" / "mobilenetv2_100_google_ptq" / "model.safetensors"


def make(**overrides: object) -> DPSIMSDiscriminator:
    torch.manual_seed(0)
    return DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny", **overrides))


def test_decoder_features_stand_at_every_resolution():
    output = make()(torch.rand(2, 3, 32, 64) * 2 - 1, output_features=True)
    sizes = [tuple(feature.shape[-2:]) for feature in output.decoder_features]
    assert sizes == [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64)]
    assert output.encoder_features is None  # its encoder is frozen


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("test_convnext", (64, 64)),
        ("test_resnet", (64, 64)),
        ("test_efficientnet", (64, 64)),
        ("mobilenetv2_050", (64, 96)),
        ("tf_efficientnet_lite0", (64, 64)),
        ("swin_tiny_patch4_window7_224", (64, 96)),  # NHWC features
    ],
)
def test_backbones_of_every_kind(backbone: str, size: tuple[int, int]):
    model = make(backbone=backbone).train()
    pixel_values = torch.rand(2, 3, *size, requires_grad=True)
    logits = model(pixel_values).segmentation_logits
    assert logits.shape == (2, 6, *size)
    logits.square().mean().backward()
    assert pixel_values.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.backbone.parameters())


@pytest.mark.parametrize("mode", FEATURE_CONDITIONINGS)
def test_table_5_rows(mode: str):
    model = make(feature_conditioning=mode).train()
    model(torch.rand(2, 3, 32, 64)).segmentation_logits.mean().backward()
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not any("mixing" in name or name.startswith("backbone") for name in trainable)
    assert all(model.get_parameter(name).grad is not None for name in trainable)


def test_full_conditioning_equals_the_formula_of_section_3_1():
    features = torch.randn(4, 3, 5, 6) * 10 + 2
    conditioned = FeatureConditioning("full", [3]).train()([features])[0]
    squashed = 1 / (1 + torch.exp(-features))
    mean, std = squashed.mean((0, 2, 3), keepdim=True), squashed.std((0, 2, 3), keepdim=True, unbiased=False)
    torch.testing.assert_close(conditioned, (squashed - mean) / std, atol=1e-3, rtol=1e-3)


def test_conditioning_modes_differ_as_named():
    features = [torch.randn(2, 3, 8, 8) * 5, torch.randn(2, 4, 4, 4) * 5]
    result = {mode: FeatureConditioning(mode, [3, 4]).train()(list(features))[0] for mode in FEATURE_CONDITIONINGS}
    assert torch.equal(result["none"], features[0])
    torch.testing.assert_close(result["no_batchnorm"], torch.sigmoid(features[0]))
    assert abs(result["no_sigmoid"].std().item() - 1) < 0.01
    assert result["ccm_csm"].shape == features[0].shape and not torch.allclose(result["ccm_csm"], features[0])


def test_backbone_is_frozen_in_fact():
    model = make().train()
    before = model.backbone.fingerprint()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        model(torch.rand(2, 3, 32, 64)).segmentation_logits.square().mean().backward()
        optimizer.step()
    assert not any(module.training for module in model.backbone.modules())
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert model.backbone.fingerprint() == before
    assert model.conditioning.norms[0].training


def test_input_normalisation_is_the_backbones_own():
    given = FrozenBackbone("test_resnet", mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    expected = given.network(
        ((images + 1) / 2 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    )
    for a, b in zip(given(images), expected, strict=True):
        torch.testing.assert_close(a, b)
    assert FrozenBackbone("tf_efficientnet_lite1").mean == [0.5, 0.5, 0.5]  # timm's record, not ImageNet's


@pytest.mark.parametrize("backbone", ["test_resnet", "swin_tiny_patch4_window7_224"])
def test_saving_with_the_backbone_is_exact(tmp_path, backbone: str):
    model = make(backbone=backbone).eval()
    pixel_values = torch.rand(1, 3, 64, 64)
    model.save_pretrained(tmp_path, include_backbone=True)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.backbone.fingerprint() == model.backbone.fingerprint()
    assert not any(parameter.requires_grad for parameter in loaded.backbone.parameters())
    assert not loaded.train().backbone.network.training
    loaded.eval()
    torch.testing.assert_close(loaded(pixel_values)[0], model(pixel_values)[0], atol=1e-5, rtol=1e-5)


def test_saving_without_the_backbone_asks_for_its_weights(tmp_path):
    model = make().eval()
    model.save_pretrained(tmp_path)
    assert not any(name.startswith("backbone") for name in load_file(tmp_path / "model.safetensors"))
    loaded = DPSIMSDiscriminator.from_pretrained(tmp_path)
    with pytest.raises(
        RuntimeError, match=r"does not hold the weights of its backbone 'test_resnet'.*load_backbone_weights"
    ):
        loaded(torch.rand(1, 3, 32, 64))
    weights = tmp_path / "backbone.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    loaded.load_backbone_weights(weights)
    assert loaded(torch.rand(1, 3, 32, 64))[0].shape == (1, 6, 32, 64)


def test_backbone_weights_from_a_file(tmp_path):
    torch.manual_seed(1)
    classifier = timm.create_model("test_resnet")
    save_file(classifier.state_dict(), tmp_path / "w.safetensors")
    model = make()
    before = model.backbone.fingerprint()
    model.load_backbone_weights(tmp_path / "w.safetensors")
    assert model.backbone.fingerprint() != before
    images = torch.rand(1, 3, 32, 32)
    expected = classifier.eval().forward_intermediates(images, intermediates_only=True)
    torch.testing.assert_close(model.backbone.network(images)[-1], expected[-1], atol=1e-5, rtol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(timm.create_model("test_convnext").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="does not fit the backbone 'test_resnet': it has no weight"):
        make().load_backbone_weights(tmp_path / "w.safetensors")


@pytest.mark.skipif(
    not SHARED_WEIGHTS.is_file(), reason="no ../shared/weights: pre-trained backbones, not part of the repository"
)
def test_real_weights_change_the_features():
    backbone = FrozenBackbone("mobilenetv2_100", {"pad_type": "same"}, None, [0.5] * 3, [0.5] * 3)
    before = backbone.fingerprint()
    backbone.load_weights(SHARED_WEIGHTS)
    assert backbone.fingerprint() != before
    assert backbone.reductions == [2, 4, 8, 16, 32]


def test_wrong_configs_name_value_and_remedy():
    with pytest.raises(ValueError, match="feature_conditioning='batch' is unknown"):
        make(feature_conditioning="batch")
    with pytest.raises(
        ValueError, match="timm does not know the backbone 'convnext_gigantic'; similar names: convnext"
    ):
        make(backbone="convnext_gigantic")
    with pytest.raises(ValueError, match="decoder_channels has 2 widths.*needs 6"):
        make(decoder_channels=[8, 8])


@pytest.mark.parametrize("backbone", ["swinv2_tiny_window8_256", "swinv2_cr_tiny_ns_224"])
def test_swinv2_takes_images_of_any_size(backbone: str):
    features = FrozenBackbone(backbone)(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[-2:]) for level in features] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert all(len(level[0]) == width for level, width in zip(features, (96, 192, 384, 768), strict=True))


def test_levels_of_one_stride_are_refused_by_name_and_one_of_them_works():
    config = DPSIMSDiscriminatorConfig.from_preset("tiny", backbone="vit_tiny_patch16_224")
    with pytest.raises(ValueError, match=r"'vit_tiny_patch16_224' gives levels of strides 16, 16, 16; .*=\[-1\]"):
        DPSIMSDiscriminator(config)
    config.backbone_out_indices = [-1]
    network = DPSIMSDiscriminator(config)
    assert network(torch.zeros(1, 3, 64, 96)).segmentation_logits.shape == (1, 6, 64, 96)
    with pytest.raises(ValueError, match="gives levels of strides 14; the decoder needs rising powers of two"):
        check_levels("vit_small_patch14_dinov2", [14])


def test_a_size_that_a_backbone_does_not_take_is_one_line():
    network = FrozenBackbone("maxvit_tiny_tf_224")
    with pytest.raises(ValueError, match=r"'maxvit_tiny_tf_224' does not take images of 64x96 \(height"):
        network(torch.zeros(1, 3, 64, 96))
    with pytest.raises(RuntimeError, match="^no kernel for this device$"):  # another fault keeps its own words
        refuse_size("resnet18", (64, 96), RuntimeError("no kernel for this device"))
    with pytest.raises(torch.OutOfMemoryError, match="size"):
        refuse_size("resnet18", (64, 96), torch.OutOfMemoryError("out of memory for a tensor of size 9"))

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The discriminators of all families: logits, features, sizes, gradients, saving and folding."""

from pathlib import Path

import pytest
import torch
from tiny_families import (
    FAMILIES,
    LABEL_PIXELS,
    WITH_3D_NOISE,
    assert_every_parameter_learns,
    assert_same_weights,
    judge,
    make,
    make_discriminator,
    pixels,
)
from transformers import AutoModel


@pytest.mark.parametrize("family", WITH_3D_NOISE)
def test_features_of_the_unet(family: str):
    model = make_discriminator(family)
    output = model(pixels(), output_features=True)
    assert [tuple(f.shape[1:]) for f in output.encoder_features] == [(4, 16, 32), (4, 8, 16), (8, 4, 8)]
    assert [tuple(f.shape[1:]) for f in output.decoder_features] == [(4, 16, 32), (4, 32, 64)]
    torch.testing.assert_close(model.classifier(output.decoder_features[-1]), output.segmentation_logits)


@pytest.mark.parametrize("family", WITH_3D_NOISE)
def test_the_unet_of_the_papers(family: str):
    """DP-GAN Table 7: width of what each block reads and gives."""
    with torch.device("meta"):
        model = make(family, "Discriminator", "paper", spectral_norm=False)
    down = [(block.conv_0.in_channels, block.conv_1.out_channels) for block in model.encoder]
    up = [(block.conv_0.in_channels, block.conv_1.out_channels) for block in model.decoder]
    assert down == [(3, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    assert up == [(512, 512), (1024, 256), (512, 256), (512, 128), (256, 128), (256, 64)]
    assert model.classifier.out_channels == 152
    assert [head[0].in_channels for head in getattr(model, "patch_heads", [])] == [256, 512] * (family == "DPGAN")


@pytest.mark.parametrize(
    ("encoder_blocks", "decoder_blocks", "shapes"),
    [  # Table 4(b): without, on the encoder, on the decoder, on both
        ((), (), []),
        ((2, 3), (), [(4, 8), (2, 4)]),
        ((), (1, 3), [(4, 8), (16, 32)]),
        ((1,), (2,), [(8, 16), (8, 16)]),
    ],
)
def test_patch_heads_of_table_4b(encoder_blocks: tuple, decoder_blocks: tuple, shapes: list):
    model = make_discriminator("DPGAN", patch_encoder_blocks=encoder_blocks, patch_decoder_blocks=decoder_blocks)
    output = model(pixels())
    assert [tuple(score.shape) for score in output.patch_logits or ()] == [(2, 1, *shape) for shape in shapes]
    without = model(pixels(), output_patches=False)
    assert without.patch_logits is None
    assert torch.equal(without.segmentation_logits, output.segmentation_logits)
    assert len(model(pixels(), return_dict=False)) == (2 if shapes else 1)
    output = model.train()(pixels())
    assert_every_parameter_learns(model, [output.segmentation_logits, *(output.patch_logits or ())])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_of_a_discriminator_learns(family: str):
    model = make_discriminator(family).train()
    output = judge(model, pixels())
    logits = [output.segmentation_logits] if family in LABEL_PIXELS else []
    assert_every_parameter_learns(model, [*logits, *(output.patch_logits or ())])


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("DPSIMS", "60x70 .*multiples of 32; the nearest legal size is 64x64"),
        ("DPGAN", "60x70 .*multiples of 8; the nearest legal size is 64x72"),
        ("OASIS", "60x70 .*multiples of 8; the nearest legal size is 64x72"),
        ("SPADE", "60x70 .*multiples of 4; the nearest legal size is 60x72"),
    ],
)
def test_illegal_sizes_of_photos_are_named(family: str, message: str):
    with pytest.raises(ValueError, match=f"pixel_values is {message}"):
        make_discriminator(family)(pixels(1, 60, 70))


@pytest.mark.parametrize("family", [*WITH_3D_NOISE, "SPADE"])
def test_saving_and_loading_a_discriminator_is_exact(tmp_path: Path, family: str):
    model = make_discriminator(family)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    assert_same_weights(model, loaded)
    found, expected = (judge(each, pixels()).to_tuple() for each in (loaded, model))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_folding_the_spectral_norm_of_a_discriminator_keeps_its_outputs(family: str):
    model = make_discriminator(family)
    before = judge(model, pixels(), output_features=True).to_tuple()
    after = judge(model.train().fold_spectral_norm().eval(), pixels(), output_features=True).to_tuple()
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert not model.config.spectral_norm
    assert not any("parametrizations" in name for name in model.state_dict())

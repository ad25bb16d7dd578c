# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The fast form of generators: the plain form's images, whatever the configuration, label map, noise and size."""

import copy

import pytest
import torch
from tiny_pipelines import SIZE, learned_generator, two_cars

from dpsims_hf import layers_inference, modeling_inference
from dpsims_hf.layers_inference import EnlargedConv2d, enlarging_matrix
from dpsims_hf.layers_inference_labels import LabelTable, compact, neighbourhoods
from dpsims_hf.layers_noise import LabelNoiseConv2d


CONFIGS = [
    {},
    {"padding_mode": "reflect"},
    {"padding_mode": "zeros", "output_padding_mode": "replicate"},
    {"texture_noise": True, "upsample_mode": "bilinear", "spectral_norm": False},
]
OF_DPSIMS = [
    {"use_instance_offsets": True, "position_waves": 3},
    {"use_instance_offsets": True, "low_resolution_offsets": True, "padding_mode": "reflect"},
    {"noise_injection": "concat"},
    {"noise_injection": "none", "use_self_attention": False},
    {"attention_strides": [1, 2, 4, 8]},
]
CASES = [(family, config) for family in ("dpsims", "dpgan", "oasis", "spade") for config in CONFIGS]
CASES += [("dpsims", config) for config in OF_DPSIMS] + [("oasis", {"noise_dim": 0}), ("dpgan", {"noise_dim": 0})]
CASES += [
    ("spade", config) for config in ({"noise_dim": 0}, {"noise_injection": "concat"}, {"use_style_encoder": True})
]
CASES += [("dpgan", {"concatenate_coarsest": False})]


def label_maps(kind: str, height: int, width: int) -> torch.Tensor:
    """Two of them: a street, or no two neighbourhoods alike."""
    if kind == "flat":
        street = torch.from_numpy(two_cars()).long()
        return torch.stack([street, street.flip(1)])[:, :height, :width]
    return torch.randint(0, 5, (2, height, width), generator=torch.Generator().manual_seed(2))


def inputs(model, kind: str, regions: int, height: int, width: int) -> dict:
    rng = torch.Generator().manual_seed(3)
    found = {"label_map": label_maps(kind, height, width)}
    found["noise"] = model.sample_noise(2, regions if regions > 1 else None, generator=rng)
    if regions > 1:
        found["noise_regions"] = torch.randint(0, regions, (2, height, width), generator=rng)
    if getattr(model.config, "use_instance_offsets", False):
        found["instance_offsets"] = torch.randn(2, 2, height, width, generator=rng)
    return found


@pytest.mark.parametrize(("family", "config"), CASES, ids=lambda value: str(value))
def test_images_equal_the_plain_ones(family, config):
    model = learned_generator(family, **config)
    weights = copy.deepcopy(model.state_dict())
    fast, half = model.for_inference("float32"), model.for_inference("bfloat16")
    with torch.no_grad():
        for kind in ("flat", "random"):
            for regions, size in ((1, (32, 32)), (3, SIZE)):
                given = inputs(model, kind, regions, *size)
                plain = model(**given, output_features=True)
                assert plain.images.std() > 0.05
                made = fast(**given, output_features=True)
                torch.testing.assert_close(made.images, plain.images, atol=1e-4, rtol=0)
                torch.testing.assert_close(made.features, plain.features, atol=1e-3, rtol=1e-3)
                assert (half(**given).images.float() - plain.images).abs().mean() < 0.02
                again = fast(**given).images
                assert torch.equal(again, made.images)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("strip", [1, 2**30])
def test_strips_do_not_change_an_image(monkeypatch, strip):
    """Each number is computed from the same inputs, however many rows a strip has."""
    for family in ("dpsims", "dpgan", "oasis", "spade"):
        model = learned_generator(family, output_padding_mode="reflect", texture_noise=True)
        given = inputs(model, "flat", 1, *SIZE)
        usual = model.for_inference("float32")(**given).images
        monkeypatch.setattr(layers_inference, "STRIP_BYTES", strip)
        torch.testing.assert_close(model.for_inference("float32")(**given).images, usual, atol=1e-5, rtol=0)
        monkeypatch.undo()


# -- the parts --------------------------------------------------------------------------------------------------------


def test_compact_numbers_by_hand():
    keys = torch.tensor([[7, 2], [2, 9]])
    for bound in (10, 2**40):
        numbers, count = compact(keys, bound)
        assert count == 3 and torch.equal(numbers, torch.tensor([[1, 0], [0, 2]]))


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate", "reflect"])
def test_neighbourhoods_are_those_of_a_window(padding_mode):
    ids = torch.randint(0, 4, (2, 7, 9), generator=torch.Generator().manual_seed(0))
    found = neighbourhoods(ids, 4, padding_mode)
    mode = {"zeros": "constant"}.get(padding_mode, padding_mode)
    value = {"value": 4.0} if mode == "constant" else {}
    padded = torch.nn.functional.pad(ids[:, None].double(), [1] * 4, mode=mode, **value)
    windows = torch.nn.functional.unfold(padded, 3).long()  # (batch, 9, pixels)
    assert torch.equal(found.patches[found.ids.flatten(1)].transpose(1, 2), windows)
    assert len(found.patches.unique(dim=0)) == len(found.patches) == int(found.ids.max()) + 1


def test_neighbourhoods_of_a_flat_map_are_nine():
    """The inside, four sides, four corners."""
    assert len(neighbourhoods(torch.zeros(1, 64, 64, dtype=torch.int64), 1, "zeros").patches) == 9
    assert len(neighbourhoods(torch.zeros(1, 64, 64, dtype=torch.int64), 1, "reflect").patches) == 1


@pytest.mark.parametrize("replicate", [False, True])
def test_a_label_table_is_the_convolutions_that_it_joins(replicate):
    torch.manual_seed(0)
    convs = [LabelNoiseConv2d(5, 3, width, replicate) for width in (4, 6)]
    labels, regions = torch.randint(0, 5, (2, 8, 12)), torch.randint(0, 2, (2, 8, 12))
    noise = torch.randn(2, 2, 3)
    with torch.no_grad():
        wanted = torch.cat([conv(labels, noise, regions) for conv in convs], dim=1)
        scale, shift = torch.rand(10), torch.rand(10)
        torch.testing.assert_close(LabelTable(convs)(labels, noise, regions).dense(), wanted)
        folded = LabelTable(convs, scale, shift)(labels, noise, regions).dense()
    torch.testing.assert_close(folded, wanted * scale[:, None, None] + shift[:, None, None])


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate", "reflect"])
@pytest.mark.parametrize("small", [(2, 3), (1, 1), (5, 7)])
def test_a_convolution_of_an_enlarged_map(padding_mode, small):
    torch.manual_seed(0)
    coarse, weight, size = torch.randn(2, 4, *small), torch.randn(6, 4, 3, 3), (16, 24)
    enlarged = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    conv = torch.nn.Conv2d(4, 6, 3, padding=1, padding_mode=padding_mode, bias=False)
    with torch.no_grad():
        conv.weight.copy_(weight)
        wanted = conv(enlarged)
        rows = EnlargedConv2d(weight, padding_mode, torch.float32).prepare(coarse, size)
        parts = [rows.strip(slice(0, 2), top, top + 4).view(2, 4, 24, 6) for top in range(0, 16, 4)]
    torch.testing.assert_close(torch.cat(parts, dim=1).permute(0, 3, 1, 2), wanted, atol=1e-5, rtol=1e-5)


def test_the_enlarging_matrix_is_torchs():
    line = torch.randn(1, 1, 1, 6, dtype=torch.float64)
    wanted = torch.nn.functional.interpolate(line, size=(1, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarging_matrix(48, 6) @ line[0, 0, 0], wanted[0, 0, 0])


# -- number types, and how a fast form is kept ------------------------------------------------------------------------


def test_the_number_type_is_chosen_by_a_trial(monkeypatch):
    model = learned_generator("oasis")
    times = {torch.float32: 0.5, torch.bfloat16: 0.3}
    monkeypatch.setattr(modeling_inference, "_seconds", lambda form, given: times[form.inference_dtype])
    monkeypatch.setattr(modeling_inference, "TRIAL_SECONDS", 0.0)
    for supported, half, chosen in (
        (True, 0.3, torch.bfloat16),
        (True, 0.48, torch.float32),  # not clearly faster
        (False, 0.3, torch.float32),
    ):
        times[torch.bfloat16] = half
        monkeypatch.setattr(modeling_inference, "_tried", {})
        monkeypatch.setattr(modeling_inference, "has_bfloat16", lambda device, answer=supported: answer)
        assert model.for_inference().inference_dtype == chosen
    with pytest.raises(ValueError, match="dtype='float16' is none of"):
        model.for_inference("float16")


def test_a_fast_form_is_kept_until_the_weights_change():
    model = learned_generator("dpsims")
    kept = model.kept_for_inference("float32")
    assert model.kept_for_inference("float32") is kept
    given = inputs(model, "flat", 1, *SIZE)
    with torch.no_grad():
        model.to_image.weight.mul_(2)
        changed = model.kept_for_inference("float32")
        assert changed is not kept
        torch.testing.assert_close(changed(**given).images, model(**given).images, atol=1e-4, rtol=0)


def test_a_fast_form_says_what_it_cannot(tmp_path):
    model = learned_generator("dpgan")
    fast = model.for_inference("float32")
    assert fast.dtype == torch.float32 and fast.device == model.device and not fast.training
    assert fast.kept_for_inference("float32") is fast
    with pytest.raises(ValueError, match="no weights to save"):
        fast.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a fast form already"):
        fast.for_inference()
    with pytest.raises(RuntimeError, match="call its for_inference again"):
        fast.double()
    assert copy.deepcopy(model)(**inputs(model, "flat", 1, *SIZE)).images.shape == (2, 3, *SIZE)

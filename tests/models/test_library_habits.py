# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What transformers' common model tests ask of every model, asked of ours: each class of each family."""

import inspect
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from tiny_families import FAMILIES, assert_same_weights, make, pixels, random
from transformers import AutoConfig, AutoModel, PreTrainedModel

import dpsims_hf


pytestmark = pytest.mark.integration


PARTS = ("Generator", "Discriminator", "ForSemanticSegmentation")
NETWORKS = [(family, part) for family in FAMILIES for part in PARTS if hasattr(dpsims_hf, f"{family}{part}")]
ATTENTIONS = ("sdpa", "eager")


def built(family: str, part: str, **overrides) -> PreTrainedModel:
    return make(family, part, **overrides).eval()


def inputs_of(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    label_map = (torch.arange(32 * 64) // 97 % 5).view(1, 32, 64)
    if model.main_input_name == "pixel_values":
        photos = {"pixel_values": pixels(1).to(model.dtype)}
        return photos | ({"label_map": label_map} if getattr(model, "reads_label_map", False) else {})
    return {"label_map": label_map, "noise": random(1, model.config.noise_dim)}


@torch.no_grad()
def answer(model: PreTrainedModel) -> torch.Tensor:
    return first(model(**inputs_of(model)))


def first(output) -> torch.Tensor:
    """The first tensor; that of the first scale where several are the first output."""
    return output[0][0] if isinstance(output[0], tuple) else output[0]


def saving(model: PreTrainedModel) -> dict[str, bool]:
    """A frozen backbone that must come along."""
    return {"include_backbone": True} if hasattr(model, "load_backbone_weights") else {}


@pytest.fixture(params=NETWORKS, ids="".join)
def model(request) -> PreTrainedModel:
    return built(*request.param)


@pytest.mark.slow
def test_save_and_load_of_each_class(model, tmp_path):
    """By its own class, and by the Auto classes that its config names; the same to the bit."""
    expected = answer(model)
    model.save_pretrained(tmp_path, **saving(model))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [type(model).__name__] and "AutoConfig" in config["auto_map"]
    again, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()) and not again.training
    assert_same_weights(model, again)
    assert torch.equal(answer(again), expected)
    for auto_class, reference in config["auto_map"].items():
        assert (tmp_path / f"{reference.split('.')[0]}.py").is_file(), "its code came along"
        if auto_class != "AutoConfig":
            loaded = getattr(transformers, auto_class).from_pretrained(tmp_path)
            assert type(loaded).__name__ == reference.split(".")[1]
            assert_same_weights(model, loaded)


def test_saving_leaves_the_config_as_it_is(model, tmp_path):
    before, identity = model.config.to_dict(), id(model.config)
    model.save_pretrained(tmp_path, **saving(model))
    assert model.config.to_dict() == before and id(model.config) == identity


def test_the_metadata_of_safetensors(model, tmp_path):
    model.save_pretrained(tmp_path, **saving(model))
    with safe_open(tmp_path / "model.safetensors", framework="pt") as tensors:
        assert tensors.metadata() == {"format": "pt"}
        assert set(tensors.keys()) == set(model.state_dict())


@pytest.mark.slow
def test_sharded_weights(model, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="10KB", **saving(model))
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = {path.name for path in tmp_path.glob("model-*.safetensors")}
    assert len(shards) > 1 and set(index["weight_map"].values()) == shards
    assert set(index["weight_map"]) == set(model.state_dict())
    assert torch.equal(answer(type(model).from_pretrained(tmp_path)), answer(model))
    model.save_pretrained(tmp_path, **saving(model))
    assert not list(tmp_path.glob("model-*.safetensors")), "the shards of the save before are gone"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_types_survive_the_round_trip(model, dtype, tmp_path):
    """Loaded by the type, by "auto", and by the default: what was stored."""
    model.to(dtype).save_pretrained(tmp_path, **saving(model))
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    for options in ({"dtype": dtype}, {"dtype": "auto"}, {"torch_dtype": dtype}):
        again = type(model).from_pretrained(tmp_path, **options)
        assert again.dtype == dtype
        assert_same_weights(model, again)
    wide = type(model).from_pretrained(tmp_path, dtype=torch.float32)
    assert {t.dtype for t in wide.state_dict().values() if t.is_floating_point()} == {torch.float32}
    assert torch.isfinite(answer(wide)).all()


def test_a_network_in_bfloat16_computes(model):
    """Spectral norms divide by u W v, which is nearly 0, and all rounding, until u and v were trained a few steps."""
    model.train()
    for _ in range(3):
        answer(model)
    exact = answer(model.eval())
    rough = answer(model.to(torch.bfloat16))
    assert rough.dtype == torch.bfloat16 and torch.isfinite(rough).all()
    assert (rough.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_tuples_and_outputs_say_the_same(model):
    with torch.no_grad():
        output, values = model(**inputs_of(model)), model(**inputs_of(model), return_dict=False)
    assert isinstance(values, tuple) and torch.equal(first(values), first(output))
    assert output[0] is output[next(iter(output))]


def test_names_of_the_call(model):
    """transformers' tools read them: the first argument is `main_input_name`."""
    first = list(inspect.signature(model.forward).parameters)[0]
    assert first == model.main_input_name


@pytest.mark.parametrize(("family", "part"), [(family, part) for family in FAMILIES for part in PARTS[:2]])
def test_configs(family, part, tmp_path):
    """`to_diff_dict` says what differs and builds the same; the code comes along; labels are named both ways."""
    config_class = getattr(dpsims_hf, f"{family}{part}Config")
    config = config_class.from_preset("tiny", num_labels=None, id2label={0: "sky", 1: "road"}, void_label_id=1)
    diff, whole = config.to_diff_dict(), config.to_dict()
    assert diff.items() <= whole.items() or all(whole[key] == value for key, value in diff.items())
    assert diff["model_type"] == config.model_type and diff["void_label_id"] == 1
    # JSON has no numbers as keys
    again = config_class.from_dict(json.loads(json.dumps(diff)))
    assert again.to_dict() == whole and again.id2label == {0: "sky", 1: "road"}
    assert config.label2id == {"sky": 0, "road": 1} and config.num_labels == 2
    before = config.to_dict()
    config.save_pretrained(tmp_path)
    assert config.to_dict() == before
    stored = json.loads((tmp_path / "config.json").read_text())
    module, name = stored["auto_map"]["AutoConfig"].split(".")
    assert name == config_class.__name__ and (tmp_path / f"{module}.py").is_file()
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is config_class and loaded.to_diff_dict().keys() >= diff.keys()


@pytest.mark.parametrize("cls", ["Generator", "Discriminator"])
def test_classes_are_registered_for_their_auto_classes(cls):
    for family in FAMILIES:
        model_class = getattr(dpsims_hf, f"{family}{cls}")
        assert model_class._auto_class == "AutoModel" and model_class.config_class._auto_class == "AutoConfig"
        model_class.register_for_auto_class("AutoModel")
        model_class.config_class.register_for_auto_class()
    dpsims_hf.SemanticImageProcessor.register_for_auto_class()
    assert dpsims_hf.SemanticImageProcessor._auto_class == "AutoImageProcessor"


# -- attention --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("family", "part"), [(family, part) for family in FAMILIES for part in PARTS[:2]])
def test_implementations_of_attention_agree(family, part, tmp_path):
    built(family, part).save_pretrained(tmp_path, **saving(built(family, part)))
    models = {name: AutoModel.from_pretrained(tmp_path, attn_implementation=name) for name in ATTENTIONS}
    default = AutoModel.from_pretrained(tmp_path)
    assert default.config._attn_implementation == "sdpa", "it is what runs"
    assert models["eager"].config._attn_implementation == "eager"
    assert torch.equal(answer(default), answer(models["sdpa"]))
    torch.testing.assert_close(answer(models["eager"]), answer(default), rtol=1e-4, atol=1e-5)
    default.set_attn_implementation("eager")
    assert torch.equal(answer(default), answer(models["eager"]))
    stored = json.loads((tmp_path / "config.json").read_text())
    assert not [key for key in stored if "attn" in key], "a choice of the user, not of the checkpoint"


def test_written_out_attention_is_another_computation(monkeypatch):
    """With noise for two regions, so that the mask takes part; the fused kernel is not called."""
    generator = built("DPSIMS", "Generator", attention_gate_init=1.0, self_attention_gate_init=1.0)
    label_map = torch.zeros(1, 32, 64, dtype=torch.int64)
    regions = (torch.arange(64) > 30).long().expand(1, 32, 64)
    noise = random(1, 2, generator.config.noise_dim)
    with torch.no_grad():
        expected = generator(label_map, noise=noise, noise_regions=regions).images
        generator.set_attn_implementation("eager")
        monkeypatch.setattr(
            torch.nn.functional, "scaled_dot_product_attention", lambda *_, **__: pytest.fail("the kernel was called")
        )
        written = generator(label_map, noise=noise, noise_regions=regions).images
    torch.testing.assert_close(written, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["flash_attention_2", "flex_attention", "paged|sdpa", "stranger/kernel"])
def test_other_implementations_are_refused_by_name(tmp_path: Path, name: str):
    model = built("DPSIMS", "Generator")
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="attn_implementation=") as error:
        AutoModel.from_pretrained(tmp_path, attn_implementation=name)
    assert name in str(error.value) and "sdpa" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match='know "sdpa" or "eager"'):
        model.set_attn_implementation(name)
    assert model.config._attn_implementation == "sdpa"

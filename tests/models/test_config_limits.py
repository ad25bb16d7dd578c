# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a config or a processor's file may say: every field has a row in the table, with bounds."""

import json
import shutil
from typing import Any

import pytest
import torch
from config_cases import CONFIGS, NETWORKS, ROOT
from poison import changed
from refusals import refused
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from dpsims_hf import SemanticImageProcessor, SemanticImageSynthesisPipeline
from dpsims_hf.configuration_limits import (
    CONFIG_FIELDS,
    PROCESSOR_FIELDS,
    own_fields,
)
from dpsims_hf.data.specs import DatasetSpec
from dpsims_hf.demo.models.library import load_model


LEVELS = ("channel_multipliers", "pyramid_channels", "encoder_channels", "decoder_channels")
named = pytest.mark.parametrize("config_class", CONFIGS, ids=lambda cls: cls.model_type)


# --- the table -------------------------------------------------------------------------------------------------------


@named
def test_every_field_of_a_config_has_a_row(config_class):
    assert set(own_fields(config_class)) <= {*CONFIG_FIELDS, *config_class.field_rules}


def test_every_field_of_the_processor_has_a_row():
    assert set(own_fields(SemanticImageProcessor)) == set(PROCESSOR_FIELDS)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_the_estimate_is_near_what_is_built(network, preset: str):
    config = network.config_class.from_preset(preset)
    with torch.device("meta"):
        model = network(config)
    real = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("backbone."))
    skips = 0  # what the decoder of DP-SIMS reads of its backbone is not counted
    if hasattr(model, "backbone"):
        widths = dict(zip(model.strides, config.decoder_channels[-len(model.strides) :], strict=True))
        pairs = zip(model.backbone.reductions, model.backbone.channels, strict=True)
        skips = sum(channels * widths[stride] * 10 for stride, channels in pairs)
    assert config.parameter_estimate() == pytest.approx(real - skips, rel=0.12)


@named
def test_configs_survive_the_round_trip(config_class, tmp_path):
    config = config_class.from_preset("tiny", void_label_id=4)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is config_class
    assert loaded.auto_map["AutoConfig"].endswith(f".{config_class.__name__}"), "saved with its code"
    assert loaded.to_dict() == config.to_dict() | {"_name_or_path": str(tmp_path), "auto_map": loaded.auto_map}
    other = AutoConfig.from_pretrained(tmp_path, num_labels=3, dtype=torch.float16, attn_implementation="eager")
    assert (other.num_labels, other.void_label_id, other.dtype) == (3, None, torch.float16)
    assert AutoConfig.from_pretrained(tmp_path, num_labels=9).void_label_id == 4


@pytest.mark.parametrize("name", ["checkpoints/dpsims-camvid-small", "../shared/weights/dpsims_labelme_start"])
def test_older_checkpoints_load_unchanged(name: str):
    folder = ROOT / name
    if not folder.is_dir() and name.startswith("../shared"):
        pytest.skip("needs the shared weights")
    for config_file in (folder / "config.json", folder / "discriminator" / "config.json"):
        written = json.loads(config_file.read_text())
        config = AutoConfig.from_pretrained(config_file.parent).to_dict()
        ids = {int(key): value for key, value in written.pop("id2label").items()}
        assert config["id2label"] == ids
        if written["label2id"] is None:  # as it was stored; now it is what id2label says
            written["label2id"] = {name: key for key, name in ids.items()}
        assert {key: config.get(key) for key in written} == written | {
            "transformers_version": config["transformers_version"]
        }


# --- Found 3: no bound on what a config may ask for ------------------------------------------------------------------

GENERATOR_FAULTS = [
    ("num_labels", 10**9),
    ("num_labels", 5.0),
    ("num_labels", True),
    ("num_labels", -3),
    ("num_labels", 0),
    ("position_waves", 1_000_000_000),
    ("position_waves", 1e9),
    ("position_waves", -1),
    ("image_size", None),
    ("image_size", "256"),
    ("image_size", [2048, 2048]),
    ("image_size", [64, 1_000_000]),
    ("image_size", [64.0, 64.0]),
    ("image_size", [0, 64]),
    ("noise_dim", "9" * 5000),
    ("noise_dim", 2**200),
    ("noise_dim", [8]),
    ("noise_tokens", 10**8),
    ("noise_mlp_dim", 0),
    ("base_channels", 2.5),
    ("base_channels", 10**7),
    ("channel_multipliers", 4),
    ("channel_multipliers", [1] * 5000),
    ("channel_multipliers", [4, 4, "2", 2, 1]),
    ("pyramid_channels", [8, 8, -8, 8]),
    ("pyramid_channels", {}),
    ("spectral_norm", "yes"),
    ("spectral_norm", 1),
    ("padding_mode", "circular"),
    ("upsample_mode", ["nearest"]),
    ("normalization_eps", float("nan")),
    ("normalization_eps", float("inf")),
    ("normalization_eps", "1e-5"),
    ("attention_strides", [0]),
    ("attention_strides", [1.5]),
    ("attention_resolution", 10**6),
    ("void_label_id", 5),
    ("void_label_id", -1),
    ("void_label_id", "4"),
    ("id2label", ["a", "b", "c", "d", "e"]),
    ("id2label", {"0": "a", "2": "b"}),
    ("id2label", {"0": "a", "00": "b"}),
    ("id2label", {"zero": "a"}),
    ("id2label", {"0": "a" * 10**6}),
    ("id2label", {"0": "a\nb"}),
    ("id2label", {"0": 7}),
    ("id2label", {str(i): "x" for i in range(10_000)}),
    ("label2id", {"sky": 99}),
    ("dtype", "nn"),
    ("dtype", "float8_e4m3fn"),
    ("torch_dtype", "load"),
    ("use_instance_offsets", None),
]
UNKNOWN = {
    "quantization_config": {"quant_method": "bitsandbytes"},
    "fusion_config": {"patch_embeddings": True},
    "transformers_weights": "../../model.safetensors",
    "per_layer_config": {"0": {"base_channels": 1}},
    "base_model_tp_plan": {"x": "colwise"},
    "distributed_config": {"tp_size": 2},
    "text_config": {"model_type": "bert"},
    "to_dict": "x",
    "widths": [1],
    "self": 1,
    "cls": 1,
    "subfolder": "..",
    "a\nb": 1,
    "x" * 10_000: 1,
    "__class__": "x",
    "_attn_implementation_internal": "x/y",
}


@pytest.mark.parametrize(("field", "value"), GENERATOR_FAULTS, ids=lambda value: str(value)[:24])
def test_illegal_fields_of_a_generator_are_one_line(checkpoint, tmp_path, field: str, value: Any):
    config = AutoConfig.from_pretrained(checkpoint)
    fields = {name: getattr(config, name) for name in own_fields(type(config)) if name != "num_labels"}
    fields["id2label"] = config.id2label
    if field == "num_labels":
        fields.pop("id2label")
    refused(lambda: type(config)(**fields | {field: value}), field)
    folder = changed(checkpoint, tmp_path / "x", **{field: value})
    refused(lambda: AutoConfig.from_pretrained(folder), field)
    refused(lambda: AutoModel.from_pretrained(folder), field)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), field)


@named
@pytest.mark.parametrize("field", UNKNOWN, ids=lambda name: name[:24].replace("\n", " "))
def test_fields_that_no_config_has_are_refused(config_class, field: str):
    refused(lambda: config_class(**{field: UNKNOWN[field]}), "unknown field")
    refused(lambda: config_class.from_dict({field: UNKNOWN[field]}), "unknown field")


@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_no_config_names_a_kernel_of_the_hub(field: str):
    for config_class in CONFIGS:
        refused(lambda c=config_class: c(**{field: "stranger/kernel:attention"}), field, "choose one of")


@named
def test_every_family_refuses_a_network_without_end(config_class):
    known, levels = own_fields(config_class), dict.fromkeys(LEVELS, 12)
    if config_class.model_type == "dpsims-generator":
        levels["pyramid_channels"] = 11
    fields = {name: 8192 for name in ("spade_channels", "base_channels", "patch_channels") if name in known}
    fields |= {name: [8192] * length for name, length in levels.items() if name in known}
    fields |= {"image_size": (1024, 2048)} if "image_size" in known else {}
    refused(lambda: config_class(**fields), "billion parameters", "up to 2 billion")


def test_what_from_pretrained_overrides_is_checked(checkpoint):
    refused(lambda: AutoConfig.from_pretrained(checkpoint, noise_dim=-3), "noise_dim=-3", "0..4096")
    refused(lambda: AutoModel.from_pretrained(checkpoint, base_channels=10**9), "base_channels")
    config = AutoConfig.from_pretrained(checkpoint)
    config.pyramid_channels[0] = 10**9
    refused(lambda: AutoModel.from_config(config), "pyramid_channels[0]=1000000000")


def test_a_config_far_beyond_its_weights_takes_no_memory(checkpoint, tmp_path):
    folder = changed(checkpoint, tmp_path / "x", base_channels=512)
    words = ("config asks for", "million parameters")
    refused(lambda: AutoModel.from_pretrained(folder), *words)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), *words)
    refused(lambda: load_model("m", str(folder)), *words)


def test_weights_of_another_config_are_told_in_words(checkpoint, tmp_path):
    folder = changed(checkpoint, tmp_path / "x", noise_mlp_dim=24)
    words = ("config.json and its weights are not of one model", "ignore_mismatched_sizes=True")
    refused(lambda: AutoModel.from_pretrained(folder), *words, kinds=(RuntimeError,), seconds=5.0)
    assert "not of one model" in refused(lambda: load_model("m", str(folder)))
    assert AutoModel.from_pretrained(folder, ignore_mismatched_sizes=True).config.noise_mlp_dim == 24


PROCESSOR_FAULTS = [
    ("size_divisor", 0),
    ("size_divisor", 2.0),
    ("size", {"height": 64}),
    ("size", {"height": 10**9, "width": 64}),
    ("size", "64"),
    ("palette", [[0, 0, 256]]),
    ("palette", [[0.0, 0, 1]] * 5),
    ("palette", "red"),
    ("palette", [[0, 0, 1]] * 5),
    ("id2label", ["a"]),
    ("id2label", {}),
    ("id2label", {"0": "a", "5": "b"}),
    ("void_values", [10**30]),
    ("void_values", 255),
    ("void_label_id", 5),
    ("stuff_ids", [7]),
    ("color_tolerance", float("nan")),
    ("max_unmatched_share", "all"),
    ("do_resize", "no"),
    ("preprocess", "x"),
    ("class_info_file", "http://127.0.0.1/x"),
]


@pytest.mark.parametrize(("field", "value"), PROCESSOR_FAULTS, ids=lambda value: str(value)[:24])
def test_illegal_fields_of_a_processor_are_one_line(checkpoint, tmp_path, field: str, value: Any):
    folder = changed(checkpoint, tmp_path / "x", "preprocessor_config.json", **{field: value})
    refused(lambda: AutoImageProcessor.from_pretrained(folder), field)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), field, seconds=3)


def test_processor_and_generator_must_be_of_one_model(checkpoint, tmp_path):
    other = DatasetSpec("two", ("a", "b"), ((0, 0, 0), (9, 9, 9))).image_processor(size=(32, 64), size_divisor=8)
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    other.save_pretrained(folder)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), "names 2 classes", seconds=3)


@pytest.mark.parametrize(
    "changes",
    [
        {"void_values": [10**12]},
        {"void_index": 2**40},
        {"label_encodings": [{"name": "raw", "values": {"1099511627776": 0}}]},
        {"label_encodings": [{"name": "raw", "offset": 1.5}]},
        {"classes": [{"id": 0, "name": "a", "color": [0, 0, 300]}]},
        {"classes": [{"id": 0, "name": "a", "color": "red"}]},
        {"classes": [{"id": True, "name": "a"}]},
        {"crop_size": [10**9, 64]},
        {"hub": [{"repository": "a/b", "trust_remote_code": True}]},
        {"hub": 5},
        {"void_color": 5},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_label_files_are_data(tmp_path, changes):
    file = tmp_path / "classes.json"
    file.write_text(json.dumps({"classes": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]} | changes))
    refused(lambda: DatasetSpec.from_json(file), "classes.json")

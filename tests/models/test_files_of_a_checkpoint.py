# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Further files of a checkpoint that led elsewhere, or asked for very much, each of which got in once."""

import json
import shutil
import struct

import pytest
import torch
from poison import changed, in_the_cache
from refusals import refused
from transformers import AutoConfig, AutoModel

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.checkpoint_conversion import convert_generator
from dpsims_hf.demo.models.library import load_model
from dpsims_hf.evaluation.segmenters.foreign_models import check_foreign_config, load_foreign_segmenter
from dpsims_hf.hub import export_folder


# --- files of a checkpoint -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("processor_config.json", '{"image_processor": {"image_processor_type": "OneFormerImageProcessor"}}'),
        ("processor_config.json", '{"image_processor": [1]}'),
        ("processor_config.json", "[[" * 100_000),
        ("adapter_config.json", "[["),
        ("adapter_config.json", '{"base_model_name_or_path": "/etc"}'),
    ],
)
def test_no_further_file_replaces_those_that_were_checked(checkpoint, tmp_path, name, text):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / name).write_text(text)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), name, "remove the file")
    refused(lambda: load_model("m", str(folder)), name, "remove the file")


def test_an_export_looks_at_the_files_too(checkpoint, tmp_path):
    folder = changed(checkpoint, tmp_path / "x", model_type="timm_wrapper", architecture="hf-hub:stranger/model")
    refused(lambda: export_folder(folder, tmp_path / "out", {}, torch.float32), "model_type")
    folder = changed(checkpoint, tmp_path / "y", "preprocessor_config.json", image_processor_type="X")
    refused(lambda: export_folder(folder, tmp_path / "out", {}, torch.float32), "image_processor_type")


def test_a_list_of_very_many_tensors_is_not_read(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{number}": entry for number in range(50_000)}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    refused(lambda: AutoModel.from_pretrained(folder), "model.safetensors", "list of tensors")
    refused(lambda: load_model("m", str(folder)), "model.safetensors", "list of tensors")


@pytest.mark.parametrize("metadata", [None, [1], 5])
def test_an_index_without_facts_is_one_line(checkpoint, tmp_path, metadata):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"metadata": metadata, "weight_map": {"to_image.bias": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(lambda: AutoModel.from_pretrained(folder), "metadata")


def test_an_index_names_few_files(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / "model.safetensors").unlink()
    shards = {f"t{number}": f"model-{number}.safetensors" for number in range(20_000)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    refused(lambda: AutoModel.from_pretrained(folder), "20,000 files")


@pytest.mark.parametrize("name", ["\ud800", "a\u2028b", "a\x85b", "\u202eyks", "\u2066x"])
def test_names_break_no_line_turn_no_text_and_can_be_sent(checkpoint, tmp_path, name):
    names = json.loads((checkpoint / "config.json").read_text())["id2label"] | {"0": name}
    folder = changed(checkpoint, tmp_path / "x", id2label=names, label2id=None)
    refused(lambda: AutoConfig.from_pretrained(folder), "id2label[")


def test_a_repository_is_read_at_one_commit(checkpoint, tmp_path):
    in_the_cache(checkpoint, "user/pinned")
    pipe = SemanticImageSynthesisPipeline.from_pretrained("user/pinned")
    assert pipe._source[1]["revision"] == "0123456789abcdef" * 2 + "01234567"
    assert SemanticImageSynthesisPipeline.from_pretrained(checkpoint)._source[1]["revision"] is None


def test_a_converted_file_without_values():
    state = {"fc.weight": torch.zeros(8, 70, 3, 3), "body.0.conv_0.weight": torch.zeros(0, 0, 1, 1)}
    refused(lambda: convert_generator("oasis", state), "body.0.conv_0.weight", "no values")


# --- segmenters of transformers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"depths": [100_000, 1, 1, 1]},
        {"depths": [1] * 100_000},
        {"backbone_config": {"depths": [400, 400]}},
        {"decoder_config": {"decoder_layers": 10_000}},
        {"id2label": ["a"]},
        {"id2label": {str(number): "x" for number in range(150_000)}},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_a_segmenter_has_as_many_layers_as_real_ones(fields):
    refused(lambda: check_foreign_config({"model_type": "segformer"} | fields), "config.json", *list(fields)[:1])


@pytest.mark.parametrize(
    "fields", [{"hidden_act": "evil"}, {"num_encoder_blocks": 9}, {"id2label": {"0": "a", "7": "b"}}], ids=str
)
def test_what_no_model_can_be_made_of_is_one_line(tmp_path, fields):
    sizes = {"depths": [1] * 4, "hidden_sizes": [8] * 4, "decoder_hidden_size": 8, "num_attention_heads": [1] * 4}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "segformer"} | sizes | fields))
    refused(lambda: load_foreign_segmenter(str(tmp_path)), "config.json", seconds=20)

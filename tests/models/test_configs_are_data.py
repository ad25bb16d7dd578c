# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A config is data: what strangers write into a checkpoint's files neither runs, nor fetches, nor takes memory."""

import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from config_cases import ROOT
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from poison import Trap, changed, in_the_cache, trap_in
from refusals import refused
from safetensors.torch import save_file
from transformers import AutoModel

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.configuration_limits import (
    BACKBONE_SWITCHES,
    MODEL_INDEX_FILE,
)
from dpsims_hf.demo import build_demo
from dpsims_hf.demo.drawing.photo_segmentation import discriminator_of
from dpsims_hf.demo.models.library import ModelLibrary, load_model
from dpsims_hf.evaluation.features import load_extractor
from dpsims_hf.evaluation.segmenters import load_segmenter
from dpsims_hf.evaluation.segmenters.foreign_models import check_foreign_config
from dpsims_hf.evaluation.segmenters.network import SegmentationNetwork
from dpsims_hf.modeling_dpsims_discriminator import FrozenBackbone, backbone_parameters


pytestmark = pytest.mark.integration


CHECKPOINT = ROOT / "checkpoints" / "dpsims-camvid-small"


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    with trap_in(tmp_path / "trap") as trap:
        yield trap
        trap.check()


# --- Found 1: code runs from config.json alone -----------------------------------------------------------------------


def attacks(url: str, file: Path, got_in: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fields of a discriminator's config, by name."""
    return {
        "a url": {"backbone_kwargs": got_in},
        "a file": {"backbone_kwargs": {"checkpoint_path": str(file)}},
        "an overlay": {"backbone_kwargs": {"pretrained_cfg_overlay": {"url": url}, "pretrained": True}},
        "pretrained": {"backbone_kwargs": {"pretrained": True}},
        "a class": {"backbone_kwargs": {"feature_cls": "fx"}},
        "layers": {"backbone_kwargs": {"scriptable": True, "norm_layer": "batchnorm2d"}},
        "the Hub": {"backbone": "hf-hub:stranger/model"},
        "the Hub, older": {"backbone": "hf_hub:stranger/model"},
        "a folder": {"backbone": f"local-dir:{file.parent}"},
        "a path": {"backbone": "../../model"},
        "no name": {"backbone": ["test_resnet"]},
        "a long name": {"backbone": "a" * 10**6},
        "an unknown name": {"backbone": "resnet_of_nobody"},
        "an unknown tag": {"backbone": "test_resnet.of_nobody"},
        "a giant": {"backbone": "vit_7b_patch16_dinov3"},
        "large": {"backbone": "beit_base_patch16_224", "backbone_kwargs": {"img_size": 2048}},
        "a switch it lacks": {"backbone_kwargs": {"window_size": 8}},
        "levels": {"backbone_out_indices": [14]},
        "no numbers": {"backbone_mean": [0, 0, float("nan")]},
        "no deviation": {"backbone_std": [0, 1, 1]},
    }


ATTACKS = list(attacks("", Path(), {}))


@pytest.mark.parametrize("name", ATTACKS)
def test_no_discriminator_fetches_or_runs(checkpoint, tmp_path, trap, name: str):
    fields = attacks(trap.url, trap.ran, trap.backbone_kwargs)[name]
    folder = changed(checkpoint / "discriminator", tmp_path / "x" / "discriminator", **fields)
    shutil.copytree(checkpoint, tmp_path / "x", dirs_exist_ok=True, ignore=lambda *_: ["discriminator"])
    pipe = SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "x")
    backbone_parameters.cache_clear()
    for call in (lambda: AutoModel.from_pretrained(folder), pipe.load_discriminator):
        assert "backbone" in refused(call, seconds=2)
    refused(lambda: pipe.segment(Image.new("RGB", (64, 32))), "backbone", seconds=2)


def test_a_name_typed_on_a_public_page_runs_nothing(checkpoint, tmp_path, trap):
    shutil.copytree(checkpoint, tmp_path / "evil")
    changed(checkpoint / "discriminator", tmp_path / "evil/discriminator", backbone_kwargs=trap.backbone_kwargs)
    in_the_cache(tmp_path / "evil", "stranger/evil")
    in_the_cache(changed(checkpoint, tmp_path / "large", num_labels=10**9), "stranger/large")
    library = ModelLibrary(load_model("default", str(checkpoint)), local_folders=False)
    demo = build_demo(library)
    _, url, _ = demo.launch(prevent_thread_lock=True, _frontend=False, quiet=True, show_error=True)
    Image.new("RGB", (64, 32)).save(tmp_path / "photo.png")
    try:
        client = Client(url, verbose=False)
        for model, words in (("stranger/evil", "backbone_kwargs"), ("stranger/large", "num_labels=1000000000")):
            with pytest.raises(AppError, match=words):
                client.predict(photo=handle_file(str(tmp_path / "photo.png")), model=model, api_name="/segment")
    finally:
        demo.close()


def test_no_segmenter_folder_fetches_or_runs(tmp_path, trap):
    network = SegmentationNetwork("test_resnet", 3, 8)
    good = {"backbone": "test_resnet", "channels": 8, "backbone_kwargs": None, "mean": None, "std": None}
    content = {"format": "dpsims_hf segmenter", "label_names": ["a", "b", "c"], "size": [64, 64], "network": good}
    content |= {"training": {}, "val": {}}
    save_file(network.state_dict(), tmp_path / "model.safetensors")

    def load(**changes: Any) -> Any:
        (tmp_path / "config.json").write_text(json.dumps(content | changes))
        return load_segmenter(tmp_path)

    assert load().label_names == ["a", "b", "c"]
    for fields in attacks(trap.url, trap.ran, trap.backbone_kwargs).values():
        own = {key.replace("backbone_mean", "mean").replace("backbone_std", "std"): v for key, v in fields.items()}
        refused(lambda own=own: load(network=good | own), str(tmp_path), seconds=2)
    refused(lambda: load(network=good | {"channels": 8192}), "asks for", seconds=2)
    refused(lambda: load(network=good | {"channels": 12}), seconds=2)
    refused(lambda: load(label_names=["a"] * 10**5), "label_names")
    refused(lambda: load(size=[64]), "size")
    refused(lambda: load(surprise=1), "surprise")


def test_no_features_fetch_or_run(tmp_path, trap):
    for fields in attacks(trap.url, trap.ran, trap.backbone_kwargs).values():
        kwargs = {"backbone_kwargs": fields.get("backbone_kwargs")}
        kwargs |= {"mean": fields.get("backbone_mean"), "std": fields.get("backbone_std")}
        name = fields.get("backbone", "test_resnet")
        if isinstance(name, str) and "backbone_out_indices" not in fields:
            refused(
                lambda n=name, k=kwargs: load_extractor(f"timm:{n}", tmp_path / "absent.safetensors", **k), seconds=2
            )


def test_the_switches_that_recipes_and_cards_use_are_legal():
    BACKBONE_SWITCHES.check("backbone_kwargs", {"pad_type": "same", "strict_img_size": False, "img_size": [64, 96]})
    network = FrozenBackbone("swin_tiny_patch4_window7_224", {"strict_img_size": False, "window_size": 7})
    assert [level.shape[1] for level in network(torch.zeros(1, 3, 64, 96))] == network.channels


def test_named_weights_come_as_safetensors_or_not_at_all(tmp_path, trap):
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(trap.pickle)
    in_the_cache(folder, repository)
    backbone = FrozenBackbone("test_resnet")
    refused(backbone.load_weights, "test_resnet", "safetensors")
    save_file(timm.create_model("test_resnet").state_dict(), folder / "model.safetensors")
    in_the_cache(folder, repository)
    before = backbone.fingerprint()
    backbone.load_weights()
    assert backbone.fingerprint() != before


def test_the_page_builds_no_backbone_that_came_without_weights(checkpoint, tmp_path):
    """On this page it could not be used, and may be as large as a stranger likes."""
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    path = folder / "discriminator" / "config.json"
    content = json.loads(path.read_text()) | {"backbone": "vit_giant_patch14_224", "backbone_in_checkpoint": False}
    path.write_text(json.dumps(content))
    model = load_model("m", str(folder))
    words = ("the discriminator of m came without the weights of vit_giant_patch14_224",)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(lambda: discriminator_of(model), *words)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; the network takes 4 GB


# --- other files of a checkpoint -------------------------------------------------------------------------------------


def test_pickled_weights_are_never_loaded(checkpoint, tmp_path, trap):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(trap.pickle)
    for call in (
        lambda: AutoModel.from_pretrained(folder),
        lambda: SemanticImageSynthesisPipeline.from_pretrained(folder),
        lambda: AutoModel.from_pretrained(folder, use_safetensors=False),
        lambda: load_model("m", str(folder)),
    ):
        refused(call, "safetensors", kinds=(OSError, ValueError))


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "x.bin", 5, "a/b.safetensors"])
def test_an_index_names_files_of_its_own_folder(checkpoint, tmp_path, name: Any):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / "model.safetensors").rename(tmp_path / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"to_image.bias": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(lambda: AutoModel.from_pretrained(folder), "weight_map")


def test_a_variant_is_looked_at_like_the_plain_weights(checkpoint, tmp_path, trap):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    loaded = AutoModel.from_pretrained(folder, variant="fp16")
    assert torch.equal(loaded.to_image.weight, AutoModel.from_pretrained(checkpoint).to_image.weight)
    huge = changed(folder, tmp_path / "huge", base_channels=512)
    refused(lambda: AutoModel.from_pretrained(huge, variant="fp16"), "config asks for", "million parameters")
    (folder / "model.fp16.safetensors").unlink()
    (folder / "pytorch_model.fp16.bin").write_bytes(trap.pickle)
    refused(lambda: AutoModel.from_pretrained(folder, variant="fp16"), "safetensors", kinds=(OSError,))
    index = {"metadata": {}, "weight_map": {"to_image.bias": "../other.safetensors"}}
    (folder / "model.safetensors.index.fp16.json").write_text(json.dumps(index))
    refused(lambda: AutoModel.from_pretrained(folder, variant="fp16"), "weight_map")


def test_an_adapter_is_refused(checkpoint, tmp_path, monkeypatch):
    import dpsims_hf.modeling_checkpoint_files as files

    monkeypatch.setattr(files, "is_peft_available", lambda: True)
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "stranger/model"}')
    refused(lambda: AutoModel.from_pretrained(folder), "adapter_config.json")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", {"configuration_files": ["config.9.0.0.json"]}, "configuration_files"),
        ("config.json", {"auto_map": {"AutoConfig": "stranger/model--evil.Config"}}, "auto_map"),
        ("config.json", {"auto_map": {"AutoConfig": "../evil.Config"}}, "auto_map"),
        ("config.json", {"auto_map": 5}, "auto_map"),
        ("config.json", {"auto_map": {"AutoModel": ["a.B"]}}, "auto_map"),
        ("config.json", {"model_type": "timm_wrapper", "architecture": "hf-hub:stranger/model"}, "model_type"),
        ("config.json", {"model_type": ["dpsims-generator"]}, "model_type"),
        ("config.json", {"model_type": "my-own"}, "model_type"),
        ("preprocessor_config.json", {"image_processor_type": "OneFormerImageProcessor"}, "image_processor_type"),
        ("preprocessor_config.json", {"image_processor_type": None}, "image_processor_type"),
        ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "a/b--evil.Processor"}}, "auto_map"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_no_file_leads_to_another_model(checkpoint, tmp_path, monkeypatch, file: str, content: dict, words: str):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the terminal was asked"))
    folder = changed(checkpoint, tmp_path / "x", file, **content)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), words)
    refused(lambda: load_model("m", str(folder)), words, seconds=3)


NO_CONFIGS = ["[]", "5", '"x"', "{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\udcff", " " * 5 * 2**20]


@pytest.mark.parametrize("text", NO_CONFIGS, ids=lambda text: repr(text)[:12])
def test_what_is_no_config_at_all(checkpoint, tmp_path, text: str):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), "config.json")
    refused(lambda: load_model("m", str(folder)), "config.json")


def test_the_model_index_names_our_pipeline_alone():
    MODEL_INDEX_FILE.check("model_index.json", json.loads((CHECKPOINT / "model_index.json").read_text()))
    refused(lambda: MODEL_INDEX_FILE.check("", {"unet": ["os", "system"]}), "unet", "unknown field")


# --- segmenters of transformers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "stranger/model"},
        {"backbone": "resnet50", "use_timm_backbone": True},
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:stranger/model"}},
        {"decoder_config": {"backbone": "hf-hub:stranger/model"}},
        {"decoder_config": {"backbone": "resnet50", "use_timm_backbone": False}},
        {"use_pretrained_backbone": True},
        {"quantization_config": {"quant_method": "x"}},
        {"transformers_weights": "adapter_model.bin"},
        {"_attn_implementation": "stranger/kernel"},
        {"num_labels": 10**9},
        {"hidden_sizes": [10**9]},
        {"layer_norm_eps": float("nan")},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_a_segmenter_of_transformers_names_nothing_else(fields):
    refused(lambda: check_foreign_config({"model_type": "maskformer"} | fields), "config.json")

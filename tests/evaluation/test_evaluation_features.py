# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Feature extractors: the resize rules, the networks, their weights and what they say of themselves."""

import hashlib
import os
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from dpsims_hf.evaluation import fid
from dpsims_hf.evaluation.features import (
    INCEPTION_URL,
    ModuleExtractor,
    bilinear_resize,
    clean_resize,
    load_extractor,
)


BACKBONE = "test_efficientnet"
HALF = [0.5, 0.5, 0.5]


def random_images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights of TensorFlow's Inception."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    empty = path.with_name("empty.pth")
    torch.save({}, empty)
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = module.FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path=str(empty))
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backbone") / "model.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(timm.create_model(BACKBONE).state_dict(), path)
    return path


# -- resize rules -----------------------------------------------------------------------------------------------------


def test_bilinear_resize_does_not_antialias():
    """8 -> 2: the new centres lie between pixels 1 and 2 of each block of four; the outer pixels have no part."""
    images = random_images(2, 8, 8)
    values = images.double().numpy()
    inner = values[:, :, [1, 2, 5, 6]][:, :, :, [1, 2, 5, 6]]
    expected = inner.reshape(2, 3, 2, 2, 2, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(bilinear_resize(images, 2).numpy(), expected, atol=1e-4)


def test_clean_resize_is_pillow_without_rounding():
    images = random_images(2, 20, 30)
    resized = clean_resize(images, 8)
    assert resized.shape == (2, 3, 8, 8) and resized.dtype == torch.float32
    picture = Image.fromarray(images[1].permute(1, 2, 0).numpy()).resize((8, 8), Image.Resampling.BICUBIC)
    difference = resized[1].permute(1, 2, 0).numpy() - np.asarray(picture)
    assert np.abs(difference).max() <= 1.0  # Pillow rounds twice for 8 bit, once per direction
    assert np.abs(difference).mean() > 0.05  # ... and nothing was rounded here


def test_clean_resize_clips_the_overshoot_of_bicubic():
    edge = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    edge[..., 8:] = 255
    resized = clean_resize(edge, 40)
    assert resized.min() == 0 and resized.max() == 255


# -- Inception --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inception_pair(inception_file: Path):
    with pytest.warns(UserWarning, match="not compare with published"):
        legacy = load_extractor("inception", inception_file)
    with pytest.warns(UserWarning, match="published Inception 6726825d"):
        return legacy, load_extractor("inception_clean", inception_file)


def test_inception_runs_its_layers_in_the_published_order(inception_file: Path, inception_pair):
    """At 299x299 nothing is resized: torch-fidelity's own forward is the reference, whose input is (x - 128) / 128."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    reference = FeatureExtractorInceptionV3("r", ["2048"], feature_extractor_weights_path=str(inception_file))
    images = random_images(1, 299, 299)
    features = inception_pair[1](images)
    assert features.shape == (1, 2048) and features.dtype == torch.float32 and features.std() > 0
    torch.testing.assert_close(features, reference(images)[0], rtol=1e-4, atol=1e-6)


def test_inception_protocols_differ_by_resize_and_input_range(inception_pair):
    """Legacy: bilinear in [0, 1], then 2 x - 1 (pytorch-fid). Clean: bicubic in [0, 255], then (x - 128) / 128."""
    legacy, clean = inception_pair
    images = random_images(1, 60, 90)
    small = torch.nn.functional.interpolate(images.float() / 255, (299, 299), mode="bilinear", align_corners=False)
    with torch.no_grad():
        expected = legacy.network(2 * small - 1).flatten(1)
        torch.testing.assert_close(legacy(images), expected, rtol=1e-4, atol=1e-6)
        expected = clean.network((clean_resize(images, 299) - 128) / 128).flatten(1)
        torch.testing.assert_close(clean(images), expected)
    assert not torch.allclose(legacy(images), clean(images), rtol=1e-4)


def test_inception_states_its_facts(inception_file: Path, inception_pair):
    legacy, clean = (extractor.facts() for extractor in inception_pair)
    assert legacy["weights_sha256"] == sha256(inception_file) and legacy["dimensions"] == 2048
    assert "random.pth" in legacy["weights"] and "not the published" in legacy["weights"]
    assert legacy["features"] == "inception" and clean["features"] == "inception_clean"
    assert legacy["resize"] == "299x299, torch bilinear, no antialiasing"
    assert "antialiased" in clean["resize"] and legacy["input_range"] != clean["input_range"]


def test_inception_without_a_download_names_url_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(ValueError, match="--feature_weights FILE") as error:
        load_extractor("inception")
    assert INCEPTION_URL in str(error.value) and "\n" not in str(error.value)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_inception_files_are_not_unpickled(tmp_path: Path):
    pytest.importorskip("torch_fidelity")
    for name, write in (
        ("a.pth", torch.save),
        ("b.pth", lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=2))),
    ):
        write(Bomb(tmp_path / "exploded"), tmp_path / name)
        with pytest.raises(ValueError, match="does not hold the weights"):
            load_extractor("inception", tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_inception_files_that_do_not_fit(tmp_path: Path, backbone_file: Path):
    pytest.importorskip("torch_fidelity")
    with pytest.raises(ValueError, match="no such file"):
        load_extractor("inception", tmp_path / "absent.pth")
    with pytest.raises(ValueError, match="does not hold the weights.*Missing key"):
        load_extractor("inception", backbone_file)


# -- timm and own networks --------------------------------------------------------------------------------------------


def test_timm_features_are_the_mean_of_the_deepest_level(backbone_file: Path):
    extractor = load_extractor(
        f"timm:{BACKBONE}", backbone_file, backbone_kwargs={"pad_type": "same"}, mean=HALF, std=[0.25, 0.5, 0.5]
    )
    overlay = {"file": str(backbone_file)}
    network = timm.create_model(
        BACKBONE, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay, pad_type="same"
    ).eval()
    images = random_images(3, 32, 64)
    values = (images.float() / 255 - 0.5) / torch.tensor([0.25, 0.5, 0.5]).view(1, 3, 1, 1)
    with torch.no_grad():
        expected = network(values)[-1].mean(dim=(2, 3))
    assert extractor.dim == 64 and extractor.name == f"timm:{BACKBONE}"
    torch.testing.assert_close(extractor(images), expected, rtol=1e-4, atol=1e-5)


def test_timm_facts_and_resize(backbone_file: Path):
    extractor = load_extractor(f"timm:{BACKBONE}", backbone_file, 32, backbone_kwargs={"pad_type": "same"}, mean=HALF)
    facts = extractor.facts()
    assert facts["weights_sha256"] == sha256(backbone_file)
    assert "pad_type=same" in facts["weights"] and "model.safetensors" in facts["weights"]
    assert str(backbone_file) not in facts["weights"]  # no path of the machine
    assert facts["resize"].startswith("32x32") and "mean [0.5, 0.5, 0.5]" in facts["input_range"]
    unsized = load_extractor(f"timm:{BACKBONE}", backbone_file, backbone_kwargs={"pad_type": "same"}, mean=HALF)
    assert unsized.facts()["resize"] == "none"
    images = random_images(2, 32, 32)
    torch.testing.assert_close(extractor(images), unsized(images))  # 32 -> 32 changes nothing
    assert not torch.allclose(extractor(random_images(2, 64, 64)), unsized(random_images(2, 64, 64)))


def test_timm_weights_that_are_missing_or_wrong(tmp_path: Path, backbone_file: Path):
    with pytest.raises(ValueError, match="no such file.*--feature_weights FILE"):
        load_extractor(f"timm:{BACKBONE}", tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="does not fit the backbone 'resnet10t'"):
        load_extractor("timm:resnet10t", backbone_file)
    with pytest.raises(ValueError, match="does not know the backbone"):
        load_extractor("timm:no_such_network", backbone_file)


def test_frozen_and_in_full_precision(backbone_file: Path):
    """A training loop around it changes nothing: not its mode, not its precision; and no gradient is kept."""
    extractor = load_extractor(f"timm:{BACKBONE}", backbone_file)
    settings = (torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.benchmark)
    images = random_images(2, 32, 32)
    features = extractor(images)
    extractor.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = extractor(images)
    assert not any(module.training for module in extractor.modules())
    assert not features.requires_grad and not any(p.requires_grad for p in extractor.parameters())
    assert again.dtype == torch.float32 and torch.equal(features, again)
    assert settings == (torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.benchmark)


def test_fid_is_that_of_torchmetrics_on_the_same_features(backbone_file: Path):
    from torchmetrics.image.fid import FrechetInceptionDistance

    extractor = load_extractor(f"timm:{BACKBONE}", backbone_file)
    extractor.num_features = extractor.dim
    metric = FrechetInceptionDistance(feature=extractor)
    real, fake = random_images(80, 32, 32, seed=1), random_images(90, 32, 32, seed=2) // 2
    metric.update(real, real=True)
    metric.update(fake, real=False)
    ours = fid(extractor(real).numpy(), extractor(fake).numpy())
    assert ours == pytest.approx(float(metric.compute()), rel=1e-4)


class Means(nn.Module):
    """Mean of each channel: a network with three features."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.double().mean(dim=(2, 3))


def test_own_module():
    extractor = ModuleExtractor(Means(), "channel means", dim=3)
    images = random_images(2, 8, 8)
    expected = images.numpy().mean(axis=(2, 3))
    np.testing.assert_allclose(extractor(images).numpy(), expected, rtol=1e-6)
    assert extractor(images).dtype == torch.float32 and extractor.facts()["features"] == "channel means"
    assert len(extractor.facts()["weights_sha256"]) == 64
    with pytest.raises(ValueError, match="give dim"):
        ModuleExtractor(Means(), "channel means")
    with pytest.raises(ValueError, match=r"gave \(2, 3\) for 2 images, not \(2, 4\)"):
        ModuleExtractor(Means(), "channel means", dim=4)(images)


def test_wrong_images_and_names(backbone_file: Path):
    extractor = load_extractor(f"timm:{BACKBONE}", backbone_file)
    for images in (torch.zeros(1, 3, 32, 32), random_images(1, 32, 32)[0], random_images(1, 32, 32)[:, :1]):
        with pytest.raises(ValueError, match=r"give uint8 \(batch, 3, height, width\)"):
            extractor(images)
    with pytest.raises(ValueError, match="unknown features 'resnet'.*timm:NAME"):
        load_extractor("resnet")
    with pytest.raises(ValueError, match="inception has a fixed protocol; leave out mean, resize"):
        load_extractor("inception", resize=256, mean=HALF)


@pytest.mark.slow
def test_vgg16_gives_its_second_fully_connected_layer(tmp_path: Path):
    """Kynkaanniemi et al. 2019; torchvision's network called whole, its layer read by a hook."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.vgg16(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "vgg16.pth")
    extractor, seen = load_extractor("vgg16", tmp_path / "vgg16.pth"), []
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    network.classifier[4].register_forward_hook(lambda layer, inputs, output: seen.append(output.clone()))
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        network((images / 255 - mean) / std)
    torch.testing.assert_close(extractor(images), seen[0], rtol=1e-4, atol=1e-5)
    assert extractor.facts()["dimensions"] == 4096 and extractor.facts()["weights"] == "vgg16.pth"
    (tmp_path / "broken.pth").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="VGG-16 weights cannot be fetched from .*broken.pth"):
        load_extractor("vgg16", tmp_path / "broken.pth")

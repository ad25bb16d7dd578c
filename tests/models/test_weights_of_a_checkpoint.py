# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights that are not the config's: never fetched if too large, never passed over if they are missing."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hub_server import HubServer, Repository, hub_server
from poison import changed
from refusals import refused
from safetensors.torch import load_file, save_file
from transformers import AutoModel, SegformerConfig, SegformerForSemanticSegmentation

from dpsims_hf import DPSIMSDiscriminator, DPSIMSGenerator, SemanticImageSynthesisPipeline
from dpsims_hf.demo.models.library import load_model


pytestmark = pytest.mark.integration


# --- what is missing -------------------------------------------------------------------------------------------------


def test_a_file_without_tensors_is_no_model(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    save_file({}, folder / "model.safetensors")
    for load in (AutoModel.from_pretrained, DPSIMSGenerator.from_pretrained, lambda f: load_model("m", str(f))):
        refused(lambda load=load: load(folder), "tensors are missing", seconds=5)


def test_tensors_of_another_model_are_none_of_this_one(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    tensors = load_file(folder / "model.safetensors")
    save_file({f"other.{name}": tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    refused(lambda: AutoModel.from_pretrained(folder), "tensors are missing", seconds=5)


@pytest.mark.parametrize("count", [1, 3])
def test_a_pipeline_wants_every_weight(checkpoint, tmp_path, count):
    """The Auto classes have words of their own for a few new weights; what draws for people takes none."""
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    tensors = load_file(folder / "model.safetensors")
    lost = ["to_image.bias", "to_image.weight", next(name for name in tensors if "attention" in name)][:count]
    save_file({name: tensor for name, tensor in tensors.items() if name not in lost}, folder / "model.safetensors")
    assert AutoModel.from_pretrained(folder, output_loading_info=True)[1]["missing_keys"] == set(lost)
    refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder), f"{count} of", "missing", seconds=5)
    refused(lambda: load_model("m", str(folder)), f"{count} of", "missing", seconds=5)


@pytest.mark.parametrize("part", ["backbone.", "decoder."])
def test_a_discriminator_has_what_its_config_says(checkpoint, tmp_path, part):
    """A backbone that was said to be inside, and was not, came from whatever lay in memory."""
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    file = folder / "discriminator" / "model.safetensors"
    save_file({name: t for name, t in load_file(file).items() if not name.startswith(part)}, file)
    pipe = SemanticImageSynthesisPipeline.from_pretrained(folder)
    refused(pipe.load_discriminator, "are missing", f"first '{part}", seconds=5)
    if part == "backbone.":
        refused(lambda: DPSIMSDiscriminator.from_pretrained(folder / "discriminator"), "are missing", seconds=5)
        changed(folder / "discriminator", tmp_path / "y", backbone_in_checkpoint=False)
        assert not DPSIMSDiscriminator.from_pretrained(tmp_path / "y").backbone_ready


def test_a_pipe_is_no_file(checkpoint, tmp_path):
    """Opening one would wait for ever."""
    folder = shutil.copytree(checkpoint, tmp_path / "x")
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (folder / name).rename(tmp_path / "kept")
        os.mkfifo(folder / name)
        refused(lambda: load_model("m", str(folder)), name, seconds=5)
        (folder / name).unlink()
        (tmp_path / "kept").rename(folder / name)


# --- what is too large -----------------------------------------------------------------------------------------------


LOAD = """
import json, sys
import dpsims_hf, torch
from transformers import AutoConfig, AutoImageProcessor, AutoModel
from dpsims_hf.evaluation.segmenters import load_segmenter
from dpsims_hf.demo.models.library import load_model

ways = {
    "auto": lambda name: AutoModel.from_pretrained(name),
    "class": lambda name: dpsims_hf.DPSIMSGenerator.from_pretrained(name),
    "discriminator": lambda name: AutoModel.from_pretrained(name, subfolder="discriminator"),
    "pipeline": lambda name: dpsims_hf.SemanticImageSynthesisPipeline.from_pretrained(name),
    "segment": lambda name: dpsims_hf.SemanticImageSynthesisPipeline.from_pretrained(name).load_discriminator(),
    "page": lambda name: load_model("m", name),
    "segmenter": lambda name: load_segmenter(name),
}
answers = {}
for way, name in json.loads(sys.argv[1]):
    try:
        ways[way](name)
        answers[f"{way} {name}"] = ""
    except (ValueError, OSError) as error:
        answers[f"{way} {name}"] = str(error)
print(json.dumps(answers))
"""
LARGE = 3_000_000_000


class Large(bytes):
    """A file that says that it is very large."""

    def __len__(self) -> int:
        return LARGE

    def __getitem__(self, place: slice) -> "Large":
        return self


@pytest.fixture(scope="module")
def hub():
    with hub_server() as server:
        yield server


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _offer(hub: HubServer, name: str, files: dict[str, bytes]) -> Repository:
    hub.repositories["model", name] = repository = Repository({})
    repository.commit(files)
    return repository


def _load(hub: HubServer, home: Path, *ways: tuple[str, str]) -> dict[str, str]:
    run = hub.run(home, "-c", LOAD, json.dumps(ways))
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.integration
def test_no_file_that_is_far_too_large_is_fetched(hub, checkpoint, tmp_path):
    """The Hub tells the sizes of files: a stranger's repository must not fill the disk before it is refused."""
    files = _files(checkpoint)
    table = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    shards = {"model.safetensors.index.json": json.dumps(table).encode(), "model-1.safetensors": b"x" * 99}
    whole = {name: content for name, content in files.items() if name != "model.safetensors"}
    segformer = {"model_type": "segformer", "depths": [1] * 4, "hidden_sizes": [8] * 4, "decoder_hidden_size": 8}
    segformer = json.dumps(segformer | {"num_attention_heads": [1] * 4}).encode()
    offers = {
        "weights": (files | {"model.safetensors": Large(b"x")}, ("auto", "class", "pipeline", "page")),
        "shards": (whole | shards | {"model-2.safetensors": Large(b"x")}, ("auto", "pipeline")),
        "table": (whole | shards | {"model.safetensors.index.json": Large(b"x")}, ("auto",)),
        "second": (files | {"discriminator/model.safetensors": Large(b"x")}, ("discriminator", "segment")),
        "config": (files | {"config.json": Large(b"x")}, ("class", "pipeline", "page", "segmenter")),
        "processor": (files | {"preprocessor_config.json": Large(b"x")}, ("pipeline", "page")),
        "adapter": (files | {"adapter_config.json": Large(b"x")}, ("pipeline", "page")),
        "foreign": ({"config.json": segformer, "model.safetensors": Large(b"x")}, ("segmenter",)),
    }
    for name, (content, _) in offers.items():
        _offer(hub, f"user/{name}", content)
    ways = [(way, f"user/{name}") for name, (_, found) in offers.items() for way in found]
    answers = _load(hub, tmp_path, *ways)
    assert len(answers) == len(ways)
    for way, answer in answers.items():
        assert "it is not fetched" in answer and "3,000.0 MB" in answer and "\n" not in answer, (way, answer)
    sizes = [path.stat().st_size for path in (tmp_path / "hub").rglob("*.safetensors")]
    assert "x" * 99 not in [path.read_text(errors="ignore") for path in (tmp_path / "hub").rglob("model-*")]
    assert max(sizes, default=0) < 10_000_000


def _segformer(folder: Path) -> dict[str, bytes]:
    config = SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8] * 4, decoder_hidden_size=8, num_attention_heads=[1] * 4, num_labels=3
    )
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    return _files(folder)


@pytest.mark.slow
@pytest.mark.integration
def test_what_is_checked_is_what_is_loaded(hub, checkpoint, tmp_path):
    """The repository changes whenever it is asked for its newest commit."""
    for name, files in (("moving", _files(checkpoint)), ("segments", _segformer(tmp_path / "segformer"))):
        repository = _offer(hub, f"user/{name}", files)
        repository.find = partial(_newest_changes, repository, repository.find)
    ways = [(way, "user/moving") for way in ("class", "pipeline", "segment", "page")]
    answers = _load(hub, tmp_path, *ways, ("segmenter", "user/segments"))
    assert set(answers.values()) == {""}, answers
    for name, file in (("moving", "config.json"), ("segments", "preprocessor_config.json")):
        assert len(hub.repositories["model", f"user/{name}"].commits) > 2
        weights = list((tmp_path / "hub").glob(f"models--user--{name}/snapshots/*/model.safetensors"))
        assert weights and all((path.parent / file).is_file() for path in weights)


def _newest_changes(repository: Repository, find: Callable[[str], tuple], revision: str) -> tuple:
    if revision == "main":
        repository.commit(dict(repository.files))
    return find(revision)

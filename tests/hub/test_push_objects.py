# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`push_to_hub` of pipelines, networks, processors and configs: one commit that a stranger loads, or nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer, hub_server


pytestmark = pytest.mark.integration

OWNER = """
import json, sys
sys.path[:0] = [sys.argv[1]]
import numpy as np, torch
from tiny_pipelines import street, tiny_discriminator, tiny_generator, tiny_processor
from transformers import AutoModel
from dpsims_hf import SemanticImageSynthesisPipeline

pipe = SemanticImageSynthesisPipeline(tiny_generator(), tiny_processor(), tiny_discriminator())
photo = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
np.savez("expected.npz", photo=photo, label_map=street(), labels=pipe.segment(photo).numpy(),
         images=pipe(street(), output_type="np_uint8").images)
said = {}

def failing(name, push):
    try:
        push()
    except ValueError as error:
        said[name] = str(error)

commit = pipe.push_to_hub("user/pipe", private=True, commit_message="My streets", include_backbone=True)
said["commit"] = commit.oid
pipe.save_pretrained("folder", include_backbone=True)
generator = AutoModel.from_pretrained("folder")  # as its owner has it: from a folder
generator.push_to_hub("generator", max_shard_size="20KB", tags=["streets"])
pipe.processor.push_to_hub("user/generator")
pipe.discriminator.push_to_hub("user/segmenter", include_backbone=True)
pipe.processor.push_to_hub("user/segmenter")
generator.config.push_to_hub("user/config")
generator.push_to_hub("user/pipe", revision="next")
generator.save_pretrained("named", push_to_hub=True, repo_id="user/saved")

failing("name", lambda: pipe.push_to_hub("no/such/name"))
failing("token", lambda: generator.push_to_hub("user/refused", token="hf_reader"))
failing("pickle", lambda: pipe.push_to_hub("user/pickle", safe_serialization=False))
bare = tiny_discriminator()
bare.backbone_ready = False
failing("backbone", lambda: bare.push_to_hub("user/bare", include_backbone=True))
with torch.no_grad():
    generator.to_image.bias[0] = float("nan")
failing("nan", lambda: generator.push_to_hub("user/nan"))
pipe.generator_model = generator
failing("nan_pipe", lambda: pipe.push_to_hub("user/nan"))

class OfANotebook(type(generator)):
    pass

failing("notebook", lambda: OfANotebook(generator.config).push_to_hub("user/notebook"))
json.dump(said, open("said.json", "w"))
"""
STRANGER = """
import json, sys
sys.modules["dpsims_hf"] = None
import numpy as np, torch
from diffusers import DiffusionPipeline
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForSemanticSegmentation

given = np.load("expected.npz")
own = {"trust_remote_code": True}
pipe = DiffusionPipeline.from_pretrained("user/pipe", **own)
assert np.array_equal(pipe(given["label_map"], output_type="np_uint8").images, given["images"])
assert np.array_equal(pipe.segment(given["photo"]).numpy(), given["labels"])

generator = AutoModel.from_pretrained("user/generator", **own)
processor = AutoImageProcessor.from_pretrained("user/generator", **own)
again = type(pipe)(generator, processor)
assert np.array_equal(again(given["label_map"], output_type="np_uint8").images, given["images"])
assert AutoConfig.from_pretrained("user/config", **own).to_diff_dict()["noise_dim"] == generator.config.noise_dim
for name in ("user/saved", "user/pipe"):
    options = {"revision": "next"} if name == "user/pipe" else {}
    assert torch.equal(AutoModel.from_pretrained(name, **own, **options).to_image.bias, generator.to_image.bias)

segmenter = AutoModelForSemanticSegmentation.from_pretrained("user/segmenter", **own)
judge = AutoModel.from_pretrained("user/segmenter", **own)
inputs = AutoImageProcessor.from_pretrained("user/segmenter", **own)(images=given["photo"])
with torch.no_grad():
    output = segmenter(**inputs)
    assert torch.equal(judge(**inputs).segmentation_logits[:, :-1], output.logits)
assert np.array_equal(processor.post_process_semantic_segmentation(output)[0].numpy(), given["labels"])

pipe.push_to_hub("user/copy")  # by who never had the package
copy = DiffusionPipeline.from_pretrained("user/copy", **own)
assert np.array_equal(copy(given["label_map"], output_type="np_uint8").images, given["images"])
assert np.array_equal(copy.segment(given["photo"]).numpy(), given["labels"])
"""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.mark.slow
def test_pushed_objects_are_loaded_by_a_stranger(hub, tmp_path):
    run = hub.run(tmp_path, "-c", OWNER, str(Path(__file__).parents[1]))
    assert run.returncode == 0, run.stderr[-3000:]
    said = json.loads((tmp_path / "said.json").read_text())
    check_commits(hub, said)
    check_refusals(hub, said)
    (tmp_path / "stranger").mkdir()
    (tmp_path / "expected.npz").rename(tmp_path / "stranger" / "expected.npz")
    run = hub.run(tmp_path / "stranger", "-c", STRANGER)
    assert run.returncode == 0, run.stderr[-3000:]
    copied, first = (hub.repositories["model", f"user/{name}"].files for name in ("copy", "pipe"))
    changing = {"README.md", "model_index.json"}  # the repository's name
    assert {name: data for name, data in copied.items() if name not in changing} == {
        name: data for name, data in first.items() if name not in changing
    }


def check_commits(hub: HubServer, said: dict[str, str]) -> None:
    made = {name: repository for (_, name), repository in hub.repositories.items()}
    assert set(made) == {f"user/{name}" for name in ("pipe", "generator", "segmenter", "config", "saved")}
    commits = {name: len(repository.commits) - 1 for name, repository in made.items()}
    assert commits == {"user/pipe": 1, "user/generator": 2, "user/segmenter": 2, "user/config": 1, "user/saved": 1}
    pipe = made["user/pipe"]
    assert said["commit"] == pipe.commits[-1][0] and pipe.is_private and set(pipe.branches) == {"next"}
    parts = {"model_index.json", "generator_model/pipeline_stored_checkpoint.py", "discriminator/model.safetensors"}
    assert parts <= set(pipe.files)
    card = made["user/generator"].files["README.md"].decode()
    assert "- streets" in card and 'AutoModel.from_pretrained("user/generator"' in card, "the processor left it"
    shards = [name for name in made["user/generator"].files if name.startswith("model-")]
    assert len(shards) > 1 and "preprocessor_config.json" in made["user/generator"].files
    assert not [name for name in made["user/segmenter"].files if name.startswith("modeling_dpsims.")]
    for repository in made.values():
        assert not [name for name in repository.files if name.endswith((".bin", ".pkl", ".pt"))]


def check_refusals(hub: HubServer, said: dict[str, str]) -> None:
    words = {
        "name": "'no/such/name' is no repository name",
        "token": "this token may not write to user/refused",
        "pickle": "safetensors alone",
        "backbone": "no backbone weights are loaded",
        "nan": "nothing was made on the Hub: weight to_image.bias holds NaN",
        "nan_pipe": "nothing was made on the Hub: weight to_image.bias holds NaN",
        "notebook": "config.json names no code (a class that was defined in a notebook",
    }
    for name, expected in words.items():
        assert expected in said[name] and "\n" not in said[name], (name, said[name])

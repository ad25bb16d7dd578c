# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Both loaders on a server that speaks the Hub's protocol: the revision's weights AND code, cache, token, offline."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import HubServer, Repository, hub_server
from tiny_pipelines import street, tiny_discriminator, tiny_generator, tiny_processor

from dpsims_hf.hub import save_model_folder


pytestmark = pytest.mark.integration


# A stranger's process: our package is not on its path. REVISION stands at the end of each file of a repository.
STRANGER = """
import json, os, sys
import numpy as np, torch
sys.modules["dpsims_hf"] = None
from diffusers import DiffusionPipeline

label_map = np.load(sys.argv[1])
found = []

def tell(pipe, **facts):
    parts = {"pipeline": type(pipe), "loading": type(pipe).__mro__[1], "generator": type(pipe.generator_model)}
    parts |= {"generation": sys.modules[type(pipe).__module__].generate_images}
    parts |= {"config": type(pipe.generator_model.config), "processor": type(pipe.processor)}
    if pipe.discriminator is not None:
        parts["discriminator"] = type(pipe.discriminator)
    globals_of = {n: getattr(part, "__globals__", vars(sys.modules[part.__module__])) for n, part in parts.items()}
    found.append(facts | {
        "code": {name: values["REVISION"] for name, values in globals_of.items()},
        "bias": round(float(pipe.generator_model.to_image.bias[0]), 3),
        "dtype": str(pipe.generator_model.dtype),
        "name": pipe.config["_name_or_path"],
        "image": np.asarray(pipe(label_map, seed=3, num_images_per_label_map=1).images[0]).tolist(),
    })
"""
REVISIONS = (
    STRANGER
    + """
options = {"trust_remote_code": True, "cache_dir": "elsewhere"}
for revision in ("v1", None, "v1", sys.argv[2]):
    pipe = DiffusionPipeline.from_pretrained("user/model", revision=revision, **options)
    if revision == "v1":
        pipe.load_discriminator()
    tell(pipe, revision=revision)
options |= {"revision": "v1"}
typed = DiffusionPipeline.from_pretrained("user/model", torch_dtype=torch.bfloat16, device_map="cpu", **options)
tell(typed, revision="bfloat16")
own = type(pipe).from_pretrained("user/model", **options)
tell(own, revision="own")
found.append(sorted(os.listdir(".")))
json.dump(found, open("found.json", "w"))
"""
)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


def files_of(folder: Path, revision: str) -> dict[str, bytes]:
    """A checkpoint's files; each of code says which revision it is."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    mark = f"\n\nREVISION = {revision!r}\n".encode()
    return {name: data + mark if name.endswith(".py") else data for name, data in files.items()}


def publish(hub: HubServer, tmp_path: Path, name: str = "user/model", **settings) -> list[str]:
    """Two revisions whose weights and code differ, the older of them tagged v1; their commits."""
    repository = hub.repositories["model", name] = Repository(settings)
    for number, revision in enumerate(("first", "second")):
        generator = tiny_generator()
        generator.to_image.bias.data.fill_(0.25 * number)
        folder = tmp_path / "folders" / revision
        save_model_folder(folder, generator, tiny_processor(), tiny_discriminator(), include_backbone=True)
        commit = repository.commit(files_of(folder, revision))
        repository.tags[f"v{number + 1}"] = commit
    return [commit for commit, _ in repository.commits[1:]]


def run_stranger(hub: HubServer, tmp_path: Path, code: str, *arguments: str, token: str = "hf_x") -> list:
    np.save(tmp_path / "label_map.npy", street())
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    (home / "code.py").write_text(code)
    run = hub.run(home, "code.py", str(tmp_path / "label_map.npy"), *arguments, token=token)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads((home / "found.json").read_text())


@pytest.mark.slow
def test_a_revision_is_its_weights_and_its_code(hub, tmp_path):
    """Through `DiffusionPipeline` and our class, one after the other in one process."""
    first, _ = publish(hub, tmp_path)
    *found, listing = run_stranger(hub, tmp_path, REVISIONS, first)
    expected = {"v1": "first", None: "second", first: "first", "bfloat16": "first", "own": "first"}
    assert [entry["revision"] for entry in found] == ["v1", None, "v1", first, "bfloat16", "own"]
    for entry in found:
        revision = expected[entry["revision"]]
        assert set(entry["code"].values()) == {revision}, entry
        assert entry["bias"] == (0.0 if revision == "first" else 0.25)
        assert entry["dtype"] == ("torch.bfloat16" if entry["revision"] == "bfloat16" else "torch.float32")
        assert entry["name"] == "user/model"
    assert "discriminator" in found[0]["code"]
    images = [entry["image"] for entry in found]
    assert images[0] == images[2] == images[3] == images[5] != images[1]
    assert "elsewhere" in listing and "hub" not in listing, "nothing went to the usual cache"


PRIVATE = """
import json, os, sys
import numpy as np, torch
from diffusers import DiffusionPipeline
from dpsims_hf import SemanticImageSynthesisPipeline

label_map = np.load(sys.argv[1])
found = []

def image(pipe):
    found.append(np.asarray(pipe(label_map, num_images_per_label_map=1).images[0]).tolist())

load = SemanticImageSynthesisPipeline.from_pretrained
try:
    load("user/secret", cache_dir="elsewhere")
except (OSError, ValueError) as error:
    found.append(str(error))
options = {"token": "hf_reader", "cache_dir": "elsewhere", "revision": "v1"}
image(load("user/secret", **options))
pipe = load("user/secret", force_download=True, load_discriminator=True, **options)
image(pipe)
image(load("user/secret", local_files_only=True, **options))
os.environ["HF_TOKEN"] = "hf_reader"  # diffusers hands no token on when it fetches code
image(DiffusionPipeline.from_pretrained("user/secret", trust_remote_code=True, revision="v1"))
json.dump(found, open("found.json", "w"))
"""
OFFLINE = """
import json, sys
import numpy as np
from dpsims_hf import SemanticImageSynthesisPipeline

options = {"cache_dir": "elsewhere", "revision": "v1", "local_files_only": True}
pipe = SemanticImageSynthesisPipeline.from_pretrained("user/secret", **options)
images = pipe(np.load(sys.argv[1]), num_images_per_label_map=1).images
json.dump([np.asarray(images[0]).tolist()], open("found.json", "w"))
"""


@pytest.mark.slow
def test_a_private_repository_takes_its_token_and_then_needs_no_network(hub, tmp_path):
    publish(hub, tmp_path, "user/secret", private=True)
    refused, *images = run_stranger(hub, tmp_path, PRIVATE, token="")
    assert "user/secret" in refused and "token" in refused
    assert len(images) == 4 and all(image == images[0] for image in images)
    hub.url = "http://127.0.0.1:9"  # nobody listens there
    assert run_stranger(hub, tmp_path, OFFLINE, token="") == [images[0]]

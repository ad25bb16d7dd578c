# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Checkpoint folders: written whole, replaced safely, small, with a card; and pushed to a server that speaks the Hub's
protocol."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import HubServer, hub_server
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel

from dpsims_hf import (
    DPSIMSDiscriminator,
    DPSIMSDiscriminatorConfig,
    DPSIMSGenerator,
    DPSIMSGeneratorConfig,
    SemanticImageProcessor,
)
from dpsims_hf.hub import (
    fill_model_card,
    folded_copy,
    load_model_card_template,
    save_model_folder,
    validate_model_folder,
)
from dpsims_hf.hub.__main__ import main


pytestmark = pytest.mark.integration


PACKAGE = Path(__file__).parents[2] / "dpsims_hf"
SIZE = (32, 64)
NAMES = {0: "sky", 1: "road", 2: "car", 3: "tree", 4: "void"}


@pytest.fixture
def generator() -> DPSIMSGenerator:
    torch.manual_seed(0)
    config = DPSIMSGeneratorConfig.from_preset("tiny", num_labels=None, id2label=NAMES, attention_gate_init=1.0)
    network = DPSIMSGenerator(config)
    with torch.no_grad():
        for _ in range(5):
            network(torch.randint(0, 5, (4, *SIZE)), noise=network.sample_noise(4))
    return network.eval()


@pytest.fixture
def processor() -> SemanticImageProcessor:
    return SemanticImageProcessor(id2label=NAMES, size={"height": SIZE[0], "width": SIZE[1]}, size_divisor=8)


@pytest.fixture(scope="module")
def discriminator() -> DPSIMSDiscriminator:
    torch.manual_seed(1)
    return DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny", num_labels=None, id2label=NAMES)).eval()


def generate(network) -> torch.Tensor:
    label_map = (torch.arange(SIZE[0] * SIZE[1]) // 97 % 5).view(1, *SIZE)
    with torch.no_grad():
        return network(label_map, noise=torch.ones(1, network.config.noise_dim)).images


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# -- the folder -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_it_should(tmp_path, generator, processor, discriminator):
    folder = save_model_folder(tmp_path / "model", generator, processor, discriminator)
    closure = {path.name for path in folder.glob("*.py")}  # which: tests/models/test_checkpoint_code.py
    data = {"config.json", "model.safetensors", "preprocessor_config.json", "model_index.json", "README.md"}
    data |= {"discriminator/config.json", "discriminator/model.safetensors"}
    assert names(folder) == closure | data | {"generator_model/pipeline_stored_checkpoint.py"}
    assert {"modeling_dpsims.py", "image_processing_semantic.py"} <= closure
    assert list(tmp_path.iterdir()) == [folder], "nothing is left beside it"
    assert validate_model_folder(folder) == []
    for config, keys in [
        ("config.json", {"AutoConfig", "AutoModel"}),
        ("discriminator/config.json", {"AutoConfig", "AutoModel", "AutoModelForSemanticSegmentation"}),
        ("preprocessor_config.json", {"AutoImageProcessor"}),
    ]:
        assert set(json.loads((folder / config).read_text())["auto_map"]) == keys
    others = (folder / "config.json").stat().st_mode
    assert stat.S_IMODE((folder / "model.safetensors").stat().st_mode) == stat.S_IMODE(others)


def test_every_part_loads_exactly(tmp_path, generator, processor, discriminator):
    folder = save_model_folder(tmp_path / "model", generator, processor, discriminator, include_backbone=True)
    for network, options in ((generator, {}), (discriminator, {"subfolder": "discriminator"})):
        loaded, report = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
        assert type(loaded) is type(network)
        assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
        state = network.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
        assert loaded.state_dict().keys() == state.keys()
    assert loaded.backbone_ready
    assert AutoImageProcessor.from_pretrained(folder).id2label == NAMES


def test_the_backbone_stays_outside_unless_asked_for(tmp_path, generator, processor, discriminator):
    folder = save_model_folder(tmp_path / "model", generator, processor, discriminator)
    stored = load_file(folder / "discriminator" / "model.safetensors")
    assert stored and not [name for name in stored if name.startswith("backbone.")]
    bare = AutoModel.from_pretrained(folder, subfolder="discriminator")
    assert not bare.backbone_ready
    with pytest.raises(ValueError, match="include_backbone=True.*load_backbone_weights"):
        save_model_folder(tmp_path / "model", generator, processor, bare, include_backbone=True)
    assert names(folder) and [path.name for path in tmp_path.iterdir()] == ["model"], "the old folder is still there"


def test_saving_changes_nothing_that_lives(tmp_path, generator, processor, discriminator):
    generator.train()
    parts = (generator.config, discriminator.config, processor)
    before = [part.to_dict() for part in parts]
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    random_state = torch.get_rng_state()
    save_model_folder(
        tmp_path / "model",
        generator,
        processor,
        discriminator,
        include_backbone=True,
        dtype=torch.float16,
        fold_spectral_norm=True,
    )
    assert (generator.config, discriminator.config) == parts[:2] and generator.config is parts[0]
    assert [part.to_dict() for part in parts] == before
    assert all(torch.equal(tensor, state[name]) for name, tensor in generator.state_dict().items())
    assert generator.state_dict().keys() == state.keys() and generator.training
    assert torch.equal(torch.get_rng_state(), random_state)
    # The spectral norm still works: training goes on.
    generate(generator)
    assert not torch.equal(
        generator.blocks[0].conv_0.parametrizations.weight[0]._u, state["blocks.0.conv_0.parametrizations.weight.0._u"]
    )


# -- smaller weights --------------------------------------------------------------------------------------------------


def test_float16_is_for_matrices_and_loads_as_float32(tmp_path, generator, processor):
    folder = save_model_folder(tmp_path / "model", generator, processor, dtype=torch.float16)
    stored = load_file(folder / "model.safetensors")
    state = generator.state_dict()
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim >= 2} == {torch.float16}
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim == 1} == {torch.float32}
    assert stored["blocks.0.norm_0.norm.num_batches_tracked"].dtype == torch.int64
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"
    loaded = AutoModel.from_pretrained(folder)
    assert loaded.dtype == torch.float32
    for name, tensor in loaded.state_dict().items():
        rounded = state[name].half().float() if state[name].ndim >= 2 else state[name]
        assert tensor.dtype == state[name].dtype and torch.equal(tensor, rounded), name
    assert torch.allclose(generate(loaded), generate(generator), atol=0.05)


def test_weights_that_float16_cannot_hold(tmp_path, generator, processor):
    with torch.no_grad():
        generator.to_image.weight[0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="weight to_image.weight .* not finite in torch.float16"):
        save_model_folder(tmp_path / "model", generator, processor, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="dtype=torch.bfloat16"):
        save_model_folder(tmp_path / "model", generator, processor, dtype=torch.bfloat16)


def test_folded_weights_are_plain_and_give_the_same_images(tmp_path, generator, processor):
    folder = save_model_folder(tmp_path / "model", generator, processor, fold_spectral_norm=True)
    stored = load_file(folder / "model.safetensors")
    assert "blocks.0.conv_0.weight" in stored and not [name for name in stored if "parametrizations" in name]
    loaded = AutoModel.from_pretrained(folder)
    assert loaded.config.spectral_norm is False and generator.config.spectral_norm is True
    assert torch.allclose(generate(loaded), generate(generator), atol=1e-5)
    assert torch.equal(generate(folded_copy(generator)), generate(loaded))


# -- replacing --------------------------------------------------------------------------------------------------------


def test_a_new_checkpoint_replaces_the_model_and_nothing_else(tmp_path, generator, processor, discriminator):
    folder = save_model_folder(
        tmp_path / "model", generator, processor, discriminator, card="---\nlicense: mit\n---\n"
    )
    (folder / "modeling_of_an_older_version.py").write_text("")
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"")
    (folder / "samples.png").write_bytes(b"picture")
    (folder / "training_state").mkdir()
    (folder / "training_state" / "optimizer.bin").write_bytes(b"moments")
    with torch.no_grad():
        generator.to_image.bias.fill_(0.25)
    save_model_folder(folder, generator, processor)
    present = names(folder)
    assert {"samples.png", "training_state/optimizer.bin"} <= present
    stale = {"modeling_of_an_older_version.py", "model-00001-of-00002.safetensors", "discriminator/config.json"}
    assert not stale & present
    assert torch.equal(load_file(folder / "model.safetensors")["to_image.bias"], torch.full((3,), 0.25))
    assert "license: unknown" in (folder / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failure_leaves_the_old_folder_as_it_was(tmp_path, generator, processor):
    folder = save_model_folder(tmp_path / "model", generator, processor)
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    with pytest.raises(ValueError, match="exists"):
        save_model_folder(folder, generator, processor, overwrite=False)
    with torch.no_grad():
        generator.to_image.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        save_model_folder(folder, generator, processor)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_a_killed_run_left_is_taken_up(tmp_path, generator, processor):
    """Killed while writing (a partial folder), and before or after the second of the two renames."""
    folder, aside = tmp_path / "model", tmp_path / ".model.previous"
    save_model_folder(folder, generator, processor)
    (folder / "notes.txt").write_text("kept")
    folder.rename(aside)
    (tmp_path / ".model.partial").mkdir()
    (tmp_path / ".model.partial" / "model.safetensors").write_bytes(b"half")
    save_model_folder(folder, generator, processor)
    assert (folder / "notes.txt").read_text() == "kept" and validate_model_folder(folder) == []
    aside.mkdir()
    (aside / "training_state").mkdir()
    (aside / "config.json").write_text("old")
    save_model_folder(folder, generator, processor)
    assert (folder / "training_state").is_dir() and (folder / "notes.txt").read_text() == "kept"
    assert validate_model_folder(folder) == []
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# -- the card ---------------------------------------------------------------------------------------------------------


def test_the_card_states_facts_and_marks_gaps(generator, processor, discriminator):
    text = fill_model_card(
        generator,
        processor,
        discriminator,
        include_backbone=True,
        name="Tiny streets",
        license="cc-by-4.0",
        datasets=["user/streets"],
        tags=["streets"],
        steps="1000 of batch 8",
        data="Drawn streets.",
    )
    card = ModelCard(text)
    assert card.data.license == "cc-by-4.0" and card.data.datasets == ["user/streets"]
    assert card.data.pipeline_tag == "image-to-image" and card.data.library_name == "transformers"
    assert {"semantic-image-synthesis", "streets"} <= set(card.data.tags)
    for fact in ("# Tiny streets", "1000 of batch 8", "Drawn streets.", "32x64", "2 car", "`test_resnet`", "inside"):
        assert fact in text
    millions = sum(parameter.numel() for parameter in generator.parameters()) / 1e6
    assert f"{millions:.2f} M parameters" in text
    assert "Hardware: Not stated." in text
    assert "{{" not in text and "{%" not in text and "{{ card_data }}" in load_model_card_template()
    with pytest.raises(ValueError, match="no field 'step'.*steps"):
        fill_model_card(generator, processor, step="1000")


# -- checking and pushing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "README.md").unlink(), "README.md is missing"),
        (lambda f: (f / "README.md").write_text("# no front matter"), "no license"),
        (lambda f: (f / "README.md").write_text("---\nlicense: [\n---\n"), "front matter cannot be read"),
        (lambda f: (f / "README.md").write_text("---\nlicense: mit\ntags: [a]\n---\n{{ data }}"), "unfilled"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"1234567890"), "model.safetensors cannot be read"),
        (lambda f: (f / "config.json").write_text("{"), "config.json is no JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "x"}'), "no auto_map"),
        (lambda f: (f / "modeling_dpsims.py").unlink(), "modeling_dpsims.py is missing"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config.json is missing"),
        (lambda f: (f / "discriminator" / "model.safetensors").unlink(), "discriminator/model.safetensors is missing"),
    ],
)
def test_a_damaged_folder_is_not_pushed(tmp_path, generator, processor, discriminator, capsys, damage, message):
    folder = save_model_folder(tmp_path / "model", generator, processor, discriminator)
    damage(folder)
    problems = validate_model_folder(folder)
    assert len(problems) == 1 or "README" in message or "license" in message
    assert any(message in problem for problem in problems), problems
    capsys.readouterr()
    assert main(["push", str(folder), "user/model"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error


def test_pushing_nothing(tmp_path, capsys):
    assert main(["push", str(tmp_path / "absent"), "user/model"]) == 1
    assert "absent is no folder" in capsys.readouterr().err


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


LOAD_FROM_HUB = """
import sys, numpy as np, torch
from dpsims_hf import SemanticImageSynthesisPipeline
pipe = SemanticImageSynthesisPipeline.from_pretrained("user/model")
label_map = np.arange(32 * 64, dtype=np.int64).reshape(32, 64) // 97 % 5
images = pipe(label_map, noise=torch.ones(1, 8), output_type="np_uint8").images
np.save(sys.argv[1], images)
try:
    pipe.segment(np.zeros((32, 64, 3), dtype=np.uint8))
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_push_and_load_by_name(tmp_path, hub, generator, processor):
    """The command uploads exactly the model's files; from the repository's name the same images come back."""
    folder = save_model_folder(tmp_path / "model", generator, processor, fold_spectral_norm=True)
    (folder / "grid.png").write_bytes(b"picture")
    (folder / "training_state").mkdir()
    (folder / "training_state" / "model.safetensors").write_bytes(b"not for the public")
    (folder / "secrets.txt").write_text("not for the public")
    run = hub.run(tmp_path, "-m", "dpsims_hf.hub", "push", str(folder), "user/model", "--private", "--tag", "v1")
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"{hub.url}/user/model"
    repository = hub.repositories["model", "user/model"]
    assert repository.settings["visibility"] == "private"
    assert len(repository.commits) == 2 and repository.tags == {"v1": repository.commits[-1][0]}
    assert set(repository.files) == names(folder) - {"training_state/model.safetensors", "secrets.txt"}
    for name, data in repository.files.items():
        expected = (folder / name).read_bytes()
        if name == "README.md":
            assert b'path = "."' in expected and data == expected.replace(b'path = "."', b'path = "user/model"')
        else:
            assert data == expected, name
    run = hub.run(tmp_path, "-c", LOAD_FROM_HUB, str(tmp_path / "images.npy"))
    assert run.returncode == 0, run.stderr
    assert "'user/model' has no discriminator" in run.stdout
    expected = processor.postprocess(generate(AutoModel.from_pretrained(folder)), "np_uint8")
    assert np.array_equal(np.load(tmp_path / "images.npy"), expected)


@pytest.mark.slow
def test_a_second_push_replaces_the_model_and_moves_the_tag(tmp_path, hub, generator, processor, discriminator):
    push = ("-m", "dpsims_hf.hub", "push")
    folder = save_model_folder(tmp_path / "model", generator, processor, discriminator)
    assert hub.run(tmp_path, *push, str(folder), "user/model", "--tag", "best").returncode == 0
    repository = hub.repositories["model", "user/model"]
    repository.commit(repository.files | {"notes.txt": b"by hand", "model-00001-of-00002.safetensors": b"old"})
    with torch.no_grad():
        generator.to_image.bias.fill_(0.25)
    save_model_folder(folder, generator, processor)
    run = hub.run(tmp_path, *push, str(folder), "user/model", "--tag", "best")
    assert run.returncode == 0, run.stderr
    assert set(repository.files) == names(folder) | {"notes.txt"}, "the old discriminator and shard are gone"
    assert repository.tags == {"best": repository.commits[-1][0]}


@pytest.mark.slow
def test_push_without_reaching_the_hub(tmp_path, generator, processor):
    folder = save_model_folder(tmp_path / "model", generator, processor)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "dpsims_hf.hub", "push", str(folder), "user/model"]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1] == "error: HF_HUB_OFFLINE is set; unset it to reach the Hub"

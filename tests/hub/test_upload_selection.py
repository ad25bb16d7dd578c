# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What goes to the Hub and what does not, whatever lies beside it."""

import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from huggingface_hub import RepoCard

from dpsims_hf import DPSIMSDiscriminator, DPSIMSDiscriminatorConfig
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.hub import export_folder, push_folder, space
from dpsims_hf.hub.__main__ import main
from dpsims_hf.hub.selection import PACKAGE_DATA, left_out, package_files, published_files
from dpsims_hf.hub.space import space_files, write_space
from dpsims_hf.training.options import resolve_options
from dpsims_hf.training.run.checkpoint_card import CardWriter


ROOT = Path(__file__).parents[2]
STRANGERS = (
    "LICENSE_KEY.txt",
    "LICENSE-KEY",
    "NOTICE_TO_SELF.md",
    "id_rsa",
    ".env",
    ".hidden.png",
    "modeling_dpsims.py~",
    "modeling_dpsims.py.bak",
    "modeling_my notes.py",
    "model.safetensors.bak",
    "model_of_my_boss.safetensors",
    "config.json.swp",
    "README.md.orig",
    "scan.png~",
    "training_state/optimizer.bin",
    "discriminator/.env",
    "discriminator/notes.txt",
    "discriminator/model_old.safetensors",
    "generator_model/pipeline_stored_checkpoint.py~",
    "generator_model/notes.txt",
)


@pytest.fixture
def folder(tiny_checkpoint_dir: Path, tmp_path: Path) -> Path:
    """A checkpoint folder of one's own."""
    copy = Path(shutil.copytree(tiny_checkpoint_dir, tmp_path / "model"))
    (copy / "discriminator").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(copy / name, copy / "discriminator" / name)
    return copy


def test_what_is_no_part_of_a_model_stays_and_is_named(folder: Path):
    own = set(published_files(folder))
    assert own == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in ("LICENSE", "LICENSE.txt", "NOTICE.md", "samples.png", "map-2.jpeg"):
        (folder / name).write_text("wanted")
        own.add(name)
    for name in STRANGERS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not for the public")
    assert set(published_files(folder)) == own
    [line] = left_out(folder)
    assert line.startswith("left out (no part of a model folder): ") and line.count("\n") == 0
    named = set(line.split(": ")[1].split(", "))
    assert named == {name for name in STRANGERS if "training" not in name} | {"training_state/"}


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "README.md", "modeling_dpsims.py", "discriminator/model.safetensors"]
)
def test_a_model_file_that_is_a_link_is_refused(folder: Path, tmp_path: Path, name: str):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"not ready to publish: .*{name} is a symbolic link, which is not followed"):
        push_folder(folder, "user/model")
    with pytest.raises(ValueError, match="is a symbolic link"):
        space_files(str(folder))


def test_a_linked_folder_or_picture_is_not_followed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    secret = tmp_path / "secret.png"
    secret.write_text("not for the public")
    for name in ("scan.png", "LICENSE"):
        (folder / name).symlink_to(secret)
    assert not {"scan.png", "LICENSE"} & set(published_files(folder))
    assert left_out(folder) == ["left out (links are not followed): LICENSE, scan.png"]
    (folder / "discriminator").rename(tmp_path / "other")
    (folder / "discriminator").symlink_to(tmp_path / "other")
    assert main(["push", str(folder), "user/model"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "left out (links are not followed): LICENSE, discriminator, scan.png" and len(lines) == 2
    assert "discriminator is a symbolic link, which is not followed; put the file there" in lines[1]
    assert not [name for name in published_files(folder) if name.startswith("discriminator/")]


# -- Spaces -----------------------------------------------------------------------------------------------------------


def test_only_the_packages_own_files_go_along(tmp_path: Path):
    package = Path(shutil.copytree(ROOT / "dpsims_hf", tmp_path / "dpsims_hf"))
    own = set(package_files(package))
    committed = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert own == committed
    names = (".env", "demo/.env", "demo/examples/.hidden.png", ".git/config.py", ".ipynb_checkpoints/hub.py")
    names += ("hub.py~", "#hub.py#", ".#hub.py", "hub.py.orig", "hub copy.py", "hub.swp", "__pycache__/hub.py")
    names += ("credentials.json", "data/secrets.json", "demo/token.txt", "data/photo.png", "hub.cpython-311.pyc")
    for name in names:
        (package / name).parent.mkdir(exist_ok=True, parents=True)
        (package / name).write_text("not for the public")
    (tmp_path / "secret.py").write_text("not for the public")
    (package / "linked.py").symlink_to(tmp_path / "secret.py")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "module.py").write_text("not for the public")
    (package / "linked").symlink_to(tmp_path / "secrets")
    assert set(package_files(package)) == own


def test_package_data_is_what_pyproject_names():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert declared == {"dpsims_hf": list(PACKAGE_DATA)}


@pytest.mark.parametrize(
    "title",
    [
        "Streets: by night",
        "She said \"yes\" # and 'no'",
        "two\nlines",
        "---\nlicense: mit\n---",
        "--- dashes",
        "- item",
        "{title} {0}",
        "yes",
        "1.0",
        "null",
        "日本語 🙂 ü",
        "tab\there \\ back",
        "\x07\x85\u2028bell",
        "&a *b !c %d @e `f`",
        "word " * 60,
    ],
)
def test_any_title_is_a_title(tmp_path: Path, title: str):
    folder = write_space(tmp_path / "page", "user/model", title)
    text = (folder / "README.md").read_text(encoding="utf-8")
    card = RepoCard(text, ignore_metadata_errors=False)
    facts = card.data.to_dict()
    assert facts["title"] == title
    assert (facts["sdk"], facts["license"], facts["python_version"]) == ("gradio", "apache-2.0", "3.12")
    assert facts["models"] == ["user/model"] and facts["tags"] == ["semantic-image-synthesis"]
    assert card.text.strip().splitlines()[0] == f"# {' '.join(title.split())}"


def test_a_title_that_is_no_text():
    with pytest.raises(ValueError, match="is no text .broken UTF-8.; write it anew"):
        space_files("user/model", os.fsdecode(b"caf\xe9"))


@pytest.mark.parametrize("model", ["/no/such/folder", "./nowhere", "a: b", "x\ny/z", "a/b/c", "user/mod el", "../x"])
def test_a_model_that_is_neither_a_folder_nor_a_name(model: str):
    with pytest.raises(ValueError, match="is (no folder|neither a checkpoint)") as error:
        space_files(model)
    assert "\n" not in str(error.value)


# -- no paths of this machine in what is published --------------------------------------------------------------------


def test_an_exported_folder_does_not_say_where_it_was_made(folder: Path, tmp_path: Path):
    shutil.rmtree(folder / "discriminator")
    config = json.loads((folder / "config.json").read_text())
    names = {int(key): value for key, value in config["id2label"].items()}
    settings = DPSIMSDiscriminatorConfig.from_preset("tiny", num_labels=None, id2label=names)
    DPSIMSDiscriminator(settings).save_pretrained(folder / "discriminator")
    output = export_folder(folder, tmp_path / "exported", {}, torch.float16)
    for name, path in published_files(output).items():
        assert str(tmp_path).encode() not in path.read_bytes(), name


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("user/streets", "user/streets"),
        ("/data/streets", None),
        ("./streets", None),
        ("~/streets", None),
        (None, None),
    ],
)
def test_a_card_names_a_repository_but_no_folder(given: str | None, shown: str | None):
    writer = CardWriter.__new__(CardWriter)
    writer.options = resolve_options("tiny", {"inputs.dataset_name": given})
    assert writer._repository == shown


def test_values_of_real_photos_are_no_results_of_the_model():
    writer = CardWriter.__new__(CardWriter)
    writer.options, writer.spec = resolve_options("tiny"), SYNTHETIC_SPEC
    writer.measured(7, {"miou_own/mean_iou": 0.25, "miou_own/mean_iou_real_photos": 0.75}, 4, 4)
    assert [result.metric_value for result in writer._eval_results()] == [0.25]
    assert "mean_iou_real_photos | 0.75" in writer._results()


@pytest.mark.parametrize("lost", ["app.py", "requirements.txt"])
def test_a_space_has_its_own_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str):
    """A link is not published, so that a Space would come without it."""
    for name in ("app.py", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / lost).unlink()
    (tmp_path / lost).symlink_to(ROOT / lost)
    monkeypatch.setattr(space, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=f"{lost} is not beside the package, or is a link"):
        space_files("user/model")

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Model folders and weights that a stranger made, under the commands that push, export and convert them."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from refusals import refused

from dpsims_hf.checkpoint_conversion import load_original
from dpsims_hf.checkpoint_conversion.__main__ import main as convert
from dpsims_hf.demo.drawing.settings import read_settings
from dpsims_hf.evaluation.sources import list_pictures
from dpsims_hf.hub import validate_model_folder
from dpsims_hf.hub.__main__ import main
from dpsims_hf.hub.space import write_space


MODEL_FILES = ("config.json", "preprocessor_config.json", "model_index.json", "model.safetensors", "README.md")


@pytest.fixture
def folder(tiny_checkpoint_dir: Path, tmp_path: Path) -> Path:
    """A checkpoint folder of one's own."""
    return Path(shutil.copytree(tiny_checkpoint_dir, tmp_path / "model"))


def refused_by_commands(folder: Path, output: Path, capsys, *words: str) -> None:
    """Nothing is pushed or written, and one line says why."""
    for command in (["push", str(folder), "user/x"], ["space", "--model", str(folder), "--output_dir", str(output)]):
        assert main(command) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and all(word in error for word in words), error
    assert not output.exists()


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODEL_FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_nothing_but_files_is_pushed(folder, tmp_path, capsys, name, kind):
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    refused_by_commands(folder, tmp_path / "space", capsys, name)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_nothing_but_files_is_exported(folder, tmp_path, capsys, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert main(["export", str(folder), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: ") and not (tmp_path / "out").exists()


FRONT = "---\nlicense: mit\ntags: [x]\n"
CARDS = {
    "empty lines": FRONT + "\n" * 900_000 + "x",
    "returns": FRONT + "\r\n" * 400_000 + "---\n",
    "long": FRONT + "---\n" + "x" * 2_000_000,
    "long front": FRONT + "".join(f"k{number}: v\n" for number in range(20_000)) + "---\n",
    "nested": FRONT + "a: " + "[" * 30_000 + "\n---\n",
    "nested often": FRONT + "a: [" + ("[" * 200 + "x" + "]" * 200 + ",") * 150 + "]\n---\n",
    "braces": FRONT + "a: " + "{" * 30_000 + "\n---\n",
    "no text": b"---\n\xff\n---\n",
    "list": "---\n- a\n---\n",
    "tag": "---\nlicense: !!python/object/apply:os.system [id]\n---\n",
}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_looked_at_quickly(folder, name):
    """YAML of a megabyte takes its parser many seconds, and may say anything."""
    content = CARDS[name]
    (folder / "README.md").write_bytes(content if isinstance(content, bytes) else content.encode())

    def check() -> None:
        problems = [line for line in validate_model_folder(folder) if "README.md" in line]
        if problems:
            raise ValueError(problems[0])

    refused(check, "README.md", seconds=2)


@pytest.mark.parametrize("code", ["(" * 50_000, "-" * 400_000 + "1", "x\0", "#" * 2_000_000, "if 1:\n" * 200])
def test_code_of_a_folder_is_looked_at_quickly(folder, code):
    """It is read for what it imports; nothing of it runs."""
    name = json.loads((folder / "config.json").read_text())["auto_map"]["AutoModel"].split(".")[0]
    (folder / f"{name}.py").write_text(code)
    problems = [line for line in validate_model_folder(folder) if f"{name}.py" in line]
    assert len(problems) >= 1 and all("\n" not in line and len(line) < 600 for line in problems)


def test_names_in_a_folder_are_shown_in_one_line(folder, capsys):
    (folder / "a\nb\x1b[2J.txt").write_text("")
    main(["push", str(folder), "user/x"])
    assert "\x1b" not in capsys.readouterr().err


def test_an_honest_folder_passes(folder, tmp_path):
    assert validate_model_folder(folder) == []
    assert write_space(tmp_path / "space", str(folder)).is_dir()


# -- weights of the original programs ---------------------------------------------------------------------------------


def _packed(path: Path) -> None:
    """A gigabyte of zeros in a megabyte."""
    torch.save({"a": torch.zeros(4)}, path.with_suffix(".x"))
    with zipfile.ZipFile(path.with_suffix(".x")) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith("data/0"):
                content = bytes(10**8)
            target.writestr(entry.filename, content, zipfile.ZIP_DEFLATED)


def _nested(path: Path) -> None:
    """Deeper than Python's own loader goes."""
    content = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    torch.save({}, path)
    with zipfile.ZipFile(path) as source:
        files = {entry.filename: source.read(entry) for entry in source.infolist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, data in files.items():
            target.writestr(name, content if name.endswith("data.pkl") else data)


WEIGHTS = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
    "packed": _packed,
    "nested": _nested,
    "expanded": lambda path: torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, path),
    "sparse": lambda path: torch.save({"a": torch.sparse_coo_tensor(size=(10**6, 10**6))}, path),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"a": Path("x")})),
    "text": lambda path: path.write_text("x" * 100),
    "nothing": lambda path: torch.save({}, path),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_none(tmp_path, capsys, kind):
    path = tmp_path / "G.pth"
    WEIGHTS[kind](path)
    if kind != "nothing":
        refused(lambda: load_original(path), "G.pth", seconds=3)
    command = ["--family", "oasis", "--generator", str(path), "--output_dir", str(tmp_path / "out")]
    assert convert(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and not (tmp_path / "out").exists()


# -- settings and pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_settings_and_pictures_are_files(tmp_path, kind):
    path = tmp_path / "x.png"
    WEIGHTS[kind](path)
    refused(lambda: read_settings(path), "x.png", "not settings of an image")
    refused(lambda: list_pictures(tmp_path), "x.png", "no file")

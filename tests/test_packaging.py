# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What an install brings and what it lacks: extras, requirements, commands, one line for a library that is missing."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dpsims_hf import commands


ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Where a distribution and what is imported from it have different names.
IMPORTED_AS = {"pillow": "PIL", "scikit-image": "skimage", "torch-fidelity": "torch_fidelity"}
HIDE = """
import importlib.util, sys

hidden = set({hidden!r})

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
found = importlib.util.find_spec

def find_spec(name, package=None):
    return None if name.partition(".")[0] in hidden else found(name, package)

importlib.util.find_spec = find_spec
"""


def lines(file: str) -> set[str]:
    text = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return {line for line in text if line and not line.startswith("-")}


def own(*extras: str) -> set[str]:
    """Requirements of extras, with those of the extras that they name."""
    found: set[str] = set()
    for line in (line for extra in extras for line in EXTRAS[extra]):
        required = Requirement(line)
        found |= own(*required.extras) if canonicalize_name(required.name) == "dpsims-hf" else {line}
    return found


def without(hidden: set[str], code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run code where libraries are not installed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    program = HIDE.format(hidden=sorted(hidden)) + code
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_requirements_are_the_extras():
    assert lines("requirements.txt") == set(PROJECT["dependencies"]) | own("train", "eval", "demo")
    assert lines("requirements-dev.txt") >= own("onnx")
    assert own("all") == own("train", "eval", "demo", "onnx")


def test_the_table_of_libraries_is_that_of_the_extras():
    """So that the line about a missing library names an extra that brings it."""
    brings = {extra: {canonicalize_name(Requirement(line).name) for line in own(extra)} for extra in EXTRAS}
    known = {canonicalize_name({v: k for k, v in IMPORTED_AS.items()}.get(name, name)) for name in commands.LIBRARIES}
    base = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    brought_along = {"gradio-client", "starlette"}  # by gradio
    also_base = {"tqdm"}  # by transformers
    assert known - brought_along == set().union(*brings.values()) - base - also_base
    for library, extras in commands.LIBRARIES.items():
        name = canonicalize_name({v: k for k, v in IMPORTED_AS.items()}.get(library, library))
        if name in brought_along or name == "psutil":  # accelerate brings psutil
            continue
        assert set(extras) == {extra for extra in commands.EXTRAS if name in brings[extra] and extra != "all"}, library


def test_everything_that_is_imported_is_required():
    required = {canonicalize_name(Requirement(line).name) for line in own("all") | set(PROJECT["dependencies"])}
    names = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in required}
    names |= {"gradio_client", "starlette", "python_multipart"}  # by gradio
    brought_along = {"pyarrow", "fsspec", "filelock", "httpx", "httpx2"}  # by datasets and huggingface_hub
    names |= {*brought_along, "spaces", "dpsims_hf", *sys.stdlib_module_names}
    for path in (ROOT / "dpsims_hf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert {module.split(".")[0] for module in modules} <= names, path


def test_commands_and_versions_are_declared():
    assert set(PROJECT["scripts"]) >= {f"dpsims-{name}" for name in ("demo", "train", "evaluate", "hub", "data")}
    for target in PROJECT["scripts"].values():
        module, _, function = target.partition(":")
        assert module == "dpsims_hf.commands" and callable(getattr(commands, function))
    versions = {line.split(" :: ")[-1] for line in PROJECT["classifiers"] if "Python :: 3." in line}
    assert versions == {"3.11", "3.12", "3.13"} and PROJECT["requires-python"] == ">=3.11"


@pytest.mark.slow
@pytest.mark.integration
def test_an_image_needs_the_base_install_alone(tmp_path: Path, tiny_checkpoint_dir: Path):
    code = """
from dpsims_hf import SemanticImageSynthesisPipeline
import numpy as np
pipe = SemanticImageSynthesisPipeline.from_pretrained(sys.argv[1])
print(pipe(np.zeros((32, 64), dtype=np.uint8), num_images_per_label_map=1).images[0].size)
print(sorted(hidden & set(sys.modules)))
"""
    done = without({*commands.LIBRARIES}, code, tmp_path, str(tiny_checkpoint_dir))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["(64, 32)", "[]"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("call", "library", "extra"),
    [
        pytest.param("commands.demo()", "gradio", "demo", marks=pytest.mark.slow),
        pytest.param("commands.train()", "accelerate", "train", marks=pytest.mark.slow),
        pytest.param("commands.evaluate()", "accelerate", "eval", marks=pytest.mark.slow),
        pytest.param(
            "runpy.run_module('dpsims_hf.evaluation', run_name='__main__')", "datasets", "eval", marks=pytest.mark.slow
        ),
        pytest.param(
            "runpy.run_module('dpsims_hf.data.prepare', run_name='__main__')",
            "datasets",
            "train",
            marks=pytest.mark.slow,
        ),
        ("runpy.run_path(f'{root}/train_accelerate.py', run_name='__main__')", "accelerate", "train"),
        pytest.param(
            "runpy.run_path(f'{root}/app.py', run_name='__main__')", "gradio", "demo", marks=pytest.mark.slow
        ),
    ],
)
def test_a_missing_library_names_its_extra_in_one_line(call: str, library: str, extra: str, tmp_path: Path):
    code = f"""
import runpy
root = {str(ROOT)!r}
sys.argv = ["command", *sys.argv[1:]]
from dpsims_hf import commands
{call}
"""
    arguments = {"demo": [], "train": ["--recipe", "tiny"], "eval": ["--real_only", "--metrics", "mean_iou"]}[extra]
    if "prepare" in call:
        arguments = [str(tmp_path), "--output_dir", "out"]
    if library == "datasets" and extra == "eval":
        arguments += ["--dataset_dir", str(tmp_path), "--image_size", "32", "64"]
        (tmp_path / "val" / "images").mkdir(parents=True)
        (tmp_path / "val" / "labels").mkdir()
        from PIL import Image

        for part in ("images", "labels"):
            Image.new("L" if part == "labels" else "RGB", (64, 32)).save(tmp_path / "val" / part / "a.png")
        (tmp_path / "classes.json").write_text('{"classes": [{"id": 0, "name": "sky", "color": [0, 0, 0]}]}')
    done = without({library}, code, tmp_path, *arguments)
    [line] = done.stderr.strip().splitlines()[-1:]
    assert line == f"error: {library} is not installed; pip install 'dpsims_hf[{extra}]'", done.stderr[-1500:]
    assert "Traceback" not in done.stderr and done.returncode == 1


def test_the_data_commands_have_one_name(capsys):
    assert commands.data(["--help"]) == 0
    assert "class_frequencies" in capsys.readouterr().out
    assert commands.data(["draw"]) == 2 and commands.data([]) == 2
    assert "'draw' is none of the commands inspect, prepare" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        commands.data(["inspect", "--help"])
    assert not stopped.value.code and "dpsims_hf.data.inspect" in capsys.readouterr().out


def test_the_line_names_both_extras_where_a_commands_own_is_not_enough():
    assert commands.missing("scipy", "train") == "scipy is not installed; pip install 'dpsims_hf[train,eval]'"
    assert commands.missing("gradio") == "gradio is not installed; pip install 'dpsims_hf[demo]'"

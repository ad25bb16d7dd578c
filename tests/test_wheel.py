# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The package as it is installed: a wheel, outside the repository, has every file that it needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dpsims_hf.hub.selection import package_files


pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpsims_hf"
MAKE_A_MODEL = """
import sys
from pathlib import Path

import numpy as np
import torch

import dpsims_hf
from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig, SemanticImageSynthesisPipeline
from dpsims_hf.data import write_synthetic_dataset
from dpsims_hf.data.specs import label_presets, load_label_preset
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.hub import save_model_folder, validate_model_folder

installed, folder = map(Path, sys.argv[1:])
assert Path(dpsims_hf.__file__).is_relative_to(installed), dpsims_hf.__file__
assert len([load_label_preset(name) for name in label_presets()]) > 3
torch.manual_seed(0)
names = {"id2label": SYNTHETIC_SPEC.id2label, "void_label_id": SYNTHETIC_SPEC.void_label_id}
config = DPSIMSGeneratorConfig.from_preset("tiny", num_labels=None, **names)
processor = SYNTHETIC_SPEC.image_processor(size=config.image_size, size_divisor=config.size_divisor)
save_model_folder(folder / "model", DPSIMSGenerator(config).eval(), processor)
assert validate_model_folder(folder / "model") == []
pipe = SemanticImageSynthesisPipeline.from_pretrained(folder / "model")
label_map = np.zeros((32, 64), dtype=np.uint8)
assert len(pipe(label_map, seed=0, num_images_per_label_map=2).images) == 2
write_synthetic_dataset(folder / "data", num_train=4, num_val=2)
"""
COMMANDS = (
    "hub",
    "evaluation",
    "evaluation.train_segmenter",
    "checkpoint_conversion",
    "demo.image_settings",
    "data.inspect",
    "data.prepare",
    "data.class_frequencies",
)
LOAD_A_METRIC = """
import numpy as np
from dpsims_hf.evaluation import load_metric, metric_modules

assert len(metric_modules()) == 9
maps = [np.zeros((4, 4), dtype=np.uint8)]
print(load_metric("semantic_consistency").compute(predictions=maps, references=maps, num_labels=1)["mean_iou"])
"""
SHOW_HELP = f"""
import runpy
import sys

for name in {COMMANDS}:
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(f"dpsims_hf.{{name}}", run_name="__main__", alter_sys=True)
    except SystemExit as exit:
        assert not exit.code, name
"""
OPEN_THE_PAGE = """
import sys
import urllib.request

from dpsims_hf.demo.command import load_library
from dpsims_hf.demo import build_demo, launch_options

page = build_demo(load_library(sys.argv[1]))
address = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())[1]
with urllib.request.urlopen(address) as answer:
    assert answer.status == 200 and b"gradio" in answer.read()
page.close()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the committed files, so that nothing is left in the repository."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "metrics", source / "metrics", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE, source / "dpsims_hf", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(built)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", str(source), *options], check=True, timeout=250)
    [found] = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory):
    """Call a command in a folder outside the repository, with the wheel installed; returns what it wrote."""
    installed, folder = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("elsewhere")
    options = ["--no-deps", "--no-index", "--quiet", "--target", str(installed)]
    subprocess.run([sys.executable, "-m", "pip", "install", str(wheel), *options], check=True, timeout=250)
    environment = os.environ | {"PYTHONPATH": f"{installed}{os.pathsep}{folder}"}

    def call(*arguments: str) -> str:
        command = [sys.executable, *(argument.format(installed=installed, here=folder) for argument in arguments)]
        if arguments[0].startswith("dpsims-"):
            command[1] = str(installed / "bin" / arguments[0])
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    (folder / "make_a_model.py").write_text(MAKE_A_MODEL)
    (folder / "show_help.py").write_text(SHOW_HELP)
    (folder / "open_the_page.py").write_text(OPEN_THE_PAGE)
    call("make_a_model.py", "{installed}", "{here}")
    return call


def test_the_wheel_holds_the_packages_own_files_and_no_others(wheel: Path):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    metrics = {path for path in (ROOT / "metrics").glob("*/*") if path.is_file()}
    assert len(metrics) >= 27 and {f"dpsims_hf/{path.relative_to(ROOT).as_posix()}" for path in metrics} <= inside
    inside -= {f"dpsims_hf/{path.relative_to(ROOT).as_posix()}" for path in metrics}
    assert inside == {path.relative_to(ROOT).as_posix() for path in package_files(PACKAGE)}
    committed = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert inside == {path.relative_to(ROOT).as_posix() for path in committed}


def test_one_training_step_and_export(run):
    options = "--recipe tiny --backbone_weights random --cpu --report_to jsonl --sample_steps 0 --max_train_steps 1"
    run("dpsims-train", "--train_dir", "data", "--output_dir", "run", *options.split())
    run("dpsims-hub", "export", "run/checkpoint-1", "exported")
    assert "exported" in run("-c", "import os; print(os.listdir())")


def test_evaluation_and_the_other_commands(run):
    data = ["--dataset_dir", "data", "--metrics", "color_texture", "grid_artifacts", "--cpu"]
    run("-m", "dpsims_hf.evaluation", "--model", "model", *data, "--output_dir", "measured")
    run("dpsims-evaluate", "--model", "model", *data, "--output_dir", "measured_again")
    run("dpsims-data", "inspect", "data")
    run("-m", "dpsims_hf.data.inspect", "data")
    assert run("-c", LOAD_A_METRIC).strip() == "1.0"
    assert run("show_help.py").count("usage:") == len(COMMANDS)


def test_the_page_opens(run):
    run("open_the_page.py", "model")

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The code in a checkpoint folder: what its classes reach, no file more and none less, and equal to the package's."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch

from dpsims_hf import (
    DPGANDiscriminator,
    DPGANGenerator,
    DPSIMSGenerator,
    OASISDiscriminator,
    OASISGenerator,
    SemanticImageProcessor,
    SPADEDiscriminator,
    SPADEGenerator,
)
from dpsims_hf.hub import save_model_folder, validate_model_folder
from dpsims_hf.pipeline_checkpoint_folder import CLOSURE_PATTERNS, reached_files


ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dpsims_hf"
EMBEDDED = sorted(path.parent for path in (ROOT / "checkpoints").glob("*/config.json"))
FAMILIES = {
    "dpsims": (DPSIMSGenerator, None),  # its discriminator: in the embedded checkpoints
    "oasis": (OASISGenerator, OASISDiscriminator),
    "dpgan": (DPGANGenerator, DPGANDiscriminator),
    "spade": (SPADEGenerator, SPADEDiscriminator),
}
ALL_FILES = {path.name for pattern in CLOSURE_PATTERNS for path in PACKAGE.glob(pattern)}
CONFIG_FILES = ("config.json", "discriminator/config.json", "preprocessor_config.json")


def imported_siblings(folder: Path) -> set[str]:
    """Files that the files of a folder import from beside them, by another reading than the package's."""
    found = set()
    for path in folder.glob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == ["from"] and words[1].startswith("."):
                found.add(f"{words[1].lstrip('.')}.py")
    return found


def entry_files(folder: Path) -> set[str]:
    """Files that a checkpoint's configs and its model_index.json name."""
    index = json.loads((folder / "model_index.json").read_text())
    configs = [json.loads((folder / name).read_text()) for name in CONFIG_FILES if (folder / name).is_file()]
    named = {reference.split(".")[0] for config in configs for reference in config["auto_map"].values()}
    return {f"{name}.py" for name in {*named, index["_class_name"][0]}}


def check_code(folder: Path) -> set[str]:
    """All that is needed is there, nothing else is, and it is the package's; returns the names."""
    names = {path.name for path in folder.glob("*.py")}
    assert imported_siblings(folder) <= names, "a needed file is missing"
    assert names == imported_siblings(folder) | entry_files(folder), "a file that nothing reaches"
    different = [name for name in sorted(names) if (folder / name).read_bytes() != (PACKAGE / name).read_bytes()]
    assert different == [], "run python tools/renew_checkpoint_code.py"
    return names


@pytest.mark.parametrize("folder", EMBEDDED, ids=lambda path: path.name)
def test_an_embedded_checkpoint_has_the_packages_files_that_it_reaches(folder: Path):
    names = check_code(folder)
    assert {"modeling_dpsims_discriminator.py", "modeling_backbone_weights.py"} <= names
    others = {
        f"{part}_{family}.py" for part in ("configuration", "modeling") for family in ("oasis", "dpgan", "spade")
    }
    assert not others & names


@pytest.mark.parametrize(
    ("family", "with_discriminator"),
    [("dpsims", False), ("oasis", False), ("oasis", True), ("dpgan", False), ("dpgan", True)]
    + [("spade", False), ("spade", True)],
)
def test_a_saved_folder_has_what_its_classes_reach(tmp_path: Path, family: str, with_discriminator: bool):
    generator_class, discriminator_class = FAMILIES[family]
    torch.manual_seed(0)
    generator = generator_class(generator_class.config_class.from_preset("tiny"))
    discriminator = None
    if with_discriminator:
        discriminator = discriminator_class(discriminator_class.config_class.from_preset("tiny"))
    processor = SemanticImageProcessor(id2label=generator.config.id2label, size={"height": 32, "width": 64})
    folder = save_model_folder(tmp_path / "model", generator, processor, discriminator)
    names = check_code(folder)
    assert f"modeling_{family}.py" in names and names < ALL_FILES
    others = {f"modeling_{other}.py" for other in FAMILIES} - {f"modeling_{family}.py"}
    assert not others & names, "the networks of other families stay at home"
    assert not [name for name in names if name.endswith("discriminator.py")] or with_discriminator


def test_a_folder_saved_over_another_family_has_no_file_of_it(tmp_path: Path):
    for family in ("dpgan", "oasis"):
        generator_class = FAMILIES[family][0]
        generator = generator_class(generator_class.config_class.from_preset("tiny"))
        processor = SemanticImageProcessor(id2label=generator.config.id2label, size={"height": 32, "width": 64})
        folder = save_model_folder(tmp_path / "model", generator, processor)
    assert not [name for name in check_code(folder) if "dpgan" in name]


def test_a_folder_that_lacks_a_reached_file_is_not_published(tmp_path: Path):
    generator = OASISGenerator(OASISGenerator.config_class.from_preset("tiny"))
    processor = SemanticImageProcessor(id2label=generator.config.id2label, size={"height": 32, "width": 64})
    folder = save_model_folder(tmp_path / "model", generator, processor)
    assert validate_model_folder(folder) == []
    (folder / "layers_label.py").unlink()
    assert f"{folder / 'layers_label.py'} is missing (imported by the model's code)" in validate_model_folder(folder)
    (folder / "layers_noise.py").write_text("def")
    [first, *_] = validate_model_folder(folder)
    assert first.startswith(f"{folder / 'layers_noise.py'} is no Python file")


def test_reached_files_follows_imports_wherever_they_stand(tmp_path: Path):
    texts = {
        "a": "import os\nfrom .b import x\nfrom torch import nn",
        "b": "def f():\n    from .c import y\n    return y",
        "c": "from .a import x  # a circle",
        "d": "x = 1",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert reached_files(tmp_path, ["a.py"]) == {"a.py", "b.py", "c.py"}
    assert reached_files(tmp_path, ["d.py"]) == {"d.py"}
    assert reached_files(tmp_path, ["missing.py"]) == {"missing.py"}, "and the copy names it"


@pytest.mark.parametrize("folder", EMBEDDED, ids=lambda path: path.name)
def test_the_code_needs_no_library_beyond_those_of_the_card(folder: Path):
    allowed = {"torch", "transformers", "numpy", "PIL", "safetensors", "huggingface_hub", "diffusers", "timm"}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                tops = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops = {node.module.split(".")[0]}
            else:
                continue
            assert tops <= allowed | set(sys.stdlib_module_names), path.name

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Renew the code in the embedded checkpoints: copies of the package's files that the checkpoint's classes reach.

Also what names it: the auto_map of the discriminator, model_index.json and what stands where diffusers looks for the
generator.

python tools/renew_checkpoint_code.py
"""

import json
import shutil
from pathlib import Path

import dpsims_hf
from dpsims_hf.pipeline_checkpoint_folder import (
    DISCRIMINATOR_FOLDER,
    PIPELINE_FILE,
    reached_files,
    write_model_index,
)


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpsims_hf"
CONFIG_FILES = ("config.json", f"{DISCRIMINATOR_FOLDER}/config.json", "preprocessor_config.json")


def code_files(folder: Path) -> set[str]:
    """Names of the files that a checkpoint folder needs, by its configs."""
    configs = [json.loads((folder / name).read_text()) for name in CONFIG_FILES if (folder / name).is_file()]
    references = {reference for config in configs for reference in config["auto_map"].values()}
    return reached_files(PACKAGE, {PIPELINE_FILE, *(f"{reference.split('.')[0]}.py" for reference in references)})


def renew(folder: Path) -> None:
    """Copy what is needed, delete what is not."""
    needed = code_files(folder)
    for file in folder.glob("*.py"):
        if file.name not in needed:
            file.unlink()
    for name in needed:
        shutil.copyfile(PACKAGE / name, folder / name)
    write_model_index(folder)
    renew_auto_map(folder / DISCRIMINATOR_FOLDER / "config.json")


def renew_auto_map(file: Path) -> None:
    """Name all classes as which a discriminator can be loaded."""
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    module, name = config["auto_map"]["AutoModel"].split(".")
    classes = getattr(dpsims_hf, name).auto_classes
    config["auto_map"] |= {auto_class: f"{module}.{name}" for auto_class, name in classes.items()}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for config in sorted((ROOT / "checkpoints").glob("*/config.json")):
        renew(config.parent)
        print(config.parent)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What goes to the Hub: of a checkpoint folder the model's files, of this package its own; links are not followed."""

import re
from collections.abc import Iterator
from pathlib import Path

from ..pipeline_checkpoint_folder import DISCRIMINATOR_FOLDER, GENERATOR_FOLDER


_VARIANT = r"(\.[A-Za-z0-9_]+)?"
_WEIGHTS = rf"model{_VARIANT}(-\d{{5}}-of-\d{{5}})?\.safetensors|model\.safetensors\.index{_VARIANT}\.json"
MODEL_FILE = re.compile(
    rf"config\.json|preprocessor_config\.json|model_index\.json|README\.md|{_WEIGHTS}"
    r"|(configuration|modeling|layers|image_processing|pipeline)_[A-Za-z0-9_]+\.py"
)
# The folders of a checkpoint, and what is in them.
FOLDERS = {
    DISCRIMINATOR_FOLDER: re.compile(rf"config\.json|{_WEIGHTS}"),
    GENERATOR_FOLDER: re.compile(rf"pipeline_[A-Za-z0-9_]+\.py|model{_VARIANT}\.txt"),
}
# What a card shows or refers to, and the names that the page has for seeds.
EXTRA_FILE = re.compile(
    r"(LICEN[SC]E|NOTICE|COPYING)(\.txt|\.md)?|looks\.json|[A-Za-z0-9][\w.-]*\.(png|jpg|jpeg|webp)"
)
# Beside its modules; as in pyproject.toml.
PACKAGE_DATA = (
    "data/label_presets/*.json",
    "demo/**/*.css",
    "demo/**/*.html",
    "demo/**/*.js",
    "demo/examples/**/*.png",
    "hub/template.md",
    "py.typed",
)


def published_files(folder: str | Path) -> dict[str, Path]:
    """What of a checkpoint folder goes to the Hub, by its path there: model files, card, licence and pictures."""
    return {
        name: path for name, path, is_model in _candidates(Path(folder)) if not path.is_symlink() and path.is_file()
    }


def link_problems(folder: Path) -> list[str]:
    """One line for each model file of a checkpoint folder that is a symbolic link."""
    return [
        f"{folder / name} is a symbolic link, which is not followed; put the file there"
        for name, path, is_model in _candidates(folder)
        if is_model and path.is_symlink()
    ]


def left_out(folder: str | Path) -> list[str]:
    """What else lies in a checkpoint folder, at most one line each for what is no part of a model and for links."""
    folder, there = Path(folder), published_files(folder)
    insides = [folder / name for name in FOLDERS]
    entries = [path for path in folder.iterdir() if path not in insides]
    for inside in insides:
        if inside.is_symlink():
            entries.append(inside)
        elif inside.is_dir():
            entries += inside.iterdir()
    names = {path.relative_to(folder).as_posix(): path for path in sorted(entries)}
    links = [name for name, path in names.items() if path.is_symlink()]
    others = [f"{name}/" if path.is_dir() else name for name, path in names.items() if name not in {*there, *links}]
    lines = [("links are not followed", links), ("no part of a model folder", others)]
    return [f"left out ({reason}): {', '.join(found)}" for reason, found in lines if found]


def _candidates(folder: Path) -> Iterator[tuple[str, Path, bool]]:
    """(path in the repository, path here, a file of the model) for all that have the right names, links among them."""
    for path in sorted(folder.iterdir()):
        is_model = bool(MODEL_FILE.fullmatch(path.name))
        if is_model or EXTRA_FILE.fullmatch(path.name):
            yield path.name, path, is_model
    for name, pattern in FOLDERS.items():
        inside = folder / name
        if inside.is_symlink():
            yield name, inside, True
        elif inside.is_dir():
            for path in sorted(inside.iterdir()):
                if pattern.fullmatch(path.name):
                    yield f"{name}/{path.name}", path, True


def package_files(package: Path) -> Iterator[Path]:
    """The modules and data files of this package; nothing that an editor, a tool or a person left among them."""
    for path in sorted({path for pattern in ("**/*.py", *PACKAGE_DATA) for path in package.glob(pattern)}):
        parts = path.relative_to(package).parts
        is_own = all(part.isidentifier() and part != "__pycache__" for part in (*parts[:-1], path.stem))
        is_linked = any(place.is_symlink() for place in (path, *path.parents[: len(parts) - 1]))
        if is_own and not is_linked and path.is_file():
            yield path


__all__ = ["PACKAGE_DATA", "left_out", "link_problems", "package_files", "published_files"]

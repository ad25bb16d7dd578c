# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A Space of one's own: this repository's app and package, opened on a model of the Hub or on a checkpoint folder."""

import os
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub.utils import yaml_dump

from ..pipeline_checkpoint_folder import check_folder
from .folders import validate_model_folder
from .repositories import publish
from .selection import package_files, published_files


PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent
APP_FILES = ("app.py", "requirements.txt", "LICENSE")
MODEL_VARIABLE = "DPSIMS_MODEL"  # app.py reads it
CHECKPOINTS = "checkpoints"
SPACE_CARD = """---
{front_matter}---

# {heading}

Paint a semantic label map, get a photo-like image in one forward pass. The page opens on `{model}`; the variable
`{variable}` of this Space names another model. The code is under the Apache License, Version 2.0; a model has the
terms of its card.
"""


def space_files(model: str, title: str = "Paint a scene, get a picture") -> dict[str, Path | bytes]:
    """Path in the Space -> file or content.

    Args:
        model: what the page opens with: a name on the Hub, or a checkpoint folder, whose model files then go along.
        title: of the Space.

    Raises:
        ValueError: this package was installed without the repository around it, the folder holds no checkpoint, the
            model is neither a folder nor a name, or the title is no text.
    """
    present = [ROOT / name for name in APP_FILES if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]
    missing = {"app.py", "requirements.txt"} - {path.name for path in present}
    if missing:
        raise ValueError(
            f"{min(missing)} is not beside the package, or is a link: run this command in a clone of the repository"
        )
    files: dict[str, Path | bytes] = {path.name: path for path in present}
    files |= {path.relative_to(ROOT).as_posix(): path for path in package_files(PACKAGE)}
    on_the_hub = None
    if Path(model).is_dir():
        folder = Path(model)
        model = f"{CHECKPOINTS}/{folder.resolve().name}"
        files |= {f"{model}/{name}": path for name, path in checkpoint_files(folder).items()}
    else:
        _check_name(model)
        on_the_hub = model
    files["README.md"] = _space_card(title, model, on_the_hub)
    return files


def _check_name(model: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    check_folder(model)  # a path that does not exist
    try:
        validate_repo_id(model)
    except HFValidationError:
        raise ValueError(f"--model {model[:80]!r} is neither a checkpoint folder nor a name on the Hub") from None


def _space_card(title: str, model: str, on_the_hub: str | None) -> bytes:
    """README.md with the Space's settings; whatever the title holds, it stays a title."""
    import gradio

    settings: dict[str, Any] = {
        "title": title,
        "emoji": "🏙️",
        "colorFrom": "indigo",
        "colorTo": "gray",
        "sdk": "gradio",
        "sdk_version": gradio.__version__,
        "python_version": "3.12",
        "app_file": "app.py",
        "license": "apache-2.0",
        "tags": ["semantic-image-synthesis"],
    }
    if on_the_hub is not None:
        settings["models"] = [on_the_hub]
    heading = " ".join(title.split())
    text = SPACE_CARD.format(front_matter=yaml_dump(settings), heading=heading, model=model, variable=MODEL_VARIABLE)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"title {title!a} is no text (broken UTF-8); write it anew") from None


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """The model files of a checkpoint folder, without runs and pictures of the maker; ValueError if it is none."""
    problems = validate_model_folder(folder)
    if problems:
        raise ValueError(f"{folder} is no checkpoint to open a Space on: " + "; ".join(problems))
    return published_files(folder)


def opened_model(model: str) -> str:
    """The value of the Space's variable: a checkpoint folder lies inside the Space."""
    return f"{CHECKPOINTS}/{Path(model).resolve().name}" if Path(model).is_dir() else model


def write_space(output_dir: str | os.PathLike, model: str, title: str | None = None) -> Path:
    """Write a Space's files into a new folder; ValueError if it exists and is not empty."""
    target = Path(output_dir)
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} exists and is not empty; choose another folder")
    files = space_files(model, **({"title": title} if title else {}))
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            shutil.copyfile(content, path)
    return target


def push_space(
    repo_id: str, model: str, title: str | None = None, private: bool = False, token: str | None = None
) -> str:
    """Make or update a Space and name its model; returns its address, raises as `publish` and `space_files`."""
    files = space_files(model, **({"title": title} if title else {}))
    return publish(
        repo_id,
        files,
        "Upload Space",
        repo_type="space",
        private=private,
        token=token,
        replaces=("dpsims_hf/*", f"{CHECKPOINTS}/*"),
        variables={MODEL_VARIABLE: opened_model(model)},
    )


__all__ = ["push_space", "space_files", "write_space"]

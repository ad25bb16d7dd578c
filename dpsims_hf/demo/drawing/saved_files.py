# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Opens what the page handed out: a settings JSON, or the zip file of "Save all". It may come from anybody."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from ..models.library import LoadedModel
from ..uploads.archives import Unpacker, open_archive
from ..uploads.limits import MAX_FILE_BYTES, MAX_VALUES, Upload, read_upload, upload_name
from .carried_scenes import carried_scene, no_match
from .named_looks import NamedLook, read_looks
from .scenes import Scene, Variant
from .settings import read_settings
from .variants import fitting


SUFFIXES = (".json", ".zip")


class Saved(NamedTuple):
    """What such a file says.

    Args:
        scene: its label map, in the classes that it was saved in.
        variants: its images, at least one.
        looks: that were kept under names.
        content: the parsed JSON.
    """

    scene: Scene
    variants: list[Variant]
    looks: tuple[NamedLook, ...]
    content: dict[str, Any]

    @property
    def model(self) -> str:
        """Name of the model that drew the images."""
        name = self.content.get("model")
        return name if isinstance(name, str) else ""


class Opened(NamedTuple):
    """The same for the model that is to draw it.

    Args:
        scene: in its classes, at a size that it draws.
        variants: without what it cannot have.
        notes: what differs from the page that saved it.
    """

    scene: Scene
    variants: list[Variant]
    notes: list[str]


def is_saved_file(file: Upload) -> bool:
    """Whether its name is that of a settings JSON or a zip file."""
    return upload_name(file).lower().endswith(SUFFIXES)


def read_saved(file: Upload, name: str | None = None) -> Saved:
    """Read a settings JSON, or a zip file that holds one.

    Args:
        file: path or binary file object.
        name: what messages call a file object.

    Raises:
        ValueError: anything else, or beyond MAX_FILE_BYTES or MAX_VALUES; one line that names the file.
    """
    name = upload_name(file, name)
    data = read_upload(file, name, MAX_FILE_BYTES, "choose a file that this page saved")
    if data.startswith(b"PK"):
        data = _settings_of_archive(data, name)
    # Every value of a list or object takes time and memory, whatever it is.
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"{name}: far more values than settings of images have; choose a file that this page saved")
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{name}: no settings of an image; choose a JSON or zip file that this page saved")
    scene, variants, content = read_settings(content, name)
    return Saved(scene, variants, read_looks(content.get("looks", [])), content)


def _settings_of_archive(data: bytes, name: str) -> bytes:
    with open_archive(data, name) as archive:
        found = [info for info in archive.infolist() if Path(info.filename).suffix.lower() == ".json"]
        if len(found) != 1:
            raise ValueError(
                f"{name}: holds {len(found) or 'no'} JSON files; choose a zip file of 'Save all', which holds one"
            )
        return Unpacker(name).read(archive, found[0])


def opened(model: LoadedModel, saved: Saved) -> Opened:
    """A saved file as a model draws it.

    Raises:
        ValueError: the model has none of the classes.
    """
    scene, missing = carried_scene(model, saved.scene)
    variants, notes = saved.variants, []
    if saved.model != model.name:
        variants = [fitting(variant, scene, model) for variant in variants]
        notes.append(f"saved with the model {saved.model or 'of another page'}, drawn by {model.name}")
    elif saved.content.get("weights_sha256") != model.weights_sha256:
        notes.append(f"{model.name} has other weights now than when it was saved: the pictures differ")
    if saved.content.get("dtype", "float32") != model.dtype:
        notes.append(f"drawn in {saved.content['dtype']} there and in {model.dtype} here: the last bits differ")
    if missing:
        notes.append(no_match(missing).removeprefix(". "))
    return Opened(scene, variants, notes)


__all__ = ["SUFFIXES", "Opened", "Saved", "is_saved_file", "opened", "read_saved"]

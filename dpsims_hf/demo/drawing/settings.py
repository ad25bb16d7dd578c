# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The JSON file beside an image, from which `dpsims_hf.demo.image_settings` makes the image again, and the files of a
download.
"""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ... import __version__
from ...configuration_limits import MAX_LABELS, NAME
from ...configuration_rules import Choice, Items, Text, shortened
from ...image_processing_label_files import save_ids
from ..models.budget import budget_from_environment
from ..models.library import LoadedModel
from ..uploads.limits import MAX_FILE_BYTES, load_pixels, megabytes, open_header
from .look_previews import look_name
from .named_looks import NamedLook, looks_content, read_looks, read_variant, variant_content
from .scenes import Scene, Variant, file_stem


MAX_SETTINGS = 64  # images of one file
# As `image_name` gives them: no other file of the folder is replaced.
IMAGE_NAME = Text(120, r"\w[\w.-]*_seed_[0-9]{1,10}(_[0-9a-f]{6})?\.png", "NAME_seed_N.png")
FORMAT = "dpsims-hf image settings"


class SavedImages(NamedTuple):
    """Paths of the files of one request."""

    images: list[str]
    label_map: str
    settings: str


def image_name(scene: Scene, variant: Variant) -> str:
    """A file name that tells the seed; re-rolls and found noise are in the settings, and give the name its ending."""
    name = f"{scene.name}_seed_{variant.seed}"
    if variant.is_special:
        found = b"" if variant.noise is None else variant.noise.data + repr(variant.noise.labels).encode()
        name += "_" + hashlib.sha256(repr(variant.rerolls).encode() + found).hexdigest()[:6]
    return f"{name}.png"


def image_settings(
    model: LoadedModel, scene: Scene, variants: Sequence[Variant], looks: Sequence[NamedLook] = ()
) -> dict[str, Any]:
    """JSON content that says how images were made.

    Args:
        model: it drew them.
        scene: the label map; it goes into the JSON as a PNG in base64.
        variants: one entry of `images` each.
        looks: that the visitor keeps; they go along.
    """
    buffer = io.BytesIO()
    save_ids(scene.label_map, buffer)
    height, width = scene.label_map.shape
    return {
        "format": FORMAT,
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "dtype": model.dtype,
        "size": {"height": height, "width": width},
        "images": [_image_entry(model, scene, variant) for variant in variants],
        "versions": {"dpsims_hf": __version__, "torch": torch.__version__},
        "label_map": {"file": f"{scene.name}_labels.png", "png_base64": base64.b64encode(buffer.getvalue()).decode()},
        "labels": list(scene.labels),
        **({"looks": looks_content(looks)} if looks else {}),
    }


def _image_entry(model: LoadedModel, scene: Scene, variant: Variant) -> dict[str, Any]:
    """The name of the model's look is there for people: the seed says it."""
    name = look_name(model, variant)
    return {"file": image_name(scene, variant), **variant_content(variant), **({"look_name": name} if name else {})}


def read_settings(
    content: dict[str, Any] | str | Path, name: str | None = None
) -> tuple[Scene, list[Variant], dict[str, Any]]:
    """Settings (parsed, or the path of a file) -> the scene, its variants, and the parsed content.

    Args:
        content: the JSON.
        name: what messages call it.

    Raises:
        ValueError: it is no such file, or a value is missing or wrong.
    """
    name = name or ("settings" if isinstance(content, dict) else Path(content).name)
    try:
        if not isinstance(content, dict):
            if Path(content).exists() and not Path(content).is_file():
                raise ValueError("a folder, pipe or device")
            with Path(content).open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise ValueError(f"larger than {megabytes(MAX_FILE_BYTES)}")
            content = json.loads(data.decode("utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r} instead of {FORMAT!r}")
        png = base64.b64decode(content["label_map"]["png_base64"], validate=True)
        image = open_header(png, "its label map")
        _check_size(image.size, content["images"])
        label_map = np.asarray(load_pixels(image, "its label map")).astype(np.int64)
        if label_map.ndim != 2:
            raise ValueError(f"its label map is of mode {image.mode}, and ids have one channel")
        Items(NAME, 1, MAX_LABELS).check("labels", content["labels"])
        stem = file_stem(content["label_map"]["file"].removesuffix("_labels.png"))
        Choice(("float32", "bfloat16")).check("dtype", content.get("dtype", "float32"))
        scene = Scene(stem, label_map, tuple(content["labels"]))
        variants = [read_variant(entry) for entry in content["images"]]
        read_looks(content.get("looks", []))
    except (OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error)[:200].split())
        raise ValueError(
            f"{name}: not settings of an image ({reason}); choose a JSON file that the page saved"
        ) from error
    return scene, variants, content


def _check_size(size: tuple[int, int], images: list[dict[str, Any]]) -> None:
    """Raise a ValueError for more pixels or images than the page makes, or for names that are not those of images."""
    most = budget_from_environment().image_pixels
    if size[0] * size[1] > most:
        raise ValueError(f"its label map has {size[0]} x {size[1]} pixels: legal are {most:,} in all")
    if not isinstance(images, list) or not 1 <= len(images) <= MAX_SETTINGS:
        raise ValueError(f"its images={shortened(images)} is illegal: legal is a list of 1..{MAX_SETTINGS}")
    for index, entry in enumerate(images):
        IMAGE_NAME.check(f"images[{index}].file", entry["file"])


def save_images(
    folder: str | Path,
    model: LoadedModel,
    scene: Scene,
    variants: Sequence[Variant],
    images: Sequence[Image.Image],
    looks: Sequence[NamedLook] = (),
) -> SavedImages:
    """Write PNGs, the exact index PNG and the settings under names that tell what they are.

    Args:
        folder: a sub-folder is made in it, named after the content: equal requests share their files, others do not.
        model, scene, variants: what drew the images.
        images: one per variant.
        looks: that the visitor keeps.
    """
    settings = image_settings(model, scene, variants, looks)
    text = json.dumps(settings, indent=1) + "\n"
    target = Path(folder) / hashlib.sha256(text.encode()).hexdigest()
    target.mkdir(parents=True, exist_ok=True)
    names = [entry["file"] for entry in settings["images"]]
    for name, image in zip(names, images, strict=True):
        image.save(target / name, compress_level=1)
    save_ids(scene.label_map, target / settings["label_map"]["file"])
    stem = Path(names[0]).stem if len(names) == 1 else scene.name
    (target / f"{stem}.json").write_text(text, encoding="utf-8")
    paths = [str(target / name) for name in (*names, settings["label_map"]["file"], f"{stem}.json")]
    return SavedImages(paths[:-2], paths[-2], paths[-1])


__all__ = [
    "SavedImages",
    "image_name",
    "image_settings",
    "read_settings",
    "save_images",
]

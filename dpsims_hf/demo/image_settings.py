# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The JSON file beside an image, from which the image can be made again, and the files of a download.

python -m dpsims_hf.demo.image_settings SETTINGS.json [--model PATH_OR_REPO] [--output_dir DIR]
"""

import argparse
import base64
import hashlib
import io
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from .. import __version__
from .limits import MAX_FILE_BYTES, load_pixels, megabytes, open_header
from .model_library import LoadedModel, load_model
from .scenes import Reroll, Scene, Variant, file_stem, render


FORMAT = "dpsims-hf image settings"


class SavedImages(NamedTuple):
    """Paths of the files of one request."""

    images: list[str]
    label_map: str
    settings: str


def index_png(label_map: np.ndarray) -> Image.Image:
    """(height, width) class ids -> a single-channel image that holds exactly them: 8 bit, 16 bit above 255."""
    return Image.fromarray(label_map.astype(np.uint8 if label_map.max() < 256 else np.uint16))


def image_name(scene: Scene, variant: Variant) -> str:
    """A file name that tells the seed; re-rolls are in the settings, and give the name its ending."""
    name = f"{scene.name}_seed_{variant.seed}"
    if variant.rerolls:
        name += "_" + hashlib.sha256(repr(variant.rerolls).encode()).hexdigest()[:6]
    return f"{name}.png"


def image_settings(model: LoadedModel, scene: Scene, variants: Sequence[Variant]) -> dict[str, Any]:
    """JSON content that says how images were made.

    Args:
        model: it drew them.
        scene: the label map; it goes into the JSON as a PNG in base64.
        variants: one entry of `images` each.
    """
    buffer = io.BytesIO()
    index_png(scene.label_map).save(buffer, format="PNG")
    height, width = scene.label_map.shape
    return {
        "format": FORMAT,
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "size": {"height": height, "width": width},
        "images": [
            {"file": image_name(scene, variant), "seed": variant.seed, "rerolls": list(map(_reroll, variant.rerolls))}
            for variant in variants
        ],
        "versions": {"dpsims_hf": __version__, "torch": torch.__version__},
        "label_map": {"file": f"{scene.name}_labels.png", "png_base64": base64.b64encode(buffer.getvalue()).decode()},
        "labels": list(scene.labels),
    }


def _reroll(reroll: Reroll) -> dict[str, Any]:
    return {key: value for key, value in asdict(reroll).items() if value is not None}


def read_settings(content: dict[str, Any] | str | Path) -> tuple[Scene, list[Variant], dict[str, Any]]:
    """Settings (parsed, or the path of a file) -> the scene, its variants, and the parsed content.

    Raises:
        ValueError: it is no such file, or a value is missing or wrong.
    """
    name = "settings" if isinstance(content, dict) else Path(content).name
    try:
        if not isinstance(content, dict):
            with Path(content).open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise ValueError(f"larger than {megabytes(MAX_FILE_BYTES)}")
            content = json.loads(data.decode("utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r} instead of {FORMAT!r}")
        png = base64.b64decode(content["label_map"]["png_base64"], validate=True)
        label_map = np.asarray(load_pixels(open_header(png, "its label map"), "its label map")).astype(np.int64)
        stem = file_stem(content["label_map"]["file"].removesuffix("_labels.png"))
        scene = Scene(stem, label_map, tuple(content["labels"]))
        variants = [Variant(entry["seed"], tuple(map(_read_reroll, entry["rerolls"]))) for entry in content["images"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error)[:200].split())
        raise ValueError(f"{name}: not settings of an image ({reason}); take the JSON file of a download") from error
    return scene, variants, content


def _read_reroll(entry: dict[str, Any]) -> Reroll:
    point = entry.get("point")
    return Reroll(entry["seed"], entry.get("label"), None if point is None else (int(point[0]), int(point[1])))


def recreate(content: dict[str, Any] | str | Path, model: LoadedModel | str | None = None) -> list[Image.Image]:
    """Make the images of a settings file again, in its order.

    Args:
        content: the JSON, parsed, or its path.
        model: that drew them, or where it is now; None takes the name in the file.

    Raises:
        ValueError: no settings, or no such model.

    Warns:
        UserWarning: the model has other weights than the one that drew the images.
    """
    scene, variants, content = read_settings(content)
    if not isinstance(model, LoadedModel):
        source = model or content.get("model")
        model = load_model(str(source), str(source))
    if model.weights_sha256 != content.get("weights_sha256"):
        warnings.warn(
            f"{model.name} has other weights than the model of these settings: the images differ", stacklevel=2
        )
    return render(model, scene, variants)


def save_images(
    folder: str | Path, model: LoadedModel, scene: Scene, variants: Sequence[Variant], images: Sequence[Image.Image]
) -> SavedImages:
    """Write PNGs, the exact index PNG and the settings under names that tell what they are.

    Args:
        folder: a sub-folder is made in it, named after the content: equal requests share their files, others do not.
        model, scene, variants: what drew the images.
        images: one per variant.
    """
    settings = image_settings(model, scene, variants)
    text = json.dumps(settings, indent=1) + "\n"
    target = Path(folder) / hashlib.sha256(text.encode()).hexdigest()
    target.mkdir(parents=True, exist_ok=True)
    names = [entry["file"] for entry in settings["images"]]
    for name, image in zip(names, images, strict=True):
        image.save(target / name, compress_level=1)
    index_png(scene.label_map).save(target / settings["label_map"]["file"])
    stem = Path(names[0]).stem if len(names) == 1 else scene.name
    (target / f"{stem}.json").write_text(text, encoding="utf-8")
    paths = [str(target / name) for name in (*names, settings["label_map"]["file"], f"{stem}.json")]
    return SavedImages(paths[:-2], paths[-2], paths[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the images of a settings file again."""
    parser = argparse.ArgumentParser(description="Make the images of a settings file again.")
    parser.add_argument("settings", help="the JSON file of a download")
    parser.add_argument("--model", help="checkpoint folder or Hub repository; default: the one named in the file")
    parser.add_argument("--output_dir", default=".", help="default: here")
    options = parser.parse_args(arguments)
    try:
        names = [entry["file"] for entry in read_settings(options.settings)[2]["images"]]
        images = recreate(options.settings, options.model)
    except ValueError as error:
        sys.exit(f"image_settings: {error}")
    folder = Path(options.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, images, strict=True):
        image.save(folder / Path(name).name)
        print(folder / Path(name).name)


if __name__ == "__main__":
    main()


__all__ = ["SavedImages", "image_name", "image_settings", "index_png", "read_settings", "recreate", "save_images"]

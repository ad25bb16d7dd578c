# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Makes the images of a settings file again, the JSON that the page saves beside an image.

python -m dpsims_hf.demo.image_settings SETTINGS.json [--model PATH_OR_REPO] [--output_dir DIR]
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from .drawing.scenes import render
from .drawing.settings import read_settings
from .models.library import LoadedModel, load_model


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
    return render(model, scene, variants, dtype=content.get("dtype", "float32"))


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


__all__ = ["main", "recreate"]

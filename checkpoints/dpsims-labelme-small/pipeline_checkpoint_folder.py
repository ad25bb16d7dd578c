# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The checkpoint folder: what files it has, and how they are written."""

import copy
import inspect
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import BaseImageProcessor, PreTrainedModel


# The files that travel with a checkpoint.
CLOSURE_PATTERNS = ("configuration_*.py", "modeling_*.py", "layers_*.py", "image_processing_*.py", "pipeline_*.py")
PIPELINE_FILES = (
    "pipeline_semantic_image_synthesis.py",
    "pipeline_checkpoint_folder.py",
    "pipeline_instances.py",
    "pipeline_noise.py",
)
PIPELINE_CLASS = "SemanticImageSynthesisPipeline"
DISCRIMINATOR_FOLDER = "discriminator"


def check_folder(source: str) -> None:
    """A path that does not exist must not be taken for a Hub repository."""
    if os.path.isdir(source):
        for name in ("config.json", "preprocessor_config.json"):
            if not os.path.isfile(os.path.join(source, name)):
                raise ValueError(f"{source} is no checkpoint folder: it has no {name}")
    elif os.path.exists(source) or source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ValueError(f"{source} is no folder; give a checkpoint folder or a Hub repository 'user/name'")


def _reference(obj: Any) -> str:
    """module.Class, as an auto_map names a class of a file at the root of the folder."""
    return f"{type(obj).__module__.rsplit('.', 1)[-1]}.{type(obj).__name__}"


@contextmanager
def _config_for_saving(model: PreTrainedModel) -> Iterator[None]:
    """Lend the model a copy of its config: `save_pretrained` writes auto_map, dtype and architectures into it."""
    live = model.config
    model.config = copy.deepcopy(live)
    model.config.auto_map = {"AutoConfig": _reference(live), "AutoModel": _reference(model)}
    try:
        yield
    finally:
        model.config = live


def write_components(
    folder: str | os.PathLike,
    generator_model: PreTrainedModel,
    processor: BaseImageProcessor,
    discriminator: PreTrainedModel | None = None,
    include_backbone: bool = False,
) -> None:
    """Write configs, weights, processor, model_index.json and the code; the code stands once, at the root.

    Args:
        folder: made if it does not exist.
        generator_model, processor, discriminator: left as they are.
        include_backbone: put the weights of the discriminator's frozen backbone inside.

    Raises:
        ValueError: if the backbone's weights are asked for but were never loaded.
    """
    folder = Path(folder)
    with _config_for_saving(generator_model):
        generator_model.save_pretrained(folder)
    if discriminator is not None:
        has_backbone = hasattr(discriminator, "load_backbone_weights")
        if has_backbone and include_backbone and not discriminator.backbone_ready:
            raise ValueError("include_backbone=True, but no backbone weights are loaded; call load_backbone_weights()")
        with _config_for_saving(discriminator):
            options = {"include_backbone": include_backbone} if has_backbone else {}
            discriminator.save_pretrained(folder / DISCRIMINATOR_FOLDER, **options)
        for copied in (folder / DISCRIMINATOR_FOLDER).glob("*.py"):
            copied.unlink()
    processor = copy.deepcopy(processor)
    processor.auto_map = {"AutoImageProcessor": _reference(processor)}
    processor.save_pretrained(folder)
    parts = [generator_model, generator_model.config, processor] + [discriminator] * (discriminator is not None)
    for source in _code_files(parts):
        shutil.copyfile(source, folder / source.name)
    # Null components: diffusers' loader cannot load a flat folder, so the pipeline does it (its `register_to_config`).
    index: dict[str, Any] = {"_class_name": [Path(PIPELINE_FILES[0]).stem, PIPELINE_CLASS]}
    if find_spec("diffusers"):  # training needs no diffusers
        index["_diffusers_version"] = version("diffusers")
    index |= {name: [None, None] for name in ("generator_model", "processor", "discriminator")}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _code_files(objects: list[Any]) -> list[Path]:
    """The Hub closure as it stands beside the classes of `objects`, and the pipeline's files."""
    homes = {Path(inspect.getfile(type(obj))).parent for obj in objects}
    found = {file.name: file for home in sorted(homes) for pattern in CLOSURE_PATTERNS for file in home.glob(pattern)}
    # Under diffusers' loader these stand in a folder shared with other repositories' code: take them by name.
    return list((found | {name: Path(__file__).parent / name for name in PIPELINE_FILES}).values())


__all__ = ["CLOSURE_PATTERNS", "DISCRIMINATOR_FOLDER", "check_folder", "write_components"]

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

from transformers import CONFIG_MAPPING, BaseImageProcessor, PreTrainedModel
from transformers.utils import cached_file

from .configuration_rules import Entries, Text, read_json, shortened


# The files that travel with a checkpoint.
CLOSURE_PATTERNS = ("configuration_*.py", "modeling_*.py", "layers_*.py", "image_processing_*.py", "pipeline_*.py")
PIPELINE_FILES = (
    "pipeline_semantic_image_synthesis.py",
    "pipeline_checkpoint_folder.py",
    "pipeline_instances.py",
    "pipeline_noise.py",
    "configuration_rules.py",
)
PIPELINE_CLASS = "SemanticImageSynthesisPipeline"
DISCRIMINATOR_FOLDER = "discriminator"
PROCESSOR_TYPE = "SemanticImageProcessor"
# Code of this very checkpoint: "user/name--module.Class" would be that of another repository, which nobody trusted.
OWN_CODE = Entries(Text(), Text(200, r"[A-Za-z_]\w*\.[A-Za-z_]\w*", "module.Class, of a file in the checkpoint"), 8)


def check_folder(source: str) -> None:
    """A path that does not exist must not be taken for a Hub repository."""
    if os.path.isdir(source):
        for name in ("config.json", "preprocessor_config.json"):
            if not os.path.isfile(os.path.join(source, name)):
                raise ValueError(f"{source} is no checkpoint folder: it has no {name}")
    elif os.path.exists(source) or source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ValueError(f"{source} is no folder; give a checkpoint folder or a Hub repository 'user/name'")


def check_config_file(source: str, trust_remote_code: bool = False, **where: Any) -> None:
    """Look at config.json before transformers acts on it: it may name another model, file or repository.

    Args:
        source: checkpoint folder or Hub repository.
        trust_remote_code: whether the code of the checkpoint may run.
        where: `subfolder`, `revision`, `token`, `cache_dir`, `local_files_only`.

    Raises:
        ValueError: a file that is no config of these models; one line.
        OSError: there is none, or the Hub cannot be reached.
    """
    name, content = _read(source, "config.json", where)
    if "configuration_files" in content:
        raise ValueError(f"{name}: configuration_files names another file; remove the entry")
    model_type = content.get("model_type")
    if not isinstance(model_type, str):
        raise ValueError(f"{name}: model_type={shortened(model_type)} is no name of a kind of model")
    known = CONFIG_MAPPING[model_type].__module__ if model_type in CONFIG_MAPPING else ""
    if not trust_remote_code and (not known or known.startswith("transformers.")):
        raise ValueError(
            f"{name}: model_type={shortened(model_type)} is none of these models (import dpsims_hf first)"
        )


def check_processor_file(source: str, trust_remote_code: bool = False, **where: Any) -> None:
    """As `check_config_file` for preprocessor_config.json: the constructors of other processors fetch files."""
    name, content = _read(source, "preprocessor_config.json", where)
    kind = content.get("image_processor_type")
    if not trust_remote_code and kind != PROCESSOR_TYPE:
        raise ValueError(f"{name}: image_processor_type={shortened(kind)} is illegal: legal is {PROCESSOR_TYPE}")


def read_checkpoint_json(source: str, file: str, name: str | None = None, **where: Any) -> dict[str, Any]:
    """A JSON file of a checkpoint folder or Hub repository.

    Args:
        source: folder or repository.
        file: its name.
        name: what errors call it; None is `file`.
        where: see `check_config_file`.

    Raises:
        ValueError: no JSON object.
        OSError: there is none, or the Hub cannot be reached.
    """
    path = cached_file(source, file, **where)
    if path is None:
        raise OSError(f"{source} has no {file}")
    return read_json(path, name or file)


def _read(source: str, file: str, where: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What errors call a JSON file of a checkpoint, and its content."""
    name = "/".join(part for part in (source, where.get("subfolder"), file) if part)
    content = read_checkpoint_json(source, file, name, **where)
    if content.get("auto_map") is not None:
        OWN_CODE.check(f"{name}: auto_map", content["auto_map"])
    return name, content


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


__all__ = [
    "CLOSURE_PATTERNS",
    "DISCRIMINATOR_FOLDER",
    "check_config_file",
    "check_folder",
    "check_processor_file",
    "read_checkpoint_json",
    "write_components",
]

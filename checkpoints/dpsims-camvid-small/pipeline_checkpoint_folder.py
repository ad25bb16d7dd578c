# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The checkpoint folder: what files it has, and how they are written."""

import ast
import inspect
import json
import os
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, BaseImageProcessor, PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from .configuration_rules import MAX_FILE_BYTES, Entries, Text, read_json, shortened
from .modeling_checkpoint_files import check_fetch
from .pipeline_stored_checkpoint import StoredCheckpoint


# The files that may travel with a checkpoint; each takes those that its classes reach.
CLOSURE_PATTERNS = ("configuration_*.py", "modeling_*.py", "layers_*.py", "image_processing_*.py", "pipeline_*.py")
PIPELINE_FILE = "pipeline_semantic_image_synthesis.py"
MAX_CODE_BYTES = 1_000_000  # of one of them
PIPELINE_CLASS = "SemanticImageSynthesisPipeline"
DISCRIMINATOR_FOLDER = "discriminator"
# Where diffusers looks for the generator; it finds word of the checkpoint there (`StoredCheckpoint`).
GENERATOR_FOLDER = "generator_model"
VARIANT_NOTE = (
    "diffusers looks for variants here; the weights are model.{variant}.safetensors at the checkpoint's root.\n"
)
PROCESSOR_TYPE = "SemanticImageProcessor"
# Code of this very checkpoint: "user/name--module.Class" would be that of another repository, which nobody trusted.
OWN_CODE = Entries(Text(), Text(200, r"[A-Za-z_]\w*\.[A-Za-z_]\w*", "module.Class, of a file in the checkpoint"), 8)


def check_folder(source: str, subfolder: str = "") -> None:
    """A path that does not exist must not be taken for a Hub repository."""
    if os.path.isdir(source):
        for name in ("config.json", "preprocessor_config.json"):
            if not os.path.isfile(os.path.join(source, subfolder, name)):
                hint = _newest_of_run(source)
                raise ValueError(f"{os.path.join(source, subfolder)} is no checkpoint folder: it has no {name}{hint}")
    elif os.path.exists(source) or source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ValueError(f"{source} is no folder; give a checkpoint folder or a Hub repository 'user/name'")


def _newest_of_run(folder: str) -> str:
    """A hint for who names the folder of a training run."""
    names = [name.removeprefix("checkpoint-") for name in os.listdir(folder) if name.startswith("checkpoint-")]
    steps = sorted(int(step) for step in names if step.isascii() and step.isdigit() and len(step) < 12)
    return f"; it is a training run, name one of its checkpoints: {folder}/checkpoint-{steps[-1]}" if steps else ""


def check_config_file(source: str, trust_remote_code: bool = False, **where: Any) -> None:
    """Look at config.json before transformers acts on it: it may name another model, file or repository.

    Args:
        source: checkpoint folder or Hub repository.
        trust_remote_code: whether the code of the checkpoint may run.
        where: `subfolder`, `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`, `proxies`.

    Raises:
        ValueError: a file that is no config of these models; one line.
        OSError: there is none, or the Hub cannot be reached.
    """
    _refuse_file(source, "adapter_config.json", "it names another model", where)
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
    _refuse_file(source, "processor_config.json", "what it says would replace preprocessor_config.json", where)
    name, content = _read(source, "preprocessor_config.json", where)
    kind = content.get("image_processor_type")
    if not trust_remote_code and kind != PROCESSOR_TYPE:
        raise ValueError(f"{name}: image_processor_type={shortened(kind)} is illegal: legal is {PROCESSOR_TYPE}")


def check_labels_pixels(discriminator: PreTrainedModel) -> None:
    """Raise a ValueError if a discriminator judges patches alone, and so cannot label a photo."""
    if not getattr(discriminator, "labels_pixels", True):
        raise ValueError(
            f"this checkpoint's discriminator is a {discriminator.config.model_type}, which judges patches and labels "
            "no pixels; choose another segmenter, or a model of another family"
        )


def check_backbone_ready(discriminator: PreTrainedModel) -> None:
    """Raise a ValueError with the remedy if the weights of a discriminator's frozen backbone were never loaded."""
    if not getattr(discriminator, "backbone_ready", True):
        name = getattr(discriminator.config, "backbone", "unknown")
        remedy = getattr(discriminator, "backbone_remedy", "load_backbone_weights() first")
        raise ValueError(
            f"the discriminator's backbone {name!r} has no weights in this checkpoint; call "
            f"pipe.discriminator.{remedy}; python -m dpsims_hf.hub export CHECKPOINT DIR --backbone_weights FILE puts "
            "them inside a copy"
        )


def read_discriminator_config(source: str, options: dict[str, Any]) -> PreTrainedConfig | None:
    """The config of a checkpoint's discriminator; None if it has none.

    Args:
        source: folder or repository.
        options: `trust_remote_code`, and what `check_config_file` takes.

    Raises:
        ValueError: as `check_config_file`.
    """
    options = discriminator_place(options)
    where = {name: value for name, value in options.items() if name != "trust_remote_code"}
    where["_raise_exceptions_for_missing_entries"] = False
    check_fetch(source, "config.json", MAX_FILE_BYTES, **where)
    if cached_file(source, "config.json", **where) is None:
        return None
    check_config_file(source, **options)
    return AutoConfig.from_pretrained(source, **options)


def discriminator_place(options: dict[str, Any]) -> dict[str, Any]:
    """What `check_config_file` takes for a checkpoint, for its discriminator."""
    place = f"{options['subfolder']}/{DISCRIMINATOR_FOLDER}" if options.get("subfolder") else DISCRIMINATOR_FOLDER
    return options | {"subfolder": place}


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
    check_fetch(source, file, MAX_FILE_BYTES, **where)
    path = cached_file(source, file, **where)
    if path is None:
        raise OSError(f"{source} has no {file}")
    return read_json(path, name or file)


def _refuse_file(source: str, file: str, reason: str, where: dict[str, Any]) -> None:
    """Raise a ValueError if a checkpoint has a file by which transformers loads something else."""
    check_fetch(source, file, MAX_FILE_BYTES, **where)
    if cached_file(source, file, **where, _raise_exceptions_for_missing_entries=False) is not None:
        name = "/".join(part for part in (source, where.get("subfolder"), file) if part)
        raise ValueError(f"{name}: {reason}; remove the file")


def _read(source: str, file: str, where: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What errors call a JSON file of a checkpoint, and its content."""
    name = "/".join(part for part in (source, where.get("subfolder"), file) if part)
    content = read_checkpoint_json(source, file, name, **where)
    if content.get("auto_map") is not None:
        OWN_CODE.check(f"{name}: auto_map", content["auto_map"])
    return name, content


def write_components(
    folder: str | os.PathLike,
    generator_model: PreTrainedModel,
    processor: BaseImageProcessor,
    discriminator: PreTrainedModel | None = None,
    include_backbone: bool = False,
    variant: str | None = None,
    max_shard_size: int | str = "50GB",
) -> None:
    """Write configs, weights, processor, model_index.json and the code; the code stands once, at the root.

    Args:
        folder: made if it does not exist.
        generator_model, processor, discriminator: left as they are.
        include_backbone: put the weights of the discriminator's frozen backbone inside.
        variant: "fp16" writes model.fp16.safetensors beside what is there.
        max_shard_size: of a file of weights.

    Raises:
        ValueError: if the backbone's weights are asked for but were never loaded.
    """
    folder = Path(folder)
    weights: dict[str, Any] = {"variant": variant, "max_shard_size": max_shard_size}
    generator_model.save_pretrained(folder, **weights)
    if discriminator is not None:
        has_backbone = hasattr(discriminator, "load_backbone_weights")
        options: dict[str, Any] = {"include_backbone": include_backbone} if has_backbone else {}
        discriminator.save_pretrained(folder / DISCRIMINATOR_FOLDER, **options, **weights)
        for copied in (folder / DISCRIMINATOR_FOLDER).glob("*.py"):
            copied.unlink()
    processor.save_pretrained(folder)
    parts = [generator_model, generator_model.config, processor] + [discriminator] * (discriminator is not None)
    for source in _code_files(parts):
        shutil.copyfile(source, folder / source.name)
    write_model_index(folder, variant)


def write_model_index(folder: str | os.PathLike, variant: str | None = None) -> None:
    """Write what diffusers reads: model_index.json, and where it looks for the generator.

    Args:
        folder: of a checkpoint.
        variant: of the weights that were just written.
    """
    place = Path(folder) / GENERATOR_FOLDER
    place.mkdir(exist_ok=True)
    code = Path(inspect.getfile(StoredCheckpoint))
    shutil.copyfile(code, place / code.name)
    if variant is not None:
        (place / f"model.{variant}.txt").write_text(VARIANT_NOTE.format(variant=variant), encoding="utf-8")
    index: dict[str, Any] = {"_class_name": [Path(PIPELINE_FILE).stem, PIPELINE_CLASS]}
    if find_spec("diffusers"):  # training needs no diffusers
        index["_diffusers_version"] = version("diffusers")
    index[GENERATOR_FOLDER] = [code.stem, StoredCheckpoint.__name__]
    index |= {
        name: [None, None] for name in ("processor", DISCRIMINATOR_FOLDER)
    }  # loaded with the generator, or later
    (Path(folder) / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _code_files(objects: list[Any]) -> list[Path]:
    """The files that the classes of `objects` and the pipeline reach, wherever these stand."""
    homes: dict[Path, set[str]] = {}
    for obj in objects:
        file = Path(inspect.getfile(type(obj)))
        homes.setdefault(file.parent, set()).add(file.name)
    found = {name: home / name for home, names in homes.items() for name in reached_files(home, names)}
    # Under diffusers' loader the pipeline stands apart, in a folder shared with other repositories' code.
    home = Path(__file__).parent
    return list((found | {name: home / name for name in reached_files(home, {PIPELINE_FILE})}).values())


def reached_files(folder: str | os.PathLike, names: Iterable[str]) -> set[str]:
    """`names` and all files beside them that they import, one by the other; a file that is missing is among them.

    Args:
        folder: where they stand.
        names: of files.

    Raises:
        ValueError: one of them is no Python file.
    """
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        path = Path(folder) / name
        if path.is_file():
            waiting += [f"{module}.py" for module in _imported_siblings(path)]
    return reached


def _imported_siblings(path: Path) -> list[str]:
    """`name` of each `from .name import ...`, wherever it stands in the file."""
    if path.stat().st_size > MAX_CODE_BYTES:
        raise ValueError(f"{path} is longer than {MAX_CODE_BYTES // 1000} kB, and no code of a model is")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # a NUL, nested without end
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path} is no Python file ({reason})") from None
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return [node.module for node in imports if node.module]


__all__ = [
    "CLOSURE_PATTERNS",
    "DISCRIMINATOR_FOLDER",
    "GENERATOR_FOLDER",
    "check_backbone_ready",
    "check_config_file",
    "check_folder",
    "check_labels_pixels",
    "check_processor_file",
    "discriminator_place",
    "reached_files",
    "read_checkpoint_json",
    "read_discriminator_config",
    "write_components",
    "write_model_index",
]

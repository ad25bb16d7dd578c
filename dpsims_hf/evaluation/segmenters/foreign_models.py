# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Segmentation models of transformers, from strangers: looked at before transformers acts on their files."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ...configuration_limits import BACKBONE, MAX_BUFFER_BYTES, MAX_LABELS, MEAN, STD
from ...configuration_rules import Flag, Integer, Number, shortened
from ...modeling_checkpoint_files import check_weights, pinned_revision
from ...pipeline_checkpoint_folder import read_checkpoint_json


MASK_MODELS = ("mask2former", "maskformer")
# Entries by which a config makes transformers fetch or build something that is not the model of these very files.
FORBIDDEN = (
    "backbone_kwargs",
    "configuration_files",
    "distributed_config",
    "fusion_config",
    "per_layer_config",
    "quantization_config",
    "transformers_weights",
    "use_pretrained_backbone",
    "use_timm_backbone",
)
FORBIDDEN_TYPES = ("timm_backbone", "timm_wrapper")
ATTENTION = ("attn_implementation", "_attn_implementation", "experts_implementation")
COUNT = Integer(-1_000_000, 1_000_000)  # no size of a segmenter comes near
FLOAT = Number(-1e12, 1e12)
LABELS = Integer(0, 100_000)
MAX_VALUES = 200_000
MAX_DEPTH = 8
MAX_LIST = 1000
MAX_LAYERS = 500  # all entries together that say how many layers there are; each costs time before anything is loaded
LAYERS = ("depth", "layers", "blocks", "stages", "convs")  # in the names of such entries


def load_foreign_segmenter(source: str, revision: str | None = None) -> tuple[Any, dict[str, Any]]:
    """A segmentation model of transformers from safetensors files, in float32, and what was missing in them.

    All files are those of one commit, which stands under "revision" in the second.

    Args:
        source: folder or repository.
        revision: commit, branch or tag of the repository; None takes the newest.

    Raises:
        ValueError: a model of another kind, or a config that asks for what its files do not hold.
        OSError: there is none, or the Hub cannot be reached.
    """
    where = {"revision": pinned_revision(source, revision=revision)}  # nothing changes between check and load
    check_foreign_config(read_checkpoint_json(source, "config.json", **where))
    try:
        return _load(source, where)
    except (OSError, ValueError):
        raise
    except Exception as error:  # models take what a config says as it is, and raise anything
        reason = (" ".join(str(error).split()) or "no reason")[:160]
        raise ValueError(f"its config.json is of no such model ({type(error).__name__}: {reason})") from error


def _load(source: str, where: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source, trust_remote_code=False, **where)
    if set(config.id2label) != set(range(len(config.id2label))):
        raise ValueError(f"config.json: id2label must have the keys 0..{len(config.id2label) - 1}, each once")
    auto_class = _auto_class(config)
    with torch.device("meta"):
        network = auto_class.from_config(config, trust_remote_code=False)
    tables = sum(buffer.numel() * buffer.element_size() for buffer in network.buffers())
    if tables > MAX_BUFFER_BYTES:
        raise ValueError(
            f"config.json asks for tables of {tables / 1e6:,.0f} MB: legal are {MAX_BUFFER_BYTES / 1e6:.0f}"
        )
    check_weights(source, sum(parameter.numel() for parameter in network.parameters()), **where)
    options = {"dtype": torch.float32, "use_safetensors": True, "trust_remote_code": False} | where
    model, info = auto_class.from_pretrained(source, output_loading_info=True, **options)
    return model, info | {"revision": where["revision"]}


def normalisation_of(source: str, revision: str | None = None) -> tuple[list[float], list[float]]:
    """Mean and deviation that a model's images want, for [0, 1]; its processor itself is never built.

    Args:
        source: folder or repository.
        revision: commit of the model.

    Raises:
        ValueError: they are not in preprocessor_config.json.
    """
    content = read_checkpoint_json(source, "preprocessor_config.json", revision=revision)
    normalise = content.get("do_normalize", True)
    Flag().check("do_normalize", normalise)
    if not normalise:
        return [0.0] * 3, [1.0] * 3
    for name, rule in (("image_mean", MEAN), ("image_std", STD)):
        rule.check(f"preprocessor_config.json: {name}", content.get(name))
    return [float(value) for value in content["image_mean"]], [float(value) for value in content["image_std"]]


def check_foreign_config(content: Mapping[str, Any]) -> None:
    """Refuse what a config of a transformers model must not ask for; its sub-configs are looked at as well.

    Raises:
        ValueError: one line that names the entry.
    """
    layers = 0
    for count, (name, value) in enumerate(_entries(content)):
        if count > MAX_VALUES:
            raise ValueError(f"config.json has more than {MAX_VALUES:,} values")
        key = name.rsplit(".", 1)[-1]
        # MaskFormer takes the decoder of this sub-config alone, and never builds its backbone.
        unbuilt = content.get("model_type") == "maskformer" and name.startswith("decoder_config.")
        if _loads_another(key, value, unbuilt):
            raise ValueError(f"config.json: {name}={shortened(value)} is refused: it would load another model")
        if key in ATTENTION and value not in (None, "eager", "sdpa"):
            raise ValueError(f"config.json: {name}={shortened(value)} is unknown; choose one of eager, sdpa")
        if isinstance(value, list) and len(value) > MAX_LIST:
            raise ValueError(f"config.json: {name}={shortened(value)} is illegal: legal are lists of up to {MAX_LIST}")
        is_table = value is None or (isinstance(value, Mapping) and len(value) <= MAX_LABELS)
        if key in ("id2label", "label2id") and not is_table:
            raise ValueError(f"config.json: {name}={shortened(value)} is illegal: legal is a table of {MAX_LABELS}")
        is_count = type(value) is int and any(word in part for part in name.split(".")[-2:] for word in LAYERS)
        layers += abs(value) if is_count else 0
        if layers > MAX_LAYERS:
            raise ValueError(f"config.json: {name}={shortened(value)}: legal are {MAX_LAYERS} layers in all")
        if key in ("num_labels", "_num_labels"):
            LABELS.check(f"config.json: {name}", value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            (COUNT if isinstance(value, int) else FLOAT).check(f"config.json: {name}", value)


def _loads_another(key: str, value: Any, unbuilt: bool) -> bool:
    if key == "backbone" and value is not None:
        return not (unbuilt and BACKBONE.accepts(value))
    if key == "model_type":
        return not isinstance(value, str) or (value in FORBIDDEN_TYPES and not unbuilt)
    if key == "use_timm_backbone" and unbuilt:
        return value is not True  # a name would be looked up on the Hub
    if key == "use_pretrained_backbone" and unbuilt:
        return False
    return key in FORBIDDEN and value not in (None, False, {})


def _entries(content: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        raise ValueError(f"config.json is nested more than {MAX_DEPTH} levels deep")
    pairs = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in pairs:
        name = f"{prefix}{key if len(str(key)) <= 60 else shortened(key)}"
        yield name, value
        if isinstance(value, (Mapping, list)):
            yield from _entries(value, f"{name}.", depth + 1)


def _auto_class(config: Any) -> Any:
    """The Auto class that a config belongs to."""
    import transformers

    if config.model_type in MASK_MODELS:
        return transformers.AutoModelForUniversalSegmentation
    if type(config) not in transformers.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
        raise ValueError(f"{config.model_type} is no semantic segmentation, and none of {', '.join(MASK_MODELS)}")
    return transformers.AutoModelForSemanticSegmentation


__all__ = ["MASK_MODELS", "check_foreign_config", "load_foreign_segmenter", "normalisation_of"]

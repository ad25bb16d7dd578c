"""Segmentation models of transformers, from people nobody knows: looked at before transformers acts on their files."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..configuration_limits import BACKBONE, MEAN, STD
from ..configuration_rules import Flag, Integer, Number, shortened
from ..modeling_checkpoint_files import check_weights
from ..pipeline_checkpoint_folder import read_checkpoint_json


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


def load_foreign_segmenter(source: str) -> tuple[Any, dict[str, Any]]:
    """A segmentation model of transformers from safetensors files, in float32, and what was missing in them.

    Raises:
        ValueError: a model of another kind, or a config that asks for what its files do not hold.
        OSError: there is none, or the Hub cannot be reached.
    """
    from transformers import AutoConfig

    check_foreign_config(read_checkpoint_json(source, "config.json"))
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    auto_class = _auto_class(config)
    with torch.device("meta"):
        network = auto_class.from_config(config, trust_remote_code=False)
    check_weights(source, sum(parameter.numel() for parameter in network.parameters()))
    return auto_class.from_pretrained(
        source, dtype=torch.float32, output_loading_info=True, use_safetensors=True, trust_remote_code=False
    )


def normalisation_of(source: str) -> tuple[list[float], list[float]]:
    """Mean and deviation that a model's images want, for [0, 1]; its processor itself is never built.

    Raises:
        ValueError: they are not in preprocessor_config.json.
    """
    content = read_checkpoint_json(source, "preprocessor_config.json")
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

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The weight files of a checkpoint from elsewhere, looked at before a network is built for them."""

import math
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.utils import cached_file, find_adapter_config_file, is_peft_available

from .configuration_rules import Text, read_json, shortened


WHERE = ("cache_dir", "force_download", "proxies", "token", "revision", "local_files_only", "subfolder")
SHARD = Text(200, r"[\w-]+(\.[\w-]+)*\.safetensors", "NAME.safetensors, in the checkpoint's own folder")
FINE_TUNED = 4  # a network for other classes may be so many times as large as the one that is stored
SLACK = 50_000_000  # ... and so many parameters


def weight_files(source: str | os.PathLike, variant: str | None = None, **where: Any) -> list[str]:
    """The safetensors files of a checkpoint folder or Hub repository; nothing else holds weights.

    Args:
        source: folder or repository.
        variant: "fp16" for model.fp16.safetensors.
        where: what `from_pretrained` takes of `WHERE`.

    Raises:
        OSError: it has none, or cannot be reached.
        ValueError: an adapter for another model, or shards outside its folder.
    """
    if is_peft_available() and find_adapter_config_file(source, **where) is not None:
        raise ValueError(f"{source} holds an adapter_config.json, which names another model; remove the file")
    where["_raise_exceptions_for_missing_entries"] = False
    part = "" if variant is None else f".{variant}"
    weights, table = f"model{part}.safetensors", f"model.safetensors.index{part}.json"
    whole = cached_file(source, weights, **where)
    if whole is not None:
        return [whole]
    index = cached_file(source, table, **where)
    if index is None:
        raise OSError(f"{source} has no {weights}; other kinds of weight files are not loaded")
    shards = read_json(index, f"{source}/{table}").get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ValueError(f"{source}/{table}: weight_map={shortened(shards)} is no table of tensors and files")
    for tensor, name in shards.items():
        SHARD.check(f"{source}/{table}: weight_map[{shortened(tensor)}]", name)
    found = {name: cached_file(source, name, **where) for name in sorted(set(shards.values()))}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise OSError(f"{source} has no {missing[0]}, which its index names")
    return list(found.values())


def stored_numbers(files: list[str]) -> int:
    """How many numbers the tensors of safetensors files have; only the headers are read.

    Raises:
        ValueError: a file that is damaged, or none of safetensors.
    """
    total = 0
    for path in files:
        try:
            with safe_open(path, framework="pt") as tensors:
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())
        except (SafetensorError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{Path(path).name} is damaged, or no safetensors file ({reason})") from None
    return total


def check_weights(source: str | os.PathLike, needed: int, **where: Any) -> None:
    """Refuse a checkpoint whose config asks for a network far beyond its weights, before that one takes memory.

    Args:
        source: folder or repository.
        needed: about how many parameters the network has.
        where: see `weight_files`.
    """
    stored = stored_numbers(weight_files(source, **where))
    if needed > FINE_TUNED * stored + SLACK:
        raise ValueError(
            f"{source}: its config asks for {needed / 1e6:,.0f} million parameters, but its weights are "
            f"{stored / 1e6:,.1f} million numbers; the two are not of one model"
        )


__all__ = ["WHERE", "check_weights", "stored_numbers", "weight_files"]

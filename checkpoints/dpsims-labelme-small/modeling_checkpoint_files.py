# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The files of a checkpoint from elsewhere, looked at before they are fetched or a network is built."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.file_download import REGEX_COMMIT_HASH
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.utils import cached_file, is_peft_available
from transformers.utils.hub import extract_commit_hash

from .configuration_rules import MAX_FILE_BYTES, Text, read_json, shortened


WHERE = ("cache_dir", "force_download", "proxies", "token", "revision", "local_files_only", "subfolder")
SHARD = Text(200, r"[\w-]+(\.[\w-]+)*\.safetensors", "NAME.safetensors, in the checkpoint's own folder")
FINE_TUNED = 4  # a network for other classes may be so many times as large as the one that is stored
MAX_HEADER_BYTES = 2**20  # of a safetensors file: names and shapes; real ones have some ten kilobytes
MAX_SHARDS = 200
SLACK = 50_000_000  # ... and so many parameters
NUMBER_BYTES = 8  # at most, as stored
HUB_SECONDS = 10  # for the Hub's answer how large a file is


def check_fetch(
    source: str | os.PathLike, file: str, most_bytes: int, repo_type: str | None = None, **where: Any
) -> int:
    """Refuse a file of a Hub repository before it is fetched, if the Hub says that it is too large.

    Args:
        source: folder or repository.
        file: its name.
        most_bytes: that it may have.
        repo_type: "dataset", or None for a model.
        where: what `from_pretrained` takes of `WHERE`.

    Returns:
        Its size; 0 for what lies here already, is not there, or cannot be asked for: then loading says why.

    Raises:
        ValueError: it is too large; one line.
    """
    if os.path.isdir(source) or where.get("local_files_only") or constants.HF_HUB_OFFLINE:
        return 0
    revision, subfolder = where.get("revision"), where.get("subfolder") or None
    commit = str(getattr(revision, "resolved", revision))  # transformers notes it down beside a name
    path = "/".join(part for part in (subfolder, file) if part)
    try:
        if REGEX_COMMIT_HASH.match(commit) and not where.get("force_download"):
            place = {"cache_dir": where.get("cache_dir"), "revision": commit, "repo_type": repo_type}
            here = try_to_load_from_cache(str(source), path, **place)
            if here is not None:  # a commit does not change: what lies here is not fetched again
                return 0
        url = hf_hub_url(str(source), file, subfolder=subfolder, revision=revision and commit, repo_type=repo_type)
        size = get_hf_file_metadata(url, token=where.get("token"), timeout=HUB_SECONDS).size or 0
    except Exception:  # of the network, the Hub or a name that is none; which ones differs by version
        return 0
    if size > most_bytes:
        raise ValueError(
            f"{source}: its {path} has {size / 1e6:,.1f} MB, and {most_bytes / 1e6:,.1f} MB are the most that such a "
            "file can need; it is not fetched"
        )
    return size


def pinned_revision(source: str | os.PathLike, **where: Any) -> str | None:
    """The commit that a Hub repository is at, so that all its files come from one; of a folder what was given.

    Args:
        source: folder or repository.
        where: what `from_pretrained` takes of `WHERE`.

    Raises:
        ValueError: its config.json is far too large.
        OSError: it has none, or cannot be reached.
    """
    given = where.get("revision")
    if os.path.isdir(source):
        return given
    check_fetch(source, "config.json", MAX_FILE_BYTES, **where)
    return extract_commit_hash(cached_file(source, "config.json", **where), None) or given


def weight_files(
    source: str | os.PathLike, variant: str | None = None, most_bytes: int = 2**63, **where: Any
) -> list[str]:
    """The safetensors files of a checkpoint folder or Hub repository; nothing else holds weights.

    Args:
        source: folder or repository.
        variant: "fp16" for model.fp16.safetensors.
        most_bytes: that are fetched, all files together.
        where: what `from_pretrained` takes of `WHERE`.

    Raises:
        OSError: it has none, or cannot be reached.
        ValueError: an adapter for another model, shards outside its folder, or files that are too large.
    """
    where["_raise_exceptions_for_missing_entries"] = False
    if is_peft_available() and _fetched(source, "adapter_config.json", MAX_FILE_BYTES, where) is not None:
        raise ValueError(f"{source} holds an adapter_config.json, which names another model; remove the file")
    part = "" if variant is None else f".{variant}"
    weights, table = f"model{part}.safetensors", f"model.safetensors.index{part}.json"
    whole = _fetched(source, weights, most_bytes, where)
    if whole is not None:
        return [whole]
    index = _fetched(source, table, MAX_FILE_BYTES, where)
    if index is None:
        raise OSError(f"{source} has no {weights}; other kinds of weight files are not loaded")
    names = _shards(index, f"{source}/{table}")
    left = most_bytes
    for name in names:  # all of them before the first is fetched
        left -= check_fetch(source, name, left, **where)
    found = {name: cached_file(source, name, **where) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise OSError(f"{source} has no {missing[0]}, which its index names")
    return [path for path in found.values() if path is not None]


def _fetched(source: str | os.PathLike, file: str, most_bytes: int, where: dict[str, Any]) -> str | None:
    check_fetch(source, file, most_bytes, **where)
    return cached_file(source, file, **where)


def _shards(index: str, what: str) -> list[str]:
    """The files that an index of weights names."""
    content = read_json(index, what)
    shards, facts = content.get("weight_map"), content.get("metadata")
    if not isinstance(facts, dict):
        raise ValueError(f"{what}: metadata={shortened(facts)} is no table")
    if not isinstance(shards, dict) or not shards:
        raise ValueError(f"{what}: weight_map={shortened(shards)} is no table of tensors and files")
    for tensor, name in shards.items():
        SHARD.check(f"{what}: weight_map[{shortened(tensor)}]", name)
    if len(set(shards.values())) > MAX_SHARDS:
        raise ValueError(f"{what} names {len(set(shards.values())):,} files: legal are up to {MAX_SHARDS}")
    return sorted(set(shards.values()))


def stored_numbers(files: list[str]) -> int:
    """How many numbers the tensors of safetensors files have; only the headers are read.

    Raises:
        ValueError: a file that is damaged, or none of safetensors.
    """
    total = 0
    for path in files:
        try:
            check_header_length(path)
            with safe_open(path, framework="pt") as tensors:
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())
        except (SafetensorError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{Path(path).name} is damaged, or no safetensors file ({reason})") from None
    return total


def check_header_length(path: str | os.PathLike) -> None:
    """Raise a ValueError if the list of tensors of a safetensors file is too long to be read at once."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if MAX_HEADER_BYTES < length <= os.path.getsize(path):
        raise ValueError(
            f"{Path(path).name}: its list of tensors has {length:,} bytes: legal are up to {MAX_HEADER_BYTES:,}"
        )


def check_weights(source: str | os.PathLike, needed: int, **where: Any) -> None:
    """Refuse a checkpoint whose config and weights cannot be of one model: before weights far beyond the config are
    fetched, and before a network far beyond its weights takes memory.

    Args:
        source: folder or repository.
        needed: about how many parameters the network has.
        where: see `weight_files`.
    """
    most = NUMBER_BYTES * (FINE_TUNED * needed + SLACK)
    stored = stored_numbers(weight_files(source, most_bytes=most, **where))
    if needed > FINE_TUNED * stored + SLACK:
        raise ValueError(
            f"{source}: its config asks for {needed / 1e6:,.0f} million parameters, but its weights are "
            f"{stored / 1e6:,.1f} million numbers; the two are not of one model"
        )


def check_loaded(
    source: str | os.PathLike, network: PreTrainedModel, info: Mapping[str, Any], most_missing: float = 0.5
) -> None:
    """Refuse weights that leave a network as it was initialised, which would draw noise without a word.

    Args:
        source: folder or repository, for the error.
        network: as loaded.
        info: what `from_pretrained(..., output_loading_info=True)` gives beside it.
        most_missing: the part of its numbers that the files may lack; 0 wants every parameter.

    Raises:
        ValueError: one line that names the first parameter that is missing.
    """
    elsewhere = tuple(network._keys_to_ignore_on_load_missing or ())
    sizes = {
        name: parameter.numel()
        for name, parameter in network.named_parameters()
        if not any(re.search(pattern, name) for pattern in elsewhere)
    }
    missing = sorted(name for name in info["missing_keys"] if name in sizes)
    never = any(name.startswith(getattr(network, "whole_parts", ())) for name in missing)
    if never or sum(sizes[name] for name in missing) > most_missing * sum(sizes.values()):
        raise ValueError(
            f"{source}: its weights are not those of its config.json: {len(missing)} of {len(sizes)} tensors are "
            f"missing (first {missing[0]!r}), and would stay as random as they are made"
        )


def check_finite(source: str | os.PathLike, network: PreTrainedModel, info: Mapping[str, Any]) -> None:
    """Refuse weights with numbers that are none, of which every image would be black, or noise, without a word.

    Args:
        source, network, info: see `check_loaded`. What the files do not hold is not looked at.

    Raises:
        ValueError: one line that names the first tensor.
    """
    absent = set(info["missing_keys"])
    elsewhere = tuple(network._keys_to_ignore_on_load_missing or ())  # a backbone that is not in the files
    tensors = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point() and tensor.numel() and tensor.device.type != "meta" and name not in absent
        if not any(re.search(pattern, name) for pattern in elsewhere)
    }
    if not tensors:
        return
    # A sum is one pass without memory of its own, and no number in it is none; sums of large numbers may be.
    sums = torch.stack([tensor.sum(dtype=torch.float32).cpu() for tensor in tensors.values()]).isfinite().tolist()
    suspects = ((name, tensors[name]) for name, is_finite in zip(tensors, sums, strict=True) if not is_finite)
    for name, tensor in suspects:
        if tensor.isfinite().all():
            continue
        other = "" if tensor.dtype == torch.float32 else " or load it as torch.float32,"
        raise ValueError(
            f"{source}: its weight {name!r} holds NaN or infinite numbers in {tensor.dtype};{other} take an earlier "
            "checkpoint of the run, or fetch the file anew"
        )


__all__ = [
    "WHERE",
    "check_fetch",
    "check_finite",
    "check_header_length",
    "check_loaded",
    "check_weights",
    "pinned_revision",
    "stored_numbers",
    "weight_files",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Is a model that a visitor names small enough? The Hub tells the sizes of its files before one of them is fetched."""

import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, constants, try_to_load_from_cache

from ...hub.repositories import PublishError, errors_in_words
from ..uploads.limits import MAX_CONFIG_BYTES, MAX_REPOSITORY_FILES, megabytes
from .budget import Budget


HUB_SECONDS = 10  # for the Hub's answer whether there is such a repository
CONFIGS = ("config.json", "preprocessor_config.json", "model_index.json", "generation_config.json")
FOLDERS = ("", "discriminator")  # of a repository, that loaders look into
TAKEN = (".safetensors", ".bin", ".pt", ".pth", ".json", ".txt", ".md", ".py")  # what they may fetch


class _Downloaded:
    """Bytes that visitors had this process fetch."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.lock = threading.Lock()

    def add(self, name: str, count: int, limit: int) -> None:
        with self.lock:
            others = sum(size for key, size in self.names.items() if key != name)
            if others + count > limit:
                raise ValueError(
                    f"this page has already downloaded {megabytes(others)} of models, and its limit is "
                    f"{megabytes(limit)}: choose one that is loaded"
                )
            self.names[name] = count


DOWNLOADED = _Downloaded()


def check_download(source: str, budget: Budget) -> str | None:
    """Refuse a model before anything of it is fetched or read.

    Args:
        source: folder or Hub id.
        budget: of the page.

    Returns:
        The commit whose files were looked at, which is the one to load; None for a folder, or without the Hub.

    Raises:
        ValueError: no such repository, or its files are more or larger than the page takes; one line.
    """
    folder = Path(source)
    if folder.is_dir():
        sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in _local_files(folder) if p.is_file()}
        _check_sizes(sizes, budget)
        return None
    if constants.HF_HUB_OFFLINE:
        return None
    try:
        with errors_in_words(source, "it cannot be looked up now"):
            info = HfApi().model_info(source, timeout=HUB_SECONDS, files_metadata=True)
    except PublishError:
        if isinstance(try_to_load_from_cache(source, "config.json"), str):
            return None  # what lies here was small enough when it came
        raise
    files = info.siblings or []
    if len(files) > MAX_REPOSITORY_FILES:
        raise ValueError(
            f"its repository has {len(files):,} files, and this page accepts up to {MAX_REPOSITORY_FILES:,}"
        )
    sizes = {file.rfilename: file.size or 0 for file in files}
    total = _check_sizes(sizes, budget)
    DOWNLOADED.add(source, total, budget.downloaded_bytes)
    return getattr(info, "sha", None)


def _local_files(folder: Path) -> Iterator[Path]:
    for name in FOLDERS:
        yield from ((folder / name / config) for config in CONFIGS)


def _check_sizes(sizes: dict[str, Any], budget: Budget) -> int:
    """Bytes of the files that loaders may fetch."""
    total = 0
    for name, size in sizes.items():
        path = PurePosixPath(name)
        if path.parent.as_posix().replace(".", "") not in FOLDERS or path.suffix not in TAKEN:
            continue
        if path.name in CONFIGS and size > MAX_CONFIG_BYTES:
            raise ValueError(f"its {name} has {size:,} bytes, and this page reads up to {megabytes(MAX_CONFIG_BYTES)}")
        total += size
    if total > budget.model_bytes:
        raise ValueError(
            f"its files have {megabytes(total)}, and this page accepts models of up to {megabytes(budget.model_bytes)}"
        )
    return total


__all__ = ["DOWNLOADED", "check_download"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The manifest of a checkpoint: size and SHA-256 of each of its files, written when all of them are."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any


STATE_FOLDER = "training_state"
MANIFEST_FILE = "manifest.json"  # in the state folder: it does not go to the Hub
FORMAT = 1
# What people and commands change afterwards without touching the run: a card with its pictures.
MAY_CHANGE = ("README.md", "*.png", "*.jpg")
THREADS = 4


def write_manifest(folder: Path) -> None:
    """Describe all files of a checkpoint folder, and wait until they and the folders are on the disk."""
    target = folder / STATE_FOLDER / MANIFEST_FILE
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != target)
    with ThreadPoolExecutor(THREADS) as pool:  # hashing beside waiting for the disk
        entries = dict(zip([_name(path, folder) for path in files], pool.map(_describe, files), strict=True))
    target.write_text(json.dumps({"format": FORMAT, "files": entries}, indent=1))
    for path in [target, *(path for path in folder.rglob("*") if path.is_dir()), folder]:
        sync(path)


def has_manifest(folder: Path) -> bool:
    return (folder / STATE_FOLDER / MANIFEST_FILE).is_file()


def manifest_problem(folder: Path) -> str | None:
    """The first difference between a checkpoint folder and its manifest, None if there is none.

    Sizes are compared before contents are read. Further files in the folder are no difference, nor is a changed card.
    """
    target = folder / STATE_FOLDER / MANIFEST_FILE
    try:
        entries = _entries(json.loads(target.read_bytes()))
        checked = {name: entry for name, entry in entries.items() if not _may_change(name)}
        for name, entry in checked.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry["size"]:
                return f"{name} has {path.stat().st_size} bytes, its manifest says {entry['size']}"
        with ThreadPoolExecutor(THREADS) as pool:
            for name, digest in zip(checked, pool.map(_digest, [folder / name for name in checked]), strict=True):
                if digest != checked[name]["sha256"]:
                    return f"{name} does not have the SHA-256 of its manifest: its content changed"
    except OSError as error:
        return f"{error.filename or target} cannot be read ({error.strerror or error})"
    except (ValueError, RecursionError):
        return f"{STATE_FOLDER}/{MANIFEST_FILE} is no manifest"
    return None


def _entries(content: Any) -> dict[str, dict[str, Any]]:
    """The entries of a parsed manifest; ValueError if it is none, or names files outside of the folder."""
    entries = content.get("files") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries or content.get("format") != FORMAT:
        raise ValueError("no manifest")
    for name, entry in entries.items():
        place = PurePosixPath(name)
        if (
            not isinstance(entry, dict)
            or set(entry) != {"size", "sha256"}
            or place.is_absolute()
            or ".." in place.parts
        ):
            raise ValueError("no manifest")
    return entries


def _may_change(name: str) -> bool:
    return "/" not in name and any(fnmatch(name, pattern) for pattern in MAY_CHANGE)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _describe(path: Path) -> dict[str, Any]:
    entry = {"size": path.stat().st_size, "sha256": _digest(path)}
    sync(path)
    return entry


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of entries, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["MANIFEST_FILE", "STATE_FOLDER", "has_manifest", "manifest_problem", "sync", "write_manifest"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Folders and tables from strangers: what of them may be opened, and how their names are shown.

A name must be a line of text, a file must be a file: a pipe would be waited for, a device never ends. Where files are
copied to be passed on, links out of the folder are refused, since they would take along what lies elsewhere.
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import EpsImagePlugin

from ...configuration_rules import Text, shown


# Pillow gives PostScript, whatever its file is called, to a program that has run strangers' code more than once.
EpsImagePlugin.gs_binary = False
MAX_TEXT_BYTES = 64 * 2**20  # of a list of names, or the JSON of one picture with the picture inside
NAME = Text(255)


def check_file(path: Path) -> Path:
    """A file that stands in a folder.

    Raises:
        ValueError: a name that breaks lines or cannot be written, or something that is no file.
    """
    if not NAME.accepts(path.name):
        raise ValueError(
            f"{shown(str(path.parent))}: the name {path.name[:80]!a} has control characters or is no text; rename the "
            "file"
        )
    if not path.is_file():
        raise ValueError(
            f"{path}: no file, but a folder, a pipe, a device or a link to nothing; remove it, or put the file there"
        )
    return path


def read_text(path: Path, most_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text of a file.

    Raises:
        ValueError: no file, a longer one, or no UTF-8.
        OSError: it cannot be read.
    """
    with check_file(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # `read` takes memory for all that it is asked for
        data = file.read(min(size or most_bytes, most_bytes) + 1)
    if len(data) > most_bytes:
        raise ValueError(f"{path}: longer than {most_bytes // 2**20} MB, and such files are shorter")
    return data.decode("utf-8")


def is_inside(path: str | os.PathLike, root: str | os.PathLike) -> bool:
    """Whether a path lies below a folder once all links are followed; `root` itself has none left."""
    return os.path.realpath(path).startswith(os.path.join(root, ""))


def links_out(root: str | os.PathLike, paths: Iterable[Path]) -> Iterator[Path]:
    """Those of some files that stand in a folder and lie elsewhere."""
    inside, real = os.path.join(os.path.abspath(root), ""), os.path.realpath(root)
    folders: dict[str, bool] = {}  # whether it lies inside; to follow all links of each file takes time
    for path in paths:
        place = os.path.abspath(path)
        if not place.startswith(inside):
            continue
        folder = os.path.dirname(place)
        if folder not in folders:
            folders[folder] = is_inside(os.path.join(folder, "x"), real)
        if not folders[folder] or (os.path.islink(place) and not is_inside(place, real)):
            yield path


def check_links(root: str | os.PathLike, paths: Iterable[Path]) -> None:
    """Refuse files that stand in a folder and lie elsewhere.

    Raises:
        ValueError: the first one; one line.
    """
    for path in links_out(root, paths):
        raise ValueError(
            f"{path} is a link out of {root}: what lies there would be passed on; put the file itself there, or "
            "say --follow_links if the links are yours"
        )


def tell_links(root: str | os.PathLike, paths: Iterable[Path]) -> None:
    """Warn in one line of files that stand in a folder and lie elsewhere: people link their disks, others theirs."""
    found = list(links_out(root, paths))
    if found:
        first, target = shown(str(found[0])), shown(os.path.realpath(found[0]))
        warnings.warn(
            f"{shown(str(root))}: {len(found)} of its files lie elsewhere, by links ({first} is {target}); they are "
            "used, and pictures of a run may show them: remove links that are not yours",
            stacklevel=4,
        )


def check_cells(name: str, cells: Iterable[Any], roots: list[str]) -> None:
    """Refuse cells of a table that name a file instead of holding it, unless it came with the table.

    Args:
        name: what errors call the table.
        cells: of a column of undecoded images.
        roots: folders in which the table's own files lie, without links.

    Raises:
        ValueError: one line with the path.
    """
    for path in _paths(cells):
        if not any(is_inside(path, root) for root in roots):
            raise ValueError(
                f"{name}: a row names the file {shown(path[:200])!r} instead of holding its picture; only files of "
                "the set itself are read: store the bytes in the table"
            )


def _paths(cells: Iterable[Any]) -> Iterator[str]:
    for cell in cells:
        if isinstance(cell, str):
            yield cell
        elif isinstance(cell, dict) and cell.get("bytes") is None and cell.get("path") is not None:
            yield str(cell["path"])


__all__ = [
    "MAX_TEXT_BYTES",
    "NAME",
    "check_cells",
    "check_file",
    "check_links",
    "is_inside",
    "links_out",
    "read_text",
    "tell_links",
]

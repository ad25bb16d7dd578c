# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The class lists that annotation tools and datasets come with, by content.

CVAT's labelmap.txt, COCO's category list, Mapillary's config, Supervisely's meta.json, GIMP palettes (.gpl), CamVid's
label_colors.txt (r g b name), Roboflow's _classes.csv, and lists of names, with or without ids (Labelme, VOC):
`read_class_table` gives their rows, `label_fields` a label space. A classes.json of this package is none of them.
"""

import json
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...image_processing_files import default_palette, listing
from .labels import LabelEncoding


FORMS = (
    "CVAT's labelmap.txt, COCO's category list, Mapillary's config, Supervisely's meta.json, a GIMP palette (.gpl), "
    "label_colors.txt (r g b name), Roboflow's _classes.csv, or a list of names"
)
FILE_NAMES = (
    "labelmap.txt",
    "_classes.csv",
    "label_colors.txt",
    "class_names.txt",
    "classes.txt",
    "labels.txt",
    "label_names.txt",
    "meta.json",
    "config.json",
)
MAX_BYTES = 2_000_000  # of a class table
MAX_LINE = 300  # characters; longer ones are no row of it
MAX_ROWS = 4096  # classes
FILE_VALUES = "file_values"  # the label encoding of a list whose ids are not 0..n-1
VOID_NAMES = ("void", "unlabeled", "unlabelled", "ignore", "ignored", "unknown", "outofroi")
LABELME_IGNORE = "__ignore__"
BORDER = (224, 224, 192)  # Pascal VOC's colour of void


class ClassRow(NamedTuple):
    """A class of a list: where it stands, its name, colour (r, g, b) and id in files (None: not told)."""

    where: str
    name: str
    color: tuple[int, int, int] | None = None
    id: int | None = None


def plain_name(name: str) -> str:
    """A class name without case, spaces, hyphens and underscores: "SignSymbol" is "sign_symbol" is "sign symbol"."""
    return "".join(name.casefold().replace("_", " ").replace("-", " ").split())


def read_class_table(text: str, name: str, only_names: bool = True) -> list[ClassRow] | None:
    """The rows of a class list.

    Args:
        text: Of the file.
        name: What errors call it.
        only_names: Also take a list of bare names.

    Returns:
        None if it is no such list.

    Raises:
        ValueError: a list with a row that is not understood.
    """
    if text.lstrip()[:1] in ("{", "["):
        return _json_rows(text, name)
    for read in (_gimp, _cvat, _roboflow, _colors_first, _ids_first):
        rows = _checked(read, text, name)
        if rows:
            return rows
    return _names(text) if only_names else None


def _checked(read: Callable[[str], Iterator[ClassRow]], text: str, name: str) -> list[ClassRow]:
    rows = list(read(text))
    for row in rows:
        if row.color is not None and not all(0 <= value <= 255 for value in row.color):
            raise ValueError(f"{name}, {row.where}: {row.color} is no colour; three whole numbers in 0..255 are")
    return rows


# -- forms ------------------------------------------------------------------------------------------------------------


def _lines(text: str) -> list[tuple[int, str]]:
    """Number and words of each line that is not empty; none of a text that is no list, by its long lines.

    No regular expressions here: a stranger's table is parsed in linear time.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    return [] if any(len(line) > MAX_LINE for _, line in lines) else lines


def _whole(word: str, digits: int = 3) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= digits


def _gimp(text: str) -> Iterator[ClassRow]:
    """GIMP Palette, Name: ..., then `r g b<TAB>name`."""
    if text.lstrip().startswith("GIMP Palette"):
        yield from _colors_first(text)


def _colors_first(text: str) -> Iterator[ClassRow]:
    """`r g b name`, other lines ignored; nothing unless most lines are such."""
    meant = [(n, line) for n, line in _lines(text) if not line.startswith(("#", "GIMP Palette", "Name:", "Columns:"))]
    words = [(number, line.split(None, 3)) for number, line in meant]
    if all(len(parts) == 4 and all(map(_whole, parts[:3])) for _, parts in words):
        for number, (*color, label) in words:
            yield ClassRow(f"line {number}", label, _rgb(map(int, color)))


def _ids_first(text: str) -> Iterator[ClassRow]:
    """`1 background`, in every line."""
    words = [(number, line.split(None, 1)) for number, line in _lines(text)]
    if all(
        len(parts) == 2 and _whole(parts[0].rstrip(":"), 5) and not parts[1][0].isdigit() and parts[1][0] not in ",;#"
        for _, parts in words
    ):
        for number, (value, label) in words:
            yield ClassRow(f"line {number}", label, id=int(value.rstrip(":")))


def _cvat(text: str) -> Iterator[ClassRow]:
    """`# label:color_rgb:parts:actions`, then `road:128,64,128::`."""
    for number, line in _lines(text):
        parts = line.split(":")
        color = [word.strip() for word in parts[1].split(",")] if len(parts) == 4 else []
        if not line.startswith("#") and parts[0].strip() and len(color) == 3 and all(map(_whole, color)):
            yield ClassRow(f"line {number}", parts[0].strip(), _rgb(map(int, color)))


def _roboflow(text: str) -> Iterator[ClassRow]:
    """`Pixel Value, Class`, then `0, background`."""
    rows = [(number, [cell.strip() for cell in line.split(",")]) for number, line in _lines(text)]
    if rows and [cell.lower() for cell in rows[0][1]] == ["pixel value", "class"]:
        for number, cells in rows[1:]:
            if len(cells) == 2 and _whole(cells[0], 5) and cells[1]:
                yield ClassRow(f"line {number}", cells[1], id=int(cells[0]))


def _names(text: str) -> list[ClassRow] | None:
    """One name a line."""
    lines = _lines(text)
    if len(lines) < 2 or any(len(line) > 80 or set(line) & set("\t;:{}<>=") for _, line in lines):
        return None
    for _, line in lines:  # a CSV of something else
        first, *others = line.split(",")
        if any(cell.strip()[:1].isdigit() for cell in others) or (others and first.strip().isdigit()):
            return None
    return [ClassRow(f"line {number}", line) for number, line in lines]


def _json_rows(text: str, name: str) -> list[ClassRow] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None  # whoever reads JSON here has words for it
    entries: Any = content
    by_position = False
    if isinstance(content, dict):
        if isinstance(content.get("categories"), list):  # COCO
            entries = content["categories"]
        elif isinstance(content.get("labels"), list):  # Mapillary
            entries, by_position = content["labels"], True
        elif isinstance(content.get("classes"), list) and _all_have(content["classes"], "title"):  # Supervisely
            entries, by_position = content["classes"], True
        else:
            return None
    if isinstance(entries, list) and entries and all(isinstance(entry, str) for entry in entries):
        return [ClassRow(f"entry {i}", entry) for i, entry in enumerate(entries, start=1)]
    if not isinstance(entries, list) or not entries or not (_all_have(entries, "name") or _all_have(entries, "title")):
        return None
    return [_json_row(entry, i, by_position, name) for i, entry in enumerate(entries)]


def _all_have(entries: list[Any], key: str) -> bool:
    return bool(entries) and all(isinstance(entry, dict) and isinstance(entry.get(key), str) for entry in entries)


def _json_row(entry: dict[str, Any], position: int, by_position: bool, name: str) -> ClassRow:
    where = f"entry {position + 1}"
    label = entry.get("readable") or entry.get("title") or entry["name"]
    number = None if by_position else entry.get("id")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**16):
        raise ValueError(f"{name}, {where}: the id {str(number)[:40]!r} is no whole number in 0..65535")
    return ClassRow(where, str(label), _json_color(entry.get("color"), f"{name}, {where}"), number)


def _rgb(values: Iterable[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return red, green, blue


def _json_color(value: Any, where: str) -> tuple[int, int, int] | None:
    if value is None:
        return None
    digits = value.removeprefix("#") if isinstance(value, str) else ""
    if len(digits) == 6 and set(digits) <= set(string.hexdigits):
        return _rgb(bytes.fromhex(digits))
    if isinstance(value, list) and len(value) in (3, 4) and all(type(v) is int and 0 <= v <= 255 for v in value):
        return _rgb(value[:3])
    raise ValueError(f'{where}: {str(value)[:40]} is no colour; write "#rrggbb" or three whole numbers in 0..255')


# -- a label space ----------------------------------------------------------------------------------------------------


def find_class_table(*folders: Path) -> Path | None:
    """The class list that stands in the first of some folders that has one."""
    for folder in folders:
        for file_name in FILE_NAMES:
            path = folder / file_name
            if path.is_file() and rows_of_file(path):
                return path
    return None


def rows_of_file(path: Path) -> list[ClassRow] | None:
    """`read_class_table` of a file; None also for what is too large or no text."""
    if path.stat().st_size > MAX_BYTES:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None
    return read_class_table(text, str(path))


def label_fields(rows: list[ClassRow], name: str) -> dict[str, Any]:
    """The fields of a `DatasetSpec` of a class list.

    Void is the class that is called so (void, unlabeled, ignore, ...), else one that is added at the end; the value
    255 in files means void too where no class has it.

    Raises:
        ValueError: a name or id twice.
    """
    rows = [row for row in rows if row.name != LABELME_IGNORE]
    if len(rows) > MAX_ROWS:
        raise ValueError(f"{name}: {len(rows)} classes; at most {MAX_ROWS} are read")
    for what in ("name", "id"):
        counts = Counter(getattr(row, what) for row in rows if getattr(row, what) is not None)
        double = next((value for value, count in counts.items() if count > 1), None)
        if double is not None:
            raise ValueError(f"{name}: the {what} {double!r} stands twice; every class needs its own")
    has_ids = all(row.id is not None for row in rows)
    rows = sorted(rows, key=lambda row: row.id or 0) if has_ids else rows
    labels = [row.name.strip("_") if row.name == "_background_" else row.name for row in rows]
    void = next((i for i, label in enumerate(labels) if plain_name(label) in VOID_NAMES), None)
    palette = _distinct_colors([row.color for row in rows] + [BORDER] * (void is None))
    values = [row.id for row in rows] if has_ids else list(range(len(rows)))
    if void is None:
        void = len(labels)
        labels.append("void")
    fields: dict[str, Any] = {"name": name, "labels": tuple(labels), "palette": palette, "void_label_id": void}
    fields["has_colors"] = any(row.color is not None for row in rows)
    fields["void_values"] = () if 255 in values else (255,)
    if values != list(range(len(values))):
        pairs = tuple((value, i) for i, value in enumerate(values))
        if 0 not in values:
            pairs = ((0, void), *pairs)
        note = f"the ids of the class list: {listing([f'{v} {labels[i]}' for v, i in pairs], 6)}"
        fields |= {"label_encoding": FILE_VALUES, "label_encodings": (LabelEncoding(FILE_VALUES, None, pairs, note),)}
    return fields


def _distinct_colors(colors: list[tuple[int, int, int] | None]) -> tuple[tuple[int, int, int], ...]:
    """One colour per class, all different: those of the list, Pascal VOC's where there is none or it is taken."""
    spare = [_rgb(color) for color in default_palette(2 * len(colors) + 1)]
    taken = {color for color in colors if color is not None}
    free = iter(spare)
    palette: dict[tuple[int, int, int], None] = {}  # in order, and looked up at once
    for position, color in enumerate(colors):
        if color is None or color in palette:
            preferred = spare[position]
            is_free = preferred not in taken and preferred not in palette
            color = preferred if is_free else next(c for c in free if c not in taken and c not in palette)
        palette[color] = None
    return tuple(palette)


__all__ = ["FORMS", "ClassRow", "find_class_table", "label_fields", "plain_name", "read_class_table", "rows_of_file"]

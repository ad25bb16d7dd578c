# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Foreign class names and colours in a model's terms: names are matched, colour tables (JSON, CSV) read."""

import csv
import difflib
import io
import json
import re
import reprlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from ...data.encodings.class_tables import plain_name, read_class_table
from ...image_processing_files import listing
from ...image_processing_semantic import SemanticImageProcessor
from .limits import MAX_TABLE_BYTES, MAX_TABLE_ROWS, Upload, megabytes, read_upload, upload_name


# Words for one thing in the class lists of ADE20K (with its synonym lists), COCO-Stuff, Cityscapes and CamVid.
SYNONYMS = (
    ("sidewalk", "pavement", "footpath", "footway"),
    ("person", "pedestrian", "people", "human"),
    ("tree", "vegetation", "palm", "bush"),
    ("rider", "bicyclist", "cyclist"),
    ("car", "automobile", "auto", "motorcar"),
    ("traffic sign", "sign", "street sign", "signboard", "sign symbol"),
    ("traffic light", "traffic signal", "stoplight"),
    ("building", "house", "skyscraper", "edifice"),
    ("sky", "cloud"),
    ("road", "street", "route"),
    ("motorcycle", "motorbike", "minibike"),
    ("bicycle", "bike"),
    ("airplane", "aeroplane", "plane"),
    ("sofa", "couch"),
    ("rug", "carpet"),
    ("window", "windowpane"),
    ("television", "tv"),
    ("earth", "ground", "dirt"),
    ("terrain", "grass"),
    ("rock", "stone"),
    ("pole", "column pole"),
    ("fence", "fencing"),
    ("railing", "guard rail", "rail"),
    ("refrigerator", "fridge"),
)
PLAIN_SYNONYMS = [[plain_name(word) for word in group] for group in SYNONYMS]
MAX_COMPARED = 500  # names of a table that are compared with the model's for mistyping
MAX_NAME = 1000  # characters of a class name that are compared
VOID_NAMES = ("void", "unlabeled", "unlabelled", "unknown", "other", "background", "ignore", "none")
HEADER = {"class": "name", "label": "name", "colour": "color", "hex": "color", "red": "r", "green": "g", "blue": "b"}
FORMS = (
    'JSON {"road": [128, 64, 128]} or {"#804080": "road"}, CSV with a header name,r,g,b or name,color, a GIMP '
    "palette, or the class list of CVAT, COCO, Mapillary or Supervisely with colours"
)


class ClassNames:
    """Finds the model's class for a name of another list.

    Args:
        processor: whose classes are looked among.
    """

    def __init__(self, processor: SemanticImageProcessor) -> None:
        self.labels = list(processor.id2label.values())
        self.void_label_id = processor.void_label_id
        self._ids: dict[str, int] = {}
        for keys in (_whole, _parts, _singular, _without_other):
            for label_id, label in enumerate(self.labels):
                for key in keys(label[:MAX_NAME]):
                    self._ids.setdefault(key, label_id)

    def find(self, name: str) -> int | None:
        """The class called so, or else by a part of the name, its singular, a synonym, or what stands before "-"."""
        name = name[:MAX_NAME]
        for key in [*_spellings(name), *_spellings(name.partition("-")[0])]:
            if key in self._ids:
                return self._ids[key]
        return self.void_label_id if _normal(name) in VOID_NAMES else None

    def require(self, value: Any) -> int:
        """The class of a name or id in a table.

        Raises:
            ValueError: there is none.
        """
        found = self.find(value) if isinstance(value, str) else None
        if found is None and isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value.strip()):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value < len(self.labels):
                raise ValueError(
                    f"class id {reprlib.repr(value)} is out of range: legal are 0..{len(self.labels) - 1}"
                )
            return value
        if found is None:
            labels = [label[:60] for label in self.labels[:1000]]  # comparing is quadratic in the lengths
            near = difflib.get_close_matches(value[:60], labels, n=1) if isinstance(value, str) else []
            hint = f"did you mean {near[0]!r}? " if near else ""
            shown = reprlib.repr(value)  # short, however long or deep
            raise ValueError(f"{shown} is not a class of this model; {hint}its classes: {listing(self.labels)}")
        return found


def _normal(name: str) -> str:
    return plain_name(unicodedata.normalize("NFKC", name))


def _whole(name: str) -> list[str]:
    return [key for key in [_normal(name)] if key]


def _parts(name: str) -> list[str]:
    return [key for key in map(_normal, re.split(r"[,;]", name)) if key]


def _singular(name: str) -> list[str]:
    keys = [*_whole(name), *_parts(name)]
    return [key[:-1] if len(key) > 3 and key[-1] == "s" and key[-2] != "s" else key for key in keys]


def _without_other(name: str) -> list[str]:
    head, _, tail = name.partition("-")  # COCO-Stuff: "sky-other" is every sky without a class of its own
    return _whole(head) if tail.casefold() in ("other", "stuff") else []


def _spellings(name: str) -> list[str]:
    keys = [*_whole(name), *_parts(name), *_singular(name)]
    return keys + [word for key in keys for group in PLAIN_SYNONYMS if key in group for word in group]


@dataclass(frozen=True)
class ColorTable:
    """What the colours of a file mean in the model's classes.

    Args:
        colors: (r, g, b) in 0..255, all different.
        ids: the model's class of each colour; several colours may be one class.
        left_out: the table's classes that are none of the model's, and become void.
    """

    colors: tuple[tuple[int, int, int], ...]
    ids: tuple[int, ...]
    left_out: tuple[str, ...] = ()

    def processor(self, model: SemanticImageProcessor) -> SemanticImageProcessor:
        """Decodes files to ROWS of this table, by the rules of the model's own processor."""
        void = self.ids.index(model.void_label_id) if model.void_label_id in self.ids else None
        return SemanticImageProcessor(
            id2label={row: model.id2label[label_id] for row, label_id in enumerate(self.ids)},
            palette=[list(color) for color in self.colors],
            void_label_id=void,
            color_tolerance=model.color_tolerance,
            max_unmatched_share=model.max_unmatched_share,
        )


class _Row(NamedTuple):
    """One colour: where it stands in the file, what it is written as, and the class it is given."""

    where: str
    color: Any
    label: Any


def read_color_table(file: Upload, processor: SemanticImageProcessor, name: str | None = None) -> ColorTable:
    """Read a colour table, JSON or CSV by content.

    Args:
        file: path or binary file object. JSON: a classes.json, {name: colour or list of colours} or {"#rrggbb": name};
            a colour is [r, g, b] or "#rrggbb". CSV (comma, semicolon or tab) with a header: name or label, or id;
            r, g, b or color. Where a name and an id stand, the name counts: ids of other lists differ.
        processor: the model's.
        name: what messages call a file object.

    Raises:
        ValueError: too large, unreadable, or a row that is not understood; one line that names file and row.
    """
    name = upload_name(file, name)
    data = read_upload(file, name, MAX_TABLE_BYTES, "a colour table has one short row per colour")
    rows = list(_rows(_text(data, name), name))
    if len(rows) > MAX_TABLE_ROWS:
        raise ValueError(f"{name}: more than {MAX_TABLE_ROWS:,} colours; leave out those that do not occur")
    names, table, left_out = ClassNames(processor), {}, []
    may_leave_out = _is_foreign_list(rows, names)
    for row in rows:
        try:
            color = _color(row.color)
            if may_leave_out and isinstance(row.label, str) and names.find(row.label) is None:
                left_out.append(row.label)
                label_id = processor.void_label_id
            else:
                label_id = names.require(row.label)
        except ValueError as error:
            raise ValueError(f"{name}, {row.where}: {error}") from None
        before = table.setdefault(color, (label_id, row.where))
        if before[0] != label_id:
            classes = f"{names.labels[before[0]]!r} ({before[1]}) and {names.labels[label_id]!r} ({row.where})"
            raise ValueError(f"{name}: the colour {color} is given two classes, {classes}; keep one")
    if not table:
        raise ValueError(f"{name}: no colour in it; expected {FORMS}")
    return ColorTable(tuple(table), tuple(label_id for label_id, _ in table.values()), tuple(left_out))


def _rows(text: str, name: str) -> Iterator[_Row]:
    """The colours of a table of any form."""
    foreign = read_class_table(text, name, only_names=False)
    if foreign is not None:
        if all(row.color is None for row in foreign):
            raise ValueError(f"{name}: a class list without colours; expected {FORMS}")
        yield from (_Row(row.where, list(row.color), row.name) for row in foreign if row.color is not None)
        return
    rows = _json_rows(text, name) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, name)
    yield from islice(rows, MAX_TABLE_ROWS + 1)


def _is_foreign_list(rows: list[_Row], names: ClassNames) -> bool:
    """Whether a table is the list of a larger label space, whose further classes become void, rather than mistyped.

    It then names most of the model's classes, and none of the names it has beside them is nearly one of theirs.
    """
    if names.void_label_id is None:
        return False
    labels = [row.label for row in rows if isinstance(row.label, str)]
    found = {names.find(label) for label in labels} - {None, names.void_label_id}
    if len(found) < 3 or 2 * len(found) < len(names.labels) - 1:
        return False
    plain = [plain_name(label) for label in names.labels]
    others = {plain_name(label[:60]) for label in labels[:MAX_COMPARED] if names.find(label) is None}
    return not any(difflib.get_close_matches(other, plain, n=1, cutoff=0.85) for other in others)


def _text(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"{name}: not UTF-8 text, as a colour table must be ({megabytes(MAX_TABLE_BYTES)} at most)")
    return text


def _color(value: Any) -> tuple[int, int, int]:
    """[r, g, b] or "#rrggbb" -> (r, g, b)."""
    if isinstance(value, str) and re.fullmatch(r"#?[0-9a-fA-F]{6}", value.strip()):
        return tuple(bytes.fromhex(value.strip().removeprefix("#")))
    if isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        return tuple(value)
    raise ValueError(f'{reprlib.repr(value)} is not a colour; write "#rrggbb" or three whole numbers in 0..255')


# --- JSON ------------------------------------------------------------------------------------------------------------


def _json_rows(text: str, name: str) -> Iterator[_Row]:
    try:
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise ValueError(f"{name}: nested too deeply for a colour table; expected {FORMS}") from None
    except ValueError as error:
        raise ValueError(f"{name}: not readable as JSON ({str(error)[:160]})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name}: a JSON list is not a colour table; expected {FORMS}")
    return _class_list_rows(content, name) if "classes" in content else _mapping_rows(content)


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in a colour table")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} occurs twice; several colours of one class are a list of colours")
        found[key] = value
    return found


def _class_list_rows(content: dict[str, Any], name: str) -> Iterator[_Row]:
    classes, void_index = content["classes"], content.get("void_index")
    if not isinstance(classes, list):
        raise ValueError(f'{name}: "classes" must be a list of {{"name", "color"}}')
    for number, entry in enumerate(classes, start=1):
        where = f"class {number}"
        if not isinstance(entry, dict) or "color" not in entry or not {"id", "name"} & entry.keys():
            raise ValueError(f'{name}, {where}: needs a "color", and a "name" or an "id"')
        void = isinstance(void_index, int) and entry.get("id") == void_index
        yield _Row(where, entry["color"], "void" if void else entry.get("name", entry.get("id")))
    if "void_color" in content:
        yield _Row('"void_color"', content["void_color"], "void")


def _mapping_rows(content: dict[str, Any]) -> Iterator[_Row]:
    for key, value in content.items():
        where = f"{key[:60]!r}"
        if key.startswith("#"):
            yield _Row(where, key, value)
        elif isinstance(value, list) and value and all(isinstance(item, (list, str)) for item in value):
            yield from (_Row(where, item, key) for item in value)
        else:
            yield _Row(where, value, key)


# --- CSV -------------------------------------------------------------------------------------------------------------


def _csv_rows(text: str, name: str) -> Iterator[_Row]:
    lines = text.lstrip().split("\n", 1)
    delimiter = max(",;\t", key=lines[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    columns: list[str] | None = None
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if columns is None:
                columns = _columns(cells, name)
            elif len(cells) != len(columns):
                raise ValueError(f"{name}, line {reader.line_num}: {len(cells)} cells, the header has {len(columns)}")
            else:
                yield _csv_row(dict(zip(columns, cells, strict=True)), f"line {reader.line_num}")
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: not readable as CSV ({error})") from None


def _columns(cells: list[str], name: str) -> list[str]:
    columns = [HEADER.get(cell.lower(), cell.lower()) for cell in cells]
    has_color = {"r", "g", "b"} <= set(columns) or "color" in columns
    if not has_color or not {"name", "id"} & set(columns) or len(set(columns)) < len(columns):
        raise ValueError(f"{name}: the first line is not the header of a colour table; expected {FORMS}")
    return columns


def _csv_row(cells: dict[str, str], where: str) -> _Row:
    if "color" in cells:
        color: Any = cells["color"]
    else:
        color = [int(cells[c]) if re.fullmatch("[0-9]{1,3}", cells[c]) else cells[c][:10] for c in "rgb"]
    return _Row(where, color, cells.get("name") or cells.get("id"))


__all__ = ["ClassNames", "ColorTable", "read_color_table"]

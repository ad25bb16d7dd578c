# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Uploaded label maps: a PNG in the model's label space, in a known dataset's, or in the colours of a table."""

import json
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from ...data.specs import DatasetSpec, label_presets
from ...image_processing_files import count_values, listing, packed_colors, strips, unpacked_colors
from ...image_processing_label_files import LabelPixels, check_format, open_label, raw_mode
from ...image_processing_reading import READINGS, LabelMap, Reading, numbers_of
from ...image_processing_semantic import SemanticImageProcessor
from .color_tables import ClassNames, read_color_table
from .limits import (
    LISTED_COLORS,
    MAX_COLORS,
    MAX_FILE_BYTES,
    MAX_UNMATCHED_PIXELS,
    Upload,
    load_pixels,
    one_at_a_time,
    open_header,
    read_upload,
    upload_name,
)


MODES = {
    "1": "1-bit index PNG",
    "L": "8-bit index PNG",
    "LA": "8-bit index PNG with transparency",
    "I;16": "16-bit index PNG",
    "I": "16-bit index PNG",
    "F": "index PNG of floating-point values",
    "P": "palette PNG: its indices",
    "RGB": "colour PNG",
    "RGBA": "colour PNG with transparency",
}
READ_AS = [("what explains every pixel", "")] + [(f"{name}: {text}", name) for name, text in READINGS.items()]


class UnmatchedColor(NamedTuple):
    """A colour (r, g, b) of no class, the number of its pixels, and the class that most of them were given."""

    color: tuple[int, int, int]
    count: int
    label: str


class TranslatedClass(NamedTuple):
    """A class of the file's label space, the model's class for it (None: none, it became void), and its pixels."""

    source: str
    label: str | None
    pixels: int


@dataclass(frozen=True)
class LabelFile:
    """A decoded label file.

    Args:
        name: of the file, without folder.
        label_map: (height, width) int64, the model's class ids, at the file's own size.
        mode: description of the kind of file.
        unmatched: the most frequent colours of no class (within the processor's tolerance), at most LISTED_COLORS.
        unmatched_colors: number of all colours of no class.
        unmatched_pixels: number of their pixels.
        translated: what became of the classes of another label space, most pixels first.
        notes: what else the reader should know, one sentence each.
        reading: how it was read, and why so.
    """

    name: str
    label_map: np.ndarray
    mode: str
    unmatched: tuple[UnmatchedColor, ...] = ()
    unmatched_colors: int = 0
    unmatched_pixels: int = 0
    translated: tuple[TranslatedClass, ...] = ()
    notes: tuple[str, ...] = ()
    reading: Reading | None = None

    @property
    def source_size(self) -> tuple[int, int]:
        """(height, width) of the file."""
        height, width = self.label_map.shape
        return height, width


def label_spaces() -> tuple[str, ...]:
    """Names of the known label spaces."""
    return tuple(label_presets())


@cache
def label_space(name: str) -> tuple[DatasetSpec, str]:
    """A known label space and a sentence about its files; unlike `load_label_preset` it opens no other file.

    Raises:
        ValueError: an unknown name.
    """
    if name not in label_spaces():
        raise ValueError(f"label space {name[:60]!r} is unknown: choose one of {', '.join(label_spaces())}")
    path = label_presets()[name]
    return DatasetSpec.from_json(path), json.loads(path.read_text(encoding="utf-8")).get("note", "")


def read_label_file(
    file: Upload,
    processor: SemanticImageProcessor,
    space: str | None = None,
    color_table: Upload | None = None,
    name: str | None = None,
    reading: str | None = None,
) -> LabelFile:
    """Decode an uploaded label map.

    Args:
        file: path or binary file object of a PNG: class ids (8 or 16 bit), a palette file, or colours.
        processor: the model's.
        space: name of a known label space that the file is in; None is the model's own. Classes are matched by name;
            those without a match become void.
        color_table: path or file object that gives colours a class of the model, see `read_color_table`; a palette
            file is then read by its colours, a file of ids is refused.
        name: what messages call a file object.
        reading: a key of READINGS says how it is meant; None finds out, as `decode_label_map` does.

    Raises:
        ValueError: not such a PNG, beyond the limits, or values that have no class; one line that names the file.
    """
    if space and color_table is not None:
        raise ValueError("a colour table and a label space at once: the table names the model's classes, choose one")
    name = upload_name(file, name)
    table = None if color_table is None else read_color_table(color_table, processor)
    reader = label_space(space)[0].image_processor() if space else processor
    lossy = (reading or reader.label_reading) == "nearest_colors"
    pixels, mode = _open_label_png(file, name, lossy)
    if table is not None:
        reading = _color_reading(pixels, mode, name, reading)
        reader = table.processor(processor)
    with one_at_a_time():
        census = _Census(pixels, reader, name) if pixels.kind == "colors" else None
        found = _decode(pixels, reader, name, space, table is not None, reading)
        decision, label_map = found.reading, np.asarray(found)
        translated: tuple[TranslatedClass, ...] = ()
        if table is not None:
            _look_up(label_map, np.asarray(table.ids, dtype=np.int64))
        elif space:
            label_map, translated = _translate(label_map, label_space(space)[0], processor, name)
        by_color = census is not None and decision.name in ("colors", "nearest_colors")
        facts = census.facts(label_map, processor) if by_color else {}
    notes = [f"{space}: {label_space(space)[1]}"] if space and label_space(space)[1] else []
    if pixels.kind == "palette" and "colors" in decision.name:
        mode = "palette PNG: its colours"
    if table is not None and table.left_out:
        lost = listing(list(table.left_out))
        notes = (f"The colour table's classes that this model has not became void: {lost}.",)
    notes = (*notes, *decision.notes)
    return LabelFile(name, label_map, mode, translated=translated, notes=notes, reading=decision, **facts)


def size_note(label_file: LabelFile, working_size: tuple[int, int]) -> str:
    """One sentence on the size that is used.

    Args:
        label_file: from `read_label_file`.
        working_size: (height, width) that will be generated.
    """
    (height, width), (source_height, source_width) = working_size, label_file.source_size
    if (height, width) == (source_height, source_width):
        return f"{label_file.name}: {width} × {height} pixels, used as it is."
    text = f"{label_file.name}: {source_width} × {source_height} pixels, used at {width} × {height} (nearest neighbour"
    stretch = (width / height) / (source_width / source_height)
    if abs(np.log(stretch)) > 0.02:
        text += f"; the aspect ratio changes by {100 * abs(stretch - 1):.0f} %"
    return text + ")."


def _open_label_png(file: Upload, name: str, lossy: bool) -> tuple[LabelPixels, str]:
    """The opened file and a description of its kind."""
    data = read_upload(file, name, MAX_FILE_BYTES, "save it as an index PNG, or scale it down (nearest neighbour)")
    image = open_header(data, name)
    raw = raw_mode(image)
    if image.format == "PNG" and data[12:16] != b"IHDR":
        raise ValueError(f"{name}: damaged image (its header is not in front); save it again")
    check_format(image.format, raw, name, lossy)
    load_pixels(image, name)
    pixels = open_label(image, name, lossy, raw)
    kind = f"{raw[-1]}-bit index PNG" if raw in ("L;2", "L;4") else MODES.get(image.mode, f"{image.mode} PNG")
    return pixels, kind.replace("PNG", image.format or "PNG")


def _color_reading(pixels: LabelPixels, mode: str, name: str, reading: str | None) -> str:
    """The reading under a colour table."""
    if pixels.kind == "numbers":
        raise ValueError(f"{name}: a colour table applies to colour files, this is an {mode}; leave the table out")
    if reading is not None and "colors" not in reading:
        raise ValueError(f"{name}: a colour table and the reading {reading} at once: choose one")
    return reading or "colors"


def _decode(
    pixels: LabelPixels,
    reader: SemanticImageProcessor,
    name: str,
    space: str | None,
    is_table: bool,
    reading: str | None,
) -> LabelMap:
    try:
        return reader.decode_label_map(pixels, name, reading)
    except ValueError as error:
        if is_table:
            hint = "add the missing colours to the colour table"
        elif space:
            hint = f"read as {space}: {label_space(space)[1]}"
        else:
            hint = "if it is made for other classes, choose its label space or add a colour table"
        raise ValueError(f"{error} ({hint})") from None


def _translate(
    label_map: np.ndarray, spec: DatasetSpec, processor: SemanticImageProcessor, name: str
) -> tuple[np.ndarray, tuple[TranslatedClass, ...]]:
    """Ids of another label space -> ids of the model, and what became of the classes that occur."""
    counts = np.bincount(label_map.ravel(), minlength=spec.num_labels)
    names, void = ClassNames(processor), processor.void_label_id
    lookup, rows = np.zeros(spec.num_labels, dtype=np.int64), []
    for label_id in np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].tolist():
        source = spec.labels[label_id]
        found = void if label_id == spec.void_label_id else names.find(source)
        lookup[label_id] = next((new for new in (found, void) if new is not None), 0)
        rows.append(TranslatedClass(source, None if found is None else names.labels[found], int(counts[label_id])))
    lost = [f"{row.source} ({row.pixels} pixels)" for row in rows if row.label is None]
    if lost and void is None:
        raise ValueError(
            f"{name}: this model has neither a class for {listing(lost)} of {spec.name} nor one for unknown things; "
            "save the file in colours and add a colour table that gives each a class of this model"
        )
    _look_up(label_map, lookup)
    return label_map, tuple(rows)


def _look_up(label_map: np.ndarray, table: np.ndarray) -> None:
    """Other ids in place: a copy of the largest map takes 200 MB."""
    for rows, part in strips(label_map):
        label_map[rows] = table[part]


class _Census:
    """The colours of a file that are no class's; `decode_label_map` itself only tells how many pixels have one.

    Args:
        pixels: of colours.
        reader: whose palette counts.
        name: of the file.

    Raises:
        ValueError: so many colours or unmatched pixels that decoding would take too much time or memory.
    """

    def __init__(self, pixels: LabelPixels, reader: SemanticImageProcessor, name: str) -> None:
        self.pixels_of_file = pixels
        keys, counts = count_values((part[part >= 0] for _, part in pixels.keys()), MAX_COLORS)
        if len(keys) > MAX_COLORS:
            raise ValueError(
                f"{name}: more than {MAX_COLORS:,} different colours; this is a photo or a drawing, not a label map"
            )
        unmatched = ~np.isin(keys, packed_colors(np.asarray(reader.palette, dtype=np.int32)))
        order = np.argsort(-counts[unmatched], kind="stable")
        self.keys, self.counts = keys[unmatched][order], counts[unmatched][order]
        self.pixels = int(self.counts.sum())
        is_ids = numbers_of(pixels, keys) is not None
        if MAX_UNMATCHED_PIXELS < self.pixels <= pixels.size // 2 and not is_ids:  # of more it is refused at once
            rows = zip(unpacked_colors(self.keys[:5]).tolist(), self.counts[:5].tolist(), strict=True)
            worst = ", ".join(f"{tuple(color)} x {count}" for color, count in rows)
            raise ValueError(
                f"{name}: {self.pixels:,} pixels have unknown colours ({len(self.keys):,}, most often {worst}); "
                f"at most {MAX_UNMATCHED_PIXELS:,} are matched to their neighbours: add a colour table, or scale down"
            )

    def facts(self, label_map: np.ndarray, processor: SemanticImageProcessor) -> dict:
        """The fields of a LabelFile, with the classes that the colours were given in the final label map."""
        given = self._given(label_map, processor.num_labels)
        unmatched = tuple(
            UnmatchedColor(tuple(unpacked_colors(key).tolist()), int(count), processor.id2label[given[int(key)]])
            for key, count in zip(self.keys[:LISTED_COLORS], self.counts, strict=False)
        )
        return {
            "unmatched": unmatched,
            "unmatched_colors": len(self.keys),
            "unmatched_pixels": self.pixels,
        }

    def _given(self, label_map: np.ndarray, num_labels: int) -> dict[int, int]:
        """The class that most pixels of each listed colour were given."""
        top = np.sort(self.keys[:LISTED_COLORS])
        if not len(top):
            return {}
        table = np.zeros(len(top) * num_labels, dtype=np.int64)
        for rows, packed in self.pixels_of_file.keys():
            mask = np.isin(packed, top)
            cells = np.searchsorted(top, packed[mask]) * num_labels + label_map[rows][mask]
            table += np.bincount(cells, minlength=len(table))
        return dict(zip(top.tolist(), table.reshape(-1, num_labels).argmax(axis=1).tolist(), strict=True))


__all__ = [
    "READ_AS",
    "LabelFile",
    "TranslatedClass",
    "UnmatchedColor",
    "label_space",
    "label_spaces",
    "read_label_file",
    "size_note",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which known label space fits the values in label files, and why the others do not."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..image_processing_label_files import LabelPixels, open_label
from .encodings.labels import spans
from .specs import DatasetSpec, label_presets, load_label_preset


COLORS = "colours"
CERTAIN = 0.5  # share of a label space's values that must occur for it to be more than one of many
FEW = 0.01  # of the pixels
KNOWN_COLORS = 0.95  # share of the pixels of colour files that must have a class colour


@dataclass
class FoundValues:
    """What label files hold, as stored.

    `values` and `colors` (packed r << 16 | g << 8 | b) count pixels; `kinds` counts files in words. `unmarked` are
    those `values` that are not from files which say themselves that they hold class ids.
    """

    values: Counter = field(default_factory=Counter)
    colors: Counter = field(default_factory=Counter)
    kinds: Counter = field(default_factory=Counter)
    unmarked: Counter = field(default_factory=Counter)

    def add(self, label_map: Any) -> None:
        """Count one label map: what `open_label` gives or takes."""
        pixels = open_label(label_map, "label map", lossy=True)
        kinds = {"colors": "colour files", "palette": "palette files (P): the indices"}
        self.kinds[kinds.get(pixels.kind) or f"numbers ({_type(pixels)})"] += 1
        census = pixels.census()
        target = self.colors if pixels.kind == "colors" else self.values
        counts = dict(zip(census.keys.tolist(), census.counts.tolist(), strict=True))
        target.update(counts)
        if pixels.kind != "colors" and not pixels.is_marked:
            self.unmarked.update(counts)

    def describe(self) -> list[str]:
        """The lines of a report."""
        lines = ["label files: " + ", ".join(f"{count} of {kind}" for kind, count in self.kinds.most_common())]
        if self.values:
            lines.append(f"values: {spans([int(value) for value in self.values])} ({len(self.values)} different)")
        if self.colors:
            lines.append(f"{len(self.colors)} different colours")
        return lines


def _type(pixels: LabelPixels) -> str:
    """The mode of an image, or the type of an array."""
    return pixels.mode or str(np.asarray(pixels.values).dtype)


@dataclass(frozen=True)
class Suggestion:
    """How one label space in one encoding fits; `share` is the part of its legal values that occurs (for colour files
    the part of the pixels that have a class colour).
    """

    spec: str
    encoding: str
    fits: bool
    share: float
    reason: str


def suggest_specs(found: FoundValues, specs: list[DatasetSpec] | None = None) -> list[Suggestion]:
    """Compare with label spaces.

    Args:
        found: From all label files.
        specs: Candidates, None: the known ones.

    Returns:
        What fits first, the fullest use of the values first, then the encodings that the specs have by default.
    """
    specs = [load_label_preset(name) for name in label_presets()] if specs is None else specs
    if found.values:
        rows = [_by_values(found, spec, name) for spec in specs for name in _different_encodings(spec)]
    else:
        rows = [_by_colors(found, spec) for spec in specs] if found.colors else []
    defaults = {(spec.name, spec.label_encoding) for spec in specs}
    return sorted(rows, key=lambda row: (not row.fits, -row.share, (row.spec, row.encoding) not in defaults))


def _meanings(spec: DatasetSpec, name: str) -> dict[int, int | None]:
    void: dict[int, int | None] = dict.fromkeys(spec.void_values, spec.void_label_id)
    return void | spec.encoding(name).legal_values(spec.num_labels)


def _different_encodings(spec: DatasetSpec) -> list[str]:
    """The encodings of a spec, without those of which another only knows more values."""
    meanings = {name: _meanings(spec, name) for name in spec.encoding_names}
    return [
        name for name, own in meanings.items() if not any(own.items() < other.items() for other in meanings.values())
    ]


def _by_values(found: FoundValues, spec: DatasetSpec, name: str) -> Suggestion:
    meanings = _meanings(spec, name)
    strange = sorted(int(value) for value in found.values if value not in meanings)
    used = {meanings[value] for value in found.values if value in meanings} - {spec.void_label_id}
    labels = spec.num_labels - (spec.void_label_id is not None)
    if strange:
        pixels = sum(found.values[value] for value in strange) / sum(found.values.values())
        reason = f"without meaning there: {spans(strange)} ({100 * pixels:.1f} % of the pixels)"
    else:
        reason = f"{len(used)} of its {labels} classes occur"
    share = len(meanings.keys() & found.values.keys()) / len(meanings)
    return Suggestion(spec.name, name, bool(used) and not strange, share, reason)


def _by_colors(found: FoundValues, spec: DatasetSpec) -> Suggestion:
    palette = {r << 16 | g << 8 | b for r, g, b in spec.palette}
    share = sum(n for color, n in found.colors.items() if color in palette) / sum(found.colors.values())
    reason = f"{100 * share:.1f} % of the pixels have a colour of its palette"
    return Suggestion(spec.name, COLORS, share >= KNOWN_COLORS, share, reason)


def suggestion_lines(found: FoundValues, own: DatasetSpec | None = None) -> list[str]:
    """What was found and which label spaces fit, as lines of a report.

    Args:
        found: From all label files.
        own: The label space that the set is read with; then others are suggested only if it does not fit.
    """
    rows = suggest_specs(found)
    lines = found.describe()
    if own is not None:
        mine = _by_values(found, own, own.label_encoding) if found.values else _by_colors(found, own)
        rows = [mine, *(row for row in rows if (row.spec, row.encoding) != (mine.spec, mine.encoding))]
    width = max((len(f"{row.spec} ({row.encoding})") for row in rows), default=0)
    for row in rows:
        lines.append(f"  {'fits' if row.fits else 'no  '}  {f'{row.spec} ({row.encoding})':<{width}}  {row.reason}")
    if own is not None and rows and not rows[0].fits and _few_are_strange(found, own):
        lines.append(f"suggestion: correct the files; all but a few of their values fit {own.name}")
    elif rows and not (own is not None and rows[0].fits):
        best = next((row for row in rows if row.fits), None)
        is_unsure = best is not None and best.share < CERTAIN and len({row.spec for row in rows if row.fits}) > 1
        lines += _own_file(found) if best is None or is_unsure else []
        unsure = "write a classes.json, or if its classes are meant: " if is_unsure else ""
        how = unsure + _how(best) if best else "no known label space fits; write a classes.json"
        lines.append(f"suggestion: {how}")
    return lines


def _own_file(found: FoundValues) -> list[str]:
    """How a classes.json begins that fits what was found, where none of the known label spaces is surely meant."""
    ids = [int(value) for value in found.values if 0 <= value < 255]
    if not ids or min(ids) > 1:
        return []
    start = min(ids)
    listed = ", ".join(f'{{"id": {i}, "name": "..."}}' for i in (start, start + 1))
    more = "" if start == 0 else " (ids from 1 are taken as they are)"
    return [
        "none of them is certain, since small numbers fit many; for classes of your own write "
        f'{{"classes": [{listed}, ... to {max(ids)}], "void_index": 255}} into classes.json{more}'
    ]


def _few_are_strange(found: FoundValues, own: DatasetSpec) -> bool:
    """Mistakes in a set that is read rightly, rather than another set."""
    meanings = _meanings(own, own.label_encoding)
    strange = sum(count for value, count in found.values.items() if value not in meanings)
    return bool(found.values) and strange < FEW * sum(found.values.values())


def _how(row: Suggestion) -> str:
    is_default = row.encoding in (load_label_preset(row.spec).label_encoding, COLORS)
    return f"--classes_file {row.spec}" + (
        "" if is_default else f', with "label_encoding": "{row.encoding}" in a copy'
    )


__all__ = ["FoundValues", "Suggestion", "suggest_specs", "suggestion_lines"]

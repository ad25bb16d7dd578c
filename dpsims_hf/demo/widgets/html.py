# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The small pieces of HTML on the page; every text that comes from a file or a model is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


EMPTY_LEGEND = '<div class="legend legend-empty">The classes of your label map will be listed here.</div>'


def _swatch(color: Sequence[int]) -> str:
    red, green, blue = (int(channel) for channel in color)
    return f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i>'


def legend_html(entries: Iterable[Any]) -> str:
    """Chips for the classes of one label map.

    Args:
        entries: rows with `id`, `name`, `color` and `share` (0..1), largest first.
    """
    chips = "".join(
        f'<span class="chip" data-label="{entry.id}">{_swatch(entry.color)}<b>{escape(entry.name)}</b> '
        f"{_percent(entry.share)}</span>"
        for entry in entries
    )
    return f'<div class="legend">{chips}</div>'


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "&lt; 0.1 %"


def unmatched_html(rows: Sequence[Any], total: int) -> str:
    """A table of colours that are no class's.

    Args:
        rows: with `color`, `count` and `label`, the class that they were given.
        total: number of such colours, listed or not.
    """
    if not rows:
        return ""
    cells = [
        f"<td>{_swatch(row.color)}</td><td><code>{hex_color(row.color)}</code></td><td>{row.count:,}</td>"
        f"<td>{escape(row.label)}</td>"
        for row in rows
    ]
    more = f"; the {len(rows)} most frequent of {total:,}" if total > len(rows) else ""
    return _table(f"Colours without a class{more}", ("", "colour", "pixels", "taken as"), cells)


def translation_html(rows: Sequence[Any]) -> str:
    """A table of what became of another label space's classes; rows with `source`, `label` or None, `pixels`."""
    cells = [
        f"<td>{escape(row.source)}</td><td>{'no such class: unknown' if row.label is None else escape(row.label)}</td>"
        f"<td>{row.pixels:,}</td>"
        for row in rows
    ]
    return _table("Classes of the file", ("in the file", "in this model", "pixels"), cells) if rows else ""


def _table(title: str, header: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{text}</th>" for text in header)
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    return (
        f'<div class="facts-table"><h4>{escape(title)}</h4><table class="palette"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def palette_html(names: Sequence[str], palette: Sequence[Sequence[int]], void_label_id: int | None) -> str:
    """The table of all classes: id, colour, name, hexadecimal and decimal value."""
    rows = []
    for index, (name, color) in enumerate(zip(names, palette, strict=True)):
        note = ' <span class="muted">(unknown)</span>' if index == void_label_id else ""
        decimal = ", ".join(str(channel) for channel in color)
        rows.append(
            f"<tr><td>{index}</td><td>{_swatch(color)}</td><td>{escape(name)}{note}</td>"
            f"<td><code>{hex_color(color)}</code></td><td><code>{decimal}</code></td></tr>"
        )
    head = "<tr><th>id</th><th>colour</th><th>class</th><th>hex</th><th>RGB</th></tr>"
    return f'<table class="palette"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def hex_color(color: Sequence[int]) -> str:
    """(r, g, b) in 0..255 -> #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def header_html(title: str) -> str:
    """The head of the page."""
    return f'<h1 class="head">{escape(title)}</h1>'


def facts_html(facts: Iterable[str]) -> str:
    """Short facts about the model as chips."""
    chips = "".join(f'<span class="fact">{escape(fact)}</span>' for fact in facts)
    return f'<div class="facts">{chips}</div>'

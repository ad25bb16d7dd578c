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


def header_html(title: str, subtitle: str, facts: Iterable[str]) -> str:
    """The head of the page with short facts about the model."""
    chips = "".join(f'<span class="fact">{escape(fact)}</span>' for fact in facts)
    return f'<div class="head"><h1>{escape(title)}</h1><p>{escape(subtitle)}</p><div class="facts">{chips}</div></div>'

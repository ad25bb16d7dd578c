# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The table and the bars of an evaluation, as HTML: they follow the page's colours and width."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from ..evaluation.report import HEADLINES, headline_rows, number, spread
from .html import hex_color


ARROWS = {"higher": "↑ higher", "lower": "↓ lower"}
COLUMN_TITLES = {
    "iou": "Overlap with the map, class by class (IoU)",
    "color_distance": "Colour distance to the photos, class by class",
    "texture_distance": "Texture distance to the photos, class by class",
}
UNIT_SCALE = ("iou", "mean_iou", "pixel_accuracy", "ms_ssim", "lpips")  # bars of these end at 1
CSS = """
.one-a-line .wrap { flex-direction: column; }
.one-a-line label { width: 100%; }
.evaluation.charts { columns: 300px; column-gap: 40px; }
.evaluation.charts section { break-inside: avoid; margin-bottom: 26px; }
.evaluation .scroll { max-height: 430px; overflow-y: auto; scrollbar-width: thin; }
.evaluation h4 { font-size: 0.98rem; font-weight: 650; margin: 0 0 2px; }
.evaluation p { margin: 2px 0 8px; }
.evaluation .hint { font-size: 0.88rem; color: var(--body-text-color-subdued); }
.evaluation .caution { border-left: 3px solid var(--color-accent); padding: 4px 0 4px 12px; margin: 8px 0; }
.evaluation table { border-collapse: collapse; width: 100%; margin: 6px 0; font-variant-numeric: tabular-nums; }
.evaluation table, .evaluation tr, .evaluation thead, .evaluation th, .evaluation td { border: 0 !important; }
.evaluation th, .evaluation td { padding: 6px 14px 6px 0; text-align: left; vertical-align: top; font-weight: 400; }
.evaluation .values tr { border-bottom: 1px solid var(--border-color-primary) !important; }
.evaluation .values thead th { color: var(--body-text-color-subdued); font-size: 0.85rem; }
.evaluation .values td + td { white-space: nowrap; }
.evaluation .values td.number { font-weight: 600; }
.evaluation .values td.number.reference { font-weight: 400; }
.evaluation code { font-size: 0.78rem; color: var(--body-text-color-subdued); background: none; padding: 0;
    overflow-wrap: anywhere; }
.evaluation .bars th, .evaluation .bars td { padding: 3px 10px 3px 0; vertical-align: middle; font-size: 0.9rem; }
.evaluation .bars th { width: 1%; max-width: 8.5rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.evaluation .bars td { min-width: 4rem; }
.evaluation .bars td.number { width: 1%; min-width: 3.4rem; text-align: right; padding-right: 0; }
.evaluation .bars i.swatch { width: 12px; height: 12px; margin-right: 7px; vertical-align: -1px; }
.evaluation .track { position: relative; display: block; height: 14px; border-radius: 4px;
    background: var(--background-fill-secondary); box-shadow: inset 0 0 0 1px var(--border-color-primary); }
.evaluation .bar { position: absolute; inset: 0 auto 0 0; border-radius: 4px; background: var(--color-accent); }
.evaluation .mark { position: absolute; top: -3px; bottom: -3px; width: 3px; margin-left: -1px; border-radius: 2px;
    background: var(--body-text-color); box-shadow: 0 0 0 1px var(--background-fill-primary); }
.evaluation .key { display: inline-block; position: relative; width: 3px; height: 0.9em; margin: 0 5px 0 2px;
    vertical-align: -1px; border-radius: 2px; background: var(--body-text-color); }
.evaluation .empty { display: grid; place-items: center; text-align: center; min-height: 260px; padding: 24px;
    border: 1px dashed var(--border-color-primary); border-radius: var(--radius-lg);
    color: var(--body-text-color-subdued); }
"""
EMPTY = (
    '<div class="evaluation"><div class="empty">The numbers appear here, each with the name of its protocol,<br>'
    "then bars for every class and every label map.</div></div>"
)


class Bar(NamedTuple):
    """One row of a chart.

    Args:
        name: of the class or label map.
        value: None where it is not defined.
        reference: the value of the real photos, shown as a mark.
        color: (r, g, b) of the class.
    """

    name: str
    value: float | None
    reference: float | None = None
    color: Sequence[int] | None = None


def report_html(results: dict[str, Any]) -> str:
    """What was measured, the table, and what the numbers are worth.

    Args:
        results: of `run_evaluation`.
    """
    data, (height, width) = results["dataset"], results["image_size"]
    seeds = ", ".join(map(str, results["seeds"]))
    facts = (
        f"{data['num_images']} label maps of {data['name']} {data['split']}, {width} × {height} pixels, "
        f"seed{'s' if len(results['seeds']) > 1 else ''} {seeds}; {results['throughput']['images']} pictures in "
        f"{results['throughput']['seconds']:.0f} s."
    )
    cautions = "".join(f'<p class="caution">{escape(text)}</p>' for text in results["warnings"])
    return f'<div class="evaluation"><p class="hint">{escape(facts)}</p>{table_html(results)}{cautions}</div>'


def table_html(results: dict[str, Any]) -> str:
    """The headline values, each with the name of its protocol and which way is better."""
    rows = headline_rows(results)
    has_reference = any(row["real_photos"] is not None for row in rows)
    head = ["measure", "this model", *(["real photos"] if has_reference else []), "better"]
    lines = []
    for row in rows:
        known = "" if row["real_photos"] is None else number(row["real_photos"])
        reference = f'<td class="number reference">{known}</td>' if has_reference else ""
        lines.append(
            f"<tr><td>{escape(row['title'])}<br><code>{escape(row['protocol'])}</code></td>"
            f'<td class="number">{spread(row)}</td>{reference}<td>{ARROWS[row["better"]]}</td></tr>'
        )
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<table class="values"><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def charts_html(results: dict[str, Any], palette: Sequence[Sequence[int]]) -> str:
    """All charts of an evaluation.

    Args:
        results: of `run_evaluation`.
        palette: (r, g, b) of the model's classes by id.
    """
    charts = "".join([*class_charts(results, palette), *label_map_charts(results)])
    return f'<div class="evaluation charts">{charts}</div>'


def class_charts(results: dict[str, Any], palette: Sequence[Sequence[int]]) -> list[str]:
    """One chart per protocol and column of per-class values; classes without a value are left out.

    Args:
        results: of `run_evaluation`.
        palette: (r, g, b) of the model's classes by id.
    """
    charts = []
    for protocol, result in results["protocols"].items():
        columns = result.get("per_class") or {}
        for column, title in COLUMN_TITLES.items():
            values = columns.get(column, [])
            references = columns.get(f"{column}, real photos", [None] * len(values))
            bars = [
                Bar(results["dataset"]["classes"][label], value, references[label], palette[label])
                for label, value in enumerate(values)
                if value is not None or references[label] is not None
            ]
            if bars:
                charts.append(bars_html(title, protocol, bars, column in UNIT_SCALE))
    return charts


def label_map_charts(results: dict[str, Any]) -> list[str]:
    """One chart per value that every label map has for itself."""
    charts = []
    columns = {(p, v): None for row in results["label_maps"] for p in row if p != "name" for v in row[p]}
    for protocol, value in columns:
        title, better = HEADLINES[value]
        bars = [Bar(row["name"], row.get(protocol, {}).get(value)) for row in results["label_maps"]]
        title = f"{(title or value)}, map by map ({better} is better, seed {results['seeds'][0]})"
        charts.append(bars_html(title[0].upper() + title[1:], protocol, bars, value in UNIT_SCALE))
    return charts


def bars_html(title: str, protocol: str, bars: Sequence[Bar], is_unit: bool) -> str:
    """A chart of horizontal bars.

    Args:
        title: over it.
        protocol: that made the values.
        bars: one row each.
        is_unit: the values lie in [0, 1], and so does the scale; else the largest value fills it.
    """
    values = [value for bar in bars for value in (bar.value, bar.reference) if value is not None]
    top = 1.0 if is_unit else max([*values, 1e-9])
    key = ' · <span class="key"></span>real photos' if any(bar.reference is not None for bar in bars) else ""
    rows = "".join(_row(bar, top) for bar in bars)
    head = f'<h4>{escape(title)}</h4><p class="hint"><code>{escape(protocol)}</code>{key}</p>'
    table = f'<table class="bars"><tbody>{rows}</tbody></table>'
    return f'<section>{head}<div class="scroll" tabindex="0">{table}</div></section>'


def _row(bar: Bar, top: float) -> str:
    swatch = "" if bar.color is None else f'<i class="swatch" style="background:{hex_color(bar.color)}"></i>'
    marks = ""
    if bar.value is not None:
        marks += f'<i class="bar" style="width:{_percent(bar.value, top)}"></i>'
    if bar.reference is not None:
        marks += f'<i class="mark" style="left:{_percent(bar.reference, top)}"></i>'
    shown = "no pixel" if bar.value is None else f"{bar.value:.3g}"
    told = "" if bar.reference is None else f' title="real photos {bar.reference:.3g}"'
    return (
        f'<tr{told}><th scope="row" title="{escape(bar.name)}">{swatch}{escape(bar.name)}</th>'
        f'<td><span class="track">{marks}</span></td><td class="number">{shown}</td></tr>'
    )


def _percent(value: float, top: float) -> str:
    return f"{100 * min(max(value / top, 0.0), 1.0):.1f}%"


__all__ = ["CSS", "EMPTY", "Bar", "bars_html", "charts_html", "report_html", "table_html"]

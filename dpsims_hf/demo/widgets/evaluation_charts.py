# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The table and the bars of an evaluation, as HTML: they follow the page's colours and width."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from ...evaluation.report import HEADLINES, headline_rows, number
from .html import hex_color


ARROWS = {"higher": "↑ higher", "lower": "↓ lower"}
COLUMN_TITLES = {
    "iou": "Overlap with the map, class by class (IoU)",
    "color_distance": "Colour distance to the photos, class by class",
    "texture_distance": "Texture distance to the photos, class by class",
}
UNIT_SCALE = ("iou", "mean_iou", "pixel_accuracy", "ms_ssim", "lpips")  # bars of these end at 1
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
        known = "" if row["real_photos"] is None else readable(row["real_photos"])
        reference = f'<td class="number reference">{known}</td>' if has_reference else ""
        lines.append(
            f"<tr><td>{escape(row['title'])}{_judge(row)}<br><code>{escape(row['protocol'])}</code></td>"
            f'<td class="number">{_spread(row)}</td>{reference}<td>{ARROWS[row["better"]]}</td></tr>'
        )
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<table class="values"><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def readable(value: float) -> str:
    """A value for people, as HTML: at most three digits after the point, never a power of ten for a small one."""
    if value == 0:
        return "0"
    if abs(value) < 0.001:
        return "&lt; 0.001" if value > 0 else "&gt; -0.001"
    text = f"{value:.3f}" if abs(value) < 1 else number(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _spread(row: dict[str, Any]) -> str:
    std = row["std"]
    return readable(row["mean"]) + ("" if std is None else f" ± {readable(std).removeprefix('&lt; ')}")


def _judge(row: dict[str, Any]) -> str:
    """Two mIoU of one table are told apart by who looks at the pictures."""
    if "iou" not in row["title"].lower():
        return ""
    return ", judged by the discriminator" if "discriminator" in row["protocol"] else ", judged by a segmenter"


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
        pooled = " over its own classes; the table pools all maps" if value == "mean_iou" else ""
        title = f"{(title or value)}, map by map{pooled} ({better} is better, seed {results['seeds'][0]})"
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
    shown = "no pixel" if bar.value is None else readable(bar.value)
    told = "" if bar.reference is None else f' title="real photos {readable(bar.reference)}"'
    return (
        f'<tr{told}><th scope="row" title="{escape(bar.name)}">{swatch}{escape(bar.name)}</th>'
        f'<td><span class="track">{marks}</span></td><td class="number">{shown}</td></tr>'
    )


def _percent(value: float, top: float) -> str:
    return f"{100 * min(max(value / top, 0.0), 1.0):.1f}%"


__all__ = ["EMPTY", "Bar", "bars_html", "charts_html", "report_html", "table_html"]

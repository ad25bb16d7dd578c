# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What an evaluation leaves to read: log lines, results.json, a per-class table, and a page with pictures.

A value never stands without the name of its protocol.
"""

import csv
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ...configuration_rules import inert


# Value -> (what it is called, None for the protocol's title; which way is better). Others are details in results.json.
HEADLINES = {
    "fid": (None, "lower"),
    "kid": (None, "lower"),
    "precision": ("precision", "higher"),
    "recall": ("recall", "higher"),
    "mean_iou": ("mean IoU", "higher"),
    "pixel_accuracy": ("pixel accuracy", "higher"),
    "object_mean_iou": ("object mean IoU", "higher"),
    "lpips": ("LPIPS between images of one label map", "higher"),
    "ms_ssim": ("MS-SSIM between images of one label map", "lower"),
    "color_distance": ("colour distance", "lower"),
    "texture_distance": ("texture distance", "lower"),
    "grid_artifacts": (None, "lower"),
    "grid_artifacts_ratio": ("grid artifacts, times those of real photos", "lower"),
    "spectrum_distance": ("distance of radial power spectra, dB", "lower"),
    "color_spread": ("colour spread of a class between images of one label map", "higher"),
    "color_spread_ratio": ("colour spread, times that of real photos", "higher"),
    "chroma_spread": ("colour spread without lightness", "higher"),
    "chroma_spread_ratio": ("colour spread without lightness, times that of real photos", "higher"),
    "feature_spread": ("feature spread between images of one label map", "higher"),
    "feature_spread_ratio": ("feature spread, times that of real photos", "higher"),
}
PICTURE_WIDTH = 192  # narrower pictures are enlarged, so that captions fit
COLUMNS = ("label", "real", "generated", "predicted label")
REFERENCE_ROWS = {"real_photos": "real photos", "random_weights": "random weights"}
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;margin:1rem 0}th,td{border-bottom:1px solid #ccc;padding:.3rem .8rem;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}pre{overflow-x:auto;background:#f4f4f4;
padding:1rem}@media(prefers-color-scheme:dark){body{background:#161616;color:#e8e8e8}pre{background:#242424}}"""


def headline_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per value that has a direction: protocol, title, better, mean, std, real_photos, random_weights."""
    rows = []
    for protocol, result in results["protocols"].items():
        for value, (title, better) in HEADLINES.items():
            summary = result["values"].get(value)
            if summary is None or summary["mean"] is None:
                continue
            row = {"protocol": protocol, "title": title or result["facts"]["title"], "better": better}
            references = {key: (result.get(key) or {}).get(value) for key in REFERENCE_ROWS}
            rows.append(row | {"mean": summary["mean"], "std": summary["std"]} | references)
    return rows


def log_lines(results: dict[str, Any]) -> list[str]:
    """The values for people: each with its protocol, spread, ceiling and floor; then warnings and throughput."""
    lines = []
    for row in headline_rows(results):
        around = [f"{name} {number(row[key])}" for key, name in REFERENCE_ROWS.items() if row[key] is not None]
        context = f" ({', '.join(around)})" if around else ""
        lines.append(f"{row['title']} {spread(row)}{context}  [{row['protocol']}, {row['better']} is better]")
    for protocol, result in results["protocols"].items():
        counted = result["values"].get("num_classes_counted")
        if counted:
            lines.append(f"{number(counted['mean'])} classes counted  [{protocol}]")
    speed = results["throughput"]
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in speed["shares"].items())
    lines.append(f"{speed['images']} images in {speed['seconds']:.1f} s, {speed['images_per_second']:.2f}/s: {shares}")
    return lines


def spread(row: dict[str, Any]) -> str:
    """`mean ± std`, or the mean alone for one seed."""
    return number(row["mean"]) + (f" ± {row['std']:.2g}" if row["std"] is not None else "")


def number(value: float) -> str:
    """Four significant digits, whole numbers as they are."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def facts_line(results: dict[str, Any]) -> str:
    """What all values share: number of images, split, size and seeds."""
    data, (height, width) = results["dataset"], results["image_size"]
    seeds = f", seeds {', '.join(map(str, results['seeds']))}" if results["seeds"] else ""
    return (
        f"{data['num_images']} of {data['split_images']} label maps of {data['name']} {data['split']}, "
        f"{height}x{width} (height x width){seeds}"
    )


def markdown_table(results: dict[str, Any]) -> str:
    """The headline values as a Markdown table; columns of real photos and random weights where they were measured."""
    rows = headline_rows(results)
    references = [key for key in REFERENCE_ROWS if any(row[key] is not None for row in rows)]
    header = ["value", "protocol", "this model", *(REFERENCE_ROWS[key] for key in references), "better"]
    lines = [_cells(header), _cells(["---"] * len(header))]
    for row in rows:
        known = ["" if row[key] is None else number(row[key]) for key in references]
        lines.append(_cells([row["title"], f"`{row['protocol']}`", spread(row), *known, row["better"]]))
    return "\n".join(lines)


def write_report(results: dict[str, Any], folder: Path, pictures: dict[str, list[dict[str, Any]]]) -> None:
    """Write results.json, per_class.csv, per_class.md, the grids and report.html.

    Args:
        results: Of `evaluate_model`.
        folder: Made if it does not exist.
        pictures: Name ("worst", "best", ...) -> rows of `draw_grid`, each with `caption`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    header, rows = per_class_rows(results)
    if rows:
        with open(folder / "per_class.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *(map(_no_formula, row) for row in rows)])
        cells = [[number(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
        table = [_cells(header), _cells(["---"] * len(header)), *map(_cells, cells)]
        (folder / "per_class.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    for name, examples in pictures.items():
        draw_grid(examples).save(folder / f"{name}.png")
    (folder / "report.html").write_text(_page(results, header, rows, pictures), encoding="utf-8")


def per_class_rows(results: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the per-class table: id, name, then each protocol's columns; empty text where undefined."""
    columns = {
        f"{column} ({protocol})": values
        for protocol, result in results["protocols"].items()
        for column, values in (result.get("per_class") or {}).items()
    }
    if not columns:
        return ["id", "class"], []
    names = results["dataset"]["classes"]
    rows = [
        [label, name, *("" if values[label] is None else values[label] for values in columns.values())]
        for label, name in enumerate(names)
    ]
    return ["id", "class", *columns], rows


# -- pictures ---------------------------------------------------------------------------------------------------------


def draw_grid(examples: Sequence[dict[str, Any]]) -> Image.Image:
    """Rows of pictures under the names of the columns.

    Args:
        examples: Each with the pictures in COLUMNS (uint8 (height, width, 3); the last may be missing) and `caption`.
    """
    columns = [column for column in COLUMNS if column in examples[0]]
    height, width = examples[0][columns[0]].shape[:2]
    scale = -(-PICTURE_WIDTH // width)
    height, width = scale * height, scale * width
    gap, text = 6, 16
    grid = Image.new(
        "RGB", (len(columns) * (width + gap) + gap, text + len(examples) * (height + text + gap)), "white"
    )
    draw = ImageDraw.Draw(grid)
    for position, column in enumerate(columns):
        draw.text((gap + position * (width + gap), 2), column, fill="black")
    for row, example in enumerate(examples):
        top = text + row * (height + text + gap)
        draw.text((gap, top + 2), example["caption"], fill="black")
        for position, column in enumerate(columns):
            picture = Image.fromarray(np.ascontiguousarray(example[column])).resize((width, height), Image.NEAREST)
            grid.paste(picture, (gap + position * (width + gap), top + text))
    return grid


def _page(results: dict[str, Any], header: list[str], rows: list[list[Any]], pictures: dict[str, Any]) -> str:
    """report.html: tables and the grids beside it; no script, nothing from the network."""
    values = [
        [row["title"], row["protocol"], spread(row)]
        + ["" if row[key] is None else number(row[key]) for key in REFERENCE_ROWS]
        + [row["better"]]
        for row in headline_rows(results)
    ]
    title = f"Evaluation of {results['source'].get('model') or results['source']['kind']}"
    parts = [
        f"<h1>{_text(title)}</h1><p>{_text(facts_line(results))}</p>",
        _html_table(["value", "protocol", "mean", *REFERENCE_ROWS.values(), "better"], values),
    ]
    warnings = results["warnings"] + [w for result in results["protocols"].values() for w in result["warnings"]]
    if warnings:
        parts.append("<h2>Warnings</h2><ul>" + "".join(f"<li>{_text(warning)}</li>" for warning in warnings) + "</ul>")
    for name, examples in pictures.items():
        captions = "; ".join(example["caption"] for example in examples)
        parts.append(f'<h2>{_text(name.capitalize())}</h2><img src="{name}.png" alt="{_text(captions)}">')
    if rows:
        parts.append("<h2>Classes</h2>" + _html_table(header, rows))
    facts = {name: result["facts"] for name, result in results["protocols"].items()}
    parts.append(f"<h2>Protocols</h2><pre>{_text(json.dumps(facts, indent=1))}</pre>")
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>' + "\n".join(parts) + "</body></html>\n"


def _html_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        return f'<td class="n">{number(value)}</td>' if isinstance(value, (int, float)) else f"<td>{_text(value)}</td>"

    body = "".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{_text(name)}</th>" for name in header) + f"</tr>{body}</table>"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _no_formula(cell: Any) -> Any:
    """A cell that spreadsheets show and do not compute, whatever a class is called."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _cells(cells: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(inert(cell).replace("|", "\\|") for cell in cells) + " |"


__all__ = [
    "HEADLINES",
    "draw_grid",
    "facts_line",
    "headline_rows",
    "log_lines",
    "markdown_table",
    "number",
    "spread",
    "write_report",
]

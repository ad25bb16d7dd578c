# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The palette as files for painters: a chart to pick colours from, JSON for programs, GPL for GIMP and Krita."""

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont


Color = Sequence[int]
ROW_HEIGHT, SWATCH_WIDTH, CHART_WIDTH = 32, 96, 420


def write_palette_files(
    folder: Path, names: Sequence[str], palette: Sequence[Color], void_label_id: int | None
) -> dict[str, Path]:
    """Write palette.png, palette.json and palette.gpl.

    Args:
        folder: must exist.
        names: of the classes, by id.
        palette: (r, g, b) in 0..255 of the classes, by id.
        void_label_id: written to the JSON as `void_index`.

    Returns:
        Path by suffix: "png", "json", "gpl".
    """
    paths = {suffix: folder / f"palette.{suffix}" for suffix in ("png", "json", "gpl")}
    palette_chart(names, palette).save(paths["png"])
    rows = list(zip(names, palette, strict=True))
    classes = [{"id": i, "name": name, "color": list(color)} for i, (name, color) in enumerate(rows)]
    content = {"classes": classes, "void_index": void_label_id}
    paths["json"].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [f"{r:3d} {g:3d} {b:3d}\t{name}" for name, (r, g, b) in rows]
    paths["gpl"].write_text("\n".join(["GIMP Palette", "Name: label map", *lines]) + "\n", encoding="utf-8")
    return paths


def palette_chart(names: Sequence[str], palette: Sequence[Color]) -> Image.Image:
    """An RGB chart: one row per class with a flat field of exactly its colour, its id and its name."""
    chart = Image.new("RGB", (CHART_WIDTH, ROW_HEIGHT * len(names)), "white")
    draw = ImageDraw.Draw(chart)
    font = ImageFont.load_default(size=16)
    for row, (name, color) in enumerate(zip(names, palette, strict=True)):
        top = row * ROW_HEIGHT
        draw.rectangle((0, top, SWATCH_WIDTH - 1, top + ROW_HEIGHT - 1), fill=tuple(color))
        text = f"{row}  {name}   {tuple(color)}"
        draw.text((SWATCH_WIDTH + 12, top + ROW_HEIGHT // 2), text, fill="black", font=font, anchor="lm")
    return chart

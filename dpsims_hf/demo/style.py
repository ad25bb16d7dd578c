# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How the page looks. System fonts only: nothing is fetched from outside."""

import gradio as gr

from . import evaluate_tab, live_picture, photo_tab, python_tab, sketch_tab, vary_tab


FONT = ("ui-sans-serif", "system-ui", "sans-serif")

BASE = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
.head { padding: 18px 4px 6px; }
.head h1 { font-size: 1.75rem; font-weight: 700; letter-spacing: -0.02em; margin: 0 0 4px; }
.head p { color: var(--body-text-color-subdued); margin: 0 0 12px; max-width: 70ch; }
.facts, .legend { display: flex; flex-wrap: wrap; gap: 6px; }
.fact { font-size: 0.8rem; padding: 2px 10px; border-radius: 999px; background: var(--background-fill-secondary);
        border: 1px solid var(--border-color-primary); }
.legend-empty { color: var(--body-text-color-subdued); font-size: 0.9rem; padding: 2px 0; }
.chip { display: inline-flex; align-items: center; gap: 6px; font-size: 0.85rem; padding: 3px 10px 3px 5px;
        border-radius: 999px; border: 1px solid var(--border-color-primary);
        background: var(--background-fill-primary); font-variant-numeric: tabular-nums; }
.chip b { font-weight: 600; }
.swatch { display: inline-block; width: 18px; height: 18px; border-radius: 50%; flex: none;
          box-shadow: inset 0 0 0 1px rgba(127, 127, 127, 0.45); }
.muted { color: var(--body-text-color-subdued); }
.step h3 { font-size: 1.05rem; font-weight: 650; margin: 6px 0 0; }
.hint p { font-size: 0.88rem; color: var(--body-text-color-subdued); margin: 0; }
.pixels .image-frame, .pixels img { width: 100%; object-fit: contain; }
.pixels img, .thumbnails img { image-rendering: pixelated; }
.thumbnails .grid-wrap { min-height: 0 !important; max-height: none !important; height: auto !important;
        overflow: visible; padding: 0; }
.thumbnails .grid-container { padding: 0; margin: 0; }
.thumbnails .thumbnail-lg { aspect-ratio: 4 / 3; cursor: pointer; }
.thumbnails .caption-label { font-size: 0.75rem; padding: 1px 8px; opacity: 0.9; }
.controls { align-items: flex-end; }
.beside { min-height: 42px; }
#model-row { align-items: flex-end; }
#facts { padding-bottom: 6px; }
.facts-table { overflow-x: auto; }
.facts-table h4 { margin: 12px 0 2px; font-size: 0.95rem; }
table.palette { border-collapse: collapse; width: 100%; max-width: 640px; font-size: 0.9rem; }
table.palette, table.palette tr, table.palette thead { border: 0 !important; }
table.palette th, table.palette td { text-align: left; padding: 5px 12px 5px 4px; vertical-align: middle;
        border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
#palette-downloads { max-width: 640px; }
table.palette .swatch { width: 42px; height: 20px; border-radius: 5px; display: block; }
@media (max-width: 640px) { .head h1 { font-size: 1.35rem; } .head p { display: none; } .head { padding-top: 4px; } }
"""


def css() -> str:
    """The rules of the whole page: what is common, then each tab's own."""
    parts = (live_picture, sketch_tab, vary_tab, photo_tab, evaluate_tab, python_tab)
    return "\n".join([BASE, *(part.CSS for part in parts)])


def theme() -> gr.themes.Base:
    """Soft, neutral greys with one accent; the images are to be the only colourful thing."""
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=FONT,
        font_mono=("ui-monospace", "Consolas", "monospace"),
    )

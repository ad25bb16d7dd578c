# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How the page looks and the scripts that it runs in the browser: page.css is for all of it, NAME.css for a part.

System fonts only: nothing is fetched from outside.
"""

from pathlib import Path

import gradio as gr


FOLDER = Path(__file__).parent
FONT = ("ui-sans-serif", "system-ui", "sans-serif")


def css() -> str:
    """The rules of the whole page: what is common, then those of its parts."""
    first = FOLDER / "page.css"
    others = sorted(path for path in FOLDER.glob("*.css") if path != first)
    return "\n".join(path.read_text(encoding="utf-8") for path in (first, *others))


def script(name: str) -> str:
    """NAME.js of this folder, a function or the body of one, as gradio takes it."""
    return (FOLDER / f"{name}.js").read_text(encoding="utf-8").strip()


def theme() -> gr.themes.Base:
    """Soft, neutral greys with one accent, as the images are to be colourful; words stand out by 4.5 : 1."""
    soft = gr.themes.Soft(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=FONT,
        font_mono=("ui-monospace", "Consolas", "monospace"),
    )
    accents = {
        "color_accent": "*primary_600",
        "button_primary_background_fill": "*primary_600",
        "button_primary_background_fill_hover": "*primary_700",
        "button_primary_background_fill_dark": "*primary_600",
        "checkbox_background_color_selected": "*primary_600",
        "checkbox_label_background_fill_selected": "*primary_600",
        "checkbox_label_background_fill_selected_dark": "*primary_600",
        "checkbox_border_color": "*neutral_500",  # an empty box is seen
        "checkbox_border_color_dark": "*neutral_400",
        "slider_color": "*primary_600",
    }
    words = {
        "body_text_color_subdued": "*neutral_600",
        "body_text_color_subdued_dark": "*neutral_300",
        "block_info_text_color": "*neutral_600",
        "block_info_text_color_dark": "*neutral_300",
        "block_label_text_color": "*primary_700",
        "block_label_text_color_dark": "*primary_100",
        "block_title_text_color": "*primary_700",
        "block_title_text_color_dark": "*primary_100",
        "input_placeholder_color": "*neutral_600",
        "input_placeholder_color_dark": "*neutral_300",
        "link_text_color": "*primary_700",
        "link_text_color_dark": "*primary_300",
    }
    for name, value in {**accents, **words}.items():  # `set` would forget Soft's backgrounds
        setattr(soft, name, value)
    return soft


__all__ = ["css", "script", "theme"]

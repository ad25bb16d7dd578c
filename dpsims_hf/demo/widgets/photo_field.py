# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Where a photo is uploaded or pasted."""

import gradio as gr


def photo_field(elem_id: str) -> gr.Image:
    """Its value is the path of the file as it was sent: the size is checked before it is decoded."""
    return gr.Image(
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        show_label=False,
        height=250,
        buttons=[],
        elem_id=elem_id,
        elem_classes="photo-field",
    )


__all__ = ["photo_field"]

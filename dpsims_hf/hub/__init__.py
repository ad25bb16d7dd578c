# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Hugging Face Hub: checkpoint folders and their cards, what of them is uploaded, repositories and Spaces."""

from .card import fill_model_card, load_model_card_template
from .folders import export_folder, folded_copy, push_folder, save_model_folder, validate_model_folder
from .selection import published_files


__all__ = [
    "export_folder",
    "fill_model_card",
    "folded_copy",
    "load_model_card_template",
    "published_files",
    "push_folder",
    "save_model_folder",
    "validate_model_folder",
]

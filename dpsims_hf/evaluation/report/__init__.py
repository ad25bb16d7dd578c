# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What an evaluation leaves to read: log lines, files, pictures, and the section of a model card."""

from .writing import (
    HEADLINES,
    draw_grid,
    facts_line,
    headline_rows,
    log_lines,
    markdown_table,
    number,
    spread,
    write_report,
)


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

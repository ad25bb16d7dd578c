# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Space: `build_demo(pipe)` makes the page, `app.py` opens it."""

from importlib import import_module
from typing import Any


# gradio takes seconds to import; `python -m dpsims_hf.demo.draw_examples` does without it.
_LAZY = {"build_demo": ".app_builder", "launch_options": ".app_builder"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)


__all__ = ["build_demo", "launch_options"]

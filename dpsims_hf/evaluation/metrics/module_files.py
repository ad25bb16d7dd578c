# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The modules of the `evaluate` library, metrics/NAME/NAME.py: in a clone beside the package, in a wheel inside it."""

from pathlib import Path
from typing import Any


_PACKAGE = Path(__file__).parents[2]
_FOLDERS = (_PACKAGE / "metrics", _PACKAGE.parent / "metrics")


def metric_modules() -> dict[str, Path]:
    """Name -> folder of each metric that `evaluate.load` takes."""
    found = [path for folder in _FOLDERS for path in sorted(folder.glob("*")) if (path / f"{path.name}.py").is_file()]
    return {path.name: path for path in reversed(found)}


def load_metric(name: str, **options: Any) -> Any:
    """`evaluate.load` of one of these metrics, wherever the package is installed.

    Args:
        name: for instance "semantic_consistency".
        options: of `evaluate.load`.

    Raises:
        ValueError: there is no such metric; lists those that are.
    """
    import evaluate

    modules = metric_modules()
    if name not in modules:
        raise ValueError(f"metric {name!r} is unknown; choose one of {', '.join(sorted(modules))}")
    return evaluate.load(str(modules[name]), **options)


__all__ = ["load_metric", "metric_modules"]

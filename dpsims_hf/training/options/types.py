# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Whether the value of an option fits its type, for values from a command line or from a file."""

import dataclasses
import json
import math
import types
import typing
from typing import Any

from ...configuration_limits import CONFIG_FIELDS
from ...configuration_rules import shortened


def typed(options_class: type, section: str, values: dict[str, Any]) -> Any:
    """Build a section of the options.

    Raises:
        ValueError: for a value that does not fit its field's type; one line that names it.
    """
    hints = typing.get_type_hints(options_class)
    chosen = dict(values)
    for entry in dataclasses.fields(options_class):
        if entry.name not in chosen:
            continue
        value, hint = chosen[entry.name], hints[entry.name]
        if not _fits(value, typing.get_origin(hint) if entry.default is dataclasses.MISSING else hint):
            raise ValueError(_misfit(f"{section}.{entry.name}", value, entry.default, hint))
        chosen[entry.name] = _frozen(float(value) if hint is float else value)
    return options_class(**chosen)


def check_config_field(name: str, value: Any, default: Any) -> None:
    """Check "generator.KEY" or "discriminator.KEY" by its default's type and by the bounds of the config field.

    Raises:
        ValueError: one line that names it.
    """
    field = name.partition(".")[2]
    if field == "preset":
        if not isinstance(value, str):
            raise ValueError(f"{name}={shortened(value)} must be the name of a preset")
        return
    if default is not None and not _fits(value, type(default) if not isinstance(default, tuple) else tuple):
        raise ValueError(_misfit(name, value, default, type(default)))
    if field in CONFIG_FIELDS:
        CONFIG_FIELDS[field].check(name, value)


def _misfit(name: str, value: Any, default: Any, hint: Any) -> str:
    if default is None or default is dataclasses.MISSING:
        return f"{name}={shortened(value)} must be {_described(hint)}"
    return f"{name}={shortened(value)} must be like its default {json.dumps(default, default=dataclasses.asdict)}"


def _described(hint: Any) -> str:
    names = {str: "a string", int: "a whole number", float: "a number", type(None): "null", dict: "a table"}
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return " or ".join(names.get(typing.get_origin(part) or part, "a list") for part in parts)


def _fits(value: Any, hint: Any) -> bool:
    """Whether plain data, as JSON has it, is of a type."""
    origin, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if dataclasses.is_dataclass(origin):
        return isinstance(value, origin | dict)
    if origin in (int, bool):
        return type(value) is origin and -(2**63) <= value < 2**63
    if origin is float:
        return _fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and _items_fit(value, parts)
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    return origin is Any or isinstance(value, origin)


def _items_fit(values: list | tuple, parts: tuple) -> bool:
    if not parts:
        return True
    if len(parts) == 1 or parts[1] is ...:
        return all(_fits(value, parts[0]) for value in values)
    return len(values) == len(parts) and all(map(_fits, values, parts))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


__all__ = ["check_config_field", "typed"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a field of a file from elsewhere may hold: rules, and one line that says what a value breaks.

A file from elsewhere is data: `configuration_limits` says by these rules what each of its fields may be.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


MAX_FILE_BYTES = 4 * 2**20  # of a JSON file; the configs of real models have some kilobytes
MAX_SHOWN = 40  # characters of a value in an error


def shortened(value: Any) -> str:
    """A value for an error: one line, short, and quick to make whatever the value is."""
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else f"<whole number of {value.bit_length()} bits>"
    if isinstance(value, str):
        return repr(value) if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]!r}[...] ({len(value)} characters)"
    if isinstance(value, (list, tuple)) and len(value) <= 8 and all(isinstance(v, (int, float)) for v in value):
        return f"[{', '.join(shortened(v) for v in value)}]"
    if isinstance(value, (list, tuple, Mapping)):
        kind = "table" if isinstance(value, Mapping) else "list"
        return f"<{kind} of {len(value)}>"
    return f"<{type(value).__name__}>"


class Rule:
    """What one value may be; `legal` describes it."""

    @property
    def legal(self) -> str:
        """What is legal."""
        return "anything"

    def check(self, name: str, value: Any) -> None:
        """Raise a ValueError of one line that names the field, its value and what is legal."""
        if not self.accepts(value):
            raise ValueError(f"{name}={shortened(value)} is illegal: legal is {self.legal}")

    def accepts(self, value: Any) -> bool:
        """Whether a value without parts is legal."""
        raise NotImplementedError


@dataclass(frozen=True)
class Integer(Rule):
    """A whole number; neither true nor 1.0 is one."""

    low: int
    high: int

    @property
    def legal(self) -> str:
        return f"a whole number {self.low}..{self.high}"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Number(Rule):
    """A finite number."""

    low: float
    high: float

    @property
    def legal(self) -> str:
        return f"a number {self.low:g}..{self.high:g}"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high  # NaN is in no range


class Flag(Rule):
    """True or false."""

    legal = "true or false"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Choice(Rule):
    """One of some strings (or numbers)."""

    choices: tuple[Any, ...]

    def check(self, name: str, value: Any) -> None:
        if not self.accepts(value):
            known = ", ".join(str(choice) or '""' for choice in self.choices)
            raise ValueError(f"{name}={shortened(value)} is unknown; choose one of {known}")

    def accepts(self, value: Any) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.choices)


@dataclass(frozen=True)
class Text(Rule):
    """A string of one line."""

    longest: int = 200
    # No control characters but the tabulator; none that break a line or turn its direction; no halves of a character.
    pattern: str = r"[^\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]*"
    words: str = ""

    @property
    def legal(self) -> str:
        return self.words or f"a line of text of up to {self.longest} characters"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and len(value) <= self.longest and bool(re.fullmatch(self.pattern, value))


def shown(text: str) -> str:
    """A line for a terminal: control characters and halves of characters are written out, whoever chose them."""
    letter = Text(1)
    if Text(1000).accepts(text):
        return text
    return "".join(c if letter.accepts(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def inert(text: str) -> str:
    """Text of strangers for a card: one line, in which no markup has a reader's browser fetch or run anything."""
    line = " ".join(shown(text).split())
    return line.replace("<", "&lt;").replace("![", "!&#91;")


class Path(Rule):
    """A path or repository name, as the loaders note it down."""

    legal = "a path"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, (str, os.PathLike)) and len(os.fspath(value)) <= 4096


class FloatType(Rule):
    """The type of a model's tensors."""

    names = ("float32", "float16", "bfloat16", "float64")
    legal = f"one of {', '.join(names)}"

    def accepts(self, value: Any) -> bool:
        return str(value).removeprefix("torch.") in self.names if isinstance(value, (str, torch.dtype)) else False


@dataclass(frozen=True)
class Maybe(Rule):
    """Null, or what another rule says."""

    rule: Rule

    def check(self, name: str, value: Any) -> None:
        if value is not None:
            self.rule.check(name, value)


@dataclass(frozen=True)
class Either(Rule):
    """What one of some rules says."""

    rules: tuple[Rule, ...]

    def check(self, name: str, value: Any) -> None:
        for rule in self.rules[:-1]:
            try:
                return rule.check(name, value)
            except ValueError:
                continue
        return self.rules[-1].check(name, value)


@dataclass(frozen=True)
class Items(Rule):
    """A list; each item obeys a rule."""

    item: Rule
    fewest: int
    most: int

    @property
    def legal(self) -> str:
        count = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest}..{self.most}"
        return f"a list of {count}"

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, (list, tuple)) or not self.fewest <= len(value) <= self.most:
            raise ValueError(f"{name}={shortened(value)} is illegal: legal is {self.legal}, each {self.item.legal}")
        for index, item in enumerate(value):
            self.item.check(f"{name}[{index}]", item)


@dataclass(frozen=True)
class Entries(Rule):
    """A table of any keys; keys and values obey a rule each."""

    key: Rule
    value: Rule
    most: int

    @property
    def legal(self) -> str:
        return f"a table of up to {self.most} entries"

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping) or len(value) > self.most:
            raise ValueError(f"{name}={shortened(value)} is illegal: legal is {self.legal}")
        for key, entry in value.items():
            self.key.check(f"a key of {name}", key)
            self.value.check(f"{name}[{shortened(key)}]", entry)


class Fields(Rule):
    """A table whose keys are known; each value obeys its key's rule.

    Args:
        rules: field -> rule.
        required: fields that must be there.
        unknown: what an unknown field means, for the error.
    """

    def __init__(self, rules: Mapping[str, Rule], required: tuple[str, ...] = (), unknown: str = "remove it") -> None:
        self.rules, self.required, self.unknown = dict(rules), required, unknown

    @property
    def legal(self) -> str:
        return f"a table of {', '.join(self.rules)}"

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"{name}={shortened(value)} is illegal: legal is {self.legal}")
        prefix = f"{name}." if name else ""
        for key, entry in value.items():
            if key not in self.rules:
                raise ValueError(f"{prefix}{_key(key)}={shortened(entry)} is an unknown field: {self.unknown}")
            self.rules[key].check(f"{prefix}{key}", entry)
        for key in self.required:
            if key not in value:
                raise ValueError(f"{prefix}{key} is missing: legal is {self.rules[key].legal}")


def _key(key: Any) -> str:
    return key if isinstance(key, str) and len(key) <= MAX_SHOWN and key.isidentifier() else shortened(key)


class Anything(Rule):
    """Plain data that nothing acts on: up to so many values, texts short."""

    def __init__(self, most: int = 10_000) -> None:
        self.most = most

    @property
    def legal(self) -> str:
        return f"up to {self.most} numbers and texts"

    def check(self, name: str, value: Any) -> None:
        left, waiting = self.most, [value]
        while waiting:
            entry = waiting.pop()
            left -= 1
            if isinstance(entry, Mapping):
                waiting += [*entry.keys(), *entry.values()]
            elif isinstance(entry, (list, tuple)):
                waiting += entry
            elif isinstance(entry, str):
                left -= len(entry) // 1000
            elif entry is not None and not isinstance(entry, (int, float)):
                raise ValueError(f"{name} holds {shortened(entry)}: legal is {self.legal}")
            if left < 0 or len(waiting) > self.most:
                raise ValueError(f"{name} is too long: legal is {self.legal}")


def read_json(path: str | os.PathLike, what: str | os.PathLike | None = None) -> dict[str, Any]:
    """Read a JSON object from a file from elsewhere.

    Args:
        path: the file.
        what: what errors call it; None is `path`.

    Raises:
        ValueError: no such file, too large a one, no JSON, or no object.
    """
    what = path if what is None else what
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise ValueError(f"{what}: no file, but something else of this name")
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{what}: not readable as JSON ({error.strerror or type(error).__name__})") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{what}: longer than {MAX_FILE_BYTES // 2**20} MB; real ones have some kilobytes")
    try:
        values = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, no JSON, a number of thousands of digits, too deep
        raise ValueError(f"{what}: not readable as JSON ({' '.join(str(error).split())[:160]})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{what}: no JSON object, but {shortened(values)}")
    return values


__all__ = [
    "Anything",
    "Choice",
    "Either",
    "Entries",
    "Fields",
    "Flag",
    "FloatType",
    "Integer",
    "Items",
    "Maybe",
    "Number",
    "Path",
    "Rule",
    "Text",
    "inert",
    "read_json",
    "shortened",
    "shown",
]

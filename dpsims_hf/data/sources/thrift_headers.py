# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Thrift's compact protocol, as far as the headers of parquet files need it: structures as {number of field: value}.

Source: the protocol's specification (thrift/doc/specs/thrift-compact-protocol.md) and parquet.thrift.
"""

from collections.abc import Callable
from typing import Any


MAX_NESTED = 16  # structures inside each other; parquet's have seven
MAX_VALUES = 500_000  # in all
STOP, TRUE, FALSE, BYTE, BINARY, LIST, SET, MAP, STRUCT = 0, 1, 2, 3, 8, 9, 10, 11, 12
INTEGERS, DOUBLE = (4, 5, 6), 7


class CutOffError(ValueError):
    """The bytes end within a structure."""

    def __init__(self) -> None:
        super().__init__("a header that is cut off")


def read_struct(
    data: bytes, stop_after: int | None = None, long: Callable[[], bytes] | None = None
) -> tuple[dict[int, Any], int]:
    """A structure at the start of some bytes.

    Args:
        data: the bytes.
        stop_after: number of the last field that is wanted.
        long: gives more bytes, if these do not hold the structure.

    Returns:
        Its fields (numbers, bytes, lists, structures as dicts), and how many bytes it has.

    Raises:
        ValueError: no such structure, or one of far more values than headers have.
    """
    reader = _Reader(data)
    try:
        return reader.struct(0, stop_after), reader.place
    except CutOffError:
        if long is None:
            raise
        return read_struct(long(), stop_after)


class _Reader:
    """Reads on from a place in some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place, self.left = data, 0, MAX_VALUES

    def struct(self, depth: int, stop_after: int | None = None) -> dict[int, Any]:
        if depth > MAX_NESTED:
            raise ValueError("a header of structures inside each other without end")
        fields: dict[int, Any] = {}
        number = 0
        while True:
            head = self.byte()
            kind, step = head & 15, head >> 4
            if kind == STOP or (stop_after is not None and number >= stop_after):
                return fields
            number = number + step if step else self.integer()
            fields[number] = kind == TRUE if kind in (TRUE, FALSE) else self.value(kind, depth)

    def value(self, kind: int, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"a header of more than {MAX_VALUES:,} values")
        if kind in (TRUE, FALSE, BYTE):
            return self.byte()
        if kind in INTEGERS:
            return self.integer()
        if kind == DOUBLE:
            return self.take(8)
        if kind == BINARY:
            return self.take(self.varint())
        if kind in (LIST, SET):
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.varint()
            return [self.item(head & 15, depth) for _ in range(min(count, MAX_VALUES + 1))]
        if kind == MAP:
            count = self.varint()
            kinds = self.byte() if count else 0
            pairs = range(min(count, MAX_VALUES + 1))
            return [(self.item(kinds >> 4, depth), self.item(kinds & 15, depth)) for _ in pairs]
        if kind == STRUCT:
            return self.struct(depth + 1)
        raise ValueError(f"a header with a value of unknown kind {kind}")

    def item(self, kind: int, depth: int) -> Any:
        if kind in (LIST, SET, MAP) and depth > MAX_NESTED:
            raise ValueError("a header of lists inside each other without end")
        return self.value(kind, depth + (kind in (LIST, SET, MAP)))

    def byte(self) -> int:
        if self.place >= len(self.data):
            raise CutOffError
        self.place += 1
        return self.data[self.place - 1]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if not byte & 128:
                return value
        raise ValueError("a header with a number without end")

    def integer(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def take(self, count: int) -> bytes:
        if self.place + count > len(self.data):
            raise CutOffError
        self.place += count
        return self.data[self.place - count : self.place]


__all__ = ["CutOffError", "read_struct"]

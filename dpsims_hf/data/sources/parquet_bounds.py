# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a parquet file unpacks to, from the headers of its pages, before a row of it is read.

A few bytes of such a file can stand for gigabytes: pages are compressed, values are repeated by number, and what the
footer says of their sizes need not be true. Readers allocate what each page's header says, so these are asked here.
"""

import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ...configuration_rules import shown
from .thrift_headers import read_struct


READ_ROWS = 16  # rows that are taken from a file at a time; nothing here needs more at once
MAX_FOOTER_BYTES = 16 * 2**20
MAX_COLUMNS = 1000
MAX_DEPTH = 32  # lists and structures inside each other; readers go down by recursion
MAX_CHUNKS = 50_000  # columns times row groups
MAX_PAGES = 100_000  # of a file; each is looked at
MAX_PAGE_BYTES = 256 * 2**20  # unpacked; writers aim at one megabyte, and put large pictures into larger ones
MAX_BYTES = 768 * 2**20  # unpacked, in memory at a time
FREE_BYTES = 2**30  # that any file may unpack to on the disk; beyond it, so many times its size:
MAX_RATIO = 100  # label maps in nested lists come to 50
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
LEVEL_BYTES = 4  # of each value that says how lists are nested
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3  # types of pages
BY_NUMBER, BY_PREFIX = (2, 8), 7  # encodings: values of a dictionary; what the last value began with, and more
CODECS = ("snappy", "gzip", "brotli", "zstd", "lz4_raw")


class Page(NamedTuple):
    """The header of a page: where its content starts, its sizes in the file and unpacked, and its values."""

    kind: int
    start: int
    packed: int
    unpacked: int
    values: int
    encoding: int


def check_parquet(path: str | os.PathLike) -> list[str]:
    """Refuse a parquet file that unpacks to far more than it is, in memory or on the disk.

    Returns:
        The names of its columns.

    Raises:
        ValueError: one line that names the file, the value and what is legal.
    """
    import pyarrow
    from pyarrow import parquet

    with Path(path).open("rb") as file:
        columns = _footer_columns(file, path)
        try:
            footer = parquet.read_metadata(file)
            if footer.num_row_groups * footer.num_columns > MAX_CHUNKS:
                raise ValueError(
                    f"{footer.num_columns} columns in {footer.num_row_groups} row groups; legal are {MAX_CHUNKS:,} in "
                    "all: write larger row groups"
                )
            chunks = [
                (number, footer.schema.column(index), footer.row_group(number).column(index))
                for number in range(footer.num_row_groups)
                for index in range(footer.num_columns)
            ]
            counter, total, by_group = count(1), 0, dict.fromkeys(range(footer.num_row_groups), 0)
            for number, column, chunk in chunks:
                at_once, in_all = _unpacked(file, column, chunk, counter)
                total, by_group[number] = total + in_all, by_group[number] + at_once
        except ValueError as error:  # of pyarrow, too
            raise ValueError(f"{_name(path)}: {' '.join(str(error).split())[:300]}") from None
        except (OSError, LookupError, TypeError, OverflowError, pyarrow.ArrowException) as error:
            raise ValueError(f"{_name(path)}: no parquet file, or damaged ({type(error).__name__})") from None
        size = os.fstat(file.fileno()).st_size
    most = max(by_group.values(), default=0)
    if most > MAX_BYTES:
        raise ValueError(
            f"{_name(path)}: {READ_ROWS} rows unpack to {_megabytes(most)}; legal are {_megabytes(MAX_BYTES)}: store "
            "pictures as PNG or JPEG bytes, in smaller row groups"
        )
    if total > FREE_BYTES + MAX_RATIO * size:
        raise ValueError(
            f"{_name(path)}: {_megabytes(size)} that unpack to {_megabytes(total)}; legal are "
            f"{_megabytes(FREE_BYTES)} and {MAX_RATIO} times its size"
        )
    return columns


def _name(path: str | os.PathLike) -> str:
    return shown(os.fspath(path))


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MB"


# -- the footer -------------------------------------------------------------------------------------------------------


def _footer_columns(file: BinaryIO, path: str | os.PathLike) -> list[str]:
    """The names of the columns, from the footer's list of them: no reader is asked before it is known to be sane."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 8))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if end < 12 or tail[4:] != b"PAR1" or length + 12 > end:
        raise ValueError(f"{_name(path)}: no parquet file, or cut off; fetch it again")
    if length > MAX_FOOTER_BYTES:
        raise ValueError(
            f"{_name(path)}: its list of columns and row groups has {_megabytes(length)}; legal are "
            f"{_megabytes(MAX_FOOTER_BYTES)}: leave out the columns that are no pictures"
        )
    file.seek(end - 8 - length)
    try:
        elements = read_struct(file.read(length), stop_after=2)[0][2]
        names, leaves, open_counts = [], 0, [1]
        for element in elements:
            children = int(element.get(5, 0))
            while open_counts and not open_counts[-1]:
                open_counts.pop()
            open_counts[-1] -= 1
            if len(open_counts) == 2:
                names.append(element[4].decode("utf-8", "replace"))
            leaves += not children
            open_counts.append(children)
            if len(open_counts) > MAX_DEPTH + 2:
                raise ValueError(f"columns of more than {MAX_DEPTH} lists inside each other are not read")
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{_name(path)}: no parquet file, or damaged ({type(error).__name__})") from None
    except ValueError as error:
        raise ValueError(f"{_name(path)}: {error}") from None
    if leaves > MAX_COLUMNS:
        raise ValueError(
            f"{_name(path)}: {leaves:,} columns; legal are {MAX_COLUMNS:,}: leave out those that are no pictures"
        )
    return names


# -- pages ------------------------------------------------------------------------------------------------------------


def _pages(file: BinaryIO, chunk: Any, counter: Iterator[int]) -> Iterator[Page]:
    """The headers of a column's pages in a row group; `counter` counts those of the file."""
    place, dictionary = chunk.data_page_offset, chunk.dictionary_page_offset
    place = dictionary if dictionary is not None and 0 < dictionary < place else place
    end, values = place + chunk.total_compressed_size, 0
    while place < end and values < chunk.num_values:
        file.seek(place)
        fields, length = read_struct(file.read(4096), long=partial(_long_header, file, place))
        facts = fields.get(5) or fields.get(7) or fields.get(8) or {}
        kind, unpacked, packed = (int(fields[key]) for key in (1, 2, 3))
        encoding = int(facts.get(4 if kind == DATA_PAGE_V2 else 2, 0))
        page = Page(kind, place + length, packed, unpacked, int(facts.get(1, 0)), encoding)
        number = next(counter)
        if min(page[1:5]) < 0 or unpacked > MAX_PAGE_BYTES or number > MAX_PAGES:
            raise ValueError(
                f"column {shown(chunk.path_in_schema[:60])}: a page of {unpacked:,} bytes, number {number:,}; legal "
                f"are {MAX_PAGE_BYTES:,} bytes and {MAX_PAGES:,} pages: write smaller row groups, or larger pages"
            )
        values += page.values if kind != DICTIONARY_PAGE else 0
        place = page.start + packed
        yield page


def _long_header(file: BinaryIO, place: int) -> bytes:
    """Statistics make some headers long: the smallest and largest value stand there, pictures too."""
    file.seek(place)
    return file.read(MAX_FOOTER_BYTES)


def _unpacked(file: BinaryIO, column: Any, chunk: Any, counter: Iterator[int]) -> tuple[int, int]:
    """Bytes that a column of a row group unpacks to: of READ_ROWS rows at most, and of all.

    In lists nobody knows where a row ends, so that all may be in one.
    """
    in_all = at_once = in_window = rows = 0
    largest: int | None = None  # value of the dictionary
    dictionary: Page | None = None
    window: deque[tuple[int, int]] = deque()  # (values, bytes) of the pages that READ_ROWS rows may lie in
    for page in _pages(file, chunk, counter):
        if page.kind == DICTIONARY_PAGE:
            dictionary = page
            continue
        if page.kind not in (DATA_PAGE, DATA_PAGE_V2):
            continue
        width = WIDTHS.get(column.physical_type, column.length or 0)
        value = size = 0
        if column.physical_type != "BYTE_ARRAY":
            size = page.values * width
        elif page.encoding in BY_NUMBER and dictionary is not None:
            if largest is None:
                largest = _largest_value(file, dictionary, chunk.compression)
            value = largest
            size = page.values * largest
        else:
            size = page.unpacked * (page.values if page.encoding == BY_PREFIX else 1)
        size += page.values * LEVEL_BYTES
        in_all += size
        of_rows = min(size, READ_ROWS * (value or width) + READ_ROWS * LEVEL_BYTES) if value or width else size
        window.append((page.values, of_rows))
        in_window += of_rows
        rows += page.values
        while len(window) > 2 and rows - window[0][0] - page.values >= READ_ROWS:  # they lie between the two
            left = window.popleft()
            rows, in_window = rows - left[0], in_window - left[1]
        at_once = max(at_once, in_window + page.unpacked)
    at_once = in_all if column.max_repetition_level else at_once
    return at_once + (dictionary.unpacked if dictionary else 0), in_all


def _largest_value(file: BinaryIO, page: Page, compression: str) -> int:
    """Bytes of the longest value of a dictionary of texts or pictures; of the whole, where it cannot be told."""
    import pyarrow

    codec = compression.lower()
    file.seek(page.start)
    data = file.read(page.packed)
    try:
        if codec in CODECS:
            data = pyarrow.decompress(data, page.unpacked, codec, asbytes=True)
        elif codec != "uncompressed":
            return page.unpacked
    except (ValueError, OSError, pyarrow.ArrowException):
        return page.unpacked
    place = longest = 0
    for _ in range(min(page.values, 2**20)):
        length = int.from_bytes(data[place : place + 4], "little")
        longest, place = max(longest, length), place + 4 + length
        if place >= len(data):
            break
    else:
        longest = max(longest, len(data) - place)
    return min(longest, page.unpacked)


__all__ = ["READ_ROWS", "check_parquet"]

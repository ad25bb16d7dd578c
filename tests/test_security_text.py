# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Foreign text: whatever a card, a table or a name holds, reading it takes linear time and raises nothing."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dpsims_hf.demo.color_tables import _normal
from dpsims_hf.demo.limits import MAX_CARD_BYTES
from dpsims_hf.demo.model_text import (
    MAX_LICENSE,
    first_paragraph,
    read_model_text,
    sections_on_terms,
    split_front_matter,
    without_pictures,
)


SECONDS = 10.0  # of the processor; linear code takes well under one, the quadratic pattern of old took minutes
PATTERNS = [
    *("![", "![a](", "![](", "![a](b", "]", "(", "<", "<!--", "`", "```\n"),
    *("# ", "#", "# #\n", "## data\n", "\n", " ", "\t", "- ", "---\n", "a: b\n"),
    *("a: &x [*x,*x]\n", "license: [", "'", '"', "_", "-", ",", ";", "/", "\\", "é", "\u202e", "\x00"),
]


def bounded(function: Callable[[str], object], text: str) -> object:
    start = time.process_time()
    result = function(text)
    assert time.process_time() - start < SECONDS, f"{function.__name__} of {text[:20]!r}"
    return result


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_longest_text_takes_linear_time(pattern: str):
    text = pattern * (MAX_CARD_BYTES // len(pattern))
    for function in (without_pictures, first_paragraph, sections_on_terms, split_front_matter, _normal):
        bounded(function, text)
        bounded(function, "---\n" + text + "\n---\n# Data\n" + text)


def card(tmp_path: Path, text: str | bytes):
    (tmp_path / "README.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.process_time()
    result = read_model_text(SimpleNamespace(config={"_name_or_path": str(tmp_path)}))
    assert time.process_time() - start < SECONDS
    return result


@pytest.mark.parametrize("pattern", ["![", "![a](", "<", "```\n", "---\n", "license: x\n"])
def test_a_card_of_a_megabyte_is_read_at_once_and_shown_in_part(tmp_path: Path, pattern: str):
    read = card(tmp_path, "Hello.\n\n" + pattern * (1_000_000 // len(pattern)))
    assert read.summary.startswith("Hello.") and len(read.card) < 6 * MAX_CARD_BYTES


@pytest.mark.parametrize(
    "head",
    [
        *(
            "license: [mit",
            "license: {a: b}",
            "license: *x",
            "license: &x mit",
            "- a\n- b",
            "license:",
            "license: |\n  x",
        ),
        *("license: !!python/object/apply:os.system [ls]", "a: &a [x,x]\nb: &b [*a,*a]\nlicense: *b", "license: 7"),
        *(": :", "\t", "license: " + "x" * 10**6, "license:\n" + "- x\n" * 10**5),
    ],
)
def test_malformed_front_matter_raises_nothing(tmp_path: Path, head: str):
    read = card(tmp_path, f"---\n{head}\n---\nWhat it is.\n")
    assert read.license is None or len(read.license) <= MAX_LICENSE


def test_front_matter_that_is_right_is_read(tmp_path: Path):
    read = card(
        tmp_path,
        '---\nlicense: "cc-by-nc-4.0" # terms\ntags:\n- a\n---\n# M\n\nWhat it is.\n\n## Limits\n\nNo faces.\n',
    )
    assert (read.license, read.summary) == ("cc-by-nc-4.0", "What it is.")
    assert "No faces." in read.terms


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"", b"\x00" * 1000, b"---\n", b"---\n---\n"])
def test_bytes_that_are_no_text_raise_nothing(tmp_path: Path, data: bytes):
    card(tmp_path, data)


def test_pictures_with_an_address_become_links_and_others_go():
    text = "a ![x](http://h/p.png) b ![y](own.png) c ![z](https://h/q.png)"
    assert without_pictures(text) == "a [x](http://h/p.png) b  c [z](https://h/q.png)"

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""SECURITY.md: every promise names tests, and these exist."""

import re
from pathlib import Path


ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_every_promise_names_tests_that_exist():
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    rows = [(promise, held) for promise, held in lines if held.strip() != "held by"]
    promises = [(promise.strip(), re.findall(r"`([^`]+)`", held)) for promise, held in rows]
    assert len(promises) > 30
    known = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    for promise, tests in promises:
        assert tests, f"no test holds: {promise}"
        for name in tests:
            assert name in known or (ROOT / name).exists(), f"{name}, which should hold: {promise}"

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The map at the door: docs/architecture.md names files, functions, rooms and headings that there are."""

import ast
import re
from pathlib import Path


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpsims_hf"
MAP = ROOT / "docs" / "architecture.md"
TEXT = MAP.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| [^|]+ \| `([\w/]+\.py)` \| (.+) \|$", TEXT, flags=re.MULTILINE)


def functions(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_step_names_functions_of_its_file():
    assert len(ROWS) > 12
    for file, names in ROWS:
        missing = set(re.findall(r"`(\w+)`", names)) - functions(PACKAGE / file)
        assert not missing, f"{file} has no {missing}"


def test_every_file_and_folder_that_is_named_exists():
    named = re.findall(r"`((?:[\w.]+/)+|(?:\w+/)*\w+\.py)`", TEXT)
    assert len(named) > 30
    places = (ROOT, PACKAGE, PACKAGE / "training", PACKAGE / "demo", ROOT / "tests" / "training" / "objectives")
    places += (PACKAGE / "evaluation" / "measures", PACKAGE / "training" / "objectives", ROOT / "tests" / "demo")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_every_room_stands_in_the_tree():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    drawn = set(re.findall(r"^  (\w+)/ ", TEXT, flags=re.MULTILINE))
    assert drawn == rooms
    for room in rooms:
        assert f"| `{room}/` |" in TEXT


def test_links_to_headings_of_the_map_lead_there():
    words = re.findall(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in words}
    linked = re.findall(r"architecture\.md#([\w-]+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(linked) == 5 and set(linked) <= anchors

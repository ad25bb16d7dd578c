# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The folders of the demo: which work without a page, which may import which, and no import runs in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dpsims_hf


DEMO = Path(dpsims_hf.__file__).parent / "demo"
PACKAGE = "dpsims_hf.demo"
WITHOUT_A_PAGE = ("uploads", "models", "drawing", "choose_looks")
ROOMS = (*WITHOUT_A_PAGE, "assets", "server", "canvas", "widgets", "tabs")  # each may import those before it


def module_name(path: Path) -> str:
    parts = path.relative_to(DEMO).with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


MODULES = {module_name(path): path for path in DEMO.rglob("*.py")}


def imported(name: str) -> set[str]:
    """Modules that a module of the demo imports, also inside of functions; those of the demo by their full names."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            modules = {f"{origin}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= modules if len(modules) == len(node.names) else {origin, *modules}
    return found


def room(name: str) -> str:
    return name.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def members(room_name: str) -> list[str]:
    return [name for name in MODULES if room(name) == room_name]


@pytest.mark.parametrize("start", WITHOUT_A_PAGE)
def test_what_needs_no_page_imports_no_gradio(start):
    """Neither itself nor through any module of the demo."""
    seen, todo = {}, {name: name for name in members(start)}
    assert todo
    while todo:
        name, path = todo.popitem()
        seen[name] = path
        for other in imported(name):
            assert other.partition(".")[0] not in ("gradio", "gradio_client"), f"{path} imports {other}"
            if other in MODULES and other not in seen:
                todo[other] = f"{path} -> {other}"


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_rooms_before_it(name):
    allowed = {*ROOMS[: ROOMS.index(name) + 1]}
    for module in members(name):
        others = {room(other) for other in imported(module) if other.startswith(PACKAGE)}
        assert others <= allowed, f"{module} imports of {sorted(others - allowed)}"


def test_every_folder_with_modules_is_a_known_room():
    assert {path.parent.relative_to(DEMO).as_posix() for path in DEMO.rglob("*.py")} == {*ROOMS, ".", "draw_examples"}


def test_no_import_runs_in_a_circle():
    graph = {name: imported(name) & MODULES.keys() - {name} for name in MODULES}
    assert len([*TopologicalSorter(graph).static_order()]) >= len(MODULES)

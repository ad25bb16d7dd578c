# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The plan of the package: who may import whom, no circles, few files to a folder, short files and functions."""

import ast
from functools import cache
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpsims_hf"
# A layer imports from those before it. The first is what travels with a checkpoint: the files in dpsims_hf/ itself.
LAYERS = ("closure", "hub", "export", "data", "evaluation", "checkpoint_conversion", "training", "demo")
STRANGERS = {("demo", "training")}  # ... and these import nothing from each other
MAX_ENTRIES, MAX_FILE, MAX_FUNCTION = 16, 400, 60
MAX_TEST_FILES = 20
# Folders that are being put in order, and a file of theirs.
UNMEASURED = (
    "dpsims_hf/demo",
    "dpsims_hf/pipeline_semantic_image_synthesis.py",
    "tests/test_demo_api.py",
)
MEASURED = ("dpsims_hf", "metrics", "tests", "tools", "benchmarks", "experiments", ".ci")


def is_measured(path: Path) -> bool:
    return not any(path == ROOT / name or path.is_relative_to(ROOT / name) for name in UNMEASURED)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer(module: str) -> str:
    part = [*module.split("."), ""][1]
    return part if part in LAYERS else "closure"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imports(module: str, types_too: bool = True) -> frozenset[str]:
    """Modules of the package that a module imports, at its head or inside functions."""
    path, found = FILES[module], set()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if not (is_type_checking(node) and not types_too):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            home = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*home, *filter(None, [node.module])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else base for name in names}
    return frozenset(found & FILES.keys() - {module})


def circles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Each circle that a walk along the imports meets, as the modules on it."""
    found, done, path = [], set(), []

    def walk(module: str) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
            return
        if module in done:
            return
        path.append(module)
        for other in sorted(graph[module]):
            walk(other)
        done.add(path.pop())

    for module in graph:
        walk(module)
    return found


def test_circles_are_found():
    graph = {"a": frozenset("b"), "b": frozenset("cd"), "c": frozenset("a"), "d": frozenset()}
    assert circles(graph) == [["a", "b", "c", "a"]]
    assert circles({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()}) == []


def test_no_import_goes_in_a_circle():
    """Neither at the head of a file, nor inside a function, nor for types alone."""
    assert circles({module: imports(module) for module in FILES}) == []


def test_imports_go_down():
    upward = [
        f"{module} imports {other}"
        for module in FILES
        for other in imports(module)
        if other != "dpsims_hf" and LAYERS.index(layer(other)) > LAYERS.index(layer(module))
    ]
    strange = [
        f"{module} imports {other}"
        for module in FILES
        for other in imports(module)
        if (layer(module), layer(other)) in STRANGERS
    ]
    assert upward + strange == []


def test_folders_have_few_entries():
    """Of files that are committed as text; the root holds what travels, flat, since remote code has no folders."""
    for folder in sorted(filter(is_measured, {path.parent for path in FILES.values()} - {PACKAGE})):
        entries = [path.name for path in folder.iterdir() if path.name != "__pycache__"]
        assert len(entries) <= MAX_ENTRIES, f"{folder.relative_to(ROOT)}: {len(entries)} entries"
    for folder in sorted({path.parent for path in (ROOT / "tests").rglob("test_*.py")} - {ROOT / "tests"}):
        files = list(folder.glob("*.py"))
        assert len(files) <= MAX_TEST_FILES, f"{folder.relative_to(ROOT)}: {len(files)} files"


def long_functions(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        f"{node.name} in {path.relative_to(ROOT)}: {node.end_lineno - node.lineno + 1} lines"
        for node in functions
        if node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    ]


@pytest.mark.parametrize("top", MEASURED)
def test_files_and_functions_are_short(top: str):
    files = sorted(filter(is_measured, (ROOT / top).rglob("*.py")))
    assert files
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    assert [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MAX_FILE] == []
    assert [line for path in files for line in long_functions(path)] == []


def imported(node: ast.AST) -> list[str]:
    """Modules that a statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_no_test_file_imports_another():
    """Each can be run alone: shared fixtures live in conftest.py, helpers in modules of their own."""
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert len({path.stem for path in files}) == len(files), "two files of one name"
    for path in files:
        names = [name for node in ast.walk(ast.parse(path.read_text())) for name in imported(node)]
        assert not [name for name in names if name.startswith("test_")], path

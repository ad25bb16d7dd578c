# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""README and docs/: links lead somewhere, commands have the options they are shown with, Python blocks run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from app import load_library
from dpsims_hf.demo import build_demo, launch_options


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
WITH_PYTHON = [page for page in PAGES if "```python\n" in page.read_text(encoding="utf-8")]
OURS = re.compile(r"(-m dpsims_hf[\w.]*|train_accelerate\.py|app\.py)\s*(.*)")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """(program, arguments) of every command of ours in the page's shell blocks."""
    found = []
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            match = OURS.search(line)
            if match:
                found.append((match[1], [word for word in shlex.split(match[2], comments=True) if word != "..."]))
    return found


@cache
def options(program: str, command: str) -> set[str]:
    """The long options that the program's help, or that of its sub-command, names."""
    words = [sys.executable, *program.split(), *([command] if command else []), "--help"]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    helped = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert helped.returncode == 0, helped.stderr[-500:]
    return set(re.findall(r"--[a-zA-Z][\w-]*", helped.stdout))


def test_the_pages_are_found():
    assert len(PAGES) > 8 and len(WITH_PYTHON) >= 3
    assert {program for page in PAGES for program, _ in commands(page)} >= {"train_accelerate.py", "-m dpsims_hf.hub"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_have_the_options_they_are_shown_with(page: Path):
    for program, arguments in commands(page):
        command = arguments[0] if program.endswith(".hub") and arguments else ""
        shown = {word.split("=")[0] for word in arguments if word.startswith("--")}
        assert shown <= options(program, command) | {"--help"}, f"{page.name}: {program} {' '.join(arguments)}"


@pytest.fixture(scope="module")
def space() -> Iterator[str]:
    """Address of a page with an embedded checkpoint."""
    demo = build_demo(load_library(str(ROOT / "checkpoints" / "dpsims-camvid-small")))
    yield demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())[1].rstrip("/")
    demo.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, space: str):
    program = "\n".join(blocks(page, "python")).replace("http://127.0.0.1:7860", space)
    for name in ("checkpoints", "dpsims_hf", "metrics"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[-2000:]

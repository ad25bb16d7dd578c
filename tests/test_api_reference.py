# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The API reference builds from the docstrings, without a warning, and has what a program imports."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
CODE = """
import runpy, sys
sys.argv = ["build_api_reference.py", sys.argv[1]]
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.slow
def test_it_builds_without_a_warning(tmp_path: Path):
    if not os.environ.get("CI"):
        pytest.importorskip("pdoc", reason="pip install -r requirements-dev.txt")
    script = str(ROOT / "tools" / "build_api_reference.py")
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(script=script), str(tmp_path / "api")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "default::UserWarning:pdoc"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pdoc" not in done.stderr and "Warn:" not in done.stderr, done.stderr[-3000:]
    pages = {path.relative_to(tmp_path / "api").as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    for name in ("dpsims_hf", "dpsims_hf.data", "dpsims_hf.evaluation", "dpsims_hf.export", "dpsims_hf.hub"):
        page = pages[name.replace(".", "/") + ".html"]
        assert [member for member in import_module(name).__all__ if f'id="{member}"' not in page] == []

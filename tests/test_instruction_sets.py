# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""`.ci/instruction_sets.py`: which sets it runs, in what environment, and what it says of the others."""

import runpy
import subprocess
from pathlib import Path

import pytest


SCRIPT = Path(__file__).parents[1] / ".ci" / "instruction_sets.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Run the script on a processor with these flags; returns (exit status, environments of pytest, text)."""
    script = runpy.run_path(str(SCRIPT))
    main, environments = script["main"], []

    def ready(flags: set[str], status: int = 0) -> tuple[int, list[dict[str, str]], str]:
        def completed(command: list[str], env: dict[str, str], **options) -> subprocess.CompletedProcess:
            if "pytest" in command:
                environments.append(env)
            return subprocess.CompletedProcess(command, status, stdout="torch: AVX2\n")

        monkeypatch.setitem(main.__globals__, "processor", lambda: ("a processor", frozenset(flags)))
        monkeypatch.setattr(subprocess, "run", completed)
        return main([]), environments, capsys.readouterr().out

    return ready


def test_sets_that_the_processor_lacks_are_named_and_left_out(run):
    status, environments, text = run({"sse4_1", "sse4_2", "avx2", "fma"})
    taken = [(env["ATEN_CPU_CAPABILITY"], env["ONEDNN_MAX_CPU_ISA"], env["OMP_NUM_THREADS"]) for env in environments]
    assert taken == [
        ("default", "SSE41", "1"),
        ("default", "SSE41", "2"),
        ("avx2", "AVX2", "1"),
        ("avx2", "AVX2", "2"),
    ]
    assert "AVX2, threads: 2 (torch AVX2)" in text
    assert "AVX512_CORE_AMX: not on this processor (no amx_bf16, amx_int8, amx_tile, avx512bw" in text
    assert status == 0 and "4 of 4 combinations passed" in text


def test_a_failure_is_the_exit_status_and_an_unknown_processor_is_none(run):
    status, _, text = run({"sse4_1", "sse4_2"}, status=1)
    assert status == 1 and "FAILED" in text and "0 of 2 combinations passed" in text
    status, _, text = run(set())
    assert status == 0 and text.count("not on this processor") == 5

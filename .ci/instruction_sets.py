# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Run tests as other processors would, with one thread and with two.

torch, oneDNN and MKL choose their kernels by the processor's instruction sets, and kernels round differently. The
variables that forbid the newer sets are read when the libraries load, so every combination is a process of its own. A
set that this processor lacks is named and left out.

python .ci/instruction_sets.py [PYTEST ARGUMENT ...]    without arguments: the tests of what is equal bit for bit
"""

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


ROOT = Path(__file__).resolve().parents[1]
TESTS = ["tests/test_exactness.py", "tests/demo/tabs/test_python_tab.py::test_the_programs_make_the_image"]
TESTS += ["-m", "not gpu and not hub"]  # slow ones too
THREADS = (1, 2)


class InstructionSet(NamedTuple):
    """Args: torch's, oneDNN's and MKL's names of it, and the flags in /proc/cpuinfo of a processor that has it."""

    torch: str
    onednn: str
    mkl: str
    flags: frozenset[str]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that keep the libraries to it."""
        return {
            "ATEN_CPU_CAPABILITY": self.torch,
            "ONEDNN_MAX_CPU_ISA": self.onednn,
            "MKL_ENABLE_INSTRUCTIONS": self.mkl,
        }


_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
INSTRUCTION_SETS = (
    InstructionSet("default", "SSE41", "SSE4_2", frozenset({"sse4_1", "sse4_2"})),
    InstructionSet("avx2", "AVX2", "AVX2", frozenset({"avx2", "fma"})),
    InstructionSet("avx512", "AVX512_CORE", "AVX512", _AVX512),
    InstructionSet("avx512", "AVX512_CORE_BF16", "AVX512", _AVX512 | {"avx512_bf16"}),
    InstructionSet("avx512", "AVX512_CORE_AMX", "AVX512", _AVX512 | {"amx_tile", "amx_int8", "amx_bf16"}),
)
# What the libraries take: a convolution makes oneDNN say it.
PROBE = """
import torch
torch.nn.functional.conv2d(torch.zeros(1, 32, 32, 32), torch.zeros(32, 32, 3, 3))
print("torch:", torch.backends.cpu.get_cpu_capability())
"""


def processor() -> tuple[str, frozenset[str]]:
    """Its name and its flags; no flags where the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    fields = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", text, flags=re.MULTILINE))
    return fields.get("model name", platform.machine()), frozenset(fields.get("flags", "").split())


def taken(environment: dict[str, str]) -> str:
    """What torch and oneDNN say that they use."""
    command = [sys.executable, "-c", PROBE]
    said = subprocess.run(command, env=environment | {"ONEDNN_VERBOSE": "1"}, capture_output=True, text=True).stdout
    lines = re.findall(r"info,cpu,isa:(.*)|^torch: (.*)", said, flags=re.MULTILINE)
    return ", ".join(f"oneDNN {onednn}" if onednn else f"torch {capability}" for onednn, capability in lines)


def run(instruction_set: InstructionSet, threads: int, tests: list[str]) -> bool:
    """Run the tests in a process of their own, print what came of it, and return whether all passed."""
    environment = os.environ | instruction_set.environment | {"OMP_NUM_THREADS": str(threads)}
    print(f"=== {instruction_set.onednn}, threads: {threads} ({taken(environment)}) ===", flush=True)
    start = time.monotonic()
    workers = ["-n", "2", "--dist", "load"] if threads == 1 else ["-n", "0"]  # either way two cores have work
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *workers, *tests], cwd=ROOT, env=environment)
    print(f"{'passed' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - start:.0f} s", flush=True)
    return done.returncode == 0


def main(tests: list[str]) -> int:
    """Run the tests with every set that the processor has."""
    name, flags = processor()
    print(f"processor: {name}")
    results = []
    for instruction_set in INSTRUCTION_SETS:
        missing = sorted(instruction_set.flags - flags)
        if missing:
            print(f"=== {instruction_set.onednn}: not on this processor (no {', '.join(missing)}) ===")
            continue
        results += [run(instruction_set, threads, tests or TESTS) for threads in THREADS]
    print(f"{sum(results)} of {len(results)} combinations passed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

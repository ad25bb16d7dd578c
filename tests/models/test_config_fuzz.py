# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Hundreds of mutated configs: each is accepted, or refused by a ValueError of one line, at once, in little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


pytestmark = pytest.mark.integration


# A process of its own: its peak memory is that of the mutations.
FUZZ = '''
import json, random, re, sys, time
from dpsims_hf import SemanticImageProcessor
from dpsims_hf.configuration_limits import SEGMENTER_FILE, TRANSFORMERS_FIELDS
from pathlib import Path
from dpsims_hf.data.specs import DatasetSpec, label_presets, load_label_preset
from dpsims_hf.training.families import FAMILIES
from transformers.utils import logging

logging.set_verbosity_error()
rng = random.Random(int(sys.argv[2]))
ODD = [None, True, False, 0, -1, 1, 2, 3.5, 1e9, -1e300, float("nan"), float("inf"), 10**9, 2**63, 10**400, "", "x",
       "9" * 100_000, "a\\\\nb", "../x", "hf-hub:a/b", "http://127.0.0.1/x", [], [0], [1.5], [-1] * 3, [10**9] * 4,
       [1] * 10_000, [[1, 2], [3]], {}, {"0": "a"}, {"pretrained": True}, {"0": {"0": {}}}, [None], ["x"], [True] * 4,
       {str(i): str(i) for i in range(20_000)}, 8192, [8192] * 12, [64, 64], 2048, [2048, 2048], "nearest", "same"]

def mutated(value):
    """A value like the given one, or an odd one."""
    if rng.random() < 0.5 or value is None:
        return rng.choice(ODD)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return rng.choice([-value, value * 10**6, value / 3 if abs(value) < 1e9 else 0.5, repr(value), [value]])
    if isinstance(value, str):
        return rng.choice([value * 1000, value + "\\\\n", value.upper(), [value]])
    if isinstance(value, list):
        copy = list(value) or [0]
        copy[rng.randrange(len(copy))] = rng.choice(ODD)
        return rng.choice([copy, value * 500, value[:-1], value + value])
    copy = dict(value) or {"0": "a"}
    copy[rng.choice([*copy])] = rng.choice(ODD)
    if rng.random() < 0.5:
        copy[rng.choice(["x", "0", "-1", "self", "pretrained", "checkpoint_path"])] = rng.choice(ODD)
    return copy

def read_classes(content):
    Path("classes.json").write_text(json.dumps(content))
    return DatasetSpec.from_json("classes.json")

def subject(kind):
    """A legal table of fields, further names to add, and what reads it."""
    if kind == "processor":
        legal = load_label_preset("camvid").image_processor(size=(192, 256)).to_dict()
        return legal, ["self", "preprocess", "class_info_file", "_validate"], SemanticImageProcessor.from_dict
    if kind == "classes":
        legal = json.loads(rng.choice(list(label_presets().values())).read_text())
        return legal, ["void_color", "label_encodings", "hub", "void_name"], read_classes
    if kind == "segmenter":
        network = {"backbone": "test_resnet", "channels": 8, "backbone_kwargs": {}, "mean": [0.5] * 3, "std": None}
        legal = {"format": "x", "label_names": ["a"], "size": [64, 64], "network": network, "training": {}, "val": {}}
        return legal, ["self", "x"], lambda content: SEGMENTER_FILE.check("", content)
    family, part = kind.split("-")
    config_class = getattr(FAMILIES[family], part).config_class
    preset = rng.choice(["tiny", "small", "paper"])
    legal = config_class.from_preset(preset, void_label_id=0).to_dict()
    return legal, [*TRANSFORMERS_FIELDS, "quantization_config", "self", "to_dict"], config_class.from_dict

slowest, problems, counts = 0.0, [], {}
for kind in sys.argv[1].split(","):
    counts[kind] = {"accepted": 0, "refused": 0}
    for index in range(int(sys.argv[3])):
        fields, further, read = subject(kind)
        names = rng.choices([*fields, *further], k=rng.choice([1, 1, 1, 2, 3]))
        for name in names:
            fields[name] = mutated(fields.get(name))
        started = time.process_time()
        try:
            read(fields)
            counts[kind]["accepted"] += 1
        except ValueError as error:
            counts[kind]["refused"] += 1
            if "\\n" in str(error) or len(str(error)) > 600 or not str(error):
                problems.append(f"{kind} {names}: {str(error)[:200]!r}")
        except BaseException as error:
            problems.append(f"{kind} {names}: {type(error).__name__} {str(error)[:200]}")
        slowest = max(slowest, time.process_time() - started)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({"problems": problems, "slowest": slowest, "peak_mb": peak, "counts": counts}))
'''.replace("\\\\n", "\\n")
KINDS = [
    f"{family}-{part}" for family in ("dpsims", "dpgan", "oasis", "spade") for part in ("generator", "discriminator")
]


ALL = [*KINDS, "processor", "classes", "segmenter"]


@pytest.mark.parametrize(
    ("kinds", "count"), [(ALL, 60), *(pytest.param([k], 400, marks=pytest.mark.slow) for k in ALL)]
)
def test_mutated_files_are_accepted_or_refused_in_one_line(kinds: list[str], count: int, tmp_path: Path):
    script = tmp_path / "fuzz.py"
    script.write_text(FUZZ)
    command = [sys.executable, str(script), ",".join(kinds), "20240607", str(count)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["problems"] == []
    assert found["slowest"] < 1 and found["peak_mb"] < 1024
    for kind, counts in found["counts"].items():
        assert counts["refused"] > 0.375 * count, (kind, counts)
        assert counts["accepted"] > 5 or count < 400, (kind, counts)  # few: of some kinds one in seventy
    assert sum(counts["accepted"] for counts in found["counts"].values()) > 5
    assert [*found["counts"]] == kinds

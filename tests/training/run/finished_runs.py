# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A short run, and its checkpoints as older versions wrote them."""

import json
from pathlib import Path


STATE = "training_state"
STEPS = ("--checkpointing_steps", "1", "--checkpoints_total_limit", "0", "--sample_steps", "0")


def older_version(folder: Path, changes: dict | str | None = None) -> None:
    """The checkpoint as it was before there were manifests; with other progress."""
    (folder / STATE / "manifest.json").unlink()
    file = folder / STATE / "progress.json"
    progress = json.loads(file.read_text())
    del progress["has_manifest"]
    file.write_text(changes if isinstance(changes, str) else json.dumps({**progress, **(changes or {})}))

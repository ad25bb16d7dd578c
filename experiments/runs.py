# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The list of runs of a table, and running them one after the other through the commands that everyone uses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .tables import Row, Table


ROOT = Path(__file__).parents[1]
BATCH_SIZE = 8  # for every row: the same images seen after the same steps
# Over each recipe's own, so that rows differ in what they are about.
EQUAL = (
    "data.image_size=[96,128]",
    "generator.image_size=[96,128]",
    "data.scale_range=[1.0,1.2]",
    "training.ema_decay=0.998",
    "training.batch_norm_refresh_batches=12",
)


@dataclass(frozen=True)
class Plan:
    """What a call of the program asks for.

    Args:
        train_dir: the dataset's folder; it is measured on its val split.
        output_dir: of this table.
        recipes: the recipes' name without a family: camvid_small, labelme_small, or tiny.
        steps: of each run.
        seeds: how many.
        train_flags, evaluate_flags: for every run.
    """

    train_dir: str
    output_dir: Path
    recipes: str
    steps: int
    seeds: int
    train_flags: tuple[str, ...] = ()
    evaluate_flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One training and its evaluation."""

    row: Row
    seed: int
    folder: Path
    train: tuple[str, ...]
    evaluate: tuple[str, ...]

    @property
    def results(self) -> Path:
        """Where the evaluation leaves its numbers."""
        return self.folder / "evaluation" / "results.json"


def list_runs(table: Table, plan: Plan) -> list[Run]:
    """Seed after seed, so that a whole table stands as soon as may be."""
    return [_run(table, row, seed, plan) for seed in range(plan.seeds) for row in table.rows]


def _run(table: Table, row: Row, seed: int, plan: Plan) -> Run:
    folder = plan.output_dir / f"{row.name}_seed{seed}"
    recipe = f"{row.family}/{plan.recipes}" if row.family else plan.recipes
    train = ["--recipe", recipe, "--train_dir", plan.train_dir, "--output_dir", str(folder), "--seed", str(seed)]
    train += ["--max_train_steps", str(plan.steps), "--train_batch_size", str(BATCH_SIZE)]
    if plan.recipes != "tiny":
        train += [part for value in EQUAL for part in ("--set", value)]
    # A row's own flags last: they win over those of the call.
    train += [*plan.train_flags, *table.shared, *row.flags]
    evaluate = ["--model", str(folder / f"checkpoint-{plan.steps}"), "--dataset_dir", plan.train_dir]
    evaluate += ["--output_dir", str(folder / "evaluation"), "--metrics", *table.metrics, "--with_random_weights"]
    return Run(row, seed, folder, tuple(train), (*evaluate, *plan.evaluate_flags))


def is_finished(run: Run) -> bool:
    """Whether it was trained and measured by these very commands."""
    return run.results.is_file() and _recorded(run) == [list(run.train), list(run.evaluate)]


def _recorded(run: Run) -> Any:
    path = run.folder / "experiment.json"
    return json.loads(path.read_text()) if path.is_file() else None


def check_unchanged(run: Run) -> None:
    """ValueError if the folder holds a run of other settings; more steps are no other settings."""
    before = _recorded(run)
    if before is not None and _without_steps(before[0]) != _without_steps(run.train):
        was = sorted(set(before[0]) ^ set(run.train))
        raise ValueError(
            f"{run.folder} holds a run of other settings ({', '.join(was)}); "
            "give another --output_dir, or move it away"
        )


def _without_steps(train: list[str] | tuple[str, ...]) -> list[str]:
    at = list(train).index("--max_train_steps")
    return [*train[:at], *train[at + 2 :]]


def carry_out(run: Run, call: Callable[[list[str], Path], None]) -> None:
    """Train, from where it stopped if it was begun, and measure.

    Args:
        run: what.
        call: runs a command and writes what it says to a file; raises if it fails.
    """
    check_unchanged(run)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.results.unlink(missing_ok=True)
    (run.folder / "experiment.json").write_text(json.dumps([run.train, run.evaluate]) + "\n")
    logs = run.folder.parent / "logs"
    logs.mkdir(exist_ok=True)
    program = str(ROOT / "train_accelerate.py")
    # "latest" begins anew where there is no checkpoint yet, and does nothing where the last step was made.
    train = [program, *run.train, "--resume_from_checkpoint", "latest"]
    call(train, logs / f"{run.folder.name}_train.log")
    call(["-m", "dpsims_hf.evaluation", *run.evaluate], logs / f"{run.folder.name}_evaluate.log")


def call_python(arguments: list[str], log: Path) -> None:
    """Run Python with arguments in a process of its own; RuntimeError with its last line if it fails."""
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with log.open("w") as stream:
        done = subprocess.run([sys.executable, *arguments], env=environment, stdout=stream, stderr=stream)
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or ["nothing was said"]
        raise RuntimeError(f"{log} ends with: {lines[-1]} (status {done.returncode}); call again to go on from here")

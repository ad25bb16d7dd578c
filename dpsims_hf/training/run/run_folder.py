# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The checkpoints in a run's folder: which there are, which one a run goes on from, what a killed run left."""

import logging
import os
import shutil
from pathlib import Path

from .manifest import STATE_FOLDER, has_manifest
from .verification import NAME, PROGRESS_FILE, checkpoint_problem


logger = logging.getLogger("train")


def list_checkpoints(output_dir: str | os.PathLike) -> list[Path]:
    """Complete checkpoints of a run, oldest first; whether their files are as they were written is not looked at."""
    return [path for path in checkpoint_folders(output_dir) if _is_complete(path)]


def checkpoint_folders(output_dir: str | os.PathLike) -> list[Path]:
    """All that have a checkpoint's name, broken ones too, oldest first."""
    return sorted((path for path in Path(output_dir).glob("checkpoint-*") if NAME.fullmatch(path.name)), key=_step_of)


def _is_complete(path: Path) -> bool:
    return (path / STATE_FOLDER / PROGRESS_FILE).is_file()


def _step_of(path: Path) -> int:
    return int(NAME.fullmatch(path.name).group(1))


def newest_verified(output_dir: str | os.PathLike) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that a run can go on from, None without one, and what is wrong with each newer one."""
    problems = []
    for path in reversed(checkpoint_folders(output_dir)):
        problem = checkpoint_problem(path)
        if problem is None:
            return path, problems
        problems.append(f"{path.name} ({problem})")
    return None, problems


def find_checkpoint(output_dir: str | os.PathLike, wanted: str) -> Path | None:
    """The folder to resume from.

    Args:
        output_dir: of the run.
        wanted: "latest": the newest that verifies, with one line about those passed over; a path, or the name of a
            checkpoint in `output_dir`.

    Returns:
        The folder; None for "latest" in a run that has none yet.

    Raises:
        ValueError: if a named checkpoint does not exist or does not verify, naming the file; if none of several does.
    """
    if wanted == "latest":
        found, problems = newest_verified(output_dir)
        if problems and found is None:
            raise ValueError(
                f"no checkpoint in {output_dir} is as it was written: {'; '.join(problems)}; put one back, or move "
                "them away to start anew"
            )
        if problems:
            logger.warning("passed over, since not as written: %s; going on from %s", "; ".join(problems), found.name)
    else:
        found = _named(output_dir, wanted)
    if found is not None and not has_manifest(found):
        logger.warning("%s has no manifest (an older version wrote it): its files load, more is not known", found)
    return found


def _named(output_dir: str | os.PathLike, wanted: str) -> Path:
    found = next((path for path in (Path(wanted), Path(output_dir) / wanted) if path.is_dir()), None)
    if found is None:
        names = ", ".join(path.name for path in list_checkpoints(output_dir)) or "none"
        raise ValueError(f"no checkpoint {wanted!r}; complete checkpoints in {output_dir}: {names}")
    found = Path(os.path.abspath(found))
    problem = checkpoint_problem(found)
    if problem is not None:
        other, _ = newest_verified(output_dir)
        raise ValueError(
            f"{found} is not as it was written: {problem}; "
            + (f"--resume_from_checkpoint latest takes {other.name}" if other else "no other checkpoint is whole")
        )
    return found


def clean_up(output_dir: str | os.PathLike) -> list[str]:
    """What a run that was killed while it saved has left behind: removed, or put back where nothing replaced it.

    Returns:
        Names of the removed folders.
    """
    removed = []
    for path in sorted(Path(output_dir).glob(".*checkpoint-*")):
        target = path.with_name(path.name.removeprefix(".").removesuffix(".replaced"))
        if path == replaced_name(target) and not target.exists():
            os.replace(path, target)
        else:
            remove(path)
            removed.append(path.name)
    return removed


def set_newer_aside(folder: Path) -> list[str]:
    """Rename the checkpoints that are newer than the one a run goes back to: they are no longer part of it.

    Returns:
        The new names; neither "latest" nor the total limit knows them.
    """
    renamed = []
    for path in checkpoint_folders(folder.parent):
        if NAME.fullmatch(folder.name) and _step_of(path) > _step_of(folder):
            target = path.with_name(f"abandoned-{path.name}")
            remove(target)
            os.replace(path, target)
            renamed.append(target.name)
    return renamed


def replaced_name(target: Path) -> Path:
    """Where a checkpoint stands while another takes its place."""
    return target.with_name(f".{target.name}.replaced")


def remove(folder: Path) -> None:
    """Remove a folder, if it is there; of a link the link alone."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


__all__ = [
    "checkpoint_folders",
    "clean_up",
    "find_checkpoint",
    "list_checkpoints",
    "newest_verified",
    "remove",
    "replaced_name",
    "set_newer_aside",
]

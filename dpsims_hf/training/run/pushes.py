# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints go to the Hub beside training: one after the other, each revision tagged by its step."""

import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ...hub import push_folder
from ...hub.repositories import require_repository


logger = logging.getLogger("train")


class BackgroundPush:
    """Uploads checkpoints one after the other while training goes on.

    A checkpoint is pushed from hard links beside it, since the run may remove it meanwhile.

    Args:
        push: folder, step -> address; what it raises as ValueError is kept for `finish`.
    """

    def __init__(self, push: Callable[[Path, int], str]) -> None:
        self._push = push
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="push")
        self._pending: list[tuple[Path, Future[str]]] = []

    def add(self, folder: Path, step: int) -> None:
        """Push a checkpoint folder when those before it are done."""
        snapshot = folder.with_name(f".{folder.name}.push")
        shutil.rmtree(snapshot, ignore_errors=True)
        shutil.copytree(folder, snapshot, copy_function=_link, ignore=shutil.ignore_patterns("training_state"))
        self._pending.append((folder, self._pool.submit(self._upload, snapshot, step)))

    def _upload(self, snapshot: Path, step: int) -> str:
        try:
            return self._push(snapshot, step)
        finally:
            shutil.rmtree(snapshot, ignore_errors=True)

    def done(self) -> list[tuple[Path, str | ValueError]]:
        """Checkpoints whose push has ended since the last call, each with its address or its error."""
        ended = [entry for entry in self._pending if entry[1].done()]
        self._pending = [entry for entry in self._pending if not entry[1].done()]
        return [(folder, _outcome(future)) for folder, future in ended]

    def finish(self) -> list[tuple[Path, str | ValueError]]:
        """Wait for all pushes; what `done` has not told yet."""
        self._pool.shutdown(wait=True)
        return self.done()


def _outcome(future: "Future[str]") -> str | ValueError:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, ValueError):
        return error
    return ValueError(" ".join(str(error).split()) or type(error).__name__)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def make_pushes(repo_id: str | None, private: bool = False, token: str | None = None) -> BackgroundPush | None:
    """Pushes of a run's checkpoints, each tagged by its step; None without a repository.

    Raises:
        PublishError: the Hub refuses the token or the name, which had better show before days of training.
    """
    if not repo_id:
        return None
    require_repository(repo_id, private, token)
    return BackgroundPush(lambda folder, step: push_folder(folder, repo_id, private, token, f"step-{step}"))


def report_pushes(outcomes: list[tuple[Path, str | ValueError]]) -> None:
    """Tell what was pushed and what was not; training goes on."""
    for folder, outcome in outcomes:
        if isinstance(outcome, ValueError):
            logger.warning("%s was not pushed: %s", folder, outcome)
        else:
            logger.info("pushed %s to %s", folder, outcome)


__all__ = ["BackgroundPush", "make_pushes", "report_pushes"]

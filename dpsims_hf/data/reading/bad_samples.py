# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Samples that cannot be read: named once, counted over all workers and processes, and passed over up to a limit."""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from filelock import FileLock

from ..transforms import stateless_generator


REPLACEMENT_STREAM = 3  # keeps the draws of replacements apart from those of order (1) and augmentation (2)
ATTEMPTS = 100  # replacements tried for one draw before the set is given up

logger = logging.getLogger(__name__)


class BadSampleError(ValueError):
    """A sample cannot be used; its text is one line, also after a DataLoader's worker has wrapped it."""

    def __init__(self, message: str) -> None:
        # A DataLoader raises a worker's exception again with the whole traceback for text; its last line is ours.
        if message.startswith("Caught "):
            message = message.strip().splitlines()[-1].partition(": ")[2]
        super().__init__(message)


class BadSamples:
    """How many bad samples a run tolerates, and which they are.

    Given a file, all workers and processes that see it count together (each bad sample once), and a resumed run goes
    on counting; without one, each worker counts its own.

    Args:
        limit: Distinct bad samples that may be passed over; 0 ends the run at the first.
        file: JSON lines {"sample", "reason"}; created with the first bad sample.
    """

    def __init__(self, limit: int = 0, file: str | Path | None = None) -> None:
        if limit < 0:
            raise ValueError(f"max_bad_samples {limit} must be at least 0")
        self.limit, self.file = limit, None if file is None else Path(file)
        self._known: set[str] = set()

    def report(self, sample: str, error: Exception) -> None:
        """Count a bad sample and name it in the log if it is new.

        Raises:
            BadSampleError: if there are now more than `limit`.
        """
        if sample in self._known:
            return
        if not self.limit:
            raise BadSampleError(f"{error} (or pass over up to N bad samples with --max_bad_samples N)") from error
        if self.file is None:
            self._add(sample, error)
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.file}.lock"):
            if self.file.is_file():
                self._known |= set(_samples(self.file.read_text(errors="replace")))
            if sample not in self._known:
                self._add(sample, error)
                with self.file.open("a") as lines:
                    lines.write(json.dumps({"sample": sample, "reason": str(error)}) + "\n")

    def _add(self, sample: str, error: Exception) -> None:
        if len(self._known) >= self.limit:
            raise BadSampleError(f"{error}; that is one more than --max_bad_samples {self.limit} allows") from error
        self._known.add(sample)
        logger.warning("bad sample %d of at most %d passed over: %s", len(self._known), self.limit, error)

    @property
    def known(self) -> frozenset[str]:
        """The bad samples that this process knows of."""
        return frozenset(self._known)


def _samples(text: str) -> Iterator[str]:
    """The samples of a file of bad ones; a run that was killed leaves pieces of a line."""
    for line in text.splitlines():
        with suppress(ValueError, LookupError, TypeError):
            yield str(json.loads(line)["sample"])


def replacement_index(seed: int, draw: int, attempt: int, count: int) -> int:
    """Which of `count` samples takes the place of a bad one: a function of (seed, draw, attempt)."""
    generator = stateless_generator(seed, REPLACEMENT_STREAM, draw, attempt)
    return int(torch.randint(count, (), generator=generator))


__all__ = ["ATTEMPTS", "BadSampleError", "BadSamples", "replacement_index"]

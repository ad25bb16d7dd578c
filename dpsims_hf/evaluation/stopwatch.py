# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Where the time of an evaluation goes."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Stopwatch:
    """Seconds by name, on one process; an accelerator's queue is emptied before the clock is read.

    Args:
        device: Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.started = device, time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the block under a name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def iterate(self, name: str, items: Iterable[Any]) -> Iterator[Any]:
        """Pass items on; the time to get each one is counted."""
        iterator, end = iter(items), object()
        while True:
            with self(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item

    def summary(self, images: int) -> dict[str, Any]:
        """Total time, images per second of the whole, and the share of each name; the rest is "other"."""
        total = time.perf_counter() - self.started
        shares = {name: seconds / total for name, seconds in self.seconds.items()}
        shares["other"] = max(0.0, 1.0 - sum(shares.values()))
        return {
            "seconds": round(total, 3),
            "images": images,
            "images_per_second": round(images / total, 3),
            "shares": {name: round(share, 4) for name, share in shares.items()},
        }


__all__ = ["Stopwatch"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a request may cost: seconds are estimated before it starts, from two small images that a model draws once."""

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch

from .turns import image_turn


PROBE_PIXELS = 64 * 64  # of the smaller of the two images, about


@dataclass(frozen=True)
class Budget:
    """The page's limits; the owner changes them by flags of app.py or by DPSIMS_MAX_... in the environment.

    Args:
        request_seconds: that a request may compute; the time that it waits for others does not count.
        image_seconds: for one image, during which everybody else waits.
        image_pixels: of one image.
        evaluation_seconds: that an evaluation may take.
        model_bytes: of the files that a model is loaded from.
        downloaded_bytes: of all models that were downloaded for visitors since the start.
    """

    request_seconds: float = 120.0
    image_seconds: float = 20.0
    image_pixels: int = 2**21
    evaluation_seconds: float = 300.0
    model_bytes: int = 4_000_000_000
    downloaded_bytes: int = 20_000_000_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise ValueError(f"{field.name} {value!r} is out of range: give a positive number")


def variable(name: str) -> str:
    """The variable of the environment that sets a field of `Budget`."""
    return f"DPSIMS_MAX_{name.upper()}"


def budget_from_environment() -> Budget:
    """The budget of this process.

    Raises:
        ValueError: no number; the line names the variable.
    """
    values = {}
    for field in fields(Budget):
        text = os.environ.get(variable(field.name))
        if text:
            try:
                values[field.name] = type(field.default)(float(text))
            except (ValueError, OverflowError):
                raise ValueError(
                    f"{variable(field.name)}={text[:40]!r} is not a number: give a positive one"
                ) from None
    return Budget(**values)


class Cost:
    """How long a network takes for an image, by its size.

    Args:
        run: (height, width) -> one forward pass, and wait for it.
        aspect: (height, width), whose proportions the measured images have.
        divisor: sides are multiples of it.
        budget: of the page.
    """

    def __init__(
        self, run: Callable[[int, int], Any], aspect: tuple[int, int], divisor: int, budget: Budget | None = None
    ) -> None:
        self.run = run
        self.aspect = aspect
        self.divisor = divisor
        self.budget = budget or budget_from_environment()
        self._lock = threading.Lock()
        self._measured: tuple[int, float, float] | None = None  # pixels, seconds, exponent

    def seconds(self, size: tuple[int, int]) -> float:
        """For one image of this (height, width), on this machine.

        Raises:
            ValueError: already a small image takes too long.
        """
        if self._measured is None:
            with image_turn(), self._lock:  # in this order: a thread that waits for a turn must not hold the lock
                self._measured = self._measured or self._measure()
        pixels, seconds, exponent = self._measured
        scale = size[0] * size[1] / pixels
        return seconds * (scale**exponent if scale > 1 else max(scale, 0.1))

    def _measure(self) -> tuple[int, float, float]:
        """Draw a small image, and one of four times the pixels: attention can make the time grow faster than them."""
        unit = math.sqrt(PROBE_PIXELS / (self.aspect[0] * self.aspect[1])) / self.divisor
        height, width = (max(1, round(side * unit)) * self.divisor for side in self.aspect)
        times = []
        for factor in (1, 2):
            self._check_pixels(factor * height, factor * width)
            times.append(self._time(factor * height, factor * width))
            if times[-1] > self.budget.image_seconds:
                raise ValueError(
                    f"even {factor * width} × {factor * height} pixels took {times[-1]:.1f} seconds, and this page "
                    f"allows {self.budget.image_seconds:g} for an image: choose a smaller model"
                )
        exponent = min(2.0, max(1.0, math.log(times[1] / times[0], 4)))
        return 4 * height * width, times[1], exponent

    def _time(self, height: int, width: int) -> float:
        """Of a warm forward pass, unless the first one takes long."""
        best = math.inf
        for _ in range(3):
            start = time.perf_counter()
            with torch.no_grad():
                self.run(height, width)
            best = min(best, time.perf_counter() - start)
            if best > 1:
                break
        return max(best, 1e-6)

    def _check_pixels(self, height: int, width: int) -> None:
        if height * width > self.budget.image_pixels:
            raise ValueError(
                f"{width} × {height} pixels are too many for this page: an image may have "
                f"{self.budget.image_pixels:,}; choose a smaller size or model"
            )

    def check(self, size: tuple[int, int], images: int = 1, what: str = "images", limit: float | None = None) -> None:
        """Refuse a request before it starts.

        Args:
            size: (height, width) of every image.
            images: their number.
            what: they are called in the message.
            limit: seconds; None takes the budget's for a request.

        Raises:
            ValueError: it costs more than the page gives; one line with the remedy.
        """
        self._check_pixels(*size)
        limit = self.budget.request_seconds if limit is None else limit
        one = self.seconds(size)
        shown = f"of {size[1]} × {size[0]} pixels"
        if one > self.budget.image_seconds:
            raise ValueError(
                f"an image {shown} would take about {one:.0f} seconds, and this page allows "
                f"{self.budget.image_seconds:g}: choose a smaller size or model"
            )
        if images * one > limit:
            raise ValueError(
                f"{images} {what} {shown} would take about {images * one:.0f} seconds, and a request may take "
                f"{limit:g}: ask for fewer, or choose a smaller size or model"
            )


def generator_cost(generator: Any, aspect: tuple[int, int], budget: Budget | None = None) -> Cost:
    """Of the images of a generator."""

    def run(height: int, width: int) -> None:
        device = generator.device
        # No two neighbourhoods alike: the label map that takes longest.
        places = torch.arange(height * width, device=device).view(1, height, width)
        label_map = (places * 7919 // 3 + places * places // 7) % generator.config.num_labels
        noise = torch.zeros(1, generator.config.noise_dim, device=device)
        fast = getattr(generator, "kept_for_inference", lambda: generator)()
        fast(label_map=label_map, noise=noise).images.cpu()

    return Cost(run, aspect, int(getattr(generator.config, "size_divisor", 1)), budget)


__all__ = ["Budget", "Cost", "budget_from_environment", "generator_cost", "variable"]

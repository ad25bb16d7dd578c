# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights and constants of the loss terms that all families share, and how they change over a run."""

from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, ClassVar

from .losses import CLASS_WEIGHT_FORMS


NOISE_SAMPLINGS = ("image", "region", "pixel", "mix")


@dataclass(frozen=True)
class AdversarialLossWeights:
    """Constants of the terms that all families share; the defaults are those of OASIS, or ours where it is silent.

    Args:
        lambda_gan: 0 drops the term.
        lambda_labelmix: 5, or 10 on COCO-Stuff (OASIS App. C.3); 0 drops the term and its cost.
        consistency_mask: what L_cons mixes by: "classes" (LabelMix) or a "rectangle" (CutMix, OASIS Table E).
        labelmix_as_released: classes 0 and 1 share one coin, as in the released code (a slip).
        class_balancing: alpha_c; False is "without class balancing" (OASIS Table 5, DP-SIMS Table 8).
        class_weight_form: of alpha_c: "balanced" (the released code), "inverse_frequency" (OASIS Eq. 2, DP-SIMS) or
            "mean_inverse_frequency" (DP-GAN Eq. 4); see `class_weights`.
        global_class_weights: count the classes over the batches of all processes; False is each process by its own
            batch, as in the papers.
        focal_gamma: 0 is cross-entropy.
        label_smoothing: epsilon of the D terms.
        label_smoothing_form: "distribute" (epsilon to the other classes) or "literal" (DP-SIMS's words).
        label_smoothing_targets: "both" terms of the D loss, or "real" only.
        noise_sampling: one noise vector per "image" (the papers), per "region" (class), per "pixel", or "mix": image
            or region by a coin (OASIS Table I).
        joint_batch_norm: real and fake share D's batch, hence its batch statistics, where D has any.
        generator_step_statistics: by which statistics D's batch norms work in G's half-step: the "running" ones of
            D's own half-steps, or those of the fake "batch" alone, which hide a tint that all fakes share.
        lambda_color: of the colour anchor, which keeps the start of a small run from false colours; 0 drops the term.
        lambda_class_color: of the same for the mean colour of each class; 0 drops the term.
        color_pool: side of the squares whose mean colours the anchor compares.
        border_width: pixels so near to another class are void for d_real and g_gan (see `void_borders`); 0 is off.
        random_shift: D and feature networks see all pictures shifted by up to so many pixels (see `random_shift`).
        photo_noise: probability that the noise of G's half-step tells the photo's appearance (see `PhotoNoise`); the
            two terms of colour then count for these images alone.
        schedule: weight -> [[step, value], ...], linear between the points and constant beyond them; in place of the
            weight's own value; a weight of 0 stays 0.
    """

    lambda_gan: float = 1.0
    lambda_labelmix: float = 0.0
    consistency_mask: str = "classes"
    labelmix_as_released: bool = False
    class_balancing: bool = True
    class_weight_form: str = "balanced"
    global_class_weights: bool = False
    focal_gamma: float = 0.0
    label_smoothing: float = 0.0
    label_smoothing_form: str = "distribute"
    label_smoothing_targets: str = "both"
    noise_sampling: str = "image"
    joint_batch_norm: bool = True
    generator_step_statistics: str = "running"
    lambda_color: float = 0.0
    lambda_class_color: float = 0.0
    color_pool: int = 8
    border_width: int = 0
    random_shift: int = 0
    photo_noise: float = 0.0
    schedule: dict[str, list[list[float]]] = field(default_factory=dict)

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "class_weight_form": CLASS_WEIGHT_FORMS,
        "consistency_mask": ("classes", "rectangle"),
        "label_smoothing_form": ("distribute", "literal"),
        "label_smoothing_targets": ("both", "real"),
        "noise_sampling": NOISE_SAMPLINGS,
        "generator_step_statistics": ("running", "batch"),
    }

    def __post_init__(self) -> None:
        for name, choices in self.choices.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"loss.{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(choices)}")
        for name, least in (
            ("random_shift", 0),
            ("border_width", 0),
            ("color_pool", 1),
            ("lambda_color", 0),
            ("lambda_class_color", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"loss.{name}={getattr(self, name)} must be at least {least}")
        if not 0 <= self.photo_noise <= 1:
            raise ValueError(f"loss.photo_noise={self.photo_noise} must be a probability in [0, 1]")
        if self.photo_noise and self.noise_sampling != "image":
            raise ValueError(
                f"loss.photo_noise tells a photo's appearance in one noise vector per image; it does not go with "
                f"loss.noise_sampling={self.noise_sampling!r}: set one of the two back"
            )
        known = [entry.name for entry in fields(self) if entry.name.startswith("lambda_")]
        for name, points in self.schedule.items():
            check_schedule(name, points, known)

    def at(self, step: int) -> "AdversarialLossWeights":
        """The weights of a step, by the schedule."""
        if not self.schedule:
            return self
        values: dict[str, Any] = {
            name: interpolate_schedule(points, step) for name, points in self.schedule.items() if getattr(self, name)
        }
        return replace(self, **values, schedule={})

    def peaks(self) -> "AdversarialLossWeights":
        """Every weight at the largest value that it ever has: what a run needs at some time."""
        values: dict[str, Any] = {name: self.peak(name) for name in self.schedule}
        return replace(self, **values, schedule={})

    def peak(self, name: str) -> float:
        """The largest value that a weight ever has."""
        points = self.schedule.get(name)
        return max(value for _, value in points) if points and getattr(self, name) else getattr(self, name)


def check_schedule(name: str, points: Any, known: list[str]) -> None:
    """Raise a ValueError unless `points` are [[step, value], ...] in order for one of the `known` weights."""
    if name not in known:
        raise ValueError(f"loss.schedule: unknown weight {name!r}; known: {', '.join(known)}")
    pairs = isinstance(points, list) and all(isinstance(point, list | tuple) and len(point) == 2 for point in points)
    numbers = pairs and all(isinstance(part, int | float) and part >= 0 for point in points for part in point)
    steps = [point[0] for point in points] if numbers else []
    if not steps or steps != sorted(set(steps)):
        raise ValueError(f"loss.schedule: {name}={points!r} must be [[step, value], ...] with rising steps")


def interpolate_schedule(points: list[list[float]], step: int) -> float:
    """Value of a schedule at a step: linear between its points, constant beyond them."""
    if step <= points[0][0]:
        return float(points[0][1])
    for (before, low), (after, high) in pairwise(points):
        if step <= after:
            return low + (high - low) * (step - before) / (after - before)
    return float(points[-1][1])


__all__ = ["NOISE_SAMPLINGS", "AdversarialLossWeights"]

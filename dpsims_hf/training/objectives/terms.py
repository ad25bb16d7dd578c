# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a loss term is: one row with its name, its weight, what it needs, and a function of the pass.

    Term("g_tv", weight="lambda_tv", compute=lambda p: total_variation(p.images))

A row under a name with "d_" is part of L_D, with "g_" of L_G. What a step computes, what is frozen and which networks
are refused follows from the rows (`AdversarialObjective`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, NamedTuple

import torch
from torch import nn

from ...modeling_outputs import DiscriminatorOutput
from .feature_networks import ProjectionHeads
from .noise import Draw, Noise
from .weights import AdversarialLossWeights


class Need(Flag):
    """What a term reads of a `Pass` beyond label map, photos, images and noise, which are always there."""

    NOTHING = 0
    GENERATOR_FEATURES = auto()  # G^f, of the images and of `other`
    OTHER = auto()  # images for another noise on the same label maps
    NOISE = auto()  # a generator with noise vectors
    FEATURE_NETWORKS = auto()  # the family's frozen networks
    JUDGEMENT = auto()  # D's class logits
    PATCHES = auto()  # D's patch logits
    SCALES = auto()  # patch logits of a D that reads image and label map together
    DECODER_FEATURES = auto()  # of D, for images and photos, in G's half-step
    ENCODER_FEATURES = auto()  # likewise
    STYLE = auto()  # a generator that tells the style of photos in its noise
    LABELMIX = auto()  # D's class logits of real and generated pictures mixed by class


DISCRIMINATOR_FEATURES = Need.DECODER_FEATURES | Need.ENCODER_FEATURES
ON_FAKES = Need.JUDGEMENT | Need.PATCHES | Need.SCALES | DISCRIMINATOR_FEATURES
MOVED = Need.FEATURE_NETWORKS | ON_FAKES  # who sees pictures after the random shift


class Provision(NamedTuple):
    """Whether a network gives what a term needs.

    Args:
        is_given: asks the network.
        lack: ends "loss.NAME=VALUE needs ..."; {network} is its model type.
        no_other_way: what to say where the term has no weight that could drop it.
    """

    is_given: Callable[[nn.Module], bool]
    lack: str
    no_other_way: str = ""


OF_THE_DISCRIMINATOR = {
    Need.JUDGEMENT: Provision(
        lambda d: getattr(d, "labels_pixels", True),
        "a class for each pixel, which this {network} does not give; take another family's discriminator",
        "or a recipe of SPADE, which trains this one",
    ),
    Need.SCALES: Provision(
        lambda d: getattr(d, "reads_label_map", False),
        "verdicts on images together with label maps, which this {network} does not give; take SPADE's discriminator",
        "or a recipe of another family",
    ),
    Need.PATCHES: Provision(
        lambda d: len(getattr(d, "patch_heads", ())) > 0,
        "patch logits, which this {network} does not give; take a DP-GAN discriminator with patch_encoder_blocks or "
        "patch_decoder_blocks",
    ),
    Need.ENCODER_FEATURES: Provision(
        lambda d: hasattr(d, "encoder") or getattr(d, "reads_label_map", False),
        "a trained encoder's features, which this {network} does not give; take 'decoder'",
    ),
}
OF_THE_GENERATOR = {
    Need.NOISE: Provision(
        lambda g: g.config.noise_dim > 0,
        "images of two noises, but this {network} has generator.noise_dim=0; give it noise",
    ),
}


_ABSENT: Any = None  # what no row asks for; a row that does finds it, so the types below leave None out


@dataclass(frozen=True)
class Pass:
    """All that the terms of one half-step may look at. What no row needs is None.

    Args:
        weights: of this step.
        num_labels: classes, void included; also the index of "fake".
        void_label_id: void class, if any.
        label_map: (batch, height, width) int64.
        photos: (batch, 3, height, width) in [-1, 1].
        images: generated, likewise, as G gave them. With a gradient in G's half-step only.
        features: G^f of the images.
        noise: of the images.
        style: the law of the noise vectors by the photos, from a generator with a style encoder.
        other: images for another noise, detached.
        networks: the family's frozen feature networks.
        projection: trainable heads on their features.
        rng: a CPU generator for random choices, or one for each image.
        moved_photos, moved_images: after the random shift, moved alike: what feature networks see.
        judged_label_map: of what D sees: moved, and changed by the augmentation.
        target: the same, its borders void: the right class of each pixel.
        on_real, on_fake: D's output; in G's half-step `on_real` is detached and has features only.
        mixing_mask: (batch, 1, height, width) bool; True takes the photo.
        on_mixed: D's output on the mixed pictures.
    """

    weights: Any
    num_labels: int
    void_label_id: int | None
    label_map: torch.Tensor
    photos: torch.Tensor
    images: torch.Tensor
    features: torch.Tensor
    noise: Noise
    style: Any = None
    other: Draw = _ABSENT
    networks: Any = None
    projection: ProjectionHeads = _ABSENT
    rng: torch.Generator | list[torch.Generator] = _ABSENT
    moved_photos: torch.Tensor = _ABSENT
    moved_images: torch.Tensor = _ABSENT
    judged_label_map: torch.Tensor = _ABSENT
    target: torch.Tensor = _ABSENT
    on_real: DiscriminatorOutput = _ABSENT
    on_fake: DiscriminatorOutput = _ABSENT
    mixing_mask: torch.Tensor = _ABSENT
    on_mixed: DiscriminatorOutput = _ABSENT


@dataclass(frozen=True)
class Term:
    """One row of a loss.

    Args:
        name: under which it is logged; "d_..." or "g_...".
        compute: a scalar of the pass, not yet weighted. Random choices come from `Pass.rng` alone.
        weight: field of the loss weights; 0 drops the term and its cost. None: it always counts, by 1.
        needs: what the pass must hold; a function of the weights where these decide.
        trains: whether it has a gradient, by the weights.
        option: field of the loss weights that decides what it needs, for messages; None is `weight`.
    """

    name: str
    compute: Callable[[Pass], torch.Tensor]
    weight: str | None = None
    needs: Need | Callable[[Any], Need] = Need.NOTHING
    trains: Callable[[Any], bool] = lambda weights: True
    option: str | None = None

    def is_on(self, weights: AdversarialLossWeights) -> bool:
        """Whether its weight is not 0."""
        return self.weight is None or bool(getattr(weights, self.weight))

    def needed(self, weights: AdversarialLossWeights) -> Need:
        """What it needs by these weights."""
        return self.needs if isinstance(self.needs, Need) else self.needs(weights)

    def weighted(self, given: Pass) -> torch.Tensor:
        """Its part of the loss."""
        value = self.compute(given)
        if self.weight is not None:
            value = getattr(given.weights, self.weight) * value
        return value if self.trains(given.weights) else value.detach()

    def refusal(self, weights: AdversarialLossWeights, provision: Provision, network: nn.Module) -> str:
        """Why it cannot be computed with this network, and what helps."""
        option = self.option or self.weight
        lack = provision.lack.format(network=network.config.model_type)
        if self.weight is None:
            return f"the loss term {self.name} needs {lack}, {provision.no_other_way}"
        return f"loss.{option}={getattr(weights, option)!r} needs {lack}, or --set loss.{self.weight}=0"


@dataclass(frozen=True)
class Number:
    """A number of G's half-step that is worth a look but is not trained.

    Args:
        name: under which it is logged.
        compute: a scalar of the pass.
        needs: it is left out of a pass that does not offer this; nothing is computed for its sake.
    """

    name: str
    compute: Callable[[Pass], torch.Tensor]
    needs: Need = Need.NOTHING


__all__ = [
    "DISCRIMINATOR_FEATURES",
    "MOVED",
    "OF_THE_DISCRIMINATOR",
    "OF_THE_GENERATOR",
    "ON_FAKES",
    "Need",
    "Number",
    "Pass",
    "Provision",
    "Term",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Output classes, and the vocabulary of shapes that every model of this package uses.

label_map           (batch, height, width) int64, values 0 .. num_labels - 1; void, if any, is one of them
pixel_values/images (batch, 3, height, width) float in [-1, 1]
noise               (batch, noise_dim), or (batch, regions, noise_dim) together with noise_regions
noise_regions       (batch, height, width) int64, 0 .. regions - 1: which noise vector each pixel obeys
instance_offsets    (batch, 2, height, width) float: (centre - pixel) / (height, width), 0 on stuff and void
segmentation_logits (batch, num_labels + 1, height, width); the LAST channel is "fake"
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers.utils import ModelOutput


@dataclass
class GeneratorOutput(ModelOutput):
    """What a generator returns.

    Args:
        images: (batch, 3, height, width) in [-1, 1].
        features: G^f, the input of the last convolution, (batch, channels, height, width); only if asked for.
    """

    images: torch.Tensor
    features: torch.Tensor | None = None


@dataclass
class DiscriminatorOutput(ModelOutput):
    """What a discriminator returns.

    Args:
        segmentation_logits: (batch, num_labels + 1, height, width); the last channel is "fake". None for a family
            that judges patches alone.
        patch_logits: one (batch, 1, h, w) map per patch head or scale, for families that have such.
        decoder_features: decoder activations from coarse to fine; only if asked for.
        encoder_features: activations of a trained encoder from fine to coarse; only if asked for.
    """

    segmentation_logits: Any = None  # a tensor, but where a family labels no pixels
    patch_logits: tuple[torch.Tensor, ...] | None = None
    decoder_features: tuple[torch.Tensor, ...] | None = None
    encoder_features: tuple[torch.Tensor, ...] | None = None


__all__ = ["DiscriminatorOutput", "GeneratorOutput"]

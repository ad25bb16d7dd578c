# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Weights of the original OASIS and DP-GAN programs -> networks and checkpoint folders of this package."""

from .networks import convert_discriminator, convert_generator, load_original


__all__ = ["convert_discriminator", "convert_generator", "load_original"]

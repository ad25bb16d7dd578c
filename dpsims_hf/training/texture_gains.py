# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Gains of the texture noise that fit what they are added to (a data-dependent initialisation, after Salimans and
Kingma, "Weight Normalization", 2016, Sec. 3).

The gains are numbers beside features whose spread grows in training by ten and more, and the gradient hardly moves
them: what started as a twentieth of the spread ends as a two-hundredth, and large regions are plain.
"""

import copy

import torch
from torch import nn

from ..layers_texture import TextureNoise


@torch.no_grad()
def fit_texture_gains(generator: nn.Module, share: float, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Set each gain to a share of its channel's standard deviation over a batch, and leave its sign as it is.

    The noise of the lower resolutions is set first and counts in the spread of the higher ones. Everything else of the
    generator stays as it is, running statistics included.

    Args:
        generator: of any family; changed in place.
        share: of the standard deviation, above 0.
        batch: keyword arguments of a forward pass.

    Returns:
        By module name, the mean share before.

    Raises:
        ValueError: the generator has no texture noise.
    """
    trial = copy.deepcopy(generator).train()
    before: dict[str, float] = {}

    def fit(name: str, texture: TextureNoise, hidden: torch.Tensor) -> None:
        spread = hidden.float().std(dim=(0, 2, 3)).clamp_min(1e-6)
        before[name] = (texture.gain.abs() / spread).mean().item()
        texture.gain.copy_(torch.where(texture.gain < 0, -1.0, 1.0) * share * spread)

    for name, module in trial.named_modules():
        if isinstance(module, TextureNoise):
            module.register_forward_pre_hook(lambda texture, inputs, name=name: fit(name, texture, inputs[0]))
    trial(**batch)
    if not before:
        raise ValueError("training.texture_noise_share: the generator has none; set generator.texture_noise=true")
    fitted = dict(trial.named_parameters())
    for name, parameter in generator.named_parameters():
        if name.removesuffix(".gain") in before:
            parameter.copy_(fitted[name])
    return before


__all__ = ["fit_texture_gains"]

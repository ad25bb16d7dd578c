# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""White noise inside the image path (after Karras et al., "A Style-Based Generator Architecture for Generative
Adversarial Networks", 2019, Sec. 3.2), an extension of all families.

Inside a large region of one class every feature is constant, so a convolutional network can only draw the lattice of
its up-sampling there. One channel of white noise per scale, with a learned gain per channel, breaks the symmetry.
"""

import torch
from torch import nn


# All arithmetic is on integers below 2 ** 62, so every machine and every exported graph gets the same noise.
_HALF = 2**15
_MODULUS = _HALF**2


def white_noise(seed: int | torch.Tensor, height: int, width: int, scale: int, device: torch.device) -> torch.Tensor:
    """White noise as a function of seed, scale and pixel position alone: a larger map continues a smaller one.

    Each value is the sum of four uniform numbers from an integer hash, with mean 0 and variance 1 (nearly normal;
    beyond 3.5 standard deviations there is nothing).

    Args:
        seed: 0 .. 2 ** 30 - 1, or (batch,) int64 of such: a seed for each image.
        height, width: of the map.
        scale: which of several maps; they are independent.
        device: of the result.

    Returns:
        (1 or batch, 1, height, width) float32.
    """
    rows = torch.arange(height, device=device)[:, None] * 0x2545F491
    columns = torch.arange(width, device=device) * 0x1B873593
    if isinstance(seed, torch.Tensor):
        seed = seed.to(device)[:, None, None]
    state = (rows + columns + seed * 0x19D699A5 + scale * 0x27D4EB2F) % _MODULUS
    total = torch.zeros((), dtype=torch.int64, device=device)
    for step in range(6):
        # x (2 x + odd) permutes the numbers below a power of two; swapping the halves brings the mixed bits down.
        state = (state * (2 * state + (2 * step + 1))) % _MODULUS
        high, low = state // _HALF, state % _HALF
        state = low * _HALF + high
        if step >= 4:
            total = total + high + low
    mean, deviation = 2 * (_HALF - 1), (4 * (_HALF**2 - 1) / 12) ** 0.5
    noise = (total - mean).float() / deviation
    return noise[:, None] if noise.ndim == 3 else noise[None, None]


class TextureNoise(nn.Module):
    """hidden + gain * noise, with one gain per channel.

    Args:
        channels: of hidden.
        gain_init: initial gain. Small: the norm that follows divides by the spread over all regions.
    """

    def __init__(self, channels: int, gain_init: float = 0.04) -> None:
        super().__init__()
        self.gain_init = gain_init
        self.gain = nn.Parameter(torch.full((channels,), gain_init))

    def forward(self, hidden: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Add noise (1 or batch, 1, h, w) to hidden (batch, channels, h, w)."""
        # In one number type: under autocast a float32 gain would make everything that follows float32.
        return torch.addcmul(hidden, self.gain[:, None, None].to(hidden.dtype), noise.to(hidden.dtype))


__all__ = ["TextureNoise", "white_noise"]

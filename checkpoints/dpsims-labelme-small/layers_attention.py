# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Attention blocks of the label-map encoder: noise injection by cross-attention (DP-SIMS Eq. 1, 2) and residual
self-attention (after Zhang et al., "Self-Attention GAN", 2019).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_limits import PaddingMode
from .layers_padding import MirroredConv2d


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, implementation: str
) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d_q)) V.

    Args:
        query, key, value: (..., positions or tokens, channels).
        mask: (..., positions, tokens) bool, which token a position sees; None is all.
        implementation: as transformers calls them: "sdpa" is torch's fused kernel, "eager" the formula written out
            (the same to rounding; it holds all weights of attention in memory).
    """
    if implementation == "sdpa":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1) @ value


class NoiseMapping(nn.Module):
    """w = MLP(z): three linear layers that turn one noise vector into `tokens` vectors (Sec. 3.2).

    Args:
        noise_dim: d_z.
        hidden_dim: width of the two hidden layers.
        tokens: n_k.
        token_dim: d_w.
    """

    def __init__(self, noise_dim: int, hidden_dim: int, tokens: int, token_dim: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.mlp = nn.Sequential(
            nn.Linear(noise_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, tokens * token_dim),
        )

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Map noise (batch, regions, noise_dim) to tokens (batch, regions, tokens, token_dim)."""
        return self.mlp(noise).unflatten(-1, (self.tokens, -1))


class CrossAttentionNoise(nn.Module):
    """h + eta * softmax(Q K^T / sqrt(d_q)) V with Q from the label embedding h and K, V from w (Eq. 1, 2).

    With several noise regions each position attends to the tokens of its own region only (an extension of the paper;
    with one region it is the paper's equation).

    Args:
        channels: C_i of h, also d_q.
        token_dim: d_w.
        gate_init: initial eta (0 in the paper).
        padding_mode: of the 3x3 embedding convolution.
    """

    attention_implementation = "sdpa"  # set by the model, see `attend`

    def __init__(
        self, channels: int, token_dim: int, gate_init: float = 0.0, padding_mode: PaddingMode = "zeros"
    ) -> None:
        super().__init__()
        self.embedding = MirroredConv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(token_dim, channels)
        self.value = nn.Linear(token_dim, channels)
        self.gate_init = gate_init
        self.gate = nn.Parameter(torch.tensor(float(gate_init)))

    def forward(self, hidden: torch.Tensor, tokens: torch.Tensor, regions: torch.Tensor | None = None) -> torch.Tensor:
        """Inject noise.

        Args:
            hidden: (batch, channels, height, width).
            tokens: (batch, regions, n_k, token_dim).
            regions: (batch, height, width) int64, which region each position belongs to; None with one region.

        Returns:
            (batch, channels, height, width).
        """
        batch, channels, height, width = hidden.shape
        query = self.query(self.embedding(hidden).flatten(2).transpose(1, 2))  # (batch, height * width, channels)
        flat_tokens = tokens.flatten(1, 2)  # (batch, regions * n_k, token_dim)
        mask = None
        if regions is not None:
            token_region = torch.arange(tokens.shape[1], device=hidden.device).repeat_interleave(tokens.shape[2])
            mask = (regions.flatten(1)[:, :, None] == token_region)[:, None]
        # The head axis lets fused kernels apply, and exporters know no other form.
        parts = (query[:, None], self.key(flat_tokens)[:, None], self.value(flat_tokens)[:, None])
        attended = attend(*parts, mask, self.attention_implementation)[:, 0]
        return hidden + self.gate * attended.transpose(1, 2).unflatten(2, (height, width))


class SelfAttention(nn.Module):
    """h + gate * Linear(attention(h)): one head over all positions of a map.

    Args:
        channels: of the map.
        gate_init: initial gate; 0 starts from the identity.
    """

    attention_implementation = "sdpa"  # set by the model, see `attend`

    def __init__(self, channels: int, gate_init: float = 0.0) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.projection = nn.Linear(channels, channels)
        self.gate_init = gate_init
        self.gate = nn.Parameter(torch.tensor(float(gate_init)))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Attend over (batch, channels, height, width); the shape stays."""
        height, width = hidden.shape[-2:]
        query, key, value = self.query_key_value(hidden.flatten(2).transpose(1, 2)).chunk(3, dim=-1)
        # The head axis lets fused kernels apply.
        heads = (query[:, None], key[:, None], value[:, None])
        attended = attend(*heads, None, self.attention_implementation)[:, 0]
        return hidden + self.gate * self.projection(attended).transpose(1, 2).unflatten(2, (height, width))


__all__ = ["CrossAttentionNoise", "NoiseMapping", "SelfAttention", "attend"]

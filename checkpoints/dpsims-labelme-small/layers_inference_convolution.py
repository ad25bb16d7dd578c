# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Convolutions with fixed weights, for inference: batch norm folded in, channels last, and on a CPU kernels in the
layout that oneDNN wants.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


LARGE_SIDE = 32  # beyond it oneDNN's choice of a layout does not depend on the size
MAX_PACKS = 4  # layouts of one kernel that are kept


def may_pack(dtype: torch.dtype) -> bool:
    """Whether kernels can be given to oneDNN in its own layout."""
    known = hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    if not (known and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class PackedConv2d(nn.Module):
    """A convolution with fixed weights.

    Args:
        weight: (out_channels, in_channels, kernel, kernel) float32.
        bias: (out_channels,) float32, or None.
        padding_mode: of `nn.Conv2d`; None pads nothing.
        stride: of the convolution.
        dtype: of computation, input and output.
        patches: whether `on_patches` will be called.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        dtype: torch.dtype,
        padding_mode: str | None = "zeros",
        stride: int = 1,
        patches: bool = False,
    ) -> None:
        super().__init__()
        self.radius = 0 if padding_mode is None else weight.shape[-1] // 2
        self.padding_mode, self.stride, self.kernel = padding_mode or "zeros", stride, weight.shape[-1]
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        self.bias = nn.Parameter(bias.detach().to(dtype), requires_grad=False)
        weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self.packed = weight.device.type == "cpu" and may_pack(dtype)
        self.pointwise: torch.Tensor | None = None
        # No buffers: what oneDNN packs can be neither saved nor moved.
        if patches:
            flat = weight.permute(0, 2, 3, 1).flatten(1)[:, :, None, None]
            flat = flat.contiguous(memory_format=torch.channels_last)
            self.pointwise = _packed(flat, 0, 1, (4096, 1)) if self.packed else flat
        self.weight: Any = weight  # None once it is packed
        self._packs: dict[tuple[int, int, int], torch.Tensor] = {}

    def _packed_for(self, size: tuple[int, int], padding: int) -> torch.Tensor:
        """The kernel as oneDNN wants it for this input; on a small map another layout can be fifty times slower."""
        height, width = size if max(size) <= LARGE_SIDE else (2 * LARGE_SIDE, 2 * LARGE_SIDE)
        key = (height, width, padding)
        packs = self._packs
        if key not in packs:
            weight = next(iter(packs.values())).to_dense() if packs else self.weight
            kept = dict(list(packs.items())[1 - MAX_PACKS :])
            packs = {**kept, key: _packed(weight, padding, self.stride, (height, width))}
            self._packs, self.weight = packs, None
        return packs[key]

    @classmethod
    def of(cls, conv: Any, dtype: torch.dtype) -> "PackedConv2d":
        """With the weights of an `nn.Conv2d`."""
        return cls(conv.weight.float(), _float(conv.bias), dtype, conv.padding_mode, conv.stride[0])

    def _apply(self, *args: Any, **kwargs: Any) -> "PackedConv2d":
        raise RuntimeError("a fast form stays where and what it is; move the model, then call its for_inference again")

    @property
    def zeros(self) -> int:
        """Pixels of zeros that the convolution adds by itself."""
        return self.radius if self.padding_mode == "zeros" else 0

    def forward(
        self, hidden: torch.Tensor, activation: str = "none", add: torch.Tensor | None = None, padded: bool = False
    ) -> torch.Tensor:
        """Convolve (batch, in_channels, height, width).

        Args:
            hidden: the input.
            activation: "none", "relu" or "gelu".
            add: a map to which the result is added, in place.
            padded: `hidden` has the border already.
        """
        if self.radius and not self.zeros and not padded:
            hidden = F.pad(hidden, [self.radius] * 4, mode=self.padding_mode)
        padding = 0 if padded else self.zeros
        if not self.packed:
            result = F.conv2d(hidden, self.weight, self.bias, self.stride, padding)
            return _activated(result, activation) if add is None else add.add_(result)
        weight = self._packed_for((hidden.shape[-2], hidden.shape[-1]), padding)
        place = ([padding] * 2, [self.stride] * 2, [1, 1], 1)
        if add is None:
            how = "none" if activation == "gelu" else ""
            return torch.ops.mkldnn._convolution_pointwise(hidden, weight, self.bias, *place, activation, [], how)
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            add, hidden, weight, self.bias, *place, "add", 1.0, None, [], None
        )

    def on_patches(self, patches: torch.Tensor) -> torch.Tensor:
        """(rows, out_channels) of what a kernel sees, (rows, 9 * in_channels): the taps row by row."""
        hidden = patches[None, :, None].permute(0, 3, 1, 2)  # a map of one column
        if self.pointwise is None:
            raise RuntimeError("patches=True was not given")
        if not self.packed:
            result = F.conv2d(hidden, self.pointwise, self.bias)
        else:
            result = torch.ops.mkldnn._convolution_pointwise(
                hidden, self.pointwise, self.bias, [0, 0], [1, 1], [1, 1], 1, "none", [], ""
            )
        return result.permute(0, 2, 3, 1).flatten(0, 2)


def _packed(weight: torch.Tensor, padding: int, stride: int, size: tuple[int, int]) -> torch.Tensor:
    """A kernel in oneDNN's layout for inputs of a size."""
    shape = [1, weight.shape[1], *size]
    return torch.ops.mkldnn._reorder_convolution_weight(weight, [padding] * 2, [stride] * 2, [1, 1], 1, shape)


def _float(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.detach().float()


def _activated(hidden: torch.Tensor, activation: str) -> torch.Tensor:
    return {"none": lambda x: x, "relu": F.relu_, "gelu": F.gelu}[activation](hidden)


def norm_scale_shift(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """What a batch norm in eval mode does to a channel: x * scale + shift, float32."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    scale = torch.rsqrt(norm.running_var.float() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().float()
    shift = -norm.running_mean.float() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().float()


def folded_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype, patches: bool = False) -> PackedConv2d:
    """A convolution and the batch norm behind it."""
    scale, shift = norm_scale_shift(norm)
    bias = shift if conv.bias is None else conv.bias.detach().float() * scale + shift
    weight = conv.weight.detach().float() * scale[:, None, None, None]
    return PackedConv2d(weight, bias, dtype, conv.padding_mode, conv.stride[0], patches)


__all__ = ["PackedConv2d", "folded_norm", "may_pack", "norm_scale_shift"]

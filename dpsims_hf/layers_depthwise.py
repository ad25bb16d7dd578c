# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Strided depthwise convolutions under autocast on a CPU.

Their gradient in bfloat16 runs 20 to 40 times as long as in float32 (oneDNN 3.11, AVX512-BF16 and AMX), more than
everything else of a small backbone's backward pass together.
"""

from typing import Any

import torch
from torch import nn


class _InFloat32:
    """Of a convolution whose input takes a gradient: computed in float32, given back in the input's type."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        convolve: Any = super().forward  # type: ignore[misc]
        if not (maps.device.type == "cpu" and maps.requires_grad and torch.is_autocast_enabled("cpu")):
            return convolve(maps)
        with torch.autocast("cpu", enabled=False):
            return convolve(maps.float()).to(torch.get_autocast_dtype("cpu"))


def differentiate_in_float32(network: nn.Module) -> None:
    """Let the strided depthwise convolutions of a frozen network compute in float32 under autocast on a CPU.

    Names and weights stay; only the class of those modules becomes a subclass of their own.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or isinstance(module, _InFloat32):
            continue
        if max(module.stride) > 1 and module.groups == module.in_channels > 1:
            own = type(module)
            module.__class__ = type(own.__name__, (_InFloat32, own), {})


__all__ = ["differentiate_in_float32"]

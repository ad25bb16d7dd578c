# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What generators give before it is rounded to 8 bit, which hides a difference on most machines and not on all."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.module import register_module_forward_hook


@contextmanager
def float_images() -> Iterator[list[torch.Tensor]]:
    """A list that fills with the images, (3, height, width) each, that any generator of this process draws."""
    seen: list[torch.Tensor] = []

    def look(module, inputs, output):
        if getattr(module, "main_input_name", None) == "label_map":
            seen.extend(output[0].detach().cpu())

    handle = register_module_forward_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def assert_same_bits(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    """Both are lists of images that are equal to the last bit."""
    assert first and len(first) == len(second)
    distances = [float((one - other).abs().max()) for one, other in zip(first, second, strict=True)]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True)), distances

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Images for segmenters."""

import torch


def random_images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)

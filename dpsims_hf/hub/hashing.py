# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Which weights these are."""

import hashlib

import torch
from torch import nn


def tensors_sha256(module: nn.Module) -> str:
    """SHA-256 of all weights and buffers of a network with their names, for weights that are no single file.

    A network that has no tensors of its own says in `weights_sha256` which it stands for.
    """
    known = getattr(module, "weights_sha256", None)
    if isinstance(known, str):
        return known
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


__all__ = ["tensors_sha256"]

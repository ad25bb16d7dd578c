# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A checkpoint's weights for a run with other classes: what a weight says of a class goes with the class's name.

Only the convolutions over the label map and the discriminator's classifier, or SPADE's first convolutions, know
classes; everything else is copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.utils import parametrize

from ...layers_label import LabelConv2d


@dataclass(frozen=True)
class ClassMatch:
    """Which class of a checkpoint each class of a run starts from.

    Args:
        labels: the run's class names, void included.
        stored: the checkpoint's.
        asked: {the run's name: the checkpoint's name}, for classes whose names differ.

    Raises:
        ValueError: `asked` names a class that is not there.
    """

    labels: tuple[str, ...]
    stored: tuple[str, ...]
    asked: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for names, known, whose in (
            (self.asked, self.labels, "run"),
            (self.asked.values(), self.stored, "checkpoint"),
        ):
            unknown = [name for name in names if _key(name) not in map(_key, known)]
            if unknown:
                raise ValueError(
                    f"--initialize_classes: {unknown[0]!r} is no class of the {whose}; it has {', '.join(known)}"
                )

    @property
    def identical(self) -> bool:
        """The same names in the same order, and nothing asked for."""
        return self.labels == self.stored and not self.asked

    @property
    def sources(self) -> list[int | None]:
        """For each class of the run the checkpoint's id, None for a class that starts anew."""
        ids = {_key(name): index for index, name in enumerate(self.stored)}
        asked = {_key(name): _key(other) for name, other in self.asked.items()}
        return [ids.get(asked.get(_key(name), _key(name))) for name in self.labels]

    def __str__(self) -> str:
        pairs = [
            name if source is not None and _key(name) == _key(self.stored[source]) else f"{name}={self.stored[source]}"
            for name, source in zip(self.labels, self.sources, strict=True)
            if source is not None
        ]
        new = [name for name, source in zip(self.labels, self.sources, strict=True) if source is None]
        return f"classes from the checkpoint: {', '.join(pairs) or 'none'}; new: {', '.join(new) or 'none'}"


def parse_matches(texts: Sequence[str]) -> dict[str, str]:
    """["tree=vegetation"] as a table.

    Raises:
        ValueError: a text without "=".
    """
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, (new, sign, old) in zip(texts, pairs, strict=True) if not (new and sign and old)]
    if wrong:
        raise ValueError(f"--initialize_classes {wrong[0]}: write NEW=OLD, the run's class and the checkpoint's")
    return {new.strip(): old.strip() for new, _, old in pairs}


def transferred(model: nn.Module, stored: dict[str, torch.Tensor], match: ClassMatch) -> dict[str, torch.Tensor]:
    """A checkpoint's state dict in the classes of `model`; new classes keep the model's initial values.

    Args:
        model: generator or discriminator of the run, unwrapped.
        stored: state dict of the same network for the checkpoint's classes. Folded spectral norm is split again where
            the model has the norm: a folded weight has norm 1, so the split one computes the same.
        match: of the classes.
    """
    own = model.state_dict()
    state = _split_spectral_norm(model, dict(stored))
    if match.identical:
        return state
    for name, (axis, first) in _class_axes(model).items():
        if name not in state:
            continue
        rows = list(match.sources)
        if own[name].shape[axis] == len(rows) + 1:
            rows.append(len(match.stored))  # "fake", always the last
        value = own[name].clone()
        value.narrow(axis, 0, first).copy_(state[name].narrow(axis, 0, first))
        for target, source in enumerate(rows):
            if source is not None and first + source < state[name].shape[axis]:
                value.select(axis, first + target).copy_(state[name].select(axis, first + source))
        state[name] = value
        if name.endswith(".original"):
            _set_spectral_vectors(state, name.removesuffix(".original"), value)
    return state


def _class_axes(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Names of the tensors that have one entry per class: on which axis, and behind how many that are of no class."""
    axes = {f"{name}.weight": (1, 0) for name, module in model.named_modules() if isinstance(module, LabelConv2d)}
    if hasattr(model, "classifier"):
        axes |= {"classifier.weight": (0, 0), "classifier.bias": (0, 0)}
    for name in getattr(model, "label_convolutions", ()):
        axes |= {f"{name}.weight": (1, 3), f"{name}.parametrizations.weight.original": (1, 3)}
    return axes


def _split_spectral_norm(model: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for name, module in model.named_modules():
        folded = state.get(f"{name}.weight")
        if folded is None or not parametrize.is_parametrized(module, "weight"):
            continue
        prefix = f"{name}.parametrizations.weight"
        del state[f"{name}.weight"]
        state[f"{prefix}.original"] = folded
        _set_spectral_vectors(state, prefix, folded)
    return state


def _set_spectral_vectors(state: dict[str, torch.Tensor], prefix: str, weight: torch.Tensor) -> None:
    """The singular vectors by which spectral norm divides a weight."""
    matrix = weight.flatten(1)
    _, _, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    direction = right[0].to(matrix)
    state[f"{prefix}.0._v"] = direction
    state[f"{prefix}.0._u"] = nn.functional.normalize(matrix @ direction, dim=0)


def _key(name: str) -> str:
    return name.casefold().strip().replace("-", " ").replace("_", " ")


__all__ = ["ClassMatch", "parse_matches", "transferred"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The evaluation during training: the code of the command, on the generator as it is."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ..data import SemanticImageDataset
from .build import build_measures, choose_protocols
from .report import HEADLINES
from .runner import Evaluation, choose_rows
from .sources import GeneratorSource


def prepare_validation(
    dataset: SemanticImageDataset,
    metrics: Sequence[str],
    max_images: int | None = None,
    batch_size: int = 8,
    accelerator: Accelerator | None = None,
    **networks: Any,
) -> Evaluation:
    """Load what `validate` needs, once.

    Args:
        dataset: Validation photos and label maps at the size of the images, not augmented.
        metrics: Of the command: fid, kid, mean_iou, ...
        max_images: Label maps, spread evenly over the set; None takes all.
        batch_size: Images per chunk.
        accelerator: Of the training run.
        networks: `features`, `feature_weights`, `feature_options`, `segmenter`, `images_per_label_map` of
            `build_measures`.
    """
    protocols = choose_protocols(metrics, features=networks.get("features"))
    device = torch.device("cpu") if accelerator is None else accelerator.device
    measures = build_measures(protocols, dataset.spec, dataset.transform.size, device, **networks)
    return Evaluation(dataset, measures, choose_rows(len(dataset), max_images), batch_size, accelerator)


def validate(evaluation: Evaluation, generator: nn.Module, seed: int = 0) -> dict[str, float]:
    """Measure a generator in training, the averaged one as a rule, by the code of the command.

    Every process calls it with the same weights. The global random state is left alone; the generator stays in eval
    mode. The real photos are looked at in the first call only.

    Args:
        evaluation: From `prepare_validation`.
        generator: label_map, noise -> images.
        seed: Of the noise; keep it, so that values of a run compare.

    Returns:
        "PROTOCOL/VALUE" -> number on the main process, {} on others; the real photos' own value, where it is not the
        best by definition, stands under "PROTOCOL/VALUE_real_photos".
    """
    source = GeneratorSource(generator, evaluation.dataset.spec.image_processor())
    outcomes, _ = evaluation.score(source, seed, "validation")
    found = {}
    for m in evaluation.measures if outcomes else ():
        name = m.protocol.name
        reference = m.reference(evaluation.real) if m.needs_real else None
        sides = {"": outcomes[name]} | ({} if reference is None else {"_real_photos": reference})
        for value in HEADLINES:
            for suffix, outcome in sides.items():
                if outcome.values.get(value) is not None:
                    found[f"{name}/{value}{suffix}"] = outcome.values[value]
    return found


__all__ = ["prepare_validation", "validate"]

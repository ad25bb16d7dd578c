# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""LPIPS between images of one label map, mean over pairs and label maps, as an `evaluate` module."""

from functools import partial
from typing import Any

import evaluate
import torch

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.diversity import (
    DiversityMean,
    load_lpips,
    lpips_distances,
    pairwise_distances,
)


_DESCRIPTION = """
LPIPS between the images generated from one label map: mean over all pairs, then over the label maps. Higher means more
diverse; 0 means that all images are the same. The published numbers use the package `lpips`, net "vgg", version 0.1.
"""
_CITATION = """
@inproceedings{zhang2018unreasonable,
  title={The Unreasonable Effectiveness of Deep Features as a Perceptual Metric},
  author={Zhang, Richard and Isola, Phillip and Efros, Alexei A. and Shechtman, Eli and Wang, Oliver},
  booktitle={CVPR}, year={2018}
}
"""
_INPUTS = """
Args:
    predictions: One list per label map with the n images generated from it (n is 20 in the published numbers): PIL
        images or uint8 (height, width, 3) arrays.
    indices: Numbers of the label maps, unique over all processes; only needed with several processes.
    distance: None for the published protocol (torchvision's VGG16 weights are downloaded at first use), or a callable
        (a, b) -> n values for batches (n, 3, height, width) in [-1, 1], for instance another `lpips.LPIPS`.
Returns:
    lpips_diversity, num_label_maps, images_per_label_map.
"""


class LPIPSDiversity(module_bases.DiversityMetric):
    """Keeps one number per label map in `state`. In several processes: gather `state`, call `state.merge(other)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.distance, self.network = None, None

    def _info(self) -> evaluate.MetricInfo:
        return self.describe_images(_DESCRIPTION, _CITATION, _INPUTS)

    def add(self, *, prediction: Any = None, index: int | None = None, distance: Any = None) -> None:
        """Add the images of one label map."""
        self.add_batch(predictions=[prediction], indices=None if index is None else [index], distance=distance)

    def add_batch(self, *, predictions: Any = None, indices: Any = None, distance: Any = None) -> None:
        """Add the images of some label maps; if one of them is wrong, none is added."""
        self.state = self._extended(predictions, indices, distance)

    def compute(
        self, *, predictions: Any = None, references: Any = None, indices: Any = None, distance: Any = None
    ) -> dict[str, float | int]:
        """Compute from all that was added, these included, and start anew. After an error the added values stay."""
        self.refuse_references(references)
        state = self.state if predictions is None else self._extended(predictions, indices, distance)
        result = state.compute()
        self.start_anew()
        return {"lpips_diversity": result.pop("mean"), **result}

    def _extended(self, predictions: Any, indices: Any, distance: Any) -> DiversityMean:
        """The state with more label maps. One value must not mix two measures."""
        if len(self.state) and self.distance is not distance:
            raise ValueError("distance differs from the earlier calls: call compute() in between")
        state = self.extended(partial(self._values, distance), predictions, indices)
        self.distance = distance
        return state

    def _values(self, distance: Any, images: torch.Tensor) -> torch.Tensor:
        if distance is not None:
            return pairwise_distances(images, distance)
        if self.network is None:
            self.network = load_lpips()
        return lpips_distances(images, self.network)

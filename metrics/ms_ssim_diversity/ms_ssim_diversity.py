# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""MS-SSIM between images of one label map, mean over pairs and label maps, as an `evaluate` module."""

from typing import Any

import evaluate
import torch

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.diversity import (
    DiversityMean,
    ms_ssim_similarities,
    pairwise_distances,
)


_DESCRIPTION = """
Multi-scale structural similarity between the images generated from one label map: mean over all pairs, then over the
label maps. Lower means more diverse; 1 means that all images are the same.
"""
_CITATION = """
@inproceedings{wang2003multiscale,
  title={Multiscale structural similarity for image quality assessment},
  author={Wang, Zhou and Simoncelli, Eero P. and Bovik, Alan C.},
  booktitle={Asilomar Conference on Signals, Systems and Computers}, year={2003}
}
"""
_INPUTS = """
Args:
    predictions: One list per label map with the n images generated from it (n is 20 in the published numbers): PIL
        images or uint8 (height, width, 3) arrays.
    indices: Numbers of the label maps, unique over all processes; only needed with several processes.
    scales: 5, or fewer for images whose shorter side is below 176 pixels; state it with the value.
    similarity: None for torchmetrics, or a callable (a, b) -> n values for batches (n, 3, height, width) in [0, 1].
        The published numbers come from `pytorch_msssim.ms_ssim` with data_range=1 and size_average=False.
Returns:
    ms_ssim_diversity, scales (None with `similarity`), num_label_maps, images_per_label_map.
"""


class MSSSIMDiversity(module_bases.DiversityMetric):
    """Keeps one number per label map in `state`. In several processes: gather `state`, call `state.merge(other)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options: tuple[int, Any] = (5, None)

    def _info(self) -> evaluate.MetricInfo:
        return self.describe_images(_DESCRIPTION, _CITATION, _INPUTS)

    def add(
        self, *, prediction: Any = None, index: int | None = None, scales: int = 5, similarity: Any = None
    ) -> None:
        """Add the images of one label map."""
        indices = None if index is None else [index]
        self.add_batch(predictions=[prediction], indices=indices, scales=scales, similarity=similarity)

    def add_batch(
        self, *, predictions: Any = None, indices: Any = None, scales: int = 5, similarity: Any = None
    ) -> None:
        """Add the images of some label maps; if one of them is wrong, none is added."""
        self.state = self._extended(predictions, indices, scales, similarity)

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        indices: Any = None,
        scales: int = 5,
        similarity: Any = None,
    ) -> dict[str, float | int | None]:
        """Compute from all that was added, these included, and start anew. After an error the added values stay."""
        self.refuse_references(references)
        state = self.state if predictions is None else self._extended(predictions, indices, scales, similarity)
        result = state.compute()
        scales, similarity = self.options
        self.start_anew()
        return {"ms_ssim_diversity": result.pop("mean"), "scales": None if similarity else scales, **result}

    def _extended(self, predictions: Any, indices: Any, scales: int, similarity: Any) -> DiversityMean:
        """The state with more label maps. One value must not mix two measures."""
        if len(self.state) and self.options != (scales, similarity):
            raise ValueError("scales or similarity differ from the earlier calls: call compute() in between")

        def measure(images: torch.Tensor) -> torch.Tensor:
            if similarity is None:
                return ms_ssim_similarities(images, scales)
            return pairwise_distances((images + 1.0) / 2.0, similarity)

        state = self.extended(measure, predictions, indices)
        self.options = (scales, similarity)
        return state

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Improved precision and recall, from running feature vectors, as an `evaluate` module."""

from typing import Any

import evaluate
import numpy as np

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.precision_recall import improved_precision_recall


_DESCRIPTION = """
Improved precision (share of generated images inside the manifold of the real ones) and recall (share of real images
inside the manifold of the generated ones), with manifolds of k-nearest-neighbour balls in a feature space. Higher is
better. Name the extractor, k and the numbers of images with the values.
"""
_CITATION = """
@inproceedings{kynkaanniemi2019improved,
  title={Improved Precision and Recall Metric for Assessing Generative Models},
  author={Kynk{\\"a}{\\"a}nniemi, Tuomas and Karras, Tero and Laine, Samuli and Lehtinen, Jaakko and Aila, Timo},
  booktitle={NeurIPS}, year={2019}
}
"""
_INPUTS = """
Args:
    predictions: Generated images: feature vectors of floats, or PIL images or uint8 (h, w, 3) arrays.
    references: Real images, in the same form. The numbers of images may differ.
    indices: Numbers of the images, unique over all processes; only needed with several processes.
    extractor: Callable, (n, 3, h, w) uint8 tensor -> (n, dimensions) float tensor; default for images: the Inception
        network of OASIS's and DP-GAN's protocol (fid_legacy), downloaded once.
    k: Neighbour whose distance is a ball's radius (compute only).
Returns:
    precision, recall, k, num_predictions, num_references, feature_dimensions.
"""


class PrecisionRecall(module_bases.FeatureMetric):
    """Keeps one vector per image in `state`. In several processes: gather `state`, call `state.merge(other)`."""

    def _info(self) -> evaluate.MetricInfo:
        return self.describe_vectors(_DESCRIPTION, _CITATION, _INPUTS)

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        indices: Any = None,
        extractor: Any = None,
        k: int = 3,
    ) -> dict[str, float | int]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""

        def measure(real: np.ndarray, fake: np.ndarray) -> dict[str, float | int]:
            precision, recall = improved_precision_recall(real, fake, k)
            return {"precision": precision, "recall": recall, "k": k}

        return self.measured(measure, predictions, references, indices, extractor)

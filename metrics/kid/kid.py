# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Kernel distance between real and generated images, from running feature vectors, as an `evaluate` module."""

from typing import Any

import evaluate
import numpy as np

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.frechet import kid


_DESCRIPTION = """
Kernel distance (KID): unbiased squared maximum mean discrepancy between the features of real and of generated images
with the kernel (x.y / dimensions + 1)^3, mean over random subsets, in float64. Lower is better. Unlike FID its
expectation does not depend on the number of images. Name the extractor with the number.
"""
_CITATION = """
@inproceedings{binkowski2018demystifying,
  title={Demystifying {MMD} {GANs}},
  author={Bi{\\'n}kowski, Miko{\\l}aj and Sutherland, Danica J. and Arbel, Michael and Gretton, Arthur},
  booktitle={ICLR}, year={2018}
}
"""
_INPUTS = """
Args:
    predictions: Generated images: feature vectors of floats, or PIL images or uint8 (h, w, 3) arrays.
    references: Real images, in the same form. The numbers of images may differ.
    indices: Numbers of the images, unique over all processes; only needed with several processes.
    extractor: Callable, (n, 3, h, w) uint8 tensor -> (n, dimensions) float tensor; default for images: the Inception
        network of OASIS's and DP-GAN's protocol (fid_legacy), downloaded once.
    subsets: Pairs of random subsets (compute only).
    subset_size: Images per subset, at most the smaller set (compute only).
    seed: Of the subsets (compute only).
Returns:
    kid, kid_std (over the subsets), subsets, subset_size, seed, num_predictions, num_references, feature_dimensions.
"""


class KID(module_bases.FeatureMetric):
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
        subsets: int = 100,
        subset_size: int = 1000,
        seed: int = 0,
    ) -> dict[str, float | int]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""

        def measure(real: np.ndarray, fake: np.ndarray) -> dict[str, float | int]:
            mean, std = kid(real, fake, subsets, subset_size, seed)
            return {"kid": mean, "kid_std": std, "subsets": subsets, "subset_size": subset_size, "seed": seed}

        return self.measured(measure, predictions, references, indices, extractor)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Fréchet distance between real and generated images, from running feature vectors, as an `evaluate` module."""

from typing import Any

import evaluate
import numpy as np

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.frechet import fid


_DESCRIPTION = """
Fréchet distance (FID) between the Gaussians fitted to the features of real and of generated images, in float64. Lower
is better. The features decide what the number means: name the extractor and the number of images with it.
"""
_CITATION = """
@inproceedings{heusel2017gans,
  title={{GANs} Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium},
  author={Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp},
  booktitle={NeurIPS}, year={2017}
}
"""
_INPUTS = """
Args:
    predictions: Generated images: feature vectors of floats, or PIL images or uint8 (h, w, 3) arrays.
    references: Real images, in the same form. The numbers of images may differ.
    indices: Numbers of the images, unique over all processes; only needed with several processes.
    extractor: Callable, (n, 3, h, w) uint8 tensor -> (n, dimensions) float tensor; default for images: the Inception
        network of OASIS's and DP-GAN's protocol (fid_legacy), downloaded once.
Returns:
    fid, num_predictions, num_references, feature_dimensions.
"""


class FID(module_bases.FeatureMetric):
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
    ) -> dict[str, float | int]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""

        def measure(real: np.ndarray, fake: np.ndarray) -> dict[str, float | int]:
            return {"fid": fid(real, fake)}

        return self.measured(measure, predictions, references, indices, extractor)

"""Fréchet distance between real and generated images, from running feature vectors, as an `evaluate` module."""

from typing import Any

import datasets
import evaluate

from dpsims_hf.evaluation.feature_set import RealFakeFeatures
from dpsims_hf.evaluation.frechet import fid


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


class FID(evaluate.Metric):
    """Keeps one vector per image in `state`. In several processes: gather `state`, call `state.merge(other)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.num_process > 1:
            raise ValueError(f"num_process={self.num_process}: load it plainly in each process, then merge `state`")
        self.state = RealFakeFeatures()

    def _info(self) -> evaluate.MetricInfo:
        vector = datasets.Sequence(datasets.Value("float32"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": vector, "references": vector}),
        )

    def add(
        self, *, prediction: Any = None, reference: Any = None, index: int | None = None, extractor: Any = None
    ) -> None:
        """Add one generated and/or one real image."""
        self.add_batch(
            predictions=None if prediction is None else [prediction],
            references=None if reference is None else [reference],
            indices=None if index is None else [index],
            extractor=extractor,
        )

    def add_batch(
        self, *, predictions: Any = None, references: Any = None, indices: Any = None, extractor: Any = None
    ) -> None:
        """Add some generated and/or real images; their numbers may differ."""
        self.state.add(predictions, references, indices, extractor)

    def compute(
        self, *, predictions: Any = None, references: Any = None, indices: Any = None, extractor: Any = None
    ) -> dict[str, float | int]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""
        state = RealFakeFeatures()
        state.merge(self.state)
        state.add(predictions, references, indices, extractor)
        real, fake = state.ordered()
        result = {
            "fid": fid(real, fake),
            "num_predictions": len(fake),
            "num_references": len(real),
            "feature_dimensions": real.shape[1],
        }
        self.state = RealFakeFeatures()
        return result

"""Improved precision and recall, from running feature vectors, as an `evaluate` module."""

from typing import Any

import datasets
import evaluate

from dpsims_hf.evaluation.feature_set import RealFakeFeatures
from dpsims_hf.evaluation.precision_recall import improved_precision_recall


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


class PrecisionRecall(evaluate.Metric):
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
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        indices: Any = None,
        extractor: Any = None,
        k: int = 3,
    ) -> dict[str, float | int]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""
        state = RealFakeFeatures()
        state.merge(self.state)
        state.add(predictions, references, indices, extractor)
        real, fake = state.ordered()
        precision, recall = improved_precision_recall(real, fake, k)
        self.state = RealFakeFeatures()
        return {
            "precision": precision,
            "recall": recall,
            "k": k,
            "num_predictions": len(fake),
            "num_references": len(real),
            "feature_dimensions": real.shape[1],
        }

"""LPIPS between images of one label map, mean over pairs and label maps, as an `evaluate` module."""

from typing import Any

import datasets
import evaluate
import torch

from dpsims_hf.evaluation.diversity import DiversityMean, load_lpips, lpips_distances, pairwise_distances, stack_images


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


class LPIPSDiversity(evaluate.Metric):
    """Keeps one number per label map in `state`. In several processes: gather `state`, call `state.merge(other)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.num_process > 1:
            raise ValueError(f"num_process={self.num_process}: load it plainly in each process, then merge `state`")
        self.state, self.distance, self.network = DiversityMean(), None, None

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Image())}),
        )

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
        if references is not None:
            raise ValueError("diversity compares generated images with each other: leave references out")
        state = self.state if predictions is None else self._extended(predictions, indices, distance)
        result = state.compute()
        self.state = DiversityMean()
        return {"lpips_diversity": result.pop("mean"), **result}

    def _extended(self, predictions: Any, indices: Any, distance: Any) -> DiversityMean:
        """The state with more label maps. One value must not mix two measures."""
        if not predictions or (indices is not None and len(indices) != len(predictions)):
            raise ValueError("give predictions, a list of images per label map, and as many indices or none")
        if len(self.state) and self.distance is not distance:
            raise ValueError("distance differs from the earlier calls: call compute() in between")
        state = DiversityMean()
        state.merge(self.state)
        for number, pictures in enumerate(predictions):
            images = stack_images(pictures)
            values = self._protocol(images) if distance is None else pairwise_distances(images, distance)
            state.add(values, None if indices is None else indices[number])
        self.distance = distance
        return state

    def _protocol(self, images: torch.Tensor) -> torch.Tensor:
        if self.network is None:
            self.network = load_lpips()
        return lpips_distances(images, self.network)

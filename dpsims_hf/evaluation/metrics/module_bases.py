# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the `evaluate` modules in metrics/ share.

A metric file imports this module, not its classes: evaluate's loader takes the first metric class that it finds in the
file.
"""

from collections.abc import Callable
from typing import Any

import datasets
import evaluate
import numpy as np
import torch

from .diversity import DiversityMean, stack_images
from .feature_set import RealFakeFeatures


def label_map_feature() -> Any:
    """How `datasets` calls a label map (height, width)."""
    return datasets.Sequence(datasets.Sequence(datasets.Value("uint16")))


class MergeableMetric(evaluate.Metric):
    """Keeps a state that users with several processes gather and merge themselves, by exact sums.

    A subclass gives `start_anew` and `_info`, and `remedy`, which completes "load it plainly in each process, then".
    """

    remedy = "merge its state"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.num_process > 1:
            raise ValueError(f"num_process={self.num_process}: load it plainly in each process, then {self.remedy}")
        self.start_anew()

    def start_anew(self) -> None:
        """Forget all images."""
        raise NotImplementedError

    @staticmethod
    def describe(description: str, citation: str, inputs: str, features: dict[str, Any]) -> evaluate.MetricInfo:
        """What `_info` returns."""
        return evaluate.MetricInfo(
            description=description,
            citation=citation,
            inputs_description=inputs,
            features=datasets.Features(features),
        )


class FeatureMetric(MergeableMetric):
    """Compares the features of real and of generated images; keeps one vector per image in `state`."""

    remedy = "merge `state`"

    def start_anew(self) -> None:
        """Forget all images."""
        self.state = RealFakeFeatures()

    def describe_vectors(self, description: str, citation: str, inputs: str) -> evaluate.MetricInfo:
        """What `_info` returns."""
        vector = datasets.Sequence(datasets.Value("float32"))
        return self.describe(description, citation, inputs, {"predictions": vector, "references": vector})

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

    def measured(
        self,
        measure: Callable[[np.ndarray, np.ndarray], dict[str, float | int]],
        predictions: Any,
        references: Any,
        indices: Any,
        extractor: Any,
    ) -> dict[str, float | int]:
        """`measure(real, fake)` of all that was added, these included, and the counts; then start anew.

        After an error the added images stay.
        """
        state = RealFakeFeatures()
        state.merge(self.state)
        state.add(predictions, references, indices, extractor)
        real, fake = state.ordered()
        counts = {"num_predictions": len(fake), "num_references": len(real), "feature_dimensions": real.shape[1]}
        result = measure(real, fake) | counts
        self.start_anew()
        return result


class DiversityMetric(MergeableMetric):
    """Compares the images of one label map with each other; keeps one number per label map in `state`."""

    remedy = "merge `state`"

    def start_anew(self) -> None:
        """Forget all label maps."""
        self.state = DiversityMean()

    def describe_images(self, description: str, citation: str, inputs: str) -> evaluate.MetricInfo:
        """What `_info` returns."""
        return self.describe(description, citation, inputs, {"predictions": datasets.Sequence(datasets.Image())})

    def extended(
        self, measure: Callable[[torch.Tensor], torch.Tensor], predictions: Any, indices: Any
    ) -> DiversityMean:
        """The state with more label maps, by `measure(images)`."""
        if not predictions or (indices is not None and len(indices) != len(predictions)):
            raise ValueError("give predictions, a list of images per label map, and as many indices or none")
        state = DiversityMean()
        state.merge(self.state)
        for number, pictures in enumerate(predictions):
            state.add(measure(stack_images(pictures)), None if indices is None else indices[number])
        return state

    @staticmethod
    def refuse_references(references: Any) -> None:
        """Raise a ValueError if there are any."""
        if references is not None:
            raise ValueError("diversity compares generated images with each other: leave references out")


class LabelledMetric(MergeableMetric):
    """Compares real and generated images class by class; keeps a state for each in `real` and `fake`."""

    def describe_labelled(self, description: str, citation: str, inputs: str, predictions: Any = None) -> Any:
        """What `_info` returns."""
        image = datasets.Image()
        features = {"predictions": predictions or image, "references": image, "label_maps": label_map_feature()}
        return self.describe(description, citation, inputs, features)


__all__ = ["DiversityMetric", "FeatureMetric", "LabelledMetric", "MergeableMetric", "label_map_feature"]

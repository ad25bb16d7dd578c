# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Spread of colours and features between images of one label map, against real photos, as an `evaluate` module."""

from typing import Any

import datasets
import evaluate
import numpy as np

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.diversity import pairwise_distances, stack_images
from dpsims_hf.evaluation.metrics.feature_set import as_image
from dpsims_hf.evaluation.metrics.variety import IMAGES, GeneratedVariety, PhotoVariety, class_colors, variety_scores


_DESCRIPTION = """
How far the images generated from one label map differ, against how far real photos differ: the spread of the mean
colour of each class in CIELAB (with lightness and without), and, with a `distance`, the mean distance of pairs.
Photos: all of the set for colours, those with the nearest class histograms for distances. Higher means more variety.
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
    predictions: One list per label map with the n images generated from it: PIL images or uint8 (height, width, 3).
    references: One real photo per label map, in the same form; may be given in other calls than the generated ones.
    label_maps: Label maps (height, width), one for each place in the lists of the same call.
    indices: Numbers of the label maps, unique over all processes; only needed with several processes.
    distance: None leaves features out, or a callable (a, b) -> n values for batches (n, 3, height, width) in [-1, 1],
        for instance `lpips.LPIPS`; the same one in all calls.
    num_labels: Labels, 0 .. num_labels - 1 (compute only).
    ignore_index: Label id that means void and is left out; None for none (compute only).
    similar_photos: Photos beside each label map for the distances, its own included (compute only).
Returns:
    color_spread, chroma_spread, feature_spread, each with _real_photos and _ratio: color_spread_real_photos,
    color_spread_ratio, chroma_spread_real_photos, chroma_spread_ratio, feature_spread_real_photos,
    feature_spread_ratio; per_class_color_spread, per_class_color_spread_real_photos, per_class_color_spread_ratio,
    per_class_chroma_spread, per_class_chroma_spread_real_photos, per_class_chroma_spread_ratio; num_label_maps.
"""


class Variety(module_bases.LabelledMetric):
    """Keeps numbers per label map in `fake`, colours in `real`, and photos where there is a distance.

    In several processes: gather `real` and `fake` and call their `merge`, and join the dictionaries `photos`.
    """

    def start_anew(self) -> None:
        """Forget all label maps."""
        self.real, self.fake, self.distance = PhotoVariety(), GeneratedVariety(), None
        self.photos: dict[int, np.ndarray] = {}

    def _info(self) -> evaluate.MetricInfo:
        images = datasets.Sequence(datasets.Image())
        return self.describe_labelled(_DESCRIPTION, _CITATION, _INPUTS, predictions=images)

    def add(
        self,
        *,
        prediction: Any = None,
        reference: Any = None,
        label_map: Any = None,
        index: int | None = None,
        distance: Any = None,
    ) -> None:
        """Add the images and/or the photo of one label map."""
        self.add_batch(
            predictions=None if prediction is None else [prediction],
            references=None if reference is None else [reference],
            label_maps=[label_map],
            indices=None if index is None else [index],
            distance=distance,
        )

    def add_batch(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        label_maps: Any = None,
        indices: Any = None,
        distance: Any = None,
    ) -> None:
        """Add some label maps' images and/or photos; if one of them is wrong, none is added."""
        self.real, self.fake, self.photos = self._extended(predictions, references, label_maps, indices, distance)
        self.distance = distance

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        label_maps: Any = None,
        indices: Any = None,
        distance: Any = None,
        num_labels: int,
        ignore_index: int | None = None,
        similar_photos: int = IMAGES,
    ) -> dict[str, Any]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""
        if predictions is None and references is None:
            distance = self.distance
        real, fake, photos = self._extended(predictions, references, label_maps, indices, distance)
        real.ignore_index = ignore_index
        for index in photos:
            group = [photos[number] for number in real.nearest(index, similar_photos)]
            real.add_distances(index, _distances(group, distance))
        result = variety_scores(real, fake, num_labels, ignore_index)
        self.start_anew()
        return result

    def _extended(
        self, predictions: Any, references: Any, label_maps: Any, indices: Any, distance: Any
    ) -> tuple[PhotoVariety, GeneratedVariety, dict[int, np.ndarray]]:
        """The state with more label maps. One value must not mix two distances."""
        if (len(self.real) or len(self.fake)) and self.distance is not distance:
            raise ValueError("distance differs from the earlier calls: call compute() in between")
        for name, items in (("predictions", predictions), ("references", references)):
            if items is not None and (label_maps is None or len(items) != len(label_maps)):
                raise ValueError(f"{name} and label_maps: give as many of one as of the other")
        real, fake, photos = PhotoVariety(), GeneratedVariety(), dict(self.photos)
        real.merge(self.real)
        fake.merge(self.fake)
        for position, photo in enumerate(() if references is None else references):
            index = len(self.real) + position if indices is None else int(indices[position])
            real.add(index, photo, label_maps[position])
            if distance is not None:
                photos.setdefault(index, as_image(photo))
        for position, images in enumerate(() if predictions is None else predictions):
            index = len(self.fake) + position if indices is None else int(indices[position])
            colors = [class_colors(image, label_maps[position]) for image in images]
            fake.add(index, colors, _distances(images, distance))
        return real, fake, photos


def _distances(images: Any, distance: Any) -> Any:
    if distance is None or len(images) < 2:
        return ()
    return pairwise_distances(stack_images(images), distance)

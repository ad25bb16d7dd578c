# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Power on the up-sampling grid inside one-class regions, real photos beside generated, as an `evaluate` module."""

from typing import Any

import evaluate

from dpsims_hf.evaluation.metrics import module_bases
from dpsims_hf.evaluation.metrics.grid_artifacts import CYCLES, WINDOW, GridArtifacts, grid_artifact_scores


_DESCRIPTION = """
How far the frequencies of an up-sampling grid (periods 8, 4, 8/3 and 2 pixels; others by `window` and `cycles`) stand
out inside regions of one class: log2 of their power over the median power around, mean over windows. Real photos have
a value of their own, which stands beside it; a ratio of 1 is as good as real. And the distance of radial power
spectra.
"""
_CITATION = """
@inproceedings{durall2020watch,
  title={Watch your Up-Convolution: {CNN} Based Generative Deep Neural Networks are Failing to Reproduce Spectral
         Distributions},
  author={Durall, Ricard and Keuper, Margret and Keuper, Janis},
  booktitle={CVPR}, year={2020}
}
"""
_INPUTS = """
Args:
    predictions: Generated images: PIL images or uint8 (height, width, 3) arrays.
    references: Real photos of the same label maps, in the same form; may be given in other calls.
    label_maps: Label maps (height, width) of the images in the same call, one for each place in the lists.
    indices: Numbers of the images, unique over all processes; only needed with several processes.
    num_labels: Labels, 0 .. num_labels - 1 (compute only).
    ignore_index: Label id that means void and is left out; None for none (compute only).
Returns:
    grid_artifacts, grid_artifacts_real_photos, grid_artifacts_ratio, spectrum_distance, per_period_grid_artifacts,
    per_period_grid_artifacts_real_photos, per_class_grid_artifacts, per_class_grid_artifacts_real_photos,
    per_class_grid_artifacts_ratio, num_windows; None where no window lies inside one class.
"""


class GridArtifactsMetric(module_bases.LabelledMetric):
    """Keeps sums per image in `real` and `fake`. In several processes: gather both and call their `merge`.

    Load options `window` and `cycles` as in `GridArtifacts`; period 16 comes with window=64, cycles=(4, 8, 16, 32).
    """

    def __init__(self, *args: Any, window: int = WINDOW, cycles: tuple[int, ...] = CYCLES, **kwargs: Any) -> None:
        self.window, self.cycles = window, cycles
        super().__init__(*args, **kwargs)

    def start_anew(self) -> None:
        """Forget all images."""
        self.real, self.fake = self._empty()

    def _info(self) -> evaluate.MetricInfo:
        return self.describe_labelled(_DESCRIPTION, _CITATION, _INPUTS)

    def add(
        self, *, prediction: Any = None, reference: Any = None, label_map: Any = None, index: int | None = None
    ) -> None:
        """Add one generated and/or one real image with their label map."""
        self.add_batch(
            predictions=None if prediction is None else [prediction],
            references=None if reference is None else [reference],
            label_maps=[label_map],
            indices=None if index is None else [index],
        )

    def add_batch(
        self, *, predictions: Any = None, references: Any = None, label_maps: Any = None, indices: Any = None
    ) -> None:
        """Add some generated and/or real images; if one of them is wrong, none is added."""
        self.real, self.fake = self._extended(predictions, references, label_maps, indices)

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        label_maps: Any = None,
        indices: Any = None,
        num_labels: int,
        ignore_index: int | None = None,
    ) -> dict[str, Any]:
        """Compute from all that was added, these included, and start anew. After an error the added images stay."""
        real, fake = self._extended(predictions, references, label_maps, indices)
        result = grid_artifact_scores(real, fake, num_labels, ignore_index)
        self.start_anew()
        return result

    def _empty(self) -> tuple[GridArtifacts, GridArtifacts]:
        return GridArtifacts(self.window, self.cycles), GridArtifacts(self.window, self.cycles)

    def _extended(
        self, predictions: Any, references: Any, label_maps: Any, indices: Any
    ) -> tuple[GridArtifacts, GridArtifacts]:
        """(real, fake) with more images."""
        real, fake = self._empty()
        for state, known, images in ((real, self.real, references), (fake, self.fake, predictions)):
            state.merge(known)
            if images is not None:
                if label_maps is None:
                    raise ValueError("label_maps is missing: windows lie inside one class")
                state.update(images, label_maps, indices)
        return real, fake

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Measures of several images of one label map: each leaves some numbers per label map under its protocol's name."""

from collections.abc import Callable
from typing import Any

import torch

from ..features import TimmExtractor
from ..metrics.diversity import DiversityMean
from ..metrics.variety import GeneratedVariety, PhotoVariety, class_colors, level_distances, variety_scores
from ..protocols import Protocol
from .measure import Measure, Outcome
from .observers import channels_last


SPREADS = ("color_spread", "chroma_spread", "feature_spread")


class ManyImagesMeasure(Measure):
    """A measure of the images of one label map; its record is found under the protocol's name."""

    @property
    def copies(self) -> int:
        """Images per label map."""
        return self.protocol.images_per_label_map

    def record(self) -> Any:
        """An empty record."""
        raise NotImplementedError

    def observe(self, record: Any, images: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Record the images of one label map, (copies, 3, height, width) uint8; the batch holds that map alone."""
        raise NotImplementedError


class DiversityMeasure(ManyImagesMeasure):
    """How different the images of one label map are.

    Args:
        protocol: Its record, with the images per label map.
        distances: (images, 3, height, width) in [-1, 1] -> one value per pair.
        details: Further facts.
    """

    needs_real = False

    def __init__(
        self, protocol: Protocol, distances: Callable[[torch.Tensor], torch.Tensor], details: dict[str, Any]
    ) -> None:
        super().__init__(protocol)
        self.distances, self.details = distances, details

    def facts(self) -> dict[str, Any]:
        """See `Measure`."""
        return self.protocol.facts() | self.details

    def record(self) -> DiversityMean:
        """An empty record."""
        return DiversityMean()

    def observe(self, record: DiversityMean, images: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """See `ManyImagesMeasure`."""
        record.add(self.distances(images.float() / 127.5 - 1.0), int(batch["index"]))

    def compute(self, real: dict[str, Any], generated: dict[str, Any]) -> Outcome:
        """One value under the name of the metric: mean over pairs, then over label maps."""
        return Outcome({self.protocol.metric: generated[self.protocol.name].compute()["mean"]})


class VarietyMeasure(ManyImagesMeasure):
    """How different the images of one label map are, against real photos.

    Args:
        protocol: Its record, with the images per label map.
        extractor: A timm network, whose levels are compared.
        num_labels: Labels of the dataset.
        void_label_id: The one that is left out.
    """

    def __init__(
        self, protocol: Protocol, extractor: TimmExtractor, num_labels: int, void_label_id: int | None
    ) -> None:
        super().__init__(protocol)
        self.extractor, self.num_labels, self.void_label_id = extractor, num_labels, void_label_id

    def facts(self) -> dict[str, Any]:
        """See `Measure`."""
        facts = self.extractor.facts()
        facts["input_range"] = facts["input_range"].split(";")[0] + "; all levels"
        return self.protocol.facts() | {name: value for name, value in facts.items() if name != "dimensions"}

    def record(self) -> GeneratedVariety:
        """An empty record."""
        return GeneratedVariety()

    def photo_record(self) -> PhotoVariety:
        """An empty record of photos."""
        return PhotoVariety(self.void_label_id)

    def observe(self, record: GeneratedVariety, images: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """See `ManyImagesMeasure`."""
        label_map = batch["label_map"][0].cpu().numpy()
        colors = [class_colors(image, label_map) for image in channels_last(images)]
        record.add(int(batch["index"]), colors, self.distances(images))

    def observe_photos(self, record: PhotoVariety, photos: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Record the colours of a batch of photos, (batch, 3, height, width) uint8."""
        pairs = zip(channels_last(photos), batch["label_map"].cpu().numpy(), strict=True)
        for index, (photo, label_map) in zip(batch["index"].tolist(), pairs, strict=True):
            record.add(index, photo, label_map)

    def distances(self, images: torch.Tensor) -> torch.Tensor:
        """`level_distances` of (n, 3, height, width) uint8."""
        return level_distances(self.extractor.levels(images))

    def compute(self, real: dict[str, Any], generated: dict[str, Any]) -> Outcome:
        """The spreads and their ratios to the photos'; those of colours per class too."""
        key = self.protocol.name
        scores = variety_scores(real[key], generated[key], self.num_labels, self.void_label_id)
        names = [f"{spread}{suffix}" for spread in SPREADS for suffix in ("", "_ratio")]
        columns = {name: scores[f"per_class_{name}"] for name in names if not name.startswith("feature")}
        return Outcome({name: scores[name] for name in names}, columns)

    def reference(self, real: dict[str, Any]) -> Outcome:
        """The photos' own spreads."""
        outcome = self.compute(real, real)
        return Outcome(
            *({n: v for n, v in part.items() if n in SPREADS} for part in (outcome.values, outcome.per_class))
        )


__all__ = ["DiversityMeasure", "ManyImagesMeasure", "VarietyMeasure"]

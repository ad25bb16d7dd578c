# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Networks that say which class each pixel shows, and the way from a dataset's labels to theirs."""

from .label_mapping import LabelMapping
from .network import SegmentationNetwork
from .published import PUBLISHED, PublishedSegmenter
from .segmenter import (
    CONFIG_FILE,
    LOGIT_RULE,
    OWN_FORMAT,
    SIZE_DIVISOR,
    WEIGHTS_FILE,
    OwnSegmenter,
    Segmenter,
    TransformersSegmenter,
    load_segmenter,
    network_size,
)


__all__ = [
    "CONFIG_FILE",
    "LOGIT_RULE",
    "OWN_FORMAT",
    "PUBLISHED",
    "SIZE_DIVISOR",
    "WEIGHTS_FILE",
    "LabelMapping",
    "OwnSegmenter",
    "PublishedSegmenter",
    "SegmentationNetwork",
    "Segmenter",
    "TransformersSegmenter",
    "load_segmenter",
    "network_size",
]

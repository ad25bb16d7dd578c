# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Datasets, label spaces, joint transforms and samplers of the training side; models never import this.

Importing it is light: the `datasets` library comes when a dataset is opened.
"""

from ..pipeline_instances import instance_offsets
from .dataset import SemanticImageDataset, collate
from .samplers import DrawSampler, rare_class_weights
from .specs import DatasetSpec
from .synthetic import write_synthetic_dataset
from .transforms import JointTransform, stateless_generator


__all__ = [
    "DatasetSpec",
    "DrawSampler",
    "JointTransform",
    "SemanticImageDataset",
    "collate",
    "instance_offsets",
    "rare_class_weights",
    "stateless_generator",
    "write_synthetic_dataset",
]

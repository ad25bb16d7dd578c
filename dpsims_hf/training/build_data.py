# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From options to data: the flags, the views of a set, the loader."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from ..data import DatasetSpec, DrawSampler, JointTransform, SemanticImageDataset, collate, rare_class_weights
from .options import RunOptions


class Datasets(NamedTuple):
    """The label space and three views of the data.

    Args:
        spec: label space.
        train: augmented crops.
        whole: the training photos whole, at the published size (batch-norm statistics of the averaged model).
        samples: photos for sample grids, at the published size; from the validation split where there is one.
    """

    spec: DatasetSpec
    train: SemanticImageDataset
    whole: SemanticImageDataset
    samples: SemanticImageDataset


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say where the data is."""
    data = parser.add_argument_group("data")
    data.add_argument("--train_dir", help="folder with train/images, train/labels and classes.json")
    data.add_argument("--dataset_name", help="a Hub dataset, instead of --train_dir")
    data.add_argument("--classes_file", help="classes.json of a Hub dataset")
    data.add_argument("--image_column", default="image", help="of a Hub dataset")
    data.add_argument("--label_column", default="label_map", help="of a Hub dataset")
    data.add_argument("--instance_column", help="of a Hub dataset")


def build_datasets(args: argparse.Namespace, options: RunOptions) -> Datasets:
    """Open the local folder or the Hub set."""
    data = options.data
    crops = JointTransform(data.image_size, scale_range=data.scale_range, horizontal_flip=data.horizontal_flip)
    whole = JointTransform(tuple(options.generator.get("image_size", data.image_size)), horizontal_flip=0.0)
    common: dict[str, Any] = {"seed": options.training.seed}
    if bool(args.train_dir) == bool(args.dataset_name):
        raise ValueError("give the data: --train_dir DIR (a local folder) or --dataset_name REPO (one of the two)")
    if args.train_dir:
        folder, spec = args.train_dir, DatasetSpec.from_folder(args.train_dir)
        common["use_instance_offsets"] = bool(options.generator.get("use_instance_offsets"))
        split = "val" if (Path(folder) / "val").is_dir() else "train"
        views = [("train", crops), ("train", whole), (split, whole)]
        return Datasets(
            spec, *(SemanticImageDataset.from_folder(folder, name, view, spec, **common) for name, view in views)
        )
    if not args.classes_file:
        raise ValueError("--dataset_name needs --classes_file FILE: names, colours and void of its classes")
    spec = DatasetSpec.from_json(args.classes_file)
    columns = (args.image_column, args.label_column, args.instance_column)
    return Datasets(
        spec,
        *(
            SemanticImageDataset.from_hub(args.dataset_name, "train", view, spec, *columns, **common)
            for view in (crops, whole, whole)
        ),
    )


def build_loader(options: RunOptions, dataset: SemanticImageDataset, processes: int) -> DataLoader:
    """One long epoch: all draws of the run, each a function of (seed, number of the draw)."""
    training = options.training
    weights = None
    if options.data.rare_class_sampling:
        weights = rare_class_weights(dataset.class_presence(), dataset.spec.void_label_id)
    per_step = training.batch_size * training.gradient_accumulation_steps * processes
    sampler = DrawSampler(training.max_train_steps * per_step, len(dataset), weights, training.seed)
    return DataLoader(
        dataset,
        batch_size=training.batch_size,
        sampler=sampler,
        collate_fn=collate,
        num_workers=options.data.workers,
        pin_memory=torch.cuda.is_available(),
    )

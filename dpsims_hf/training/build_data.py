# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From options to data: the flags, and the views of a set. The batches of a run are in batches.py."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from ..data import DatasetSpec, JointTransform, SemanticImageDataset
from ..data.bad_samples import BadSamples
from ..data.class_frequencies import ClassFrequencies
from ..data.hub_loading import HubDataset, resolve_hub_dataset
from ..data.specs import label_presets, load_label_preset
from ..data.streaming import StreamingSemanticDataset, open_stream
from .batches import cache_dir
from .options import RunOptions


BAD_SAMPLES_FILE = "bad_samples.jsonl"


class Datasets(NamedTuple):
    """The label space and three views of the data.

    Args:
        spec: label space.
        train: augmented crops.
        whole: the training photos whole, at the published size (batch-norm statistics of the averaged model).
        samples: photos for sample grids, at the published size; from the validation split where there is one.
        stream: where `train` streams from, None if it does not.
    """

    spec: DatasetSpec
    train: SemanticImageDataset | StreamingSemanticDataset
    whole: SemanticImageDataset
    samples: SemanticImageDataset
    stream: HubDataset | None = None


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say where the data is."""
    data = parser.add_argument_group("data")
    data.add_argument("--train_dir", help="folder with train/images, train/labels and classes.json")
    data.add_argument("--dataset_name", help="a Hub data set or a folder of parquet files, instead of --train_dir")
    data.add_argument(
        "--classes_file",
        help=f"a classes.json, or one of {', '.join(label_presets())}; default: the data's own classes.json, or the "
        "known set that lists the repository",
    )
    data.add_argument("--image_column", help="of a Hub data set; default: what is known of it, or image")
    data.add_argument("--label_column", help="of a Hub data set; default: what is known of it, or label_map")
    data.add_argument("--instance_column", help="of a Hub data set; default: what is known of it, or instance_map")
    data.add_argument(
        "--max_bad_samples",
        type=int,
        default=0,
        metavar="N",
        help="pass over up to N different samples that cannot be read (each is named); default: stop at the first",
    )


def _check_kind(train_dir: str | None, dataset_name: str | None) -> None:
    """A ValueError with the other flag, for a folder that is of its kind."""
    if train_dir:
        folder = Path(train_dir)
        if not folder.is_dir():
            raise ValueError(f"--train_dir {train_dir}: no such folder")
        if not (folder / "train").is_dir():
            prepared = any(folder.glob("data/*.parquet"))
            remedy = (
                "it was written by `prepare`: give it as --dataset_name"
                if prepared
                else "original folders of data sets go through python -m dpsims_hf.data.prepare first"
            )
            raise ValueError(f"--train_dir {train_dir}: no train/images and train/labels in it; {remedy}")
    elif (Path(dataset_name) / "train" / "labels").is_dir():
        raise ValueError(f"--dataset_name {dataset_name}: a folder of photos and labels; give it as --train_dir")
    elif dataset_name.startswith(("/", ".", "~")) and not Path(dataset_name).is_dir():
        raise ValueError(f"--dataset_name {dataset_name}: no such folder")


def build_datasets(args: argparse.Namespace, options: RunOptions) -> Datasets:
    """Open the local folder or the Hub set."""
    if bool(args.train_dir) == bool(args.dataset_name):
        raise ValueError("give the data: --train_dir DIR (a local folder) or --dataset_name REPO (one of the two)")
    _check_kind(args.train_dir, args.dataset_name)
    spec = load_label_preset(args.classes_file) if args.classes_file else None
    register = Path(args.output_dir) / BAD_SAMPLES_FILE if args.max_bad_samples else None
    common: dict[str, Any] = {
        "seed": options.training.seed,
        "use_instance_offsets": bool(options.generator.get("use_instance_offsets")),
        "bad_samples": BadSamples(args.max_bad_samples, register),
    }
    if args.train_dir:
        return _from_folder(args.train_dir, spec, options, common)
    found = resolve_hub_dataset(
        args.dataset_name,
        spec,
        args.image_column,
        args.label_column,
        args.instance_column,
        use_instances=common["use_instance_offsets"],
    )
    if options.data.streaming:
        return _from_stream(found, args, options, common)
    return _from_hub(found, options, common)


def _transforms(options: RunOptions) -> tuple[JointTransform, JointTransform]:
    """Of the augmented crops, and of whole photos."""
    data = options.data
    crops = JointTransform(
        data.image_size, data.scale_range, data.horizontal_flip, data.keep_aspect, data.label_perturbation
    )
    size = tuple(options.generator.get("image_size", data.image_size))
    return crops, JointTransform(size, horizontal_flip=0.0, keep_aspect=data.keep_aspect)


def _train_settings(options: RunOptions) -> dict[str, Any]:
    """Of the view that is trained on: its checks are kept on disk, its pictures by the cache that workers share."""
    return {"cache_in_memory": False, "cache_dir": cache_dir(options)}


def _from_folder(folder: str, spec: DatasetSpec | None, options: RunOptions, common: dict[str, Any]) -> Datasets:
    if options.data.streaming:
        raise ValueError(
            f"data.streaming is for Hub sets and folders of parquet files (--dataset_name), not --train_dir {folder}"
        )
    spec = spec or DatasetSpec.from_folder(folder)
    crops, whole = _transforms(options)
    samples = "val" if (Path(folder) / "val").is_dir() else "train"
    open_split = SemanticImageDataset.from_folder
    return Datasets(
        spec,
        open_split(folder, "train", crops, spec, **common, **_train_settings(options)),
        open_split(folder, "train", whole, spec, **common),
        open_split(folder, samples, whole, spec, **common),
    )


def _from_hub(found: HubDataset, options: RunOptions, common: dict[str, Any]) -> Datasets:
    import datasets

    def open_split(split: str, transform: JointTransform, **settings: Any) -> SemanticImageDataset:
        table = found.select(datasets.load_dataset(found.name, split=split, **found.load_kwargs))
        return SemanticImageDataset(table, found.spec, transform, name=f"{found.name}:{split}", **common, **settings)

    crops, whole = _transforms(options)
    train = found.train_split()
    return Datasets(
        found.spec,
        open_split(train, crops, **_train_settings(options)),
        open_split(train, whole),
        open_split(found.validation_split() or train, whole),
    )


def _from_stream(found: HubDataset, args: argparse.Namespace, options: RunOptions, common: dict[str, Any]) -> Datasets:
    """The views beside the training stream hold the first rows of their splits, as many as are looked at."""
    import datasets

    training, data = options.training, options.data
    crops, whole = _transforms(options)
    split = found.train_split()
    stream = open_stream(found, split)

    def first_rows(split: str, count: int | None) -> SemanticImageDataset:
        rows = open_stream(found, split)
        rows = rows if count is None else rows.take(count)
        table = datasets.Dataset.from_list(list(rows), features=rows.features)
        return SemanticImageDataset(table, found.spec, whole, name=f"{found.name}:{split}", **common)

    frequencies = None
    if data.class_frequencies:
        frequencies = ClassFrequencies.from_json(data.class_frequencies, found.spec.num_labels)
    train = StreamingSemanticDataset(
        stream,
        found.spec,
        crops,
        shuffle_buffer=data.shuffle_buffer,
        rare_classes=data.rare_class_sampling,
        frequencies=frequencies,
        name=f"{found.name}:{split}",
        **common,
    )
    looked_at = max(training.sample_maps, args.validation_images or 0)
    if args.validation_steps and not args.validation_images:
        looked_at = None
    return Datasets(
        found.spec,
        train,
        first_rows(split, training.batch_norm_refresh_batches * training.batch_size),
        first_rows(found.validation_split() or split, looked_at),
        found,
    )


__all__ = ["Datasets", "add_data_arguments", "build_datasets"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From options to data: the views of a dataset. The batches of a run are in batches.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..data import DatasetSpec, JointTransform, SemanticImageDataset
from ..data.reading.bad_samples import BadSamples
from ..data.samplers import ClassFrequencies
from ..data.sources.hub_loading import HubDataset, resolve_hub_dataset
from ..data.specs import load_label_preset
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
                else "original folders of datasets go through python -m dpsims_hf.data.prepare first"
            )
            raise ValueError(f"--train_dir {train_dir}: no train/images and train/labels in it; {remedy}")
    elif (Path(dataset_name) / "train" / "labels").is_dir():
        raise ValueError(f"--dataset_name {dataset_name}: a folder of photos and labels; give it as --train_dir")
    elif dataset_name.startswith(("/", ".", "~")) and not Path(dataset_name).is_dir():
        raise ValueError(f"--dataset_name {dataset_name}: no such folder")


def build_datasets(options: RunOptions) -> Datasets:
    """Open the local folder or the Hub dataset."""
    inputs = options.inputs
    if bool(inputs.train_dir) == bool(inputs.dataset_name):
        raise ValueError("give the data: --train_dir DIR (a local folder) or --dataset_name REPO (one of the two)")
    _check_kind(inputs.train_dir, inputs.dataset_name)
    spec = load_label_preset(inputs.classes_file) if inputs.classes_file else None
    if inputs.label_reading and (spec or inputs.train_dir):
        spec = replace(spec or DatasetSpec.from_folder(inputs.train_dir), label_reading=inputs.label_reading)
    register = Path(options.launch.output_dir) / BAD_SAMPLES_FILE if inputs.max_bad_samples else None
    common: dict[str, Any] = {
        "seed": options.training.seed,
        "use_instance_offsets": bool(options.generator.get("use_instance_offsets")),
        "bad_samples": BadSamples(inputs.max_bad_samples, register),
    }
    if inputs.max_train_samples and options.data.streaming:
        raise ValueError("--max_train_samples is for sets that are not streamed; drop it, or data.streaming=true")
    if inputs.train_dir:
        return _first_samples(_from_folder(inputs.train_dir, spec, options, common), inputs.max_train_samples)
    found = resolve_hub_dataset(
        inputs.dataset_name,
        spec,
        inputs.image_column,
        inputs.label_column,
        inputs.instance_column,
        use_instances=common["use_instance_offsets"],
    )
    if inputs.label_reading:
        found = replace(found, spec=replace(found.spec, label_reading=inputs.label_reading))
    if options.data.streaming:
        return _from_stream(found, options, common)
    return _first_samples(_from_hub(found, options, common), inputs.max_train_samples)


def _first_samples(datasets: Datasets, count: int | None) -> Datasets:
    """Leave only the first samples in the views that are trained on."""
    for view in (datasets.train, datasets.whole):
        if count is not None and count < len(view):
            view.table = view.table.select(range(count))
    return datasets


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
    return {"cache_dir": cache_dir(options)}


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

    def open_split(split: str, transform: JointTransform, **settings: Any) -> SemanticImageDataset:
        table = found.load(split)
        return SemanticImageDataset(table, found.spec, transform, name=f"{found.name}:{split}", **common, **settings)

    crops, whole = _transforms(options)
    train = found.train_split()
    return Datasets(
        found.spec,
        open_split(train, crops, **_train_settings(options)),
        open_split(train, whole),
        open_split(found.validation_split() or train, whole),
    )


def _from_stream(found: HubDataset, options: RunOptions, common: dict[str, Any]) -> Datasets:
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
    validation = options.validation
    looked_at = max(training.sample_maps, validation.images or 0)
    if validation.steps and not validation.images:
        looked_at = None
    return Datasets(
        found.spec,
        train,
        first_rows(split, max(training.batch_norm_refresh_batches, 1) * training.batch_size),
        first_rows(found.validation_split() or split, looked_at),
        found,
    )


__all__ = ["Datasets", "build_datasets"]

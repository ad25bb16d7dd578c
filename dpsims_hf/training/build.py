"""From options to objects: data, networks, objective, loader."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader

from ..data import (
    DatasetSpec,
    DrawSampler,
    JointTransform,
    SemanticImageDataset,
    collate,
    rare_class_weights,
)
from ..modeling_base import check_multiples
from .contrastive import FeatureNetworks, FeatureNetworkSpec, ProjectionHeads
from .families import get_family
from .objective_base import AdversarialObjective
from .options import FEATURE_SECTIONS, RunOptions
from .perceptual import PerceptualLoss


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


def build_networks(args: argparse.Namespace, options: RunOptions, spec: DatasetSpec) -> dict[str, nn.Module]:
    """Generator and discriminator with the dataset's classes; the backbone's weights are loaded here, once."""
    classes = {
        "id2label": dict(enumerate(spec.labels)),
        "void_label_id": spec.void_label_id,
    }
    generator_row = get_family(options.generator_family)
    discriminator_row = get_family(options.discriminator_family)
    generator_config = _make_config(generator_row.generator.config_class, {**options.generator, **classes})
    discriminator_config = _make_config(
        discriminator_row.discriminator.config_class, {**options.discriminator, **classes}
    )
    networks = {
        "generator": generator_row.generator(generator_config),
        "discriminator": discriminator_row.discriminator(discriminator_config),
    }
    for network in networks.values():
        divisor = network.strides[0] if hasattr(network, "strides") else network.config.size_divisor
        name = f"data.image_size (for the {network.config.model_type})"
        check_multiples(name, options.data.image_size, divisor)
    if hasattr(networks["discriminator"], "load_backbone_weights") and args.backbone_weights != "random":
        networks["discriminator"].load_backbone_weights(args.backbone_weights)
    return networks


def _make_config(config_class: type, values: dict[str, Any]) -> Any:
    preset = values.pop("preset", None)
    values.pop("num_labels", None)
    if preset is None:
        return config_class(**values)
    # A preset's own class count gives way to the dataset's names.
    return config_class.from_preset(preset, **{"num_labels": None, **values})


def build_objective(
    args: argparse.Namespace, options: RunOptions, spec: DatasetSpec, device: torch.device
) -> tuple[AdversarialObjective, ProjectionHeads | None]:
    """The recipe family's objective, and the heads that its contrastive term trains."""
    features = projection = None
    for section, (_, weight) in FEATURE_SECTIONS.items():
        if section not in options.features or not getattr(options.loss, weight):
            continue
        chosen = options.features[section]
        networks = _feature_networks(section, chosen.networks, getattr(args, f"{section}_weights")).to(device)
        if section == "perceptual":
            features = PerceptualLoss(networks, chosen.level_weights)
        else:
            features = networks
            projection = ProjectionHeads(networks.channels, chosen.hidden_dim, chosen.output_dim)
    objective = get_family(options.family).objective(options.loss, spec.num_labels, spec.void_label_id, features)
    return objective, projection


def _feature_networks(section: str, specs: tuple[FeatureNetworkSpec, ...], files: list[str] | None) -> FeatureNetworks:
    """Frozen networks with weights from local files, where these are given."""
    if files:
        if len(files) != len(specs):
            raise ValueError(f"--{section}_weights names {len(files)} files for {len(specs)} networks")
        specs = tuple(replace(spec, weights=file) for spec, file in zip(specs, files, strict=True))
    return FeatureNetworks(specs)


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

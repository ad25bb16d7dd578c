"""From options to objects: networks and objective."""

import argparse
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..data import DatasetSpec
from ..modeling_base import check_multiples
from .contrastive import FeatureNetworks, FeatureNetworkSpec, ProjectionHeads
from .families import get_family
from .objective_base import AdversarialObjective
from .options import FEATURE_SECTIONS, RunOptions
from .perceptual import PerceptualLoss


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

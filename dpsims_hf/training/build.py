# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From options to objects: networks with their switches, optimizers, objective."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..data import DatasetSpec
from ..modeling_base import check_multiples
from .families import get_family
from .objectives.adaptive_augmentation import AdaptiveAugmentation
from .objectives.base import AdversarialObjective
from .objectives.feature_networks import FeatureNetworks, FeatureNetworkSpec, PerceptualLoss, ProjectionHeads
from .objectives.photo_noise import PhotoNoise
from .options import FEATURE_SECTIONS, RunOptions, TrainingOptions


def build_networks(options: RunOptions, spec: DatasetSpec) -> dict[str, nn.Module]:
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
    weights = options.inputs.backbone_weights
    if hasattr(networks["discriminator"], "load_backbone_weights") and weights != "random":
        networks["discriminator"].load_backbone_weights(weights)
    return networks


def _make_config(config_class: type, values: dict[str, Any]) -> Any:
    preset = values.pop("preset", None)
    values.pop("num_labels", None)
    if preset is None:
        return config_class(**values)
    # A preset's own class count gives way to the dataset's names.
    return config_class.from_preset(preset, **{"num_labels": None, **values})


def apply_memory_switches(networks: dict[str, nn.Module], training: TrainingOptions) -> dict[str, nn.Module]:
    """Memory format, activation checkpointing and the backbone's type; the same networks come back."""
    if training.gradient_checkpointing:
        generator = networks["generator"]
        # transformers up to 5.2x call it gradient checkpointing
        enable = getattr(generator, "activation_checkpointing_enable", None) or generator.gradient_checkpointing_enable
        enable()
    if training.channels_last:
        networks = {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}
    dtype = getattr(torch, training.backbone_dtype)
    if dtype != torch.float32:
        discriminator = networks["discriminator"]
        if not hasattr(discriminator, "backbone"):
            raise ValueError(
                f"training.backbone_dtype={training.backbone_dtype!r} is for a frozen backbone, which this "
                f"{discriminator.config.model_type} does not have; leave it at 'float32'"
            )
        discriminator.backbone.network.to(dtype)
    return networks


def compile_networks(networks: dict[str, nn.Module], training: TrainingOptions) -> None:
    """torch.compile generator and discriminator in place, which leaves the names of their weights alone."""
    if training.compile:
        backends = torch._dynamo.list_backends(exclude_tags=())
        if training.compile_backend not in backends:
            raise ValueError(
                f"training.compile_backend={training.compile_backend!r}; choose one of {', '.join(backends)}"
            )
        for name in ("generator", "discriminator"):
            networks[name].compile(backend=training.compile_backend)


def build_optimizers(networks: dict[str, nn.Module], training: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
    """Adam of the generator, which also moves the projection heads, and of the discriminator's trained part."""
    parts = {"generator": ("generator", "projection"), "discriminator": ("discriminator",)}
    return {
        owner: torch.optim.Adam(
            [p for name in names if name in networks for p in networks[name].parameters() if p.requires_grad],
            fused=True,
            **adam_settings(training, owner),
        )
        for owner, names in parts.items()
    }


def adam_settings(training: TrainingOptions, network: str) -> dict[str, Any]:
    """Learning rate and betas of one network's Adam (DP-SIMS Sec. 4.1)."""
    rate = training.learning_rate_generator if network == "generator" else training.learning_rate_discriminator
    return {"lr": float(rate), "betas": (float(training.adam_beta1), float(training.adam_beta2))}


def learning_rate_factor(training: TrainingOptions, step: int) -> float:
    """What both learning rates are multiplied by in a step (counted from 0): 1, then linearly towards 0 at the end."""
    decaying = training.max_train_steps * (1 - training.learning_rate_decay_start)
    return min(1.0, (training.max_train_steps - step) / decaying) if decaying else 1.0


def build_objective(
    options: RunOptions, spec: DatasetSpec, device: torch.device
) -> tuple[AdversarialObjective, ProjectionHeads | None]:
    """The recipe family's objective, and the heads that its contrastive term trains."""
    features = projection = None
    if options.loss.random_shift >= min(options.data.image_size):
        raise ValueError(
            f"loss.random_shift={options.loss.random_shift} must be smaller than both sides of data.image_size "
            f"{options.data.image_size}"
        )
    for section, (_, weight) in FEATURE_SECTIONS.items():
        if section not in options.features or not options.loss.peak(weight):
            continue
        chosen = options.features[section]
        networks = _feature_networks(section, chosen.networks, getattr(options.inputs, f"{section}_weights")).to(
            device
        )
        if section == "perceptual":
            features = PerceptualLoss(networks, chosen.level_weights)
        else:
            features = networks
            projection = ProjectionHeads(networks.channels, chosen.hidden_dim, chosen.output_dim)
    objective = get_family(options.family).objective(options.loss, spec.num_labels, spec.void_label_id, features)
    return objective, projection


def build_augmentation(options: RunOptions, void_label_id: int | None) -> AdaptiveAugmentation | None:
    """What the options ask for; None if the augmentation is off."""
    data = options.data
    if not (data.ada_target or data.ada_fixed_probability):
        return None
    return AdaptiveAugmentation(
        data.ada_target, data.ada_fixed_probability, data.ada_images, data.ada_kinds, void_label_id
    )


def build_photo_noise(options: RunOptions, dataset: Any, generator: nn.Module) -> PhotoNoise | None:
    """What turns photos into noise, measured on whole photos of the training set, where the options ask for it."""
    if not options.loss.photo_noise:
        return None
    if not generator.config.noise_dim:
        raise ValueError("loss.photo_noise needs noise, but generator.noise_dim is 0; --set loss.photo_noise=0")
    return PhotoNoise.fit(dataset, generator.config.noise_dim, generator.config.void_label_id)


def _feature_networks(
    section: str, specs: tuple[FeatureNetworkSpec, ...], files: tuple[str, ...] | None
) -> FeatureNetworks:
    """Frozen networks with weights from local files or packages, where these are given."""
    if files:
        if len(files) != len(specs):
            raise ValueError(f"--{section}_weights names {len(files)} files for {len(specs)} networks")
        specs = tuple(replace(spec, weights=file) for spec, file in zip(specs, files, strict=True))
    return FeatureNetworks(specs)

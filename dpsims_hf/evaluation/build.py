# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From names on the command line to measures: which protocol, which network."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..data import DatasetSpec
from .features import load_extractor
from .measures import (
    METRICS,
    ColorTextureMeasure,
    ColorTextureObserver,
    FeatureMeasure,
    FeatureObserver,
    GridArtifactsMeasure,
    GridArtifactsObserver,
    Measure,
    SegmentationMeasure,
    SegmentationObserver,
)
from .measures.many_images import DiversityMeasure, VarietyMeasure
from .metrics.diversity import (
    MS_SSIM_MINIMUM_SIDES,
    load_lpips,
    lpips_distances,
    ms_ssim_similarities,
    pytorch_ms_ssim_similarities,
)
from .protocols import CITYSCAPES_OBJECTS, PROTOCOLS, Protocol, get_protocol
from .segmenters import PUBLISHED, OwnSegmenter, PublishedSegmenter, Segmenter, load_segmenter


FEATURE_METRICS = ("fid", "kid", "precision_recall")
BACKBONE_METRICS = (*FEATURE_METRICS, "variety")
GIVEN_SEGMENTER = "given by the user: values compare only with values of the same segmenter and weights"


def choose_protocols(metrics: Sequence[str], named: Sequence[str] = (), features: str | None = None) -> list[Protocol]:
    """The protocols to measure: the named ones, and one for each metric that has no named one.

    Args:
        metrics: Keys of METRICS.
        named: Names of protocols; their metrics need not be listed.
        features: Decides between the feature protocols: "timm:..." never gives one that is called FID of Inception.

    Raises:
        ValueError: unknown names, or features without a protocol.
    """
    chosen = [get_protocol(name) for name in dict.fromkeys(named)]
    for metric in dict.fromkeys(metrics):
        if metric not in METRICS:
            raise ValueError(f"unknown metric {metric!r}; choose of {', '.join(METRICS)}")
        kind = METRICS[metric]
        if not any(protocol.metric == kind for protocol in chosen):
            chosen.append(_default_protocol(metric, features))
    if not chosen:
        raise ValueError(f"nothing to measure: name metrics ({', '.join(METRICS)}) or protocols")
    return chosen


def _default_protocol(metric: str, features: str | None) -> Protocol:
    kind = METRICS[metric]
    if kind == "semantic_consistency":
        return PROTOCOLS["miou_own"]  # the segmenter decides: `segmentation_measure`
    candidates = [protocol for protocol in PROTOCOLS.values() if protocol.metric == kind]
    if kind not in FEATURE_METRICS:
        return candidates[0]
    family = (features or "inception").split(":")[0]
    for protocol in candidates:
        if protocol.network.split(":")[0] == family:
            return protocol
    raise ValueError(f"no protocol for {metric} with features {features!r}; there are {_names(candidates)}")


def build_measures(
    protocols: Sequence[Protocol],
    spec: DatasetSpec,
    image_size: tuple[int, int],
    device: str | torch.device = "cpu",
    features: str | None = None,
    feature_weights: str | Path | None = None,
    feature_options: dict[str, Any] | None = None,
    segmenter: str | Path | Segmenter | None = None,
    images_per_label_map: int | None = None,
) -> list[Measure]:
    """Load the networks of protocols.

    Args:
        protocols: From `choose_protocols`.
        spec: Label space of the dataset.
        image_size: (height, width) of the images.
        device: Where the networks run.
        features: Network of the backbone protocols, instead of theirs ("timm:NAME").
        feature_weights: Its file, or that of Inception.
        feature_options: `backbone_kwargs`, `mean`, `std` for converted weights, with `features`.
        segmenter: Folder, Hub id or a loaded `Segmenter`, instead of the protocol's.
        images_per_label_map: Of the diversity protocols, instead of 20, and of variety, instead of 16; the protocol's
            name then says so.

    Raises:
        ValueError: weights that are not there or cannot be downloaded, or class counts that do not match.
    """
    observers: dict[str, FeatureObserver] = {}
    measures: list[Measure] = []
    labels = (spec.num_labels, spec.void_label_id)
    for protocol in protocols:
        if protocol.metric in BACKBONE_METRICS:
            if features and protocol.network.split(":")[0] == "timm" and features != protocol.network:
                protocol = _with_features(protocol, features)
            if protocol.network not in observers:
                options = protocol.network_kwargs() | (feature_options or {} if protocol.network == features else {})
                network = load_extractor(
                    protocol.network, _weights_for(protocol, protocols, feature_weights), device=device, **options
                )
                observers[protocol.network] = FeatureObserver(network)
            measures.append(_backbone_measure(protocol, observers[protocol.network], labels, images_per_label_map))
        elif protocol.metric == "semantic_consistency":
            measures.append(segmentation_measure(protocol, spec, segmenter, device))
        elif protocol.metric == "color_texture":
            measures.append(ColorTextureMeasure(protocol, ColorTextureObserver(), *labels))
        elif protocol.metric == "grid_artifacts":
            observer = GridArtifactsObserver(**protocol.metric_kwargs())
            measures.append(GridArtifactsMeasure(protocol, observer, *labels))
        else:
            measures.append(diversity_measure(protocol, image_size, device, images_per_label_map))
    return measures


def _with_features(protocol: Protocol, features: str) -> Protocol:
    """A backbone protocol with another network."""
    if protocol.metric == "variety" and not features.startswith("timm:"):
        raise ValueError(f"variety needs the levels of a timm network: --features timm:NAME, not {features}")
    return replace(protocol, network=features, network_options=())


def _backbone_measure(
    protocol: Protocol, observer: FeatureObserver, labels: tuple[int, int | None], images: int | None
) -> Measure:
    """A protocol on a loaded network; `labels` are their number and the void one."""
    if protocol.metric != "variety":
        return FeatureMeasure(protocol, observer)
    return VarietyMeasure(_with_images(protocol, images), observer.extractor, *labels)


def _weights_for(protocol: Protocol, protocols: Sequence[Protocol], weights: str | Path | None) -> str | Path | None:
    """One file of weights belongs to the backbone, if both kinds of features are measured."""
    backbones = any(other.network and other.network.startswith("timm:") for other in protocols)
    return weights if backbones == protocol.network.startswith("timm:") else None


def segmentation_measure(
    protocol: Protocol, spec: DatasetSpec, segmenter: Segmenter | str | Path | None, device: str | torch.device
) -> SegmentationMeasure:
    """A segmentation protocol with its segmenter, or with a given one; a given one decides what "own" is called."""
    if protocol.network is None:
        if segmenter is None:
            raise ValueError(
                "mean_iou needs a segmenter: --segmenter FOLDER_OR_ID (python -m dpsims_hf.evaluation.train_segmenter "
                f"trains one), or --protocols with one of {_names(_published_segmenters())}"
            )
        protocol = next((p for p in _published_segmenters() if p.network == str(segmenter)), protocol)
    if protocol.network in PUBLISHED and not isinstance(segmenter, Segmenter):
        if segmenter is None:
            raise ValueError(f"{protocol.name} needs --segmenter: {PUBLISHED[protocol.network].files}")
        segmenter = PublishedSegmenter(protocol.network, segmenter).to(device)
    if not isinstance(segmenter, Segmenter):
        options = {name: value for name, value in protocol.network_kwargs().items() if name != "kind"}
        segmenter = load_segmenter(segmenter or protocol.network, device=device, **options)
    if protocol.network is None and not isinstance(segmenter, OwnSegmenter):
        names = {"name": "miou_given", "title": "mIoU (given segmenter)", "source": GIVEN_SEGMENTER}
        protocol = replace(protocol, network_options=(), **names)
    mapping = protocol.label_mapping(spec.labels, segmenter.label_names, spec.void_label_id)
    objects = sorted({mapping.table[label] for label in object_labels(spec)} - {None})
    return SegmentationMeasure(protocol, SegmentationObserver(protocol.name, segmenter, mapping, objects or None))


def object_labels(spec: DatasetSpec) -> list[int]:
    """The labels of obj-mIoU: on Cityscapes the 11 of DP-GAN (Sec. 4.1, Table 2), elsewhere those with instances."""
    if spec.name.startswith("cityscapes"):
        return [label for label, name in enumerate(spec.labels) if name in CITYSCAPES_OBJECTS]
    return list(spec.thing_ids) if spec.stuff_ids else []


def diversity_measure(
    protocol: Protocol, image_size: tuple[int, int], device: str | torch.device, images: int | None
) -> DiversityMeasure:
    """LPIPS or MS-SSIM; another number of images or of scales is another protocol, and its name says so."""
    protocol = _with_images(protocol, images)
    if protocol.metric == "lpips":
        distances = partial(lpips_distances, network=load_lpips(device))
        return DiversityMeasure(protocol, distances, {"weights": "lpips package, net vgg, version 0.1"})
    if "implementation" in protocol.metric_kwargs():
        return DiversityMeasure(protocol, pytorch_ms_ssim_similarities, {"scales": 5})
    scales = sum(min(image_size) >= side for side in MS_SSIM_MINIMUM_SIDES)
    if 0 < scales < len(MS_SSIM_MINIMUM_SIDES):
        protocol = replace(protocol, name=f"{protocol.name}_{scales}_scales", title=f"{protocol.title}, small images")
    return DiversityMeasure(protocol, partial(ms_ssim_similarities, scales=max(1, scales)), {"scales": scales})


def _with_images(protocol: Protocol, images: int | None) -> Protocol:
    """A protocol with another number of images per label map, in its name too; None keeps its own."""
    usual = protocol.images_per_label_map
    if images is None or images == usual:
        return protocol
    if images < 2:
        raise ValueError(f"images_per_label_map={images}: {protocol.metric} needs at least 2")
    rule = f"{images} generated images per label map: mean over all pairs, then over label maps"
    if protocol.metric == "variety":
        rule = protocol.images.replace(f"{usual} ", f"{images} ").replace(f"{usual - 1} ", f"{images - 1} ")
    return replace(protocol, name=f"{protocol.name}_{images}_images", images=rule, images_per_label_map=images)


def _published_segmenters() -> list[Protocol]:
    return [p for p in PROTOCOLS.values() if p.metric == "semantic_consistency" and p.network is not None]


def _names(protocols: Sequence[Protocol]) -> str:
    return ", ".join(protocol.name for protocol in protocols)


__all__ = ["build_measures", "choose_protocols"]

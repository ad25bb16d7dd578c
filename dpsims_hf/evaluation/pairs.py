# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The evaluation of a model on a handful of pairs, for user interfaces."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..data import DatasetSpec, JointTransform, SemanticImageDataset
from ..image_processing_files import read_photo
from ..image_processing_label_files import save_ids
from .build import build_measures, choose_protocols, segmentation_measure
from .discriminator_judges import (
    DISCRIMINATOR_FID,
    DISCRIMINATOR_PROTOCOL,
    OWN_PROTOCOLS,
    DiscriminatorFeatures,
    DiscriminatorSegmenter,
)
from .measures import FeatureMeasure, FeatureObserver, Measure, SegmentationMeasure
from .measures.many_images import DiversityMeasure
from .protocols import PROTOCOLS
from .report.examples import draw_examples
from .runner import Evaluation, Progress, describe, evaluate_model, summarize
from .sources import GeneratorSource, file_stem


PAIR_IMAGES = 4  # images per label map for diversity in a user interface


def evaluate_pairs(
    pipe: Any,
    pairs: Sequence[tuple[Any, Any]],
    metrics: Sequence[str],
    seeds: Sequence[int] = (0,),
    progress: Progress | None = None,
    names: Sequence[str] | None = None,
    batch_size: int = 8,
    **networks: Any,
) -> dict[str, Any]:
    """Measure a model on a handful of label maps, with their photos or without.

    Args:
        pipe: A `SemanticImageSynthesisPipeline`.
        pairs: (photo, label map), each a path, PIL image or array as the pipeline's processor takes them; a pair has
            one size, and all are brought to the model's size. Without photos (None in every pair) there is no ceiling
            of mIoU, and no measure that compares with photos.
        metrics: Of the command, and of OWN_PROTOCOLS. `mean_iou` without `segmenter` asks the model's own
            discriminator.
        seeds: Of the noise.
        progress: Wraps an iterable as tqdm does: `gr.Progress().tqdm`.
        names: Of the pairs, for captions.
        batch_size: Images per chunk, and per step of the progress.
        networks: `features`, `feature_weights`, `feature_options`, `segmenter`, `images_per_label_map` of
            `build_measures`.

    Returns:
        The content of results.json; "label_maps": one row per pair with its name and its own values for the first
        seed by protocol; and "examples": one row per pair with the pictures of `draw_grid`'s columns and a caption.

    Raises:
        ValueError: no pairs, wrong files, networks that cannot be loaded, or measures that need photos without any.
    """
    if not pairs:
        raise ValueError("no pairs: give at least one photo with its label map")
    has_photos = any(photo is not None for photo, _ in pairs)
    dataset = pairs_dataset(pipe, pairs, names)
    device = pipe.generator_model.device
    measures = _pair_measures(pipe, dataset, metrics, **networks)
    means = {m.protocol.name: _keep_means(m) for m in measures if isinstance(m, DiversityMeasure)}
    evaluation = Evaluation(dataset, measures, range(len(dataset)), batch_size, device=device, progress=progress)
    source = GeneratorSource(pipe.generator_model, pipe.processor)
    results, records = (evaluate_model if has_photos else _evaluate_label_maps)(evaluation, source, seeds)
    observer = next((m.observer for m in measures if isinstance(m, SegmentationMeasure)), None)
    scores = None if observer is None else records[observer.key].scores
    results["label_maps"] = [
        {"name": file_stem(dataset, row)} | _values_of_row(measures, records, means, row) for row in evaluation.rows
    ]
    results["examples"] = draw_examples(evaluation, source, seeds[0], evaluation.rows, observer, scores)
    if not has_photos:
        for example in results["examples"]:
            del example["real"]
    return results


def _pair_measures(pipe: Any, dataset: SemanticImageDataset, metrics: Sequence[str], **networks: Any) -> list[Measure]:
    """Measures of the command, and those that ask the model's own discriminator."""
    spec, device = dataset.spec, pipe.generator_model.device
    own = [OWN_PROTOCOLS[name] for name in metrics if name in OWN_PROTOCOLS]
    others = [name for name in metrics if name not in OWN_PROTOCOLS]
    protocols = choose_protocols(others, features=networks.get("features")) if others or not own else []
    if networks.get("segmenter") is None and PROTOCOLS["miou_own"] in protocols:
        protocols.remove(PROTOCOLS["miou_own"])
        own.append(DISCRIMINATOR_PROTOCOL)
    measures: list[Measure] = []
    for protocol in dict.fromkeys(own):
        if protocol is DISCRIMINATOR_FID:
            measures.append(FeatureMeasure(protocol, FeatureObserver(DiscriminatorFeatures(pipe))))
        else:
            measures.append(segmentation_measure(protocol, spec, DiscriminatorSegmenter(pipe), device))
    networks = {"images_per_label_map": PAIR_IMAGES} | networks
    return measures + build_measures(protocols, spec, dataset.transform.size, device, **networks)


def _evaluate_label_maps(
    evaluation: Evaluation, source: GeneratorSource, seeds: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`evaluate_model` without photos."""
    if not seeds:
        raise ValueError("no seeds: give at least one")
    for measure in evaluation.measures:
        if isinstance(measure, SegmentationMeasure):
            measure.needs_real = False  # only its ceiling does
        if measure.needs_real:
            raise ValueError(
                f"{measure.protocol.title} compares with real photos: give photos with their label maps, or leave "
                "it out"
            )
    scored = [evaluation.score(source, seed) for seed in seeds]
    results = describe(evaluation, source, seeds) | {"photos": "none: label maps alone"}
    results["protocols"] = {
        m.protocol.name: {"metric": m.protocol.metric, "facts": m.facts()}
        | summarize([outcomes[m.protocol.name] for outcomes, _ in scored])
        for m in evaluation.measures
    }
    results["throughput"] = evaluation.watch.summary(evaluation.images_seen)
    return results, scored[0][1]


def _keep_means(measure: DiversityMeasure) -> list[float]:
    """The list that will hold the mean over pairs of each label map, in the order of measuring."""
    distances, means = measure.distances, []

    def remember(images: torch.Tensor) -> torch.Tensor:
        values = distances(images)
        means.append(float(values.mean()))
        return values

    measure.distances = remember
    return means


def _values_of_row(
    measures: Sequence[Measure], records: dict[str, Any], means: dict[str, list[float]], row: int
) -> dict[str, dict[str, float]]:
    """One label map's own values by protocol."""
    values = {}
    for measure in measures:
        name = measure.protocol.name
        if name in means:
            values[name] = {measure.protocol.metric: means[name][row]}
        elif isinstance(measure, SegmentationMeasure) and row in records[measure.observer.key].scores:
            values[name] = dict(records[measure.observer.key].scores[row])
    return values


def pairs_dataset(
    pipe: Any, pairs: Sequence[tuple[Any, Any]], names: Sequence[str] | None = None
) -> SemanticImageDataset:
    """Pairs as a dataset in the label space and at the size of a pipeline's model; black where there is no photo."""
    import datasets

    processor = pipe.processor
    spec = DatasetSpec(
        name="pairs",
        labels=tuple(processor.id2label.values()),
        palette=tuple(tuple(color) for color in processor.palette),
        void_label_id=processor.void_label_id,
    )
    label_maps = [processor.decode_label_map(labels, f"label map {n}") for n, (_, labels) in enumerate(pairs, 1)]
    photos = [
        np.zeros((*label_map.shape, 3), dtype=np.uint8) if photo is None else read_photo(photo, f"photo {number}")
        for number, ((photo, _), label_map) in enumerate(zip(pairs, label_maps, strict=True), 1)
    ]
    paths = [None] * len(pairs) if names is None else [f"{name}.png" for name in names]
    table = datasets.Dataset.from_dict(
        {
            "image": [{"path": None, "bytes": _png(photo)} for photo in photos],
            "label_map": [
                {"path": path, "bytes": _png_of_ids(label_map)}
                for path, label_map in zip(paths, label_maps, strict=True)
            ],
        }
    )
    transform = JointTransform(tuple(pipe.generator_model.config.image_size), horizontal_flip=0.0)
    return SemanticImageDataset(table, spec, transform, name="pairs")


def _png_of_ids(label_map: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    save_ids(label_map, buffer)
    return buffer.getvalue()


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


__all__ = ["OWN_PROTOCOLS", "evaluate_pairs", "pairs_dataset"]

"""The evaluation inside other programs: during training, and for a handful of pairs in a user interface."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn

from ..data import DatasetSpec, JointTransform, SemanticImageDataset
from ..image_processing_files import read_photo
from ..modeling_outputs import DiscriminatorOutput
from .build import build_measures, choose_protocols, segmentation_measure
from .examples import draw_examples
from .features import FeatureExtractor, tensors_sha256
from .many_images import DiversityMeasure
from .measures import FeatureMeasure, FeatureObserver, Measure, SegmentationMeasure
from .protocols import PROTOCOLS
from .report import HEADLINES
from .runner import Evaluation, Progress, choose_rows, describe, evaluate_model, summarize
from .segmenters import LOGIT_RULE, Segmenter
from .sources import GeneratorSource, file_stem


PAIR_IMAGES = 4  # images per label map for diversity in a user interface
DISCRIMINATOR_PROTOCOL = replace(
    PROTOCOLS["miou_own"],
    name="miou_discriminator",
    title="mIoU (the model's own discriminator)",
    network="discriminator",
    network_options=(),
    source="ours: the discriminator judges the generator that it trained; read it against real photos only",
)
DISCRIMINATOR_FID = replace(
    PROTOCOLS["fid_backbone"],
    name="fid_discriminator",
    title="FID of the discriminator's backbone",
    network="discriminator",
    network_options=(),
    source="ours: the generator was trained against these features, which flatters it; no value of another network "
    "compares",
)
OWN_PROTOCOLS = {protocol.name: protocol for protocol in (DISCRIMINATOR_PROTOCOL, DISCRIMINATOR_FID)}


def prepare_validation(
    dataset: SemanticImageDataset,
    metrics: Sequence[str],
    max_images: int | None = None,
    batch_size: int = 8,
    accelerator: Accelerator | None = None,
    **networks: Any,
) -> Evaluation:
    """Load what `validate` needs, once.

    Args:
        dataset: Validation photos and label maps at the size of the images, not augmented.
        metrics: Of the command: fid, kid, mean_iou, ...
        max_images: Label maps, spread evenly over the set; None takes all.
        batch_size: Images per chunk.
        accelerator: Of the training run.
        networks: `features`, `feature_weights`, `feature_options`, `segmenter`, `images_per_label_map` of
            `build_measures`.
    """
    protocols = choose_protocols(metrics, features=networks.get("features"))
    device = torch.device("cpu") if accelerator is None else accelerator.device
    measures = build_measures(protocols, dataset.spec, dataset.transform.size, device, **networks)
    return Evaluation(dataset, measures, choose_rows(len(dataset), max_images), batch_size, accelerator)


def validate(evaluation: Evaluation, generator: nn.Module, seed: int = 0) -> dict[str, float]:
    """Measure a generator in training, the averaged one as a rule, by the code of the command.

    Every process calls it with the same weights. The global random state is left alone; the generator stays in eval
    mode. The real photos are looked at in the first call only.

    Args:
        evaluation: From `prepare_validation`.
        generator: label_map, noise -> images.
        seed: Of the noise; keep it, so that values of a run compare.

    Returns:
        "PROTOCOL/VALUE" -> number on the main process, {} on others; the real photos' own value, where it is not the
        best by definition, stands under "PROTOCOL/VALUE_real_photos".
    """
    source = GeneratorSource(generator, evaluation.dataset.spec.image_processor())
    outcomes, _ = evaluation.score(source, seed, "validation")
    found = {}
    for m in evaluation.measures if outcomes else ():
        name = m.protocol.name
        reference = m.reference(evaluation.real) if m.needs_real else None
        sides = {"": outcomes[name]} | ({} if reference is None else {"_real_photos": reference})
        for value in HEADLINES:
            for suffix, outcome in sides.items():
                if outcome.values.get(value) is not None:
                    found[f"{name}/{value}{suffix}"] = outcome.values[value]
    return found


# -- pairs ------------------------------------------------------------------------------------------------------------


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
    """Pairs as a data set in the label space and at the size of a pipeline's model; black where there is no photo."""
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
                {"path": path, "bytes": _png(label_map.astype(np.uint16))}
                for path, label_map in zip(paths, label_maps, strict=True)
            ],
        }
    )
    transform = JointTransform(tuple(pipe.generator_model.config.image_size), horizontal_flip=0.0)
    return SemanticImageDataset(table, spec, transform, name="pairs")


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


def _ready_discriminator(pipe: Any) -> nn.Module:
    network = pipe.load_discriminator()
    if not getattr(network, "backbone_ready", True):
        raise ValueError("the checkpoint's discriminator has no backbone weights: name a segmenter")
    return network


class DiscriminatorSegmenter(Segmenter):
    """The discriminator of a checkpoint as a segmenter (OASIS, App. B.4): needs no download, but is no neutral judge.

    Args:
        pipe: Its pipeline.

    Raises:
        ValueError: the checkpoint has no discriminator, or its backbone has no weights.
    """

    def __init__(self, pipe: Any) -> None:
        network = _ready_discriminator(pipe)
        facts = {"scores": LOGIT_RULE, "weights": "of the checkpoint", "weights_sha256": tensors_sha256(network)}
        super().__init__("discriminator", list(pipe.processor.id2label.values()), None, facts)
        self.network = network
        self.train(False)

    def scores(self, values: torch.Tensor) -> Any:
        """Scores per image, "fake" left out; see `Segmenter.scores`."""
        output: DiscriminatorOutput = self.network(2 * values - 1)
        yield from output.segmentation_logits[:, :-1]


class DiscriminatorFeatures(FeatureExtractor):
    """The frozen backbone of a checkpoint's discriminator: its deepest level, averaged over the image.

    Args:
        pipe: Its pipeline.

    Raises:
        ValueError: the checkpoint has no discriminator, or one without a backbone, or without its weights.
    """

    def __init__(self, pipe: Any) -> None:
        backbone = getattr(_ready_discriminator(pipe), "backbone", None)
        if backbone is None:
            raise ValueError(
                "the checkpoint's discriminator has no pre-trained backbone (those of DP-SIMS have one): measure FID "
                "with another network"
            )
        scaling = f"[0, 1], mean {backbone.mean}, std {backbone.std}; deepest level averaged over the image"
        digest = tensors_sha256(backbone.network)
        super().__init__(
            f"discriminator's {backbone.name}", backbone.channels[-1], "of the checkpoint", digest, "none", scaling
        )
        self.network = backbone

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """Averages of the deepest level (batch, channels)."""
        return self.network(images.float() / 127.5 - 1)[-1].mean(dim=(2, 3))


__all__ = [
    "OWN_PROTOCOLS",
    "DiscriminatorFeatures",
    "DiscriminatorSegmenter",
    "evaluate_pairs",
    "pairs_dataset",
    "prepare_validation",
    "validate",
]

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
from .build import build_measures, choose_protocols
from .examples import draw_examples
from .features import tensors_sha256
from .measures import SegmentationMeasure
from .protocols import PROTOCOLS
from .report import HEADLINES
from .runner import Evaluation, Progress, choose_rows, evaluate_model
from .segmenters import LOGIT_RULE, Segmenter
from .sources import GeneratorSource


PAIR_IMAGES = 4  # images per label map for diversity in a user interface
DISCRIMINATOR_PROTOCOL = replace(
    PROTOCOLS["miou_own"],
    name="miou_discriminator",
    title="mIoU (the model's own discriminator)",
    network="discriminator",
    network_options=(),
    source="ours: the discriminator judges the generator that it trained; read it against real photos only",
)


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
        "PROTOCOL/VALUE" -> number on the main process, {} on others.
    """
    outcomes, _ = evaluation.score(GeneratorSource(generator, evaluation.dataset.processor), seed, "validation")
    return {
        f"{protocol}/{value}": outcome.values[value]
        for protocol, outcome in outcomes.items()
        for value in HEADLINES
        if outcome.values.get(value) is not None
    }


# -- pairs ------------------------------------------------------------------------------------------------------------


def evaluate_pairs(
    pipe: Any,
    pairs: Sequence[tuple[Any, Any]],
    metrics: Sequence[str],
    seeds: Sequence[int] = (0,),
    progress: Progress | None = None,
    **networks: Any,
) -> dict[str, Any]:
    """Measure a model on a handful of photos with their label maps.

    Args:
        pipe: A `SemanticImageSynthesisPipeline`.
        pairs: (photo, label map), each a path, PIL image or array as the pipeline's processor takes them; a pair has
            one size, and all are brought to the model's size.
        metrics: Of the command. `mean_iou` without `segmenter` asks the model's own discriminator.
        seeds: Of the noise.
        progress: Wraps an iterable as tqdm does: `gr.Progress().tqdm`.
        networks: `features`, `feature_weights`, `feature_options`, `segmenter`, `images_per_label_map` of
            `build_measures`.

    Returns:
        The content of results.json, and "examples": one row per pair with the pictures of `draw_grid`'s columns and a
        caption.

    Raises:
        ValueError: no pairs, wrong files, or networks that cannot be loaded.
    """
    if not pairs:
        raise ValueError("no pairs: give at least one photo with its label map")
    device = pipe.generator_model.device
    dataset = pairs_dataset(pipe, pairs)
    protocols = choose_protocols(metrics, features=networks.get("features"))
    networks = {"images_per_label_map": PAIR_IMAGES} | networks
    if networks.get("segmenter") is None and PROTOCOLS["miou_own"] in protocols:
        networks["segmenter"] = DiscriminatorSegmenter(pipe)
        protocols = [DISCRIMINATOR_PROTOCOL if p is PROTOCOLS["miou_own"] else p for p in protocols]
    measures = build_measures(protocols, dataset.spec, dataset.transform.size, device, **networks)
    evaluation = Evaluation(dataset, measures, range(len(dataset)), device=device, progress=progress)
    source = GeneratorSource(pipe.generator_model, pipe.processor)
    results, records = evaluate_model(evaluation, source, seeds)
    observer = next((m.observer for m in measures if isinstance(m, SegmentationMeasure)), None)
    scores = None if observer is None else records[observer.key].scores
    results["examples"] = draw_examples(evaluation, source, seeds[0], evaluation.rows, observer, scores)
    return results


def pairs_dataset(pipe: Any, pairs: Sequence[tuple[Any, Any]]) -> SemanticImageDataset:
    """Pairs as a data set in the label space and at the size of a pipeline's model."""
    import datasets

    processor = pipe.processor
    spec = DatasetSpec(
        name="pairs",
        labels=tuple(processor.id2label.values()),
        palette=tuple(tuple(color) for color in processor.palette),
        void_label_id=processor.void_label_id,
    )
    photos = [read_photo(photo, f"photo {number}") for number, (photo, _) in enumerate(pairs, 1)]
    label_maps = [processor.decode_label_map(labels, f"label map {n}") for n, (_, labels) in enumerate(pairs, 1)]
    table = datasets.Dataset.from_dict(
        {
            "image": [{"path": None, "bytes": _png(photo)} for photo in photos],
            "label_map": [{"path": None, "bytes": _png(label_map.astype(np.uint16))} for label_map in label_maps],
        }
    )
    transform = JointTransform(tuple(pipe.generator_model.config.image_size), horizontal_flip=0.0)
    return SemanticImageDataset(table, spec, transform, name="pairs")


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


class DiscriminatorSegmenter(Segmenter):
    """The discriminator of a checkpoint as a segmenter (OASIS, App. B.4): needs no download, but is no neutral judge.

    Args:
        pipe: Its pipeline.

    Raises:
        ValueError: the checkpoint has no discriminator, or its backbone has no weights.
    """

    def __init__(self, pipe: Any) -> None:
        network = pipe.load_discriminator()
        if not getattr(network, "backbone_ready", True):
            raise ValueError("the checkpoint's discriminator has no backbone weights: name a segmenter")
        facts = {"scores": LOGIT_RULE, "weights": "of the checkpoint", "weights_sha256": tensors_sha256(network)}
        super().__init__("discriminator", list(pipe.processor.id2label.values()), None, facts)
        self.network = network
        self.train(False)

    def scores(self, values: torch.Tensor) -> Any:
        """Scores per image, "fake" left out; see `Segmenter.scores`."""
        output: DiscriminatorOutput = self.network(2 * values - 1)
        yield from output.segmentation_logits[:, :-1]


__all__ = ["DiscriminatorSegmenter", "evaluate_pairs", "pairs_dataset", "prepare_validation", "validate"]

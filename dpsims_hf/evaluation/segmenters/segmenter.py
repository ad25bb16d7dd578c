# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Networks that say which class each pixel of an 8-bit image shows.

From transformers any semantic segmentation model, Mask2Former and MaskFormer; else the folder that `train_segmenter`
writes. The processors of such models bring everything to 384x384 by default: only their mean and deviation are used.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from ...configuration_limits import SEGMENTER_FILE
from ...configuration_rules import read_json
from ...modeling_checkpoint_files import stored_numbers
from ..features import check_8bit, file_sha256, full_precision, tensors_sha256
from .foreign_models import MASK_MODELS, load_foreign_segmenter, normalisation_of
from .network import SegmentationNetwork


SIZE_DIVISOR = 32  # sides of what a network sees: every stage halves exactly
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
OWN_FORMAT = "dpsims_hf segmenter"
KINDS = ("transformers", "own")
MASK_RULE = "sum over queries of class probability (null class left out) x mask probability, at the input's size"
LOGIT_RULE = "the model's logits"


class Segmenter(nn.Module):
    """A frozen segmenter. Always in eval mode.

    Images are resized to a stated short side, scores back to the images' size, and the best class taken there.

    Args:
        name: Part of every result.
        label_names: Of its classes, in the order of its ids.
        short_side: Short side of what the network sees, in pixels; None keeps the images' size. Both sides are then
            rounded to multiples of 32.
        facts: What else a score depends on.
    """

    def __init__(self, name: str, label_names: Sequence[str], short_side: int | None, facts: dict[str, Any]) -> None:
        super().__init__()
        if short_side is not None and short_side < SIZE_DIVISOR:
            raise ValueError(f"short_side={short_side}: segmenters need at least {SIZE_DIVISOR} pixels")
        self.name, self.label_names, self.short_side = name, list(label_names), short_side
        self._facts = facts

    def facts(self) -> dict[str, Any]:
        """segmenter, num_classes, short_side, resize, scores (how they are made), weights, weights_sha256 and more."""
        target = "the images' own size" if self.short_side is None else f"short side {self.short_side}"
        return {
            "segmenter": self.name,
            "num_classes": len(self.label_names),
            "short_side": self.short_side,
            "resize": f"{target}, sides rounded to multiples of {SIZE_DIVISOR}, bilinear, antialiased; scores back to "
            "the images' size, bilinear",
        } | self._facts

    def train(self, mode: bool = True) -> "Segmenter":
        """Stay in eval mode whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (batch, 3, height, width) -> class ids of `label_names`, int64 (batch, height, width)."""
        check_8bit(images)
        size = images.shape[-2:]
        seen = network_size(*size, self.short_side)
        with full_precision(images.device.type):
            values = F.interpolate(images.float() / 255, seen, mode="bilinear", align_corners=False, antialias=True)
            # One image at a time: the scores of 150 classes at full size are large.
            full = (F.interpolate(s[None], size, mode="bilinear", align_corners=False) for s in self.scores(values))
            return torch.cat([scores.argmax(dim=1) for scores in full])

    def scores(self, values: torch.Tensor) -> Iterator[torch.Tensor]:
        """For each of the images (batch, 3, height, width) in [0, 1], scores (classes, any height, any width)."""
        raise NotImplementedError


def network_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """(height, width) that the network sees: aspect kept as far as multiples of 32 allow."""
    scale = 1.0 if short_side is None else short_side / min(height, width)
    return tuple(max(1, round(side * scale / SIZE_DIVISOR)) * SIZE_DIVISOR for side in (height, width))


# -- transformers -----------------------------------------------------------------------------------------------------


class TransformersSegmenter(Segmenter):
    """A semantic segmentation model (SegFormer, UperNet, BEiT, ...) or one of masks with classes (Mask2Former,
    MaskFormer).

    Args:
        source: Hub id or local folder.
        short_side: See `Segmenter`.
        revision: Commit, branch or tag of a repository; None takes the newest.
    """

    def __init__(self, source: str, short_side: int | None = None, revision: str | None = None) -> None:
        try:
            model, loaded = load_foreign_segmenter(source, revision)
            mean, std = normalisation_of(source, loaded["revision"])
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{source}: no segmentation model of transformers here or on the Hub ({reason}); download it, and "
                "give its folder"
            ) from error
        lost = sorted(loaded["missing_keys"] & dict(model.named_parameters()).keys())
        if lost:
            raise ValueError(
                f"{source} has no weight {lost[0]!r} ({len(lost)} are missing): it is not trained to segment"
            )
        names = [model.config.id2label[index] for index in range(len(model.config.id2label))]
        masks = model.config.model_type in MASK_MODELS
        facts = {
            "scores": MASK_RULE if masks else LOGIT_RULE,
            "architecture": type(model).__name__,
            "weights": Path(source).absolute().name if Path(source).is_dir() else source,
            "weights_sha256": tensors_sha256(model),
        }
        super().__init__(facts["weights"], names, short_side, facts)
        self.model = model.requires_grad_(False)
        self.mean, self.std = mean, std
        self.train(False)

    def scores(self, values: torch.Tensor) -> Iterator[torch.Tensor]:
        """Scores per image, see `Segmenter.scores`."""
        mean, std = (values.new_tensor(numbers).view(1, 3, 1, 1) for numbers in (self.mean, self.std))
        outputs = self.model(pixel_values=(values - mean) / std)
        if "masks_queries_logits" not in outputs:
            yield from outputs.logits
            return
        for classes, masks in zip(outputs.class_queries_logits, outputs.masks_queries_logits, strict=True):
            # As `post_process_semantic_segmentation`, but for its fixed 384x384, which would distort other aspects.
            masks = F.interpolate(masks[None], values.shape[-2:], mode="bilinear", align_corners=False)[0].sigmoid()
            yield torch.einsum("qc,qhw->chw", classes.softmax(dim=-1)[:, :-1], masks)


# -- own segmenter ----------------------------------------------------------------------------------------------------


class OwnSegmenter(Segmenter):
    """What `python -m dpsims_hf.evaluation.train_segmenter` saved; it needs no download.

    Args:
        folder: With config.json and model.safetensors.
        short_side: See `Segmenter`; None takes that of the training.
    """

    def __init__(self, folder: str | Path, short_side: int | None = None) -> None:
        folder = Path(folder)
        try:
            config = read_json(folder / CONFIG_FILE, CONFIG_FILE)
            SEGMENTER_FILE.check("", config)
            if config["format"] != OWN_FORMAT:
                raise ValueError(f"format {config['format']!r}")
            names, size = config["label_names"], config["size"]
            _check_size(config, stored_numbers([str(folder / WEIGHTS_FILE)]))
            network = SegmentationNetwork(num_labels=len(names), **config["network"])
            network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except (OSError, SafetensorError, ValueError, RuntimeError) as error:
            raise ValueError(f"{folder}: not a folder of train_segmenter ({str(error).splitlines()[0]})") from error
        facts = {
            "scores": LOGIT_RULE,
            "architecture": f"timm {config['network']['backbone']} with a light head, trained by this project",
            "weights": folder.absolute().name,
            "weights_sha256": file_sha256(folder / WEIGHTS_FILE),
            "training": config["training"],
            "val": config["val"],
        }
        super().__init__(f"own:{facts['weights']}", names, short_side or min(size), facts)
        self.network = network.requires_grad_(False)
        self.train(False)

    def scores(self, values: torch.Tensor) -> Iterator[torch.Tensor]:
        """Scores per image, see `Segmenter.scores`."""
        yield from self.network(2 * values - 1)


def _check_size(config: Mapping[str, Any], stored: int) -> None:
    """Refuse a network that its file has no weights for, before it takes memory."""
    with torch.device("meta"):
        network = SegmentationNetwork(num_labels=len(config["label_names"]), **config["network"])
    needed = sum(parameter.numel() for parameter in network.parameters())
    if needed > stored:
        raise ValueError(f"{CONFIG_FILE} asks for {needed:,} parameters, but {WEIGHTS_FILE} holds {stored:,} numbers")


def load_segmenter(
    source: str | Path,
    kind: str | None = None,
    short_side: int | None = None,
    device: str | torch.device = "cpu",
    revision: str | None = None,
) -> Segmenter:
    """A segmenter from the Hub or a local folder.

    Args:
        source: Hub id or folder.
        kind: "transformers" or "own"; None looks into the folder's config.json.
        short_side: Short side of what the network sees; None: the images' own size, for "own" that of its training.
        device: Where it runs.
        revision: Commit, branch or tag of a repository; None takes the newest.

    Raises:
        ValueError: nothing to load there, or a model that is no segmenter.
    """
    source = str(source)
    if kind is None:
        kind = "own" if _is_own(Path(source)) else "transformers"
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: choose one of {', '.join(KINDS)}")
    if kind == "own":
        return OwnSegmenter(source, short_side).to(device)
    return TransformersSegmenter(source, short_side, revision).to(device)


def _is_own(folder: Path) -> bool:
    try:
        return read_json(folder / CONFIG_FILE).get("format") == OWN_FORMAT
    except ValueError:
        return False


__all__ = ["OwnSegmenter", "Segmenter", "TransformersSegmenter", "load_segmenter", "network_size"]

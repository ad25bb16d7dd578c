# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From a photo to a label map in the model's classes: by the checkpoint's discriminator, or by another segmenter."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ...evaluation.segmenters import Segmenter, load_segmenter
from ...image_processing_files import listing, resize_photo
from ...image_processing_semantic import SemanticImageProcessor
from ...modeling_backbone_weights import package_remedy
from ..models.budget import Cost, budget_from_environment
from ..models.download import check_download
from ..models.library import LoadedModel, working_size
from ..models.turns import image_turn, in_request
from ..uploads.color_tables import ClassNames


SURE = 0.6  # probability of a class from which the discriminator counts as sure


class Proposal(NamedTuple):
    """What a segmenter sees.

    Args:
        label_map: (height, width) int64, the model's class ids, at a legal size of the model.
        photo: the photo at this size.
        notes: what the reader should know, one sentence each.
        doubts: (height, width) bool, where the network was not sure; None if it does not say.
    """

    label_map: np.ndarray
    photo: Image.Image
    notes: tuple[str, ...] = ()
    doubts: np.ndarray | None = None


def discriminator_of(model: LoadedModel) -> Any:
    """The checkpoint's discriminator, ready to label photos.

    Raises:
        ValueError: it has none, one that labels no pixels, or its backbone's weights are not in the checkpoint.
    """
    try:
        config = None if model.pipe.discriminator is not None else model.pipe.stored_discriminator_config()
        is_ready = getattr(config, "backbone_in_checkpoint", True)
        # A backbone without weights is useless here, and building it would cost as much memory as its config says.
        network = model.pipe.load_discriminator() if is_ready else None
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if "has no discriminator" in reason:
            raise ValueError(f"{model.name} has no discriminator: choose another segmenter or model") from error
        reason = reason.replace(model.source, model.name)[:300]
        raise ValueError(
            f"the discriminator of {model.name} cannot be used ({reason}): choose another segmenter or model"
        ) from error
    if network is None or not getattr(network, "backbone_ready", True):
        backbone = getattr(network.config if config is None else config, "backbone", "its backbone")
        raise ValueError(
            f"the discriminator of {model.name} came without the weights of {backbone}: choose another segmenter or "
            "model, or add them with python -m dpsims_hf.hub export CHECKPOINT DIR --backbone_weights FILE, which "
            f"is a safetensors file{package_remedy(backbone)}"
        )
    if not getattr(network, "labels_pixels", True):
        raise ValueError(
            f"the discriminator of {model.name} judges patches and labels no pixels: choose another segmenter or model"
        )
    return network


def propose(model: LoadedModel, photo: Image.Image, segmenter: Segmenter | None = None) -> Proposal:
    """Label a photo.

    Args:
        model: whose classes are wanted.
        photo: RGB, any size; it is brought to the model's working size.
        segmenter: None asks the checkpoint's discriminator.

    Raises:
        ValueError: no discriminator, or a segmenter without a class of the model.
    """
    divisor = _photo_divisor(model, segmenter)
    height, width = working_size((photo.height, photo.width), model.training_size, divisor)
    if in_request():
        _segmenting_cost(model, segmenter, divisor).check((height, width))
    small = Image.fromarray(resize_photo(np.asarray(photo), height, width))
    if segmenter is None:
        with image_turn():
            label_map = model.pipe.segment(small, size={"height": height, "width": width}).numpy()
        doubts = _confidence(model, small) < SURE
        words = f"The discriminator is sure ({SURE:.0%} and more) of {1 - doubts.mean():.0%} of it"
        return Proposal(label_map, small, (f"{words}; the rest is hatched.",) if doubts.any() else (), doubts)
    device = next(segmenter.parameters()).device
    with image_turn():
        seen = segmenter(torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].to(device))[0].cpu().numpy()
    label_map, notes = translate(seen, segmenter.label_names, model.processor)
    return Proposal(label_map, small, notes)


def proposal_size(model: LoadedModel, photo: Image.Image) -> tuple[int, int]:
    """(height, width) to which `propose` brings a photo for the discriminator; ValueError if there is none."""
    return working_size((photo.height, photo.width), model.training_size, _photo_divisor(model, None))


def _photo_divisor(model: LoadedModel, segmenter: Segmenter | None) -> int:
    divisor = model.processor.size_divisor
    return divisor if segmenter is not None else math.lcm(divisor, _divisor(discriminator_of(model)))


@torch.no_grad()
def _confidence(model: LoadedModel, photo: Image.Image) -> np.ndarray:
    """(height, width) float32 in [0, 1]: the probability of the likeliest class, the channel "fake" left out."""
    discriminator = discriminator_of(model).eval()
    size = {"height": photo.height, "width": photo.width}
    pixels = model.processor(images=photo, size=size)["pixel_values"].to(discriminator.device)
    with image_turn():
        logits = discriminator(pixels).segmentation_logits[0, :-1].float()
    return logits.softmax(dim=0).amax(dim=0).cpu().numpy()


def _segmenting_cost(model: LoadedModel, segmenter: Segmenter | None, divisor: int) -> Cost:
    """Measured once for each network; it is kept at the one that labels."""
    owner = model if segmenter is None else segmenter
    if "segmenting_cost" not in vars(owner):

        def run(height: int, width: int) -> None:
            if segmenter is None:
                blank = Image.new("RGB", (width, height))
                model.pipe.segment(blank, size={"height": height, "width": width})
            else:
                device = next(segmenter.parameters()).device
                segmenter(torch.zeros(1, 3, height, width, dtype=torch.uint8, device=device)).cpu()

        owner.segmenting_cost = Cost(run, model.training_size, divisor, model.budget)
    return owner.segmenting_cost


def _divisor(discriminator: Any) -> int:
    """Sides of its images are multiples of it."""
    strides = getattr(discriminator, "strides", None)  # of a pre-trained backbone
    return strides[0] if strides else discriminator.config.size_divisor


def translate(
    seen: np.ndarray, names: Sequence[str], processor: SemanticImageProcessor
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Classes of a segmenter -> classes of the model by their names.

    Args:
        seen: (height, width) ids in 0 .. len(names) - 1.
        names: of the segmenter's classes.
        processor: the model's.

    Returns:
        (height, width) int64, and sentences. Pixels without a class become void, or, without a void class, what the
        nearest pixel with a class is.

    Raises:
        ValueError: no pixel has a class of the model.
    """
    known = ClassNames(processor)
    table = [known.find(name) for name in names]
    lookup = np.array([-1 if found is None else found for found in table], dtype=np.int64)
    label_map, shares = lookup[seen], np.bincount(seen.ravel(), minlength=len(names)) / seen.size
    lost = [index for index in np.argsort(-shares, kind="stable").tolist() if shares[index] and table[index] is None]
    if not lost:
        return label_map, ()
    unknown = label_map < 0
    if unknown.all():
        raise ValueError(
            f"the segmenter saw {listing([names[index] for index in lost], 5)}, and the model has no class of these "
            f"names; it has {listing(list(processor.id2label.values()), 8)}"
        )
    words = listing([f"{names[index]} ({100 * shares[index]:.1f} %)" for index in lost], 6)
    if processor.void_label_id is not None:
        label_map[unknown] = processor.void_label_id
        became = processor.id2label[processor.void_label_id]
    else:
        from scipy.ndimage import distance_transform_edt

        rows, columns = distance_transform_edt(unknown, return_distances=False, return_indices=True)
        label_map, became = label_map[rows, columns], "the class next to it"
    return label_map, (f"The segmenter also saw what the model has no class for: {words}. It became {became}.",)


# -- segmenters by name -----------------------------------------------------------------------------------------------


def segmenter_source(name: str, local_folders: bool) -> str:
    """What `load_segmenter` takes.

    Args:
        name: Hub id or folder, as typed by the visitor.
        local_folders: whether folders of this machine may be named.

    Raises:
        ValueError: neither.
    """
    name = name.strip()
    if not name:
        raise ValueError("no segmenter named: type a Hub id 'user/name'" + (" or a folder" if local_folders else ""))
    is_path = Path(name).exists() or name.startswith((".", "/", "~")) or "\\" in name or name.count("/") != 1
    if is_path and not local_folders:
        raise ValueError(f"segmenter {name!r}: this page accepts Hub ids 'user/name' only")
    if is_path and not Path(name).expanduser().is_dir():
        raise ValueError(f"segmenter {name!r}: no such folder; a Hub repository is called 'user/name'")
    return str(Path(name).expanduser()) if is_path else name


@lru_cache(maxsize=1)  # hundreds of megabytes; consecutive photos are usually labelled by the same one
def cached_segmenter(source: str, device: str) -> Segmenter:
    """A segmenter from the Hub or a folder; the last one stays in memory.

    Args:
        source: of `segmenter_source`.
        device: where it runs.

    Raises:
        ValueError: no segmentation model there.
    """
    return load_segmenter(source, device=device, revision=check_segmenter(source))


def check_segmenter(source: str) -> str | None:
    """Raise a ValueError in one line if a segmenter that a visitor names is larger than the page takes.

    Returns:
        See `check_download`.
    """
    try:
        return check_download(source, budget_from_environment())
    except ValueError as error:
        name = Path(source).name if Path(source).is_dir() else source
        raise ValueError(f"segmenter {name!r} cannot be used: {error}") from None


__all__ = [
    "Proposal",
    "cached_segmenter",
    "discriminator_of",
    "proposal_size",
    "propose",
    "segmenter_source",
    "translate",
]

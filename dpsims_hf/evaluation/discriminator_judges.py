# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Judges made of a checkpoint's own discriminator: they need no download, and are not neutral."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..modeling_outputs import DiscriminatorOutput
from ..pipeline_checkpoint_folder import check_labels_pixels
from .features import FeatureExtractor, tensors_sha256
from .protocols import PROTOCOLS
from .segmenters import LOGIT_RULE, Segmenter


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
        ValueError: the checkpoint has no discriminator, or one that labels no pixels, or its backbone has no weights.
    """

    def __init__(self, pipe: Any) -> None:
        network = _ready_discriminator(pipe)
        check_labels_pixels(network)
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
    "DISCRIMINATOR_FID",
    "DISCRIMINATOR_PROTOCOL",
    "OWN_PROTOCOLS",
    "DiscriminatorFeatures",
    "DiscriminatorSegmenter",
]

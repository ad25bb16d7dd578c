# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Discriminators label pixels (OASIS, App. B.4): the same networks as transformers' segmenters are called."""

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from transformers.modeling_outputs import SemanticSegmenterOutput


IGNORED = -100  # of cross entropy
IGNORED_IN_FILES = 255  # of transformers' processors and data, where the classes end before it


class SegmentsImages:
    """Gives `logits` of the classes alone; stands before a discriminator among the bases of a class."""

    _auto_class = "AutoModelForSemanticSegmentation"
    if TYPE_CHECKING:  # transformers takes the annotation of a config for its class
        config: Any

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SemanticSegmenterOutput | tuple[torch.Tensor, ...]:
        """Label pixels.

        Args:
            pixel_values: (batch, 3, height, width) in [-1, 1]; sides are multiples of what the discriminator needs.
            labels: (batch, h, w) int64 class indices, of any size. Pixels of void (config.void_label_id), of -100, and
                of 255 where there are no more than 255 classes, are left out of the loss.
            return_dict: False gives a tuple.
            kwargs: only those of transformers that ask for nothing more (`output_attentions=False`).

        Returns:
            `logits` (batch, num_labels, height, width), without "fake", and with labels `loss`: the mean cross
            entropy, the logits resized (bilinear) to the labels' size.

        Raises:
            ValueError: for a size that does not fit, or labels that are no classes.
        """
        asked = next((name for name, value in kwargs.items() if value), None)
        if asked is not None:
            raise ValueError(f"{asked}={kwargs[asked]!r}: this segmenter gives logits and a loss alone")
        logits = super().forward(pixel_values).segmentation_logits[:, :-1]  # type: ignore[misc]  # the next base's
        loss = None if labels is None else self._segmentation_loss(logits, labels)
        output = SemanticSegmenterOutput(loss=loss, logits=logits)
        return output.to_tuple() if return_dict is False else output

    def _segmentation_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        config, count = self.config, logits.shape[1]
        if labels.ndim != 3 or len(labels) != len(logits) or labels.is_floating_point():
            raise ValueError(
                f"labels have shape {tuple(labels.shape)} and type {labels.dtype}; give (batch, height, width) int64"
            )
        labels = labels.long()
        ignored = labels == IGNORED
        if count <= IGNORED_IN_FILES:
            ignored = ignored | (labels == IGNORED_IN_FILES)
        if config.void_label_id is not None:
            ignored = ignored | (labels == config.void_label_id)
        labels = labels.masked_fill(ignored, IGNORED)
        if labels.device.type == "cpu":  # elsewhere the comparison would wait for the queue
            wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= count))]
            if len(wrong):
                raise ValueError(f"labels hold {int(wrong[0])}, outside the legal range 0..{count - 1}")
        logits = logits.float()
        if logits.shape[-2:] != labels.shape[-2:]:
            logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        return F.cross_entropy(logits, labels, ignore_index=IGNORED)


__all__ = ["SegmentsImages"]

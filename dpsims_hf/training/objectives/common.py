# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Rows that several papers share (OASIS Sec. 3.2, App. C.3; DP-GAN Eq. 3, 7, 8; DP-SIMS Eq. 3, 4), and our own."""

import torch

from .distributed import sum_over_processes
from .losses import class_color_loss, class_weights, color_loss, labelmix_loss, n_plus_one_loss
from .terms import Need, Number, Pass, Term
from .weights import AdversarialLossWeights


def class_balance(
    label_map: torch.Tensor, weights: AdversarialLossWeights, num_labels: int, void_label_id: int | None
) -> torch.Tensor | None:
    """alpha of each class by the options (see `class_weights`); None without class balancing."""
    if not weights.class_balancing:
        return None
    total = sum_over_processes if weights.global_class_weights else None
    return class_weights(label_map, num_labels, void_label_id, total, weights.class_weight_form)


def _real_pixels(p: Pass) -> torch.Tensor:
    w = p.weights
    alpha = class_balance(p.target, w, p.num_labels, p.void_label_id)
    return n_plus_one_loss(
        p.on_real.segmentation_logits, p.target, alpha, w.focal_gamma, w.label_smoothing, w.label_smoothing_form
    )


def _fake_pixels(p: Pass) -> torch.Tensor:
    w = p.weights
    fake = torch.full_like(p.judged_label_map, p.num_labels)
    epsilon = 0.0 if w.label_smoothing_targets == "real" else w.label_smoothing
    return n_plus_one_loss(p.on_fake.segmentation_logits, fake, None, w.focal_gamma, epsilon, w.label_smoothing_form)


def _labelmix(p: Pass) -> torch.Tensor:
    logits = (output.segmentation_logits for output in (p.on_mixed, p.on_real, p.on_fake))
    return labelmix_loss(*logits, p.mixing_mask)


def _fooled_pixels(p: Pass) -> torch.Tensor:
    alpha = class_balance(p.target, p.weights, p.num_labels, p.void_label_id)
    return n_plus_one_loss(p.on_fake.segmentation_logits, p.target, alpha, p.weights.focal_gamma)


def _color(p: Pass) -> torch.Tensor:
    return color_loss(p.images, p.photos, p.weights.color_pool, p.noise.from_photo)


def _class_color(p: Pass) -> torch.Tensor:
    return class_color_loss(p.images, p.photos, p.label_map, p.num_labels, p.void_label_id, p.noise.from_photo)


def _image_difference(p: Pass) -> torch.Tensor:
    return (p.images.float() - p.other.images.float()).abs().mean()


D_REAL = Term("d_real", _real_pixels, needs=Need.JUDGEMENT)
D_FAKE = Term("d_fake", _fake_pixels, needs=Need.JUDGEMENT)
D_LABELMIX = Term("d_labelmix", _labelmix, "lambda_labelmix", Need.JUDGEMENT | Need.LABELMIX)
# Ours: they keep the start of a small run from false colours. They look at the images as G gave them.
G_COLOR = Term("g_color", _color, "lambda_color")
G_CLASS_COLOR = Term("g_class_color", _class_color, "lambda_class_color")
G_GAN = Term("g_gan", _fooled_pixels, "lambda_gan", Need.JUDGEMENT)
G_VGG = Term("g_vgg", lambda p: p.networks(p.moved_images, p.moved_photos), "lambda_vgg", Need.FEATURE_NETWORKS)

IMAGE_DIFFERENCE = Number("image_difference", _image_difference, Need.OTHER)


__all__ = [
    "D_FAKE",
    "D_LABELMIX",
    "D_REAL",
    "G_CLASS_COLOR",
    "G_COLOR",
    "G_GAN",
    "G_VGG",
    "IMAGE_DIFFERENCE",
    "class_balance",
]

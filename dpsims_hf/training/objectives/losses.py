# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Loss terms as pure functions of tensors. Every value is a loss: smaller is better for the network that minimises it.

All of them compute in float32, whatever the inputs' type under mixed precision.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F


LABEL_SMOOTHINGS = ("distribute", "literal")
CLASS_WEIGHT_FORMS = ("balanced", "inverse_frequency", "mean_inverse_frequency")


def class_weights(
    label_map: torch.Tensor,
    num_labels: int,
    void_label_id: int | None = None,
    total: Callable[[torch.Tensor], torch.Tensor] | None = None,
    form: str = "balanced",
) -> torch.Tensor:
    """alpha_c, the weight of each class over the batch, in one of three forms:

    - "balanced": B * H * W / (K * n_c) with K classes present, as in the released code of OASIS and DP-GAN. No paper
      has the factor 1 / K, by which the weights of a batch's pixels average 1.
    - "inverse_frequency": B * H * W / n_c (OASIS Eq. 2, its E_t the mean over the batch; DP-SIMS Sec. 3.3 likewise).
    - "mean_inverse_frequency": the mean over images of H * W / n_c (DP-GAN Eq. 4). An image without the class has no
      such ratio, so the mean is over those that show it.

    Args:
        label_map: (batch, height, width) int64.
        num_labels: classes, void included.
        void_label_id: its weight is 0 and it does not count among the K classes present.
        total: sums counts over the processes; None weighs each process's batch by itself.
        form: see above.

    Returns:
        (num_labels,) float32; 0 for absent classes.
    """
    if form not in CLASS_WEIGHT_FORMS:
        raise ValueError(f"form={form!r} is unknown; choose one of {', '.join(CLASS_WEIGHT_FORMS)}")
    total = total or (lambda sums: sums)
    if form == "mean_inverse_frequency":
        weights, present = _mean_of_image_ratios(label_map, num_labels, total)
        return torch.where(_without(present, void_label_id), weights, 0.0)
    counts = total(torch.bincount(label_map.flatten(), minlength=num_labels))
    present = _without(counts > 0, void_label_id)
    classes = present.sum().clamp(min=1) if form == "balanced" else 1
    return torch.where(present, counts.sum() / (classes * counts.clamp(min=1).float()), 0.0)


def _without(present: torch.Tensor, void_label_id: int | None) -> torch.Tensor:
    if void_label_id is not None:
        present[void_label_id] = False
    return present


def _mean_of_image_ratios(
    label_map: torch.Tensor, num_labels: int, total: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of H * W / n_c over the images that show the class, and which classes any image shows."""
    counts = torch.stack([torch.bincount(one.flatten(), minlength=num_labels) for one in label_map])
    shown = counts > 0
    ratios = torch.where(shown, label_map[0].numel() / counts.clamp(min=1), 0.0)
    sums, images = total(ratios.sum(dim=0)), total(shown.sum(dim=0))
    return sums / images.clamp(min=1), images > 0


def void_borders(label_map: torch.Tensor, width: int, void_label_id: int) -> torch.Tensor:
    """The label map with all pixels within `width` of another class turned to void. Ours, not the papers'.

    Polygons drawn by people are wrong there, and a generator that is paid for these pixels draws outlines.

    Args:
        label_map: (batch, height, width) int64.
        width: in pixels, at least 1.
        void_label_id: the class that the losses leave out.
    """
    values = label_map[:, None].float()
    highest = F.max_pool2d(values, 2 * width + 1, stride=1, padding=width)
    lowest = -F.max_pool2d(-values, 2 * width + 1, stride=1, padding=width)
    return torch.where((highest != lowest)[:, 0], void_label_id, label_map)


def n_plus_one_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor | None = None,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    smoothing: str = "distribute",
    reduction: str = "mean",
) -> torch.Tensor:
    """Pixel-wise N+1 focal loss, the building block of DP-SIMS Eq. 3 and 4.

    Per pixel with target class t: -alpha_t * sum_c q_c (1 - p_c)^gamma log p_c, where q is one-hot at t, or smoothed.
    gamma = 0 is the cross-entropy of OASIS; `weights` None drops the class balancing (the rows of Table 8).

    Args:
        logits: (batch, num_labels + 1, height, width); the last channel is "fake".
        target: (batch, height, width) int64, 0 .. num_labels; num_labels means "fake".
        weights: (num_labels,) or (num_labels + 1,) per-class alpha; classes beyond it weigh 1.
        gamma: focal exponent.
        label_smoothing: epsilon. "distribute" gives it in equal parts to the other classes; "literal" only lowers
            the target's own share to 1 - epsilon, which scales the loss and so does nothing under Adam.
        smoothing: see above.
        reduction: "mean" over all pixels (void pixels count), "sum" or "none".

    Returns:
        A scalar, or (batch, height, width) with "none".
    """
    if smoothing not in LABEL_SMOOTHINGS:
        raise ValueError(f"smoothing={smoothing!r} is unknown; choose one of {', '.join(LABEL_SMOOTHINGS)}")
    log_p = F.log_softmax(logits.float(), dim=1)
    log_p_target = log_p.gather(1, target[:, None])[:, 0]
    loss = (1.0 - label_smoothing) * _focal(log_p_target, gamma)
    if label_smoothing and smoothing == "distribute":
        others = _focal(log_p, gamma).sum(dim=1) - _focal(log_p_target, gamma)
        loss = loss + label_smoothing / (logits.shape[1] - 1) * others
    if weights is not None:
        weights = F.pad(weights.float(), (0, logits.shape[1] - len(weights)), value=1.0)
        loss = loss * weights[target]
    return reduced(loss, reduction)


def _focal(log_p: torch.Tensor, gamma: float) -> torch.Tensor:
    """-(1 - p)^gamma log p; expm1 keeps 1 - p exact where p is near 1."""
    return -log_p if gamma == 0 else -((-torch.expm1(log_p)) ** gamma) * log_p


def reduced(loss: torch.Tensor, reduction: str) -> torch.Tensor:
    """Mean or sum of a loss, or the loss itself with "none"; a ValueError for anything else."""
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} is unknown; choose mean, sum or none")
    return loss.mean() if reduction == "mean" else loss.sum()


def color_loss(fake: torch.Tensor, real: torch.Tensor, pool: int, chosen: torch.Tensor | None = None) -> torch.Tensor:
    """Mean absolute difference of pooled pictures: colour and light, not detail. Ours, not the papers'.

    Args:
        fake, real: (batch, 3, height, width).
        pool: side of the squares that are averaged, at most height and width.
        chosen: (batch,) bool, the images that count (the others count as 0); None takes all.
    """
    difference = F.avg_pool2d(fake.float() - real.float(), pool).abs().flatten(1).mean(dim=1)
    return difference.mean() if chosen is None else (difference * chosen).mean()


def class_color_loss(
    fake: torch.Tensor,
    real: torch.Tensor,
    label_map: torch.Tensor,
    num_labels: int,
    void_label_id: int | None = None,
    chosen: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean absolute difference of the classes' mean colours; a small class counts as much as a large one. Ours.

    Args:
        fake, real: (batch, 3, height, width).
        label_map: (batch, height, width) int64.
        num_labels: classes, void included.
        void_label_id: does not count.
        chosen: (batch,) bool, the images that count (the others count as 0); None takes all.
    """
    difference = (fake.float() - real.float()).flatten(2).transpose(1, 2)  # (batch, pixels, 3)
    index = label_map.flatten(1)
    sums = difference.new_zeros(len(fake), num_labels, 3).scatter_add(
        1, index[..., None].expand(-1, -1, 3), difference
    )
    counts = difference.new_zeros(len(fake), num_labels).scatter_add(
        1, index, torch.ones_like(index, dtype=sums.dtype)
    )
    means = (sums / counts.clamp(min=1)[..., None]).abs().mean(dim=2)
    present = counts > 0
    if void_label_id is not None:
        present[:, void_label_id] = False
    loss = (means * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
    return loss.mean() if chosen is None else (loss * chosen).mean()


def labelmix_mask(
    label_map: torch.Tensor, num_labels: int, generator: torch.Generator, tie_first_two: bool = False
) -> torch.Tensor:
    """The mask M of LabelMix (OASIS Sec. 3.2): a fair coin per class, real or fake, for the whole batch.

    Args:
        label_map: (batch, height, width) int64.
        num_labels: classes.
        generator: a CPU random generator.
        tie_first_two: classes 0 and 1 share a coin.

    Returns:
        (batch, 1, height, width) bool; True takes the real image.
    """
    coins = torch.randint(0, 2, (num_labels,), generator=generator).bool()
    if tie_first_two:
        coins[:1] = coins[1:2]
    return coins.to(label_map.device)[label_map][:, None]


def cutmix_mask(label_map: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The mask M of CutMix (Yun et al., 2019), which OASIS compares with LabelMix (Table E), for the whole batch.

    The generated image stands in a rectangle of the image's aspect whose share of the area is uniform in [0, 1]; its
    centre is uniform too, and what lies outside of the image is cut off.

    Args:
        label_map: (batch, height, width) int64.
        generator: a CPU random generator.

    Returns:
        (batch, 1, height, width) bool; True takes the real image.
    """
    batch, *sides = label_map.shape
    share, *centre = torch.rand(3, generator=generator).tolist()
    inside = torch.ones(sides, dtype=torch.bool, device=label_map.device)
    for axis, (side, place) in enumerate(zip(sides, centre, strict=True)):
        half, positions = side * share**0.5 / 2, torch.arange(side, device=label_map.device) + 0.5
        on_axis = (positions - place * side).abs() <= half
        inside &= on_axis[:, None] if axis == 0 else on_axis
    return ~inside.expand(batch, 1, *sides)


def labelmix(real: torch.Tensor, fake: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """M * real + (1 - M) * fake, for images or logits (batch, channels, height, width) (OASIS Sec. 3.2)."""
    return torch.where(mask, real, fake)


def labelmix_loss(
    logits_mixed: torch.Tensor, logits_real: torch.Tensor, logits_fake: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """L_cons (OASIS Sec. 3.2, DP-GAN Eq. 8): D(LabelMix(x, x^)) against LabelMix(D(x), D(x^)), mean squared."""
    return F.mse_loss(logits_mixed.float(), labelmix(logits_real, logits_fake, mask).float())


def patch_hinge_loss(scores: Sequence[torch.Tensor], real: bool) -> torch.Tensor:
    """One half of L_ms for the discriminator (DP-GAN Eq. 5): max(0, 1 - D) on reals, max(0, 1 + D) on fakes.

    Args:
        scores: one (batch, 1, h, w) map per patch head; the mean over each, then over heads.
        real: which half.
    """
    return torch.stack([F.relu(1 - head.float() if real else 1 + head.float()).mean() for head in scores]).mean()


def patch_generator_loss(scores: Sequence[torch.Tensor], form: str = "hinge") -> torch.Tensor:
    """L_ms for the generator, averaged over heads.

    Args:
        scores: patch logits of fakes, one (batch, 1, h, w) map per head.
        form: "hinge", max(0, 1 - D) (DP-GAN Eq. 7), or "linear", -D.
    """
    if form not in ("hinge", "linear"):
        raise ValueError(f"form={form!r} is unknown; choose hinge or linear")
    if form == "hinge":
        return patch_hinge_loss(scores, real=True)
    return -torch.stack([head.float().mean() for head in scores]).mean()


def perceptual_loss(
    fake: Sequence[torch.Tensor], real: Sequence[torch.Tensor], weights: Sequence[float]
) -> torch.Tensor:
    """Weighted sum over levels of the mean absolute difference of features (Johnson et al., 2016, with L1).

    Args:
        fake, real: per level (batch, C_l, H_l, W_l); reals are detached.
        weights: one per level.
    """
    levels = zip(weights, fake, real, strict=True)
    return torch.stack([weight * F.l1_loss(a.float(), b.detach().float()) for weight, a, b in levels]).sum()

"""Loss terms as pure functions of tensors. Every value is a loss: smaller is better for the network that minimises it.

All of them compute in float32, whatever the inputs' type under mixed precision.
"""

import torch
from torch.nn import functional as F


LABEL_SMOOTHINGS = ("distribute", "literal")


def class_weights(label_map: torch.Tensor, num_labels: int, void_label_id: int | None = None) -> torch.Tensor:
    """alpha_c = B * H * W / (K * n_c): OASIS's class balancing over the batch (OASIS Eq. 2; DP-SIMS Sec. 3.3).

    Args:
        label_map: (batch, height, width) int64.
        num_labels: classes, void included.
        void_label_id: its weight is 0 and it does not count among the K classes present.

    Returns:
        (num_labels,) float32; 0 for absent classes.
    """
    counts = torch.bincount(label_map.flatten(), minlength=num_labels).float()
    if void_label_id is not None:
        counts[void_label_id] = 0.0
    present = counts > 0
    weights = label_map.numel() / (present.sum().clamp(min=1) * counts.clamp(min=1))
    return torch.where(present, weights, 0.0)


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
    return _reduce(loss, reduction)


def _focal(log_p: torch.Tensor, gamma: float) -> torch.Tensor:
    """-(1 - p)^gamma log p; expm1 keeps 1 - p exact where p is near 1."""
    return -log_p if gamma == 0 else -((-torch.expm1(log_p)) ** gamma) * log_p


def _reduce(loss: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} is unknown; choose mean, sum or none")
    return loss.mean() if reduction == "mean" else loss.sum()


def info_nce(query: torch.Tensor, positive: torch.Tensor, temperature: float = 0.3) -> torch.Tensor:
    """InfoNCE over positions (DP-SIMS Eq. 5): query i matches positive i; the other positives are its negatives.

    Args:
        query: (batch, positions, dim): v, features of the generated image.
        positive: (batch, positions, dim): v+ at the same positions of the real image.
        temperature: tau.

    Returns:
        The mean over batch and positions. With N + 1 positions each query has N negatives.
    """
    similarity = torch.bmm(query.float(), positive.float().transpose(1, 2)) / temperature
    matching = similarity.diagonal(dim1=1, dim2=2)
    return (similarity.logsumexp(dim=2) - matching).mean()


def diversity_ratio(
    output_1: torch.Tensor, output_2: torch.Tensor, noise_1: torch.Tensor, noise_2: torch.Tensor
) -> torch.Tensor:
    """mean |G(z1) - G(z2)| / mean |z1 - z2| per image (the fraction of DP-SIMS Eq. 6, on means instead of sums).

    Means keep tau_div comparable across sizes. Outputs and noises are (batch, ...); the result is (batch,).
    """
    distance = (output_1.float() - output_2.float()).abs().flatten(1).mean(dim=1)
    return distance / (noise_1.float() - noise_2.float()).abs().flatten(1).mean(dim=1).clamp(min=1e-8)


def diversity_hinge(ratio: torch.Tensor, threshold: float) -> torch.Tensor:
    """max(0, tau_div - ratio), averaged over the batch (DP-SIMS Eq. 6)."""
    return F.relu(threshold - ratio).mean()

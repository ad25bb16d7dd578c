# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Diversity: how different the images of one label map are, mean over all pairs, then over maps (OASIS Sec. 4.1).

All functions take `images` (n, 3, height, width) in [-1, 1], the images of ONE label map, and give one value per pair,
in the order (0, 1), (0, 2), ..., (1, 2), ...
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from .feature_set import as_image


MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
# Shortest side for 1 to 5 scales: the 11-pixel window fits into the coarsest one, and torchmetrics accepts the size.
MS_SSIM_MINIMUM_SIDES = (11, 22, 44, 99, 176)


def stack_images(images: Sequence[Any]) -> torch.Tensor:
    """PIL images or uint8 arrays (height, width, 3) of one size -> (n, 3, height, width) float32 in [-1, 1]."""
    arrays = [as_image(image) for image in images]
    sizes = sorted({array.shape[:2] for array in arrays})
    if len(sizes) != 1:
        raise ValueError(f"{len(arrays)} images of one label map have sizes {sizes}: give at least 2, all of one size")
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


@torch.no_grad()
def pairwise_distances(
    images: torch.Tensor, distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], batch_size: int = 16
) -> torch.Tensor:
    """Values of all n (n - 1) / 2 pairs.

    Args:
        images: See the head of this file; n >= 2.
        distance: Two batches (b, 3, height, width) -> b values of any shape.
        batch_size: Pairs per call.

    Returns:
        (pairs,) float64 on the CPU.
    """
    first, second = _pairs(images)
    values = []
    for start in range(0, len(first), batch_size):
        a, b = images[first[start : start + batch_size]], images[second[start : start + batch_size]]
        batch = torch.as_tensor(distance(a, b)).flatten()
        if len(batch) != len(a):
            raise ValueError(
                f"the distance gave {len(batch)} values for {len(a)} pairs: it must not average over them"
            )
        values.append(batch.double().cpu())
    return torch.cat(values)


def pairwise_mean(
    images: torch.Tensor, distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], batch_size: int = 16
) -> float:
    """Mean of `pairwise_distances`."""
    return float(pairwise_distances(images, distance, batch_size).mean())


@torch.no_grad()
def lpips_distances(images: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    """LPIPS (Zhang et al. 2018) of all pairs; each image passes the trunk once, not n - 1 times.

    Args:
        images: See the head of this file. 20 images of 256x256 need about 0.7 GB with the VGG trunk.
        network: `lpips.LPIPS`; the protocol's is `load_lpips()`.

    Returns:
        (pairs,) float64 on the CPU: what `network(a, b)` gives for each pair.
    """
    from lpips import normalize_tensor

    _pairs(images)
    total = 0.0
    for features, head in zip(network.net(network.scaling_layer(images)), network.lins, strict=True):
        features = normalize_tensor(features)
        rows = [head((one - features[i + 1 :]) ** 2).mean(dim=(1, 2, 3)) for i, one in enumerate(features[:-1])]
        total = total + torch.cat(rows).double().cpu()
    return total


def load_lpips(device: str | torch.device = "cpu") -> torch.nn.Module:
    """The LPIPS of the published diversity numbers: package `lpips`, net "vgg", version 0.1 (the authors of OASIS).

    Raises:
        ValueError: torchvision's VGG16 weights are neither in its cache nor can they be downloaded.
    """
    import lpips

    try:
        return lpips.LPIPS(net="vgg", version="0.1", verbose=False).to(device)
    except OSError as error:  # URLError and its kin
        raise ValueError(
            f"LPIPS needs torchvision's VGG16 weights ({error}): go online once, or pass distance="
        ) from None


def ms_ssim_similarities(images: torch.Tensor, scales: int = 5, batch_size: int = 16) -> torch.Tensor:
    """Multi-scale structural similarity (torchmetrics) of all pairs, on [0, 1]; lower means more diverse.

    torchmetrics keeps the padded border in the coarsest scale and averages the channels at each scale;
    `pytorch_msssim`, behind the published numbers, does neither: on images of a small checkpoint it gave 0.889 where
    this gives 0.876, pairs were up to 0.025 apart. `pytorch_ms_ssim_similarities` has its values.

    Args:
        images: See the head of this file.
        scales: 5 is the definition. Fewer, for small images, is another measure: say so with the value. The weights of
            the finest `scales` scales are then scaled to the sum 1.
        batch_size: Pairs per call.

    Returns:
        (pairs,) float64 on the CPU, in [0, 1].
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    _check_scales(scales, *images.shape[-2:])
    weights = MS_SSIM_WEIGHTS[:scales]
    if scales < len(MS_SSIM_WEIGHTS):
        weights = tuple(weight / sum(weights) for weight in weights)

    def similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return multiscale_structural_similarity_index_measure(a, b, reduction="none", data_range=1.0, betas=weights)

    return pairwise_distances((images.float() + 1.0) / 2.0, similarity, batch_size)


def pytorch_ms_ssim_similarities(images: torch.Tensor, batch_size: int = 16) -> torch.Tensor:
    """MS-SSIM of all pairs as the package `pytorch_msssim` computes it (OASIS Table 2), on [0, 1].

    Windows that lie wholly inside the image, five scales, the product per channel, then the mean over channels.

    Args:
        images: See the head of this file; both sides above 160.
        batch_size: Pairs per call.

    Returns:
        (pairs,) float64 on the CPU, in [0, 1].
    """
    if min(images.shape[-2:]) <= 160:
        raise ValueError(
            f"images of {images.shape[-2]}x{images.shape[-1]} are too small for pytorch_msssim's five scales: both "
            "sides must be above 160; ms_ssim takes smaller ones with fewer scales"
        )
    return pairwise_distances((images.float() + 1.0) / 2.0, _pytorch_ms_ssim, batch_size)


def _pytorch_ms_ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(batch, 3, height, width) in [0, 1], twice -> (batch,)."""
    offsets = torch.arange(11, dtype=first.dtype, device=first.device) - 5
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = window / window.sum()
    factors = []
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        similarity, contrast = _ssim_parts(first, second, window)
        factors.append((similarity if last else contrast).clamp(min=0) ** weight)
        padding = [side % 2 for side in first.shape[-2:]]
        first, second = (F.avg_pool2d(images, 2, padding=padding) for images in (first, second))
    return torch.stack(factors).prod(dim=0).mean(dim=1)


def _ssim_parts(first: torch.Tensor, second: torch.Tensor, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """SSIM and its contrast-structure part, (batch, channels) each: means over the inner windows."""

    def blurred(images: torch.Tensor) -> torch.Tensor:
        rows = F.conv2d(images.flatten(0, 1)[:, None], window.view(1, 1, -1, 1))
        return F.conv2d(rows, window.view(1, 1, 1, -1)).unflatten(0, images.shape[:2])[:, :, 0]

    c1, c2 = 0.01**2, 0.03**2
    mean_1, mean_2 = blurred(first), blurred(second)
    variance_1, variance_2 = blurred(first**2) - mean_1**2, blurred(second**2) - mean_2**2
    covariance = blurred(first * second) - mean_1 * mean_2
    contrast = (2 * covariance + c2) / (variance_1 + variance_2 + c2)
    similarity = (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1) * contrast
    return similarity.mean(dim=(2, 3)), contrast.mean(dim=(2, 3))


class DiversityMean:
    """Running mean over label maps of the mean over pairs: one number per label map is kept.

    Label maps are known by number, so that sharding does not change a bit and a number that comes twice counts once.
    """

    def __init__(self) -> None:
        self._means: dict[int, tuple[float, int]] = {}  # label map -> mean over its pairs, number of pairs

    def __len__(self) -> int:
        return len(self._means)

    def add(self, values: torch.Tensor, index: int | None = None) -> None:
        """Add one label map.

        Args:
            values: (pairs,), from one of the functions above.
            index: Number of the label map, unique over all processes; None counts on, right in one process only.
        """
        values = torch.as_tensor(values).flatten().tolist()
        if not values or not all(map(math.isfinite, values)):
            raise ValueError(f"{len(values)} pair values, some of them perhaps not finite: give at least one, finite")
        index = max(self._means, default=-1) + 1 if index is None else int(index)
        self._means.setdefault(index, (math.fsum(values) / len(values), len(values)))

    def merge(self, other: "DiversityMean") -> None:
        """Take over what another process collected."""
        self._means = other._means | self._means

    def compute(self) -> dict[str, float | int]:
        """`mean` over the label maps, `num_label_maps`, `images_per_label_map`. ValueError if none or unequal n."""
        if not self._means:
            raise ValueError("no label maps were added: give the images of at least one")
        pairs = sorted({count for _, count in self._means.values()})
        images = [(1 + math.isqrt(1 + 8 * count)) // 2 for count in pairs]
        if len(images) > 1:
            raise ValueError(f"label maps came with {images} images: give the same number for each")
        mean = math.fsum(value for value, _ in self._means.values()) / len(self._means)  # exact: no order to depend on
        return {"mean": mean, "num_label_maps": len(self._means), "images_per_label_map": images[0]}


def _pairs(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}; give floats (n, 3, height, width)"
        )
    if len(images) < 2:
        raise ValueError(f"diversity needs at least 2 images per label map, not {len(images)}")
    first, second = torch.triu_indices(len(images), len(images), 1)
    return first, second


def _check_scales(scales: int, height: int, width: int) -> None:
    if not 1 <= scales <= len(MS_SSIM_WEIGHTS):
        raise ValueError(f"scales={scales}: choose 1 to {len(MS_SSIM_WEIGHTS)}")
    fitting = sum(min(height, width) >= side for side in MS_SSIM_MINIMUM_SIDES)
    if scales > fitting:
        remedy = f"pass scales={fitting} and state it with the value" if fitting else "take larger images"
        raise ValueError(
            f"images of {height}x{width} are too small for MS-SSIM with scales={scales}: the shorter side must be at "
            f"least {MS_SSIM_MINIMUM_SIDES[scales - 1]}; {remedy}"
        )

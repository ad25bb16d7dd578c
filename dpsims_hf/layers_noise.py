# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""3D noise (OASIS Sec. 3.3): one noise vector per region, spread over the region's pixels, as input of a convolution.

The (noise_dim, height, width) tensor of the paper is piecewise constant, so it is not built: a convolution over it is
a small one over the map of regions, with kernels made from the noise vectors.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers_label import LabelConv2d


class NoiseConv2d(nn.Module):
    """A convolution, without bias, over 3D noise given as vectors and a map of regions.

    The weight has the shape of the `nn.Conv2d` it equals, (out_channels, noise_dim, kernel, kernel).

    Args:
        noise_dim: length of a noise vector.
        out_channels: width of the result.
        kernel_size: odd.
        replicate: continue the border's noise outside instead of padding by zeros.
    """

    def __init__(self, noise_dim: int, out_channels: int, kernel_size: int = 3, replicate: bool = False) -> None:
        super().__init__()
        self.replicate = replicate
        self.weight = nn.Parameter(torch.empty(out_channels, noise_dim, kernel_size, kernel_size))
        nn.init.xavier_normal_(self.weight)

    def forward(self, noise: torch.Tensor, noise_regions: torch.Tensor | None, size: tuple[int, int]) -> torch.Tensor:
        """Convolve.

        Args:
            noise: (batch, regions, noise_dim).
            noise_regions: (batch, height, width) int64; None where each image has one region.
            size: (height, width).

        Returns:
            (batch, out_channels, height, width).
        """
        regions, noise_dim = noise.shape[1:]
        # A graph for any batch cannot have a number of groups that is the batch's.
        if noise_regions is not None and (torch.compiler.is_exporting() or regions > noise_dim):
            return self._dense(noise, noise_regions)
        kernels = torch.einsum("brd,odij->broij", noise, self.weight)
        if noise_regions is None or regions == 1:
            return self._constant(kernels[:, 0], size)
        return self._by_region(kernels, noise_regions)

    def _constant(self, kernels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """One vector per image: a pixel gets the sum of those taps that lie inside the image."""
        rows, columns = (self._taps_inside(side).to(kernels) for side in size)
        return rows @ kernels @ columns.T

    def _taps_inside(self, side: int) -> torch.Tensor:
        radius = self.weight.shape[-1] // 2
        position = torch.arange(side)[:, None] + torch.arange(-radius, radius + 1)
        return ((position >= 0) & (position < side)) | self.replicate

    def _convolve(self, maps: torch.Tensor, kernels: torch.Tensor, groups: int = 1) -> torch.Tensor:
        radius = self.weight.shape[-1] // 2
        if self.replicate:
            return F.conv2d(F.pad(maps, [radius] * 4, mode="replicate"), kernels, groups=groups)
        return F.conv2d(maps, kernels, padding=radius, groups=groups)

    def _by_region(self, kernels: torch.Tensor, noise_regions: torch.Tensor) -> torch.Tensor:
        """Few vectors per image: a convolution over the regions' one-hot map, each image with its own kernels."""
        batch, regions, out_channels = kernels.shape[:3]
        numbers = torch.arange(regions, device=kernels.device)[:, None, None]
        one_hot = (noise_regions[:, None] == numbers).to(kernels)
        height, width = noise_regions.shape[-2:]
        result = self._convolve(
            one_hot.reshape(1, batch * regions, height, width),
            kernels.transpose(1, 2).reshape(batch * out_channels, regions, *kernels.shape[-2:]),
            groups=batch,
        )
        return result.view(batch, out_channels, height, width)

    def _dense(self, noise: torch.Tensor, noise_regions: torch.Tensor) -> torch.Tensor:
        """More vectors than channels (noise per pixel): build the 3D tensor."""
        return self._convolve(noise_map(noise, noise_regions), self.weight)


def noise_map(noise: torch.Tensor, noise_regions: torch.Tensor) -> torch.Tensor:
    """The 3D noise tensor (batch, noise_dim, height, width) of vectors (batch, regions, noise_dim) and their map."""
    batch = torch.arange(noise.shape[0], device=noise.device)[:, None, None]
    return noise[batch, noise_regions].permute(0, 3, 1, 2)


def canonical_noise(
    noise: torch.Tensor, noise_regions: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The one form of all ways to say which noise each pixel obeys.

    Another number of vectors, or another order, is another computation, and its sums round differently. So vectors
    that no pixel obeys go, equal ones become one, and their order is that in which an image's pixels, row by row,
    first obey them. Images whose pixels all obey one vector have no map. The result lies in memory of its own.

    Args:
        noise: (batch, regions, noise_dim).
        noise_regions: (batch, height, width) int64; None where each image has one region.

    Returns:
        noise and noise_regions of these shapes. The images of a batch have as many vectors as the one that needs most.
    """
    if noise_regions is None or noise.shape[1] == 1 or noise.shape[2] == 0:
        return noise[:, :1].clone(memory_format=torch.contiguous_format), None
    forms = [_by_appearance(vectors, regions) for vectors, regions in zip(noise, noise_regions, strict=True)]
    count = max(len(vectors) for vectors, _ in forms)
    noise = torch.stack([F.pad(vectors, (0, 0, 0, count - len(vectors))) for vectors, _ in forms])
    return noise, None if count == 1 else torch.stack([regions for _, regions in forms])


def _by_appearance(vectors: torch.Tensor, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One image's distinct vectors that pixels obey, in the order of their first pixels, and the map of them."""
    regions = regions.cpu()
    used, number = torch.unique(regions, return_inverse=True)
    _, distinct = torch.unique(vectors.detach().cpu().double()[used], dim=0, return_inverse=True)
    number = distinct[number]
    places = torch.arange(number.numel())
    first = places.new_full((int(distinct.max()) + 1,), number.numel())
    first = first.scatter_reduce(0, number.flatten(), places, "amin")
    order = first.argsort()
    kept = regions.flatten()[first[order]]
    return vectors[kept.to(vectors.device)], order.argsort()[number].to(vectors.device)


class LabelNoiseConv2d(nn.Module):
    """A 3x3 convolution over the concatenation of 3D noise and one-hot label map, from vectors and indices.

    Args:
        num_labels: classes.
        noise_dim: channels of the noise; 0 leaves it out.
        out_channels: width of the result.
        replicate: continue classes and noise beyond the border instead of padding by zeros.
    """

    def __init__(self, num_labels: int, noise_dim: int, out_channels: int, replicate: bool = False) -> None:
        super().__init__()
        self.labels = LabelConv2d(num_labels, out_channels, replicate=replicate)
        self.noise = NoiseConv2d(noise_dim, out_channels, replicate=replicate) if noise_dim else None

    def forward(
        self, label_map: torch.Tensor, noise: torch.Tensor, noise_regions: torch.Tensor | None
    ) -> torch.Tensor:
        """Convolve label_map (batch, height, width) and noise (batch, regions, noise_dim) with its map or None."""
        hidden = self.labels(label_map)
        if self.noise is None:
            return hidden
        return hidden + self.noise(noise, noise_regions, label_map.shape[-2:])


__all__ = ["LabelNoiseConv2d", "NoiseConv2d", "canonical_noise", "noise_map"]

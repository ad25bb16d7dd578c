# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The networks that the papers' mIoU was measured with, under the names of their original checkpoints' tensors.

UperNet-101 (Xiao et al. 2018, ADE20K), DRN-D-105 (Yu et al. 2017, Cityscapes), DeepLabV2 with ResNet-101 (Chen et
al. 2018, COCO-Stuff). Each takes what its checkpoint was trained on and gives logits at its own resolution.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck


def _unit(before: int, after: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias -> batch norm -> ReLU, of one resolution at stride 1."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def _bottlenecks(before: int, planes: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """torchvision's blocks (stride at the 3x3 convolution), the first with a shortcut of its own."""
    width = planes * Bottleneck.expansion
    shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    first = Bottleneck(before, planes, stride, shortcut, dilation=dilation)
    return nn.Sequential(first, *(Bottleneck(width, planes, dilation=dilation) for _ in range(blocks - 1)))


# -- UperNet ----------------------------------------------------------------------------------------------------------


class DeepStemResNet101(nn.Module):
    """ResNet-101 whose first layer is three 3x3 convolutions; levels of strides 4, 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        for number, (before, after) in enumerate(((3, 64), (64, 64), (64, 128)), 1):
            convolution, norm, _ = _unit(before, after, stride=2 if number == 1 else 1)
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", norm)
        before = 128
        for number, (planes, blocks) in enumerate(((64, 3), (128, 4), (256, 23), (512, 3)), 1):
            self.add_module(f"layer{number}", _bottlenecks(before, planes, blocks, 1 if number == 1 else 2))
            before = planes * Bottleneck.expansion

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The four levels, fine to coarse."""
        hidden, levels = pixels, []
        for number in (1, 2, 3):
            hidden = F.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(hidden)))
        hidden = F.max_pool2d(hidden, 3, 2, 1)
        for number in (1, 2, 3, 4):
            hidden = getattr(self, f"layer{number}")(hidden)
            levels.append(hidden)
        return levels


class UperNetDecoder(nn.Module):
    """Pyramid pooling of the coarsest level, a feature pyramid, and one convolution over all its levels.

    Args:
        classes: of the result.
        widths: of the encoder's levels, fine to coarse.
        channels: of the pyramid.
    """

    def __init__(self, classes: int, widths: tuple[int, ...] = (256, 512, 1024, 2048), channels: int = 512) -> None:
        super().__init__()
        self.pool_sizes, coarsest = (1, 2, 3, 6), widths[-1]
        self.ppm_conv = nn.ModuleList(_unit(coarsest, 512, 1) for _ in self.pool_sizes)
        self.ppm_last_conv = _unit(coarsest + 512 * len(self.pool_sizes), channels)
        self.fpn_in = nn.ModuleList(_unit(width, channels, 1) for width in widths[:-1])
        self.fpn_out = nn.ModuleList(nn.Sequential(_unit(channels, channels)) for _ in widths[:-1])
        self.conv_last = nn.Sequential(_unit(channels * len(widths), channels), nn.Conv2d(channels, classes, 1))

    def forward(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Logits at the finest level's resolution."""
        size = levels[-1].shape[-2:]
        pooled = [
            convolution(_resized(F.adaptive_avg_pool2d(levels[-1], cells), size))
            for cells, convolution in zip(self.pool_sizes, self.ppm_conv, strict=True)
        ]
        top = self.ppm_last_conv(torch.cat([levels[-1], *pooled], dim=1))
        pyramid = [top]
        for level, lateral, output in reversed(list(zip(levels[:-1], self.fpn_in, self.fpn_out, strict=True))):
            inward = lateral(level)
            top = inward + _resized(top, inward.shape[-2:])
            pyramid.insert(0, output(top))
        joined = [_resized(level, pyramid[0].shape[-2:]) for level in pyramid]
        return self.conv_last(torch.cat(joined, dim=1))


class UperNet101(nn.Module):
    """`encoder` and `decoder`, of a file each in the original release."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder, self.decoder = DeepStemResNet101(), UperNetDecoder(classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes, height / 4, width / 4)."""
        return self.decoder(self.encoder(pixels))


# -- DRN --------------------------------------------------------------------------------------------------------------


class DRND105(nn.Module):
    """Dilated residual network D-105: strides end at 8, then dilation 2, 4, and convolutions against the grid."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.base = nn.Sequential(
            _unit(3, 16, 7),
            _unit(16, 16),
            _unit(16, 32, stride=2),
            _bottlenecks(32, 64, 3, stride=2),
            _bottlenecks(256, 128, 4, stride=2),
            _bottlenecks(512, 256, 23, dilation=2),
            _bottlenecks(1024, 512, 3, dilation=4),
            _unit(2048, 512, dilation=2),
            _unit(512, 512),
        )
        self.seg = nn.Conv2d(512, classes, 1)
        self.up = nn.ConvTranspose2d(classes, classes, 16, stride=8, padding=4, groups=classes, bias=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes, height, width)."""
        return self.up(self.seg(self.base(pixels)))


# -- DeepLabV2 --------------------------------------------------------------------------------------------------------


class _NamedUnit(nn.Module):
    """Convolution without bias and batch norm under the names conv and bn."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv, self.bn, _ = _unit(before, after, kernel, stride, dilation)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Without an activation."""
        return self.bn(self.conv(hidden))


class _CaffeBottleneck(nn.Module):
    """A bottleneck whose stride is at its first convolution, as in Caffe's ResNet."""

    def __init__(self, before: int, after: int, stride: int, dilation: int, first: bool) -> None:
        super().__init__()
        middle = after // 4
        self.reduce = _NamedUnit(before, middle, 1, stride)
        self.conv3x3 = _NamedUnit(middle, middle, 3, dilation=dilation)
        self.increase = _NamedUnit(middle, after, 1)
        self.shortcut = _NamedUnit(before, after, 1, stride) if first else nn.Identity()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(batch, before, h, w) -> (batch, after, h / stride, w / stride)."""
        inner = F.relu(self.conv3x3(F.relu(self.reduce(hidden))))
        return F.relu(self.increase(inner) + self.shortcut(hidden))


class DeepLabV2(nn.Module):
    """ResNet-101 with dilation 2 and 4, and the sum of four dilated classifiers; the maximum over three scales."""

    scales = (0.5, 0.75)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer1 = nn.ModuleDict({"conv1": _NamedUnit(3, 64, 7, 2)})
        plan = ((64, 256, 3, 1, 1), (256, 512, 4, 2, 1), (512, 1024, 23, 1, 2), (1024, 2048, 3, 1, 4))
        for number, (before, after, blocks, stride, dilation) in enumerate(plan, 2):
            parts = nn.Sequential()
            for block in range(1, blocks + 1):
                width, step = (before, stride) if block == 1 else (after, 1)
                parts.add_module(f"block{block}", _CaffeBottleneck(width, after, step, dilation, block == 1))
            self.add_module(f"layer{number}", parts)
        rates = enumerate((6, 12, 18, 24))
        self.aspp = nn.ModuleDict(
            {f"c{index}": nn.Conv2d(2048, classes, 3, padding=rate, dilation=rate) for index, rate in rates}
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes, height / 8, width / 8): the largest of the scales 1, 0.5 and 0.75."""
        logits = self._at_one_scale(pixels)
        smaller = [F.interpolate(pixels, scale_factor=s, mode="bilinear", align_corners=False) for s in self.scales]
        others = [_resized(self._at_one_scale(image), logits.shape[-2:]) for image in smaller]
        return torch.stack([logits, *others]).amax(dim=0)

    def _at_one_scale(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden = F.max_pool2d(F.relu(self.layer1["conv1"](pixels)), 3, 2, 1, ceil_mode=True)
        for number in (2, 3, 4, 5):
            hidden = getattr(self, f"layer{number}")(hidden)
        return torch.stack([classifier(hidden) for classifier in self.aspp.values()]).sum(dim=0)


def _resized(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)


__all__ = ["DRND105", "DeepLabV2", "UperNet101"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The SPADE discriminator (Park et al., CVPR 2019), as OASIS describes it (Sec. 3.1): PatchGANs at several
resolutions, which read image and label map together. Written from that description; what it leaves open (kernels,
padding, how the input is made smaller) is ours.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_base import NamedClassesConfig
from .configuration_spade import SPADEDiscriminatorConfig
from .layers_spade import maybe_spectral_norm
from .modeling_base import FoldableModel, init_by_xavier
from .modeling_checks import check_images, is_integer
from .modeling_outputs import DiscriminatorOutput


class PatchNetwork(nn.Module):
    """One PatchGAN: hidden 4x4 convolutions, all but the last of stride 2, and one that gives a score per patch.

    Args:
        config: of the discriminator.
    """

    def __init__(self, config: SPADEDiscriminatorConfig) -> None:
        super().__init__()
        widths = [3 + config.num_labels, *config.encoder_channels]
        self.layers = nn.ModuleList()
        for index, (before, after) in enumerate(pairwise(widths)):
            normed = config.instance_norm and index > 0
            stride = 1 if index == len(widths) - 2 else 2
            # Two pixels of padding: patches reach over the border, and none is left out of a small image.
            convolution = nn.Conv2d(before, after, 4, stride, padding=2, bias=not normed)
            layers = [maybe_spectral_norm(convolution, config.spectral_norm)]
            layers += [nn.InstanceNorm2d(after)] if normed else []
            self.layers.append(nn.Sequential(*layers, nn.LeakyReLU(0.2)))
        self.score = maybe_spectral_norm(nn.Conv2d(widths[-1], 1, 4, padding=2), config.spectral_norm)

    def forward(self, joined: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Scores (batch, 1, h, w), and the hidden activations, of (batch, 3 + num_labels, height, width)."""
        hidden, activations = joined, []
        for layer in self.layers:
            hidden = layer(hidden)
            activations.append(hidden)
        return self.score(hidden), activations


class SPADEDiscriminator(FoldableModel):
    """Scores patches of an image and its label map at several scales; it labels no pixels."""

    config_class: type[NamedClassesConfig] = SPADEDiscriminatorConfig
    base_model_prefix = "discriminator"
    main_input_name = "pixel_values"
    reads_label_map = True
    labels_pixels = False

    def __init__(self, config: SPADEDiscriminatorConfig) -> None:
        super().__init__(config)
        self.scales = nn.ModuleList(PatchNetwork(config) for _ in range(config.patch_scales))
        self.post_init()

    @property
    def label_convolutions(self) -> list[str]:
        """Names of the convolutions whose inputs, after the image's three, are one per class."""
        return [f"scales.{index}.layers.0.0" for index in range(len(self.scales))]

    def _init_weights(self, module: nn.Module) -> None:
        init_by_xavier(module, self.config.init_gain)

    def forward(
        self,
        pixel_values: torch.Tensor,
        label_map: torch.Tensor | None = None,
        output_features: bool = False,
        return_dict: bool = True,
    ) -> DiscriminatorOutput | tuple[torch.Tensor, ...]:
        """Score patches.

        Args:
            pixel_values: (batch, 3, height, width) in [-1, 1]; sides are multiples of config.size_divisor.
            label_map: (batch, height, width) int64, 0 .. num_labels - 1, of these images; it cannot be left out.
            output_features: also return the hidden activations as `encoder_features`, network after network, each
                from fine to coarse: patch_scales * len(encoder_channels) of them.
            return_dict: a `DiscriminatorOutput` whose `patch_logits` has (batch, 1, h, w) of each scale, fine to
                coarse, else a tuple.

        Raises:
            ValueError: for a size or a label map that does not fit.
        """
        check_images(pixel_values, self.config.size_divisor)
        joined = torch.cat([pixel_values, self._one_hot(pixel_values, label_map)], dim=1)
        scores, features = [], []
        for index, network in enumerate(self.scales):
            joined = F.avg_pool2d(joined, 2) if index else joined
            score, activations = network(joined)
            scores.append(score)
            features += activations
        output = DiscriminatorOutput(
            patch_logits=tuple(scores), encoder_features=tuple(features) if output_features else None
        )
        return output if return_dict else output.to_tuple()

    def _one_hot(self, pixel_values: torch.Tensor, label_map: torch.Tensor | None) -> torch.Tensor:
        batch, _, height, width = pixel_values.shape
        if label_map is None or tuple(label_map.shape) != (batch, height, width) or not is_integer(label_map):
            given = "None" if label_map is None else f"of shape {tuple(label_map.shape)} and type {label_map.dtype}"
            raise ValueError(
                f"label_map is {given}; this discriminator judges images together with their class indices, int64 of "
                f"shape {(batch, height, width)}"
            )
        count = self.config.num_labels
        if (
            label_map.device.type == "cpu" and not torch.compiler.is_compiling()
        ):  # elsewhere it would wait for the queue
            wrong = label_map[(label_map < 0) | (label_map >= count)]
            if len(wrong):
                raise ValueError(f"label_map holds {int(wrong[0])}, outside the legal range 0..{count - 1}")
        return pixel_values.new_zeros(batch, count, height, width).scatter_(1, label_map.long()[:, None], 1.0)


__all__ = ["SPADEDiscriminator"]

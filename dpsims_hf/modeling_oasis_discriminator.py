# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The OASIS discriminator (Schoenfeld et al., ICLR 2021, Sec. 3.2, App. C.1, Table L). Written from the paper."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_base import NamedClassesConfig
from .configuration_oasis import OASISDiscriminatorConfig
from .layers_unet import ResidualBlock
from .modeling_base import FoldableModel, check_images, init_by_xavier
from .modeling_outputs import DiscriminatorOutput
from .modeling_segmentation import SegmentsImages


class OASISDiscriminator(FoldableModel):
    """A UNet that labels each pixel with one of `num_labels` classes or "fake" (the last channel)."""

    config_class: type[NamedClassesConfig] = OASISDiscriminatorConfig
    auto_classes = {
        "AutoModel": "OASISDiscriminator",
        "AutoModelForSemanticSegmentation": "OASISForSemanticSegmentation",
    }
    base_model_prefix = "discriminator"
    main_input_name = "pixel_values"

    def __init__(self, config: OASISDiscriminatorConfig) -> None:
        super().__init__(config)
        down, up = config.encoder_channels, config.decoder_channels
        self.encoder = nn.ModuleList(
            ResidualBlock(before, after, config.spectral_norm, first=index == 0, shortcut_bias=True)
            for index, (before, after) in enumerate(pairwise([3, *down]))
        )
        skips = [0, *reversed(down[:-1])]
        self.decoder = nn.ModuleList(
            ResidualBlock(before + skip, after, config.spectral_norm, shortcut_bias=True)
            for (before, after), skip in zip(pairwise([down[-1], *up]), skips, strict=True)
        )
        self.classifier = nn.Conv2d(up[-1], config.num_labels + 1, 1)
        if not hasattr(self.config, "patch_channels"):  # DP-GAN's adds heads, and ends itself
            self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        init_by_xavier(module, self.config.init_gain)

    def forward(
        self, pixel_values: torch.Tensor, output_features: bool = False, return_dict: bool = True
    ) -> DiscriminatorOutput | tuple[torch.Tensor, ...]:
        """Classify pixels.

        Args:
            pixel_values: (batch, 3, height, width) in [-1, 1]; sides are multiples of config.size_divisor.
            output_features: also return the activations of the down blocks, fine to coarse, and of the up blocks but
                the first, coarse to fine (what DP-GAN's feature matching compares).
            return_dict: a `DiscriminatorOutput`, else a tuple.

        Raises:
            ValueError: for a size that does not fit, naming the nearest legal one.
        """
        encoded, decoded = self._unet(pixel_values)
        output = self._output(encoded, decoded, output_features)
        return output if return_dict else output.to_tuple()

    def _unet(self, pixel_values: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Activations of the down blocks, fine to coarse, and of the up blocks, coarse to fine."""
        check_images(pixel_values, self.config.size_divisor)
        hidden, encoded, decoded = pixel_values, [], []
        for block in self.encoder:
            hidden = F.avg_pool2d(block(hidden), 2)
            encoded.append(hidden)
        for block, skip in zip(self.decoder, [None, *reversed(encoded[:-1])], strict=True):
            joined = hidden if skip is None else torch.cat([skip, hidden], dim=1)
            hidden = block(F.interpolate(joined, scale_factor=2, mode="nearest"))
            decoded.append(hidden)
        return encoded, decoded

    def _output(
        self, encoded: list[torch.Tensor], decoded: list[torch.Tensor], output_features: bool
    ) -> DiscriminatorOutput:
        return DiscriminatorOutput(
            segmentation_logits=self.classifier(decoded[-1]),
            encoder_features=tuple(encoded) if output_features else None,
            decoder_features=tuple(decoded[1:]) if output_features else None,
        )


class OASISForSemanticSegmentation(SegmentsImages, OASISDiscriminator):  # type: ignore[misc]  # other calls
    """The discriminator as a segmenter of transformers."""


__all__ = ["OASISDiscriminator", "OASISForSemanticSegmentation"]

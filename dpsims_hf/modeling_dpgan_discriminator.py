# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The DP-GAN discriminator (Li et al., BMVC 2022, Sec. 3.2, Table 7): the UNet of OASIS with patch heads. Written from
the paper. The heads' depth and widths, which it leaves open, are those of the released weights, and so is their
LeakyReLU, where the paper says ReLU (Sec. 3.2).
"""

import torch
from torch import nn

from .configuration_base import NamedClassesConfig
from .configuration_dpgan import DPGANDiscriminatorConfig
from .modeling_oasis_discriminator import OASISDiscriminator
from .modeling_outputs import DiscriminatorOutput
from .modeling_segmentation import SegmentsImages


class PatchHead(nn.Sequential):
    """D_p of Eq. 5: (batch, in_channels, h, w) -> one score per patch, (batch, 1, ceil(h / 2), ceil(w / 2)).

    Args:
        in_channels: width of the block that is read.
        channels: width of the head.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(3):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(channels, 1, 3, padding=1))


class DPGANDiscriminator(OASISDiscriminator):
    """Labels each pixel with a class or "fake" (the last channel), and scores patches at several scales."""

    config_class: type[NamedClassesConfig] = DPGANDiscriminatorConfig
    auto_classes = {
        "AutoModel": "DPGANDiscriminator",
        "AutoModelForSemanticSegmentation": "DPGANForSemanticSegmentation",
    }

    def __init__(self, config: DPGANDiscriminatorConfig) -> None:
        super().__init__(config)
        widths = [config.encoder_channels[block - 1] for block in config.patch_encoder_blocks]
        widths += [config.decoder_channels[block - 1] for block in config.patch_decoder_blocks]
        self.patch_heads = nn.ModuleList(PatchHead(width, config.patch_channels) for width in widths)
        self.post_init()

    def forward(  # type: ignore[override]  # one option more, before return_dict
        self,
        pixel_values: torch.Tensor,
        output_features: bool = False,
        output_patches: bool = True,
        return_dict: bool = True,
    ) -> DiscriminatorOutput | tuple[torch.Tensor, ...]:
        """Classify pixels and patches.

        Args:
            pixel_values, output_features, return_dict: see `OASISDiscriminator`.
            output_patches: False leaves the patch heads out.

        Raises:
            ValueError: for a size that does not fit, naming the nearest legal one.
        """
        encoded, decoded = self._unet(pixel_values)
        output = self._output(encoded, decoded, output_features)
        if output_patches and len(self.patch_heads):
            read = [encoded[block - 1] for block in self.config.patch_encoder_blocks]
            read += [decoded[block - 1] for block in self.config.patch_decoder_blocks]
            heads = zip(self.patch_heads, read, strict=True)
            output.patch_logits = tuple(head(features) for head, features in heads)
        return output if return_dict else output.to_tuple()


class DPGANForSemanticSegmentation(SegmentsImages, DPGANDiscriminator):  # type: ignore[misc]  # other calls
    """The discriminator as a segmenter of transformers."""


__all__ = ["DPGANDiscriminator", "DPGANForSemanticSegmentation"]

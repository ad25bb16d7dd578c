"""The VGG perceptual loss that OASIS ablates (App. C.3; Park et al., 2019), over any frozen feature networks."""

import torch
from torch import nn

from .contrastive import FeatureNetworks
from .losses import perceptual_loss


class PerceptualLoss(nn.Module):
    """Distance of images in the features of frozen networks.

    Args:
        networks: give the levels.
        level_weights: one per level.
    """

    def __init__(self, networks: FeatureNetworks, level_weights: tuple[float, ...]) -> None:
        super().__init__()
        if len(level_weights) != len(networks.channels):
            raise ValueError(
                f"perceptual.level_weights has {len(level_weights)} numbers for {len(networks.channels)} feature "
                "levels; give one per level"
            )
        self.networks = networks
        self.level_weights = tuple(level_weights)

    def forward(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The loss between images (batch, 3, height, width) in [-1, 1]; the gradient goes to `fake` alone."""
        with torch.no_grad():
            real_features = self.networks(real)
        return perceptual_loss(self.networks(fake), real_features, self.level_weights)

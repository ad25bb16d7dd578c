# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The objective of OASIS (Schoenfeld et al., ICLR 2021, Sec. 3.2, App. C.3), to be read beside the paper.

L_D = Eq. 1       d_real, d_fake  (N+1)-class cross-entropy, class-balanced
    + L_cons      d_labelmix      LabelMix consistency                        x lambda_labelmix
L_G = Sec. 3.3    g_gan           generated pixels to the class of the map    x lambda_gan
    + App. C.3    g_vgg           VGG perceptual loss; an ablation, off       x lambda_vgg
"""

from dataclasses import dataclass

from .base import AdversarialObjective
from .common import D_FAKE, D_LABELMIX, D_REAL, G_CLASS_COLOR, G_COLOR, G_GAN, G_VGG
from .weights import AdversarialLossWeights


@dataclass(frozen=True)
class OASISLossWeights(AdversarialLossWeights):
    """Weights of OASIS.

    Args:
        lambda_labelmix: 5 on ADE20K and Cityscapes, 10 on COCO-Stuff (App. C.3); 0 is "no LabelMix" (Table 3).
        lambda_vgg: 10 in the ablations with a perceptual loss (App. C.3); 0 drops the term and its cost.
    """

    lambda_labelmix: float = 5.0
    lambda_vgg: float = 0.0


class OASISObjective(AdversarialObjective):
    """L_D and L_G of OASIS; `features` is a `PerceptualLoss`, needed only with lambda_vgg."""

    weights: OASISLossWeights
    terms = (D_REAL, D_FAKE, D_LABELMIX, G_COLOR, G_CLASS_COLOR, G_GAN, G_VGG)


__all__ = ["OASISLossWeights", "OASISObjective"]

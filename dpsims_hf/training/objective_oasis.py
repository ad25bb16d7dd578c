"""The objective of OASIS (Schoenfeld et al., ICLR 2021, Sec. 3.2, App. C.3), to be read beside the paper.

L_D = Eq. 1       d_real, d_fake  (N+1)-class cross-entropy, class-balanced
    + L_cons      d_labelmix      LabelMix consistency                        x lambda_labelmix
L_G = Sec. 3.3    g_gan           generated pixels to the class of the map    x lambda_gan
    + App. C.3    g_vgg           VGG perceptual loss; an ablation, off       x lambda_vgg
"""

from dataclasses import dataclass
from typing import Any

import torch

from .loss_weights import AdversarialLossWeights
from .objective_base import AdversarialObjective


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

    def __init__(self, weights: OASISLossWeights, *args: Any, **kwargs: Any) -> None:
        super().__init__(weights, *args, **kwargs)
        if self.weights.lambda_vgg and self.features is None:
            raise ValueError("lambda_vgg is not 0 but there is no feature network; give one or set it to 0")

    def _trains_generator(self) -> bool:
        return super()._trains_generator() or bool(self.weights.lambda_vgg)

    def _generator_extras(
        self, output: Any, judged: Any, discriminator: Any, projection: Any, batch: Any, *_: Any
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        if not self.weights.lambda_vgg:
            return {}, {}
        return {
            "g_vgg": self.weights.lambda_vgg * self.features(batch["fake_pixel_values"], batch["pixel_values"])
        }, {}

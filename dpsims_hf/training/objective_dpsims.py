"""The objective of DP-SIMS (Berrada et al., arXiv:2312.13314, Sec. 3.3), to be read beside the paper.

    L_D = Eq. 3, first line    d_real         real pixels to their class: weighted focal loss, smoothed labels
        + Eq. 3, second line   d_fake         generated pixels to class C + 1
    L_G = Eq. 4                g_gan          generated pixels to the class of the label map    x lambda_gan
        + Eq. 5                g_contrastive  InfoNCE summed over feature levels                x lambda_contrastive
        + Eq. 6                g_diversity    hinge on the change under a second noise          x lambda_diversity

Both functions return already weighted terms by name; the script sums them, calls backward and logs the same numbers.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from ..modeling_outputs import DiscriminatorOutput
from .contrastive import ProjectionHeads, sample_positions
from .loss_weights import AdversarialLossWeights
from .losses import diversity_hinge, diversity_ratio, info_nce
from .objective_base import AdversarialObjective, Draw, Noise


@dataclass(frozen=True)
class DPSIMSLossWeights(AdversarialLossWeights):
    """Weights and constants of DP-SIMS; the defaults are the paper's, or ours where it is silent.

    Args:
        lambda_gan, lambda_contrastive, lambda_diversity: Sec. 4.1; 0 drops the term and its cost (Table 6).
        focal_gamma: 2 (Sec. 4.1); 0 is cross-entropy (Table 8).
        label_smoothing: epsilon of Sec. 3.3; 0 is Table 6 "w/o label smoothing".
        contrastive_temperature: tau (Table 7).
        contrastive_negatives: N.
        diversity_target: compare "features" (G^f, the paper) or "images".
        diversity_threshold: tau_div, on mean-normalised L1 norms.
        diversity_pool: average-pool by this factor before comparing: at 1 the noise may hide in fine texture, at 8 it
            must change colour and light.
    """

    focal_gamma: float = 2.0
    label_smoothing: float = 0.1
    lambda_contrastive: float = 100.0
    lambda_diversity: float = 10.0
    contrastive_temperature: float = 0.3
    contrastive_negatives: int = 128
    diversity_target: str = "features"
    diversity_threshold: float = 1.0
    diversity_pool: int = 1

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        **AdversarialLossWeights.choices,
        "diversity_target": ("features", "images"),
    }


class DPSIMSObjective(AdversarialObjective):
    """L_D and L_G of DP-SIMS; `features` are the frozen `FeatureNetworks` of the contrastive term."""

    weights: DPSIMSLossWeights

    def __init__(self, weights: DPSIMSLossWeights, *args: Any, **kwargs: Any) -> None:
        super().__init__(weights, *args, **kwargs)
        if self.weights.lambda_contrastive and self.features is None:
            raise ValueError("lambda_contrastive is not 0 but there is no feature network; give one or set it to 0")

    def _trains_generator(self) -> bool:
        w = self.weights
        return super()._trains_generator() or bool(w.lambda_contrastive or w.lambda_diversity)

    def _generator_extras(
        self,
        output: Any,
        judged: DiscriminatorOutput | None,
        discriminator: Any,
        projection: ProjectionHeads | None,
        batch: dict[str, torch.Tensor],
        noise: Noise,
        other: Draw | None,
        rng: torch.Generator | list[torch.Generator],
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Eq. 5 and 6. z1 and z2 are exchangeable: the gradient through one side of Eq. 6 alone is half of the whole
        in expectation.
        """
        w = self.weights
        terms: dict[str, torch.Tensor] = {}
        log: dict[str, torch.Tensor] = {}
        if w.lambda_contrastive:
            contrastive = self.contrastive_loss(batch["fake_pixel_values"], batch["pixel_values"], projection, rng)
            terms["g_contrastive"] = w.lambda_contrastive * contrastive
        if w.lambda_diversity and not noise.vectors.shape[-1]:
            raise ValueError(
                "loss.lambda_diversity compares images of two noises, but generator.noise_dim is 0; "
                "--set loss.lambda_diversity=0"
            )
        if other is not None and noise.vectors.shape[-1]:
            first, second = self._compared(output), self._compared(other)
            ratio = diversity_ratio(first, second, noise.vectors, other.noise.vectors)
            if w.lambda_diversity:
                terms["g_diversity"] = w.lambda_diversity * diversity_hinge(ratio, w.diversity_threshold)
            log["diversity_ratio"] = ratio.detach().mean()
        return terms, log

    def contrastive_loss(
        self,
        fake: torch.Tensor,
        real: torch.Tensor,
        projection: ProjectionHeads,
        rng: torch.Generator | list[torch.Generator],
    ) -> torch.Tensor:
        """Eq. 5 summed over levels: features of the fake image against those of the real one, in float32."""
        with torch.no_grad():
            real_features = self.features(real)
        fake_features = self.features(fake)
        sizes = [tuple(level.shape[-2:]) for level in real_features]
        positions = [
            drawn.to(fake.device)
            for drawn in sample_positions(sizes, len(fake), self.weights.contrastive_negatives, rng)
        ]
        with torch.autocast(fake.device.type, enabled=False):
            # One call for both: a distributed wrapper wants one forward per backward.
            levels = [torch.cat(pair) for pair in zip(fake_features, real_features, strict=True)]
            projected = projection(levels, [torch.cat([index, index]) for index in positions])
            losses = [
                info_nce(*level.chunk(2), temperature=self.weights.contrastive_temperature) for level in projected
            ]
        return torch.stack(losses).sum()

    def _needs_features(self) -> bool:
        return bool(self.weights.lambda_diversity) and self.weights.diversity_target == "features"

    def _compared(self, output: Any) -> torch.Tensor:
        compared = output.features if self._needs_features() else output.images
        pool = self.weights.diversity_pool
        return F.avg_pool2d(compared.float(), pool) if pool > 1 else compared

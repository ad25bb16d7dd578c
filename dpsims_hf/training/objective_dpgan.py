"""The objective of DP-GAN (Li et al., BMVC 2022, Sec. 3.2, 3.3), to be read beside the paper.

    L_D = Eq. 3   d_real, d_fake              pixel level: (N+1)-class cross-entropy, class-balanced
        + Eq. 5   d_patch_real, d_patch_fake  patch level: hinge, averaged over heads        x lambda_patch
        + Eq. 8   d_labelmix                  LabelMix consistency                           x lambda_labelmix
    L_G = Eq. 7   g_gan                       pixel level                                    x lambda_gan
        + Eq. 7   g_patch                     patch level                                    x lambda_patch
        + Eq. 6   g_feature_matching          feature level: L2, averaged over layers        x lambda_feature_matching

The released code differs: it adds the patch terms as plain numbers, so that nothing learns from them, sums Eq. 6 over
layers and takes -D for the generator's hinge (`patch_loss_as_released`, `feature_matching_reduction`). It also does
not detach the real features of Eq. 6, which has no switch: the generator's gradient is the same.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from ..modeling_outputs import DiscriminatorOutput
from .loss_weights import AdversarialLossWeights
from .losses import feature_matching_loss, patch_generator_loss, patch_hinge_loss
from .objective_oasis import OASISLossWeights, OASISObjective


@dataclass(frozen=True)
class DPGANLossWeights(OASISLossWeights):
    """Weights of DP-GAN.

    Args:
        lambda_labelmix: 5 (supplement, Sec. 2); 0 is "w/o L_LM" (supplement, Table 3).
        lambda_patch: L_ms; 0 drops it and its cost (Table 4b). On which blocks: `discriminator.patch_encoder_blocks`
            and `patch_decoder_blocks`.
        patch_generator_form: "hinge" (Eq. 7, max(0, 1 - D)) or "linear" (-D, the usual partner of a hinge D).
        patch_loss_as_released: the patch terms are logged but train nothing, and the generator's is "linear".
        lambda_feature_matching: L_fm; 0 drops it and its cost (Table 4c).
        feature_matching_levels: the "decoder" (the paper), "encoder" or "both" (Table 4c).
        feature_matching_reduction: "mean" over layers (the paper) or "sum" (the released code).
    """

    lambda_patch: float = 1.0
    patch_generator_form: str = "hinge"
    patch_loss_as_released: bool = False
    lambda_feature_matching: float = 1.0
    feature_matching_levels: str = "decoder"
    feature_matching_reduction: str = "mean"

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        **AdversarialLossWeights.choices,
        "patch_generator_form": ("hinge", "linear"),
        "feature_matching_levels": ("decoder", "encoder", "both"),
        "feature_matching_reduction": ("mean", "sum"),
    }


class DPGANObjective(OASISObjective):
    """L_D and L_G of DP-GAN. Asks the discriminator for patch logits and for features of the named levels."""

    weights: DPGANLossWeights

    def prepare(self, discriminator: nn.Module) -> None:
        """See `AdversarialObjective.prepare`; with another family's discriminator some terms must be off."""
        super().prepare(discriminator)
        name, w = discriminator.config.model_type, self.weights
        if w.lambda_patch and not self._has_patch_heads:
            raise ValueError(
                f"loss.lambda_patch={w.lambda_patch} needs patch logits, which this {name} does not give; take a "
                "DP-GAN discriminator with patch_encoder_blocks or patch_decoder_blocks, or --set loss.lambda_patch=0"
            )
        if (
            w.lambda_feature_matching
            and w.feature_matching_levels != "decoder"
            and not hasattr(discriminator, "encoder")
        ):
            raise ValueError(
                f"loss.feature_matching_levels={w.feature_matching_levels!r} needs a trained encoder's features, "
                f"which this {name} does not give; take 'decoder', or --set loss.lambda_feature_matching=0"
            )

    def _trains_generator(self) -> bool:
        return super()._trains_generator() or self._trains_patch_heads() or bool(self.weights.lambda_feature_matching)

    def _trains_patch_heads(self) -> bool:
        return bool(self.weights.lambda_patch) and not self.weights.patch_loss_as_released

    def _reads_patches(self) -> bool:
        return bool(self.weights.lambda_patch)

    def _needs_judgement(self) -> bool:
        w = self.weights
        return bool(w.lambda_gan or w.lambda_patch or w.lambda_feature_matching)

    def _compares_judgements(self) -> bool:
        return bool(self.weights.lambda_feature_matching)

    def _discriminator_extras(
        self, on_real: DiscriminatorOutput, on_fake: DiscriminatorOutput
    ) -> dict[str, torch.Tensor]:
        if not self.weights.lambda_patch:
            return {}
        return {
            "d_patch_real": self._patch_term(patch_hinge_loss(on_real.patch_logits, real=True)),
            "d_patch_fake": self._patch_term(patch_hinge_loss(on_fake.patch_logits, real=False)),
        }

    def _generator_extras(
        self,
        output: Any,
        judged: DiscriminatorOutput,
        discriminator: nn.Module,
        projection: Any,
        batch: Any,
        *rest: Any,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        w = self.weights
        terms, log = super()._generator_extras(output, judged, discriminator, projection, batch, *rest)
        if w.lambda_patch:
            form = "linear" if w.patch_loss_as_released else w.patch_generator_form
            terms["g_patch"] = self._patch_term(patch_generator_loss(judged.patch_logits, form))
        if w.lambda_feature_matching:
            with torch.no_grad():
                photos = batch.get("judged_pixel_values", batch["pixel_values"])
                real = self._judge(discriminator, photos, output_patches=False, output_features=True)
            matching = feature_matching_loss(self._matched(judged), self._matched(real), w.feature_matching_reduction)
            terms["g_feature_matching"] = w.lambda_feature_matching * matching
        return terms, log

    def _patch_term(self, loss: torch.Tensor) -> torch.Tensor:
        term = self.weights.lambda_patch * loss
        return term.detach() if self.weights.patch_loss_as_released else term

    def _matched(self, output: DiscriminatorOutput) -> tuple[torch.Tensor, ...]:
        levels = self.weights.feature_matching_levels
        encoder = output.encoder_features if levels != "decoder" else ()
        return (*encoder, *(output.decoder_features if levels != "encoder" else ()))

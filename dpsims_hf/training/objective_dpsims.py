"""The objective of DP-SIMS (Berrada et al., arXiv:2312.13314, Sec. 3.3), to be read beside the paper.

    L_D = Eq. 3, first line    d_real         real pixels to their class: weighted focal loss, smoothed labels
        + Eq. 3, second line   d_fake         generated pixels to class C + 1
    L_G = Eq. 4                g_gan          generated pixels to the class of the label map    x lambda_gan
        + Eq. 5                g_contrastive  InfoNCE summed over feature levels                x lambda_contrastive
        + Eq. 6                g_diversity    hinge on the change under a second noise          x lambda_diversity

Both functions return already weighted terms by name; the script sums them, calls backward and logs the same numbers.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .contrastive import FeatureNetworks, ProjectionHeads, sample_positions
from .losses import class_weights, diversity_hinge, diversity_ratio, info_nce, n_plus_one_loss


@dataclass(frozen=True)
class DPSIMSLossWeights:
    """Weights and constants of the objective; the defaults are the paper's, or ours where it is silent.

    Args:
        lambda_gan, lambda_contrastive, lambda_diversity: Sec. 4.1; 0 drops the term and its cost (Table 6).
        focal_gamma: 2 (Sec. 4.1); 0 is cross-entropy (Table 8).
        class_balancing: alpha_c of OASIS (Table 8 "Focal" is without).
        label_smoothing: epsilon of Sec. 3.3; 0 is Table 6 "w/o label smoothing".
        label_smoothing_form: "distribute" (epsilon to the other classes) or "literal" (the paper's words).
        label_smoothing_targets: "both" terms of the D loss, or "real" only.
        contrastive_temperature: tau (Table 7).
        contrastive_negatives: N.
        diversity_target: compare "features" (G^f, the paper) or "images".
        diversity_threshold: tau_div, on mean-normalised L1 norms.
        diversity_pool: average-pool by this factor before comparing: at 1 the noise may hide in fine texture, at 8 it
            must change colour and light.
        joint_batch_norm: real and fake share D's batch, hence its feature statistics.
        generator_step_statistics: by which statistics D normalises features in G's half-step: the "running" ones of
            its own half-steps, or those of the fake "batch" alone, which hide a tint that all fakes share.
    """

    lambda_gan: float = 1.0
    lambda_contrastive: float = 100.0
    lambda_diversity: float = 10.0
    focal_gamma: float = 2.0
    class_balancing: bool = True
    label_smoothing: float = 0.1
    label_smoothing_form: str = "distribute"
    label_smoothing_targets: str = "both"
    contrastive_temperature: float = 0.3
    contrastive_negatives: int = 128
    diversity_target: str = "features"
    diversity_threshold: float = 1.0
    diversity_pool: int = 1
    joint_batch_norm: bool = True
    generator_step_statistics: str = "running"

    def __post_init__(self) -> None:
        for name, choices in {
            "label_smoothing_form": ("distribute", "literal"),
            "label_smoothing_targets": ("both", "real"),
            "diversity_target": ("features", "images"),
            "generator_step_statistics": ("running", "batch"),
        }.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"loss.{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(choices)}")


@dataclass
class Draw:
    """A detached generator output, kept from D's half-step: the second image of the diversity loss costs nothing.

    Args:
        noise: (batch, noise_dim).
        images, features: what the generator gave for it.
    """

    noise: torch.Tensor
    images: torch.Tensor
    features: torch.Tensor | None


def generate(generator: nn.Module, batch: dict[str, torch.Tensor], noise: torch.Tensor, output_features: bool) -> Any:
    """Run the generator on a batch's label maps."""
    offsets = {"instance_offsets": batch["instance_offsets"]} if "instance_offsets" in batch else {}
    return generator(batch["label_map"], noise=noise, output_features=output_features, **offsets)


class DPSIMSObjective:
    """Terms of L_D and L_G. Holds constants and the frozen feature networks; no trainable state of its own.

    Args:
        weights: constants.
        num_labels: classes, void included; also the index of "fake".
        void_label_id: void class, if any.
        feature_networks: frozen; None without the contrastive term.
    """

    def __init__(
        self,
        weights: DPSIMSLossWeights,
        num_labels: int,
        void_label_id: int | None = None,
        feature_networks: FeatureNetworks | None = None,
    ) -> None:
        if weights.lambda_contrastive and feature_networks is None:
            raise ValueError("lambda_contrastive is not 0 but there is no feature network; give one or set it to 0")
        self.weights = weights
        self.num_labels = num_labels
        self.void_label_id = void_label_id
        self.feature_networks = feature_networks

    def discriminator_terms(
        self, generator: nn.Module, discriminator: nn.Module, batch: dict[str, torch.Tensor], noise: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], Draw]:
        """L_D (Eq. 3), and the images it was computed on.

        Args:
            generator: makes the fakes; gets no gradient.
            discriminator: gets all of it.
            batch: pixel_values (batch, 3, H, W), label_map (batch, H, W), maybe instance_offsets.
            noise: (batch, noise_dim).
        """
        w = self.weights
        with torch.no_grad():
            output = generate(generator, batch, noise, self._needs_features())
        real, labels = batch["pixel_values"], batch["label_map"]
        if w.joint_batch_norm:
            both = discriminator(torch.cat([real, output.images.to(real.dtype)])).segmentation_logits
            logits_real, logits_fake = both.chunk(2)
        else:
            logits_real = discriminator(real).segmentation_logits
            logits_fake = discriminator(output.images.to(real.dtype)).segmentation_logits
        fake_target = torch.full_like(labels, self.num_labels)
        smooth_fake = w.label_smoothing if w.label_smoothing_targets == "both" else 0.0
        terms = {
            "d_real": n_plus_one_loss(
                logits_real, labels, self._alpha(labels), w.focal_gamma, w.label_smoothing, w.label_smoothing_form
            ),
            "d_fake": n_plus_one_loss(
                logits_fake, fake_target, None, w.focal_gamma, smooth_fake, w.label_smoothing_form
            ),
        }
        return terms, Draw(noise, output.images, output.features)

    def generator_terms(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        projection: ProjectionHeads | None,
        batch: dict[str, torch.Tensor],
        noise: torch.Tensor,
        other: Draw | None,
        rng: torch.Generator,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """L_G (Eq. 4-6), and numbers that are worth a look but are not trained.

        Args:
            generator: gets all gradient; `projection` gets that of the contrastive term.
            discriminator: its parameters are frozen by the caller.
            projection: heads of the contrastive term.
            batch: as above.
            noise: z1, (batch, noise_dim).
            other: output for z2 on the same label maps by the same weights, detached: z1 and z2 are exchangeable, so
                the gradient through one side alone is half of the whole in expectation.
            rng: a CPU generator for the positions of the contrastive term.
        """
        w = self.weights
        output = generate(generator, batch, noise, self._needs_features())
        labels = batch["label_map"]
        terms: dict[str, torch.Tensor] = {}
        log: dict[str, torch.Tensor] = {}
        if w.lambda_gan:
            logits = discriminator(output.images).segmentation_logits
            terms["g_gan"] = w.lambda_gan * n_plus_one_loss(logits, labels, self._alpha(labels), w.focal_gamma)
        if w.lambda_contrastive:
            contrastive = self.contrastive_loss(output.images, batch["pixel_values"], projection, rng)
            terms["g_contrastive"] = w.lambda_contrastive * contrastive
        if other is not None:
            ratio = diversity_ratio(self._compared(output), self._compared(other), noise, other.noise)
            if w.lambda_diversity:
                terms["g_diversity"] = w.lambda_diversity * diversity_hinge(ratio, w.diversity_threshold)
            log["diversity_ratio"] = ratio.detach().mean()
            log["image_difference"] = (output.images.detach().float() - other.images.float()).abs().mean()
        return terms, log

    def contrastive_loss(
        self, fake: torch.Tensor, real: torch.Tensor, projection: ProjectionHeads, rng: torch.Generator
    ) -> torch.Tensor:
        """Eq. 5 summed over levels: features of the fake image against those of the real one, in float32."""
        with torch.no_grad():
            real_features = self.feature_networks(real)
        fake_features = self.feature_networks(fake)
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

    def _alpha(self, labels: torch.Tensor) -> torch.Tensor | None:
        if not self.weights.class_balancing:
            return None
        return class_weights(labels, self.num_labels, self.void_label_id)

    def _needs_features(self) -> bool:
        return bool(self.weights.lambda_diversity) and self.weights.diversity_target == "features"

    def _compared(self, output: Any) -> torch.Tensor:
        compared = output.features if self._needs_features() else output.images
        pool = self.weights.diversity_pool
        return F.avg_pool2d(compared.float(), pool) if pool > 1 else compared


def check_finite(terms: dict[str, torch.Tensor], step: int) -> None:
    """Raise if a term is not finite, with its name and the step."""
    values = torch.stack([value.detach().float() for value in terms.values()])
    if not torch.isfinite(values).all():
        bad = [f"{name}={value:.4g}" for name, value in zip(terms, values.tolist(), strict=True) if value - value != 0]
        raise FloatingPointError(
            f"step {step}: {', '.join(bad)} is not finite; lower the learning rate, clip gradients "
            "(--set training.max_grad_norm=1) or train in float32 (--mixed_precision no)"
        )

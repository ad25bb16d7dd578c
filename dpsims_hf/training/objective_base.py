"""What the objectives of all families share (OASIS Sec. 3.2; DP-GAN Eq. 3, 7, 8; DP-SIMS Eq. 3, 4).

    L_D =  d_real      real pixels to their class: class-balanced N+1 loss, focal and smoothed in DP-SIMS
         + d_fake      generated pixels to class N + 1
         + d_labelmix  consistency under LabelMix                                   x lambda_labelmix
    L_G =  g_gan       generated pixels to the class of the label map               x lambda_gan
         + g_color     pooled colours to those of the photo (ours)                  x lambda_color
         + g_class_color  mean colour of each class likewise (ours)                 x lambda_class_color

A family adds terms by `_discriminator_extras` and `_generator_extras`. All terms are already weighted and go by name;
the script sums them, calls backward and logs the same numbers.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from ..modeling_outputs import DiscriminatorOutput
from .distributed import sum_over_processes
from .loss_weights import AdversarialLossWeights
from .losses import (
    class_color_loss,
    class_weights,
    color_loss,
    labelmix,
    labelmix_loss,
    labelmix_mask,
    n_plus_one_loss,
    void_borders,
)
from .random_shift import random_shift


@dataclass(frozen=True)
class Noise:
    """Noise of a batch.

    Args:
        vectors: (batch, noise_dim), or (batch, regions, noise_dim).
        regions: (batch, height, width), which vector each pixel obeys; None with one vector per image.
        texture_seed: (batch,) int64 of the generator's texture noise; None for a generator without.
        from_photo: (batch,) bool, whose vector tells the photo's appearance; None where the option is off.
    """

    vectors: torch.Tensor
    regions: torch.Tensor | None = None
    texture_seed: torch.Tensor | None = None
    from_photo: torch.Tensor | None = None

    @staticmethod
    def stacked(parts: "list[Noise]") -> "Noise":
        """One batch of several."""
        columns = ([getattr(part, entry.name) for part in parts] for entry in fields(Noise))
        return Noise(*(None if column[0] is None else torch.cat(column) for column in columns))


@dataclass
class Draw:
    """A detached generator output, kept from D's half-step: a second image of each label map that costs nothing.

    Args:
        noise: what it was made from.
        images, features: what the generator gave.
    """

    noise: Noise
    images: torch.Tensor
    features: torch.Tensor | None


def generate(generator: nn.Module, batch: dict[str, torch.Tensor], noise: Noise, output_features: bool) -> Any:
    """Run the generator on a batch's label maps."""
    extra = {"instance_offsets": batch["instance_offsets"]} if "instance_offsets" in batch else {}
    if noise.texture_seed is not None:
        extra["texture_seed"] = noise.texture_seed
    return generator(
        batch["label_map"],
        noise=noise.vectors,
        noise_regions=noise.regions,
        output_features=output_features,
        **extra,
    )


class AdversarialObjective:
    """Terms of L_D and L_G. Holds constants and frozen feature networks; no trainable state of its own.

    Call `prepare` with the bare discriminator once, before the first step.

    Args:
        weights: constants.
        num_labels: classes, void included; also the index of "fake".
        void_label_id: void class, if any.
        features: the family's frozen feature part, if its terms need one.
    """

    def __init__(
        self,
        weights: AdversarialLossWeights,
        num_labels: int,
        void_label_id: int | None = None,
        features: Any = None,
    ) -> None:
        self._all_weights = weights
        self.weights = weights.peaks()  # for `prepare`; a step takes its own
        self.num_labels = num_labels
        self.void_label_id = void_label_id
        self.features = features
        self.augmentation: Any = None  # `AdaptiveAugmentation`, where the options ask for it
        self.photo_noise: Any = None  # `PhotoNoise`, likewise
        self._has_patch_heads = False

    def prepare(self, discriminator: nn.Module) -> None:
        """Check that the discriminator offers what the terms ask for, and freeze what none of them trains.

        Raises:
            ValueError: naming the term, what it needs and the options that help.
        """
        if self.weights.border_width and (self.void_label_id is None or not self.weights.class_balancing):
            raise ValueError(
                f"loss.border_width={self.weights.border_width} turns pixels to void, which only class-balanced "
                "losses of a label space with void leave out; --set loss.border_width=0"
            )
        if not self._trains_generator():
            raise ValueError(
                "no loss term trains the generator; set one of its weights, for instance loss.lambda_gan=1"
            )
        self._has_patch_heads = len(getattr(discriminator, "patch_heads", ())) > 0
        if self._has_patch_heads and not self._trains_patch_heads():
            discriminator.patch_heads.requires_grad_(False)

    def at_step(self, step: int) -> None:
        """Take the weights that the schedule has for a step."""
        self.weights = self._all_weights.at(step)

    def noise_for_photos(self, noise: Noise, batch: dict[str, torch.Tensor], rng: torch.Generator) -> Noise:
        """By a coin, the noise of one image in G's half-step tells its photo's appearance.

        Args:
            noise: of a batch of one.
            batch: pixel_values and label_map of it.
            rng: a CPU generator.
        """
        if self.photo_noise is None:
            return noise
        vectors, chosen = noise.vectors, bool(torch.rand((), generator=rng) < self.weights.photo_noise)
        if chosen:
            vectors = self.photo_noise(batch["pixel_values"][0], batch["label_map"][0], vectors[0], rng)[None]
        return replace(noise, vectors=vectors, from_photo=torch.tensor([chosen], device=vectors.device))

    def sample_noise(
        self, generator: nn.Module, label_map: torch.Tensor, rng: torch.Generator, coin: torch.Tensor | None = None
    ) -> Noise:
        """Noise for label maps by the sampling scheme of training (OASIS App. A.7, Table I).

        Args:
            generator: the bare generator.
            label_map: (batch, height, width).
            rng: a CPU generator.
            coin: scalar in [0, 1) on the CPU, decides for "mix"; None draws it. One coin serves a whole step, as in
                the paper.
        """
        noise = self._sample_vectors(generator, label_map, rng, coin)
        if not generator.config.texture_noise:
            return noise
        seeds = torch.randint(0, 2**30, (len(label_map),), generator=rng)
        return replace(noise, texture_seed=seeds.to(label_map.device))

    def _sample_vectors(
        self, generator: nn.Module, label_map: torch.Tensor, rng: torch.Generator, coin: torch.Tensor | None
    ) -> Noise:
        sampling, count = self.weights.noise_sampling, len(label_map)
        if sampling == "mix":
            coin = torch.rand((), generator=rng) if coin is None else coin
            sampling = "region" if coin < 0.5 else "image"
        if sampling == "image":
            return Noise(generator.sample_noise(count, generator=rng).to(label_map.device))
        if sampling == "region":
            return Noise(generator.sample_noise(count, self.num_labels, rng).to(label_map.device), label_map)
        pixels = label_map[0].numel()
        regions = torch.arange(pixels, device=label_map.device).view(1, *label_map.shape[1:]).expand_as(label_map)
        return Noise(generator.sample_noise(count, pixels, rng).to(label_map.device), regions)

    def discriminator_terms(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        batch: dict[str, torch.Tensor],
        noise: Noise,
        rng: torch.Generator,
        image_rngs: list[torch.Generator] | None = None,
    ) -> tuple[dict[str, torch.Tensor], Draw]:
        """L_D, and the images it was computed on.

        Args:
            generator: makes the fakes; gets no gradient.
            discriminator: gets all of it.
            batch: pixel_values (batch, 3, H, W), label_map (batch, H, W), maybe instance_offsets.
            noise: of the fakes.
            rng: a CPU generator for the coins of LabelMix, which all images share.
            image_rngs: a CPU generator for each image's own draws; None takes `rng` for them too.
        """
        w = self.weights
        with torch.no_grad():
            output = generate(generator, batch, noise, self._needs_features())
        real, labels = batch["pixel_values"], batch["label_map"]
        fake = output.images.to(real.dtype)
        if w.random_shift:
            labels, (real, fake) = random_shift(labels, (real, fake), w.random_shift, image_rngs or rng)
        if self.augmentation is not None:
            labels, (real, fake) = self.augmentation(labels, (real, fake), image_rngs or rng)
        on_real, on_fake = self._judge_both(discriminator, real, fake)
        if self.augmentation is not None:
            self.augmentation.observe(on_real.segmentation_logits)
        smoothing = {"label_smoothing": w.label_smoothing, "smoothing": w.label_smoothing_form}
        inner = self._without_borders(labels)
        terms = {
            "d_real": n_plus_one_loss(
                on_real.segmentation_logits, inner, self._alpha(inner), w.focal_gamma, **smoothing
            )
        }
        if w.label_smoothing_targets == "real":
            smoothing["label_smoothing"] = 0.0
        fake_target = torch.full_like(labels, self.num_labels)
        terms["d_fake"] = n_plus_one_loss(on_fake.segmentation_logits, fake_target, None, w.focal_gamma, **smoothing)
        if w.lambda_labelmix:
            mask = labelmix_mask(labels, self.num_labels, rng, tie_first_two=w.labelmix_as_released)
            on_mixed = self._judge(discriminator, labelmix(real, fake, mask), output_patches=False)
            loss = labelmix_loss(
                on_mixed.segmentation_logits, on_real.segmentation_logits, on_fake.segmentation_logits, mask
            )
            terms["d_labelmix"] = w.lambda_labelmix * loss
        terms |= self._discriminator_extras(on_real, on_fake)
        return terms, Draw(noise, output.images, output.features)

    def generator_terms(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        projection: nn.Module | None,
        batch: dict[str, torch.Tensor],
        noise: Noise,
        other: Draw | None,
        rng: torch.Generator | list[torch.Generator],
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """L_G, and numbers that are worth a look but are not trained.

        Args:
            generator: gets all gradient, except that of `projection`.
            discriminator: its parameters are frozen by the caller.
            projection: trainable heads, for families that have them.
            batch: as above.
            noise: of the images.
            other: output for other noise on the same label maps by the same weights, detached.
            rng: a CPU generator for random choices, or one for each image.
        """
        output = generate(generator, batch, noise, self._needs_features())
        labels, seen = batch["label_map"], output.images
        terms: dict[str, torch.Tensor] = {}
        log: dict[str, torch.Tensor] = {}
        if self.weights.lambda_color:
            anchor = color_loss(seen, batch["pixel_values"], self.weights.color_pool, noise.from_photo)
            terms["g_color"] = self.weights.lambda_color * anchor
        if self.weights.lambda_class_color:
            colors = class_color_loss(
                seen, batch["pixel_values"], labels, self.num_labels, self.void_label_id, noise.from_photo
            )
            terms["g_class_color"] = self.weights.lambda_class_color * colors
        if self.weights.random_shift:
            labels, (seen, real) = random_shift(labels, (seen, batch["pixel_values"]), self.weights.random_shift, rng)
            batch = batch | {"pixel_values": real}
        batch = batch | {"fake_pixel_values": seen}
        if self.augmentation is not None:
            labels, (seen, real) = self.augmentation(labels, (seen, batch["pixel_values"]), rng)
            batch = batch | {"judged_pixel_values": real}
        judged = None
        if self._needs_judgement():
            judged = self._judge(discriminator, seen, output_features=self._compares_judgements())
        if self.weights.lambda_gan:
            inner = self._without_borders(labels)
            gan = n_plus_one_loss(judged.segmentation_logits, inner, self._alpha(inner), self.weights.focal_gamma)
            terms["g_gan"] = self.weights.lambda_gan * gan
        if other is not None:
            log["image_difference"] = (output.images.detach().float() - other.images.float()).abs().mean()
        more_terms, more_log = self._generator_extras(
            output, judged, discriminator, projection, batch, noise, other, rng
        )
        return terms | more_terms, log | more_log

    # -- what a family overrides ----------------------------------------------------------------------------------

    def _discriminator_extras(
        self, on_real: DiscriminatorOutput, on_fake: DiscriminatorOutput
    ) -> dict[str, torch.Tensor]:
        """Further weighted terms of L_D."""
        return {}

    def _generator_extras(
        self,
        output: Any,
        judged: DiscriminatorOutput | None,
        discriminator: nn.Module,
        projection: nn.Module | None,
        batch: dict[str, torch.Tensor],
        noise: Noise,
        other: Draw | None,
        rng: torch.Generator | list[torch.Generator],
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Further weighted terms of L_G, and numbers to log.

        Feature networks see batch["fake_pixel_values"] and batch["pixel_values"], moved alike by the random shift;
        `output.images` are as generated.
        """
        return {}, {}

    def _trains_generator(self) -> bool:
        """Whether L_G has a term with a gradient."""
        w = self.weights
        return bool(w.lambda_gan or w.lambda_color or w.lambda_class_color)

    def _needs_features(self) -> bool:
        """Whether the generator's G^f is compared."""
        return False

    def _needs_judgement(self) -> bool:
        """Whether L_G asks the discriminator."""
        return bool(self.weights.lambda_gan)

    def _compares_judgements(self) -> bool:
        """Whether L_G compares the discriminator's features."""
        return False

    def _trains_patch_heads(self) -> bool:
        return False

    def _reads_patches(self) -> bool:
        """Whether a term reads patch logits, trained or not."""
        return self._trains_patch_heads()

    # -- steps ----------------------------------------------------------------------------------------------------

    def _judge(
        self,
        discriminator: nn.Module,
        images: torch.Tensor,
        output_patches: bool = True,
        output_features: bool = False,
    ) -> DiscriminatorOutput:
        options: dict[str, bool] = {}
        if self._has_patch_heads:
            options["output_patches"] = output_patches and self._reads_patches()
        return discriminator(images, output_features=output_features, **options)

    def _judge_both(
        self, discriminator: nn.Module, real: torch.Tensor, fake: torch.Tensor
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        if not self.weights.joint_batch_norm:
            return self._judge(discriminator, real), self._judge(discriminator, fake)
        both = self._judge(discriminator, torch.cat([real, fake]))
        logits = both.segmentation_logits.chunk(2)
        patches = [head.chunk(2) for head in both.patch_logits or ()]
        first, second = (
            DiscriminatorOutput(
                segmentation_logits=logits[half], patch_logits=tuple(head[half] for head in patches) or None
            )
            for half in (0, 1)
        )
        return first, second

    def _without_borders(self, labels: torch.Tensor) -> torch.Tensor:
        width = self.weights.border_width
        return void_borders(labels, width, self.void_label_id) if width else labels

    def _alpha(self, labels: torch.Tensor) -> torch.Tensor | None:
        if not self.weights.class_balancing:
            return None
        total = sum_over_processes if self.weights.global_class_weights else None
        return class_weights(labels, self.num_labels, self.void_label_id, total)


def check_finite(terms: dict[str, torch.Tensor], step: int) -> None:
    """Raise on all processes if a term is not finite on one of them, with its name and the step.

    Without the others' consent a process that stops would leave them waiting for its gradients.
    """
    values = torch.stack([value.detach().float() for value in terms.values()])
    here = (~torch.isfinite(values)).float()
    counts = sum_over_processes(here).tolist()
    if any(counts):
        pairs = zip(terms, values.tolist(), counts, strict=True)
        bad = [f"{name}={value:.4g}" if value - value != 0 else name for name, value, count in pairs if count]
        where = "" if here.any() else " on another process"
        raise FloatingPointError(
            f"step {step}: {', '.join(bad)} is not finite{where}; lower the learning rate, clip gradients "
            "(--set training.max_grad_norm=1) or train in float32 (--mixed_precision no)"
        )

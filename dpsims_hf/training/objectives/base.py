# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From rows to a step: `AdversarialObjective` computes what a family's rows ask for, and refuses what cannot work.

All terms are already weighted and go by name; the script sums them, calls backward and logs the same numbers. Rows are
computed in their order, and what they need when the first of them needs it.
"""

from dataclasses import fields, replace
from typing import Any, ClassVar

import torch
from torch import nn

from ...modeling_outputs import DiscriminatorOutput
from .adaptive_augmentation import AdaptiveAugmentation
from .common import IMAGE_DIFFERENCE
from .distributed import sum_over_processes
from .feature_networks import ProjectionHeads
from .losses import cutmix_mask, labelmix, labelmix_mask, void_borders
from .noise import Draw, Noise, generate, sample_noise
from .photo_noise import PhotoNoise
from .random_shift import random_shift
from .terms import (
    DISCRIMINATOR_FEATURES,
    MOVED,
    OF_THE_DISCRIMINATOR,
    OF_THE_GENERATOR,
    ON_FAKES,
    Need,
    Number,
    Pass,
    Provision,
    Term,
)
from .weights import AdversarialLossWeights


class AdversarialObjective:
    """Terms of L_D and L_G. Holds constants and frozen feature networks; no trainable state of its own.

    A family is a subclass with its rows. Call `prepare` with the bare networks once, before the first step.

    Args:
        weights: constants.
        num_labels: classes, void included; also the index of "fake".
        void_label_id: void class, if any.
        features: the family's frozen feature part, if its terms need one.

    Raises:
        ValueError: a row needs feature networks and there are none, or a weight has no row.
    """

    terms: ClassVar[tuple[Term, ...]] = ()
    numbers: ClassVar[tuple[Number, ...]] = (IMAGE_DIFFERENCE,)

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
        self.augmentation: AdaptiveAugmentation | None = None  # where the options ask for it
        self.photo_noise: PhotoNoise | None = None  # likewise
        self._has_patch_heads = self._reads_label_map = self._encodes_style = False
        self._check_rows()

    def _check_rows(self) -> None:
        weights = {entry.name: getattr(self.weights, entry.name) for entry in fields(self.weights)}
        used = {term.weight for term in self.terms}
        for term in self.terms:
            if term.weight is not None and term.weight not in weights:
                owner = type(self.weights).__name__
                raise ValueError(f"{term.name}: {owner} has no field {term.weight!r} for its weight")
        for name, value in weights.items():
            if name.startswith("lambda_") and value and name not in used:
                raise ValueError(f"loss.{name}={value} weighs no term of {type(self).__name__}; set it to 0")
        for term in self.rows():
            if Need.FEATURE_NETWORKS in term.needed(self.weights) and self.features is None:
                raise ValueError(f"{term.weight} is not 0 but there is no feature network; give one or set it to 0")

    # -- what follows from the rows ---------------------------------------------------------------------------------

    def rows(self, half: str = "") -> list[Term]:
        """The rows that count by the present weights: of L_D ("d_"), of L_G ("g_"), or all."""
        return [term for term in self.terms if term.name.startswith(half) and term.is_on(self.weights)]

    def needs(self, half: str = "") -> Need:
        """What these rows need."""
        needed = Need.NOTHING
        for term in self.rows(half):
            needed |= term.needed(self.weights)
        return needed

    def prepare(self, discriminator: nn.Module, generator: nn.Module | None = None) -> None:
        """Check that the networks offer what the rows ask for, and freeze what none of them trains.

        Raises:
            ValueError: naming the term, what it needs and the options that help.
        """
        w = self.weights
        if w.border_width and (self.void_label_id is None or not w.class_balancing):
            raise ValueError(
                f"loss.border_width={w.border_width} turns pixels to void, which only class-balanced "
                "losses of a label space with void leave out; --set loss.border_width=0"
            )
        if not any(term.trains(w) for term in self.rows("g_")):
            raise ValueError(
                "no loss term trains the generator; set one of its weights, for instance loss.lambda_gan=1"
            )
        self._refuse(OF_THE_DISCRIMINATOR, discriminator)
        self._reads_label_map = getattr(discriminator, "reads_label_map", False)
        if generator is not None:
            self._refuse(OF_THE_GENERATOR, generator)
            self._encodes_style = getattr(generator.config, "use_style_encoder", False)
            self._check_style()
        self._has_patch_heads = OF_THE_DISCRIMINATOR[Need.PATCHES].is_given(discriminator)
        if self._has_patch_heads and not any(term.trains(w) for term in self.rows() if Need.PATCHES in term.needed(w)):
            discriminator.patch_heads.requires_grad_(False)

    def _check_style(self) -> None:
        if not self._encodes_style:
            return
        if not any(Need.STYLE in term.needed(self.weights) for term in self.rows("g_")):
            raise ValueError(
                "generator.use_style_encoder=true needs loss.lambda_kl above 0 and an objective that has it, that of "
                "SPADE's recipes; --set generator.use_style_encoder=false"
            )
        if self.weights.photo_noise:
            raise ValueError(
                f"loss.photo_noise={self.weights.photo_noise} and generator.use_style_encoder=true both make noise of "
                "photos; switch one of them off"
            )

    def _refuse(self, provisions: dict[Need, Provision], network: nn.Module) -> None:
        for term in self.rows():
            for need, provision in provisions.items():
                if need in term.needed(self.weights) and not provision.is_given(network):
                    raise ValueError(term.refusal(self.weights, provision, network))

    # -- noise ------------------------------------------------------------------------------------------------------

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
        """Noise for label maps (batch, height, width) by the sampling scheme of training; see `sample_noise`."""
        return sample_noise(generator, label_map, self.weights.noise_sampling, self.num_labels, rng, coin)

    # -- the two losses ---------------------------------------------------------------------------------------------

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
        with torch.no_grad():
            output = self._generate(generator, batch, noise)
        photos, fakes = batch["pixel_values"], output.images.to(batch["pixel_values"].dtype)
        given = replace(self._pass(output, batch, noise), images=fakes)
        labels, (real, fake) = self._moved(given.label_map, (photos, fakes), image_rngs or rng)
        given = replace(given, moved_photos=real, moved_images=fake)
        labels, (real, fake) = self._augmented(labels, (real, fake), image_rngs or rng)
        on_real, on_fake = self._judge_both(discriminator, real, fake, labels)
        if self.augmentation is not None:
            self._observe(on_real)
        target = self._without_borders(labels)
        given = replace(given, judged_label_map=labels, target=target, on_real=on_real, on_fake=on_fake)
        terms = {}
        for term in self.rows("d_"):
            if Need.LABELMIX in term.needed(self.weights) and given.on_mixed is None:
                mask = self._mixing_mask(labels, rng)
                on_mixed = self._judge(discriminator, labelmix(real, fake, mask), labels)
                given = replace(given, mixing_mask=mask, on_mixed=on_mixed)
            terms[term.name] = term.weighted(given)
        return terms, Draw(noise, output.images, output.features)

    def generator_terms(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        projection: ProjectionHeads | None,
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
            other: output for other noise on the same label maps by the same weights, detached; without it, terms that
                need it are left out.
            rng: a CPU generator for random choices, or one for each image.
        """
        output = self._generate(generator, batch, noise)
        given = replace(self._pass(output, batch, noise), other=other, projection=projection, rng=rng)
        absent = Need.NOTHING if other is not None else Need.OTHER
        absent |= Need.NOTHING if self._encodes_style else Need.STYLE
        terms = {}
        for term in self.rows("g_"):
            needed = term.needed(self.weights)
            if needed & absent:
                continue
            if needed & MOVED and given.moved_images is None:
                given = self._judged(given, discriminator)
            terms[term.name] = term.weighted(given)
        if not noise.vectors.shape[-1]:
            absent |= Need.NOISE
        with torch.no_grad():
            log = {number.name: number.compute(given) for number in self.numbers if not number.needs & absent}
        return terms, log

    # -- steps ------------------------------------------------------------------------------------------------------

    def _generate(self, generator: nn.Module, batch: dict[str, torch.Tensor], noise: Noise) -> Any:
        return generate(generator, batch, noise, Need.GENERATOR_FEATURES in self.needs(), self._encodes_style)

    def _observe(self, on_real: DiscriminatorOutput) -> None:
        if on_real.segmentation_logits is None:
            self.augmentation.observe_patches(on_real.patch_logits)
        else:
            self.augmentation.observe(on_real.segmentation_logits)

    def _pass(self, output: Any, batch: dict[str, torch.Tensor], noise: Noise) -> Pass:
        return Pass(
            weights=self.weights,
            num_labels=self.num_labels,
            void_label_id=self.void_label_id,
            label_map=batch["label_map"],
            photos=batch["pixel_values"],
            images=output.images,
            features=output.features,
            noise=noise,
            style=(output.style_mean, output.style_log_variance) if self._encodes_style else None,
            networks=self.features,
        )

    def _judged(self, given: Pass, discriminator: nn.Module) -> Pass:
        """G's images and the photos as networks see them, and what D says of them."""
        needs = self.needs("g_")
        labels, (images, photos) = self._moved(given.label_map, (given.images, given.photos), given.rng)
        given = replace(given, moved_images=images, moved_photos=photos)
        labels, (images, photos) = self._augmented(labels, (images, photos), given.rng)
        with_features = bool(needs & DISCRIMINATOR_FEATURES)
        if needs & ON_FAKES:
            patches = Need.PATCHES in needs
            on_fake = self._judge(discriminator, images, labels, patches, output_features=with_features)
            target = self._without_borders(labels)
            given = replace(given, judged_label_map=labels, target=target, on_fake=on_fake)
        if with_features:
            with torch.no_grad():
                given = replace(given, on_real=self._judge(discriminator, photos, labels, output_features=True))
        return given

    def _moved(
        self, labels: torch.Tensor, pictures: tuple[torch.Tensor, ...], rng: torch.Generator | list[torch.Generator]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        limit = self.weights.random_shift
        return random_shift(labels, pictures, limit, rng) if limit else (labels, pictures)

    def _augmented(
        self, labels: torch.Tensor, pictures: tuple[torch.Tensor, ...], rng: torch.Generator | list[torch.Generator]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        return (labels, pictures) if self.augmentation is None else self.augmentation(labels, pictures, rng)

    def _without_borders(self, labels: torch.Tensor) -> torch.Tensor:
        width = self.weights.border_width
        return void_borders(labels, width, self.void_label_id) if width else labels

    def _judge(
        self,
        discriminator: nn.Module,
        images: torch.Tensor,
        labels: torch.Tensor,
        output_patches: bool = False,
        output_features: bool = False,
    ) -> DiscriminatorOutput:
        options: dict[str, Any] = {"output_patches": output_patches} if self._has_patch_heads else {}
        if self._reads_label_map:
            options["label_map"] = labels
        return discriminator(images, output_features=output_features, **options)

    def _mixing_mask(self, labels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        if self.weights.consistency_mask == "rectangle":
            return cutmix_mask(labels, rng)
        return labelmix_mask(labels, self.num_labels, rng, tie_first_two=self.weights.labelmix_as_released)

    def _judge_both(
        self, discriminator: nn.Module, real: torch.Tensor, fake: torch.Tensor, labels: torch.Tensor
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        patches = Need.PATCHES in self.needs("d_")
        if not self.weights.joint_batch_norm:
            on_real, on_fake = (self._judge(discriminator, images, labels, patches) for images in (real, fake))
            return on_real, on_fake
        both = self._judge(discriminator, torch.cat([real, fake]), torch.cat([labels, labels]), patches)
        logits = (None, None) if both.segmentation_logits is None else both.segmentation_logits.chunk(2)
        heads = [head.chunk(2) for head in both.patch_logits or ()]
        on_real, on_fake = (
            DiscriminatorOutput(
                segmentation_logits=logits[half], patch_logits=tuple(head[half] for head in heads) or None
            )
            for half in (0, 1)
        )
        return on_real, on_fake


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


__all__ = ["AdversarialObjective", "check_finite"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the papers say of each option, and where defaults come from that no recipe names.

Two tables for each family. `PAPER`: the value that its paper gives, and its place. `DEFAULTS`: the source of a default
for which the paper gives none, or another one. A departure is not noted down anywhere: it is a value that differs from
the paper's (`describe_options`), whether a default, a recipe or the command line set it.
"""

import dataclasses
import json
from typing import Any, NamedTuple

from ..objectives.feature_networks import FeatureNetworkSpec


class PaperValue(NamedTuple):
    """What a paper gives for an option.

    Args:
        value: as it would be set here.
        place: section, equation or table.
        text: what to print in place of the value, where that would not be understood.
        can_be_set: False where no option gives the paper's value.
    """

    value: Any
    place: str
    text: str = ""
    can_be_set: bool = True


def _given(place: str, **values: Any) -> dict[str, PaperValue]:
    return {name.replace("__", "."): PaperValue(value, place) for name, value in values.items()}


def _sourced(source: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, source)


def _names(section: str, names: str) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names.split())


_OURS_ADDED = {
    "loss__lambda_color": 0.0,
    "loss__lambda_class_color": 0.0,
    "loss__border_width": 0,
    "loss__random_shift": 0,
    "loss__photo_noise": 0.0,
    "loss__schedule": {},
    "data__label_perturbation": 0.0,
    "data__ada_target": 0.0,
    "data__ada_fixed_probability": 0.0,
    "training__learning_rate_decay_start": 1.0,
    "training__max_grad_norm": 0.0,
}
_PERCEPTUAL = "released code of SPADE: torchvision's VGG19, five levels; the paper says VGG"
_OASIS_NETWORKS = {
    **_given(
        "Table M (App. C.2)", generator__base_channels=64, generator__channel_multipliers=(16, 16, 16, 8, 4, 2, 1)
    ),
    **_given("Sec. 3.3", generator__noise_dim=64, generator__texture_noise=False),
    **_given(
        "Table L (App. C.1)",
        discriminator__encoder_channels=(128, 128, 256, 256, 512, 512),
        discriminator__decoder_channels=(512, 256, 256, 128, 128, 64),
    ),
}

PAPER: dict[str, dict[str, PaperValue]] = {
    "dpsims": {
        **_given("Sec. 4.1", training__learning_rate_generator=1e-3, training__learning_rate_discriminator=1e-3),
        **_given("Sec. 4.1", training__adam_beta1=0.0, training__adam_beta2=0.99, training__ema_decay=0.9999),
        **_given("Sec. 4.1, which names none", training__ema_warmup=False),
        **_given("Sec. 4.1", data__rare_class_sampling=True),
        **_given("Sec. 4.1", loss__lambda_gan=1.0, loss__lambda_contrastive=100.0, loss__lambda_diversity=10.0),
        **_given(
            "Sec. 4.1", loss__focal_gamma=2.0, loss__contrastive_temperature=0.3, loss__contrastive_negatives=128
        ),
        **_given("Sec. 3.3", loss__class_balancing=True),
        **_given("Sec. 3.3: as OASIS, its Eq. 2", loss__class_weight_form="inverse_frequency"),
        **_given("Sec. 3.3: targets set to 1 - epsilon", loss__label_smoothing_form="literal"),
        **_given("Sec. 3.3: one-sided", loss__label_smoothing_targets="real"),
        **_given("Sec. 3.1: batch statistics", loss__generator_step_statistics="batch"),
        **_given("Eq. 6", loss__diversity_target="features", loss__diversity_gradient="both", loss__diversity_pool=1),
        **_given("Sec. 3: one z for an image", loss__noise_sampling="image"),
        **_given("Eq. 3, which has none", loss__lambda_labelmix=0.0),
        **_given("Sec. 3 and 4.1, which have none", **_OURS_ADDED),
        "contrastive.networks": PaperValue(
            (dataclasses.asdict(FeatureNetworkSpec()),), "Sec. 3.3", "a VGG at scales 1/4, 1/8, 1/16"
        ),
        **_given(
            "Sec. 3.2",
            generator__noise_injection="cross_attention",
            generator__use_self_attention=True,
            generator__attention_resolution=64,
            generator__texture_noise=False,
            generator__position_waves=0,
        ),
        **_given("Eq. 2", generator__attention_gate_init=0.0),
        "training.max_grad_norm": PaperValue(0.0, "Sec. 4.1: clipped for Swin alone, to an unsaid norm"),
        **_given("Table 5, best row", discriminator__feature_conditioning="full"),
        **_given("Table 3, best row", discriminator__backbone="convnext_large.fb_in22k_ft_in1k_384"),
    },
    "oasis": {
        **_given("App. C.3", training__learning_rate_generator=1e-4, training__learning_rate_discriminator=4e-4),
        **_given("App. C.3", training__adam_beta1=0.0, training__adam_beta2=0.999, training__ema_decay=0.9999),
        **_given("App. C.3, which names none", training__ema_warmup=False, data__rare_class_sampling=False),
        **_given("Eq. 1", loss__class_balancing=True, loss__focal_gamma=0.0, loss__label_smoothing=0.0),
        **_given("Eq. 2", loss__class_weight_form="inverse_frequency"),
        **_given("Sec. 3.3", loss__lambda_gan=1.0),
        **_given("Sec. 3.3, Table I", loss__noise_sampling="image"),
        **_given("App. C.3: 10, in ablations alone", loss__lambda_vgg=0.0),
        **_given("Sec. 3.2: a coin per class", loss__labelmix_as_released=False, loss__consistency_mask="classes"),
        **_given("Sec. 3 and App. C.3, which have none", **_OURS_ADDED),
        **_given("App. C.3: constant", training__learning_rate_decay_start=1.0),
        **_OASIS_NETWORKS,
    },
    "dpgan": {
        **_given("supplement Sec. 2", training__learning_rate_generator=1e-4),
        **_given("supplement Sec. 2", training__learning_rate_discriminator=4e-4, training__ema_decay=0.9999),
        **_given("supplement Sec. 2", training__adam_beta1=0.0, training__adam_beta2=0.999),
        **_given("supplement Sec. 2, which names none", training__ema_warmup=False, data__rare_class_sampling=False),
        **_given("supplement Sec. 2", loss__lambda_labelmix=5.0),
        **_given("Eq. 3", loss__class_balancing=True, loss__focal_gamma=0.0, loss__label_smoothing=0.0),
        **_given("Eq. 4", loss__class_weight_form="mean_inverse_frequency"),
        **_given("Eq. 7", loss__lambda_gan=1.0, loss__lambda_feature_matching=1.0),
        **_given("Eq. 7 and 9", loss__lambda_patch=1.0, loss__patch_generator_form="hinge"),
        **_given("Eq. 5 and 7: with gradient", loss__patch_loss_as_released=False),
        **_given("Sec. 3.2", loss__feature_matching_levels="decoder", loss__feature_matching_reduction="mean"),
        **_given("Sec. 3.1, after OASIS", loss__noise_sampling="image"),
        **_given("Eq. 8, after OASIS", loss__labelmix_as_released=False, loss__consistency_mask="classes"),
        **_given("Eq. 9, which has none", loss__lambda_vgg=0.0),
        **_given("Sec. 3 and supplement Sec. 2, which have none", **_OURS_ADDED),
        **_given("Table 6", generator__noise_dim=64, generator__pyramid_channels=(32, 64, 64, 64, 64, 64, 64)),
        **_given("Eq. 2", generator__concatenate_coarsest=True, generator__texture_noise=False),
        "generator.channel_multipliers": PaperValue(
            (16, 16, 8, 4, 2, 1),
            "supplement Table 8",
            "five blocks, which have fewer parameters than its Table 5 says",
            can_be_set=False,
        ),
        **_given(
            "supplement Table 7",
            discriminator__encoder_channels=(128, 128, 256, 256, 512, 512),
            discriminator__decoder_channels=(512, 256, 256, 128, 128, 64),
            discriminator__patch_encoder_blocks=(4, 6),
        ),
        **_given("Table 4(b), best row", discriminator__patch_decoder_blocks=()),
    },
    "spade": {  # OASIS on its baseline SPADE+
        **_given("App. C.3", training__learning_rate_generator=1e-4, training__learning_rate_discriminator=4e-4),
        **_given("App. C.3", training__adam_beta1=0.0, training__adam_beta2=0.999, training__ema_decay=0.9999),
        **_given("App. C.3, which names none", training__ema_warmup=False, data__rare_class_sampling=False),
        **_given("Sec. 3.1", loss__lambda_gan=1.0),
        **_given("App. C.3", loss__lambda_vgg=10.0),
        **_given("Sec. 4: SPADE+ is trained without", loss__lambda_feature_matching=0.0),
        **_given("Sec. 3.1, which has none", loss__lambda_labelmix=0.0),
        **_given("Sec. 3.1 and App. C.3, which have none", **_OURS_ADDED),
        **_given("App. C.3: constant", training__learning_rate_decay_start=1.0),
        **_given("Sec. 3.3: deterministic in its default setup", generator__noise_dim=0),
        **_given("Table 1", generator__use_style_encoder=False),
        **_given(
            "Table M and App. C.2: one block more than OASIS",
            generator__base_channels=64,
            generator__channel_multipliers=(16, 16, 16, 16, 8, 4, 2, 1),
        ),
        **_given("Sec. 3.1", generator__texture_noise=False),
        **_given("Sec. 3.1: two networks", discriminator__patch_scales=2),
    },
}

_RUN = "ours: how the run works; no result depends on it, but last bits"
_SHARED = {
    **_sourced(
        _RUN,
        *_names("training", "channels_last compile compile_backend gradient_checkpointing log_steps sample_steps"),
        *_names(
            "training",
            "num_train_epochs allow_tf32 checkpointing_steps checkpoints_total_limit sample_maps sample_noises",
        ),
        *_names("data", "class_frequencies streaming shuffle_buffer cache cache_dir workers"),
    ),
    "training.max_train_steps": "ours",
    "training.batch_size": "ours",
    "training.gradient_accumulation_steps": "ours: one batch is one step",
    "training.batch_norm_refresh_batches": "released code of OASIS; the paper does not say",
    "training.texture_noise_share": "ours: off; the papers have no texture noise",
    "training.mixed_precision": "ours: the papers do not say",
    "training.backbone_dtype": "ours: the papers do not say",
    "training.seed": "ours: the papers do not say",
    "data.image_size": "ours",
    "data.scale_range": "ours: no crop; the papers do not say, or follow SPADE",
    "data.keep_aspect": "ours: stretched, as SPADE and its followers do",
    "data.horizontal_flip": "ours: as SPADE and OASIS",
    "data.ada_images": "ours: Karras et al. 2020",
    "data.ada_kinds": "ours: Karras et al. 2020",
    "loss.global_class_weights": "ours: each process by its own batch, as the released code does",
    "loss.joint_batch_norm": "ours: real and fake share D's statistics, so that these do not tell them apart",
    "loss.generator_step_statistics": "ours: the fakes' own would hide a tint that all of them share",
    "loss.class_weight_form": "released code of OASIS: weights that average 1 over a batch",
    "loss.color_pool": "ours: no effect without lambda_color",
    "loss.labelmix_as_released": "ours: no effect without lambda_labelmix",
    "loss.consistency_mask": "ours: no effect without lambda_labelmix",
    "loss.label_smoothing_form": "ours: no effect without label_smoothing",
    "loss.label_smoothing_targets": "ours: no effect without label_smoothing",
    "generator.preset": "ours: none; the fields' defaults are the paper's size",
    "discriminator.preset": "ours: none; the fields' defaults are the paper's size",
    "generator.num_labels": "ours: that of the data",
    "generator.void_label_id": "ours: that of the data",
    "generator.image_size": "ours",
    "discriminator.num_labels": "ours: that of the data",
    "discriminator.void_label_id": "ours: that of the data",
    "generator.spectral_norm": "released code of OASIS and DP-GAN; the papers do not say",
    "generator.padding_mode": "released code of OASIS and DP-GAN; the papers do not say",
    "generator.output_padding_mode": "ours: as padding_mode",
    "generator.upsample_mode": "released code of OASIS and DP-GAN; the papers do not say",
    "generator.normalization_eps": "released code: torch's default",
    "generator.init_gain": "released code of OASIS and DP-GAN, as all their peers",
    "discriminator.spectral_norm": "released code of OASIS and DP-GAN; the papers do not say",
    "discriminator.init_gain": "released code of OASIS and DP-GAN, as all their peers",
}
_OPEN = "ours: the paper leaves it open"

DEFAULTS: dict[str, dict[str, str]] = {
    "dpsims": {
        **_SHARED,
        "training.ema_warmup": "ours: an average of the first steps is no image; no trace is left after 100,000 steps",
        "loss.label_smoothing": "ours: the paper leaves epsilon open",
        "loss.label_smoothing_form": "ours: smaller targets alone only scale the loss, which Adam undoes",
        "loss.label_smoothing_targets": "ours: saturated outputs on fakes are what starves the generator",
        "loss.diversity_threshold": "ours: the paper leaves tau_div open; on means, so that sizes compare",
        "contrastive.networks": "ours: VGG19 and its layers; Sec. 3.3 says VGG and the scales",
        **_sourced(_OPEN, *_names("contrastive", "hidden_dim output_dim")),
        **_sourced(
            _OPEN,
            *_names("generator", "noise_dim noise_tokens noise_token_dim noise_mlp_dim self_attention_gate_init"),
            *_names("generator", "pyramid_channels base_channels channel_multipliers spectral_norm padding_mode"),
            *_names("generator", "upsample_mode normalization_eps"),
            *_names("discriminator", "decoder_channels full_resolution_channels spectral_norm"),
        ),
        "generator.attention_strides": "ours: follow from attention_resolution and image_size",
        "generator.use_instance_offsets": "ours: only with instance annotations (Sec. 4.1)",
        "generator.low_resolution_offsets": "ours: only with instance annotations (Sec. 4.1)",
        "discriminator.backbone_kwargs": "ours: none",
        "discriminator.backbone_out_indices": "ours: all levels that timm gives",
        "discriminator.backbone_mean": "ours: timm's record of the weights",
        "discriminator.backbone_std": "ours: timm's record of the weights",
        "discriminator.backbone_in_checkpoint": "ours: the frozen weights are loaded by name",
    },
    "oasis": {
        **_SHARED,
        "loss.lambda_labelmix": "ours",
        "loss.joint_batch_norm": "ours: no effect, this discriminator has no batch norm",
        "loss.generator_step_statistics": "ours: no effect, this discriminator has no batch norm",
        "generator.spade_channels": "released code, as in SPADE; the paper does not say",
        **_sourced(_PERCEPTUAL, *_names("perceptual", "networks level_weights")),
    },
    "dpgan": {
        **_SHARED,
        "loss.generator_step_statistics": "ours: the fakes' own would hide a tint that all of them share",
        "generator.base_channels": "released code, as in OASIS",
        "generator.channel_multipliers": "released code: six blocks, with the parameters of the paper's Table 5",
        "discriminator.patch_channels": "released code; the paper does not say",
        **_sourced(_PERCEPTUAL, *_names("perceptual", "networks level_weights")),
    },
    "spade": {
        **_SHARED,
        **_sourced(
            "ours: no effect, patches are judged, not pixels",
            *_names("loss", "class_balancing class_weight_form global_class_weights focal_gamma label_smoothing"),
        ),
        **_sourced(
            "ours: no effect, this discriminator's norms have no statistics",
            *_names("loss", "joint_batch_norm generator_step_statistics"),
        ),
        "loss.noise_sampling": "ours: one vector per image, as a linear layer reads it",
        "loss.lambda_kl": "ours: as Park et al. 2019; no effect without a style encoder",
        "generator.noise_dim": "ours: as Park et al. 2019; OASIS compares with the deterministic generator",
        "generator.noise_injection": "ours: as Park et al. 2019",
        "generator.style_encoder_channels": "ours: as Park et al. 2019, with the parameters of the paper's App. C.2",
        "generator.spade_channels": "ours: as Park et al. 2019, with the parameters of the paper's App. C.2",
        "generator.spectral_norm": "ours: as Park et al. 2019; the paper does not say",
        "discriminator.encoder_channels": "ours: near the parameters of the paper's App. C.1; it does not say",
        "discriminator.instance_norm": "ours: as Park et al. 2019; the paper does not say",
        "discriminator.spectral_norm": "ours: as Park et al. 2019; the paper does not say",
        **_sourced(_PERCEPTUAL, *_names("perceptual", "networks level_weights")),
    },
}
NETWORKS = ("generator", "discriminator")


def paper_value(families: dict[str, str], name: str) -> PaperValue | None:
    """What the paper of the option's family gives for "section.key"; None if it gives nothing.

    Args:
        families: of "loss", "generator" and "discriminator"; sections that are no network belong to the losses'.
        name: "section.key".
    """
    return PAPER[_family(families, name)].get(name)


def default_source(families: dict[str, str], name: str, value: Any) -> str:
    """Where a default comes from: "paper ...", "released ..." or "ours ..."; "" if nobody says.

    Args:
        families: see `paper_value`.
        name: "section.key".
        value: the default.
    """
    family = _family(families, name)
    known = PAPER[family].get(name)
    if known and plain(value) == plain(known.value):
        return f"paper {known.place}"
    return DEFAULTS[family].get(name, "")


def plain(value: Any) -> Any:
    """A value as it stands in a file of options: tuples are lists."""
    return json.loads(json.dumps(value))


def _family(families: dict[str, str], name: str) -> str:
    section = name.partition(".")[0]
    return families[section if section in NETWORKS else "loss"]


__all__ = ["DEFAULTS", "PAPER", "PaperValue", "default_source", "paper_value", "plain"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Options of what is computed: training, data, feature networks. The losses' are in objectives/, the networks' are the
fields of their configs.
"""

import dataclasses
from dataclasses import dataclass

from ...configuration_rules import shortened
from ..objectives.adaptive_augmentation import ADA_KINDS
from ..objectives.feature_networks import FeatureNetworkSpec
from .types import typed


MIXED_PRECISIONS = ("no", "bf16", "fp16")
BACKBONE_DTYPES = ("float32", "bfloat16", "float16")
DATA_CACHES = ("auto", "none", "memory", "disk")


@dataclass(frozen=True)
class TrainingOptions:
    """How long, how fast, and what is left behind.

    Args:
        max_train_steps: optimizer steps (one of D and one of G each).
        num_train_epochs: so many passes over the training photos instead; 0 leaves it to `max_train_steps`.
        batch_size: images per process and micro-batch; the effective batch is batch_size * processes *
            gradient_accumulation_steps.
        gradient_accumulation_steps: micro-batches per optimizer step; exact but for batch-norm statistics.
        learning_rate_generator, learning_rate_discriminator, adam_beta1, adam_beta2: Adam (Sec. 4.1).
        learning_rate_decay_start: both rates fall linearly to 0 from this share of the training on (0.5 in SPADE,
            Park et al. 2019); 1 keeps them constant.
        max_grad_norm: gradient clipping of both networks; 0 is off (Sec. 4.1 clips for Swin).
        ema_decay, ema_warmup: see `ExponentialMovingAverage`.
        batch_norm_refresh_batches: batches for the averaged model's statistics before it is saved or sampled.
        texture_noise_share: a new run starts with gains of the texture noise of this share of the features' spread
            (`fit_texture_gains`); 0 leaves them as they are built or loaded.
        mixed_precision: no, bf16 or fp16.
        allow_tf32: matrix products of float32 by TensorFloat-32 (NVIDIA, Ampere or newer): faster, other roundings.
        seed: of everything.
        channels_last: memory format of the networks.
        compile: torch.compile of generator and discriminator: slow first steps, then faster ones.
        compile_backend: of torch.compile.
        gradient_checkpointing: the generator's blocks are computed again in the backward pass instead of kept: less
            memory, more time, the same result.
        backbone_dtype: of the discriminator's frozen backbone; bfloat16 halves it and what passes through it.
        log_steps, sample_steps, checkpointing_steps: every so many steps; 0 is off.
        checkpoints_total_limit: older ones are removed; 0 keeps all.
        sample_maps, sample_noises: rows and generated columns of the sample grid.
    """

    max_train_steps: int = 100_000
    num_train_epochs: int = 0
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate_generator: float = 1e-3
    learning_rate_discriminator: float = 1e-3
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    learning_rate_decay_start: float = 1.0
    max_grad_norm: float = 0.0
    ema_decay: float = 0.9999
    ema_warmup: bool = True
    batch_norm_refresh_batches: int = 50
    texture_noise_share: float = 0.0
    mixed_precision: str = "no"
    allow_tf32: bool = False
    seed: int = 0
    channels_last: bool = True
    compile: bool = False
    compile_backend: str = "inductor"
    gradient_checkpointing: bool = False
    backbone_dtype: str = "float32"
    log_steps: int = 10
    sample_steps: int = 1000
    checkpointing_steps: int = 5000
    checkpoints_total_limit: int = 2
    sample_maps: int = 4
    sample_noises: int = 3

    def __post_init__(self) -> None:
        if self.mixed_precision not in MIXED_PRECISIONS:
            raise ValueError(
                f"training.mixed_precision={self.mixed_precision!r}; choose one of {', '.join(MIXED_PRECISIONS)}"
            )
        if self.backbone_dtype not in BACKBONE_DTYPES:
            raise ValueError(
                f"training.backbone_dtype={self.backbone_dtype!r}; choose one of {', '.join(BACKBONE_DTYPES)}"
            )
        if self.compile and self.gradient_checkpointing:
            raise ValueError(
                "training.compile and training.gradient_checkpointing do not go together: torch.compile decides by "
                "itself what is computed again; switch one of them off"
            )
        ones = ("max_train_steps", "batch_size", "gradient_accumulation_steps", "log_steps")
        zeros = ("seed", "max_grad_norm", "sample_steps", "checkpointing_steps", "checkpoints_total_limit")
        for least, names in (
            (1, (*ones, "sample_maps", "sample_noises")),
            (0, (*zeros, "batch_norm_refresh_batches", "num_train_epochs")),
        ):
            for name in names:
                if getattr(self, name) < least:
                    raise ValueError(f"training.{name}={getattr(self, name)} must be at least {least}")
        for name in ("learning_rate_generator", "learning_rate_discriminator"):
            if getattr(self, name) < 0:
                raise ValueError(f"training.{name}={getattr(self, name)} must not be negative")
        if not 0 <= self.learning_rate_decay_start <= 1:
            raise ValueError(
                f"training.learning_rate_decay_start={self.learning_rate_decay_start} must be a share of the training "
                "in [0, 1]; 1 keeps the rates constant"
            )
        if not 0 <= self.texture_noise_share <= 2:
            raise ValueError(f"training.texture_noise_share={self.texture_noise_share} must be in [0, 2]")
        for name in ("adam_beta1", "adam_beta2", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"training.{name}={getattr(self, name)} must be in [0, 1)")


@dataclass(frozen=True)
class DataOptions:
    """What the networks see.

    Args:
        image_size: (height, width) of training crops.
        scale_range: the photo is resized to image_size times a factor drawn from here, then cropped.
        keep_aspect: resize by one factor, so that the picture just covers image_size, instead of stretching it.
        horizontal_flip: probability.
        label_perturbation: largest typical shift of a border in pixels, as of a sloppy sketch; 0 is off. Each draw
            takes a strength between 0 and this.
        rare_class_sampling: p ~ f_k^(-1/2) (Sec. 4.1).
        class_frequencies: for streams: a file of `python -m dpsims_hf.data.class_frequencies`; "" estimates them on
            the way.
        streaming: read a Hub set, or parquet files, as a stream instead of downloading it first.
        shuffle_buffer: rows that a worker shuffles at a time when streaming.
        cache: where decoded pictures are kept: "none", "memory", "disk" (memory-mapped, shared by all processes of a
            machine), or "auto": memory if they take less than 1 GiB.
        cache_dir: folder of the disk cache and of the results of the pass over all labels; "" is a folder in HF_HOME.
        ada_target: adaptive discriminator augmentation (Karras et al., 2020) towards this overfitting heuristic r_t
            (0.6 there); 0 is off.
        ada_fixed_probability: the same augmentation with a constant probability; 0 is off.
        ada_images: images that D sees while the probability goes from 0 to 1, at the fastest.
        ada_kinds: any of blit, geometric, color.
        workers: processes that prepare data; 0 does it in the training process.
    """

    image_size: tuple[int, int] = (256, 256)
    scale_range: tuple[float, float] = (1.0, 1.0)
    keep_aspect: bool = False
    horizontal_flip: float = 0.5
    label_perturbation: float = 0.0
    rare_class_sampling: bool = True
    class_frequencies: str = ""
    streaming: bool = False
    shuffle_buffer: int = 1000
    cache: str = "auto"
    cache_dir: str = ""
    ada_target: float = 0.0
    ada_fixed_probability: float = 0.0
    ada_images: int = 500_000
    ada_kinds: tuple[str, ...] = ("blit", "geometric", "color")
    workers: int = 4

    def __post_init__(self) -> None:
        for name in ("image_size", "scale_range", "ada_kinds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.cache not in DATA_CACHES:
            raise ValueError(f"data.cache={self.cache!r} is unknown; choose one of {', '.join(DATA_CACHES)}")
        for name, least in (("shuffle_buffer", 1), ("workers", 0), ("ada_images", 1), ("label_perturbation", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"data.{name}={getattr(self, name)} must be at least {least}")
        if self.class_frequencies and not (self.streaming and self.rare_class_sampling):
            raise ValueError(
                "data.class_frequencies is for streams with rare-class sampling; other sets count their labels "
                "themselves: drop it, or --set data.streaming=true"
            )
        if self.streaming and self.cache in ("memory", "disk"):
            raise ValueError(f"data.cache={self.cache!r} does not go with data.streaming=true; drop one of the two")
        self._check_ada()

    def _check_ada(self) -> None:
        if self.ada_target and self.ada_fixed_probability:
            raise ValueError("give data.ada_target (adaptive) or data.ada_fixed_probability (constant), not both")
        for name in ("ada_target", "ada_fixed_probability"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"data.{name}={getattr(self, name)} must be in [0, 1); 0 is off")
        unknown = sorted(set(self.ada_kinds) - set(ADA_KINDS))
        if unknown or not self.ada_kinds:
            raise ValueError(f"data.ada_kinds={list(self.ada_kinds)} must be some of {', '.join(ADA_KINDS)}")


@dataclass(frozen=True)
class ContrastiveOptions:
    """The frozen feature networks of Eq. 5 and the projection heads.

    Args:
        networks: `FeatureNetworkSpec`s as dictionaries; the scales are the listed levels.
        hidden_dim, output_dim: of the projection heads (output_dim is d_v).
    """

    networks: tuple[FeatureNetworkSpec, ...] = (FeatureNetworkSpec(),)
    hidden_dim: int = 256
    output_dim: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", _feature_specs("contrastive", self.networks))


VGG19_PERCEPTUAL = FeatureNetworkSpec(layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"))


@dataclass(frozen=True)
class PerceptualOptions:
    """The frozen feature networks of the VGG perceptual loss (OASIS App. C.3).

    Args:
        networks: `FeatureNetworkSpec`s as dictionaries.
        level_weights: one per level; the defaults are those that SPADE's code has for VGG19.
    """

    networks: tuple[FeatureNetworkSpec, ...] = (VGG19_PERCEPTUAL,)
    level_weights: tuple[float, ...] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", _feature_specs("perceptual", self.networks))


def _feature_specs(section: str, networks: tuple) -> tuple[FeatureNetworkSpec, ...]:
    known = [entry.name for entry in dataclasses.fields(FeatureNetworkSpec)]
    for values in networks:
        unknown = sorted(set(values) - set(known)) if isinstance(values, dict) else []
        if unknown:
            raise ValueError(f"feature network: unknown key {shortened(unknown[0])}; known: {', '.join(known)}")
    return tuple(
        values if isinstance(values, FeatureNetworkSpec) else typed(FeatureNetworkSpec, f"{section}.networks", values)
        for values in networks
    )


# Section of the frozen feature networks -> (its class, the loss weight that asks for it).
FEATURE_SECTIONS: dict[str, tuple[type, str]] = {
    "contrastive": (ContrastiveOptions, "lambda_contrastive"),
    "perceptual": (PerceptualOptions, "lambda_vgg"),
}


__all__ = [
    "FEATURE_SECTIONS",
    "MIXED_PRECISIONS",
    "ContrastiveOptions",
    "DataOptions",
    "PerceptualOptions",
    "TrainingOptions",
]

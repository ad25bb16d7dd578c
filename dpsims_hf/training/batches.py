# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The batches of a run: which samples come, in how many workers, and where the run stands in them."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch.utils.data import DataLoader

from ..data import DrawSampler, SemanticImageDataset, collate, rare_class_weights
from ..data.picture_cache import decode
from ..data.reading.cache_folder import default_cache_dir
from ..data.streaming import STATE, StreamingSemanticDataset, collate_stream, new_state, resplit
from .options import RunOptions
from .run.interruption import quiet_worker


logger = logging.getLogger(__name__)


class TrainingBatches:
    """Iterates over the micro-batches of this process, on its device, from where the run stands.

    A map-style set is one long epoch of draws, dealt to the processes; its position is the number of draws taken, so a
    run that goes on with other processes or batches takes the next draw. A stream's position is that of every worker.

    Args:
        options: of the run.
        dataset: map-style or streaming.
        accelerator: of the run.
    """

    def __init__(
        self,
        options: RunOptions,
        dataset: SemanticImageDataset | StreamingSemanticDataset,
        accelerator: Accelerator,
    ) -> None:
        self.options, self.dataset, self.accelerator = options, dataset, accelerator
        self.waited = 0.0  # seconds in which the run had nothing to do but wait for a batch
        self._taken = 0  # micro-batches of this process since the start or resume
        self._before = 0  # ... and before it
        self._first_draw = 0
        self._first_lane = 0  # which worker's batch comes first
        self._lanes: list[dict[str, Any]] = []  # positions of this process's workers, of streams
        self._weights: torch.Tensor | None = None
        if isinstance(dataset, StreamingSemanticDataset):
            dataset.process_index, dataset.num_processes = accelerator.process_index, accelerator.num_processes
            self._lanes = [new_state(dataset.spec.num_labels) for _ in range(self._workers)]
            self.mark()
            return
        progress = accelerator.is_local_main_process
        if options.data.rare_class_sampling:
            self._weights = rare_class_weights(dataset.class_presence(progress), dataset.spec.void_label_id)
        dataset.use_decoded(decode(dataset, options.data.cache, cache_dir(options), progress))
        self.mark()

    @property
    def _workers(self) -> int:
        return max(1, self.options.data.workers)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Batches until the last step of the run."""
        streams = isinstance(self.dataset, StreamingSemanticDataset)
        batches = iter(self._stream_loader() if streams else self.accelerator.prepare(self._map_loader()))
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            if streams:
                state = batch.pop(STATE)
                self._lanes[state.pop("lane")] = state
                batch = send_to_device(batch, self.accelerator.device, non_blocking=True)
            self._taken += 1
            self.waited += time.perf_counter() - start
            yield batch

    def mark(self) -> None:
        """Say that all batches taken so far have been trained on: this is where `position` puts the run."""
        self._marked = (self._taken, list(self._lanes))

    def position(self) -> dict[str, Any]:
        """Where the run stood at the last `mark`, for `resume`; JSON-serialisable. All processes call it together."""
        taken, own_lanes = self._marked
        if not isinstance(self.dataset, StreamingSemanticDataset):
            return {"draws": self._first_draw + taken * self._per_micro_batch}
        lanes = [lane for process in gather_object([own_lanes]) for lane in process]
        return {"lanes": lanes, "next_lane": (self._first_lane + taken) % self._workers}

    def resume(self, position: dict[str, Any] | None, micro_batches: int) -> None:
        """Go on from a stored position.

        Args:
            position: what `position` gave; None if the checkpoint has none.
            micro_batches: steps done times gradient accumulation, as counted today.
        """
        position = position or {}
        self._before, self._taken = micro_batches, 0
        if isinstance(self.dataset, StreamingSemanticDataset):
            self._resume_stream(position)
        else:
            self._first_draw = position.get("draws", micro_batches * self._per_micro_batch)
        self.mark()

    # -- map-style ------------------------------------------------------------------------------------------------

    @property
    def _per_micro_batch(self) -> int:
        return self.options.training.batch_size * self.accelerator.num_processes

    def _map_loader(self) -> DataLoader:
        training = self.options.training
        left = training.max_train_steps * training.gradient_accumulation_steps - self._before
        sampler = DrawSampler(
            self._first_draw + max(0, left) * self._per_micro_batch,
            len(self.dataset),
            self._weights,
            training.seed,
            self._first_draw,
        )
        return self._loader(self.dataset, collate_fn=collate, sampler=sampler)

    def _loader(self, dataset: Any, **settings: Any) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.options.training.batch_size,
            num_workers=self.options.data.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=quiet_worker,
            **settings,
        )

    # -- streams --------------------------------------------------------------------------------------------------

    def _stream_loader(self) -> DataLoader:
        # Not prepared by accelerate, which would read everything on one process: the stream splits itself.
        self.dataset.start_from(list(self._lanes), self._first_lane)
        return self._loader(self.dataset, collate_fn=collate_stream)

    def _resume_stream(self, position: dict[str, Any]) -> None:
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        states = position.get("lanes")
        if states is None:
            logger.warning("the checkpoint holds no position in the stream: it is read from its start")
            return
        self._first_lane = position["next_lane"]
        if len(states) != processes * self._workers:
            logger.warning(
                "the stream was read by %d workers in all and now is by %d: the rest of its epoch is left out",
                len(states),
                processes * self._workers,
            )
            states, self._first_lane = resplit(states, processes * self._workers), 0
        self._first_lane %= self._workers
        self._lanes = states[rank * self._workers : (rank + 1) * self._workers]


def cache_dir(options: RunOptions) -> Path:
    """The folder of what is computed once for a dataset."""
    return Path(options.data.cache_dir).expanduser() if options.data.cache_dir else default_cache_dir()


__all__ = ["TrainingBatches", "cache_dir"]

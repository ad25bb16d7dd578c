# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Training from a stream (`datasets.IterableDataset`): split by process and worker, shuffled, resumable exactly.

Each worker of each process is a *lane*. In an epoch the shards of the set (files, or row groups of parquet files) are
put in an order that depends on the seed and the epoch, and dealt to the lanes; with fewer shards than lanes, rows are
dealt instead. A lane reads blocks of rows, shuffles each block, and reads the next one meanwhile. No row comes twice
in a lane's epoch, or in two lanes of it; lanes begin their next epoch on their own.

`datasets`' own shuffle buffer is not used, since a resumed run would lose the rows in it: a block is read again.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from .dataset import AUGMENTATION_STREAM, collate
from .reading.bad_samples import BadSamples
from .reading.report import check_readings
from .reading.rows import RowDecoder, sizes_differ
from .samplers import ClassFrequencies, inverse_root_rarity
from .sources.checked_loading import load_stream
from .sources.foreign_files import check_cells
from .sources.hub_loading import HubDataset
from .specs import DatasetSpec
from .transforms import JointTransform, stateless_generator


if TYPE_CHECKING:
    import datasets

SHARD_STREAM, BLOCK_STREAM, COPY_STREAM = 4, 5, 6  # after order, augmentation and replacement (1, 2, 3)
LOOKED_AT = 256  # rows at the start among which one must have a labelled pixel
AT_LEAST = 16  # of them are read in any case: what they say about the reading counts too
READ_ROWS = 16  # rows that are taken from the files at a time
STATE = "stream_state"  # key under which a batch carries the position of its lane

Row = tuple[int, int, int, dict[str, Any]]  # place in the order of shards, number of the shard, row in it, cells


class StreamingSemanticDataset(IterableDataset):
    """Endless augmented samples of a stream, as `SemanticImageDataset[index, draw]` gives them.

    Args:
        table: Columns `image`, `label_map` and maybe `instance_map`, images undecoded.
        spec: The label space.
        transform: The joint transform.
        seed: Of order and augmentation.
        shuffle_buffer: Rows in a block; a lane holds up to two blocks, undecoded.
        rare_classes: Sample p ~ f_k^(-1/2): a row is delivered f_k^(-1/2) / mean times, which is once on average.
        frequencies: f; None estimates it from the rows that the lane has read so far.
        use_instance_offsets: Also return `instance_offsets`.
        name: What errors call the set.
        bad_samples: What is done about rows that cannot be read; one that is passed over is not replaced, the next
            one comes.
        process_index: Of this process.
        num_processes: Of the run.
    """

    def __init__(
        self,
        table: "datasets.IterableDataset",
        spec: DatasetSpec,
        transform: JointTransform,
        seed: int = 0,
        shuffle_buffer: int = 1000,
        rare_classes: bool = False,
        frequencies: ClassFrequencies | None = None,
        use_instance_offsets: bool = False,
        name: str = "stream",
        bad_samples: BadSamples | None = None,
        process_index: int = 0,
        num_processes: int = 1,
    ) -> None:
        if shuffle_buffer < 1:
            raise ValueError(f"shuffle_buffer {shuffle_buffer} must be at least 1")
        # Row groups count as shards: more of them, so fewer rows that lanes read in vain.
        self.table = table.reshard()
        self.spec, self.transform, self.seed, self.name = spec, transform, seed, name
        self.shuffle_buffer, self.rare_classes, self.frequencies = shuffle_buffer, rare_classes, frequencies
        self.use_instance_offsets = use_instance_offsets
        self.bad_samples = bad_samples or BadSamples()
        self.process_index, self.num_processes = process_index, num_processes
        self.lanes: list[dict[str, Any]] = []
        self.first_lane = 0
        self._decoders: dict[int, RowDecoder] = {}

    def validate(self, progress: bool = True) -> None:
        """Rows are checked as they are read; here only what the first rows say together.

        Raises:
            ValueError: the first LOOKED_AT rows have no labelled pixel, or ids that may start at 1 as well.
        """
        decoder, counts, readings = RowDecoder(self.spec, self.name), [], []
        for number, row in enumerate(self.table.take(LOOKED_AT)):
            check_cells(self.name, row.values(), [])
            try:
                label_map, reading = decoder.label_map_and_reading(row, number)
            except ValueError:  # named when its turn comes
                continue
            counts.append(np.bincount(label_map.ravel(), minlength=self.spec.num_labels))
            readings.append(reading)
            has_label = self.spec.void_label_id is None or counts[-1].sum() > counts[-1][self.spec.void_label_id]
            if has_label and len(counts) >= AT_LEAST:
                break
        if counts:
            check_readings(np.stack(counts), readings, self.spec, f"{self.name}, its first rows")

    def start_from(self, lanes: list[dict[str, Any]], first_lane: int = 0) -> None:
        """Begin at stored positions, one per worker of this process; `first_lane` gives the first batch."""
        self.lanes, self.first_lane = lanes, first_lane

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Samples of this worker's lane, each with its position under "stream_state"."""
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        if info is not None:
            import fsspec

            fsspec.asyn.reset_lock()  # a forked worker must not wait for its parent's event loop
        own = (worker + self.first_lane) % workers
        lane, lanes = self.process_index * workers + own, self.num_processes * workers
        state = self.lanes[own] if self.lanes else new_state(self.spec.num_labels)
        for sample, position in self._samples(state, lane, lanes):
            yield sample | {STATE: {"lane": own, **position}}

    # -- a lane ---------------------------------------------------------------------------------------------------

    def _samples(
        self, state: dict[str, Any], lane: int, lanes: int
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        reader = _BlockReader(self._rows(state, lane, lanes), self.shuffle_buffer, self._presence)
        while True:
            rows, presence = reader.take()
            state = state | reader.place
            order, statistics = self._order(state, presence, (lane, lanes))
            first = state["draws"]
            for offset in range(state["offset"], len(order)):
                reader.read_ahead()
                sample = self._sample(rows[order[offset]], (first + offset) * lanes + lane)
                if sample is not None:
                    yield sample, state | {"offset": offset + 1}
            state = state | {"draws": first + len(order), "block": state["block"] + 1, "offset": 0, **statistics}

    def _order(
        self, state: dict[str, Any], presence: np.ndarray, key: tuple[int, int]
    ) -> tuple[list[int], dict[str, Any]]:
        """The positions in a block to deliver, in order, and the statistics after it."""
        if self.rare_classes:
            copies, statistics = self._copies(state, presence)
            chance = torch.rand(len(copies), generator=self._generator(COPY_STREAM, state, key)).numpy()
            positions = np.repeat(np.arange(len(copies)), np.floor(copies + chance).astype(np.int64))
        else:
            positions, statistics = np.arange(len(presence)), {}
        order = torch.randperm(len(positions), generator=self._generator(BLOCK_STREAM, state, key)).numpy()
        return positions[order].tolist(), statistics

    def _generator(self, stream: int, state: dict[str, Any], key: tuple[int, int]) -> torch.Generator:
        return stateless_generator(self.seed, stream, *key, state["epoch"], state["block"])

    def _copies(self, state: dict[str, Any], presence: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """How often each row of a block is delivered on average, and the statistics of the rows read so far."""
        if not len(presence):
            return np.zeros(0), {}
        if self.frequencies is not None:
            return self.frequencies.copies(presence), {}
        seen = state["seen"] + len(presence)
        counts = np.array(state["images_with_class"]) + presence.sum(axis=0)
        weights = inverse_root_rarity(presence, np.maximum(counts, 1) / max(seen, 1))
        total = state["weight_sum"] + float(weights.sum())
        statistics = {"seen": seen, "images_with_class": counts.tolist(), "weight_sum": total}
        return weights * seen / max(total, 1.0), statistics

    def _rows(self, state: dict[str, Any], lane: int, lanes: int) -> Iterator[tuple[int, Row]]:
        """(epoch, row) from a position on, without end."""
        count = self.table.num_shards
        epoch, place, skip = state["epoch"], state["shard"], state["row"]
        empty = place == skip == 0
        while True:
            order = torch.randperm(count, generator=stateless_generator(self.seed, SHARD_STREAM, epoch)).tolist()
            by_shard = count >= lanes
            mine = order[lane::lanes] if by_shard else order
            for position in range(place, len(mine)):
                for row, cells in self._shard(mine[position], skip):
                    if by_shard or (row + position) % lanes == lane:
                        empty = False
                        yield epoch, (position, mine[position], row, cells)
                skip = 0
            if empty:
                raise ValueError(
                    f"{self.name}: a worker has no rows: there are more workers in all processes ({lanes}) than rows; "
                    "--set data.workers=0, or do not stream so small a set"
                )
            epoch, place, empty = epoch + 1, 0, True

    def _shard(self, number: int, skip: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row number, cells) of a shard after the first `skip` rows."""
        shard = self.table.shard(self.table.num_shards, number)
        shard = shard.skip(skip) if skip else shard
        # `iter(batch_size)`, since plain iteration in a worker would deal the shards out once more.
        for columns in shard.iter(batch_size=READ_ROWS):
            for cells in zip(*columns.values(), strict=True):
                check_cells(self.name, cells, [])
                yield skip, dict(zip(columns, cells, strict=True))
                skip += 1

    # -- a row ----------------------------------------------------------------------------------------------------

    def _decoder(self, row: Row) -> RowDecoder:
        """By shard, for the sake of error messages."""
        if row[1] not in self._decoders:
            self._decoders = {row[1]: RowDecoder(self.spec, f"{self.name}, shard {row[1]}")}
        return self._decoders[row[1]]

    def _presence(self, row: Row) -> np.ndarray | None:
        """Which classes occur in a row, (num_labels,) bool, void left out; None if it cannot be read."""
        if not self.rare_classes:
            return np.zeros(0, dtype=bool)
        _, _, number, cells = row
        try:
            label_map = self._decoder(row).label_map(cells, number)
        except ValueError as error:
            self.bad_samples.report(self._decoder(row).source(cells, number, "image"), error)
            return None
        presence = np.bincount(label_map.ravel(), minlength=self.spec.num_labels) > 0
        if self.spec.void_label_id is not None:
            presence[self.spec.void_label_id] = False
        return presence

    def _sample(self, row: Row, draw: int) -> dict[str, Any] | None:
        _, shard, number, cells = row
        decoder = self._decoder(row)
        try:
            photo, label_map = decoder.photo(cells, number), decoder.label_map(cells, number)
            if photo.shape[:2] != label_map.shape:
                raise ValueError(
                    sizes_differ(decoder.source(cells, number, "label_map"), label_map.shape, photo.shape[:2])
                )
            instances = decoder.instance_map(cells, number, label_map.shape) if self.use_instance_offsets else None
            generator = stateless_generator(self.seed, AUGMENTATION_STREAM, draw)
            return decoder.sample(*self.transform(photo, label_map, instances, generator), (shard << 32) + number)
        except ValueError as error:
            self.bad_samples.report(decoder.source(cells, number, "image"), error)
            return None


class _BlockReader:
    """Collects the rows of one block while those of the one before are delivered; a block ends with its epoch.

    Args:
        rows: (epoch, row) without end.
        size: Rows in a block.
        presence: Which classes occur in a row; None leaves the row out.
    """

    def __init__(self, rows: Iterator[tuple[int, Row]], size: int, presence: Any) -> None:
        self.rows, self.size, self.presence = rows, size, presence
        self.place: dict[str, int] = {}  # of the block taken last
        self._next = next(rows)
        self._start()

    def _start(self) -> None:
        epoch, (position, _, number, _) = self._next
        self._place = {"epoch": epoch, "shard": position, "row": number}
        self._block: list[Row] = []
        self._present: list[np.ndarray] = []
        self._read = 0

    def read_ahead(self) -> bool:
        """Read one row of the coming block; False if the block is complete."""
        epoch, row = self._next
        if self._read == self.size or epoch != self._place["epoch"]:
            return False
        present = self.presence(row)
        if present is not None:
            self._block.append(row)
            self._present.append(present)
        self._read += 1
        self._next = next(self.rows)
        return True

    def take(self) -> tuple[list[Row], np.ndarray]:
        """Complete the coming block and begin with the one after it."""
        while self.read_ahead():
            pass
        block, present, self.place = self._block, self._present, self._place
        self._start()
        return block, np.stack(present) if present else np.zeros((0, 0), dtype=bool)


def open_stream(found: HubDataset, split: str) -> "datasets.IterableDataset":
    """A split of a dataset as a stream, with the needed columns under our names, images undecoded.

    Raises:
        ValueError: a column that is not there, or a format that does not say its columns.
    """
    table = load_stream(found.name, split, found.load_kwargs)
    if table.features is None:
        raise ValueError(f"{found.name}: this format does not say its columns; stream parquet files")
    return found.select(table)


# -- positions ----------------------------------------------------------------------------------------------------


def new_state(num_labels: int) -> dict[str, Any]:
    """The position of a lane at the start: of the block being delivered (epoch, shard, row, statistics before it), and
    how much of it has been (offset).
    """
    place = {"epoch": 0, "shard": 0, "row": 0, "block": 0, "draws": 0, "offset": 0}
    return place | {"seen": 0, "images_with_class": [0] * num_labels, "weight_sum": 0.0}


def resplit(states: list[dict[str, Any]], lanes: int) -> list[dict[str, Any]]:
    """Positions for another number of lanes: all begin the epoch after the latest one.

    Not exact: rows of the running epoch that nobody had delivered are left out. What is kept: no row comes twice in an
    epoch, no draw of the augmentation comes again, and the statistics go on.
    """
    draws = max(state["draws"] + state["offset"] for state in states)
    start = new_state(0) | {
        "epoch": max(state["epoch"] for state in states) + 1,
        "draws": -(-(draws + 1) * len(states) // lanes),
        "seen": sum(state["seen"] for state in states),
        "images_with_class": np.sum([state["images_with_class"] for state in states], axis=0).tolist(),
        "weight_sum": sum(state["weight_sum"] for state in states),
    }
    return [dict(start) for _ in range(lanes)]


def collate_stream(batch: list[dict[str, Any]]) -> dict[str, Any]:
    """As `collate`, with the position after the last sample under "stream_state"."""
    position = batch[-1][STATE]
    return collate([{key: value for key, value in sample.items() if key != STATE} for sample in batch]) | {
        STATE: position
    }


__all__ = ["STATE", "StreamingSemanticDataset", "collate_stream", "new_state", "open_stream", "resplit"]

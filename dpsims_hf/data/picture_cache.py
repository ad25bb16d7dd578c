# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Pictures decoded once and shared: memory-mapped files for all processes of a machine, or memory for all workers.

With a fixed scale (resize, crop, flip: the papers) what is kept is the pair at the size before the crop, else the
originals; so the samples are those without a cache, to the bit (`JointTransform.prepared`).
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import SemanticImageDataset
from .reading.cache_folder import computed_once
from .reading.label_scan import in_threads


CACHE_LIMIT = 1 << 30  # bytes of decoded pictures that "auto" keeps in memory
CHANNELS = {"photo": 3, "label_map": 1, "instance_map": 1}
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]


class DecodedRows:
    """Decoded and prepared pictures by row.

    Args:
        buffers: "photo", "label_map" and maybe "instance_map" -> all pictures one after the other, flat.
        sizes: (rows, 2) int64: height and width of each; (0, 0) for a row that could not be read.
        folder: Where the buffers are memory-mapped from; a copy in another process then opens them again.
    """

    def __init__(self, buffers: dict[str, np.ndarray], sizes: np.ndarray, folder: Path | None = None) -> None:
        self.buffers, self.sizes, self.folder = buffers, sizes, folder
        self.starts = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))])

    def __getitem__(self, index: int) -> Arrays | None:
        """The pictures of a row, read only; None if it could not be read."""
        height, width = self.sizes[index].tolist()
        if not height:
            return None
        start, stop = self.starts[index : index + 2].tolist()
        found = {}
        for name, buffer in self.buffers.items():
            channels = CHANNELS[name]
            shape = (height, width, channels) if channels > 1 else (height, width)
            found[name] = buffer[start * channels : stop * channels].reshape(shape)
        return found["photo"], found["label_map"], found.get("instance_map")

    @classmethod
    def open(cls, folder: Path) -> "DecodedRows":
        """Map the files of a folder."""
        types = np.load(folder / "types.npy").tolist()
        buffers: dict[str, np.ndarray] = {
            name: np.memmap(folder / f"{name}.bin", dtype=dtype, mode="r")
            for name, dtype in zip(CHANNELS, types, strict=False)
        }
        return cls(buffers, np.load(folder / "sizes.npy"), folder)

    def __reduce__(self) -> tuple:
        if self.folder is None:
            return DecodedRows, (self.buffers, self.sizes)
        return DecodedRows.open, (self.folder,)


def decode(
    dataset: SemanticImageDataset, kind: str, cache_dir: Path | None = None, progress: bool = True
) -> DecodedRows | None:
    """All pictures of a set, decoded and prepared for its transform.

    Args:
        dataset: Gives pictures, transform and what is done about bad samples.
        kind: "none", "memory" (of this process, before its workers are forked), "disk", or "auto": memory if all
            pictures take less than 1 GiB.
        cache_dir: Folder of the files of "disk"; a process writes them, others wait.
        progress: Show a bar.

    Returns:
        None for "none".
    """
    if kind == "auto":
        kind = "memory" if _bytes(dataset) <= CACHE_LIMIT else "none"
    if kind == "none":
        return None
    if kind == "disk":
        if cache_dir is None:
            raise ValueError("the cache on disk needs a folder: give cache_dir")
        folder = cache_dir / f"pictures-{_key(dataset)}"
        return DecodedRows.open(computed_once(folder, lambda aside: _write(dataset, aside, progress)))
    buffers: dict[str, list[np.ndarray]] = {}
    sizes = []
    for arrays in _decoded(dataset, progress):
        sizes.append((0, 0) if arrays is None else arrays[1].shape)
        for name, array in _named(arrays):
            buffers.setdefault(name, []).append(array.ravel())
    # One buffer each, which forked workers read without copying it: Python objects would be copied at a touch.
    whole = {name: np.concatenate(parts) for name, parts in buffers.items()}
    return DecodedRows(whole, np.array(sizes, dtype=np.int64))


def _write(dataset: SemanticImageDataset, folder: Path, progress: bool) -> None:
    folder.mkdir()
    files: dict[str, Any] = {}
    sizes, types = [], {}
    try:
        for arrays in _decoded(dataset, progress):
            sizes.append((0, 0) if arrays is None else arrays[1].shape)
            for name, array in _named(arrays):
                if name not in files:
                    files[name] = (folder / f"{name}.bin").open("wb")
                np.ascontiguousarray(array).tofile(files[name])
                types[name] = array.dtype.name
    finally:
        for file in files.values():
            file.close()
    np.save(folder / "sizes.npy", np.array(sizes, dtype=np.int64))
    np.save(folder / "types.npy", np.array([types[name] for name in CHANNELS if name in types]))


def _decoded(dataset: SemanticImageDataset, progress: bool) -> Iterator[Arrays | None]:
    """Every row in order; None for a bad one that the dataset allows."""

    def read(index: int) -> Arrays | ValueError:
        try:
            return dataset.transform.prepared(*dataset.arrays(index))
        except ValueError as error:
            return error

    found = False
    for index, result in enumerate(in_threads(read, len(dataset), "decoding pictures", progress)):
        if isinstance(result, ValueError):
            dataset.bad_samples.report(dataset.source(index, "image"), result)
            yield None
        else:
            found = True
            yield result
    if not found:
        raise ValueError(f"{dataset.name}: no sample can be read; check the data")


def _named(arrays: Arrays | None) -> Iterator[tuple[str, np.ndarray]]:
    for name, array in zip(CHANNELS, arrays or (), strict=False):
        if array is not None:
            yield name, array


def _bytes(dataset: SemanticImageDataset) -> int:
    """What all pictures would take in memory, from the sizes of the label maps."""
    transform = dataset.transform
    sizes = [size for size in dataset.scan_labels().sizes if size is not None]
    if transform.is_scale_fixed:
        sizes = [transform.full_size(size, transform.scale_range[0]) for size in sizes]
    bytes_per_pixel = 3 + (1 if dataset.spec.num_labels <= 256 else 2) + 4 * dataset.use_instance_offsets
    return sum(height * width for height, width in sizes) * bytes_per_pixel


def _key(dataset: SemanticImageDataset) -> str:
    """Of the content, and of what is prepared from it."""
    transform = dataset.transform
    prepared: tuple = ("originals",)
    if transform.is_scale_fixed:
        prepared = (transform.size, transform.scale_range[0], transform.keep_aspect)
    parts = (dataset.fingerprint, prepared, dataset.use_instance_offsets)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


__all__ = ["DecodedRows", "decode"]

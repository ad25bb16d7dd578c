# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Pairs of photo and label map for training and evaluation, from a local folder or from the Hub, on one path.

A local folder is DIR/{train,val}/images/NAME.jpg|png + labels/NAME.png (+ instances/NAME.png) with DIR/classes.json.
Label files are decoded by `RowDecoder` and nowhere else.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from ..image_processing_reading import Reading
from .reading.bad_samples import ATTEMPTS, BadSampleError, BadSamples, replacement_index
from .reading.cache_folder import content_fingerprint
from .reading.label_scan import DatasetChecks, LabelScan
from .reading.report import check_scan
from .reading.rows import RowDecoder, sizes_differ
from .sources.foreign_files import tell_links
from .sources.hub_loading import resolve_hub_dataset
from .sources.layouts import LAYOUT, files_table, paired_files
from .specs import DatasetSpec
from .transforms import JointTransform, stateless_generator


if TYPE_CHECKING:
    import datasets

AUGMENTATION_STREAM = 2  # keeps the draws of the augmentation apart from those of the order (samplers.py)


class DecodedPictures(Protocol):
    """Row -> photo, label map and maybe instance map, prepared for the transform; None for a row that is bad."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None: ...


class SemanticImageDataset(Dataset):
    """Map-style dataset over a `datasets.Dataset` of photos and label maps.

    Build it with `from_folder` or `from_hub`. An int index gives the plain evaluation sample. A tuple (index, draw),
    what `DrawSampler` yields, gives the augmented one: every random number then depends on (seed, draw) only, whatever
    the worker, process or resumed run.

    Args:
        table: Columns `image`, `label_map` and, optionally, `instance_map`: undecoded images ({"path", "bytes"}), or
            arrays for the last two.
        spec: The label space.
        transform: The joint transform; its `size` is also the evaluation size.
        seed: Seed of the augmentation.
        use_instance_offsets: Also return `instance_offsets`.
        name: What errors and reports call the set.
        bad_samples: What is done about samples that cannot be read; None ends with an error at the first.
        cache_dir: Folder that keeps what `validate` and `class_presence` found, by the content of the set; None
            computes it anew for each object.
    """

    def __init__(
        self,
        table: "datasets.Dataset",
        spec: DatasetSpec,
        transform: JointTransform,
        seed: int = 0,
        use_instance_offsets: bool = False,
        name: str = "dataset",
        bad_samples: BadSamples | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        if not len(table):
            raise ValueError(f"{name}: no images; expected {LAYOUT}")
        if use_instance_offsets and "instance_map" not in table.column_names:
            raise ValueError(f"{name}: instance offsets need instances/NAME.png beside labels/, or an instance column")
        self.table, self.spec, self.transform, self.seed, self.name = table, spec, transform, seed, name
        self.use_instance_offsets = use_instance_offsets
        self.decoder = RowDecoder(spec, name)
        self.bad_samples = bad_samples or BadSamples()
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self._checks = DatasetChecks(self)
        self._decoded: DecodedPictures | None = None

    # -- construction ---------------------------------------------------------------------------------------------

    @classmethod
    def from_folder(
        cls,
        data_dir: str | Path,
        split: str,
        transform: JointTransform | None = None,
        spec: DatasetSpec | None = None,
        use_instance_offsets: bool = False,
        **kwargs: Any,
    ) -> "SemanticImageDataset":
        """Open DIR/SPLIT; a warning says how many of its files are links to places outside of DIR.

        Args:
            data_dir: The folder.
            split: Its sub-folder.
            transform: The joint transform; None takes the spec's.
            spec: The label space; None reads DIR/classes.json.
            use_instance_offsets: Also read instances/ and return `instance_offsets`.
            kwargs: Of the constructor.

        Raises:
            ValueError: missing or empty folder, image without label, label without image.
        """
        root = Path(data_dir) / split
        columns = paired_files(root, use_instance_offsets)
        tell_links(data_dir, (path for files in columns.values() for path in files.values()))
        spec = spec or DatasetSpec.from_folder(data_dir)
        table = files_table({column: [files[stem] for stem in sorted(files)] for column, files in columns.items()})
        transform = transform or spec.transform()
        return cls(table, spec, transform, use_instance_offsets=use_instance_offsets, name=str(root), **kwargs)

    @classmethod
    def from_hub(
        cls,
        dataset_name: str | Path,
        split: str | None = None,
        transform: JointTransform | None = None,
        spec: DatasetSpec | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        instance_column: str | None = None,
        load_kwargs: dict[str, Any] | None = None,
        use_instance_offsets: bool | None = None,
        **kwargs: Any,
    ) -> "SemanticImageDataset":
        """Open what `datasets.load_dataset(dataset_name, split=split, **load_kwargs)` gives (Hub id, or local files).

        What is not given is looked up, see `resolve_hub_dataset`: in the repository's classes.json, else in what the
        spec lists about the repository.

        Args:
            dataset_name: Repository id, folder or builder name.
            split: Name of the split, None: the one to train on.
            transform: The joint transform; None takes the spec's.
            spec: The label space; None: the repository's, or that of the known set which lists the repository.
            image_column: Column of the photos.
            label_column: Column of the label maps (images, arrays or nested lists).
            instance_column: Column of the instance maps; given, `instance_offsets` are returned.
            load_kwargs: Further arguments of `load_dataset`.
            use_instance_offsets: Return `instance_offsets` from the column that is known; None: if one is given.
            kwargs: Of the constructor.
        """
        columns = (image_column, label_column, instance_column)
        found = resolve_hub_dataset(dataset_name, spec, *columns, use_instance_offsets, load_kwargs)
        split = split or found.train_split()
        table = found.load(split)
        kwargs |= {"use_instance_offsets": "instance_map" in found.columns, "name": f"{found.name}:{split}"}
        return cls(table, found.spec, transform or found.spec.transform(), **kwargs)

    def read_as(self, label_reading: str | None) -> "SemanticImageDataset":
        """The same set with its label files read in a way that is given (a key of READINGS); None keeps."""
        if label_reading is not None:
            self.spec = replace(self.spec, label_reading=label_reading)
            self.decoder = RowDecoder(self.spec, self.name)
        return self

    # -- access ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """One sample.

        Args:
            key: An index, or (index, draw).

        Returns:
            `pixel_values` (3, height, width) float32 in [-1, 1], `label_map` (height, width) int64, `index`, and
            `instance_offsets` (2, height, width) float32 if asked for.
        """
        index, draw = key if isinstance(key, tuple) else (key, None)
        index = range(len(self))[index]  # negative indices; IndexError beyond the end
        place = -1 - index if draw is None else draw  # what a replacement depends on
        for attempt in range(ATTEMPTS):
            try:
                return self._sample(index, draw)
            except ValueError as error:
                self.bad_samples.report(self.source(index, "image"), error)
            index = replacement_index(self.seed, place, attempt, len(self))
        raise BadSampleError(f"{self.name}: {ATTEMPTS} samples in a row cannot be read; check the data")

    def _sample(self, index: int, draw: int | None) -> dict[str, Any]:
        if draw is None:
            return self.decoder.sample(*self.transform(*self.arrays(index)), index)
        generator = stateless_generator(self.seed, AUGMENTATION_STREAM, draw)
        prepared = None if self._decoded is None else self._decoded[index]
        arrays = self.arrays(index) if prepared is None else prepared
        return self.decoder.sample(*self.transform(*arrays, generator, prepared is not None), index)

    def arrays(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Photo (height, width, 3) uint8, label map (height, width), and instance map if asked for, at their size.

        Raises:
            ValueError: one of them cannot be read, or their sizes differ; the message names the file.
        """
        photo, label_map = self.photo(index), self.compact_label_map(index)
        if photo.shape[:2] != label_map.shape:
            raise ValueError(sizes_differ(self.source(index, "label_map"), label_map.shape, photo.shape[:2]))
        instances = None
        if self.use_instance_offsets:
            instances = self.decoder.instance_map(self.table[index], index, label_map.shape)
        return photo, label_map, instances

    def use_decoded(self, decoded: DecodedPictures | None) -> None:
        """Take augmented samples from pictures that are decoded already (`picture_cache.decode`): the same samples."""
        self._decoded = decoded

    def source(self, index: int, column: str) -> str:
        """What error messages call this image: its path, or dataset, row and column."""
        return self.decoder.source(self.table[index], index, column)

    def photo(self, index: int) -> np.ndarray:
        """The decoded photo at its own size, (height, width, 3) uint8."""
        return self.decoder.photo(self.table[index], index)

    def photo_size(self, index: int) -> tuple[int, int] | None:
        """(height, width) of a photo from its header, see `RowDecoder.photo_size`."""
        return self.decoder.photo_size(self.table[index], index)

    def label_map(self, index: int) -> np.ndarray:
        """The decoded label map at its own size, (height, width) int64."""
        return self.compact_label_map(index).astype(np.int64)

    def compact_label_map(self, index: int) -> np.ndarray:
        """The label map in the smallest dtype that holds it, (height, width)."""
        return self.decoder.label_map(self.table[index], index)

    def label_map_and_reading(self, index: int) -> tuple[np.ndarray, Reading]:
        """`compact_label_map`, and how the file was read."""
        return self.decoder.label_map_and_reading(self.table[index], index)

    @cached_property
    def fingerprint(self) -> str:
        """A key of the content, see `content_fingerprint`."""
        return content_fingerprint(self.table, self.spec)

    # -- checks and statistics ------------------------------------------------------------------------------------

    def scan_labels(self, progress: bool = True) -> LabelScan:
        """Decode every label map once (kept): pixel counts, sizes, and one line for each bad file."""
        return self._checks.scan(progress)

    def validate(self, progress: bool = True) -> None:
        """Check all label files and the photos' sizes (from their headers) before hours of training.

        Raises:
            ValueError: more problems than `bad_samples` allows: the first in one line, and how many more there are; or
                not one labelled pixel in the whole set; or numbers that may start at 1 as well.
        """
        self._checks.validate(progress)
        scan = self.scan_labels(progress)
        check_scan(scan.pixel_counts, scan.half_transparent, scan.span, self.spec, self.name)

    def is_turned(self, index: int) -> bool:
        """Whether a photo has an EXIF orientation that turns it; False for what cannot be read."""
        try:
            return self.photo_size(index) is None
        except ValueError:
            return False

    def class_presence(self, progress: bool = True) -> np.ndarray:
        """Which label occurs in which image, (images, num_labels) bool, void included; raises like `validate`.

        A bad image that `bad_samples` allows has none.
        """
        self.validate(progress)
        return self.scan_labels(progress).pixel_counts > 0


def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Samples -> a batch: tensors stacked, `index` (batch,) int64."""
    return {
        key: torch.stack([sample[key] for sample in batch])
        if isinstance(value, torch.Tensor)
        else torch.tensor([sample[key] for sample in batch])
        for key, value in batch[0].items()
    }


__all__ = ["DecodedPictures", "LabelScan", "SemanticImageDataset", "collate"]

"""Pairs of photo and label map for training and evaluation, from a local folder or from the Hub, on one path.

A local folder is DIR/{train,val}/images/NAME.jpg|png + labels/NAME.png (+ instances/NAME.png) with DIR/classes.json.
Label files are decoded by `RowDecoder` and nowhere else.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from .bad_samples import ATTEMPTS, BadSampleError, BadSamples, replacement_index
from .cache_folder import computed_once, content_fingerprint
from .hub_loading import resolve_hub_dataset
from .label_scan import LabelScan, photo_problems, read_scan, scan_labels, write_scan
from .layouts import LAYOUT, files_table, paired_files
from .rows import RowDecoder, content, sizes_differ
from .specs import DatasetSpec
from .transforms import JointTransform, stateless_generator


if TYPE_CHECKING:
    import datasets

    from .decode_cache import DecodedRows

AUGMENTATION_STREAM = 2  # keeps the draws of the augmentation apart from those of the order (samplers.py)
CACHE_LIMIT = 1 << 30  # bytes of decoded pictures kept in memory when cache_in_memory is None


class SemanticImageDataset(Dataset):
    """Map-style data set over a `datasets.Dataset` of photos and label maps.

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
        cache_in_memory: Keep decoded pictures in memory as they come, in each process; None does so if all of them
            take less than 1 GiB. Workers share what `use_decoded` is given instead.
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
        cache_in_memory: bool | None = None,
        name: str = "data set",
        bad_samples: BadSamples | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        if not len(table):
            raise ValueError(f"{name}: no images; expected {LAYOUT}")
        if use_instance_offsets and "instance_map" not in table.column_names:
            raise ValueError(f"{name}: instance offsets need instances/NAME.png beside labels/, or an instance column")
        self.table, self.spec, self.transform, self.seed, self.name = table, spec, transform, seed, name
        self.use_instance_offsets = use_instance_offsets
        self.cache_in_memory = cache_in_memory
        self.decoder = RowDecoder(spec, name)
        self._photos: dict[int, np.ndarray] = {}
        self._label_maps: dict[int, np.ndarray] = {}
        self._instance_maps: dict[int, np.ndarray] = {}
        self.bad_samples = bad_samples or BadSamples()
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self._scan: LabelScan | None = None
        self._problems: dict[int, str] | None = None
        self._decoded: DecodedRows | None = None

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
        """Open DIR/SPLIT.

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
        arrays = None if self._decoded is None else self._decoded[index]
        is_prepared = arrays is not None
        arrays = arrays if is_prepared else self.arrays(index)
        return self.decoder.sample(*self.transform(*arrays, generator, is_prepared), index)

    def arrays(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Photo (height, width, 3) uint8, label map (height, width), and instance map if asked for, at their size.

        Raises:
            ValueError: one of them cannot be read, or their sizes differ; the message names the file.
        """
        photo, label_map = self.photo(index), self.compact_label_map(index)
        if photo.shape[:2] != label_map.shape:
            raise ValueError(sizes_differ(self.source(index, "label_map"), label_map.shape, photo.shape[:2]))
        instances = self._instance_map(index, label_map.shape) if self.use_instance_offsets else None
        return photo, label_map, instances

    def use_decoded(self, decoded: "DecodedRows | None") -> None:
        """Take augmented samples from pictures that are decoded already (decode_cache.py): the same samples."""
        self._decoded = decoded

    def source(self, index: int, column: str) -> str:
        """What error messages call this image: its path, or data set, row and column."""
        return self.decoder.source(self.table[index], index, column)

    def photo(self, index: int) -> np.ndarray:
        """The decoded photo at its own size, (height, width, 3) uint8."""
        if index in self._photos:
            return self._photos[index]
        photo = self.decoder.photo(self.table[index], index)
        return self._keep(self._photos, index, photo, photo.shape[:2])

    def label_map(self, index: int) -> np.ndarray:
        """The decoded label map at its own size, (height, width) int64."""
        return self.compact_label_map(index).astype(np.int64)

    def compact_label_map(self, index: int) -> np.ndarray:
        """The label map in the smallest dtype that holds it, (height, width): what is cached."""
        if index in self._label_maps:
            return self._label_maps[index]
        label_map = self.decoder.label_map(self.table[index], index)
        return self._keep(self._label_maps, index, label_map, label_map.shape)

    def _instance_map(self, index: int, shape: tuple[int, int]) -> np.ndarray:
        if index in self._instance_maps:
            return self._instance_maps[index]
        return self._keep(
            self._instance_maps, index, self.decoder.instance_map(self.table[index], index, shape), shape
        )

    def _keep(self, cache: dict[int, np.ndarray], index: int, array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if self.cache_in_memory is None:  # decided once, from the first picture seen
            bytes_per_pixel = 3 + 2 + 4 * self.use_instance_offsets
            self.cache_in_memory = len(self) * size[0] * size[1] * bytes_per_pixel <= CACHE_LIMIT
        if self.cache_in_memory:
            cache[index] = array
        return array

    @cached_property
    def fingerprint(self) -> str:
        """A key of the content, see `content_fingerprint`."""
        return content_fingerprint(self.table, self.spec)

    # -- checks and statistics ------------------------------------------------------------------------------------

    def scan_labels(self, progress: bool = True) -> LabelScan:
        """Decode every label map once (kept): pixel counts, sizes, and one line for each bad file."""
        if self._scan is None:
            self._scan = scan_labels(self, progress)
        return self._scan

    def _checked(self, progress: bool) -> dict[int, str]:
        """Row -> problem; from `cache_dir` if any run has looked at this content before."""

        def write(file: Path) -> None:
            scan = self.scan_labels(progress)
            write_scan(file, scan, photo_problems(self, scan, progress))

        if self._problems is not None:
            return self._problems
        if self.cache_dir is None:
            scan = self.scan_labels(progress)
            photos = photo_problems(self, scan, progress)
        else:
            name = f"labels-{self.fingerprint}.npz"
            self._scan, photos = read_scan(computed_once(self.cache_dir / name, write))
            scan = self._scan
        self._problems = dict(sorted((photos | scan.by_row()).items()))
        return self._problems

    def validate(self, progress: bool = True) -> None:
        """Check all label files and the photos' sizes (from their headers) before hours of training.

        Raises:
            ValueError: more problems than `bad_samples` allows: the first in one line, and how many more there are.
        """
        problems = self._checked(progress)
        if len(problems) > self.bad_samples.limit:
            first = next(iter(problems.values()))
            more = len(problems) - 1
            raise ValueError(
                first + (f" (and {more} more; python -m dpsims_hf.data.inspect lists them)" if more else "")
            )
        for index, problem in problems.items():
            self.bad_samples.report(self.source(index, "image"), ValueError(problem))

    def photo_size(self, index: int) -> tuple[int, int] | None:
        """(height, width) from the header; None where the photo must be decoded to know (EXIF rotation, bad file)."""
        photo = content(self.table[index]["image"])
        if isinstance(photo, np.ndarray):
            return photo.shape[:2]
        try:
            with Image.open(photo) as image:
                return None if image.getexif().get(0x0112, 1) != 1 else (image.height, image.width)
        except (OSError, SyntaxError, Image.DecompressionBombError):
            raise ValueError(f"{self.source(index, 'image')}: cannot be read as an image; replace the file") from None

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


__all__ = ["LabelScan", "SemanticImageDataset", "collate"]

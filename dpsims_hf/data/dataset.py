"""Pairs of photo and label map for training and evaluation, from a local folder or from the Hub, on one path.

A local folder is DIR/{train,val}/images/NAME.jpg|png + labels/NAME.png (+ instances/NAME.png) with DIR/classes.json.
Label files are decoded by `SemanticImageProcessor.decode_label_map` and nowhere else.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..image_processing_files import listing
from .rows import RowDecoder, content, sizes_differ
from .specs import DatasetSpec
from .transforms import JointTransform, stateless_generator


if TYPE_CHECKING:
    import datasets

AUGMENTATION_STREAM = 2  # keeps the draws of the augmentation apart from those of the order (samplers.py)
CACHE_LIMIT = 1 << 30  # bytes of decoded pictures kept in memory when cache_in_memory is None
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LAYOUT = "DIR/{train,val}/images/NAME.jpg|png + DIR/{train,val}/labels/NAME.png + DIR/classes.json"


@dataclass
class LabelScan:
    """What one pass over all label files found.

    `pixel_counts` (images, num_labels) int64, a row of zeros for a bad file; `sizes` (height, width) of each label
    map, None for a bad one; `problems` one line per bad file.
    """

    pixel_counts: np.ndarray
    sizes: list[tuple[int, int] | None]
    problems: list[str]


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
        cache_in_memory: Keep decoded pictures in memory; None does so if all of them take less than 1 GiB.
        name: What errors and reports call the set.
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
        self._scan: LabelScan | None = None

    # -- construction ---------------------------------------------------------------------------------------------

    @classmethod
    def from_folder(
        cls,
        data_dir: str | Path,
        split: str,
        transform: JointTransform,
        spec: DatasetSpec | None = None,
        use_instance_offsets: bool = False,
        **kwargs: Any,
    ) -> "SemanticImageDataset":
        """Open DIR/SPLIT; `spec` None reads DIR/classes.json; `kwargs` go to the constructor.

        Raises:
            ValueError: missing or empty folder, image without label, label without image.
        """
        import datasets

        root = Path(data_dir) / split
        photos = _files(root / "images", PHOTO_SUFFIXES)
        columns = {"image": photos, "label_map": _files(root / "labels", (".png",))}
        if use_instance_offsets:
            columns["instance_map"] = _files(root / "instances", (".png",))
        for column in list(columns)[1:]:
            _require_pairs(
                photos, columns[column], root, {"label_map": "label", "instance_map": "instance map"}[column]
            )
        spec = spec or DatasetSpec.from_folder(data_dir)
        paths = {column: [str(files[stem]) for stem in sorted(photos)] for column, files in columns.items()}
        table = datasets.Dataset.from_dict(paths)
        for column in columns:  # undecoded: the bytes stay exact, and one processor decodes labels everywhere
            table = table.cast_column(column, datasets.Image(decode=False))
        return cls(table, spec, transform, use_instance_offsets=use_instance_offsets, name=str(root), **kwargs)

    @classmethod
    def from_hub(
        cls,
        dataset_name: str,
        split: str,
        transform: JointTransform,
        spec: DatasetSpec,
        image_column: str = "image",
        label_column: str = "label_map",
        instance_column: str | None = None,
        load_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> "SemanticImageDataset":
        """Open what `datasets.load_dataset(dataset_name, split=split, **load_kwargs)` gives (Hub id, or local files).

        Args:
            dataset_name: Repository id, folder or builder name.
            split: Name of the split; `transform`: the joint transform.
            spec: The label space (a Hub set carries no classes.json; write one).
            image_column: Column of the photos.
            label_column: Column of the label maps (images or 2-D arrays).
            instance_column: Column of the instance maps; given, `instance_offsets` are returned.
            load_kwargs: Further arguments of `load_dataset`; `kwargs` go to the constructor.
        """
        import datasets

        table = datasets.load_dataset(dataset_name, split=split, **(load_kwargs or {}))
        columns = {"image": image_column, "label_map": label_column}
        if instance_column is not None:
            columns["instance_map"] = instance_column
        missing = sorted(set(columns.values()) - set(table.column_names))
        if missing:
            raise ValueError(f"{dataset_name}: no column {listing(missing)}; it has {listing(table.column_names)}")
        table = table.select_columns(list(columns.values())).rename_columns(
            {v: k for k, v in columns.items() if v != k}
        )
        for column in columns:
            if isinstance(table.features[column], datasets.Image):
                table = table.cast_column(column, datasets.Image(decode=False))
        kwargs |= {"use_instance_offsets": instance_column is not None, "name": f"{dataset_name}:{split}"}
        return cls(table, spec, transform, **kwargs)

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
        generator = None if draw is None else stateless_generator(self.seed, AUGMENTATION_STREAM, draw)
        photo, label_map = self.photo(index), self._label_map(index)
        if photo.shape[:2] != label_map.shape:
            raise ValueError(sizes_differ(self.source(index, "label_map"), label_map.shape, photo.shape[:2]))
        instances = self._instance_map(index, label_map.shape) if self.use_instance_offsets else None
        return self.decoder.sample(*self.transform(photo, label_map, instances, generator), index)

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
        return self._label_map(index).astype(np.int64)

    def _label_map(self, index: int) -> np.ndarray:
        """The label map in the smallest dtype that holds it: what is cached."""
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

    # -- checks and statistics ------------------------------------------------------------------------------------

    def scan_labels(self, progress: bool = True) -> LabelScan:
        """Decode every label map once (kept): pixel counts, sizes, and one line for each bad file."""
        if self._scan is None:
            counts = np.zeros((len(self), self.spec.num_labels), dtype=np.int64)
            sizes, problems = [], []
            for index in tqdm(range(len(self)), desc="reading labels", disable=not progress, leave=False):
                try:
                    label_map = self._label_map(index)
                    counts[index] = np.bincount(label_map.ravel(), minlength=self.spec.num_labels)
                    sizes.append(label_map.shape)
                except ValueError as error:
                    sizes.append(None)
                    problems.append(str(error))
            self._scan = LabelScan(counts, sizes, problems)
        return self._scan

    def validate(self, progress: bool = True) -> None:
        """Check all label files and the photos' sizes (from their headers) before hours of training.

        Raises:
            ValueError: the first problem in one line, and how many more there are.
        """
        scan = self.scan_labels(progress)
        problems = list(scan.problems)
        for index, size in enumerate(scan.sizes):
            photo_size = self._photo_size(index)
            if size is not None and photo_size is not None and photo_size != size:
                problems.append(sizes_differ(self.source(index, "label_map"), size, photo_size))
        if problems:
            more = (
                f" (and {len(problems) - 1} more; python -m dpsims_hf.data.inspect lists them)" if problems[1:] else ""
            )
            raise ValueError(problems[0] + more)

    def _photo_size(self, index: int) -> tuple[int, int] | None:
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
        """Which label occurs in which image, (images, num_labels) bool, void included; raises like `validate`."""
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


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder by stem; hidden files are passed over."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected {LAYOUT}")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                raise ValueError(f"{path}: same name as {files[path.stem].name}; keep one of the two")
            files[path.stem] = path
    if not files:
        raise ValueError(f"{folder}: no {'/'.join(s[1:] for s in suffixes)} files in it; expected {LAYOUT}")
    return files


def _require_pairs(photos: dict[str, Path], others: dict[str, Path], root: Path, what: str) -> None:
    """Every photo has its partner and the other way round."""
    folder = {"label": "labels", "instance map": "instances"}[what]
    lonely = [photos[stem].name for stem in sorted(photos.keys() - others.keys())]
    if lonely:
        raise ValueError(
            f"{root}: {len(lonely)} images without {what}: {listing(lonely, 5)}; add {folder}/NAME.png or remove them"
        )
    lonely = [others[stem].name for stem in sorted(others.keys() - photos.keys())]
    if lonely:
        raise ValueError(
            f"{root}: {len(lonely)} {what}s without image: {listing(lonely, 5)}; add images/NAME.jpg or remove them"
        )


__all__ = ["LabelScan", "SemanticImageDataset", "collate"]

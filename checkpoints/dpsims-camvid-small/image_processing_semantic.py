# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label maps and photos in, model tensors out, and back: the processor that travels with every checkpoint.

Label files reach people as index PNGs (8 or 16 bit), palette PNGs and colour PNGs. `decode_label_map` is the ONE
place where any of them becomes class indices; the data loader, the pipeline and the demo all call it. Values survive
exactly: resizing is nearest neighbour, a file is read in the way that explains every pixel, and what cannot be decoded
raises.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from huggingface_hub import CommitInfo
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature

from .configuration_limits import PROCESSOR_FIELDS, TRANSFORMERS_PROCESSOR_FIELDS, check_arguments
from .configuration_publishing import plain_card, push_saved
from .image_processing_files import (
    as_list,
    channels_last,
    default_palette,
    instance_numbers,
    listing,
    open_image,
    photo_to_pixel_values,
    read_photo,
    resize_nearest,
    resize_photo,
    stack_arrays,
    to_numpy,
)
from .image_processing_label_reader import LabelReader, label_reader
from .image_processing_outputs import images_as, semantic_maps
from .image_processing_reading import READINGS, LabelMap


USAGE = """
from transformers import AutoImageProcessor

processor = AutoImageProcessor.from_pretrained("{}", trust_remote_code=True)
"""
_READERS: WeakKeyDictionary = WeakKeyDictionary()  # processor -> its fields, and the reader that was made of them


class LegendEntry(NamedTuple):
    """One class of a label map: its id, name, display colour (r, g, b in 0..255) and share of the pixels in [0, 1]."""

    id: int
    name: str
    color: tuple[int, int, int]
    share: float


class SemanticImageProcessor(BaseImageProcessor):
    """Decodes, resizes, batches and colours label maps; scales photos to [-1, 1] and generated images back to 8 bit.

    Args:
        id2label: Name of each model label, keys 0 .. num_labels-1 (strings after a JSON round trip are accepted).
        palette: One [r, g, b] per model label, all different; None takes the Pascal VOC colour rule.
        void_label_id: The model label that means "unknown"; None if the label space has none.
        void_values: Raw values in label FILES that mean void (for instance 255); they become `void_label_id`.
        size: {"height", "width"} every input is resized to; None keeps the native size.
        size_divisor: Height and width must be multiples of it (2 ** (scales - 1) of the generator).
        do_resize: False ignores `size`.
        color_tolerance: Colour files: how far (0..255 units) a blend may lie outside of its classes' colours, and what
            the reading "nearest_colors" takes for a class's colour (Euclidean).
        max_unmatched_share: Colour files: share of pixels with unknown colours above which decoding raises.
        stuff_ids: Labels without objects, for models that take instances; void has none in any case.
        label_encoding: How the numbers in label FILES become class ids: {"name", "offset", "values"}, where id =
            value + offset, and `values` {value: id} goes before it; offset None: only `values` are legal. "ids": the
            numbers are the ids. None: nobody has said, and files that may start at 1 as well are asked about. Arrays,
            tensors and PNGs that this package writes hold class ids in any case.
        label_reading: The reading (a key of `READINGS`) of label files that can have it and for which no other is
            asked for; None: by evidence.
        has_colors: False if nobody chose the palette; the colours of index files are then weak evidence.
    """

    model_input_names = ["label_map", "pixel_values"]
    _auto_class = "AutoImageProcessor"  # saved with its code, as by `register_for_auto_class`

    def __new__(cls, /, *args: Any, **kwargs: Any) -> "SemanticImageProcessor":
        check_arguments(cls, PROCESSOR_FIELDS, TRANSFORMERS_PROCESSOR_FIELDS, args, kwargs)
        return super().__new__(cls)

    def __init__(
        self,
        id2label: Mapping[Any, str],
        palette: list[list[int]] | None = None,
        void_label_id: int | None = None,
        void_values: list[int] | None = None,
        size: Mapping[str, int] | Sequence[int] | int | None = None,
        size_divisor: int = 32,
        do_resize: bool = True,
        color_tolerance: float = 16.0,
        max_unmatched_share: float = 0.05,
        stuff_ids: list[int] | None = None,
        label_encoding: Mapping[str, Any] | str | None = None,
        label_reading: str | None = None,
        has_colors: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.id2label = {int(key): str(name) for key, name in sorted(id2label.items(), key=lambda item: int(item[0]))}
        self.palette = [[int(c) for c in rgb] for rgb in palette] if palette else default_palette(len(self.id2label))
        self.void_label_id = void_label_id
        self.void_values = [int(value) for value in void_values or []]
        self.size = None if size is None else _size_dict(size)
        self.size_divisor = size_divisor
        self.do_resize = do_resize
        self.color_tolerance = color_tolerance
        self.max_unmatched_share = max_unmatched_share
        void = () if void_label_id is None else (void_label_id,)
        self.stuff_ids = sorted({*(int(label_id) for label_id in stuff_ids or []), *void})
        self.label_encoding = _encoding_dict(label_encoding)
        self.label_reading = label_reading
        self.has_colors = has_colors
        self._validate()

    def _validate(self) -> None:
        n = self.num_labels
        if n == 0:
            raise ValueError("id2label is empty: a label space has at least one class")
        if len(self.palette) != n:
            raise ValueError(
                f"palette must hold {n} colours [r, g, b] in 0..255 (one per label), got {len(self.palette)}"
            )
        owner: dict[tuple, int] = {}
        for label_id, rgb in enumerate(map(tuple, self.palette)):
            if owner.setdefault(rgb, label_id) != label_id:
                names = f"{self.id2label[owner[rgb]]} ({owner[rgb]}) and {self.id2label[label_id]} ({label_id})"
                raise ValueError(f"palette: {names} share the colour {rgb}; every class needs its own colour")
        if self.void_label_id is not None and not 0 <= self.void_label_id < n:
            raise ValueError(f"void_label_id {self.void_label_id} is out of range: legal are 0..{n - 1} or None")

        wrong = [label_id for label_id in self.stuff_ids if not 0 <= label_id < n]
        if wrong:
            raise ValueError(f"stuff_ids {wrong} are out of range: legal are 0..{n - 1}")
        encoding = self.label_encoding or {}
        wrong = [f"{value}: {i}" for value, i in encoding.get("values", {}).items() if not 0 <= i < n]
        if wrong:
            raise ValueError(f"label_encoding gives values {listing(wrong)} (value: id), legal ids are 0..{n - 1}")
        if self.label_encoding is not None and encoding["offset"] is None and not encoding["values"]:
            raise ValueError("label_encoding has neither an offset nor values: no number would be legal")
        if self.label_reading not in (None, *READINGS):
            raise ValueError(f"label_reading {self.label_reading!r} is unknown: choose one of {', '.join(READINGS)}")

    @property
    def num_labels(self) -> int:
        """All model labels, void included."""
        return len(self.id2label)

    # -- decoding -------------------------------------------------------------------------------------------------

    def decode_label_map(
        self,
        image: Any,
        source: str = "label map",
        reading: str | None = None,
        *,
        in_set: bool = False,
    ) -> LabelMap:
        """Any label image -> class indices, by evidence: the reading that explains every pixel exactly.

        Args:
            image: A path or binary file object of a PNG; a PIL image (L, LA, I;16, I, F, 1: numbers; P: indices or
                the palette's colours; RGB, RGBA: colours, or ids in one channel); an integer array or tensor
                (height, width) of class ids, or uint8 with 3 or 4 channels (HWC or CHW) of colours. Pixels that are
                less than half opaque are void.
            source: What error messages call this image; a path names itself.
            reading: A key of `READINGS` says which is meant; None takes `label_reading`, or finds out.
            in_set: It is one of a set whose numbers are known to be in `label_encoding`: not asked about by itself.

        Returns:
            (height, width) int64 in 0 .. num_labels-1, an array whose `reading` says what was decided and why.

        Raises:
            ValueError: unreadable or lossy file, ids out of range, void pixels without a void label, unknown colours,
                or two readings that fit and contradict each other; the message says how to say which is meant.
        """
        source = str(image) if isinstance(image, (str, os.PathLike)) else source
        return self._reader().read(image, source, reading, in_set)

    def _reader(self) -> LabelReader:
        """Of the label space as it is now; made anew only after a change, since looking up each field takes time."""
        state = (self.id2label, self.palette, self.void_label_id, self.void_values, self.label_encoding)
        state += (self.has_colors, self.label_reading, self.color_tolerance, self.max_unmatched_share)
        known = _READERS.get(self)
        if known is not None and known[0] == state:
            return known[1]
        encoding = _encoding_dict(self.label_encoding)
        if encoding is not None:
            pairs = tuple((int(value), int(label)) for value, label in encoding["values"].items())
            encoding = (encoding["name"], encoding["offset"], pairs)
        names, colors = tuple(self.id2label.values()), tuple(map(tuple, self.palette))
        reader = label_reader(names, colors, self.void_label_id, tuple(self.void_values), encoding, *state[5:])
        _READERS[self] = (copy.deepcopy(state), reader)
        return reader

    def decode_instance_map(
        self, image: Any, source: str = "instance map", size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Any instance image -> one id per object, 0 for none.

        Args:
            image: A path, file object, PIL image or integer array: ids (8 or 16 bit), or colours that are ids,
                R + 256 G + 65536 B.
            source: What error messages call this image.
            size: (height, width) to resize to, by nearest neighbour; None keeps the image's own.

        Returns:
            (height, width) int64.

        Raises:
            ValueError: unreadable file, or values that are no integers.
        """
        is_array = isinstance(image, (np.ndarray, torch.Tensor))
        values = channels_last(to_numpy(image) if is_array else np.asarray(open_image(image, source)))
        if values.dtype.kind == "f":
            raise ValueError(
                f"{source}: a {values.dtype} array of shape {values.shape} is no instance map; pass integers"
            )
        values = instance_numbers(values, source)
        return values if size is None else resize_nearest(values, *size)

    # -- batching -------------------------------------------------------------------------------------------------

    def __call__(  # type: ignore[override]  # label maps come first here
        self,
        label_maps: Any = None,
        images: Any = None,
        return_tensors: str | None = "pt",
        size: Mapping[str, int] | None = None,
        reading: str | None = None,
        segmentation_maps: Any = None,
    ) -> BatchFeature:
        """Batch label maps and/or photos.

        Args:
            label_maps: One item or a list of what `decode_label_map` takes, or a (batch, height, width) array.
            images: One item or a list of paths, PIL images or uint8 arrays; or a batched uint8 array.
            return_tensors: "pt", "np" or None.
            size: Overrides the configured size for this call.
            reading: Of the label maps, see `decode_label_map`.
            segmentation_maps: Of the images, as `label_maps`: what a segmenter of transformers learns from.

        Returns:
            `label_map` (batch, height, width) int64, `pixel_values` (batch, 3, height, width) float32 in [-1, 1],
            `labels` (batch, height, width) int64 of the segmentation maps.
        """
        if label_maps is None and images is None and segmentation_maps is None:
            raise ValueError("nothing to process: pass label_maps, images or both")
        target = self._target(size)
        data: dict[str, np.ndarray] = {}
        if label_maps is not None:
            data["label_map"] = stack_arrays(self.decode_label_maps(label_maps, size, reading), "label maps")
        if segmentation_maps is not None:
            maps = self.decode_label_maps(segmentation_maps, size, reading, "segmentation map")
            data["labels"] = stack_arrays(maps, "segmentation maps")
        if images is not None:
            sources = [(item, f"image {i}") for i, item in enumerate(as_list(images, color=True))]
            photos = [self._resized(read_photo(*pair), target, pair[1], resize_photo) for pair in sources]
            data["pixel_values"] = stack_arrays([photo_to_pixel_values(photo) for photo in photos], "images")
        return BatchFeature(data, tensor_type=return_tensors)

    preprocess = __call__

    def decode_label_maps(
        self,
        label_maps: Any,
        size: Mapping[str, int] | None = None,
        reading: str | None = None,
        name: str = "label map",
    ) -> list[np.ndarray]:
        """Label maps one by one, each at its own size where none is set.

        Args:
            label_maps, size, reading: see `__call__`.
            name: what error messages call them.

        Returns:
            (height, width) int64 for each.
        """
        target = self._target(size)
        sources = [(item, f"{name} {i}") for i, item in enumerate(as_list(label_maps, color=False))]
        maps = [np.asarray(self.decode_label_map(*pair, reading)) for pair in sources]
        pairs = zip(maps, sources, strict=True)
        return [self._resized(label_map, target, pair[1], resize_nearest) for label_map, pair in pairs]

    def _target(self, size: Mapping[str, int] | None) -> dict[str, int] | None:
        return _size_dict(size) if size is not None else self.size if self.do_resize else None

    def _resized(self, values: np.ndarray, target: dict[str, int] | None, source: str, resize: Any) -> np.ndarray:
        height, width = (target["height"], target["width"]) if target else values.shape[:2]
        d = self.size_divisor
        if height % d or width % d or min(height, width) < d:
            legal = [max(d, int(side / d + 0.5) * d) for side in (height, width)]
            raise ValueError(
                f"{source}: size {height}x{width} (height x width) is not a multiple of {d}: the nearest legal size "
                f'is {legal[0]}x{legal[1]}; pass size={{"height": {legal[0]}, "width": {legal[1]}}}'
            )
        return resize(values, height, width)

    # -- back to people -------------------------------------------------------------------------------------------

    def colorize(self, label_map: Any) -> Image.Image:
        """One label map (anything `decode_label_map` takes) as an RGB image in the palette's colours."""
        return Image.fromarray(np.asarray(self.palette, dtype=np.uint8)[self.decode_label_map(label_map)])

    def legend(self, label_map: Any) -> list[LegendEntry]:
        """The classes present in one label map, largest share first (ties by id)."""
        ids, counts = np.unique(self.decode_label_map(label_map), return_counts=True)
        shares = dict(zip(ids.tolist(), (counts / counts.sum()).tolist(), strict=True))
        colors = {i: (red, green, blue) for i, (red, green, blue) in enumerate(self.palette)}
        rows = [LegendEntry(i, self.id2label[i], colors[i], share) for i, share in shares.items()]
        return sorted(rows, key=lambda row: (-row.share, row.id))

    def postprocess(self, images: torch.Tensor, output_type: str = "pil") -> Any:
        """Generated images (batch, 3, height, width) in [-1, 1] -> pictures or numbers, see `images_as`."""
        return images_as(images, output_type)

    def post_process_semantic_segmentation(
        self, outputs: Any, target_sizes: Sequence[tuple[int, int]] | torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """A segmenter's or discriminator's output -> a map of classes per image, see `semantic_maps`."""
        return semantic_maps(outputs, target_sizes)

    # -- saving ---------------------------------------------------------------------------------------------------

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, repo_id: str | None = None, **kwargs: Any
    ) -> list[str]:
        """Write preprocessor_config.json and the code of this class; the processor stays as it is.

        Args:
            save_directory: made if it does not exist.
            push_to_hub: also put them on the Hub, see `push_to_hub`.
            repo_id: the repository; None is the folder's name.
            kwargs: of `push_to_hub`, otherwise of no effect.
        """
        saved = copy.deepcopy(self)
        saved.auto_map = {}  # and not what a repository said that it came from
        files = super(SemanticImageProcessor, saved).save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).name, **kwargs)
        return files

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:
        """Put preprocessor_config.json and its code on the Hub in one commit, or make nothing there.

        Args:
            repo_id: "user/name", or "name" for one of the token's user; also a model's, which stays as it is.
            kwargs: see `push_saved`.

        Raises:
            ValueError: see `push_saved`.
        """
        kwargs.setdefault("commit_message", "Upload processor")
        return push_saved(
            self.save_pretrained,
            repo_id,
            lambda name: plain_card(name, "Processor of label maps and photos", [], USAGE.format(name)),
            **kwargs,
        )


def _encoding_dict(encoding: Mapping[str, Any] | str | None) -> dict[str, Any] | None:
    """A label encoding with all its keys, `values` with whole numbers as text, as JSON has them."""
    if encoding is None:
        return None
    if isinstance(encoding, str):
        encoding = {"name": encoding}
        if encoding["name"] != "ids":
            raise ValueError(
                f'label_encoding={encoding["name"]!r} is unknown: legal are "ids" and {{"name", "offset", "values"}}'
            )
    values = {str(int(value)): int(label) for value, label in (encoding.get("values") or {}).items()}
    return {"name": str(encoding.get("name", "ids")), "offset": encoding.get("offset", 0), "values": values}


def _size_dict(size: Any) -> dict[str, int]:
    """{"height", "width"}, (height, width) or one number for a square -> a plain dict."""
    if isinstance(size, int):
        size = (size, size)
    height, width = (size["height"], size["width"]) if isinstance(size, Mapping) else size
    return {"height": int(height), "width": int(width)}


__all__ = ["READINGS", "LabelMap", "LegendEntry", "SemanticImageProcessor"]

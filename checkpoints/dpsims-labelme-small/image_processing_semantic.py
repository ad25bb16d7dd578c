"""Label maps and photos in, model tensors out, and back: the processor that travels with every checkpoint.

Label files reach people as index PNGs (8 or 16 bit), palette PNGs and colour PNGs. `decode_label_map` is the ONE
place where any of them becomes class indices; the data loader, the pipeline and the demo all call it. Values survive
exactly: resizing is nearest neighbour, a palette file gives its indices, and what cannot be decoded raises.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature

from .configuration_limits import PROCESSOR_FIELDS, TRANSFORMERS_PROCESSOR_FIELDS, check_arguments
from .image_processing_files import (
    as_list,
    channels_last,
    count_values,
    default_palette,
    image_size,
    instance_numbers,
    listing,
    nearest_color,
    open_image,
    packed_colors,
    photo_to_pixel_values,
    read_photo,
    resize_nearest,
    resize_photo,
    snap_blends,
    stack_arrays,
    strips,
    to_numpy,
    unpacked_colors,
)


INDEX_MODES = ("1", "L", "P", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


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
        color_tolerance: Colour files: a colour this near (Euclidean, 0..255 units) to a class colour is that class.
        max_unmatched_share: Colour files: share of pixels with unknown colours above which decoding raises.
        stuff_ids: Labels without objects, for models that take instances; void has none in any case.
    """

    model_input_names = ["label_map", "pixel_values"]

    def __new__(cls, /, *args: Any, **kwargs: Any) -> "SemanticImageProcessor":
        check_arguments(cls, PROCESSOR_FIELDS, TRANSFORMERS_PROCESSOR_FIELDS, args, kwargs)
        return super().__new__(cls)

    def __init__(
        self,
        id2label: Mapping[int | str, str],
        palette: list[list[int]] | None = None,
        void_label_id: int | None = None,
        void_values: list[int] | None = None,
        size: Mapping[str, int] | None = None,
        size_divisor: int = 32,
        do_resize: bool = True,
        color_tolerance: float = 16.0,
        max_unmatched_share: float = 0.05,
        stuff_ids: list[int] | None = None,
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
        self.stuff_ids = sorted({int(label_id) for label_id in stuff_ids or []} | ({void_label_id} - {None}))
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

    @property
    def num_labels(self) -> int:
        """All model labels, void included."""
        return len(self.id2label)

    # -- decoding -------------------------------------------------------------------------------------------------

    def decode_label_map(self, image: Any, source: str = "label map") -> np.ndarray:
        """Any label image -> class indices.

        Args:
            image: A path or binary file object; a PIL image (L, I;16, I, 1: indices; P: its indices, never its RGB;
                RGB, RGBA: colours of the palette, fully transparent pixels are void); an integer array or tensor
                (height, width) of indices, or uint8 with 3 or 4 channels (HWC or CHW) of colours.
            source: What error messages call this image; a path names itself.

        Returns:
            (height, width) int64 in 0 .. num_labels-1.

        Raises:
            ValueError: unreadable file, ids out of range, void pixels without a void label, or unknown colours.
        """
        if isinstance(image, (np.ndarray, torch.Tensor)):
            values = channels_last(to_numpy(image))
            shape, is_color = values.shape, values.ndim == 3 and values.dtype == np.uint8
            if not values.size or not (values.ndim == 2 or (is_color and shape[-1] in (3, 4))):
                raise ValueError(
                    f"{source}: a {values.dtype} array of shape {shape} is no label map; "
                    "pass integers (height, width) or uint8 colours (height, width, 3)"
                )
            has_alpha = is_color and shape[-1] == 4
        else:
            source = str(image) if isinstance(image, (str, os.PathLike)) else source
            values = open_image(image, source)
            if values.mode not in (*INDEX_MODES, "LA", "RGB", "RGBA"):
                raise ValueError(
                    f"{source}: mode {values.mode} is no label map; save it as an index, palette or RGB PNG"
                )
            is_color, has_alpha = values.mode.startswith("RGB"), values.mode.endswith("A")
        label_map = self._decode_colors(values, source) if is_color else self._decode_indices(values, source)
        if has_alpha:
            self._set_void(label_map, values, lambda part: part[..., -1] == 0, "transparent", source)
        return label_map

    def _legal(self) -> str:
        void = (
            f" and {listing(self.void_values)} (void)" if self.void_values and self.void_label_id is not None else ""
        )
        return f"0..{self.num_labels - 1}{void}"

    def _decode_indices(self, values: Image.Image | np.ndarray, source: str) -> np.ndarray:
        label_map = np.empty(image_size(values), dtype=np.int64)
        for rows, part in strips(values):
            part = part[..., 0] if part.ndim == 3 else part  # LA
            label_map[rows] = part
            if part.dtype.kind == "f" and not np.array_equal(label_map[rows], part):
                raise ValueError(
                    f"{source}: label values are not whole numbers (dtype {part.dtype}); pass integer class ids"
                )
        if self.void_values:
            self._set_void(label_map, label_map, lambda part: np.isin(part, self.void_values), "void", source)
        if label_map.min() < 0 or label_map.max() >= self.num_labels:
            parts = (part[(part < 0) | (part >= self.num_labels)] for _, part in strips(label_map))
            illegal, counts = count_values(parts)
            raise ValueError(
                f"{source}: label id {listing(illegal.tolist())} out of range ({counts.sum()} pixels): "
                f"legal are {self._legal()}; correct the file, or add the class or void value to classes.json"
            )
        return label_map

    def _set_void(
        self,
        label_map: np.ndarray,
        values: Image.Image | np.ndarray,
        is_void: Callable[[np.ndarray], np.ndarray],
        what: str,
        source: str,
    ) -> None:
        """Give some pixels the void label, in place."""
        count = 0
        for rows, part in strips(values):
            mask = is_void(part)
            count += int(np.count_nonzero(mask))
            if self.void_label_id is not None:
                label_map[rows][mask] = self.void_label_id
        if count and self.void_label_id is None:
            raise ValueError(
                f"{source}: {count} {what} pixels, but this label space has no void label: "
                f"legal are {self._legal()}; fill them with a class"
            )

    def _decode_colors(self, values: Image.Image | np.ndarray, source: str) -> np.ndarray:
        palette = np.asarray(self.palette, dtype=np.int32)
        keys = count_values(packed for _, packed in self._packed(values))[0]
        colors = unpacked_colors(keys)
        nearest, distance = nearest_color(colors, palette)
        self._refuse_grey_indices(colors, distance, source)
        known = distance <= self.color_tolerance**2
        label_map = np.empty(image_size(values), dtype=np.int64)
        for rows, packed in self._packed(values):
            label_map[rows] = np.where(known, nearest, -1)[np.searchsorted(keys, packed)]
        if known.all():
            return label_map
        total_unmatched = int(np.count_nonzero(label_map < 0))
        if total_unmatched <= label_map.size // 2:  # more cannot be antialiasing
            snap_blends(values, label_map, palette, self.color_tolerance)
        unknown = int(np.count_nonzero(label_map < 0))
        if unknown / label_map.size > self.max_unmatched_share:
            parts = (packed[label_map[rows] < 0] for rows, packed in self._packed(values))
            raise ValueError(self._unknown_colors(*count_values(parts), unknown / label_map.size, source))
        warnings.warn(
            f"{source}: {total_unmatched} of {label_map.size} pixels have no class colour ({unknown} of "
            "them are no blend of neighbouring classes either); each was snapped to the nearest class",
            stacklevel=3,
        )
        for rows, packed in self._packed(values):
            missing = label_map[rows] < 0
            label_map[rows][missing] = nearest[np.searchsorted(keys, packed[missing])]
        return label_map

    def _packed(self, values: Image.Image | np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of colours as numbers; the colour under alpha 0 means nothing, and becomes one that always matches."""
        always = packed_colors(np.asarray(self.palette[0], dtype=np.uint8))
        for rows, part in strips(values):
            packed = packed_colors(part)
            if part.shape[-1] == 4:
                packed[part[..., 3] == 0] = always
            yield rows, packed

    def _refuse_grey_indices(self, colors: np.ndarray, distance: np.ndarray, source: str) -> None:
        """An index map that a tool saved as grey RGB: its small values would all snap to a black void."""
        grey = (colors == colors[:, :1]).all()
        if grey and distance.any() and np.isin(colors, [*self.id2label, *self.void_values]).all():
            raise ValueError(
                f"{source}: an RGB image whose grey values {listing(colors[:, 0].tolist())} look like class ids; "
                "save it as a single-channel (L) PNG"
            )

    def _unknown_colors(self, keys: np.ndarray, counts: np.ndarray, share: float, source: str) -> str:
        top = np.argsort(-counts, kind="stable")[:5]
        worst = ", ".join(f"({keys[i] >> 16}, {keys[i] >> 8 & 255}, {keys[i] & 255}) x {counts[i]}" for i in top)
        legal = listing(
            [f"{name} {tuple(rgb)}" for name, rgb in zip(self.id2label.values(), self.palette, strict=True)]
        )
        return (
            f"{source}: {100 * share:.1f} % of the pixels have unknown colours ({len(keys)} of them, most "
            f"often {worst}); the palette is {legal}"
        )

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

    def __call__(
        self,
        label_maps: Any = None,
        images: Any = None,
        return_tensors: str | None = "pt",
        size: Mapping[str, int] | None = None,
    ) -> BatchFeature:
        """Batch label maps and/or photos.

        Args:
            label_maps: One item or a list of what `decode_label_map` takes, or a (batch, height, width) array.
            images: One item or a list of paths, PIL images or uint8 arrays; or a batched uint8 array.
            return_tensors: "pt", "np" or None.
            size: Overrides the configured size for this call.

        Returns:
            `label_map` (batch, height, width) int64, `pixel_values` (batch, 3, height, width) float32 in [-1, 1].
        """
        if label_maps is None and images is None:
            raise ValueError("nothing to process: pass label_maps, images or both")
        target = _size_dict(size) if size is not None else self.size if self.do_resize else None
        data: dict[str, np.ndarray] = {}
        if label_maps is not None:
            sources = [(item, f"label map {i}") for i, item in enumerate(as_list(label_maps, color=False))]
            maps = [self._resized(self.decode_label_map(*pair), target, pair[1], resize_nearest) for pair in sources]
            data["label_map"] = stack_arrays(maps, "label maps")
        if images is not None:
            sources = [(item, f"image {i}") for i, item in enumerate(as_list(images, color=True))]
            photos = [self._resized(read_photo(*pair), target, pair[1], resize_photo) for pair in sources]
            data["pixel_values"] = stack_arrays([photo_to_pixel_values(photo) for photo in photos], "images")
        return BatchFeature(data, tensor_type=return_tensors)

    preprocess = __call__

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
        rows = [LegendEntry(i, self.id2label[i], tuple(self.palette[i]), share) for i, share in shares.items()]
        return sorted(rows, key=lambda row: (-row.share, row.id))

    def postprocess(self, images: torch.Tensor, output_type: str = "pil") -> Any:
        """Generated images -> 8 bit: (x + 1) * 127.5 in float32, rounded half to even, clamped; the same on every run.

        Args:
            images: (batch, 3, height, width) or (3, height, width) in [-1, 1]; what lies outside is clamped.
            output_type: "pil" (list of RGB images), "np" (batch, height, width, 3) uint8, or "pt"
                (batch, 3, height, width) uint8 on the device of `images`.
        """
        if output_type not in ("pil", "np", "pt"):
            raise ValueError(f'output_type {output_type!r} is unknown: choose "pil", "np" or "pt"')
        images = images.detach()[None] if images.ndim == 3 else images.detach()
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images of shape {tuple(images.shape)}: expected (batch, 3, height, width)")
        if not torch.isfinite(images).all():
            raise ValueError("images hold NaN or infinite values: the generator's output is broken")
        images = ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
        if output_type == "pt":
            return images
        arrays = images.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        return arrays if output_type == "np" else [Image.fromarray(array) for array in arrays]


def _size_dict(size: Any) -> dict[str, int]:
    """{"height", "width"}, (height, width) or one number for a square -> a plain dict."""
    if isinstance(size, int):
        size = (size, size)
    height, width = (size["height"], size["width"]) if isinstance(size, Mapping) else size
    return {"height": int(height), "width": int(width)}


__all__ = ["LegendEntry", "SemanticImageProcessor"]

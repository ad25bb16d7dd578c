# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the page asks of the model, without a page: read a label file, find the working size, make variants."""

import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


VARIANTS = 4
MAX_SEED = 2**31 - 1 - VARIANTS
MAX_PIXELS = 25_000_000  # of an upload; decoding needs about 50 bytes per pixel
MAX_STRETCH = 4  # longest side over the training size's longest side


@dataclass(frozen=True)
class LabelMapFile:
    """A decoded label file.

    Args:
        name: of the file, without folder.
        label_map: (height, width) int64, at the size that will be generated.
        source_size: (height, width) of the file.
        notes: what the reader should know, for instance how many colours were snapped to a class.
    """

    name: str
    label_map: np.ndarray
    source_size: tuple[int, int]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) that will be generated."""
        return self.label_map.shape

    def describe_size(self) -> str:
        """One sentence on the working size."""
        (height, width), (source_height, source_width) = self.size, self.source_size
        if self.size == self.source_size:
            return f"{self.name}: {width} × {height} pixels, used as it is."
        text = f"{self.name}: {source_width} × {source_height} pixels, used at {width} × {height} (nearest neighbour"
        stretch = (width / height) / (source_width / source_height)
        if abs(np.log(stretch)) > 0.02:
            text += f"; the aspect ratio changes by {100 * abs(stretch - 1):.0f} %"
        return text + ")."


def working_size(source_size: tuple[int, int], training_size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """The legal size with about the training size's area and the file's aspect ratio.

    Args:
        source_size: (height, width) of the file.
        training_size: (height, width) the generator was trained at; it draws objects best at that scale.
        divisor: height and width of the result are multiples of it.

    Returns:
        (height, width).
    """
    scale = (training_size[0] * training_size[1] / (source_size[0] * source_size[1])) ** 0.5
    longest = MAX_STRETCH * max(training_size) // divisor
    height, width = (min(longest, max(1, round(side * scale / divisor))) * divisor for side in source_size)
    return height, width


class Synthesizer:
    """A pipeline with the demo's rules for uploads.

    Args:
        pipe: a `SemanticImageSynthesisPipeline` with a generator and a processor.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.processor = pipe.processor
        self.config = pipe.generator_model.config
        self._decoding = threading.Lock()  # `catch_warnings` changes global state

    @property
    def training_size(self) -> tuple[int, int]:
        """(height, width)"""
        height, width = self.config.image_size
        return height, width

    def read(self, path: str | Path) -> LabelMapFile:
        """Decode a label file and bring it to the working size.

        Args:
            path: an index PNG (8 or 16 bit), palette PNG or colour PNG.

        Raises:
            ValueError: unreadable, too large, ids out of range or unknown colours; one line that names the file.
        """
        path = Path(path)
        self._check_pixels(path)
        with self._decoding, warnings.catch_warnings(record=True) as caught, path.open("rb") as file:
            warnings.simplefilter("always")
            label_map = self.processor.decode_label_map(file, source=path.name)
        height, width = working_size(label_map.shape, self.training_size, self.processor.size_divisor)
        batch = self.processor(label_maps=label_map, size={"height": height, "width": width}, return_tensors="np")
        notes = tuple(str(warning.message) for warning in caught if warning.category is UserWarning)
        return LabelMapFile(path.name, batch["label_map"][0], label_map.shape, notes)

    @staticmethod
    def _check_pixels(path: Path) -> None:
        """Refuse giants by their header, before a pixel is decoded."""
        try:
            with Image.open(path) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            raise ValueError(
                f"{path.name}: far more pixels than the {MAX_PIXELS:,} that are read, scale it down"
            ) from None
        except (OSError, SyntaxError, ValueError):
            return  # the processor's message is better
        if width * height > MAX_PIXELS:
            raise ValueError(f"{path.name}: {width} × {height} pixels; at most {MAX_PIXELS:,} are read, scale it down")

    def variants(self, file: LabelMapFile, seed: int) -> tuple[list[Image.Image], list[int], float]:
        """Generate `VARIANTS` images of one label map.

        Args:
            file: from `read`.
            seed: of the first image, 0 .. MAX_SEED; the others follow it.

        Returns:
            Images, their seeds, and the seconds it took.

        Raises:
            ValueError: the seed is out of range.
        """
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed {seed} is out of range: legal are 0..{MAX_SEED}")
        height, width = file.size
        started = time.perf_counter()
        output = self.pipe(
            file.label_map,
            seed=seed,
            num_images_per_label_map=VARIANTS,
            size={"height": height, "width": width},
        )
        return output.images, list(output.seeds), time.perf_counter() - started

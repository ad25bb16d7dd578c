# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Descriptions of the Space's public endpoints: `api.py` serves them, and the page shows them as a table."""

import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...image_processing_reading import READINGS
from ...pipeline_noise import RESAMPLE_SEED_OFFSET
from ..drawing.evaluation_request import MAX_SEEDS, METRICS
from ..drawing.evaluation_request import SECONDS as EVALUATION_SECONDS
from ..drawing.scenes import MAX_IMAGES, MAX_SEED, MAX_STEPS, SECONDS
from ..uploads.limits import MAX_ARCHIVE_BYTES, MAX_FILE_BYTES, MAX_PAIRS, MAX_PIXELS, megabytes
from ..uploads.pair_archives import LAYOUT


REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One argument of an endpoint.

    Args:
        name: its keyword.
        text: what it means, with units and range.
        default: its value if it is not given.
        is_file: whether it is sent as a file.
    """

    name: str
    text: str
    default: Any = REQUIRED
    is_file: bool = False

    @property
    def signature(self) -> str:
        """As in a Python signature."""
        return self.name if self.default is REQUIRED else f"{self.name}={self.default!r}"


class Value(NamedTuple):
    """What comes back: its name, "file", "files" or "JSON", and what it is."""

    name: str
    kind: str
    text: str


@dataclass(frozen=True)
class Endpoint:
    """One function of the server.

    Args:
        name: without the slash.
        summary: what it does, in one or two sentences.
        parameters: in their order.
        returns: its values.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    returns: tuple[Value, ...]

    @property
    def signature(self) -> str:
        """As in Python."""
        return f"/{self.name}({', '.join(parameter.signature for parameter in self.parameters)})"

    @property
    def description(self) -> str:
        """All of it as one paragraph."""
        takes = " ".join(f"{parameter.name}: {parameter.text}." for parameter in self.parameters)
        gives = " ".join(f"{value.name}: {value.text}." for value in self.returns)
        return f"{self.summary} Parameters: {takes} Returns: {gives}"


_FILE = f"at most {megabytes(MAX_FILE_BYTES)} and {MAX_PIXELS / 1e6:g} million pixels"
_MAP = Parameter(
    "label_map",
    f"PNG file with one class per pixel: ids (8 or 16 bit), palette indices or class colours; {_FILE}; resized to "
    "about the model's training size by nearest neighbour",
    is_file=True,
)
_MODEL = Parameter("model", "name of a model of the page, or a Hub id 'user/name'; None is the page's default", None)
_READING = Parameter("reading", f"how label maps are meant, {', '.join(READINGS)}; None finds out by evidence", None)
_LOOK = Parameter(
    "look",
    "look that stands in the place of the (first) seed's noise: `style` of /match_style, or `look` of an image of a "
    "settings file; None takes the seed's",
    None,
)
_CLASSES = "list of class names"
_TIME = f"A request computes for at most {SECONDS} seconds."

GENERATE = Endpoint(
    "generate",
    f"Draws images of a label map; an image depends on its map, seed and re-sampled classes alone. {_TIME}",
    (
        _MAP,
        Parameter(
            "seed",
            f"whole number in 0..{MAX_SEED}, of the first image; image i has seed + i, after the last comes 0",
            0,
        ),
        Parameter("num_images", f"whole number in 1..{MAX_IMAGES}", 1),
        Parameter(
            "resample_labels",
            f"{_CLASSES} that get new noise, that of seed + {RESAMPLE_SEED_OFFSET}, while all other pixels keep "
            "theirs; None re-samples nothing",
            None,
        ),
        _MODEL,
        _LOOK,
    ),
    (
        Value("images", "files", "list of PNG files, whose names tell the seeds"),
        Value("settings", "JSON", "JSON from which `python -m dpsims_hf.demo.image_settings` makes the images again"),
    ),
)
INTERPOLATE = Endpoint(
    "interpolate",
    f"Walks from the image of one seed, or look, to that of a seed, on the sphere of the noise. {_TIME}",
    (
        _MAP,
        Parameter("seed_from", f"whole number in 0..{MAX_SEED}, of the first image", 0),
        Parameter("seed_to", f"whole number in 0..{MAX_SEED}, of the last image", 7),
        Parameter("steps", f"number of images, both ends included, 2..{MAX_STEPS}", 8),
        Parameter(
            "resample_labels",
            f"{_CLASSES} that walk, while all other pixels keep the noise of seed_from; None walks everywhere",
            None,
        ),
        _MODEL,
        _LOOK,
    ),
    (
        Value("images", "files", "list of PNG files in the walk's order"),
        Value(
            "settings",
            "JSON",
            "JSON: model, weights_sha256, size, seed_from, seed_to, steps, resample_labels, look if given, files",
        ),
    ),
)
SEGMENT = Endpoint(
    "segment",
    "Labels a photo by the model's discriminator, for models that have one.",
    (
        Parameter(
            "photo", f"JPEG, PNG or WebP file; {_FILE}; resized to about the model's training size", is_file=True
        ),
        _MODEL,
    ),
    (
        Value(
            "label_map",
            "file",
            "single-channel PNG file of the model's class ids, 8 bit (16 bit above 255), at the working size",
        ),
    ),
)
MATCH_STYLE = Endpoint(
    "match_style",
    f"Draws a label map in a photo's colours, class by class: gradient descent finds the noise. {_TIME}",
    (
        _MAP,
        Parameter("photo", f"JPEG, PNG or WebP file; {_FILE}", is_file=True),
        Parameter(
            "photo_label_map",
            "label map of the photo, as label_map; None asks the model's discriminator",
            None,
            is_file=True,
        ),
        Parameter("per_class", "True: each class may have a noise of its own, closer to the photo", False),
        _MODEL,
    ),
    (
        Value("image", "file", "PNG file"),
        Value(
            "style",
            "JSON",
            "JSON that /generate takes as look: noise (one vector, or the rest's and one for each of labels), labels "
            "compared, per_class, photo, color_distance and best_seed_color_distance in LAB units, best_seed, model, "
            "weights_sha256, size",
        ),
    ),
)
OPEN = Endpoint(
    "open",
    f"Opens a settings JSON or a 'Save all' zip of the page, and draws its images again. {_TIME}",
    (
        Parameter("saved", f"JSON or zip file of at most {megabytes(MAX_FILE_BYTES)}", is_file=True),
        Parameter("model", "model that draws; None takes the one named in the file, if it is one of the page's", None),
    ),
    (
        Value("images", "files", "list of PNG files, whose names tell the seeds"),
        Value("label_map", "file", "single-channel PNG file of the class ids, at the size that was drawn"),
        Value(
            "settings", "JSON", "JSON as /generate gives it, with the looks that were kept, and notes on what differs"
        ),
    ),
)
DECODE = Endpoint(
    "decode",
    "Reads a label map as /generate does and says what was read; draws nothing.",
    (
        _MAP,
        Parameter("label_space", "name of a known dataset whose ids or colours the file has; None: the model's", None),
        Parameter(
            "color_table",
            "JSON or CSV file that assigns colours to the model's classes; not together with label_space",
            None,
            is_file=True,
        ),
        _MODEL,
        _READING,
    ),
    (
        Value("label_map", "file", "single-channel PNG file of the model's class ids, at the working size"),
        Value(
            "content",
            "JSON",
            "JSON: name, reading and why it was taken, size and working_size {height, width} in pixels, classes "
            "[{id, name, color [r, g, b], share "
            "of the pixels in 0..1}] largest first, unmatched [{color, count in pixels, label}], "
            "translated [{source, label, pixels}], notes",
        ),
    ),
)
EVALUATE = Endpoint(
    "evaluate",
    f"Measures a model on photos with label maps, at its training size, for at most {EVALUATION_SECONDS} seconds.",
    (
        Parameter(
            "pairs",
            f"zip file of at most {megabytes(MAX_ARCHIVE_BYTES)} and {MAX_PAIRS} photos with label maps: {LAYOUT}",
            is_file=True,
        ),
        Parameter("metrics", f"list of {', '.join(METRICS)}; None takes all that need no download", None),
        Parameter("seeds", f"list of 1..{MAX_SEEDS} whole numbers in 0..{MAX_SEED}; None is [0]", None),
        _MODEL,
        _READING,
    ),
    (
        Value(
            "results",
            "JSON",
            "JSON as `python -m dpsims_hf.evaluation` writes it, with the models' hashes and warnings",
        ),
    ),
)
ENDPOINTS = (GENERATE, INTERPOLATE, MATCH_STYLE, OPEN, SEGMENT, EVALUATE, DECODE)


__all__ = [
    "DECODE",
    "ENDPOINTS",
    "EVALUATE",
    "GENERATE",
    "INTERPOLATE",
    "MATCH_STYLE",
    "OPEN",
    "SEGMENT",
    "Endpoint",
    "Parameter",
    "Value",
]

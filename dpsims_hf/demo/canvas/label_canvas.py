# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A canvas for painting classes: every pixel is a class id, never a colour that has to be decoded.

The browser keeps the ids themselves (label_canvas*.js) and sends them run-length encoded, so that browsers which
falsify what is read from an HTML canvas, for privacy, cannot change the map.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.events import Dependency, EventListener

from ..server.components import WithoutStub


MAX_PIXELS = 4_000_000
_FOLDER = Path(__file__).parent
_SCRIPTS = tuple(
    f"label_canvas{part}.js" for part in ("_map", "_palette", "", "_keeper", "_view", "_tools")
)  # one script, in this order
_PAINT = EventListener("paint")


def encode_runs(label_map: np.ndarray) -> dict[str, Any]:
    """Run-length encoding of a label map.

    Args:
        label_map: (height, width) integers >= 0.

    Returns:
        `{"width", "height", "runs": [label, count, label, count, ...]}`, row by row, plain integers.

    Raises:
        ValueError: not a non-empty 2-D array of whole numbers >= 0 with at most `MAX_PIXELS` pixels.
    """
    label_map = np.asarray(label_map)
    if label_map.ndim != 2 or label_map.dtype.kind not in "iu" or not label_map.size:
        raise ValueError(f"a label map is 2-D with whole numbers, got {label_map.dtype} {label_map.shape}")
    height, width = label_map.shape
    _check_size(width, height)
    flat = label_map.ravel().astype(np.int64)
    if flat.min() < 0:
        raise ValueError(f"label id {flat.min()} is negative")
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    counts = np.diff(starts, append=flat.size)
    return {"width": width, "height": height, "runs": np.stack((flat[starts], counts), axis=1).ravel().tolist()}


def runs_as_text(encoded: dict[str, Any]) -> dict[str, Any]:
    """What `encode_runs` gave, with the runs as one text."""
    return {**encoded, "runs": " ".join(map(str, encoded["runs"]))}


def decode_runs(payload: Any, num_labels: int) -> np.ndarray:
    """Inverse of `encode_runs`; the payload comes from outside and may be anything.

    Args:
        payload: what JSON gave. `runs` may also be a text of the numbers with one space between them.
        num_labels: the ids must be below this.

    Returns:
        (height, width) int64 in 0..num_labels-1.

    Raises:
        ValueError: one line that says what is wrong with the payload.
    """
    if not isinstance(payload, dict) or not {"width", "height", "runs"} <= payload.keys():
        raise ValueError("label map: expected an object with width, height and runs")
    width, height, runs = payload["width"], payload["height"], payload["runs"]
    _check_size(width, height)
    size = width * height
    if isinstance(runs, str) and len(runs) <= 16 * size:
        runs = _numbers(runs)
    if not isinstance(runs, list) or len(runs) % 2 or not 2 <= len(runs) <= 2 * size:
        raise ValueError("label map: runs must be a list [label, count, label, count, ...]")
    if any(type(number) is not int for number in runs):
        raise ValueError("label map: runs must hold whole numbers only")
    if min(runs) < 0 or max(runs) > MAX_PIXELS:  # keeps the conversion and the sum within int64
        raise ValueError(f"label map: a number in runs is out of range for {width} x {height} pixels")
    labels, counts = np.array(runs, dtype=np.int64).reshape(-1, 2).T
    if counts.min() < 1 or counts.sum() != size:
        raise ValueError(f"label map: runs cover {counts.sum()} pixels, expected {width} x {height} = {size}")
    _check_labels(labels, num_labels)
    return np.repeat(labels, counts).reshape(height, width)


def _numbers(text: str) -> list[int] | None:
    """Whole numbers with one space between them; None if the text is anything else."""
    words = text.split(" ")
    if not text.isascii() or not all(word.isdigit() and len(word) <= 7 for word in words):
        return None
    return [int(word) for word in words]


class LabelCanvas(gr.HTML, metaclass=WithoutStub):
    """Paints class ids with brush, eraser, fill, rectangle and polygon.

    Handlers get (height, width) int64, or None while there is no map; they return the same. A returned map replaces
    the one on the canvas as a step that can be undone, and fires no event.

    Args:
        value: (height, width) integers, the map to start with.
        classes: `{"id", "name", "color": [r, g, b]}` for each class, ids 0, 1, 2, ... in this order.
        eraser_label: the class that the eraser paints.
        underlay: URL or data URL of a photo shown through the map, "" for none.
        first_label: the class that is chosen at first.
        owner: name of the model whose classes these are; with a new one the map is sent again, as a `paint`.
        fit: `{"height", "width", "divisor", "stretch"}`: maps of other sizes are resized to about this area, with
            sides that are multiples of the divisor and at most `stretch` times the longer one; None leaves them.
        keep: the browser tab keeps the drawing and its history under this name, and shows it again after a reload; ""
            keeps nothing.
        doubts: zeros and ones as `postprocess` gives them: where a proposed map is not sure. These pixels are hatched
            until they are painted over.
        guide: a sentence under the canvas for those who have not begun.
        live_interval_ms: at most one `paint` per so many milliseconds during a stroke; 0: only when it ends.
        label: what assistive technology calls the canvas.

    An event handler that returns `LabelCanvas(classes=..., eraser_label=...)` changes these for its session: the
    drawing and its history are carried over by the names of the classes. What the new ones lack stays in the drawing,
    hatched, and is `eraser_label` for the handlers, until classes come that have it. With a `value` that replaces the
    drawing, the drawing before can be undone to.

    Raises:
        ValueError: classes that are not numbered 0, 1, 2, ..., or a map with other ids.
    """

    def __init__(
        self,
        value: np.ndarray | None = None,
        *,
        classes: Sequence[dict[str, Any]] = (),
        eraser_label: int = 0,
        underlay: str = "",
        first_label: int = 0,
        owner: str = "",
        fit: dict[str, int] | None = None,
        keep: str = "",
        doubts: dict[str, Any] | None = None,
        guide: str = "",
        live_interval_ms: int = 150,
        label: str = "Label map",
        elem_id: str | None = None,
        elem_classes: list[str] | str | None = None,
        scale: int | None = None,
        min_width: int | None = None,
        visible: bool = True,
        render: bool = True,
        key: int | str | None = None,
    ) -> None:
        for index, entry in enumerate(classes):
            if entry["id"] != index:
                raise ValueError(f"classes must be numbered 0, 1, 2, ...: number {index} has id {entry['id']}")
        super().__init__(
            value,
            label=label,
            html_template=_read("label_canvas.html"),
            css_template=_read("label_canvas.css"),
            js_on_load="\n".join(map(_read, _SCRIPTS)),
            apply_default_css=False,
            elem_id=elem_id,
            elem_classes=elem_classes,
            scale=scale,
            min_width=min_width,
            visible=visible,
            render=render,
            key=key,
            classes=list(classes),
            eraser_label=eraser_label,
            underlay=underlay,
            first_label=first_label,
            owner=owner,
            fit=fit,
            keep=keep,
            doubts=doubts,
            guide=guide,
            live_interval_ms=live_interval_ms,
        )

    def __getattr__(self, name: str) -> Any:
        # the parent takes every word in quotes in the script for an event
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @wraps(_PAINT.listener, assigned=())  # its attributes are what `gr.on([canvas.paint], ...)` looks for
    def paint(
        self, fn: Callable, *args: Any, trigger_mode: str = "always_last", show_progress: str = "hidden", **kwargs: Any
    ) -> Dependency:
        """Listen to changes that the user makes: see `gr.Button.click` for the arguments.

        Events that come while the handler runs are dropped but for the last one.
        """
        return _PAINT.listener(self, fn, *args, trigger_mode=trigger_mode, show_progress=show_progress, **kwargs)

    def preprocess(self, payload: Any) -> np.ndarray | None:
        """What a handler gets: (height, width) int64, or None.

        Raises:
            gr.Error: the payload is not a label map in these classes.
        """
        if payload is None:
            return None
        try:
            return decode_runs(payload, len(self.props["classes"]))
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def postprocess(self, value: np.ndarray | None) -> dict[str, Any] | None:
        """What the browser gets: see `encode_runs`, but `runs` as text.

        gradio's front end wraps every number of a list in an object of its own, which takes seconds for a large map.

        Args:
            value: (height, width) integers, or None.

        Raises:
            ValueError: not a label map in these classes.
        """
        if value is None:
            return None
        encoded = encode_runs(value)
        _check_labels(np.asarray(value), len(self.props["classes"]))
        return runs_as_text(encoded)

    def api_info(self) -> dict[str, Any]:
        size = {"type": "integer", "minimum": 1}
        runs = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}
        return {
            "type": "object",
            "properties": {"width": size, "height": size, "runs": runs},
            "description": "label map by rows: runs = [label, count, label, count, ...], or the same as text",
        }

    def example_payload(self) -> dict[str, Any]:
        return {"width": 2, "height": 2, "runs": [0, 4]}

    def example_value(self) -> np.ndarray:
        return np.zeros((2, 2), dtype=np.int64)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _check_size(width: Any, height: Any) -> None:
    if type(width) is not int or type(height) is not int or width < 1 or height < 1:
        raise ValueError("label map: width and height must be whole numbers of at least 1")
    if width > MAX_PIXELS or height > MAX_PIXELS or width * height > MAX_PIXELS:
        raise ValueError(f"label map: at most {MAX_PIXELS:,} pixels are allowed")


def _check_labels(labels: np.ndarray, num_labels: int) -> None:
    if labels.max() >= num_labels:
        raise ValueError(f"label id {labels.max()} out of range: there are {num_labels} classes, 0..{num_labels - 1}")

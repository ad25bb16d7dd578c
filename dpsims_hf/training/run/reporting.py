# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a run leaves to look at: sample grids, a file of numbers, curves; and tensorboard or other trackers."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, on_main_process
from PIL import Image


class JSONLTracker(GeneralTracker):
    """Numbers as one JSON object a line in `metrics.jsonl`: needs nothing, reads everywhere.

    Args:
        run_name: not used; trackers share one signature.
        logging_dir: where the file stands.
    """

    name = "jsonl"
    requires_logging_directory = True

    def __init__(self, run_name: str, logging_dir: str | os.PathLike) -> None:
        super().__init__()
        self.path = Path(logging_dir) / "metrics.jsonl"

    @property
    def tracker(self) -> Path:
        """The file."""
        return self.path

    @on_main_process
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """The options stand in training_options.json already."""

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Append one line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                file.write(b"\n")  # a run that was killed here left a piece of a line
            file.write(json.dumps({"step": step, **values}).encode() + b"\n")


TRACKERS = ("tensorboard", "jsonl", "wandb", "trackio")


def chosen_trackers(names: Sequence[str]) -> list[str]:
    """The trackers that --report_to names: "none" is none of them, "all" all that are installed; each once.

    Raises:
        ValueError: for an unknown name, or "none" beside another.
    """
    names = list(dict.fromkeys(names))
    if "none" in names:
        if len(names) > 1:
            raise ValueError(f"--report_to {' '.join(names)}: none goes with no other name")
        return []
    unknown = [name for name in names if name not in (*TRACKERS, "all")]
    if unknown:
        raise ValueError(f"--report_to {unknown[0]!r} is unknown; choose none, all or some of {', '.join(TRACKERS)}")
    if "all" in names:
        return [name for name in TRACKERS if name == "jsonl" or find_spec(name) is not None]
    return names


def tracker_settings(run_name: str | None, output_dir: str | os.PathLike) -> dict[str, dict[str, str]]:
    """What each tracker's own library is told: the name of the run, and that its files belong in the run's folder."""
    name = {} if run_name is None else {"name": run_name}
    return {"wandb": {"dir": os.fspath(output_dir), **name}, "trackio": dict(name)}


def make_trackers(names: Sequence[str], output_dir: str | os.PathLike) -> list[Any]:
    """What `Accelerator(log_with=...)` takes for these names; a ValueError for unknown or missing ones."""
    names = chosen_trackers(names)
    for name in names:  # accelerate would drop it without a word
        if name != "jsonl" and find_spec(name) is None:
            raise ValueError(f"--report_to {name}: the package is not installed; pip install {name}")
    return [JSONLTracker("train", output_dir) if name == "jsonl" else name for name in names]


def sample_grid(rows: list[list[np.ndarray]], gap: int = 4) -> Image.Image:
    """One picture of equally large (height, width, 3) uint8 pictures, row by row, on white."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    size = ((height + gap) * len(rows) + gap, (width + gap) * columns + gap, 3)
    canvas = np.full(size, 255, dtype=np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = gap + y * (height + gap), gap + x * (width + gap)
            canvas[top : top + height, left : left + width] = picture
    return Image.fromarray(canvas)


@torch.no_grad()
def draw_samples(
    generator: torch.nn.Module, processor: Any, batch: dict[str, torch.Tensor], noises: torch.Tensor
) -> Image.Image:
    """label | real | one generated picture per noise, a row for each label map of the batch.

    Args:
        generator: in eval mode.
        processor: colours the labels.
        batch: pixel_values (maps, 3, H, W), label_map (maps, H, W), maybe instance_offsets.
        noises: (count, noise_dim): column j uses noises[j] for every row.
    """
    rows = []
    for index in range(len(batch["label_map"])):
        label_map = batch["label_map"][index]
        inputs = {"label_map": label_map.expand(len(noises), -1, -1), "noise": noises}
        if "instance_offsets" in batch:
            inputs["instance_offsets"] = batch["instance_offsets"][index].expand(len(noises), -1, -1, -1)
        fakes = generator(**inputs).images
        pictures = torch.cat([batch["pixel_values"][index][None], fakes])
        photos = processor.postprocess(pictures, output_type="pil")
        rows.append([np.asarray(processor.colorize(label_map.cpu()))] + [np.asarray(photo) for photo in photos])
    return sample_grid(rows)


def log_image(accelerator: Accelerator, name: str, image: Image.Image, step: int) -> None:
    """Hand a picture to every tracker that takes pictures."""
    values = np.asarray(image)[None]
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.log_images({name: values}, step=step, dataformats="NHWC")
        elif tracker.name == "wandb":
            tracker.log_images({name: values}, step=step)


def _metric_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a run that was killed leaves pieces of a line, which are passed over."""
    lines = []
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, RecursionError):
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
    return lines


def draw_curves(metrics_file: str | os.PathLike, output_file: str | os.PathLike) -> None:
    """Plot every column of a metrics.jsonl against the step."""
    from matplotlib.figure import Figure

    if not Path(metrics_file).is_file():  # the jsonl tracker is off
        return
    lines = _metric_lines(Path(metrics_file))
    lines = list({line["step"]: line for line in lines}.values())  # a resumed run may repeat steps
    names = [name for name in lines[-1] if name != "step"] if lines else []
    if not names:
        return
    figure = Figure(figsize=(14, 2.6 * ((len(names) + 2) // 3)), layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot((len(names) + 2) // 3, 3, index + 1)
        points = [(line["step"], line[name]) for line in lines if isinstance(line.get(name), (int, float))]
        axes.plot(*zip(*points, strict=True), linewidth=0.8)
        axes.set_title(name, fontsize=9)
        axes.grid(alpha=0.3)
    figure.savefig(output_file, dpi=90)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The public endpoints of the Space, for `gradio_client` and plain HTTP; the page itself does not call them."""

import functools
import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import gradio as gr
import numpy as np
import torch
from gradio.components.api_component import Api
from gradio_client.utils import python_type_to_json_schema

from ...image_processing_label_files import save_ids
from ...image_processing_reading import READINGS
from ..drawing.evaluation_request import SECONDS as EVALUATION_SECONDS
from ..drawing.evaluation_request import run_evaluation
from ..drawing.found_noise import noise_content, read_noise
from ..drawing.photo_segmentation import propose
from ..drawing.saved_files import opened, read_saved
from ..drawing.scenes import (
    MAX_STEPS,
    Deadline,
    Reroll,
    Scene,
    Variant,
    check_count,
    check_seed,
    consecutive,
    file_stem,
    render,
    walk,
)
from ..drawing.settings import image_settings, save_images
from ..drawing.snippets import resample_seed
from ..drawing.styles import take_style
from ..models.library import LoadedModel, ModelLibrary
from ..uploads.label_files import read_label_file, size_note
from ..uploads.limits import check_photo
from .components import LocalFiles, UploadedFile, WithoutStub
from .endpoints import DECODE, EVALUATE, GENERATE, INTERPOLATE, MATCH_STYLE, OPEN, SEGMENT, Endpoint, Value
from .events import EVALUATION, LONG, on_gpu, report_errors


WAITING_CALLS = 16  # that hold a thread while they load or wait for their turn; the rest waits in the queue
PUBLIC = {"api_visibility": "public", "show_progress": "hidden"}


def api_endpoints(library: ModelLibrary) -> None:
    """Register them inside an open `gr.Blocks`; nothing of it is seen on the page."""
    handlers = _Handlers(library, gr.File(visible=False).GRADIO_CACHE)
    served = PUBLIC | {"concurrency_id": "api", "concurrency_limit": WAITING_CALLS}
    walks = PUBLIC | LONG | {"api_visibility": "public"}  # in the places of the page's long requests
    for endpoint, handler, options in (
        (GENERATE, handlers.generate, served),
        (INTERPOLATE, handlers.interpolate, walks),
        (MATCH_STYLE, handlers.match_style, walks),
        (OPEN, handlers.open, served),
        (SEGMENT, handlers.segment, served),
    ):
        _serve(endpoint, report_errors(_model_first(library, handler, on_gpu(handler)), html=False), options)
    evaluate = on_gpu(handlers.evaluate, seconds=EVALUATION_SECONDS)
    evaluate = report_errors(_model_first(library, handlers.evaluate, evaluate), html=False)
    _serve(EVALUATE, evaluate, PUBLIC | EVALUATION | {"api_visibility": "public"})
    _serve(DECODE, report_errors(handlers.decode, html=False), PUBLIC)


class LocalApi(LocalFiles, Api, metaclass=WithoutStub):
    """A value of a request."""


def _model_first(library: ModelLibrary, handler: Callable, run: Callable) -> Callable:
    """Load the model before waiting for a turn: a download must not hold up visitors whose models are loaded."""

    @functools.wraps(handler)
    def served(*values: Any) -> Any:
        name = inspect.signature(handler).bind(*values).arguments["model"]
        library.get(_checked_name(name))
        return run(*values)

    return served


def _serve(endpoint: Endpoint, handler: Callable, options: dict[str, Any]) -> None:
    """A component for each parameter and each value that comes back, and an invisible button."""
    hints, inputs = get_type_hints(handler), []
    for parameter in endpoint.parameters:
        if parameter.is_file:
            inputs.append(UploadedFile(label=parameter.name, visible=False))
        else:
            schema = python_type_to_json_schema(hints[parameter.name]) | {"additional_description": parameter.text}
            inputs.append(LocalApi(parameter.default, schema, parameter.name))
    outputs = [_output(value) for value in endpoint.returns]
    gr.Button(visible=False).click(
        handler, inputs, outputs, api_name=endpoint.name, api_description=endpoint.description, **options
    )


def _output(value: Value) -> gr.File | gr.JSON:
    if value.kind == "JSON":
        return gr.JSON(label=value.name, visible=False)
    return gr.File(label=value.name, file_count="multiple" if value.kind == "files" else "single", visible=False)


class _Handlers:
    """What the endpoints do; a ValueError is for the caller.

    Args:
        library: the models.
        cache: folder that the server may send files from.
    """

    def __init__(self, library: ModelLibrary, cache: str) -> None:
        self.library = library
        self.cache = Path(cache)

    def generate(
        self,
        label_map: str,
        seed: int = 0,
        num_images: int = 1,
        resample_labels: list[str] | None = None,
        model: str | None = None,
        look: dict[str, Any] | None = None,
    ) -> tuple[list[str], dict[str, Any]]:
        """Images of consecutive seeds, or of one look."""
        chosen = self._model(model)
        scene, labels = self._scene(chosen, label_map), class_names(resample_labels)
        noise, plain = None if look is None else read_noise(look), consecutive(seed, num_images)
        if noise is not None and not labels and len(plain) > 1:
            raise ValueError(f"num_images={len(plain)}: the images of one look are equal; ask for 1")
        # One seed: every class gets the same new noise, as in one call of the pipeline.
        variants = [
            Variant(seed, tuple(Reroll(resample_seed(seed), label) for label in labels or ()), noise)
            for seed in (variant.seed for variant in plain)
        ]
        images = render(chosen, scene, variants, Deadline())
        saved = save_images(self.cache, chosen, scene, variants, images)
        return saved.images, image_settings(chosen, scene, variants)

    def interpolate(
        self,
        label_map: str,
        seed_from: int = 0,
        seed_to: int = 7,
        steps: int = 8,
        resample_labels: list[str] | None = None,
        model: str | None = None,
        look: dict[str, Any] | None = None,
    ) -> tuple[list[str], dict[str, Any]]:
        """Images from one seed, or one look, to a seed."""
        start, end, labels = check_seed(seed_from), check_seed(seed_to), class_names(resample_labels)
        if check_count(steps, MAX_STEPS, "steps") < 2:
            raise ValueError(f"steps={steps} is out of range: a walk has 2..{MAX_STEPS} images, its ends included")
        chosen = self._model(model)
        scene, found = self._scene(chosen, label_map), None if look is None else read_noise(look)
        images = walk(chosen, scene, (start, end), int(steps), labels, Deadline(), found=found)
        height, width = scene.label_map.shape
        stem = f"{scene.name}_seed_{start}_to_{end}"
        settings = {
            "model": chosen.name,
            "weights_sha256": chosen.weights_sha256,
            "size": {"height": height, "width": width},
            "seed_from": start,
            "seed_to": end,
            "steps": len(images),
            "resample_labels": labels,
            **({} if found is None else {"look": noise_content(found)}),
            "files": [f"{stem}_frame_{number:02d}.png" for number in range(1, len(images) + 1)],
        }
        folder = self._folder(json.dumps(settings).encode() + scene.label_map.tobytes())
        paths = [folder / name for name in settings["files"]]
        for path, image in zip(paths, images, strict=True):
            image.save(path, compress_level=1)
        return [str(path) for path in paths], settings

    def match_style(
        self,
        label_map: str,
        photo: str,
        photo_label_map: str | None = None,
        per_class: bool = False,
        model: str | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """A label map in a photo's colours."""
        if not isinstance(per_class, bool):
            raise ValueError(f"per_class={per_class!r}: give true or false")
        chosen = self._model(model)
        scene, picture = self._scene(chosen, label_map), check_photo(_sent(photo, "photo"))
        given = None if photo_label_map is None else read_label_file(photo_label_map, chosen.processor).label_map
        style = take_style(chosen, scene, picture, given, per_class, name=file_stem(Path(photo).name))
        folder = self._folder(json.dumps(style.content).encode() + scene.label_map.tobytes())
        path = folder / f"{scene.name}_in_the_style_of_{file_stem(Path(photo).name)}.png"
        style.image.save(path, compress_level=1)
        return str(path), style.content

    def open(self, saved: str, model: str | None = None) -> tuple[list[str], str, dict[str, Any]]:
        """The images of a file that the page saved."""
        file = read_saved(_sent(saved, "saved"))
        wanted = _checked_name(model) or (file.model if file.model in self.library.names else None)
        chosen = self._model(wanted)
        scene, variants, notes = opened(chosen, file)
        images = render(chosen, scene, variants, Deadline())
        made = save_images(self.cache, chosen, scene, variants, images, file.looks)
        return made.images, made.label_map, image_settings(chosen, scene, variants, file.looks) | {"notes": notes}

    def segment(self, photo: str, model: str | None = None) -> str:
        """A photo's label map."""
        chosen = self._model(model)
        proposal = propose(chosen, check_photo(_sent(photo, "photo")))
        return self._save_map(proposal.label_map, scene_name(Path(photo).name))

    def evaluate(
        self,
        pairs: str,
        metrics: list[str] | None = None,
        seeds: list[int] | None = None,
        model: str | None = None,
        reading: str | None = None,
    ) -> dict[str, Any]:
        """Numbers about a model."""
        chosen = self._model(model)
        if seeds is not None and not isinstance(seeds, list):
            raise ValueError(f"seeds={seeds!r}: give a list of whole numbers, like [0, 1]")
        archive, measures = _sent(pairs, "pairs"), names(metrics, "metrics")
        return run_evaluation(chosen, archive, measures, seeds, reading=_checked_reading(reading)).results

    def decode(
        self,
        label_map: str,
        label_space: str | None = None,
        color_table: str | None = None,
        model: str | None = None,
        reading: str | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """What a label file says."""
        chosen = self._model(model)
        if not isinstance(label_space, str | None):
            raise ValueError(f"label_space={label_space!r}: give the name of a label space")
        path, reading = _sent(label_map, "label_map"), _checked_reading(reading)
        file = read_label_file(path, chosen.processor, label_space or None, color_table, reading=reading)
        fitted = chosen.fit(file.label_map)
        content = {
            "name": file.name,
            "reading": file.reading.name,
            "why": file.reading.why,
            "size": _size(file.label_map),
            "working_size": _size(fitted),
            "classes": [entry._asdict() for entry in chosen.processor.legend(fitted)],
            "unmatched": [color._asdict() for color in file.unmatched],
            "translated": [row._asdict() for row in file.translated],
            "notes": [size_note(file, fitted.shape), *file.notes],
        }
        return self._save_map(fitted, scene_name(file.name)), content

    def _model(self, name: Any) -> LoadedModel:
        return self.library.get(_checked_name(name))

    @staticmethod
    def _scene(model: LoadedModel, path: str | None) -> Scene:
        file = read_label_file(_sent(path, "label_map"), model.processor)
        return Scene(scene_name(file.name), model.fit(file.label_map), model.labels)

    def _folder(self, content: bytes) -> Path:
        """A folder for files that depend on this content alone."""
        folder = self.cache / hashlib.sha256(content).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _save_map(self, label_map: np.ndarray, name: str) -> str:
        folder = self._folder(repr((label_map.shape, name)).encode() + label_map.astype(np.int64).tobytes())
        path = folder / f"{name}_labels.png"
        save_ids(label_map, path)
        return str(path)


def _checked_name(name: Any) -> str | None:
    if not isinstance(name, str | None):
        raise ValueError(f"model={name!r}: give the name of a model, or None for the default")
    return name


def _checked_reading(reading: Any) -> str | None:
    if not isinstance(reading, str | None):
        raise ValueError(f"reading={reading!r}: give one of {', '.join(READINGS)}, or None")
    return reading or None


def class_names(value: Any) -> list[str] | None:
    """`resample_labels` of a request, each class once; an empty list is None."""
    return list(dict.fromkeys(names(value, "resample_labels") or ())) or None


def names(value: Any, what: str) -> list[str] | None:
    """A list of names, one name, or None; else a ValueError."""
    value = [value] if isinstance(value, str) else value
    if value is not None and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise ValueError(f"{what}={value!r}: give a list of names, or None")
    return value


def scene_name(name: str) -> str:
    """Of a label file; the one that the page calls NAME_labels.png is NAME again."""
    return file_stem(name).removesuffix("_labels") or "label_map"


def _sent(path: str | None, what: str) -> str:
    if path is None:
        raise ValueError(f"{what}: no file was sent")
    return path


def _size(label_map: np.ndarray | torch.Tensor) -> dict[str, int]:
    height, width = label_map.shape
    return {"height": height, "width": width}


__all__ = ["api_endpoints", "class_names"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The models of the page: found by folder or Hub id, loaded once, a few kept in memory."""

import math
import threading
import time
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import HfApi, constants, try_to_load_from_cache
from transformers import AutoConfig

from ...configuration_base import GeneratorConfig
from ...export import onnx_generator_for
from ...hub.repositories import PublishError, errors_in_words
from ...image_processing_files import resize_nearest
from ...pipeline_checkpoint_folder import check_config_file, check_folder
from ...pipeline_semantic_image_synthesis import SemanticImageSynthesisPipeline
from .budget import Budget, Cost, budget_from_environment, generator_cost
from .card_text import ModelText, read_model_text
from .download import HUB_SECONDS, check_download
from .model_looks import ModelLook, read_model_looks
from .turns import in_request


FAILURE_SECONDS = 60  # a name that could not be loaded is not tried again for so long
MAX_FAILED = 1000  # such names that are remembered
MAX_NAME = 500  # characters
KEPT_MODELS = 3  # in memory at once, the default included
MAX_STRETCH = 4  # longest side over the training size's longest side


class LoadedModel:
    """A checkpoint that is ready to draw.

    Args:
        name: what visitors type to choose it: a folder or a Hub id.
        pipe: its `SemanticImageSynthesisPipeline`, with a generator and a processor.
        budget: of the page; None takes the environment's.
    """

    def __init__(self, name: str, pipe: Any, budget: Budget | None = None) -> None:
        self.name = name
        self.pipe = pipe
        self.processor = pipe.processor
        self.budget = budget or budget_from_environment()

    @property
    def source(self) -> str:
        """The folder or repository that it was loaded from, which is not shown to visitors."""
        source = getattr(self.pipe, "_source", None)
        return source[0] if source else self.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes by id."""
        return tuple(self.processor.id2label.values())

    @property
    def training_size(self) -> tuple[int, int]:
        """(height, width) that the generator was trained at."""
        height, width = self.pipe.generator_model.config.image_size
        return height, width

    @cached_property
    def dtype(self) -> str:
        """The number type that its images are computed in, "float32" or "bfloat16": the faster one on this machine."""
        generator = self.pipe.generator_model
        if not hasattr(generator, "kept_for_inference"):
            return "float32"
        chosen = str(generator.kept_for_inference().inference_dtype).removeprefix("torch.")
        print(f"{self.name}: images are computed in {chosen} on this machine")
        return chosen

    @cached_property
    def text(self) -> ModelText:
        """What its card says."""
        return read_model_text(self.pipe)

    @cached_property
    def weights_sha256(self) -> str:
        """Of the generator: the same settings give the same image with these weights only."""
        from ...evaluation.features import tensors_sha256

        return tensors_sha256(self.pipe.generator_model)

    @cached_property
    def looks(self) -> tuple[ModelLook, ...]:
        """That come with it."""
        return read_model_looks(self.name, self.pipe, self.weights_sha256)

    @cached_property
    def cost(self) -> Cost:
        """How long its images take."""
        return generator_cost(self.pipe.generator_model, self.training_size, self.budget)

    def check_cost(self, size: tuple[int, int], images: int = 1, what: str = "images") -> None:
        """Refuse a visitor's request that the page cannot afford; a program that calls this directly has no limit.

        Args:
            size: (height, width) of every image.
            images: their number.
            what: they are called in the message.

        Raises:
            ValueError: it is beyond the budget; one line.
        """
        if in_request():
            self.cost.check(size, images, what)

    def working_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """The legal size with about the training size's area and the file's aspect ratio.

        Args:
            source_size: (height, width) of a file.

        Returns:
            (height, width). The generator draws objects best at the scale that it was trained at.
        """
        return working_size(source_size, self.training_size, self.processor.size_divisor)

    def fit(self, label_map: np.ndarray) -> np.ndarray:
        """(height, width) of any size -> the same map at its working size, by nearest neighbour."""
        return resize_nearest(label_map, *self.working_size(label_map.shape))


def working_size(source_size: tuple[int, int], training_size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """See `LoadedModel.working_size`; height and width of the result are multiples of `divisor`."""
    scale = math.sqrt(training_size[0] * training_size[1] / (source_size[0] * source_size[1]))
    longest = MAX_STRETCH * max(training_size) // divisor
    height, width = (min(longest, max(1, round(side * scale / divisor))) * divisor for side in source_size)
    return height, width


class ModelLibrary:
    """Finds and keeps models.

    Args:
        default: the model that the page opens with.
        folder: whose sub-folders are offered by name, "checkpoints/NAME" for a folder of that name.
        local_folders: whether visitors may name other folders of this machine; False on a public page.
        device: where networks go.
    """

    def __init__(
        self,
        default: LoadedModel,
        folder: Path | None = None,
        local_folders: bool = True,
        device: str | torch.device | None = None,
    ) -> None:
        self.default = default
        self.local_folders = local_folders
        self.device = device
        self._offered = {} if folder is None else _checkpoints(folder)
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()  # of the dictionary
        self._failed: dict[str, tuple[float, str]] = {}  # name: until when it is not tried again, and why
        self._loading = threading.Lock()  # one load at a time, while loaded models go on working

    @property
    def names(self) -> list[str]:
        """The models that are offered; any other may be typed."""
        return list(dict.fromkeys([self.default.name, *self._offered]))

    def get(self, name: str | None = None) -> LoadedModel:
        """A model by its name; None or "" is the default.

        Raises:
            ValueError: there is no such checkpoint; one line.
        """
        name = (name or "").strip() or self.default.name
        if len(name) > MAX_NAME:
            raise ValueError(f"model {name[:60]!r}...: a name has at most {MAX_NAME} characters, not {len(name):,}")
        if name == self.default.name:
            return self.default
        return self._cached(name) or self._load(name)

    def _cached(self, name: str) -> LoadedModel | None:
        with self._lock:
            model = self._loaded.get(name)
            if model is not None:
                self._loaded.move_to_end(name)
            return model

    def _load(self, name: str) -> LoadedModel:
        with self._loading:
            model = self._cached(name)  # another visitor may have loaded it in the meantime
            if model is None:
                model = self._load_anew(name)
                with self._lock:
                    self._loaded[name] = model
                    while len(self._loaded) >= KEPT_MODELS:
                        self._loaded.popitem(last=False)
            return model

    def _load_anew(self, name: str) -> LoadedModel:
        until, words = self._failed.get(name, (0.0, ""))
        if time.monotonic() < until:
            raise ValueError(words)
        try:
            source = self._source(name)
            revision = check_affordable(name, source)
            model = load_model(name, source, self.device, revision)
            check_image_size(model)
            return model
        except ValueError as error:
            kept = list(self._failed.items())[-MAX_FAILED:]
            self._failed = {key: entry for key, entry in kept if entry[0] > time.monotonic()}
            self._failed[name] = time.monotonic() + FAILURE_SECONDS, str(error)
            raise

    def _source(self, name: str) -> str:
        """The folder or repository behind a name."""
        if name in self._offered:
            return str(self._offered[name])
        is_path = Path(name).exists() or name.startswith((".", "/", "~")) or "\\" in name or name.count("/") != 1
        if is_path and not self.local_folders:
            raise ValueError(f"model {name!r}: this page accepts {', '.join(self.names)} or a Hub id 'user/name'")
        if is_path and not Path(name).expanduser().is_dir():
            raise ValueError(f"model {name!r}: no such folder; a Hub repository is called 'user/name'")
        return str(Path(name).expanduser()) if is_path else name


def check_affordable(name: str, source: str) -> str | None:
    """Raise a ValueError in one line if a model that a visitor names is larger than the page takes.

    Returns:
        See `check_download`.
    """
    try:
        return check_download(source, budget_from_environment())
    except PublishError:
        return None  # `load_model` asks the Hub again and says what is wrong
    except ValueError as error:
        raise ValueError(f"model {name!r} cannot be used: {error}; choose a smaller one") from None


def check_image_size(model: LoadedModel) -> None:
    """Raise a ValueError in one line if the page cannot afford a single image of a model."""
    (height, width), most = model.training_size, model.budget.image_pixels
    if height * width > most:
        raise ValueError(
            f"model {model.name!r} cannot be used: its image_size {height} x {width} (height x width) is beyond the "
            f"{most:,} pixels that this page allows for an image; choose a smaller one, or start the page with a "
            "larger --max-image-pixels"
        )


def _checkpoints(folder: Path) -> dict[str, Path]:
    found = sorted(path.parent for path in folder.glob("*/preprocessor_config.json"))
    return {f"{folder.name}/{path.name}": path for path in found}


def load_model(
    name: str,
    source: str,
    device: str | torch.device | None = None,
    revision: str | None = None,
    backend: str = "torch",
) -> LoadedModel:
    """Load a checkpoint folder or Hub repository of one of the families.

    Args:
        name: what error messages call it.
        source: folder or Hub id.
        device: where the networks go.
        revision: commit of a Hub repository; None takes the newest.
        backend: "onnx" runs the generator by onnxruntime, on the CPU.

    Raises:
        ValueError: it is none, cannot be reached, or needs what the page cannot give.
    """
    try:
        check_folder(source)
        _check_repository(source)
        check_config_file(source, revision=revision)  # before gigabytes of something else are fetched
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, revision=revision)
        if not isinstance(config, GeneratorConfig):
            raise ValueError(f"it is a {config.model_type!r} model")
        pipe = SemanticImageSynthesisPipeline.from_pretrained(
            source, device=device, trust_remote_code=False, revision=revision
        )
        if backend == "onnx":
            pipe.generator_model = onnx_generator_for(pipe, source)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = _reason(error).replace(source, name)
        raise ValueError(
            f"model {name!r} cannot be used: {reason}; name a checkpoint folder or a Hub repository 'user/name' of a "
            "DP-SIMS, DP-GAN, OASIS or SPADE generator"
        ) from error
    pipe.set_progress_bar_config(disable=True)  # no use in a server's log
    return LoadedModel(name, pipe)


def _check_repository(source: str) -> None:
    """Ask the Hub once, before libraries ask again and again; what is in the cache needs no Hub."""
    is_cached = isinstance(try_to_load_from_cache(source, "config.json"), str) if not Path(source).is_dir() else True
    if is_cached or constants.HF_HUB_OFFLINE:
        return
    with errors_in_words(source, "it cannot be looked up now"):
        HfApi().model_info(source, timeout=HUB_SECONDS)


def _reason(error: BaseException) -> str:
    """The first sentence of a library's error."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0].rstrip(".")


__all__ = ["LoadedModel", "ModelLibrary", "load_model", "working_size"]

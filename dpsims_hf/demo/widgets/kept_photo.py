# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The browser tab keeps a photo that was uploaded, scaled down, and the server gets it again after a reload."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from gradio.components import Component
from gradio.events import Dependency
from gradio.processing_utils import save_pil_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from ...image_processing_label_files import save_ids
from ..assets import script
from ..drawing.scenes import check_seed, file_stem
from ..server.events import CAREFUL, LIGHT
from ..uploads.limits import check_photo, load_pixels, open_header
from .live_picture import data_url


MAX_KEPT = 1_500_000  # characters of a picture: the browser has room for some millions in all
PREFIX = "data:image/png;base64,"
TOO_LARGE = "This photo is too large for the browser to keep: after a reload, choose it again."


class Photo(NamedTuple):
    """What is kept.

    Args:
        name: safe as the stem of a file name.
        photo: RGB, at the size that is worked on.
        labels: (height, width) ids of its label map, if one was given.
        seed: of the picture beside it.
    """

    name: str
    photo: Image.Image
    labels: np.ndarray | None = None
    seed: int = 0


def photo_content(kept: Photo | None) -> dict[str, Any] | None:
    """JSON content for `read_photo`; None forgets the photo, {} says that it is too large."""
    if kept is None:
        return None
    content = {"name": kept.name, "photo": data_url(kept.photo), "seed": kept.seed}
    if kept.labels is not None:
        buffer = io.BytesIO()
        save_ids(kept.labels, buffer)
        content["labels"] = PREFIX + base64.b64encode(buffer.getvalue()).decode()
    return content if sum(len(str(value)) for value in content.values()) <= MAX_KEPT else {}


def read_photo(content: Any) -> Photo | None:
    """Inverse of `photo_content`, None for anything else: what comes from a browser may be anything."""
    try:
        photo = check_photo(io.BytesIO(_picture(content["photo"])), "the kept photo")
        labels = None
        if content.get("labels") is not None:
            image = open_header(_picture(content["labels"]), "the kept label map")
            labels = np.asarray(load_pixels(image, "the kept label map")).astype(np.int64)
            if labels.ndim != 2:
                return None
        return Photo(file_stem(content["name"]), photo, labels, check_seed(content.get("seed", 0)))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _picture(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) > MAX_KEPT or not text.startswith(PREFIX):
        raise ValueError("no picture")
    return base64.b64decode(text.removeprefix(PREFIX), validate=True)


def photo_file(photo: Image.Image, name: str) -> str:
    """Path of a picture that the page may show, called NAME.png."""
    return save_pil_to_cache(photo, get_upload_folder(), name=name, format="png")


class PhotoKeeper:
    """The components between page and browser, inside an open `gr.Blocks`.

    Args:
        tab: id of the tab; the browser keeps the photo under this name.
    """

    def __init__(self, tab: str) -> None:
        self.tab = tab
        # In the page but never shown, since scripts read its value.
        self.content = gr.JSON(elem_id=f"{tab}-kept-photo", elem_classes="never-shown")
        self.note = gr.Markdown(TOO_LARGE, visible=False, elem_id=f"{tab}-unkept", elem_classes="hint")

    def _script(self, name: str) -> str:
        return script(name).replace("TAB", self.tab)

    def keep_after(
        self, listener: Callable[..., Dependency], handler: Callable[..., Photo | None], inputs: Sequence[Component]
    ) -> None:
        """Keep what the handler returns after something; None forgets it."""
        told = listener(
            lambda *values: photo_content(handler(*values)),
            list(inputs),
            self.content,
            show_progress="hidden",
            **CAREFUL,
        )
        told.success(None, self.content, self.note, js=self._script("keep_photo"), api_visibility="private")

    def forget_at(self, listener: Callable[..., Dependency]) -> None:
        """Forget photo and map when something happens, before anything else does."""
        listener(None, None, self.note, js=self._script("forget_photo"), show_progress="hidden", **LIGHT)

    @property
    def read(self) -> str:
        """The script that gives an event whose first two inputs are `content` and a state what was kept."""
        return self._script("read_photo")


__all__ = ["Photo", "PhotoKeeper", "photo_content", "photo_file", "read_photo"]

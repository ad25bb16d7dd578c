# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the tabs of one browser session share, and how errors reach its user."""

import functools
import os
import threading
from abc import ABCMeta
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.component_meta import updateable
from gradio_client.utils import is_http_url_like

from .scenes import Variant


SESSION_SECONDS = 3600  # an abandoned session's state is forgotten after it
LIGHT = {"queue": False, "api_visibility": "private"}  # events that only move values about, and cannot fail
CAREFUL = {"concurrency_limit": None, "api_visibility": "private"}  # may fail: only the queue shows the words
# Loading takes its turn beside the events that run a model, not before them.
LOADING = {"concurrency_id": "loading", "concurrency_limit": 1, "api_visibility": "private"}
HEAVY = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}  # events that run a model
# It takes minutes: one at a time, but beside the events that run a model for others, not before them.
EVALUATION = {"concurrency_id": "evaluation", "concurrency_limit": 1, "api_visibility": "private"}
RUNNING = threading.Lock()


class WithoutStub(type(gr.HTML)):
    """gradio's metaclass writes a .pyi copy beside the source file of every component class; ours go without."""

    def __new__(mcs, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        if "__init__" in attributes:
            attributes["__init__"] = updateable(attributes["__init__"])
        return ABCMeta.__new__(mcs, name, bases, attributes)


class UploadedFile(gr.File, metaclass=WithoutStub):
    """A file that the client sends; the address of a web page in its place is refused, the server fetches nothing."""

    is_template = True  # the page and the clients know it as a File

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None and is_http_url_like(str(url_or_file_path)):
            raise gr.Error(f"{self.label}: an address is not fetched; send the file itself", print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


class Session(NamedTuple):
    """One value per browser session, never shared.

    Args:
        model: str, the chosen model's name; "" is the page's default.
        scene: Scene or None, the label map on the table.
        variant: Variant, the image looked at last.
    """

    model: gr.State
    scene: gr.State
    variant: gr.State


def new_session() -> Session:
    """Inside an open `gr.Blocks`."""
    return Session(*(gr.State(value, time_to_live=SESSION_SECONDS) for value in ("", None, Variant(0))))


def in_words(function: Callable, html: bool = True) -> Callable:
    """An event handler whose ValueErrors reach the user as one line instead of a traceback.

    Args:
        function: the handler.
        html: the page shows the line as HTML, so what it quotes is escaped; a client of the API takes it as it is.
    """

    @functools.wraps(function)
    def handler(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            line = " ".join(str(error).split())
            raise gr.Error(
                escape(line, quote=False) if html else line, duration=None, print_exception=False
            ) from error

    return handler


def on_gpu(function: Callable, seconds: int = 60, alone: bool = True) -> Callable:
    """A handler that runs a model: on a ZeroGPU Space it gets the GPU for at most `seconds`.

    Args:
        function: the handler.
        seconds: on a ZeroGPU Space.
        alone: one such handler at a time, page and API together.
    """
    if os.environ.get("SPACES_ZERO_GPU"):
        import spaces

        function = spaces.GPU(duration=seconds)(function)
    if not alone:
        return function

    @functools.wraps(function)
    def handler(*args: Any, **kwargs: Any) -> Any:
        with RUNNING:
            return function(*args, **kwargs)

    return handler


__all__ = [
    "CAREFUL",
    "EVALUATION",
    "HEAVY",
    "LIGHT",
    "LOADING",
    "SESSION_SECONDS",
    "Session",
    "UploadedFile",
    "WithoutStub",
    "in_words",
    "new_session",
    "on_gpu",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the tabs of one browser session share, and how errors reach its user."""

import functools
import os
from abc import ABCMeta
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.component_meta import updateable
from gradio.context import LocalContext
from gradio_client.utils import is_http_url_like

from .scenes import Variant
from .turns import TURNS, Request, Visitor, requested


SESSION_SECONDS = 3600  # an abandoned session's state is forgotten after it
LIGHT = {"queue": False, "api_visibility": "private"}  # events that only move values about, and cannot fail
CAREFUL = {"concurrency_limit": None, "api_visibility": "private"}  # may fail: only the queue shows the words
# Loading takes its turn beside the events that run a model, not before them.
LOADING = {"concurrency_id": "loading", "concurrency_limit": 1, "api_visibility": "private"}
# Events that run a model hold a thread each, and take turns image by image: see `turns`. Those of many images must not
# take all the places of those of one.
HEAVY = {"concurrency_id": "model", "concurrency_limit": 24, "api_visibility": "private"}
LONG = {"concurrency_id": "long", "concurrency_limit": 12, "api_visibility": "private"}
# It takes minutes: one at a time, in turns with the events that run a model for others.
EVALUATION = {"concurrency_id": "evaluation", "concurrency_limit": 1, "api_visibility": "private"}


class WithoutStub(type(gr.HTML)):
    """gradio's metaclass writes a .pyi copy beside the source file of every component class; ours go without."""

    def __new__(mcs, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        if "__init__" in attributes:
            attributes["__init__"] = updateable(attributes["__init__"])
        return ABCMeta.__new__(mcs, name, bases, attributes)


class LocalFiles:
    """A component that takes no web address for a file: the server fetches nothing for a visitor."""

    def get_block_name(self) -> str:
        """The page and the clients know it as the component of gradio that it is made of."""
        return next(base.__name__.lower() for base in type(self).__mro__ if base.__module__.startswith("gradio."))

    get_block_class = get_block_name

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None and is_http_url_like(str(url_or_file_path)):
            raise gr.Error(f"{self.label}: an address is not fetched; send the file itself", print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


class UploadedFile(LocalFiles, gr.File, metaclass=WithoutStub):
    """A file that the client sends."""


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


def on_gpu(function: Callable, seconds: int = 60) -> Callable:
    """A handler that runs a model: its images take turns with those of other visitors.

    On a ZeroGPU Space it gets the GPU for at most `seconds`, and the whole request is one turn: another process runs
    it.
    """
    is_zero = bool(os.environ.get("SPACES_ZERO_GPU"))
    if is_zero:
        import spaces

        function = spaces.GPU(duration=seconds)(function)

    @functools.wraps(function)
    def handler(*args: Any, **kwargs: Any) -> Any:
        request = current_request()
        if is_zero:
            with TURNS.turn(request.visitor, is_gone=request.is_gone):
                return function(*args, **kwargs)
        with requested(request):
            return function(*args, **kwargs)

    return handler


def current_request() -> Request:
    """Who started the present event, and how to find out whether they are still there."""
    request, blocks, event = (
        variable.get(None) for variable in (LocalContext.request, LocalContext.blocks, LocalContext.event_id)
    )
    if isinstance(request, gr.Request) and request.request is not None:
        visitor = Visitor(client_address(request.request), str(request.session_hash or event or ""))
    else:
        visitor = Visitor()
    if blocks is None or event is None:
        return Request(visitor)
    jobs = blocks._queue.active_jobs  # the queue takes a cancelled event out, and marks one whose client left
    return Request(visitor, lambda: not any(e._id == event and e.alive for job in list(jobs) if job for e in job))


def client_address(request: Any) -> str:
    """Where a request comes from, for limits; on a hosted Space all come through a proxy that says it.

    Args:
        request: with `client` and `headers`, as starlette has them.
    """
    address = request.client.host if request.client else ""
    if "SPACE_ID" in os.environ:
        address = request.headers.get("x-forwarded-for", address)
    return address[:200]


__all__ = [
    "CAREFUL",
    "EVALUATION",
    "HEAVY",
    "LIGHT",
    "LOADING",
    "LONG",
    "SESSION_SECONDS",
    "LocalFiles",
    "Session",
    "UploadedFile",
    "WithoutStub",
    "client_address",
    "current_request",
    "in_words",
    "new_session",
    "on_gpu",
]

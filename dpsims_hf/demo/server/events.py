# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Events of the page: which of them wait for which, how their errors are shown, and who started one."""

import functools
import os
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from ..models.turns import TURNS, Request, Visitor, requested
from .visitors import PROXIES, believe_no_headers, client_address, visitor_of


MAX_LINE = 1500  # characters of an error
TOAST_SECONDS = 15  # that an error is shown
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


def shortened_line(text: str) -> str:
    """An error as one line of readable length that every client can decode."""
    line = " ".join(text[: 10 * MAX_LINE].split()).encode("utf-8", "replace").decode()
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 200]} [...] {line[-180:]}"


def report_errors(function: Callable, html: bool = True) -> Callable:
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
            line = shortened_line(str(error))
            raise gr.Error(
                escape(line, quote=False) if html else line, duration=TOAST_SECONDS, print_exception=False
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
        visitor = visitor_of(request.request, str(request.session_hash or event or ""))
    else:
        visitor = Visitor()
    if blocks is None or event is None:
        return Request(visitor)
    jobs = blocks._queue.active_jobs  # the queue takes a cancelled event out, and marks one whose client left
    return Request(visitor, lambda: not any(e._id == event and e.alive for job in list(jobs) if job for e in job))


__all__ = [
    "CAREFUL",
    "EVALUATION",
    "HEAVY",
    "LIGHT",
    "LOADING",
    "LONG",
    "PROXIES",
    "believe_no_headers",
    "client_address",
    "current_request",
    "report_errors",
    "on_gpu",
    "shortened_line",
]

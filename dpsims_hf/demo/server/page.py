# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The page as gradio serves it, but visitors cannot make the server fetch addresses or learn its file paths."""

import re
import sys
import tempfile
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.caching import CacheMissError
from gradio_client.utils import is_http_url_like

from ..uploads.limits import MAX_VALUES
from .events import TOAST_SECONDS, shortened_line


MAX_WORDS = 400  # characters of an error that gradio or a library raised
MAX_DEPTH = 50  # of nested lists and objects in a request
_ROOTS = tuple(
    sorted(
        {str(Path(path).resolve()) for path in (Path.home(), Path.cwd(), tempfile.gettempdir(), sys.prefix)} - {"/"},
        key=len,
        reverse=True,
    )
)
_HALF = re.compile("[\ud800-\udfff]")  # the answer that tells it back could not be sent
_QUOTES = "'\"`()[]{}<>,;"


class Page(gr.Blocks):
    """Blocks that fetch nothing for a visitor, and whose errors are one line without paths of this machine."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """The handler's arguments, unless a file among them is the address of a web page."""
        refuse_addresses(inputs)
        return await super().preprocess_data(block_fn, inputs, *args, **kwargs)

    async def process_api(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run an event; an error becomes one line for the visitor."""
        try:
            return await super().process_api(block_fn, inputs, *args, **kwargs)
        except CacheMissError:
            raise
        except gr.Error as error:
            error.message = without_paths(shortened_line(str(error.message)), _texts(inputs))
            raise
        except Exception as error:
            is_value = type(error).__name__ == "ComponentProcessingError"  # gradio's, around what is wrong with a file
            cause = (error.__cause__ if is_value else None) or error
            words = without_paths(" ".join(str(cause)[: 10 * MAX_WORDS].split()), _texts(inputs))[:MAX_WORDS]
            line = f"the server could not do this ({type(cause).__name__}: {words})"
            if cause is not error:
                line = f"a file or value cannot be read ({words}); choose another"
            is_public = getattr(block_fn, "api_visibility", None) == "public"
            raise gr.Error(line if is_public else escape(line, quote=False), duration=TOAST_SECONDS) from error


def refuse_addresses(value: Any) -> None:
    """Raise a gr.Error if a file in a request is the address of a web page, or if the request is very large or deep.

    Args:
        value: what JSON gave.
    """
    todo, count = [(value, 0)], 0
    while todo:
        item, depth = todo.pop()
        if isinstance(item, dict):
            path = item.get("path")
            if isinstance(path, str) and is_http_url_like(path.strip()):
                raise gr.Error("an address is not fetched; send the file itself", print_exception=False)
            item = [*item.values(), *item.keys()]
        if isinstance(item, list):
            count += len(item)
            if count > MAX_VALUES or depth > MAX_DEPTH:
                raise gr.Error("the request has too many parts, or is nested too deeply", print_exception=False)
            if any(isinstance(part, str) and _HALF.search(part) for part in item):
                raise gr.Error("the request holds half a character (a lone surrogate)", print_exception=False)
            todo += [(part, depth + 1) for part in item if isinstance(part, dict | list)]


def without_paths(text: str, known: Iterable[str] = ()) -> str:
    """A message with the last part alone of every absolute path of this machine.

    Args:
        text: of an error.
        known: what the visitor typed; the paths in it are repeated to them.
    """
    known = "\n".join(known)
    for root in _ROOTS:
        if root in text and root not in known:
            text = text.replace(root + "/", "/./")
    return re.sub(r"\S+", lambda word: _without_path(word[0], known), text)


def _without_path(word: str, known: str) -> str:
    """`'/home/user/x.png'` -> `'x.png'`; words that are not a path stay."""
    core = word.strip(_QUOTES + ".:=")
    for mark in ("='", '="', "=", "('", '("', "("):  # FileData(path='/tmp/...')
        head, found, tail = core.partition(mark)
        core = tail if found and tail.startswith("/") and not head.startswith("/") else core
    is_path = core.startswith("/") and "/" in core[1:] or core[1:3] in (":\\", ":/") and core[:1].isalpha()
    if not is_path or core in known:
        return word
    parts = core.replace("\\", "/").split("/")
    return word.replace(core, next((part for part in reversed(parts) if part), ""))


def _texts(inputs: Any) -> list[str]:
    """The texts that a visitor sent, file names not among them."""
    return [value for value in inputs if isinstance(value, str)] if isinstance(inputs, list) else []


__all__ = ["Page", "refuse_addresses", "without_paths"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How much may be under way: parts of uploads, bodies that arrive, requests that stay open, names of sessions."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from python_multipart.multipart import parse_options_header

from ..uploads.limits import MAX_REQUEST_FILES


MAX_SESSION = 100  # characters of a session's name; gradio's have about 12


class TooManyFilesError(Exception):
    """An upload has more parts than the page's own."""


class CountedUpload:
    """A channel that counts the bytes and parts of an upload while they come.

    Args:
        receive: where messages come from.
        content_type: of the request; names what stands between parts.
    """

    def __init__(self, receive: Any, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        self.receive, self.mark, self.tail = receive, b"--" + boundary, b""
        self.bytes = self.parts = 0

    async def __call__(self) -> Any:
        """The next message; TooManyFilesError for an upload of more than MAX_REQUEST_FILES parts."""
        message = await self.receive()
        data = message.get("body", b"")
        self.bytes += len(data)
        text = self.tail + data
        self.parts += text.count(self.mark)
        # A mark that is cut in two is whole with the next piece, and one that was counted is not in the rest.
        self.tail = text[-(len(self.mark) - 1) :]
        if self.parts > MAX_REQUEST_FILES + 1:
            raise TooManyFilesError
        return message


class UnderWay:
    """How much each visitor has under way, of bytes or of requests.

    Args:
        most: of one address.
        most_of_all: of all addresses.
    """

    def __init__(self, most: int, most_of_all: int) -> None:
        self.most, self.most_of_all = most, most_of_all
        self.counts: Counter[str] = Counter()

    @contextmanager
    def room(self, address: str, count: int = 1) -> Iterator[bool]:
        """Take room for the block; gives False, and takes none, if there is not enough."""
        if self.counts[address] + count > self.most or self.counts.total() + count > self.most_of_all:
            yield False
            return
        self.counts[address] += count
        try:
            yield True
        finally:
            self.counts[address] -= count
            if not self.counts[address]:
                del self.counts[address]


def session_problem(body: bytes) -> str:
    """What is wrong with the session that a request names, "" if nothing; the server keeps its name for an hour."""
    try:
        content = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return ""  # gradio has an answer for what is no JSON
    session = content.get("session_hash") if isinstance(content, dict) else None
    if session is not None and (not isinstance(session, str) or len(session) > MAX_SESSION):
        return f"session_hash must be a text of at most {MAX_SESSION} characters"
    return ""


__all__ = ["CountedUpload", "TooManyFilesError", "UnderWay", "session_problem"]

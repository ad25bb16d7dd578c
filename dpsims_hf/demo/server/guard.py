# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a request to the server may be before gradio reads it: its address, its length, and the sum of uploads."""

import asyncio
import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from gradio_client.utils import is_http_url_like
from starlette.requests import Request

from ..uploads.limits import (
    MAX_REQUEST_BYTES,
    MAX_STORED_BYTES,
    MAX_UPLOADED_BYTES,
    MAX_VALUES,
    MAX_VISITOR_BYTES,
    MAX_VISITOR_WAITING,
    STORED_SECONDS,
    megabytes,
)
from .events import client_address


PRIVATE_FOLDER = "dpsims_space_"  # app.py's own folder for uploads and results has this prefix, and no other files
SWEEP_SECONDS = 60  # between two looks at that folder
# Cards are untrusted: whatever one contains, no other server may learn who reads it.
POLICY = b"img-src 'self' data: blob:; media-src 'self' data: blob:; frame-src 'self'; object-src 'none'"
# Routes of gradio that this page has no use for: they fetch, run ffmpeg, write code or tell numbers about visitors.
CLOSED = ("/proxy=", "/process_recording", "/vibe-", "/undo-vibe-", "/monitoring", "/dev/", "/run-history")


@dataclass
class Uploads:
    """How many bytes came from whom within STORED_SECONDS, after which files are deleted."""

    entries: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, address: str, count: int) -> str:
        """Reserve room for an upload.

        Args:
            address: of the visitor.
            count: bytes.

        Returns:
            "", or why there is none.
        """
        with self.lock:
            self._forget()
            mine = sum(size for _, size in self.entries.get(address, ()))
            everybody = sum(size for sizes in self.entries.values() for _, size in sizes)
            minutes = f"{STORED_SECONDS // 60} minutes"
            if mine + count > MAX_VISITOR_BYTES:
                return f"you may upload {megabytes(MAX_VISITOR_BYTES)} in {minutes}; wait, or send smaller files"
            if everybody + count > MAX_UPLOADED_BYTES:
                return "this page cannot hold more uploads now; try again later"
            self.entries.setdefault(address, deque()).append((time.monotonic(), count))
            return ""

    def _forget(self) -> None:
        end = time.monotonic() - STORED_SECONDS
        for address, sizes in list(self.entries.items()):
            while sizes and sizes[0][0] < end:
                sizes.popleft()
            if not sizes:
                del self.entries[address]


class Guard:
    """ASGI middleware around gradio's server.

    Args:
        app: what comes next.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.uploads = Uploads()
        self.started = time.time()
        self._swept = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        status, words = self._refusal(scope, request)
        if status:
            await _answer(send, status, words)
            return
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self._swept = time.monotonic()
            blocks = scope["app"].get_blocks().blocks.values()
            kept = {path for block in blocks for path in getattr(block, "keep_in_cache", ())}
            asyncio.get_running_loop().run_in_executor(None, sweep, get_upload_folder(), self.started, kept)
        if scope["method"] == "POST" and not _is_upload(request):
            messages = await _read(receive)
            if messages is None:
                await _answer(
                    send, 413, f"a request may have {megabytes(MAX_REQUEST_BYTES)}; send large data as files"
                )
                return
            body = b"".join(message.get("body", b"") for message in messages)
            # Every value of a list or object takes time in which the server answers no other request; a painted map is
            # a single string.
            if body.count(b",") + body.count(b"[") > MAX_VALUES:
                await _answer(send, 413, "the request has too many parts; send large data as files")
                return
            receive = _again(messages, receive)
        await self.app(scope, receive, _with_policy(send))

    def _refusal(self, scope: Any, request: Request) -> tuple[int, str]:
        """HTTP status and message; status 0 if the request may pass."""
        path, is_file, name = scope["path"].partition("/file=")
        if is_file and is_http_url_like(name.strip()):
            return 403, "an address is not fetched"
        if any(route in path for route in CLOSED) or path.rstrip("/").endswith("/runs"):
            return 404, "there is no such page"
        if scope["method"] != "POST":
            return 0, ""
        length = request.headers.get("content-length", "")
        if "transfer-encoding" in request.headers:  # it would count, and the length not
            return 411, "the request must state its length (Content-Length) and come in one piece"
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            return 411, "the request must state its length (Content-Length)"
        is_upload = _is_upload(request)
        if not is_upload and int(length) > MAX_REQUEST_BYTES:
            return 413, f"a request may have {megabytes(MAX_REQUEST_BYTES)}; send large data as files"
        address = client_address(request)
        if is_upload:
            words = self.uploads.add(address, int(length))
            return (413, words) if words else (0, "")
        if _waiting(scope["app"].get_blocks()._queue, address) >= MAX_VISITOR_WAITING:
            return 503, f"{MAX_VISITOR_WAITING} of your requests are waiting already; wait for their answers"
        return 0, ""


def _is_upload(request: Request) -> bool:
    """Whether it is a form for the upload route: anywhere else gradio would read it into memory at once."""
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
    return is_form and request.url.path.rstrip("/").endswith("/upload")


async def _read(receive: Any) -> list[dict[str, Any]] | None:
    """All messages of a request's body; None if they are more than they may be, whatever its length says."""
    messages, count = [await receive()], 0
    while messages[-1]["type"] == "http.request":
        count += len(messages[-1].get("body", b""))
        if count > MAX_REQUEST_BYTES:
            return None
        if not messages[-1].get("more_body"):
            break
        messages.append(await receive())
    return messages


def _with_policy(send: Any) -> Any:
    """A channel that has browsers load pictures, frames and films of a page from this server alone."""

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"content-security-policy", POLICY)]}
        await send(message)

    return sending


def _again(messages: list[dict[str, Any]], receive: Any) -> Any:
    """A channel that gives these messages before those to come."""
    waiting = deque(messages)

    async def following() -> Any:
        return waiting.popleft() if waiting else await receive()

    return following


def _waiting(queue: Any, address: str) -> int:
    """Events of one visitor in gradio's queue."""
    lanes = queue.event_queue_per_concurrency_id.values()
    return sum(client_address(event.request) == address for lane in list(lanes) for event in list(lane.queue))


async def _answer(send: Any, status: int, words: str) -> None:
    body = json.dumps({"error": words, "detail": words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


def sweep(folder: str, started: float, kept: set[str] = frozenset()) -> None:
    """Delete old files, and the oldest ones beyond MAX_STORED_BYTES, in app.py's own folder and in no other.

    gradio deletes the files that it knows of; parts of uploads that broke off and folders of results are not among
    them.

    Args:
        folder: of uploads and results.
        started: time at which the page opened; files from before belong to the page itself.
        kept: paths that stay.
    """
    if not Path(folder).name.startswith(PRIVATE_FOLDER):
        return
    files = sorted(_files(folder, started, kept))
    total, end = sum(size for _, size, _ in files), time.time() - STORED_SECONDS
    for modified, size, path in files:
        if modified > end and total <= MAX_STORED_BYTES:
            return
        try:
            os.unlink(path)
        except OSError:  # it was deleted in the meantime
            continue
        total -= size


def _files(folder: str, started: float, kept: set[str]) -> Iterator[tuple[float, int, str]]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            try:
                facts = os.lstat(path)
            except OSError:
                continue
            if facts.st_mtime >= started and path not in kept:
                yield facts.st_mtime, facts.st_size, path


__all__ = ["Guard", "Uploads", "sweep"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a request to the server may be before gradio reads it: its address, its length, and the sum of uploads."""

import asyncio
import json
import os
import sys
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
    BODY_SECONDS,
    FILE_BYTES,
    MAX_ALL_BODIES_BYTES,
    MAX_ALL_OPEN,
    MAX_BODIES_BYTES,
    MAX_OPEN,
    MAX_REQUEST_BYTES,
    MAX_REQUEST_FILES,
    MAX_STORED_BYTES,
    MAX_UPLOADED_BYTES,
    MAX_VALUES,
    MAX_VISITOR_BYTES,
    MAX_VISITOR_WAITING,
    STORED_SECONDS,
    megabytes,
)
from .request_limits import CountedUpload, TooManyFilesError, UnderWay, session_problem
from .visitors import client_address, last_hop


PRIVATE_FOLDER = "dpsims_space_"  # app.py's own folder for uploads and results has this prefix, and no other files
PARTS = 4  # of the waiting places of an address, one of which each client behind it may have
SWEEP_SECONDS = 60  # between two looks at that folder
# Cards are untrusted: whatever one contains, no other server may learn who reads it.
POLICY = b"img-src 'self' data: blob:; media-src 'self' data: blob:; frame-src 'self'; object-src 'none'"
# Routes of gradio that this page has no use for: they fetch, run ffmpeg, write code or tell numbers about visitors.
CLOSED = ("/proxy=", "/process_recording", "/vibe-", "/undo-vibe-", "/monitoring", "/dev/", "/run-history")
CLOSED_TO_POST = ("/login", "/component_server")  # nobody logs in, and no component has functions of its own
FORMS = ("multipart/", "application/x-www-form-urlencoded")  # read whole, field by field, before anything is answered


@dataclass
class Uploads:
    """How many bytes came from whom within STORED_SECONDS, after which files are deleted."""

    entries: dict[str, deque[list[float]]] = field(default_factory=dict)
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
            self.entries.setdefault(address, deque()).append([time.monotonic(), count])
            return ""

    def settle(self, address: str, announced: int, received: int, files: int) -> None:
        """Count what came of an upload instead of what it announced: a broken connection takes nobody's room.

        Args:
            address, announced: as `add` was told.
            received: bytes.
            files: in them; each counts FILE_BYTES beside its own.
        """
        with self.lock:
            for entry in reversed(self.entries.get(address, ())):
                if entry[1] == announced:
                    entry[1] = min(announced, received) + FILE_BYTES * files
                    return

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
        self.bodies = UnderWay(MAX_BODIES_BYTES, MAX_ALL_BODIES_BYTES)
        self.open = UnderWay(MAX_OPEN, MAX_ALL_OPEN)
        self.started = time.time()
        self._swept = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        with self.open.room(client_address(request)) as has_room:
            status, words = self._refusal(scope, request) if has_room else (503, "too many requests are open at once")
            if status:
                await _answer(send, status, words)
                return
            self._sweep_at_times(scope)
            if _is_upload(request):
                await self._upload(scope, request, receive, send)
            elif scope["method"] == "POST":
                await self._post(scope, request, receive, send)
            else:
                await self._served(scope, receive, send)

    def _sweep_at_times(self, scope: Any) -> None:
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self._swept = time.monotonic()
            blocks = scope["app"].get_blocks().blocks.values()
            kept = {path for block in blocks for path in getattr(block, "keep_in_cache", ())}
            asyncio.get_running_loop().run_in_executor(None, sweep, get_upload_folder(), self.started, kept)

    async def _upload(self, scope: Any, request: Request, receive: Any, send: Any) -> None:
        counted = CountedUpload(receive, request.headers.get("content-type", ""))
        try:
            await self._served(scope, counted, send)
        except TooManyFilesError:
            await _answer(send, 413, f"an upload may have {MAX_REQUEST_FILES} files; send fewer at once")
        finally:
            announced = int(request.headers.get("content-length", 0))
            self.uploads.settle(client_address(request), announced, counted.bytes, counted.parts)

    async def _post(self, scope: Any, request: Request, receive: Any, send: Any) -> None:
        """A request whose body is small enough to be looked at before gradio gets it."""
        with self.bodies.room(client_address(request), int(request.headers.get("content-length", 0))) as has_room:
            if not has_room:
                await _answer(send, 503, "too much is being sent at once; wait for the answers")
                return
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    messages = await _read(receive)
            except TimeoutError:
                await _answer(send, 408, f"the request took more than {BODY_SECONDS} seconds to arrive")
                return
        if messages is None:
            await _answer(send, 413, f"a request may have {megabytes(MAX_REQUEST_BYTES)}; send large data as files")
            return
        body = b"".join(message.get("body", b"") for message in messages)
        # Every value of a list or object takes time in which the server answers no other request; a painted map is
        # a single string.
        if body.count(b",") + body.count(b"[") > MAX_VALUES:
            await _answer(send, 413, "the request has too many parts; send large data as files")
            return
        problem = session_problem(body)
        if problem:
            await _answer(send, 422, problem)
            return
        await self._served(scope, _again(messages, receive), send)

    async def _served(self, scope: Any, receive: Any, send: Any) -> None:
        """Have gradio answer; what it raises is one line of the log, whoever asks for what is not there."""
        sender = _Sender(send)
        try:
            await self.app(scope, receive, sender)
        except TooManyFilesError:
            raise
        except Exception as error:
            path = scope["path"][:80]
            print(f"{path!a}: {type(error).__name__}: {' '.join(str(error).split())[:200]!a}", file=sys.stderr)
            if sender.has_started:
                await send({"type": "http.response.body", "body": b""})
            else:
                await _answer(send, 500, "the server could not do this")

    def _refusal(self, scope: Any, request: Request) -> tuple[int, str]:
        """HTTP status and message; status 0 if the request may pass."""
        path, is_file, name = scope["path"].partition("/file=")
        if is_file and is_http_url_like(name.strip()):
            return 403, "an address is not fetched"
        if any(route in path for route in CLOSED) or path.rstrip("/").endswith("/runs"):
            return 404, "there is no such page"
        if not scope["path"].isprintable():  # gradio writes some paths to the terminal
            return 404, "there is no such page"
        if scope["method"] != "POST":
            return 0, ""
        if path.rstrip("/").endswith(CLOSED_TO_POST):
            return 404, "there is no such page"
        length = request.headers.get("content-length", "")
        if "transfer-encoding" in request.headers:  # it would count, and the length not
            return 411, "the request must state its length (Content-Length) and come in one piece"
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            return 411, "the request must state its length (Content-Length)"
        is_upload = _is_upload(request)
        if not is_upload and request.headers.get("content-type", "").strip().lower().startswith(FORMS):
            return 415, "a request is JSON, and files go to /gradio_api/upload"
        if not is_upload and int(length) > MAX_REQUEST_BYTES:
            return 413, f"a request may have {megabytes(MAX_REQUEST_BYTES)}; send large data as files"
        address = client_address(request)
        if is_upload:
            words = self.uploads.add(address, int(length))
            return (413, words) if words else (0, "")
        queue, hop = scope["app"].get_blocks()._queue, last_hop(request)
        # Behind a proxy that nobody named, a client that it tells apart has a part of the places.
        if _waiting(queue, address) >= MAX_VISITOR_WAITING or (
            hop and _waiting(queue, address, hop) >= MAX_VISITOR_WAITING // PARTS
        ):
            return 503, f"{MAX_VISITOR_WAITING} of your requests are waiting already; wait for their answers"
        return 0, ""


def _is_upload(request: Request) -> bool:
    """Whether it is a form for the upload route: anywhere else gradio would read it into memory at once."""
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
    return is_form and request.method == "POST" and request.scope["path"].rstrip("/").endswith("/gradio_api/upload")


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


class _Sender:
    """A channel that has browsers load pictures, frames and films of a page from this server alone.

    Args:
        send: where messages go.
    """

    def __init__(self, send: Any) -> None:
        self.send = send
        self.has_started = False

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            message = {**message, "headers": [*message.get("headers", ()), (b"content-security-policy", POLICY)]}
        await self.send(message)


def _again(messages: list[dict[str, Any]], receive: Any) -> Any:
    """A channel that gives these messages before those to come."""
    waiting = deque(messages)

    async def following() -> Any:
        return waiting.popleft() if waiting else await receive()

    return following


def _waiting(queue: Any, address: str, hop: str | None = None) -> int:
    """Events of one visitor in gradio's queue; with a hop, of those alone that come from it."""
    lanes = queue.event_queue_per_concurrency_id.values()
    events = [event.request for lane in list(lanes) for event in list(lane.queue)]
    mine = [request for request in events if client_address(request) == address]
    return len(mine) if hop is None else sum(last_hop(request) == hop for request in mine)


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

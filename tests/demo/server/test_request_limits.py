# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What one client may have under way, and who is who behind one address; each of these held the page up once."""

import asyncio
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from dpsims_hf.demo.models.turns import FairTurns, Visitor
from dpsims_hf.demo.server import guard
from dpsims_hf.demo.server.guard import Guard, Uploads
from dpsims_hf.demo.server.visitors import CROWD, OWN_TURNS, PROXIES, Sessions, last_hop


JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=frontier"}
PART = b'--frontier\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n%d\r\n'


class Served:
    """Stands for gradio: reads the body if it is asked to, and answers with how long it was."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.answer: Callable[[], None] = lambda: None
        queue = SimpleNamespace(event_queue_per_concurrency_id={})
        self.app = SimpleNamespace(get_blocks=lambda: SimpleNamespace(_queue=queue, blocks={}))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        length, more = 0, True
        while more:
            message = await receive()
            length, more = length + len(message.get("body", b"")), message.get("more_body", False)
        self.lengths.append(length)
        self.answer()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})


@pytest.fixture
def served() -> Served:
    return Served()


def ask(
    page: Guard, path: str, body: bytes = b"", method: str = "POST", pieces: int = 1, announced: int | None = None, **k
) -> tuple[int, str]:
    """Status and words of a request's answer; `k` are headers."""
    size = -(-len(body) // pieces) or 1
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    waiting = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = {"content-length": str(len(body) if announced is None else announced)} | k.get("headers", JSON)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "client": ("9.9.9.9", 1),
        "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
        "app": page.app.app,
    }
    asyncio.run(page(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()


@pytest.mark.parametrize("path", ["call/upload", "run/upload", "api/upload", "stream/upload", "call/v2/upload", "x"])
def test_forms_are_for_the_upload_route_alone(served, path):
    """An endpoint called "upload" took 400 MB into memory, and nobody was answered for half a minute."""
    status, words = ask(Guard(served), f"/gradio_api/{path}", b"x" * 1000, headers=FORM)
    assert status == 415 and "files go to" in words and not served.lengths
    assert ask(Guard(served), "/gradio_api/upload", PART % 5, headers=FORM)[0] == 200


@pytest.mark.parametrize("path", ["/login", "/login/", "/gradio_api/queue/join"])
def test_no_form_of_a_million_fields_is_parsed(served, path):
    """Gradio's login parses one, four seconds for 5 MB, while nobody else is answered."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    status, _ = ask(Guard(served), path, b"a&" * 1000, headers=headers)
    assert status in (404, 415) and not served.lengths
    assert ask(Guard(served), "/gradio_api/component_server", b"{}")[0] == 404


@pytest.mark.parametrize("session", ["s" * 101, ["s"], {"a": 1}, 5])
def test_names_of_sessions_are_short_texts(served, session):
    """The server keeps them: 60 requests with names of 4.5 MB took a quarter of a gigabyte for an hour."""
    body = json.dumps({"session_hash": session, "data": []}).encode()
    assert ask(Guard(served), "/gradio_api/queue/join", body)[0] == 422 and not served.lengths
    escaped = body.replace(b"session_hash", rb"session\u005fhash")
    assert ask(Guard(served), "/gradio_api/run/predict", escaped)[0] == 422
    for fine in (b'{"session_hash": "abc"}', b'{"session_hash": null}', b"", b"[", b"7"):
        assert ask(Guard(served), "/gradio_api/queue/join", fine)[0] == 200


def test_uploads_of_very_many_files_are_refused(served):
    """A thousand empty ones of a request counted as nothing."""
    page, body = Guard(served), b"".join(PART % number for number in range(1000))
    for pieces in (1, 3, len(body) // 7):
        status, words = ask(page, "/gradio_api/upload", body, headers=FORM, pieces=pieces)
        assert status == 413 and "32 files" in words
    body = b"".join(PART % number for number in range(32)) + b"--frontier--\r\n"
    for pieces in (1, len(body) // 7):
        assert ask(page, "/gradio_api/upload", body, headers=FORM, pieces=pieces)[0] == 200


def test_an_upload_that_breaks_off_takes_no_room(served, monkeypatch):
    """Whoever announced 400 MB and left had no room for an hour, with all behind the same address."""
    monkeypatch.setattr(guard, "MAX_VISITOR_BYTES", 1_000_000)
    page = Guard(served)
    for _ in range(3):
        assert ask(page, "/gradio_api/upload", PART % 1, headers=FORM, announced=900_000)[0] == 200
    for _ in range(240):  # each file counts at least a block of the disk
        status, words = ask(page, "/gradio_api/upload", PART % 1, headers=FORM)
    assert status == 413 and "you may upload" in words


def test_a_settled_upload_counts_what_came():
    uploads = Uploads()
    assert not uploads.add("a", 1000)
    uploads.settle("a", 1000, 200, 1)
    assert [entry[1] for entry in uploads.entries["a"]] == [200 + guard.FILE_BYTES]
    uploads.settle("b", 1000, 200, 1)  # long forgotten


def test_bodies_that_arrive_slowly_have_a_bound(served, monkeypatch):
    """200 connections of 5 MB each held a gigabyte."""
    monkeypatch.setattr(guard, "MAX_BODIES_BYTES", 1500)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    page, answers = Guard(served), []

    async def run() -> None:
        async def never() -> Any:
            await asyncio.sleep(10)

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join", "query_string": b""}
        scope |= {"client": ("9.9.9.9", 1), "headers": headers, "app": served.app}
        await asyncio.gather(*(page(dict(scope), never, send) for _ in range(2)))

    asyncio.run(run())
    assert sorted(answers) == [408, 503] and not page.bodies.counts and not page.open.counts


def test_one_visitor_keeps_no_thousand_requests_open(served, monkeypatch):
    monkeypatch.setattr(guard, "MAX_OPEN", 1)
    page = Guard(served)
    inner = []
    served.answer = lambda: inner.append(1)
    with page.open.room("9.9.9.9"):
        status, words = ask(page, "/config", method="GET")
        assert status == 503 and "open at once" in words and not inner
    assert ask(page, "/config", method="GET")[0] == 200


def test_what_gradio_raises_is_one_line_of_the_log(served, capsys):
    """Each request for a stream that is not there wrote a hundred lines."""

    def broken() -> None:
        raise KeyError("/nope\n\x1b[2J")

    served.answer = broken
    assert ask(Guard(served), "/gradio_api/call/v2/nope", b"{}")[0] == 500
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "KeyError" in said and "\x1b" not in said
    assert ask(Guard(served), "/gradio_api/custom_component/\x1b[2J/client/x/y", method="GET")[0] == 404


# -- behind one address -----------------------------------------------------------------------------------------------


def order(visitors: list[Visitor]) -> list[Visitor]:
    """Who gets the model when, if they come in this order while it is taken."""
    turns, found, threads = FairTurns(), [], []

    def run(visitor: Visitor) -> None:
        with turns.turn(visitor):
            found.append(visitor)

    with turns.turn(Visitor("", "holder")):
        for number, visitor in enumerate(visitors, start=1):
            threads.append(threading.Thread(target=run, args=(visitor,), daemon=True))
            threads[-1].start()
            while turns.waiting < number:
                pass
    for thread in threads:
        thread.join(20)
    return found


def test_clients_behind_a_proxy_take_turns_however_many_sessions_they_make():
    """All visitors of a share link have its address; one with five sessions had five turns of six."""
    many = [Visitor("127.0.0.1", f"s{number}", "8.8.4.4") for number in range(5)]
    other, direct = Visitor("127.0.0.1", "t", "1.1.1.1"), Visitor("7.7.7.7", "u")
    assert order([*many, other, direct])[:3] == [many[0], direct, other]


def test_sessions_beyond_the_first_ones_share_a_turn(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("dpsims_hf.demo.server.visitors.time.monotonic", lambda: clock[0])
    sessions = Sessions()
    placed = [sessions.place(Visitor("127.0.0.1", f"s{number}")) for number in range(100)]
    assert [visitor.session for visitor in placed[:OWN_TURNS]] == [f"s{number}" for number in range(OWN_TURNS)]
    assert {visitor.session for visitor in placed[OWN_TURNS:]} == {CROWD}
    assert sessions.place(Visitor("127.0.0.1", "s3")).session == "s3"
    assert sessions.place(Visitor("127.0.0.1", "s50", "8.8.4.4")).session == "s50"
    assert order(placed)[OWN_TURNS + 1 :] == [Visitor("127.0.0.1")] * (99 - OWN_TURNS)
    clock[0] = 1000.0  # the first ones are gone
    assert sessions.place(Visitor("127.0.0.1", "s99")).session == "s99"


@pytest.mark.parametrize(
    ("said", "hop"),
    [
        ([], ""),
        (["8.8.4.4"], "8.8.4.4"),
        (["1.2.3.4, 8.8.4.4"], "8.8.4.4"),
        (["1.2.3.4", "8.8.4.4:99"], "8.8.4.4"),
        (["2600:1:2:3::9"], "2600:1:2:3::/64"),
        (["x" * 9000], ""),
        (["8.8.4.4, x"], ""),
    ],
)
def test_the_last_hop_is_what_a_proxy_wrote(monkeypatch, said, hop):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv(PROXIES, raising=False)
    headers = Headers(raw=[(b"x-forwarded-for", text.encode()) for text in said])
    assert last_hop(SimpleNamespace(headers=headers)) == hop
    monkeypatch.setenv(PROXIES, "10.0.0.1")
    assert last_hop(SimpleNamespace(headers=headers)) == ""


def test_one_client_behind_a_proxy_leaves_waiting_places_to_others(served, monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv(PROXIES, raising=False)
    headers = Headers(raw=[(b"x-forwarded-for", b"8.8.4.4")])
    waiting = SimpleNamespace(request=SimpleNamespace(client=SimpleNamespace(host="9.9.9.9"), headers=headers))
    lane = SimpleNamespace(queue=[waiting] * (guard.MAX_VISITOR_WAITING // guard.PARTS))
    served.app.get_blocks()._queue.event_queue_per_concurrency_id["model"] = lane
    page, body = Guard(served), b'{"session_hash": "a"}'
    status, words = ask(page, "/gradio_api/queue/join", body, headers=JSON | {"x-forwarded-for": "8.8.4.4"})
    assert status == 503 and "waiting already" in words
    assert ask(page, "/gradio_api/queue/join", body, headers=JSON | {"x-forwarded-for": "1.1.1.1"})[0] == 200
    lane.queue *= guard.PARTS
    assert ask(page, "/gradio_api/queue/join", body, headers=JSON | {"x-forwarded-for": "1.1.1.1"})[0] == 503


def test_httpx_forms_are_what_is_counted():
    """The clients' own forms: one mark for each file, and one at the end."""
    request = httpx.Request("POST", "http://x", files=[("files", (f"{n}", b"x")) for n in range(3)])
    mark = b"--" + request.headers["content-type"].partition("boundary=")[2].encode()
    assert request.read().count(mark) == 4

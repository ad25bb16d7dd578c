# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Further ways in, each of which got in once: cards, files made of very many parts, settings, requests."""

import asyncio
import base64
import io
import struct
import time
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image
from refusals import refused
from starlette.datastructures import Headers

from dpsims_hf.demo.drawing import settings as image_settings
from dpsims_hf.demo.models.card_text import read_model_text, without_pictures
from dpsims_hf.demo.server import guard
from dpsims_hf.demo.server.events import PROXIES, client_address, shortened_line
from dpsims_hf.demo.server.page import refuse_addresses
from dpsims_hf.demo.uploads.limits import MAX_REQUEST_BYTES, check_photo


HTTP = httpx.Client(timeout=60)


# --- cards, pictures, settings ---------------------------------------------------------------------------------------

PICTURE = "<img src=http://stranger/x.png>"


@pytest.mark.parametrize(
    "text",
    [
        f"a\n\n    ```\n\n{PICTURE}\n",
        f"``` a`b\n{PICTURE}\n",
        f"~~~\n```\n~~~\n{PICTURE}\n",
        f"````\n```\n````\n{PICTURE}\n",
        f"> ```\n\n{PICTURE}\n",
        "<https://x onmouseover=alert(1)>",
        "<https://x\n onerror=alert(1)>",
    ],
)
def test_html_of_a_card_is_text(text):
    assert "&lt;" in without_pictures(text) and "<" not in without_pictures(text)


def test_code_of_a_card_is_code_for_every_reader():
    """A fence that a list ends, for a browser, would let what follows be HTML: all fences stand at the left edge."""
    lines = without_pictures(f"- a\n  ```html\n{PICTURE}\n").split("\n")
    assert lines == ["- a", "```html", PICTURE, "", "```"]
    assert without_pictures("```\na < b\n```\n<https://x.org/a>") == "```\na < b\n```\n<https://x.org/a>"


@pytest.mark.parametrize("text", [f"~~~\n## Data\n{PICTURE}\n~~~\n", f"```\na\n\nx {PICTURE}\n```\n"])
def test_a_part_of_code_is_no_html_either(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    found = read_model_text(SimpleNamespace(config={"_name_or_path": str(tmp_path)}))
    for part in (found.summary, found.terms):
        assert PICTURE not in part or part.startswith(("```", "~~~"))


@pytest.mark.parametrize("count", range(1, 6))
def test_no_number_of_exclamation_marks_makes_a_picture(count):
    for text in (
        "!" * count + "[a](http://stranger/x.png)",
        "!" * count + "[b](c.png)" + "[a](http://stranger/x.png)",
    ):
        assert "![" not in without_pictures(text)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _jpeg(**options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (2000, 2000)).save(stream, "JPEG", **options)
    return stream.getvalue()


def test_a_png_of_very_many_parts():
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    end = _chunk(b"IDAT", zlib.compress(b"\0" * 72)) + _chunk(b"IEND", b"")
    for kind in (b"teSt", b"IDAT"):
        refused(lambda kind=kind: check_photo(io.BytesIO(head + _chunk(kind, b"") * 1_000_000 + end)), "parts")
    assert check_photo(io.BytesIO(head + end)).size == (8, 8)


def test_a_jpeg_of_very_many_scans():
    data = _jpeg(progressive=True, quality=5)
    scan = data[data.rfind(b"\xff\xda") : -2]
    refused(lambda: check_photo(io.BytesIO(data[:-2] + scan * 2000 + b"\xff\xd9")), "scans")
    for good in (data, _jpeg(quality=95)):
        assert check_photo(io.BytesIO(good)).size == (2000, 2000)


def _settings(**changes: Any) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.new(changes.pop("mode", "L"), changes.pop("size", (64, 32))).save(stream, "PNG")
    image = {"file": "x_seed_0.png", "seed": 0, "rerolls": []} | changes.pop("image", {})
    label_map = {"file": "x_labels.png", "png_base64": base64.b64encode(stream.getvalue()).decode()}
    return {"format": image_settings.FORMAT, "label_map": label_map, "labels": ["a"], "images": [image]} | changes


@pytest.mark.parametrize(
    "changes",
    [
        *({"image": {"file": name}} for name in ("..", "x.exe", ".bashrc", "photo.png", "../x_seed_0.png", 5, None)),
        {"image": {"rerolls": [{"seed": 1, "point": [float("inf"), 0]}]}},
        {"image": {"rerolls": [{"seed": 1, "label": ["sky"]}]}},
        {"image": {"rerolls": [{"seed": 1, "label": "sky"}] * 100_000}},
        {"images": [{"file": "x_seed_0.png", "seed": 0, "rerolls": []}] * 100_000},
        {"images": []},
        {"labels": [{"a": 1}]},
        {"size": (4992, 4992)},
        {"mode": "RGB"},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_settings_ask_for_no_more_than_the_page_makes(changes):
    assert image_settings.read_settings(_settings())[1]
    refused(lambda: image_settings.read_settings(_settings(**changes)), "not settings of an image")


# --- requests --------------------------------------------------------------------------------------------------------


def _address(*said: str, host: str = "10.0.0.1") -> str:
    headers = Headers(raw=[(b"x-forwarded-for", text.encode()) for text in said])
    return client_address(SimpleNamespace(client=SimpleNamespace(host=host), headers=headers))


def test_a_visitor_cannot_write_an_address_of_ones_own(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv(PROXIES, raising=False)
    assert _address("1.2.3.4", host="9.9.9.9") == "9.9.9.9"
    for name, value in (("SPACE_ID", "user/space"), (PROXIES, "*")):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            for forged in ("", "1.2.3.4, ", "5.6.7.8, x, ", "x" * 5000 + ", "):
                assert _address(f"{forged}8.8.4.4") == "8.8.4.4"
                assert _address(f"{forged}8.8.4.4, 10.1.2.3") == "8.8.4.4"
                assert _address(f"{forged}8.8.4.4:4711") == "8.8.4.4"  # some proxies write the port too
                assert _address(f"{forged}[2600::1]:4711") == "2600::/64"
                assert _address(forged, "8.8.4.4") == "8.8.4.4"  # others add a line of their own
            assert _address("x") == _address("") == _address() == _address("1.2.3.4, x") == "10.0.0.1"


def test_all_addresses_of_a_network_of_ipv6_are_one_visitor(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert _address(host="2600:1:2:3::1") == _address(host="2600:1:2:3:ffff::9") == "2600:1:2:3::/64"
    assert _address(host="2600:1:2:4::1") != _address(host="2600:1:2:3::1")
    assert _address(host="::ffff:8.8.4.4") == "8.8.4.4"
    assert _address(host="testclient") == "testclient"


def test_a_page_believes_no_header_of_its_own_machine(url, monkeypatch):
    """uvicorn's default takes X-Forwarded-For from a loopback peer: a tunnel, or anybody with an account here."""
    seen = []
    monkeypatch.setattr(guard.Uploads, "add", lambda self, address, count: seen.append(address) or "")
    monkeypatch.setattr(guard, "_waiting", lambda queue, address, hop=None: 0 if hop else seen.append(address) or 0)
    for forged in ("1.2.3.4", "5.6.7.8", "2600::1"):
        headers = {"X-Forwarded-For": forged, "X-Real-IP": forged, "Forwarded": f"for={forged}"}
        HTTP.post(f"{url}/gradio_api/upload", files={"files": ("a.png", b"x")}, headers=headers)
        HTTP.post(f"{url}/gradio_api/queue/join", json={"fn_index": 0, "data": []}, headers=headers)
    assert seen == ["127.0.0.1"] * 6


def test_no_body_is_longer_than_its_length_says(url):  # noqa: F811
    """Both took more than a gigabyte, and nobody was answered for five seconds."""

    def pieces() -> Iterator[bytes]:
        yield from [b" " * 2**20] * 50

    join, headers = f"{url}/gradio_api/queue/join", {"Content-Type": "application/json", "Content-Length": "10"}
    start = time.monotonic()
    for content_length in (headers, {"Content-Type": "application/json"}):
        try:
            answer = HTTP.post(join, content=pieces(), headers=content_length | {"Transfer-Encoding": "chunked"})
            assert answer.status_code == 411
        except httpx.TransportError:  # closed while it was still being sent
            pass
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        assert HTTP.post(join, content=b"x" * (MAX_REQUEST_BYTES + 1), headers=form).status_code == 415
    except httpx.TransportError:
        pass
    assert time.monotonic() - start < 5


def test_a_body_is_counted_while_it_comes():
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b" " * 2**20, "more_body": True}

    assert asyncio.run(guard._read(receive)) is None


def test_browsers_load_pictures_from_the_page_alone(url):  # noqa: F811
    for path in ("/", "/config", "/gradio_api/info"):
        assert HTTP.get(url + path).headers["content-security-policy"].startswith("img-src 'self' data: blob:;")


def test_errors_are_short_and_half_characters_are_refused():
    assert len(shortened_line("x" * 10**6)) <= 1500 and shortened_line("a\nb \ud800") == "a b ?"
    for value in (["\ud800"], {"a": {"\udfff": 1}}, [[{"path": "a\udc00"}]]):
        with pytest.raises(Exception, match="half a character"):
            refuse_addresses(value)

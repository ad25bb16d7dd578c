# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How the page is opened: what counts as public, and one line where it cannot be opened."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dpsims_hf.demo import command
from dpsims_hf.demo.models import budget


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_hosting(monkeypatch) -> Iterator[None]:
    names = ("SPACE_ID", "GRADIO_SHARE", "GRADIO_SERVER_NAME", "GRADIO_ROOT_PATH", command.PROXIES)
    for name in (*names, *(budget.variable(limit) for limit in command.LIMITS)):
        monkeypatch.setenv(name, "")  # so that what main() sets goes again
        monkeypatch.delenv(name)
    yield


@pytest.mark.parametrize(
    ("arguments", "variables", "public"),
    [
        ([], {}, False),
        (["--server-name", "127.0.0.1"], {}, False),
        (["--server-name", "127.9.9.9"], {}, False),
        (["--server-name", "localhost"], {}, False),
        (["--server-name", "::1"], {}, False),
        (["--server-name", "[::1]"], {}, False),
        (["--server-name", "0.0.0.0"], {}, True),
        (["--server-name", "::"], {}, True),
        (["--server-name", "[::]"], {}, True),
        (["--server-name", "0"], {}, True),
        (["--server-name", "192.168.1.5"], {}, True),
        (["--server-name", "fe80::1"], {}, True),
        (["--server-name", "my-machine"], {}, True),
        (["--server-name", "localhost.example.com"], {}, True),
        (["--share"], {}, True),
        ([], {"GRADIO_SHARE": "True"}, True),
        ([], {"GRADIO_SERVER_NAME": "0.0.0.0"}, True),
        (["--server-name", "127.0.0.1"], {"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        (["--server-name", "127.0.0.1"], {"GRADIO_ROOT_PATH": "/demo"}, True),
        ([], {"SPACE_ID": "user/space"}, True),
        (["--trusted-proxies", "127.0.0.1"], {}, True),
        ([], {"FORWARDED_ALLOW_IPS": "127.0.0.1"}, True),
    ],
)
def test_whoever_can_be_reached_by_others_is_public(monkeypatch, arguments, variables, public):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen = {}

    def load(model: str, public: bool, backend: str) -> None:
        seen["public"] = public
        raise ValueError("seen")

    monkeypatch.setattr(command, "load_library", load)
    monkeypatch.setattr(command, "check_port", lambda *_: None)
    with pytest.raises(SystemExit, match="app.py: seen"):
        command.main(arguments)
    assert seen == {"public": public}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GRADIO_")} | variables
    words = [sys.executable, "app.py", *arguments]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


def assert_one_line(result: subprocess.CompletedProcess, *words: str) -> None:
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in ("app.py: ", *words)), result.stderr


@pytest.mark.slow
def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_line(run("--server-port", str(port)), str(port), "choose another --server-port")


@pytest.mark.parametrize(
    "port", ["-1", *(pytest.param(port, marks=pytest.mark.slow) for port in ("0", "65536", "99999999999"))]
)
def test_a_port_out_of_range(port):
    assert_one_line(run("--server-port", port), f"--server-port {port} is out of range: choose one of 1..65535")


@pytest.mark.slow
def test_an_address_of_another_machine():
    result = run("--server-port", "7999", "--server-name", "192.0.2.1")
    assert_one_line(result, "192.0.2.1", "choose another --server-port or --server-name")


@pytest.mark.slow
def test_a_folder_for_uploads_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        result = run(GRADIO_TEMP_DIR=str(folder))
        assert_one_line(result, f"GRADIO_TEMP_DIR={folder}", "set GRADIO_TEMP_DIR to a folder of your own")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(command, "tempfile", SimpleNamespace(TemporaryFile=denied))
    with pytest.raises(ValueError, match="Permission denied.*set GRADIO_TEMP_DIR"):
        command.make_upload_folder()


def test_every_page_has_a_folder_of_its_own(monkeypatch, tmp_path):
    """gradio's default is one folder for all users of a machine: the first one owns it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "gradio").mkdir(mode=0o500)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    command.make_upload_folder()
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert folder.parent == tmp_path and folder.name.startswith("dpsims_space_") and folder.stat().st_mode & 0o77 == 0


@pytest.mark.slow
def test_limits_that_are_none(tmp_path):
    assert_one_line(run("--max-image-pixels", "many"), "DPSIMS_MAX_IMAGE_PIXELS='many' is not a number")
    result = run("--max-image-pixels", "100")  # below the progress bars of loading
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "beyond the 100 pixels" in result.stderr.splitlines()[-1] and "--max-image-pixels" in result.stderr


@pytest.mark.parametrize("text", ["*", "", "nginx", "127.0.0.1,*", "10.0.0.1/8", "1.2.3"])
def test_proxies_that_are_none(text):
    with pytest.raises(SystemExit, match="app.py: --trusted-proxies: .* is neither an address nor a network"):
        command.main(["--trusted-proxies", text])


def test_proxies_are_named_by_the_owner(monkeypatch):
    monkeypatch.setattr(command, "load_library", lambda *_, **__: sys.exit(os.environ[command.PROXIES]))
    with pytest.raises(SystemExit, match="127.0.0.1,10.0.0.0/8,::1"):
        command.main(["--trusted-proxies", "127.0.0.1,10.0.0.0/8,::1"])


def test_flags_name_every_limit():
    assert set(command.LIMITS) == {field.name for field in budget.fields(budget.Budget)}
    options = command.parse_arguments(["--max-request-seconds", "9"])
    assert options.max_request_seconds == "9" and options.max_image_seconds is None

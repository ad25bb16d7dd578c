# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a stranger would send: a server that waits to be asked, a pickle that runs, checkpoints with changed fields."""

import json
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from huggingface_hub import constants


class Touch:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


class Trap:
    """A server on this machine that counts its requests and hands out a pickle; nothing may ever reach it.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.ran, self.cache = folder / "code_ran", folder / "cache"
        self.requests: list[str] = []
        self.pickle = pickle.dumps(Touch(self.ran))
        trap = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                trap.requests.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(trap.pickle)))
                self.end_headers()
                self.wfile.write(trap.pickle)

            do_HEAD = do_GET

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/x.pth"

    @property
    def backbone_kwargs(self) -> dict[str, Any]:
        """The attack that got in."""
        source = {"url": self.url, "hf_hub_id": None, "source": "url", "num_classes": 1000, "architecture": "test"}
        return {"pretrained": True, "pretrained_cfg": source, "cache_dir": str(self.cache)}

    def check(self) -> None:
        """Nothing was asked for, written or run."""
        assert self.requests == [] and not self.ran.exists() and not self.cache.exists()


@contextmanager
def trap_in(folder: Path) -> Iterator[Trap]:
    """A trap that answers while the block runs."""
    folder.mkdir(exist_ok=True)
    trap = Trap(folder)
    thread = threading.Thread(target=trap.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield trap
    finally:
        trap.server.shutdown()
        trap.server.server_close()
        thread.join()


def changed(source: Path, target: Path, file: str = "config.json", **fields: Any) -> Path:
    """A copy of a checkpoint folder with fields of one JSON file changed."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    content = json.loads((target / file).read_text())
    (target / file).write_text(json.dumps(content | fields))
    return target


def in_the_cache(folder: Path, repository: str) -> None:
    """Lay a folder into the cache of the Hub, as if it had been downloaded."""
    root = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef" * 2 + "01234567"
    shutil.copytree(folder, root / "snapshots" / commit, dirs_exist_ok=True)
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    assert os.environ["HF_HUB_OFFLINE"] == "1"

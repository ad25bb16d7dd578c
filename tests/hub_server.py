# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A local server that speaks the part of the Hub's protocol that pushing, loading and `load_dataset` need."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


ROOT = Path(__file__).parents[1]
TOKEN = "hf_x"
LFS_SUFFIXES = (".safetensors", ".parquet", ".png", ".jpg")
REPOSITORY = re.compile(r"^/(?:api/)?(?:(models|datasets|spaces)/)?([\w.-]+/[\w.-]+?)(?:\.git)?(?:/(.*))?$")


@dataclass
class Repository:
    """Commits, newest last: (sha, path -> content); those of branches are in `branches` alone."""

    settings: dict
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    branches: dict[str, tuple[str, dict[str, bytes]]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit({})

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    @property
    def is_private(self) -> bool:
        return bool(self.settings.get("private")) or self.settings.get("visibility") == "private"

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        listing = repr(sorted((name, hashlib.sha1(data).hexdigest()) for name, data in files.items()))
        sha = hashlib.sha1(f"{len(self.commits)} {listing}".encode()).hexdigest()
        if branch == "main":
            self.commits.append((sha, files))
        else:
            self.branches[branch] = (sha, files)
        return sha

    def find(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision in self.branches:
            return self.branches[revision]
        sha = self.commits[-1][0] if revision == "main" else self.tags.get(revision, revision)
        return next((entry for entry in (*self.commits, *self.branches.values()) if entry[0] == sha), None)


class HubServer(ThreadingHTTPServer):
    """Repositories by (type, id), LFS objects by their hash; `dies_in` a request whose path has this string."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.dies_in: str | None = None
        self.readers = {TOKEN, "hf_reader"}  # tokens that exist; only TOKEN may write

    def environment(self, home: Path, token: str = TOKEN) -> dict[str, str]:
        """For a process that takes this server for the Hub."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
        network = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return kept | own | network | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}

    def run(self, home: Path, *command: str, token: str = TOKEN) -> subprocess.CompletedProcess:
        """Run Python against this server."""
        environment = self.environment(home, token)
        return subprocess.run(
            [sys.executable, *command], env=environment, cwd=home, capture_output=True, text=True, timeout=250
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *args) -> None:
        pass

    # -- answers ----------------------------------------------------------------------------------------------------

    def reply(self, body: bytes | dict | list = b"", status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        own = {"Content-Length": str(len(data)), "Content-Type": "application/json"}
        for name, value in (own | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, code: str) -> None:
        self.reply({"error": code}, 404, X_Error_Code=code)

    def dies(self) -> bool:
        """Break the connection in the middle of a request, and never answer again."""
        if not self.server.dies_in or self.server.dies_in not in self.path:
            return False
        self.rfile.read(min(16, int(self.headers.get("Content-Length", 0))))
        self.close_connection = True
        self.connection.close()
        threading.Thread(target=self.server.shutdown).start()
        self.server.socket.close()
        return True

    def refused(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token == TOKEN:
            return False
        status = 403 if token in self.server.readers else 401
        self.reply({"error": "Forbidden" if status == 403 else "Invalid username or password."}, status)
        return True

    def hidden(self, repository: Repository) -> bool:
        """Whether a repository is private, and whoever asks may not see it."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return repository.is_private and token not in self.server.readers

    # -- requests ---------------------------------------------------------------------------------------------------

    def place(self) -> tuple[str, str, str]:
        """(type, id, rest of the path) of the repository in the address."""
        found = REPOSITORY.match(unquote(urlsplit(self.path).path))
        kind, name, rest = found.groups() if found else (None, "", "")
        return (kind or "models").removesuffix("s"), name, rest or ""

    def do_PUT(self) -> None:
        if self.dies():
            return
        data = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rsplit("/", 1)[1]
        assert hashlib.sha256(data).hexdigest() == oid
        self.server.objects[oid] = data
        self.reply()

    def do_DELETE(self) -> None:
        kind, name, rest = self.place()
        if not self.refused():
            del self.server.repositories[kind, name].tags[rest.removeprefix("tag/")]
            self.reply()

    def do_POST(self) -> None:
        if self.dies():
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
            return
        kind, name, rest = self.place()
        if rest.startswith("paths-info/"):
            self.paths_info(kind, name, rest, body)
        elif self.refused():
            pass
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif (kind, name) not in self.server.repositories:
            self.missing("RepoNotFound")
        else:
            self.write(self.server.repositories[kind, name], rest, body)

    def create(self, asked: dict) -> None:
        name = f"{asked.get('organization') or 'user'}/{asked['name']}"
        kind = asked.get("type") or "model"
        prefix = "" if kind == "model" else f"{kind}s/"
        exists = (kind, name) in self.server.repositories
        if not exists:
            self.server.repositories[kind, name] = Repository(asked)
        answer = {"url": f"{self.server.url}/{prefix}{name}", "id": "x", "name": name}
        self.reply(answer | ({"error": "You already created this repo"} if exists else {}), 409 if exists else 200)

    def write(self, repository: Repository, rest: str, body: bytes) -> None:
        if rest.startswith("preupload/"):
            paths = [entry["path"] for entry in json.loads(body)["files"]]
            modes = [{"path": p, "uploadMode": "lfs" if p.endswith(LFS_SUFFIXES) else "regular"} for p in paths]
            self.reply({"files": [mode | {"shouldIgnore": False} for mode in modes]})
        elif rest == "info/lfs/objects/batch":
            asked = json.loads(body)["objects"]
            actions = [{"upload": {"href": f"{self.server.url}/lfs/{entry['oid']}"}} for entry in asked]
            objects = [entry | {"actions": action} for entry, action in zip(asked, actions, strict=True)]
            self.reply({"transfer": "basic", "objects": objects})
        elif rest.startswith("commit/"):
            branch = rest.removeprefix("commit/")
            sha = repository.commit(self.changed(dict(repository.find(branch)[1]), body), branch)
            url = f"{self.server.url}/x/y/commit/{sha}"
            self.reply({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})
        elif rest.startswith("branch/"):
            repository.branches[rest.removeprefix("branch/")] = repository.commits[-1]
            self.reply()
        elif rest.startswith("tag/"):
            asked, revision = json.loads(body), rest.removeprefix("tag/")
            if asked["tag"] in repository.tags:
                self.reply({"error": "Tag already exists"}, 409)
                return
            repository.tags[asked["tag"]] = repository.find(revision)[0]
            self.reply()
        elif rest == "variables":
            asked = json.loads(body)
            repository.variables[asked["key"]] = asked["value"]
            self.reply({asked["key"]: {"key": asked["key"], "value": asked["value"], "updatedAt": None}})
        else:
            self.missing("NotFound")

    def changed(self, files: dict[str, bytes], body: bytes) -> dict[str, bytes]:
        for entry in map(json.loads, body.splitlines()):
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        return files

    def do_GET(self) -> None:
        if self.dies():
            return
        if self.path.startswith("/api/whoami"):
            if not self.refused():
                self.reply({"type": "user", "name": "user", "auth": {"type": "access_token"}})
            return
        kind, name, rest = self.place()
        repository = self.server.repositories.get((kind, name))
        if repository is None:
            self.missing("RepoNotFound")
        elif self.hidden(repository):
            self.reply({"error": "Invalid username or password."}, 401, X_Error_Code="RepoNotFound")
        elif rest == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.commits[-1][0]}
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": s} for n, s in repository.tags.items()]
            self.reply({"branches": [main], "tags": tags, "converts": []})
        elif rest.startswith("resolve/"):
            self.resolve(repository, *rest.removeprefix("resolve/").split("/", 1))
        elif rest.startswith("tree/"):
            self.tree(repository, *rest.removeprefix("tree/").partition("/")[::2])
        else:
            self.info(repository, name, rest.removeprefix("revision/") or "main")

    do_HEAD = do_GET

    def resolve(self, repository: Repository, revision: str, path: str) -> None:
        found = repository.find(revision)
        if found is None:
            self.missing("RevisionNotFound")
        elif path not in found[1]:
            self.reply(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=found[0])
        else:
            data = found[1][path]
            start, end = 0, len(data)
            if "Range" in self.headers:
                first, last = re.match(r"bytes=(\d+)-(\d*)", self.headers["Range"]).groups()
                start, end = int(first), int(last) + 1 if last else len(data)
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            ranged = {"Content_Range": f"bytes {start}-{end - 1}/{len(data)}"} if "Range" in self.headers else {}
            self.reply(data[start:end], 206 if ranged else 200, ETag=etag, X_Repo_Commit=found[0], **ranged)

    def entries(self, files: dict[str, bytes]) -> list[dict]:
        return [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in sorted(files.items())
        ]

    def tree(self, repository: Repository, revision: str, folder: str) -> None:
        found = repository.find(revision)
        if found is None:
            self.missing("RevisionNotFound")
            return
        prefix = f"{folder}/" if folder else ""
        below = {name: data for name, data in found[1].items() if name.startswith(prefix)}
        if folder and not below:
            self.missing("EntryNotFound")
            return
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
        direct = {name: data for name, data in below.items() if recursive or "/" not in name[len(prefix) :]}
        folders = sorted({prefix + n[len(prefix) :].split("/")[0] for n in below if "/" in n[len(prefix) :]})
        self.reply(
            [{"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in folders] + self.entries(direct)
        )

    def paths_info(self, kind: str, name: str, rest: str, body: bytes) -> None:
        asked = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
        repository = self.server.repositories.get((kind, name))
        found = repository and repository.find(rest.removeprefix("paths-info/"))
        if not found:
            self.missing("RepoNotFound" if repository is None else "RevisionNotFound")
            return
        files = found[1]
        folders = {p for p in asked["paths"] if any(n.startswith(f"{p}/") for n in files)}
        entries = self.entries({p: files[p] for p in asked["paths"] if p in files})
        self.reply(entries + [{"type": "directory", "path": p, "oid": "0" * 40} for p in sorted(folders)])

    def info(self, repository: Repository, name: str, revision: str) -> None:
        found = repository.find(revision)
        if found is None:
            self.missing("RevisionNotFound")
            return
        siblings = [{"rfilename": path} for path in sorted(found[1])]
        facts = {"id": name, "modelId": name, "sha": found[0], "siblings": siblings, "tags": [], "downloads": 0}
        self.reply(facts | {"private": repository.is_private, "likes": 0, "disabled": False})


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running server."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()

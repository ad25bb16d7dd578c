# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Hugging Face Hub: files in one commit or not at all, what can be wrong with them, and errors in words.

`push_to_hub` of configs, models, processors and pipelines ends here. Everything is written and looked at before the
Hub is asked for anything.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from safetensors import safe_open

from .configuration_rules import read_json


# What all errors of the Hub's HTTP library are; which library that is changes with huggingface_hub.
HTTP_ERROR: type[BaseException] = next(
    (base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"), OSError
)
CONFIG_FILES = ("config.json", "preprocessor_config.json", "discriminator/config.json")
CARD = """---
library_name: {library}
license: unknown
tags:
{tags}
---

# {name}

{title} for semantic image synthesis. The repository holds its own code: the libraries suffice.

```python
{usage}
```

Data, terms and results: not stated.
"""


class PublishError(ValueError):
    """The Hub did not do it; one line says why, and what to do."""


def commit_files(
    repo_id: str,
    files: Mapping[str, Path | bytes],
    message: str,
    *,
    description: str | None = None,
    repo_type: str = "model",
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    replaces: tuple[str, ...] = (),
    if_absent: Mapping[str, bytes] | None = None,
    **creation: Any,
) -> CommitInfo:
    """Make the repository if it does not exist, and put the files there in one commit.

    Args:
        repo_id: "user/name".
        files: path in the repository -> file, or content.
        message, description: of the commit.
        repo_type: "model", "dataset" or "space".
        private: make a new repository private; None does as the owner's settings say.
        token: of the Hub; None takes the one stored by `hf auth login`.
        revision: branch to commit to, made if it does not exist.
        create_pr: propose the commit as a pull request.
        replaces: patterns of older files in the repository that go unless they are among `files`.
        if_absent: files that are left as they are where the repository has them.
        creation: what else `create_repo` takes.

    Raises:
        PublishError: the token is missing, refused or may not write here, the name is none, or the connection broke.
    """
    api = HfApi(token=token)
    with errors_in_words(repo_id):
        api.create_repo(repo_id, private=private, exist_ok=True, repo_type=repo_type, **creation)
        if revision is not None and not revision.startswith("refs/pr"):
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        old: set[str] = set()
        if replaces or if_absent:
            old = set(api.list_repo_files(repo_id, repo_type=repo_type, revision=revision))
        files = {name: data for name, data in (if_absent or {}).items() if name not in old} | dict(files)
        operations: list[Any] = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in sorted(files.items())
        ]
        stale = sorted(name for name in old - set(files) if any(fnmatch(name, pattern) for pattern in replaces))
        operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        options: dict[str, Any] = {"repo_type": repo_type, "revision": revision, "create_pr": create_pr}
        return api.create_commit(
            repo_id, operations, commit_message=message, commit_description=description, **options
        )


def full_name(repo_id: str, token: str | bool | None = None) -> str:
    """ "user/name" of a name, which may lack the user: then it is the token's."""
    if "/" in repo_id:
        return repo_id
    with errors_in_words(f"you/{repo_id}"):
        return f"{HfApi(token=token).whoami()['name']}/{repo_id}"


def push_saved(
    save: Callable[[Path], Any],
    repo_id: str,
    card: Callable[[str], str],
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    tags: list[str] | None = None,
    replaces: tuple[str, ...] = (),
) -> CommitInfo:
    """Save an object into a folder, look at what was written, and put it on the Hub in one commit.

    Args:
        save: writes the object into the folder that it is given.
        repo_id: "user/name", or "name" for one of the token's user.
        card: text of README.md for the repository's name; written where there is none.
        tags: further ones for the card.
        commit_message, commit_description, private, token, revision, create_pr, replaces: see `commit_files`.

    Raises:
        ValueError: what is written could not be loaded by others; nothing is made on the Hub. Or a `PublishError`.
    """
    repo_id = full_name(repo_id, token)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        save(folder)
        problems = folder_problems(folder)
        if problems:
            raise ValueError(f"not fit to publish, nothing was made on the Hub: {'; '.join(problems)}")
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        text = ModelCard(card(repo_id))
        known = text.data.get("tags") or []
        text.data["tags"] = [*known, *([tags] if isinstance(tags, str) else tags or [])]
        return commit_files(
            repo_id,
            files,
            commit_message or "Upload model",
            description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            replaces=replaces,
            if_absent={"README.md": str(text).encode()},
        )


def code_reference(cls: type) -> str:
    """module.Class, as an auto_map names a class of a file at the root of a repository."""
    return f"{cls.__module__.rsplit('.', 1)[-1]}.{cls.__name__}"


def plain_card(name: str, title: str, tags: list[str], usage: str, library: str = "transformers") -> str:
    """Text of a card that says how to load what is there.

    Args:
        name: of the repository.
        title: what is there.
        tags: of the card.
        usage: Python that loads it.
        library: that loads it.
    """
    lines = "\n".join(f"- {tag}" for tag in ["semantic-image-synthesis", *tags])
    return CARD.format(name=name.split("/")[-1], title=title, tags=lines, usage=usage.strip(), library=library)


def folder_problems(folder: Path) -> list[str]:
    """Why others could not load what was saved, one line each: code that is not there, weights that are no numbers."""
    problems = []
    for name in CONFIG_FILES:
        if not (folder / name).is_file():
            continue
        auto_map = read_json(folder / name).get("auto_map") or {}
        has_weights = "preprocessor" not in name and any((folder / name).parent.glob("model*.safetensors"))
        if not auto_map or (has_weights and not any(key.startswith("AutoModel") for key in auto_map)):
            problems.append(f"{name} names no code (a class that was defined in a notebook: move it to a file)")
        modules = {str(reference).split(".")[0] for reference in auto_map.values()}
        absent = sorted(module for module in modules if not (folder / f"{module}.py").is_file())
        problems += [f"{name} names {module}.py, which is missing" for module in absent]
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, framework="pt") as tensors:
            for key in tensors.keys():
                tensor = tensors.get_tensor(key)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    problems.append(f"weight {key} holds NaN or infinite values")
    return problems


@contextmanager
def errors_in_words(repo_id: str, broken: str = "") -> Iterator[None]:
    """What the Hub and the network raise, as a `PublishError` with the remedy.

    Args:
        repo_id: what it is about.
        broken: what a broken connection means; the default is about an upload.
    """
    if repo_id.count("/") != 1:
        raise PublishError(f"{repo_id!r} is no repository name: write user/name")
    try:
        yield
    except OfflineModeIsEnabled:
        raise PublishError("HF_HUB_OFFLINE is set; unset it to reach the Hub") from None
    except LocalTokenNotFoundError:
        raise PublishError("no Hub token; run `hf auth login`, or set HF_TOKEN") from None
    except HFValidationError as error:
        raise PublishError(f"{repo_id!r} is no repository name: {_one_line(error)}") from None
    except HfHubHTTPError as error:
        raise PublishError(_status_in_words(repo_id, error)) from error
    except (HTTP_ERROR, ConnectionError, TimeoutError, OSError) as error:
        broken = (
            broken or f"the files here are as they were and {repo_id} shows no half of them: run the command again"
        )
        cause = _one_line(error) or type(error).__name__
        raise PublishError(f"the connection to {constants.ENDPOINT} broke ({cause}); {broken}") from error


def _status_in_words(repo_id: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code if error.response is not None else 0
    if status == 401:
        return "the Hub refused the token; run `hf auth login`, or set HF_TOKEN to a token with write access"
    if status == 403:
        return f"this token may not write to {repo_id}; take one with write access there, or a name of your own"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return f"there is no repository {repo_id}, or this token may not see it; check the name and the token"
    return f"the Hub answered {status or 'nothing'} for {repo_id}: {_one_line(error)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


__all__ = ["PublishError", "code_reference", "commit_files", "errors_in_words", "plain_card", "push_saved"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Repositories on the Hub: files in one commit or not at all, a tag that names it, and errors in words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)


try:
    import httpx2 as httpx  # of newer versions of huggingface_hub
except ImportError:
    import httpx


class PublishError(ValueError):
    """The Hub did not do it; one line says why, and what to do."""


def publish(
    repo_id: str,
    files: Mapping[str, Path | bytes],
    message: str,
    repo_type: str = "model",
    private: bool = False,
    token: str | None = None,
    tag: str | None = None,
    replaces: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> str:
    """Make the repository if it does not exist, and put the files there in one commit.

    Args:
        repo_id: "user/name".
        files: path in the repository -> file, or content.
        message: of the commit.
        repo_type: "model", "dataset" or "space" (a gradio one).
        private: make a new repository private.
        token: of the Hub; None takes the one stored by `hf auth login`.
        tag: name of this revision; a tag that exists moves here.
        replaces: patterns of older files in the repository that go unless they are among `files`.
        variables: of a Space.

    Returns:
        The repository's address.

    Raises:
        PublishError: the token is missing, refused or may not write here, the name is none, or the connection broke.
    """
    api = HfApi(token=token)
    with errors_in_words(repo_id):
        space = {"space_sdk": "gradio"} if repo_type == "space" else {}
        url = api.create_repo(repo_id, private=private, exist_ok=True, repo_type=repo_type, **space)
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in sorted(files.items())
        ]
        if replaces:
            old = set(api.list_repo_files(repo_id, repo_type=repo_type)) - set(files)
            stale = sorted(name for name in old if any(fnmatch(name, pattern) for pattern in replaces))
            operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        commit = api.create_commit(repo_id, operations, commit_message=message, repo_type=repo_type)
        if tag:
            if tag in {entry.name for entry in api.list_repo_refs(repo_id, repo_type=repo_type).tags}:
                api.delete_tag(repo_id, tag=tag, repo_type=repo_type)
            api.create_tag(repo_id, tag=tag, revision=commit.oid, repo_type=repo_type)
        for key, value in (variables or {}).items():
            api.add_space_variable(repo_id, key, value)
    return str(url)


def require_repository(repo_id: str, private: bool = False, token: str | None = None) -> None:
    """Make a model repository before days of training, so that a wrong token or name shows now.

    Raises:
        PublishError: as `publish`.
    """
    with errors_in_words(repo_id):
        HfApi(token=token).create_repo(repo_id, private=private, exist_ok=True)


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
    except (httpx.HTTPError, ConnectionError, TimeoutError, OSError) as error:
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


__all__ = ["PublishError", "errors_in_words", "publish", "require_repository"]

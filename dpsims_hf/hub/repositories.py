# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Repositories on the Hub: files in one commit, a tag that names it, variables of Spaces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants

from ..configuration_publishing import PublishError, commit_files, errors_in_words


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
    place: dict[str, Any] = {"repo_type": repo_type, "private": private, "token": token, "replaces": replaces}
    space: dict[str, Any] = {"space_sdk": "gradio"} if repo_type == "space" else {}
    commit = commit_files(repo_id, files, message, **place, **space)
    with errors_in_words(repo_id):
        if tag:
            if tag in {entry.name for entry in api.list_repo_refs(repo_id, repo_type=repo_type).tags}:
                api.delete_tag(repo_id, tag=tag, repo_type=repo_type)
            api.create_tag(repo_id, tag=tag, revision=commit.oid, repo_type=repo_type)
        for key, value in (variables or {}).items():
            api.add_space_variable(repo_id, key, value)
    return f"{constants.ENDPOINT}/{'' if repo_type == 'model' else f'{repo_type}s/'}{repo_id}"


def require_repository(repo_id: str, private: bool = False, token: str | None = None) -> None:
    """Make a model repository before days of training, so that a wrong token or name shows now.

    Raises:
        PublishError: as `publish`.
    """
    with errors_in_words(repo_id):
        HfApi(token=token).create_repo(repo_id, private=private, exist_ok=True)


__all__ = ["PublishError", "errors_in_words", "publish", "require_repository"]

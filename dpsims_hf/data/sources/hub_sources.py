# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Datasets on the Hub: what is known of a repository, and the helpers that ask it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from ...configuration_rules import MAX_FILE_BYTES
from ...modeling_checkpoint_files import check_fetch
from ..encodings.labels import IDS


SPEC_FILE = "classes.json"
VALIDATION_SPLITS = ("validation", "val", "valid", "dev", "test")
NO_SPEC = (EntryNotFoundError, RepositoryNotFoundError, HfHubHTTPError, HFValidationError, OSError)


@dataclass(frozen=True)
class HubSource:
    """A repository that holds a dataset of a label space, as a spec lists it.

    Args:
        repository: "user/name".
        config: Configuration of the repository, None for its default.
        revision: Branch, tag or commit, None for main.
        image_column: None where it is not known.
        label_column: None where it is not known.
        instance_column: None if it has no instance maps.
        label_encoding: How the label column writes the classes.
        splits: (role, name of the split) pairs, roles "train" and "validation"; empty where not known.
        unconfirmed: What nobody has checked yet: "columns", "label values", "splits", "config".
        note: Rows, size, terms, traps.
    """

    repository: str
    config: str | None = None
    revision: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    instance_column: str | None = None
    label_encoding: str = IDS
    splits: tuple[tuple[str, str], ...] = ()
    unconfirmed: tuple[str, ...] = ()
    note: str = ""

    def load_kwargs(self) -> dict[str, Any]:
        """The arguments of `datasets.load_dataset` beside the repository."""
        return {key: value for key, value in (("name", self.config), ("revision", self.revision)) if value}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "HubSource":
        """From its entry in a classes.json; `splits` is a dict there."""
        fields = dict(content)
        fields["splits"] = tuple((str(role), str(name)) for role, name in fields.get("splits", {}).items())
        fields["unconfirmed"] = tuple(fields.get("unconfirmed", ()))
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads."""
        return asdict(self) | {"splits": dict(self.splits), "unconfirmed": list(self.unconfirmed)}


def spec_file_of_repository(dataset_name: str | Path, revision: str | None = None) -> Path | None:
    """The classes.json of a local folder or of a Hub repository (downloaded), or None if it has none.

    Raises:
        ValueError: one of a repository that is far too large; it is not fetched.
    """
    if Path(dataset_name).is_dir():
        path = Path(dataset_name) / SPEC_FILE
        return path if path.is_file() else None
    if "/" not in str(dataset_name):  # a builder's name, as "parquet"
        return None
    try:
        check_fetch(str(dataset_name), SPEC_FILE, MAX_FILE_BYTES, revision=revision, repo_type="dataset")
        return Path(hf_hub_download(str(dataset_name), SPEC_FILE, repo_type="dataset", revision=revision))
    except NO_SPEC:  # offline, no such file or repository: `load_dataset` is the one to complain
        return None


def split_names(dataset_name: str | Path, load_kwargs: dict[str, Any] | None = None) -> list[str]:
    """The splits of a dataset as `datasets` finds them.

    Args:
        dataset_name: Repository id, folder or builder name.
        load_kwargs: Of `datasets.load_dataset`.

    Raises:
        ValueError: it cannot be reached or has no data files.
    """
    import datasets

    kwargs = dict(load_kwargs or {})
    try:
        return list(datasets.get_dataset_split_names(str(dataset_name), kwargs.pop("name", None), **kwargs))
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{dataset_name}: its splits cannot be listed ({' '.join(str(error).split())})") from None


def choose_validation_split(names: list[str]) -> str | None:
    """The split to validate on: the first of validation, val, valid, dev, test that there is."""
    return next((name for name in VALIDATION_SPLITS if name in names), None)


__all__ = [
    "SPEC_FILE",
    "VALIDATION_SPLITS",
    "HubSource",
    "choose_validation_split",
    "spec_file_of_repository",
    "split_names",
]

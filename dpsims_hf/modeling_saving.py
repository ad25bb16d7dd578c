# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Networks are saved with their code, and published in one commit."""

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from huggingface_hub import CommitInfo

from .configuration_publishing import code_reference, plain_card, push_saved


HUB_OPTIONS = ("commit_message", "commit_description", "private", "revision", "create_pr", "tags")


class SavedWithCode:
    """`save_pretrained` and `push_to_hub` of networks; stands before `PreTrainedModel` among the bases of a class."""

    _auto_class = "AutoModel"  # saved with its code, as by `register_for_auto_class`
    # Auto class -> class in the same file, where a checkpoint can be loaded as more than one.
    auto_classes: ClassVar[dict[str, str]] = {}
    if TYPE_CHECKING:  # transformers takes the annotation of a config for its class
        config: Any
        model_tags: list[str] | None

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """As in transformers; config.json names the code, which is written as well. The model stays as it is.

        Args:
            save_directory: made if it does not exist.
            push_to_hub: also put it on the Hub, see `push_to_hub`.
            repo_id: the repository; None is the folder's name.
            kwargs: see `PreTrainedModel.save_pretrained`, and those of `push_to_hub`.
        """
        hub = {name: kwargs.pop(name) for name in HUB_OPTIONS if name in kwargs}
        live = self.config
        self.config = copy.deepcopy(live)  # it gets auto_map, dtype and architectures
        self.config.auto_map = self._auto_map()
        try:
            super().save_pretrained(save_directory, **kwargs)  # type: ignore[misc]  # the next base's
        finally:
            self.config = live
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).name, **hub, **kwargs)

    def _auto_map(self) -> dict[str, str]:
        own = code_reference(type(self))
        module = own.split(".")[0]
        if type(self).__name__ not in self.auto_classes.values():
            return {self._auto_class or "AutoModel": own}
        return {auto_class: f"{module}.{name}" for auto_class, name in self.auto_classes.items()}

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        tags: list[str] | None = None,
        **saving: Any,
    ) -> CommitInfo:
        """Put weights, config, code and a card (where there is none) on the Hub in one commit, or make nothing there.

        Args:
            repo_id: "user/name", or "name" for one of the token's user.
            commit_message, commit_description, private, token, revision, create_pr, tags: see `push_saved`.
            saving: of `save_pretrained`, such as `max_shard_size` and `variant`.

        Raises:
            ValueError: see `push_saved`.
        """
        names = sorted(self._auto_map())
        loads = "\n".join(f'model = {name}.from_pretrained("{{0}}", trust_remote_code=True)' for name in names[:1])
        usage = f"from transformers import {names[0]}\n\n{loads}"
        variant = f".{saving['variant']}" if saving.get("variant") else ""
        return push_saved(
            lambda folder: self.save_pretrained(folder, **saving),
            repo_id,
            lambda name: plain_card(name, type(self).__name__, ["gan"], usage.format(name)),
            commit_message=commit_message,
            commit_description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            tags=[*(self.model_tags or []), *([tags] if isinstance(tags, str) else tags or [])],
            replaces=(
                f"model{variant}-[0-9]*.safetensors",
                f"model{variant}.safetensors*",
                f"model.safetensors.index{variant}.json",
            ),
        )


__all__ = ["SavedWithCode"]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Components of the page and of its endpoints that take files from visitors."""

from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.component_meta import updateable
from gradio_client.utils import is_http_url_like


class WithoutStub(type(gr.HTML)):
    """gradio's metaclass writes a .pyi copy beside the source file of every component class; ours go without."""

    def __new__(mcs, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        if "__init__" in attributes:
            attributes["__init__"] = updateable(attributes["__init__"])
        return ABCMeta.__new__(mcs, name, bases, attributes)


class LocalFiles:
    """A component that takes no web address for a file: the server fetches nothing for a visitor."""

    def get_block_name(self) -> str:
        """The page and the clients know it as the component of gradio that it is made of."""
        return next(base.__name__.lower() for base in type(self).__mro__ if base.__module__.startswith("gradio."))

    get_block_class = get_block_name

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None and is_http_url_like(str(url_or_file_path)):
            raise gr.Error(f"{self.label}: an address is not fetched; send the file itself", print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


class UploadedFile(LocalFiles, gr.File, metaclass=WithoutStub):
    """A file that the client sends."""


__all__ = ["LocalFiles", "UploadedFile", "WithoutStub"]

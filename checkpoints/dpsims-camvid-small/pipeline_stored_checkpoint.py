# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What diffusers finds where it looks for the generator: where the checkpoint lies, and how it is to be loaded.

`DiffusionPipeline.from_pretrained` tells revision, cache, type and device to a pipeline's components alone, and looks
for each in a folder of its own. The networks of a checkpoint stand at its root, where transformers' Auto classes load
them; so this file stands in the generator's folder, and hands to the pipeline what it was told. It imports no sibling:
diffusers brings it alone.
"""

import os
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel


class StoredCheckpoint(PreTrainedModel):
    """In the generator's place until the pipeline has loaded it; no network, but diffusers tells no other class.

    Attributes:
        stored_checkpoint: (folder of the checkpoint, options of the call that are not None).
    """

    config_class = PreTrainedConfig

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.stored_checkpoint: tuple[str, dict[str, Any]] = ("", {})

    @classmethod
    def from_pretrained(  # type: ignore[override]  # of a folder
        cls, folder: str | os.PathLike, **options: Any
    ) -> "StoredCheckpoint":
        """Keep what diffusers says.

        Args:
            folder: `generator_model/` of a checkpoint.
            options: `dtype`, `device_map`, `variant` and what else diffusers gives to models.
        """
        stored = cls(PreTrainedConfig())
        given = {name: value for name, value in options.items() if value is not None}
        stored.stored_checkpoint = (os.path.dirname(os.path.abspath(folder)), given)
        return stored


__all__ = ["StoredCheckpoint"]

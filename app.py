# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Gradio Space: python app.py [--model PATH_OR_REPO] [--share] [--server-port N] ...

The program is dpsims_hf/demo/command.py, installed as `dpsims-demo`; this is the file that a Space starts. Its names
are had from here too, and imported at first use: torch takes seconds.
"""

import os
from typing import Any


if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  before torch sees a GPU


_NAMES = ("EMBEDDED_CHECKPOINT", "LIMITS", "PROXIES", "is_public", "load_library", "main", "parse_arguments")


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dpsims_hf.demo import command

    return getattr(command, name)


if __name__ == "__main__":
    from dpsims_hf.demo.command import main

    main()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Gradio Space.

python app.py [--model PATH_OR_REPO] [--share] [--server-port N] [--server-name NAME]

Without --model it opens on the model named by the environment variable DPSIMS_MODEL, or else on the checkpoint that is
part of this repository, and downloads nothing.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


ROOT = Path(__file__).resolve().parent
EMBEDDED_CHECKPOINT = ROOT / "checkpoints" / "dpsims-camvid-small"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line -> options."""
    parser = argparse.ArgumentParser(description="Semantic image synthesis in the browser.")
    model = os.environ.get("DPSIMS_MODEL") or str(EMBEDDED_CHECKPOINT)
    parser.add_argument("--model", default=model, help="checkpoint folder or Hub repository (default: $DPSIMS_MODEL)")
    parser.add_argument("--share", action="store_true", help="a public link through gradio's server")
    parser.add_argument("--server-port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--server-name", help='address to listen on; "0.0.0.0" for the whole network')
    return parser.parse_args(arguments)


def load_library(model: str, public: bool = False) -> Any:
    """Load a checkpoint folder or Hub repository, on the GPU if there is one.

    Args:
        model: what the page opens with.
        public: whether strangers can open the page; they then cannot name folders of this machine.

    Raises:
        ValueError: there is no such checkpoint; one line with the remedy.
    """
    if Path(model) == EMBEDDED_CHECKPOINT and not EMBEDDED_CHECKPOINT.is_dir():
        place = EMBEDDED_CHECKPOINT.relative_to(ROOT)
        raise ValueError(f"the embedded checkpoint {place} is missing; restore it, or name another with --model")
    import torch

    from dpsims_hf.demo.model_library import ModelLibrary, load_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(model).resolve()
    name = path.relative_to(ROOT).as_posix() if path.is_dir() and path.is_relative_to(ROOT) else model
    if public and path.is_dir():  # where it lies is nobody's business
        name = name if path.is_relative_to(ROOT) else path.name
    default = load_model(name, model, device)
    return ModelLibrary(default, EMBEDDED_CHECKPOINT.parent, local_folders=not public, device=device)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and serve the page until interrupted."""
    options = parse_arguments(arguments)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if os.environ.get("SPACES_ZERO_GPU"):
        import spaces  # noqa: F401  before torch sees a GPU
    try:
        library = load_library(options.model, public=options.share or "SPACE_ID" in os.environ)
    except (ValueError, OSError) as error:
        sys.exit(f"app.py: {' '.join(str(error).split())}")

    from dpsims_hf.demo import build_demo, launch_options

    build_demo(library).launch(
        share=options.share, server_name=options.server_name, server_port=options.server_port, **launch_options()
    )


if __name__ == "__main__":
    main()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Gradio Space.

python app.py [--model PATH_OR_REPO] [--share] [--server-port N] [--server-name NAME]

Without --model it opens on the checkpoint that is part of this repository and downloads nothing.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


EMBEDDED_CHECKPOINT = Path(__file__).resolve().parent / "checkpoints" / "dpsims-camvid-small"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line -> options."""
    parser = argparse.ArgumentParser(description="Semantic image synthesis in the browser.")
    parser.add_argument("--model", default=str(EMBEDDED_CHECKPOINT), help="checkpoint folder or Hub repository")
    parser.add_argument("--share", action="store_true", help="a public link through gradio's server")
    parser.add_argument("--server-port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--server-name", help='address to listen on; "0.0.0.0" for the whole network')
    return parser.parse_args(arguments)


def load_pipeline(model: str) -> Any:
    """Load a checkpoint folder or Hub repository, on the GPU if there is one.

    Raises:
        ValueError: there is no such checkpoint; one line with the remedy.
    """
    if Path(model) == EMBEDDED_CHECKPOINT and not EMBEDDED_CHECKPOINT.is_dir():
        place = EMBEDDED_CHECKPOINT.relative_to(Path(__file__).resolve().parent)
        raise ValueError(f"the embedded checkpoint {place} is missing; restore it, or name another with --model")
    import torch

    from dpsims_hf import SemanticImageSynthesisPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return SemanticImageSynthesisPipeline.from_pretrained(model, device=device)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and serve the page until interrupted."""
    options = parse_arguments(arguments)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        pipe = load_pipeline(options.model)
    except (ValueError, OSError) as error:
        sys.exit(f"app.py: {' '.join(str(error).split())}")

    from dpsims_hf.demo import build_demo, launch_options

    build_demo(pipe).launch(
        share=options.share, server_name=options.server_name, server_port=options.server_port, **launch_options()
    )


if __name__ == "__main__":
    main()

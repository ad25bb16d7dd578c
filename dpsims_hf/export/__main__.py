# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Write a network as ONNX or as an exported program of torch, and compare the file with torch.

python -m dpsims_hf.export MODEL OUT.onnx [--dynamic] [--global_noise] [--part discriminator]
python -m dpsims_hf.export MODEL OUT.pt2 --size 192 256
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ..commands import needs
from ..pipeline_checkpoint_folder import DISCRIMINATOR_FOLDER, check_config_file, check_folder
from .files import export_model


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dpsims_hf.export", description=__doc__.split("\n")[0])
    parser.add_argument("model", metavar="MODEL", help="checkpoint folder or Hub repository")
    parser.add_argument("output", metavar="OUT", help="file to write; .onnx, or .pt2 for torch.export")
    parser.add_argument("--part", choices=("generator", "discriminator"), default="generator")
    parser.add_argument("--dynamic", action="store_true", help="for every batch, size and number of noise regions")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="without --dynamic; default: the training size"
    )
    parser.add_argument("--batch_size", type=int, default=1, help="without --dynamic")
    parser.add_argument("--regions", type=int, default=1, help="without --dynamic: noise vectors per image")
    parser.add_argument(
        "--global_noise", action="store_true", help="one noise vector per image, no regions: smaller and faster"
    )
    return parser


def load_part(source: str, part: str) -> PreTrainedModel:
    """The generator or the discriminator of a checkpoint; ValueError or OSError if there is none."""
    check_folder(source)
    where: dict[str, Any] = {} if part == "generator" else {"subfolder": DISCRIMINATOR_FOLDER}
    check_config_file(source, **where)
    return AutoModel.from_pretrained(source, trust_remote_code=False, **where)


@needs("onnx")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    options = _parser().parse_args(arguments)
    transformers_logging.disable_progress_bar()
    try:
        if options.dynamic and (options.size or options.batch_size != 1 or options.regions != 1):
            raise ValueError("--size, --batch_size and --regions are of a graph without --dynamic; leave them out")
        written = export_model(
            load_part(options.model, options.part),
            options.output,
            options.dynamic,
            tuple(options.size) if options.size else None,
            options.batch_size,
            options.regions,
            not options.global_noise,
        )
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    tested = ", ".join(f"{shape.batch} x {shape.height} x {shape.width}" for shape in written.shapes)
    rounding = "" if written.rounding is None else f", torch's own rounding {written.rounding:.2g}"
    print(
        f"{written.path}: {written.path.stat().st_size / 2**20:.1f} MiB; largest difference from torch "
        f"{written.error:.2g}{rounding} (batch x height x width: {tested})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

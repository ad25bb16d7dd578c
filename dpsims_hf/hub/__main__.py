# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Publish checkpoint folders.

python -m dpsims_hf.hub push DIR REPO_ID [--private] [--tag NAME]
python -m dpsims_hf.hub export CHECKPOINT DIR
python -m dpsims_hf.hub space REPO_ID --model NAME_OR_DIR
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..commands import needs
from ..configuration_rules import shown
from ..modeling_backbone_weights import WEIGHTS_HELP
from .folders import export_folder, push_folder
from .selection import left_out
from .space import push_space, write_space


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dpsims_hf.hub", description="Publish checkpoint folders.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("push", help="check a checkpoint folder and upload it to the Hugging Face Hub")
    command.add_argument("folder", metavar="DIR", help="checkpoint folder")
    command.add_argument("repo_id", metavar="REPO_ID", help="user/name on the Hub")
    command.add_argument("--private", action="store_true", help="make the repository private")
    command.add_argument("--tag", metavar="NAME", help="name this revision")
    command = commands.add_parser("space", help="write a Space's repository: the app, opened on a model")
    command.add_argument("repo_id", metavar="REPO_ID", nargs="?", help="user/name of the Space; not with --output_dir")
    command.add_argument("--model", required=True, help="name on the Hub, or a checkpoint folder that goes along")
    command.add_argument("--title", help="of the Space")
    command.add_argument("--private", action="store_true", help="make the Space private")
    command.add_argument("--output_dir", metavar="DIR", help="write the files there instead of pushing them")
    command = commands.add_parser("export", help="training checkpoint -> folder to publish, with a card")
    command.add_argument("checkpoint", metavar="CHECKPOINT", help="a run's checkpoint-STEP")
    command.add_argument("output_dir", metavar="DIR", help="folder to write")
    command.add_argument("--card_fields", metavar="JSON", help="file with the fields of the card")
    inside = f"put these weights of the frozen backbone inside: {WEIGHTS_HELP}"
    command.add_argument("--backbone_weights", metavar="FILE", help=inside)
    command.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="of the stored tensors")
    return parser


def _run(options: argparse.Namespace) -> str:
    if options.command == "push":
        for line in left_out(options.folder) if Path(options.folder).is_dir() else ():
            print(shown(line), file=sys.stderr)
        address = push_folder(options.folder, options.repo_id, private=options.private, tag=options.tag)
        _tell_of_backbone(options.folder)
        return address
    if options.command == "space":
        return _run_space(options)
    try:
        fields = json.loads(Path(options.card_fields).read_text(encoding="utf-8")) if options.card_fields else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{options.card_fields} is no JSON: {error}") from None
    if options.backbone_weights:
        fields["backbone_weights"] = options.backbone_weights
    folder = export_folder(options.checkpoint, options.output_dir, fields, getattr(torch, options.dtype))
    _tell_of_backbone(folder)
    return str(folder)


def _tell_of_backbone(folder: str | Path) -> None:
    """Say it if a folder's discriminator came without the weights of its frozen backbone."""
    try:
        config = json.loads((Path(folder) / "discriminator" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(config, dict) and config.get("backbone_in_checkpoint") is False and config.get("backbone"):
        print(
            f"{folder}: the discriminator's frozen backbone {config['backbone']} is not inside, so `segment` and the "
            "Photo tab need its weights from elsewhere; python -m dpsims_hf.hub export CHECKPOINT DIR "
            "--backbone_weights FILE puts them inside",
            file=sys.stderr,
        )


def _run_space(options: argparse.Namespace) -> str:
    if bool(options.repo_id) == bool(options.output_dir):
        raise ValueError("name the Space's REPO_ID, or --output_dir DIR (one of the two)")
    if options.output_dir:
        return str(write_space(options.output_dir, options.model, options.title))
    return push_space(options.repo_id, options.model, options.title, options.private)


@needs("demo")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        print(_run(options))
    except (ValueError, OSError) as error:
        print(f"error: {shown(' '.join(str(error).split()))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

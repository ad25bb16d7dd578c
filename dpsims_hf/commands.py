# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The commands that an installed package has, and which extra of it a missing library belongs to.

A command is imported when it is called: `dpsims-hub` needs neither gradio nor accelerate.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


_STARTED_BY = os.getppid()  # before the long imports, in which a launcher may end
DATA_COMMANDS = {
    "inspect": "what is in a dataset, and what is wrong with it",
    "prepare": "write the layout that training reads, from what tools export",
    "class_frequencies": "count the classes of a stream",
}
EXTRAS = ("train", "eval", "demo", "onnx", "all")
# Libraries that are no part of the base install -> the extras that bring them.
LIBRARIES = {
    **dict.fromkeys(("gradio", "gradio_client", "av", "starlette"), ("demo",)),
    **dict.fromkeys(("accelerate", "datasets", "timm", "torchvision", "psutil"), ("train", "eval", "demo")),
    **dict.fromkeys(("matplotlib", "tensorboard"), ("train",)),
    **dict.fromkeys(("evaluate", "torchmetrics", "torch_fidelity", "lpips", "skimage", "scipy"), ("eval", "demo")),
    **dict.fromkeys(("onnx", "onnxscript", "onnxruntime"), ("onnx",)),
}


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """End the process in one line that says what to install, where a library of an extra is missing.

    Args:
        extra: what the command in this block, or decorated by it, is installed with.

    Raises:
        SystemExit: a library of `LIBRARIES` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in LIBRARIES:
            raise
        raise SystemExit(f"error: {missing(library, extra)}") from None


def missing(library: str, extra: str | None = None) -> str:
    """One line: a library is not installed, and how it is.

    Args:
        library: a name of `LIBRARIES`.
        extra: of this package, which the command belongs to; None takes the library's first.
    """
    brings = LIBRARIES[library]
    extra = extra or brings[0]
    chosen = extra if extra in brings else f"{extra},{brings[0]}"
    return f"{library} is not installed; pip install 'dpsims_hf[{chosen}]'"


def _call(module: str, extra: str, *arguments: Any) -> Any:
    with needs(extra):
        return import_module(f"{__package__}.{module}").main(*arguments)


def demo() -> None:
    """`dpsims-demo`: open the page."""
    _call("demo.command", "demo")


def train() -> None:
    """`dpsims-train`: train, also under `accelerate launch --module`."""
    with needs("train"):
        import_module(f"{__package__}.training.command").run(started_by=_STARTED_BY)


def evaluate() -> int:
    """`dpsims-evaluate`: measure a checkpoint, pictures or photos."""
    return _call("evaluation.__main__", "eval")


def hub() -> int:
    """`dpsims-hub`: publish checkpoint folders and Spaces."""
    return _call("hub.__main__", "demo")


def data(arguments: list[str] | None = None) -> int:
    """`dpsims-data inspect|prepare|class_frequencies ...`: the commands about datasets under one name."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in DATA_COMMANDS:
        return _call(f"data.{arguments[0]}", "train", arguments[1:])
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: dpsims-data {{{','.join(DATA_COMMANDS)}}} ...")
        print(*(f"  {name:<18} {meaning}" for name, meaning in DATA_COMMANDS.items()), sep="\n")
        return 0
    given = f"{arguments[0][:80]!r} is none of" if arguments else "name one of"
    print(f"error: {given} the commands {', '.join(DATA_COMMANDS)}; dpsims-data --help tells more", file=sys.stderr)
    return 2


def export() -> int:
    """`dpsims-export`: write a network as ONNX or as an exported program of torch."""
    return _call("export.__main__", "onnx")


__all__ = [
    "DATA_COMMANDS",
    "EXTRAS",
    "LIBRARIES",
    "data",
    "demo",
    "evaluate",
    "export",
    "hub",
    "missing",
    "needs",
    "train",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Writing a network as .onnx or .pt2, and comparing what was written with the network."""

import copy
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from ..commands import missing
from ..hub.folders import folded_copy
from ..hub.hashing import tensors_sha256
from ..pipeline_checkpoint_folder import check_backbone_ready
from .graphs import DiscriminatorGraph, GeneratorGraph, Shape, dynamic_shapes, fixed_shape, graph_of


TOLERANCE = 1e-4  # largest absolute difference from torch; images are in [-1, 1]
# Some networks, those of a run's first steps above all, turn rounding itself into more than that. Programs that sum
# in other orders, on other processors too, differ by a few times what torch in float32 is off (seen: 0.3 to 2.02).
ROUNDINGS, MOST_ROUNDING = 8.0, 1e-2
METADATA_KEY = "dpsims_hf"
Graph = GeneratorGraph | DiscriminatorGraph
Run = Callable[[dict[str, torch.Tensor]], list[torch.Tensor]]


class ExportedFile(NamedTuple):
    """What was written.

    Args:
        path: the file.
        error: largest absolute difference from torch over all outputs and tested shapes.
        shapes: that were tested.
        rounding: largest difference of torch in float32 from torch in float64; only looked at where `error` is
            above `TOLERANCE`.
    """

    path: Path
    error: float
    shapes: list[Shape]
    rounding: float | None = None


def export_model(
    model: PreTrainedModel,
    path: str | os.PathLike,
    dynamic: bool = False,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    regions: int = 1,
    with_regions: bool = True,
) -> ExportedFile:
    """Write a generator or discriminator, run the file, and compare it with torch.

    Args:
        model: of any family; it is left as it is.
        path: ends in .onnx, or in .pt2 for `torch.export`.
        dynamic: a graph for every batch, size and number of noise regions, instead of one.
        size: (height, width) of a graph that is not dynamic; None takes the training size.
        batch: images of such a graph.
        regions: noise vectors per image of such a graph.
        with_regions: False leaves the regions' inputs out: a smaller, faster graph with one noise vector per image.

    Raises:
        ValueError: another suffix, a size that does not fit, a network that cannot be exported so, or a file that
            computes something else (it is not kept); one line.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"{path}: the name must end in {' or '.join(WRITERS)}")
    if path.suffix == ".onnx":
        require_onnx("onnx", "onnxscript", "onnxruntime")
    check_backbone_ready(model)
    folded = folded_copy(model)
    graph = graph_of(folded, with_regions)
    shapes = dynamic_shapes(graph) if dynamic else [fixed_shape(graph, size, batch, regions)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder, torch.no_grad():
        written = Path(folder) / f"model{path.suffix}"
        try:
            program = _trace(graph, shapes[0], dynamic)
            run = WRITERS[path.suffix](program, graph, written, _facts(folded, dynamic, with_regions))
        except Exception as error:  # libraries raise what they like
            reason = " ".join(str(error).split())[:300]
            advice = "; leave --dynamic out for a graph of one size" if dynamic else ""
            raise ValueError(f"{type(model).__name__} cannot be exported ({reason}){advice}") from error
        difference, rounding = max(_difference(run, graph, shape, seed) for seed, shape in enumerate(shapes)), None
        if not difference <= TOLERANCE:
            rounding = max(own_rounding(graph, graph.example(shape, seed)) for seed, shape in enumerate(shapes))
            if not difference <= min(ROUNDINGS * rounding, MOST_ROUNDING):
                raise ValueError(
                    f"{path} was not kept: it differs from torch by {difference:.3g}, and {TOLERANCE:g} is allowed, "
                    f"or {ROUNDINGS:g} times torch's own rounding in float32, which is {rounding:.2g}"
                )
        os.replace(written, path)
    return ExportedFile(path, difference, shapes, rounding)


def require_onnx(*libraries: str) -> None:
    """Raise a ValueError in one line unless these libraries are installed."""
    from importlib.util import find_spec

    for library in libraries:
        if find_spec(library) is None:
            raise ValueError(missing(library, "onnx"))


def _facts(model: PreTrainedModel, dynamic: bool, with_regions: bool) -> str:
    """What the file says about itself."""
    return json.dumps(
        {
            "config": json.loads(model.config.to_json_string(use_diff=False)),
            "weights_sha256": tensors_sha256(model),
            "dynamic": dynamic,
            "with_regions": with_regions,
        }
    )


def _trace(graph: Graph, shape: Shape, dynamic: bool) -> torch.export.ExportedProgram:
    inputs, sides = graph.example(shape), graph.sides()
    shapes = {name: sides[name] for name in inputs} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own parts
        return torch.export.export(graph, (), inputs, dynamic_shapes=shapes, strict=False)


def _write_onnx(program: torch.export.ExportedProgram, graph: Graph, path: Path, facts: str) -> Run:
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx_program: Any = torch.onnx.export(
            program, dynamo=True, verbose=False, output_names=list(graph.output_names)
        )
    onnx_program.model.metadata_props[METADATA_KEY] = facts
    onnx_program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        return [torch.from_numpy(array) for array in session.run(None, {k: v.numpy() for k, v in inputs.items()})]

    return run


def _write_program(program: torch.export.ExportedProgram, graph: Graph, path: Path, facts: str) -> Run:
    torch.export.save(program, path, extra_files={f"{METADATA_KEY}.json": facts})
    module = torch.export.load(path).module()

    def run(inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        return _outputs(module(**inputs))

    return run


def _difference(run: Run, graph: Graph, shape: Shape, seed: int) -> float:
    inputs = graph.example(shape, seed)
    return _largest(run(inputs), _outputs(graph(**inputs)))


def own_rounding(network: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> float:
    """Largest difference of torch in float32 from torch in float64."""
    exact = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    return _largest(_outputs(network(**inputs)), _outputs(copy.deepcopy(network).double()(**exact)))


def _outputs(found: Any) -> list[torch.Tensor]:
    return [found] if isinstance(found, torch.Tensor) else list(found)


def _largest(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    if [tuple(one.shape) for one in found] != [tuple(one.shape) for one in expected]:
        return float("inf")
    return max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))


WRITERS: dict[str, Callable[..., Run]] = {".onnx": _write_onnx, ".pt2": _write_program}


__all__ = [
    "METADATA_KEY",
    "MOST_ROUNDING",
    "TOLERANCE",
    "ExportedFile",
    "export_model",
    "own_rounding",
    "require_onnx",
]

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""An exported generator behind the call of a generator, so that pipeline, page and evaluation take it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from ..configuration_base import GeneratorConfig
from ..configuration_rules import shown
from ..hub.folders import folded_copy
from ..hub.hashing import tensors_sha256
from ..layers_noise import canonical_noise
from ..modeling_base import SemanticGenerator
from ..modeling_outputs import GeneratorOutput
from .files import METADATA_KEY, MOST_ROUNDING, TOLERANCE, export_model, own_rounding, require_onnx
from .graphs import graph_of


MOST_DIFFERENCE = 10 * TOLERANCE  # of a file that is taken: another machine computes a little otherwise


class OnnxGenerator(SemanticGenerator):
    """Label map + noise -> image by onnxruntime, with the call of `SemanticGenerator`.

    Images agree with torch's to `TOLERANCE` of the export, not bit for bit. There are no features and no gradients.

    Args:
        config: of the generator.
        session: an `onnxruntime.InferenceSession`.
        facts: what the file says about itself.
    """

    config_class = GeneratorConfig

    def __init__(self, config: GeneratorConfig, session: Any, facts: dict[str, Any]) -> None:
        super().__init__(config)
        self._session = session
        self._inputs = {one.name for one in session.get_inputs()}
        self.weights_sha256 = str(facts.get("weights_sha256"))
        self.eval()

    @classmethod
    def from_file(cls, path: str | os.PathLike, threads: int | None = None) -> "OnnxGenerator":
        """Open a file of `export_model`, or of `python -m dpsims_hf.export`, on the CPU.

        Args:
            path: of the .onnx file.
            threads: of the operators; None takes torch's number.

        Raises:
            ValueError: onnxruntime is not installed, or the file holds no generator of this package; one line.
        """
        require_onnx("onnxruntime")
        import onnxruntime

        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path}: no such file; python -m dpsims_hf.export MODEL {path} writes it")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's classes are not public
            raise ValueError(f"{path} is no ONNX file that can be run: {' '.join(str(error).split())[:200]}") from None
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        try:
            facts = json.loads(text or "")
            values = dict(facts["config"])
            config = AutoConfig.for_model(values.pop("model_type"), **values)
        except (TypeError, KeyError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} was not written by dpsims_hf.export ({reason})") from None
        if not isinstance(config, GeneratorConfig):
            raise ValueError(f"{path} holds a {config.model_type}, not a generator")
        return cls(config, session, facts)

    @property
    def device(self) -> torch.device:
        """Where inputs and images are."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of noise and images."""
        return torch.float32

    def _init_weights(self, module: torch.nn.Module) -> None:
        """There are none."""

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Refused: a file of ONNX holds no weights that torch would load."""
        raise ValueError("an OnnxGenerator has no weights to save; save the generator that it was exported from")

    @torch.no_grad()
    def forward(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor | None = None,
        noise_regions: torch.Tensor | None = None,
        instance_offsets: torch.Tensor | None = None,
        texture_seed: int | torch.Tensor = 0,
        output_features: bool = False,
        return_dict: bool = True,
    ) -> GeneratorOutput | tuple[torch.Tensor, ...]:
        """Generate images; inputs, output and errors as in `SemanticGenerator.forward`.

        Raises:
            ValueError: also for features, and for noise regions or sizes that the file was not exported for.
        """
        if output_features:
            raise ValueError("output_features: an exported generator gives images alone")
        self._check_inputs(label_map, noise, noise_regions, instance_offsets)
        batch = label_map.shape[0]
        noise = self.sample_noise(batch) if noise is None else noise.float()
        noise = noise[:, None] if noise.ndim == 2 else noise
        noise, noise_regions = canonical_noise(noise, None if noise_regions is None else noise_regions.long())
        given: dict[str, Any] = {"label_map": label_map.long(), "noise": noise, "noise_regions": noise_regions}
        if "noise_regions" not in self._inputs:
            if noise_regions is not None:
                raise ValueError("this file was exported with --global_noise; export it again for noise per region")
            given["noise"] = noise[:, 0]
        elif noise_regions is None:
            given["noise_regions"] = torch.zeros_like(given["label_map"])
        if "texture_seed" in self._inputs:
            self._check_texture_seed(texture_seed, batch)
            seeds = torch.as_tensor(texture_seed)
            given["texture_seed"] = seeds.long().expand(batch)
        given["instance_offsets"] = None if instance_offsets is None else instance_offsets.float()
        arrays = {name: np.ascontiguousarray(given[name].numpy()) for name in self._inputs}
        self._check_shapes(arrays)
        images = torch.from_numpy(self._session.run(None, arrays)[0])
        output = GeneratorOutput(images=images)
        return output if return_dict else output.to_tuple()

    def _check_shapes(self, arrays: dict[str, np.ndarray]) -> None:
        for one in self._session.get_inputs():
            fixed = [side if isinstance(side, int) else None for side in one.shape]
            shape = arrays[one.name].shape
            if any(side not in (None, given) for side, given in zip(fixed, shape, strict=True)):
                raise ValueError(
                    f"{one.name} has shape {shape}, and this file was exported for {tuple(one.shape)} alone; export "
                    "it with --dynamic"
                )


def _check_graph(path: Path) -> None:
    """Refuse a graph with loops and branches, which may never end; an exported network has none.

    Raises:
        ValueError: such a graph, or no file of ONNX.
    """
    require_onnx("onnx")
    import onnx

    try:
        content = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's classes are not public
        raise ValueError(f"{path} is no ONNX file: {' '.join(str(error).split())[:200]}") from None
    graphs = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    for node in (*content.graph.node, *(node for function in content.functions for node in function.node)):
        if any(attribute.type in graphs for attribute in node.attribute):
            raise ValueError(
                f"{path} has a {shown(node.op_type[:40])}, which no exported generator has; remove it, or export again"
            )


def _check_images(ready: OnnxGenerator, model: SemanticGenerator, path: Path) -> None:
    """Refuse a file that says that it is of some weights and computes something else.

    Raises:
        ValueError: its image is not the model's.
    """
    height, width = model.config.image_size
    random = torch.Generator().manual_seed(0)
    inputs = {
        "label_map": torch.randint(0, model.config.num_labels, (1, height, width), generator=random),
        "noise": model.sample_noise(1, generator=random),
    }
    if getattr(model.config, "use_instance_offsets", False):
        inputs["instance_offsets"] = torch.zeros(1, 2, height, width)
    try:
        images = ready(**inputs).images
    except Exception as error:  # onnxruntime's classes are not public
        raise ValueError(f"{path} cannot be run: {' '.join(str(error).split())[:200]}; export it again") from None
    device = next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in inputs.items()}
    with torch.no_grad():
        expected = model(**inputs).images.float().cpu()
        difference = float((images - expected).abs().max()) if images.shape == expected.shape else float("inf")
        fits = difference <= MOST_DIFFERENCE or (
            difference <= MOST_ROUNDING and own_rounding(graph_of(model), inputs) > TOLERANCE
        )
    if not fits:
        raise ValueError(f"{path} does not compute what these weights do, whatever it says; export it again")


def onnx_generator_for(pipe: Any, folder: str | os.PathLike | None = None) -> OnnxGenerator:
    """The generator of a pipeline, run by onnxruntime.

    Args:
        pipe: a loaded `SemanticImageSynthesisPipeline`.
        folder: a checkpoint folder; its `generator.onnx` is taken if it was exported, with --dynamic, from these
            weights, and computes what they do. Otherwise the generator is exported now, to a file that is removed
            again.

    Raises:
        ValueError: onnx is not installed, or the generator cannot be exported.
    """
    model = pipe.generator_model
    found = None if folder is None else Path(folder) / "generator.onnx"
    if found is not None and found.is_file():
        _check_graph(found)
        ready = OnnxGenerator.from_file(found)
        if ready.weights_sha256 == tensors_sha256(folded_copy(model)) and "noise_regions" in ready._inputs:
            _check_images(ready, model, found)
            return ready
        raise ValueError(
            f"{found} is not of these weights or without noise regions; export it again: python -m dpsims_hf.export "
            f"{folder} {found} --dynamic"
        )
    with tempfile.TemporaryDirectory(prefix="dpsims_onnx_") as temporary:
        path = export_model(model, Path(temporary) / "generator.onnx", dynamic=True).path
        return OnnxGenerator.from_file(path)


__all__ = ["OnnxGenerator", "onnx_generator_for"]

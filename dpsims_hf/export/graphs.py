# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What of a network is exported: inputs and outputs by name, examples of them, and which of their sides may vary."""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.export import Dim
from transformers import PreTrainedModel

from ..modeling_base import SemanticGenerator, check_multiples


MAX_BATCH, MAX_CELLS, MAX_REGIONS = 1024, 4096, 65536  # of a dynamic graph; a cell is size_divisor pixels


class Shape(NamedTuple):
    """One choice of all the sides that may vary.

    Args:
        batch: images.
        height, width: of them.
        regions: noise vectors per image.
    """

    batch: int
    height: int
    width: int
    regions: int = 1


class GeneratorGraph(nn.Module):
    """A generator whose inputs are tensors, and whose output is the images alone."""

    output_names = ("images",)

    def __init__(self, model: SemanticGenerator, with_regions: bool) -> None:
        super().__init__()
        self.model, self.with_regions = model, with_regions

    def forward(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor,
        noise_regions: torch.Tensor | None = None,
        instance_offsets: torch.Tensor | None = None,
        texture_seed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Images (batch, 3, height, width) in [-1, 1]; the inputs as in `SemanticGenerator.forward`."""
        seed = {} if texture_seed is None else {"texture_seed": texture_seed}
        return self.model(
            label_map, noise=noise, noise_regions=noise_regions, instance_offsets=instance_offsets, **seed
        ).images

    @property
    def divisor(self) -> int:
        """What height and width are multiples of."""
        return int(self.model.config.size_divisor)

    def example(self, shape: Shape, seed: int = 0) -> dict[str, torch.Tensor]:
        """Inputs of a shape; labels, regions, offsets and noise from a random generator of this seed."""
        rng, config = torch.Generator().manual_seed(seed), self.model.config
        size = (shape.batch, shape.height, shape.width)
        dims = (shape.batch, shape.regions) if self.with_regions else (shape.batch,)
        cells = (shape.batch, shape.height // self.divisor, shape.width // self.divisor)
        labels = torch.randint(0, config.num_labels, cells, generator=rng)  # areas, as maps have
        inputs = {
            "label_map": labels.repeat_interleave(self.divisor, 1).repeat_interleave(self.divisor, 2),
            "noise": torch.randn(*dims, config.noise_dim, generator=rng),
        }
        if self.with_regions:
            inputs["noise_regions"] = torch.randint(0, shape.regions, size, generator=rng)
        if getattr(config, "use_instance_offsets", False):
            inputs["instance_offsets"] = torch.rand(shape.batch, 2, shape.height, shape.width, generator=rng) - 0.5
        if config.texture_noise:
            inputs["texture_seed"] = torch.randint(0, 2**30, (shape.batch,), generator=rng)
        return inputs

    def sides(self) -> dict[str, dict[int, Any]]:
        """The sides of each input that vary in a dynamic graph."""
        batch, height, width = _sides(self.divisor)
        noise = {0: batch, 1: Dim("regions", min=1, max=MAX_REGIONS)} if self.with_regions else {0: batch}
        maps = {0: batch, 1: height, 2: width}
        return {
            "label_map": maps,
            "noise": noise,
            "noise_regions": maps,
            "instance_offsets": {0: batch, 2: height, 3: width},
            "texture_seed": {0: batch},
        }


class DiscriminatorGraph(nn.Module):
    """A discriminator whose outputs are the logits of pixels, and of patches where it has such."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        heads = len(getattr(model, "patch_heads", ()))
        self.output_names = ("segmentation_logits", *(f"patch_logits_{index}" for index in range(heads)))

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (batch, num_labels + 1, height, width), "fake" last, and (batch, 1, h, w) of each patch head."""
        output = self.model(pixel_values)
        return (output.segmentation_logits, *(output.patch_logits or ()))

    @property
    def divisor(self) -> int:
        """What height and width are multiples of."""
        model: Any = self.model
        return int(getattr(model.config, "size_divisor", None) or max(model.strides))

    def example(self, shape: Shape, seed: int = 0) -> dict[str, torch.Tensor]:
        """Noise as photos of a shape, from a random generator of this seed."""
        rng = torch.Generator().manual_seed(seed)
        return {"pixel_values": torch.rand(shape.batch, 3, shape.height, shape.width, generator=rng) * 2 - 1}

    def sides(self) -> dict[str, dict[int, Any]]:
        """The sides of the input that vary in a dynamic graph."""
        batch, height, width = _sides(self.divisor)
        return {"pixel_values": {0: batch, 2: height, 3: width}}


def _sides(divisor: int) -> tuple[Any, Any, Any]:
    rows, columns = Dim("rows", min=1, max=MAX_CELLS), Dim("columns", min=1, max=MAX_CELLS)
    return Dim("batch", min=1, max=MAX_BATCH), divisor * rows, divisor * columns


def graph_of(model: PreTrainedModel, with_regions: bool = True) -> GeneratorGraph | DiscriminatorGraph:
    """The graph of a generator or discriminator, in eval mode."""
    if not getattr(model, "labels_pixels", True):
        raise ValueError(f"a {model.config.model_type} judges patches and labels no pixels; export its generator")
    graph = GeneratorGraph(model, with_regions) if isinstance(model, SemanticGenerator) else DiscriminatorGraph(model)
    return graph.eval()


def fixed_shape(
    graph: GeneratorGraph | DiscriminatorGraph, size: tuple[int, int] | None, batch: int, regions: int
) -> Shape:
    """The shape of a graph of one size: what is asked for, else the training size; ValueError if it does not fit."""
    trained_at: tuple[int, int] = getattr(graph.model.config, "image_size", (256, 256))
    height, width = size or trained_at
    check_multiples("--size", (height, width), graph.divisor)
    if batch < 1 or regions < 1:
        raise ValueError(f"--batch_size {batch} and --regions {regions} must be at least 1")
    return Shape(batch, height, width, regions)


def dynamic_shapes(graph: GeneratorGraph | DiscriminatorGraph) -> list[Shape]:
    """The shape that a dynamic graph is traced with (sides that differ: equal ones would be taken for one), others to
    test it with.
    """
    cell = graph.divisor
    return [Shape(2, 3 * cell, 4 * cell, 5), Shape(1, 4 * cell, 2 * cell, 1), Shape(3, 2 * cell, 3 * cell, 2)]


__all__ = [
    "DiscriminatorGraph",
    "GeneratorGraph",
    "Shape",
    "dynamic_shapes",
    "fixed_shape",
    "graph_of",
]

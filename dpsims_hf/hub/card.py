# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Model cards: template.md, filled with what the networks know and what their maker says."""

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelCardData
from transformers import PreTrainedModel

from ..configuration_rules import inert
from ..modeling_backbone_weights import package_remedy
from ..pipeline_checkpoint_folder import DISCRIMINATOR_FOLDER


NOT_STATED = "Not stated."
CARD_PATH = "."
# Fields of the card that only a person or the training script knows.
CARD_FIELDS = {
    "name": "Semantic image synthesis",
    "summary": "Semantic label map + noise -> photo-like image, in one forward pass.",
    "data": NOT_STATED,
    "data_terms": NOT_STATED,
    "steps": NOT_STATED,
    "hardware": NOT_STATED,
    "training": "Recipe and settings: not stated.",
    "results": "Not measured.",
    "limits": NOT_STATED,
    "samples": "",
    "license": "unknown",
    "license_name": None,
    "license_link": None,
    "datasets": None,
    "tags": (),
    "eval_results": None,
}


def load_model_card_template() -> str:
    """The text of template.md."""
    return (Path(__file__).parent / "template.md").read_text(encoding="utf-8")


def fill_model_card(
    generator: PreTrainedModel,
    processor: Any,
    discriminator: PreTrainedModel | None = None,
    include_backbone: bool = False,
    dtype: torch.dtype = torch.float32,
    **fields: Any,
) -> str:
    """Fill the card's template: facts of the networks from the networks, the rest from `fields`.

    Args:
        generator, processor, discriminator, include_backbone, dtype: as given to `save_model_folder`.
        fields: any of `CARD_FIELDS`; what is left out is marked as not stated.

    Raises:
        ValueError: for an unknown field, naming the known ones.
    """
    unknown = sorted(set(fields) - set(CARD_FIELDS))
    if unknown:
        raise ValueError(f"the card has no field {unknown[0]!r}; its fields are {', '.join(CARD_FIELDS)}")
    values = CARD_FIELDS | fields
    papers = _papers(generator, discriminator)
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-to-image",
        tags=["semantic-image-synthesis", "gan", *(tag for tag, _ in papers), *values["tags"]],
        model_name=values["name"] if values["eval_results"] else None,
        **{key: values[key] for key in ("license", "license_name", "license_link", "datasets", "eval_results")},
    )
    height, width = generator.config.image_size
    facts = {
        "generator_type": type(generator).__name__,
        "parameters": f"{sum(p.numel() for p in generator.parameters()) / 1e6:.2f} M",
        "stored_dtype": str(dtype).removeprefix("torch."),
        "height": height,
        "width": width,
        "size_divisor": getattr(generator.config, "size_divisor", processor.size_divisor),
        "noise_dim": generator.config.noise_dim,
        "discriminator": _describe_discriminator(discriminator, include_backbone),
        "classes": ", ".join(f"{key} {inert(name)}" for key, name in processor.id2label.items()),
        "path": CARD_PATH,
        "papers": " ".join(paper for _, paper in papers),
    }
    return str(ModelCard.from_template(data, template_str=load_model_card_template(), **{**values, **facts}))


def _papers(*networks: PreTrainedModel | None) -> list[tuple[str, str]]:
    """Tag and citation of the networks' families, each once, as far as their configs name them."""
    found = [getattr(network.config, "paper", None) for network in networks if network is not None]
    return [paper for paper in dict.fromkeys(found) if paper is not None]


def _describe_discriminator(discriminator: PreTrainedModel | None, include_backbone: bool) -> str:
    if discriminator is None:
        return "not included"
    text = f"`{type(discriminator).__name__}` in `{DISCRIMINATOR_FOLDER}/`"
    backbone = getattr(discriminator.config, "backbone", None)
    if backbone is None:
        return text
    remedy = package_remedy(backbone)
    outside = f"not inside: `load_backbone_weights()` gets them from the Hub, or give it a safetensors file{remedy}"
    inside = "inside, under their own licence" if include_backbone else outside
    loaded: Any = getattr(discriminator, "backbone", None)  # here, in this process: a saved file does not say it
    origin = getattr(loaded, "weights_origin", None)
    source = f"; read from {origin}, SHA-256 `{loaded.weights_sha256}`" if origin else ""
    return f"{text}, frozen backbone `{backbone}` (weights {inside}{source})"


__all__ = ["CARD_FIELDS", "CARD_PATH", "NOT_STATED", "fill_model_card", "load_model_card_template"]

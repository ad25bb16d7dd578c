# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""DP-SIMS for Hugging Face: semantic label map + noise -> photo-like image, in one forward pass.

`import dpsims_hf` registers the models with the Auto classes. timm, diffusers, datasets and gradio are imported only
when the part that needs them is used.
"""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForSemanticSegmentation

from .configuration_dpgan import DPGANDiscriminatorConfig, DPGANGeneratorConfig
from .configuration_dpsims import DPSIMSDiscriminatorConfig, DPSIMSGeneratorConfig
from .configuration_oasis import OASISDiscriminatorConfig, OASISGeneratorConfig
from .configuration_spade import SPADEDiscriminatorConfig, SPADEGeneratorConfig
from .image_processing_semantic import SemanticImageProcessor
from .modeling_base import FoldableModel
from .modeling_dpgan import DPGANGenerator
from .modeling_dpgan_discriminator import DPGANDiscriminator, DPGANForSemanticSegmentation
from .modeling_dpsims import DPSIMSGenerator
from .modeling_dpsims_discriminator import DPSIMSDiscriminator, DPSIMSForSemanticSegmentation
from .modeling_oasis import OASISGenerator
from .modeling_oasis_discriminator import OASISDiscriminator, OASISForSemanticSegmentation
from .modeling_segmentation import SegmentsImages
from .modeling_spade import SPADEGenerator
from .modeling_spade_discriminator import SPADEDiscriminator


__version__ = "0.1.0"

# diffusers takes seconds to import: the pipeline is loaded at first use.
_LAZY = {"SemanticImageSynthesisPipeline": ".pipeline_semantic_image_synthesis"}


def _networks() -> Iterator[type[FoldableModel]]:
    """The networks of all `modeling_*` modules: a new family beside the others needs no line here to be loaded."""
    names = sorted(found.name for found in iter_modules(__path__) if found.name.startswith("modeling_"))
    for module in (import_module(f".{name}", __name__) for name in names):
        for value in vars(module).values():
            is_network = isinstance(value, type) and issubclass(value, FoldableModel)
            is_network = is_network and not issubclass(value, SegmentsImages)  # the same as another, called otherwise
            if is_network and value.__module__ == module.__name__ and "config_class" in vars(value):
                yield value


# One processor class whatever backend is asked for: it needs no torchvision.
_backends: dict[str, type] = {"torchvision": SemanticImageProcessor, "pil": SemanticImageProcessor}
for _model in _networks():
    _config = _model.config_class
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)
    AutoImageProcessor.register(_config, image_processor_classes=_backends, exist_ok=True)
    _segmenter = vars(_model).get("auto_classes", {}).get("AutoModelForSemanticSegmentation")
    if _segmenter:
        _segmenter = getattr(import_module(_model.__module__), _segmenter)
        AutoModelForSemanticSegmentation.register(_config, _segmenter, exist_ok=True)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)


__all__ = [
    "DPGANDiscriminator",
    "DPGANDiscriminatorConfig",
    "DPGANForSemanticSegmentation",
    "DPGANGenerator",
    "DPGANGeneratorConfig",
    "DPSIMSDiscriminator",
    "DPSIMSDiscriminatorConfig",
    "DPSIMSForSemanticSegmentation",
    "DPSIMSGenerator",
    "DPSIMSGeneratorConfig",
    "OASISDiscriminator",
    "OASISDiscriminatorConfig",
    "OASISForSemanticSegmentation",
    "OASISGenerator",
    "OASISGeneratorConfig",
    "SPADEDiscriminator",
    "SPADEDiscriminatorConfig",
    "SPADEGenerator",
    "SPADEGeneratorConfig",
    "SemanticImageProcessor",
    "SemanticImageSynthesisPipeline",
]

"""DP-SIMS for Hugging Face: semantic label map + noise -> photo-like image, in one forward pass.

`import dpsims_hf` registers the models with the Auto classes. timm, diffusers, datasets and gradio are imported only
when the part that needs them is used.
"""

from importlib import import_module
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoModel

from .configuration_dpgan import DPGANDiscriminatorConfig, DPGANGeneratorConfig
from .configuration_dpsims import DPSIMSDiscriminatorConfig, DPSIMSGeneratorConfig
from .configuration_oasis import OASISDiscriminatorConfig, OASISGeneratorConfig
from .image_processing_semantic import SemanticImageProcessor
from .modeling_base import SemanticGenerator
from .modeling_dpgan import DPGANGenerator
from .modeling_dpgan_discriminator import DPGANDiscriminator
from .modeling_dpsims import DPSIMSGenerator
from .modeling_dpsims_discriminator import DPSIMSDiscriminator
from .modeling_oasis import OASISGenerator
from .modeling_oasis_discriminator import OASISDiscriminator


__version__ = "0.1.0"

# diffusers takes seconds to import: the pipeline is loaded at first use.
_LAZY = {"SemanticImageSynthesisPipeline": ".pipeline_semantic_image_synthesis"}

# One processor class whatever backend is asked for: it needs no torchvision.
_backends = {"torchvision": SemanticImageProcessor, "pil": SemanticImageProcessor}
for _model in (
    DPSIMSGenerator,
    DPSIMSDiscriminator,
    DPGANGenerator,
    DPGANDiscriminator,
    OASISGenerator,
    OASISDiscriminator,
):
    _config = _model.config_class
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)
    if issubclass(_model, SemanticGenerator):
        AutoImageProcessor.register(_config, image_processor_classes=_backends, exist_ok=True)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)


__all__ = [
    "DPGANDiscriminator",
    "DPGANDiscriminatorConfig",
    "DPGANGenerator",
    "DPGANGeneratorConfig",
    "DPSIMSDiscriminator",
    "DPSIMSDiscriminatorConfig",
    "DPSIMSGenerator",
    "DPSIMSGeneratorConfig",
    "OASISDiscriminator",
    "OASISDiscriminatorConfig",
    "OASISGenerator",
    "OASISGeneratorConfig",
    "SemanticImageProcessor",
    "SemanticImageSynthesisPipeline",
]

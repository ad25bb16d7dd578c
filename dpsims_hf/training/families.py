# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""One row per family: which classes make its networks, which objective trains them, and its recipes."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from ..modeling_dpgan import DPGANGenerator
from ..modeling_dpgan_discriminator import DPGANDiscriminator
from ..modeling_dpsims import DPSIMSGenerator
from ..modeling_dpsims_discriminator import DPSIMSDiscriminator
from ..modeling_oasis import OASISGenerator
from ..modeling_oasis_discriminator import OASISDiscriminator
from ..modeling_spade import SPADEGenerator
from ..modeling_spade_discriminator import SPADEDiscriminator
from .objectives.base import AdversarialObjective
from .objectives.dpgan import DPGANLossWeights, DPGANObjective
from .objectives.dpsims import DPSIMSLossWeights, DPSIMSObjective
from .objectives.oasis import OASISLossWeights, OASISObjective
from .objectives.spade import SPADELossWeights, SPADEObjective
from .objectives.weights import AdversarialLossWeights
from .recipes import dpgan, dpsims, oasis, spade
from .recipes.recipe import Recipe


@dataclass(frozen=True)
class Family:
    """The classes of one family; a network class names its config class."""

    generator: type[PreTrainedModel]
    discriminator: type[PreTrainedModel]
    loss_weights: type[AdversarialLossWeights]
    objective: type[AdversarialObjective]
    recipes: dict[str, Recipe]


FAMILIES = {
    "dpsims": Family(DPSIMSGenerator, DPSIMSDiscriminator, DPSIMSLossWeights, DPSIMSObjective, dpsims.RECIPES),
    "dpgan": Family(DPGANGenerator, DPGANDiscriminator, DPGANLossWeights, DPGANObjective, dpgan.RECIPES),
    "oasis": Family(OASISGenerator, OASISDiscriminator, OASISLossWeights, OASISObjective, oasis.RECIPES),
    "spade": Family(SPADEGenerator, SPADEDiscriminator, SPADELossWeights, SPADEObjective, spade.RECIPES),
}


def get_family(name: str) -> Family:
    """The row of that name; a ValueError lists the known ones."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]

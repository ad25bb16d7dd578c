"""One row per family: which classes make its networks and which objective trains them."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from ..modeling_dpgan import DPGANGenerator
from ..modeling_dpgan_discriminator import DPGANDiscriminator
from ..modeling_dpsims import DPSIMSGenerator
from ..modeling_dpsims_discriminator import DPSIMSDiscriminator
from ..modeling_oasis import OASISGenerator
from ..modeling_oasis_discriminator import OASISDiscriminator
from .loss_weights import AdversarialLossWeights
from .objective_base import AdversarialObjective
from .objective_dpgan import DPGANLossWeights, DPGANObjective
from .objective_dpsims import DPSIMSLossWeights, DPSIMSObjective
from .objective_oasis import OASISLossWeights, OASISObjective


@dataclass(frozen=True)
class Family:
    """The classes of one family; a network class names its config class."""

    generator: type[PreTrainedModel]
    discriminator: type[PreTrainedModel]
    loss_weights: type[AdversarialLossWeights]
    objective: type[AdversarialObjective]


FAMILIES = {
    "dpsims": Family(DPSIMSGenerator, DPSIMSDiscriminator, DPSIMSLossWeights, DPSIMSObjective),
    "dpgan": Family(DPGANGenerator, DPGANDiscriminator, DPGANLossWeights, DPGANObjective),
    "oasis": Family(OASISGenerator, OASISDiscriminator, OASISLossWeights, OASISObjective),
}


def get_family(name: str) -> Family:
    """The row of that name; a ValueError lists the known ones."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]

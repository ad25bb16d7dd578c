"""One row per family: which classes make its networks and which objective trains them."""

from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedModel

from ..configuration_dpsims import DPSIMSDiscriminatorConfig, DPSIMSGeneratorConfig
from ..modeling_dpsims import DPSIMSGenerator
from ..modeling_dpsims_discriminator import DPSIMSDiscriminator
from .objective_dpsims import DPSIMSLossWeights, DPSIMSObjective


@dataclass(frozen=True)
class Family:
    """The classes of one family."""

    generator_config: type[PreTrainedConfig]
    generator: type[PreTrainedModel]
    discriminator_config: type[PreTrainedConfig]
    discriminator: type[PreTrainedModel]
    loss_weights: type
    objective: type


FAMILIES = {
    "dpsims": Family(
        DPSIMSGeneratorConfig,
        DPSIMSGenerator,
        DPSIMSDiscriminatorConfig,
        DPSIMSDiscriminator,
        DPSIMSLossWeights,
        DPSIMSObjective,
    ),
}


def get_family(name: str) -> Family:
    """The row of that name; a ValueError lists the known ones."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]

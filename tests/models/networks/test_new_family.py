# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a family says of itself is enough: rules of its own fields, its paper, its place among the Auto classes."""

import pytest
from transformers import AutoConfig, AutoModel

import dpsims_hf
from dpsims_hf import OASISGenerator, OASISGeneratorConfig, SemanticImageProcessor
from dpsims_hf.configuration_rules import Number
from dpsims_hf.hub import fill_model_card
from dpsims_hf.training.families import FAMILIES


class WarmGeneratorConfig(OASISGeneratorConfig):
    """OASIS with a field that no other family has."""

    model_type = "warm-generator"
    field_rules = {"warmth": Number(0, 1)}
    paper = ("warm", "Nobody, *Warm images*, 2026.")

    def __init__(
        self,
        num_labels: int | None = None,
        image_size: tuple[int, int] = (32, 64),
        void_label_id: int | None = None,
        noise_dim: int = 8,
        warmth: float = 0.5,
        **kwargs: object,
    ) -> None:
        self.warmth = warmth
        widths = {"base_channels": 4, "channel_multipliers": (4, 4, 2, 2, 1)}
        super().__init__(num_labels, image_size, void_label_id, noise_dim, spade_channels=8, **widths, **kwargs)


class WarmGenerator(OASISGenerator):
    config_class = WarmGeneratorConfig


def test_a_family_bounds_its_own_fields_beside_its_config():
    assert WarmGeneratorConfig(num_labels=5, warmth=1).warmth == 1
    with pytest.raises(ValueError, match="warmth=2 .*legal"):
        WarmGeneratorConfig(num_labels=5, warmth=2)
    with pytest.raises(ValueError, match="warmth"):
        OASISGeneratorConfig(warmth=1)


def test_a_card_names_the_paper_that_the_config_names():
    generator = WarmGenerator(WarmGeneratorConfig(num_labels=5))
    card = fill_model_card(generator, SemanticImageProcessor(id2label=dict(generator.config.id2label)))
    assert "*Warm images*" in card and "- warm\n" in card
    assert "paper" not in generator.config.to_dict()


def test_every_network_of_a_modeling_file_is_registered():
    networks = [network for family in FAMILIES.values() for network in (family.generator, family.discriminator)]
    assert set(dpsims_hf._networks()) == set(networks)
    for network in networks:
        assert isinstance(AutoConfig.for_model(network.config_class.model_type), network.config_class)
        assert AutoModel._model_mapping[network.config_class] is network


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_names_its_paper(name: str):
    for network in (FAMILIES[name].generator, FAMILIES[name].discriminator):
        assert network.config_class.paper is not None and network.config_class.paper[0].replace("-", "") == name

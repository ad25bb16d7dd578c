# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A loss term is one row: what trains, what is computed and what is refused follows from it."""

from dataclasses import dataclass, fields

import pytest
import torch
from torch import nn

from dpsims_hf import (
    DPGANDiscriminator,
    DPGANDiscriminatorConfig,
    DPSIMSGenerator,
    DPSIMSGeneratorConfig,
    OASISDiscriminator,
    OASISDiscriminatorConfig,
    OASISGenerator,
    OASISGeneratorConfig,
)
from dpsims_hf.training.families import FAMILIES
from dpsims_hf.training.objectives.dpgan import DPGANLossWeights, DPGANObjective
from dpsims_hf.training.objectives.dpsims import DPSIMSLossWeights, DPSIMSObjective
from dpsims_hf.training.objectives.noise import Draw
from dpsims_hf.training.objectives.oasis import OASISLossWeights, OASISObjective
from dpsims_hf.training.objectives.terms import Need, Pass, Term


@dataclass(frozen=True)
class SmoothLossWeights(OASISLossWeights):
    """Those of OASIS and one more."""

    lambda_smooth: float = 0.5


def roughness(p: Pass) -> torch.Tensor:
    return (p.images[..., 1:] - p.images[..., :-1]).abs().mean()


class SmoothObjective(OASISObjective):
    """OASIS and one more row."""

    terms = (*OASISObjective.terms, Term("g_smooth", roughness, "lambda_smooth"))


@pytest.fixture
def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    generator = OASISGenerator(OASISGeneratorConfig.from_preset("tiny", init_gain=0.5)).train()
    return generator, OASISDiscriminator(OASISDiscriminatorConfig.from_preset("tiny", init_gain=0.5)).train()


def half_steps(objective: OASISObjective, networks: tuple[nn.Module, nn.Module], with_other: bool = True) -> tuple:
    """(terms of D, terms of G, numbers) of one step, and how often D was asked for G's sake."""
    generator, discriminator = networks
    labels = torch.randint(0, 5, (2, 32, 64), generator=torch.Generator().manual_seed(1))
    batch = {"pixel_values": torch.rand(2, 3, 32, 64) * 2 - 1, "label_map": labels}
    rng = torch.Generator().manual_seed(2)
    noise = objective.sample_noise(generator, labels, rng)
    first, draw = objective.discriminator_terms(generator, discriminator, batch, noise, rng)
    asked = []
    handle = discriminator.register_forward_hook(lambda *_: asked.append(1))
    other = draw if with_other else None
    terms, log = objective.generator_terms(generator, discriminator, None, batch, noise, other, rng)
    handle.remove()
    return first, terms, log, len(asked)


def test_a_row_of_its_own_trains_the_generator_alone(networks: tuple[nn.Module, nn.Module]):
    """What the steps of docs/architecture.md add is a term like the others, and needs no further word to anybody."""
    objective = SmoothObjective(SmoothLossWeights(lambda_gan=0.0), 5)
    objective.prepare(networks[1], networks[0])
    _, terms, _, asked = half_steps(objective, networks)
    assert list(terms) == ["g_smooth"] and not asked
    terms["g_smooth"].backward()
    assert any(p.grad is not None and p.grad.any() for p in networks[0].parameters())
    assert all(p.grad is None for p in networks[1].parameters())


def test_a_row_is_weighted_scheduled_and_dropped_by_its_weight(networks: tuple[nn.Module, nn.Module]):
    networks[0].eval(), networks[1].eval()
    once, twice, without = (
        half_steps(SmoothObjective(SmoothLossWeights(lambda_smooth=value), 5), networks)[1]
        for value in (0.5, 1.0, 0.0)
    )
    assert twice["g_smooth"].item() == pytest.approx(2 * once["g_smooth"].item())
    assert list(once) == ["g_gan", "g_smooth"] and list(without) == ["g_gan"]
    scheduled = SmoothObjective(SmoothLossWeights(schedule={"lambda_smooth": [[0, 0], [2, 4]]}), 5)
    for step, names in ((0, ["g_gan"]), (1, ["g_gan", "g_smooth"])):
        scheduled.at_step(step)
        assert [term.name for term in scheduled.rows("g_")] == names


def test_rows_are_computed_in_their_order_and_moved_pictures_when_one_needs_them():
    names = [term.name for term in DPGANObjective.terms]
    assert names[:5] == ["d_real", "d_fake", "d_labelmix", "d_patch_real", "d_patch_fake"]
    assert names[5:] == ["g_color", "g_class_color", "g_gan", "g_vgg", "g_patch", "g_feature_matching"]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_weight_is_a_field_and_every_lambda_has_a_row(family: str):
    row = FAMILIES[family]
    lambdas = {entry.name for entry in fields(row.loss_weights) if entry.name.startswith("lambda_")}
    assert {term.weight for term in row.objective.terms if term.weight} == lambdas
    names = [term.name for term in row.objective.terms]
    assert len(set(names)) == len(names) and all(name[:2] in ("d_", "g_") for name in names)
    assert issubclass(row.objective, OASISObjective) is (family == "oasis")


def test_a_row_without_its_weight_and_a_weight_without_its_row_are_named():
    with pytest.raises(ValueError, match="g_smooth: OASISLossWeights has no field 'lambda_smooth' for its weight"):
        SmoothObjective(OASISLossWeights(), 5)
    with pytest.raises(ValueError, match="loss.lambda_smooth=0.5 weighs no term of OASISObjective"):
        OASISObjective(SmoothLossWeights(), 5)


def test_what_a_step_computes_follows_from_the_rows():
    dpsims = DPSIMSObjective(DPSIMSLossWeights(lambda_contrastive=0.0), 5)
    assert Need.GENERATOR_FEATURES in dpsims.needs("g_") and Need.LABELMIX not in dpsims.needs("d_")
    images = DPSIMSObjective(DPSIMSLossWeights(lambda_contrastive=0.0, diversity_target="images"), 5)
    assert Need.GENERATOR_FEATURES not in images.needs()
    dpgan = DPGANObjective(DPGANLossWeights(feature_matching_levels="both"), 5)
    assert Need.ENCODER_FEATURES | Need.DECODER_FEATURES in dpgan.needs("g_")
    assert Need.PATCHES in dpgan.needs("d_") and Need.PATCHES in dpgan.needs("g_")
    plain = DPGANObjective(DPGANLossWeights(lambda_patch=0, lambda_feature_matching=0), 5)
    assert plain.needs("g_") == Need.JUDGEMENT


def test_a_term_without_a_gradient_trains_nothing():
    """The patch terms as released: logged, no gradient, so the heads are frozen and G has nothing to learn from."""
    released = {"patch_loss_as_released": True, "lambda_feature_matching": 0.0}
    discriminator = DPGANDiscriminator(DPGANDiscriminatorConfig.from_preset("tiny"))
    DPGANObjective(DPGANLossWeights(**released), 5).prepare(discriminator)
    assert not any(parameter.requires_grad for parameter in discriminator.patch_heads.parameters())
    with pytest.raises(ValueError, match="no loss term trains the generator"):
        DPGANObjective(DPGANLossWeights(lambda_gan=0.0, **released), 5).prepare(discriminator)


def test_a_pass_without_another_image_leaves_out_what_compares_two(networks: tuple[nn.Module, nn.Module]):
    generator = DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("tiny"))
    objective = DPSIMSObjective(DPSIMSLossWeights(lambda_contrastive=0.0), 5)
    _, terms, log, _ = half_steps(objective, (generator, networks[1]), with_other=False)
    assert list(terms) == ["g_gan"] and log == {}


def test_two_noises_need_noise(networks: tuple[nn.Module, nn.Module]):
    """Refused before the first step, with the way out; without the term only the ratio of two noises is missing."""
    silent = OASISGenerator(OASISGeneratorConfig.from_preset("tiny", noise_dim=0))
    objective = DPSIMSObjective(DPSIMSLossWeights(lambda_contrastive=0.0), 5)
    message = "loss.lambda_diversity=10.0 needs images of two noises.*generator.noise_dim=0.*loss.lambda_diversity=0"
    with pytest.raises(ValueError, match=message):
        objective.prepare(networks[1], silent)
    objective = DPSIMSObjective(DPSIMSLossWeights(lambda_contrastive=0.0, lambda_diversity=0.0), 5)
    objective.prepare(networks[1], silent)
    assert list(half_steps(objective, (silent, networks[1]))[2]) == ["image_difference"]


def test_records_are_frozen():
    draw = Draw(None, torch.zeros(1), None)
    with pytest.raises(AttributeError):
        draw.images = torch.ones(1)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The objective: each term alone moves the network it should, and only that; switches do what they say."""

import dataclasses

import pytest
import torch

from dpsims_hf import DPSIMSDiscriminator, DPSIMSDiscriminatorConfig, DPSIMSGenerator, DPSIMSGeneratorConfig
from dpsims_hf.training.objectives.base import check_finite
from dpsims_hf.training.objectives.dpsims import (
    DPSIMSLossWeights,
    DPSIMSObjective,
    contrastive_loss,
    diversity_hinge,
    diversity_ratio,
)
from dpsims_hf.training.objectives.feature_networks import (
    FeatureNetworks,
    FeatureNetworkSpec,
    ProjectionHeads,
    sample_positions,
)
from dpsims_hf.training.objectives.losses import class_weights, n_plus_one_loss
from dpsims_hf.training.objectives.noise import Draw, Noise


SPEC = FeatureNetworkSpec("test_resnet", (1, 2), "random")


@pytest.fixture
def setup() -> dict:
    torch.manual_seed(0)
    features = FeatureNetworks([SPEC])
    return {
        "generator": DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("tiny", attention_gate_init=1.0)).train(),
        "discriminator": DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny")).train(),
        "projection": ProjectionHeads(features.channels, 8, 8),
        "features": features,
        "batch": {
            "pixel_values": torch.rand(2, 3, 32, 64) * 2 - 1,
            "label_map": torch.randint(0, 5, (2, 32, 64)),
        },
        "noise": Noise(torch.randn(2, 8)),
    }


def objective_of(setup: dict, **weights: object) -> DPSIMSObjective:
    return DPSIMSObjective(DPSIMSLossWeights(contrastive_negatives=16, **weights), 5, None, setup["features"])


def generator_terms(setup: dict, objective: DPSIMSObjective, other: Draw | None = None) -> tuple[dict, dict]:
    parameters = [p for p in setup["discriminator"].parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    result = objective.generator_terms(
        setup["generator"],
        setup["discriminator"],
        setup["projection"],
        setup["batch"],
        setup["noise"],
        other,
        torch.Generator().manual_seed(0),
    )
    for parameter in parameters:
        parameter.requires_grad_(True)
    return result


def moved(setup: dict) -> set[str]:
    """Networks with a gradient anywhere."""
    names = ("generator", "discriminator", "projection", "features")
    return {
        name for name in names if any(p.grad is not None and p.grad.abs().sum() > 0 for p in setup[name].parameters())
    }


def draw_of(setup: dict, objective: DPSIMSObjective) -> Draw:
    noise = Noise(torch.randn(2, 8, generator=torch.Generator().manual_seed(9)))
    return discriminator_terms(setup, objective, noise)[1]


def discriminator_terms(
    setup: dict, objective: DPSIMSObjective, noise: Noise | None = None
) -> tuple[dict[str, torch.Tensor], Draw]:
    return objective.discriminator_terms(
        setup["generator"],
        setup["discriminator"],
        setup["batch"],
        setup["noise"] if noise is None else noise,
        torch.Generator().manual_seed(3),
    )


@pytest.mark.parametrize("term", ["d_real", "d_fake"])
def test_discriminator_terms_move_only_the_discriminator(setup: dict, term: str):
    terms, _ = discriminator_terms(setup, objective_of(setup))
    assert set(terms) == {"d_real", "d_fake"}
    terms[term].backward()
    assert moved(setup) == {"discriminator"}


@pytest.mark.parametrize(
    ("term", "networks"),
    [
        ("g_gan", {"generator"}),
        ("g_contrastive", {"generator", "projection"}),
        ("g_diversity", {"generator"}),
    ],
)
def test_generator_terms_move_only_their_networks(setup: dict, term: str, networks: set[str]):
    objective = objective_of(setup)
    terms, _ = generator_terms(setup, objective, draw_of(setup, objective))
    assert set(terms) == {"g_gan", "g_contrastive", "g_diversity"}
    terms[term].backward()
    assert moved(setup) == networks


def test_discriminator_terms_are_equation_3(setup: dict):
    setup["discriminator"].eval()  # no spectral-norm iteration between the two computations
    objective = objective_of(setup, label_smoothing=0.0)
    terms, draw = discriminator_terms(setup, objective)
    labels = setup["batch"]["label_map"]
    real = setup["discriminator"](setup["batch"]["pixel_values"]).segmentation_logits
    fake = setup["discriminator"](draw.images).segmentation_logits
    torch.testing.assert_close(terms["d_real"], n_plus_one_loss(real, labels, class_weights(labels, 5)))
    torch.testing.assert_close(terms["d_fake"], n_plus_one_loss(fake, torch.full_like(labels, 5)))


def test_diversity_term_is_equation_6(setup: dict):
    objective = objective_of(setup, lambda_contrastive=0.0, lambda_gan=0.0)
    other = draw_of(setup, objective)
    setup["generator"].eval()
    other = Draw(
        other.noise,
        *(setup["generator"](setup["batch"]["label_map"], noise=other.noise.vectors, output_features=True)[:2]),
    )
    terms, log = generator_terms(setup, objective, other)
    output = setup["generator"](setup["batch"]["label_map"], noise=setup["noise"].vectors, output_features=True)
    ratio = diversity_ratio(output.features, other.features, setup["noise"].vectors, other.noise.vectors)
    torch.testing.assert_close(terms["g_diversity"], 10 * diversity_hinge(ratio, 1.0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        log["image_difference"], (output.images - other.images).abs().mean(), rtol=1e-4, atol=1e-5
    )


def gradient_of_diversity(setup: dict, objective: DPSIMSObjective, first: torch.Tensor, second: torch.Tensor):
    """The generator's gradient of lambda_D * Eq. 6 as a step computes it: the second image is detached."""
    generator, labels = setup["generator"], setup["batch"]["label_map"]
    generator.zero_grad()
    with torch.no_grad():
        output = generator(labels, noise=second, output_features=True)
    other = Draw(Noise(second), output.images, output.features)
    terms, _ = generator_terms(setup | {"noise": Noise(first)}, objective, other)
    terms["g_diversity"].backward()
    value = terms["g_diversity"].item()
    return torch.cat([p.grad.flatten() for p in generator.parameters() if p.grad is not None]), value


@pytest.mark.parametrize(("mode", "share"), [("both", 1.0), ("one", 0.5)])
def test_lambda_d_acts_as_in_equation_6(setup: dict, mode: str, share: float):
    """Over the two orders of a pair of noises the gradient is that of the loss with neither image detached."""
    generator = setup["generator"].eval()
    objective = objective_of(
        setup, lambda_contrastive=0.0, lambda_gan=0.0, diversity_gradient=mode, diversity_threshold=1e12
    )
    z1, z2 = torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(7)).unbind()
    (one, value), (two, swapped) = (gradient_of_diversity(setup, objective, *pair) for pair in ((z1, z2), (z2, z1)))
    generator.zero_grad()
    first, second = (generator(setup["batch"]["label_map"], noise=z, output_features=True).features for z in (z1, z2))
    distance = (first - second).abs().mean(dim=(1, 2, 3)) / (z1 - z2).abs().mean(dim=1)
    whole = 10 * (1e12 - distance).clamp(min=0).mean()
    whole.backward()
    expected = torch.cat([p.grad.flatten() for p in generator.parameters() if p.grad is not None])
    assert whole.item() > 0 and [value, swapped] == pytest.approx([whole.item()] * 2)
    assert ((one + two) / 2 - share * expected).norm() < 1e-3 * expected.norm()  # an untrained network is not tame


def test_dropping_a_term_drops_exactly_its_name(setup: dict):
    for field, name in [
        ("lambda_gan", "g_gan"),
        ("lambda_contrastive", "g_contrastive"),
        ("lambda_diversity", "g_diversity"),
    ]:
        objective = objective_of(setup, **{field: 0.0})
        terms, _ = generator_terms(setup, objective, draw_of(setup, objective))
        assert {"g_gan", "g_contrastive", "g_diversity"} - set(terms) == {name}


def test_terms_are_already_weighted(setup: dict):
    setup["generator"].eval(), setup["discriminator"].eval()
    once, _ = generator_terms(setup, objective_of(setup, lambda_contrastive=1.0))
    hundred, _ = generator_terms(setup, objective_of(setup, lambda_contrastive=100.0))
    torch.testing.assert_close(hundred["g_contrastive"], 100 * once["g_contrastive"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"focal_gamma": 0.0},
        {"class_balancing": False},
        {"label_smoothing": 0.0},
        {"label_smoothing_targets": "real"},
        {"label_smoothing_form": "literal"},
        {"joint_batch_norm": False},
    ],
)
def test_switches_change_the_discriminator_loss(setup: dict, change: dict):
    def total(objective: DPSIMSObjective) -> float:
        state = {name: value.clone() for name, value in setup["discriminator"].state_dict().items()}
        terms, _ = discriminator_terms(setup, objective)
        setup["discriminator"].load_state_dict(state)
        return sum(value.item() for value in terms.values())

    setup["generator"].eval()
    assert total(objective_of(setup)) != pytest.approx(total(objective_of(setup, **change)), rel=1e-5)


def test_diversity_on_images_pools(setup: dict):
    objective = objective_of(setup, diversity_target="images", diversity_pool=8)
    draw = draw_of(setup, objective)
    assert draw.features is None
    _, log = generator_terms(setup, objective, draw)
    assert 0 < log["diversity_ratio"] < 10


def test_contrastive_loss_is_float32_under_bfloat16_and_finite(setup: dict):
    with torch.autocast("cpu", torch.bfloat16):
        fake = setup["generator"](setup["batch"]["label_map"], noise=setup["noise"].vectors).images
        value = contrastive_loss(
            setup["features"],
            setup["projection"],
            fake,
            setup["batch"]["pixel_values"],
            objective_of(setup).weights,
            torch.Generator().manual_seed(0),
        )
    assert value.dtype == torch.float32 and torch.isfinite(value)


def test_positions_are_distinct_and_reproducible():
    draws = [sample_positions([(4, 8), (2, 2)], 3, 16, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert [tuple(index.shape) for index in draws[0]] == [(3, 17), (3, 4)]
    assert all(len(set(row.tolist())) == len(row) for level in draws[0] for row in level)
    assert all(torch.equal(a, b) for a, b in zip(*draws, strict=True))


def test_torchvision_vgg19_gives_strides_4_8_16():
    networks = FeatureNetworks([FeatureNetworkSpec(weights="random")])
    features = networks(torch.rand(1, 3, 32, 32))
    assert [tuple(level.shape[1:]) for level in features] == [(256, 8, 8), (512, 4, 4), (512, 2, 2)]
    assert not any(p.requires_grad for p in networks.parameters())


def test_non_finite_terms_are_named_with_their_step():
    terms = {"d_real": torch.tensor(1.0), "d_fake": torch.tensor(float("nan")), "g_gan": torch.tensor(float("inf"))}
    with pytest.raises(FloatingPointError, match="step 7: d_fake=nan, g_gan=inf is not finite"):
        check_finite(terms, 7)
    check_finite({"d_real": torch.tensor(1.0)}, 7)


def test_missing_feature_network_is_named():
    with pytest.raises(ValueError, match="lambda_contrastive is not 0 but there is no feature network"):
        DPSIMSObjective(DPSIMSLossWeights(), 5)
    assert dataclasses.asdict(DPSIMSLossWeights())["lambda_contrastive"] == 100.0

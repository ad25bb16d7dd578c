# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The objectives of OASIS and DP-GAN against their formulas, and every objective on every pair of networks."""

import copy
import itertools
from collections.abc import Iterable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dpsims_hf.layers_noise import noise_map
from dpsims_hf.training.ema import refresh_batch_norm
from dpsims_hf.training.families import FAMILIES
from dpsims_hf.training.objectives.feature_networks import (
    FeatureNetworks,
    FeatureNetworkSpec,
    PerceptualLoss,
    ProjectionHeads,
)
from dpsims_hf.training.objectives.losses import class_weights, cutmix_mask, labelmix_mask
from dpsims_hf.training.objectives.noise import Draw
from dpsims_hf.training.step import frozen


VOID = 4
SPEC = FeatureNetworkSpec("test_resnet", (1, 2), "random")
# A fresh network hardly hears its noise, and judges everything alike; not so in these tests.
OPEN_GATES = {"attention_gate_init": 1.0, "self_attention_gate_init": 1.0}
TERMS = {"oasis": {"d_real", "d_fake", "d_labelmix", "g_gan", "g_vgg"}}  # with lambda_vgg
TERMS["dpgan"] = TERMS["oasis"] | {"d_patch_real", "d_patch_fake", "g_patch", "g_feature_matching"}
SWAPS = [
    (family, generator, discriminator)
    for family, generator, discriminator in itertools.product(FAMILIES, repeat=3)
    if (family == "spade") is (discriminator == "spade")  # it judges patches with their label maps, and only it does
]
LAMBDAS = [
    ("oasis", "lambda_gan", {"g_gan"}),
    ("oasis", "lambda_labelmix", {"d_labelmix"}),
    ("oasis", "lambda_vgg", {"g_vgg"}),
    ("dpgan", "lambda_gan", {"g_gan"}),
    ("dpgan", "lambda_labelmix", {"d_labelmix"}),
    ("dpgan", "lambda_patch", {"d_patch_real", "d_patch_fake", "g_patch"}),
    ("dpgan", "lambda_feature_matching", {"g_feature_matching"}),
    ("dpgan", "lambda_vgg", {"g_vgg"}),
]


def make(family: str, part: str, **overrides: object) -> nn.Module:
    """A tiny network in training mode; the same weights at each call."""
    network = getattr(FAMILIES[family], part)
    lively = {"init_gain": 0.5} if family != "dpsims" else OPEN_GATES if part == "generator" else {}
    torch.manual_seed(0)
    return network(network.config_class.from_preset("tiny", **{**lively, **overrides})).train()


class Case:
    """An objective, prepared for the networks of its own or of other families, and one batch; all from fixed seeds."""

    def __init__(
        self,
        family: str,
        generator: str | None = None,
        discriminator: str | None = None,
        config: dict | None = None,
        **weights: object,
    ) -> None:
        self.generator = make(generator or family, "generator")
        self.discriminator = make(discriminator or family, "discriminator", **(config or {}))
        torch.manual_seed(1)
        self.features = FeatureNetworks([SPEC])
        self.projection = ProjectionHeads(self.features.channels, 8, 8) if family == "dpsims" else None
        own = self.features if family == "dpsims" else PerceptualLoss(self.features, (0.5, 2.0))
        row = FAMILIES[family]
        self.objective = row.objective(row.loss_weights(**weights), 5, VOID, own)
        self.objective.prepare(self.discriminator)
        self.labels = torch.randint(0, 5, (2, 32, 64))
        self.batch = {"pixel_values": torch.randn(2, 3, 32, 64).tanh(), "label_map": self.labels}
        self.noise = self.objective.sample_noise(self.generator, self.labels, torch.Generator().manual_seed(2))

    def still(self) -> "Case":
        """In eval mode, with statistics of this batch: what is computed twice comes out alike."""
        refresh_batch_norm(self.generator, [{"label_map": self.labels, "noise": self.noise.vectors}])
        self.discriminator.eval()
        return self

    def discriminator_terms(self, seed: int = 3) -> tuple[dict[str, torch.Tensor], Draw]:
        rng = torch.Generator().manual_seed(seed)
        return self.objective.discriminator_terms(self.generator, self.discriminator, self.batch, self.noise, rng)

    def generator_terms(self, other: Draw | None = None) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        with frozen(self.discriminator, running_statistics=True):
            return self.objective.generator_terms(
                self.generator, self.discriminator, self.projection, self.batch, self.noise, other, torch.Generator()
            )

    def terms(self) -> dict[str, torch.Tensor]:
        """Those of both networks."""
        return {**self.discriminator_terms()[0], **self.generator_terms()[0]}

    def judged(self) -> tuple:
        """The discriminator's outputs on the real and on the generated images of a still case."""
        fake = self.generator(self.labels, noise=self.noise.vectors).images
        return tuple(self.discriminator(images, output_features=True) for images in (self.batch["pixel_values"], fake))

    def moved(self) -> set[str]:
        """Networks with a gradient anywhere."""
        networks = {name: getattr(self, name) for name in ("generator", "discriminator", "features")}
        gradients = {name: [p.grad for p in network.parameters()] for name, network in networks.items()}
        return {name for name, found in gradients.items() if any(grad is not None and grad.any() for grad in found)}


def assert_terms(terms: dict[str, torch.Tensor], **expected: torch.Tensor) -> None:
    found = {name: terms[name].item() for name in expected}
    assert found == pytest.approx({name: term.item() for name, term in expected.items()}, rel=1e-4, abs=1e-6)


def hinge(scores: Iterable[torch.Tensor], sign: int, weight: float = 1.0) -> torch.Tensor:
    """weight * max(0, 1 - sign * D), averaged over each of the two patch heads, then over them."""
    first, second = (F.relu(1 - sign * head).mean() for head in scores)
    return weight * (first + second) / 2


# -- names, weights, who learns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["oasis", "dpgan"])
def test_default_terms(family: str):
    case = Case(family)
    terms, draw = case.discriminator_terms()
    assert draw.features is None and not draw.images.requires_grad
    more_terms, log = case.generator_terms(draw)
    assert set(terms) | set(more_terms) == TERMS[family] - {"g_vgg"} and not set(terms) & set(more_terms)
    assert log.keys() == {"image_difference"}


@pytest.mark.parametrize(("family", "term"), [(family, term) for family in TERMS for term in sorted(TERMS[family])])
def test_each_term_moves_its_network_alone(family: str, term: str):
    case = Case(family, lambda_vgg=10.0)
    case.terms()[term].backward()
    assert case.moved() == {"discriminator" if term.startswith("d_") else "generator"}


@pytest.mark.parametrize(("family", "name", "names"), LAMBDAS)
def test_terms_are_already_weighted_and_zero_drops_them(family: str, name: str, names: set[str]):
    once, twice, without = (
        Case(family, **{"lambda_vgg": 1.0, name: weight}).still().terms() for weight in (1.5, 3.0, 0.0)
    )
    assert set(once) == set(twice) == TERMS[family] and set(without) == TERMS[family] - names
    assert all(term.item() != 0 for term in once.values())
    assert_terms(twice, **{term: before * (2 if term in names else 1) for term, before in once.items()})


@pytest.mark.parametrize(
    ("name", "saved"), [("lambda_labelmix", 1), ("lambda_feature_matching", 1), ("lambda_patch", 2 * 2)]
)
def test_zero_saves_the_cost(name: str, saved: int):
    """One more judgement of pixels, or two patch heads in the steps of both networks."""

    def calls(**weights: float) -> int:
        case, count = Case("dpgan", **weights), []
        for last in (case.discriminator.classifier, *case.discriminator.patch_heads):
            last.register_forward_hook(lambda *_: count.append(1))
        case.terms()
        return len(count)

    assert calls() - calls(**{name: 0.0}) == saved


# -- formulas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["oasis", "dpgan"])
def test_pixel_terms_are_class_balanced_cross_entropy(family: str):
    case = Case(family, lambda_gan=2.0).still()
    terms, labels = case.terms(), case.labels
    real, fake = (output.segmentation_logits for output in case.judged())
    alpha = class_weights(labels, 5, VOID)
    assert_terms(
        terms,
        d_real=(F.cross_entropy(real, labels, reduction="none") * alpha[labels]).mean(),
        d_fake=F.cross_entropy(fake, torch.full_like(labels, 5)),
        g_gan=2 * (F.cross_entropy(fake, labels, reduction="none") * alpha[labels]).mean(),
    )


@pytest.mark.parametrize(("family", "tied"), [("oasis", False), ("oasis", True), ("dpgan", False)])
def test_labelmix_term(family: str, tied: bool):
    """The images are mixed by the coins of the step's generator; as released, classes 0 and 1 share one."""
    tosses = {seed: torch.randint(0, 2, (5,), generator=torch.Generator().manual_seed(seed)) for seed in range(20)}
    seed = next(seed for seed, toss in tosses.items() if toss[0] != toss[1])
    case = Case(family, lambda_labelmix=5.0, labelmix_as_released=tied).still()
    terms, draw = case.discriminator_terms(seed)
    mask = labelmix_mask(case.labels, 5, torch.Generator().manual_seed(seed), tie_first_two=tied).float()
    mixed = mask * case.batch["pixel_values"] + (1 - mask) * draw.images
    real, fake = (output.segmentation_logits for output in case.judged())
    difference = case.discriminator(mixed).segmentation_logits - (mask * real + (1 - mask) * fake)
    assert_terms(terms, d_labelmix=5 * difference.square().mean())


def test_cutmix_takes_the_place_of_labelmix():
    """OASIS Table E: the same consistency, mixed by a rectangle."""
    case = Case("oasis", lambda_labelmix=5.0, consistency_mask="rectangle").still()
    terms, draw = case.discriminator_terms(3)
    mask = cutmix_mask(case.labels, torch.Generator().manual_seed(3)).float()
    assert 0 < mask.mean() < 1
    mixed = mask * case.batch["pixel_values"] + (1 - mask) * draw.images
    real, fake = (output.segmentation_logits for output in case.judged())
    difference = case.discriminator(mixed).segmentation_logits - (mask * real + (1 - mask) * fake)
    assert_terms(terms, d_labelmix=5 * difference.square().mean())


@pytest.mark.parametrize("form", ["hinge", "linear"])
def test_patch_terms_are_equations_5_and_7(form: str):
    case = Case("dpgan", lambda_patch=3.0, patch_generator_form=form).still()
    terms = case.terms()
    real, fake = (output.patch_logits for output in case.judged())
    assert len(real) == 2 and real[0].shape != real[1].shape
    linear = -3 * (fake[0].mean() + fake[1].mean()) / 2
    g_patch = hinge(fake, 1, 3.0) if form == "hinge" else linear
    assert_terms(terms, d_patch_real=hinge(real, 1, 3.0), d_patch_fake=hinge(fake, -1, 3.0), g_patch=g_patch)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("levels", "layers"), [("decoder", 2), ("encoder", 3), ("both", 5)])
def test_feature_matching_is_equation_6(levels: str, layers: int, reduction: str):
    case = Case(
        "dpgan", lambda_feature_matching=2.0, feature_matching_levels=levels, feature_matching_reduction=reduction
    ).still()
    terms, _ = case.generator_terms()
    pairs = []
    for name in ("encoder", "decoder"):
        if levels in (name, "both"):
            pairs += zip(*(getattr(output, f"{name}_features") for output in case.judged()), strict=True)
    assert len(pairs) == layers
    total = sum((real - fake).square().mean() for real, fake in pairs)
    assert_terms(terms, g_feature_matching=2 * total / (layers if reduction == "mean" else 1))


def test_vgg_term_is_the_weighted_distance_of_features():
    case = Case("oasis", lambda_vgg=10.0).still()
    terms, _ = case.generator_terms()
    fake = case.generator(case.labels, noise=case.noise.vectors).images
    pairs = zip(case.features(fake), case.features(case.batch["pixel_values"]), strict=True)
    first, second = ((one - other).abs().mean() for one, other in pairs)
    assert_terms(terms, g_vgg=10 * (0.5 * first + 2 * second))


@pytest.mark.parametrize("joint", [True, False])
def test_joint_batch_norm_decides_what_shares_statistics(joint: bool):
    """The patch heads have batch norms: over real and fake together, or over each alone."""
    case = Case("dpgan", lambda_labelmix=0.0, joint_batch_norm=joint)
    together, apart = copy.deepcopy(case.discriminator), copy.deepcopy(case.discriminator)
    terms, draw = case.discriminator_terms()
    images = case.batch["pixel_values"], draw.images
    scores = {
        True: zip(*(head.chunk(2) for head in together(torch.cat(images)).patch_logits), strict=True),
        False: (apart(half).patch_logits for half in images),
    }
    expected = {key: [hinge(*pair) for pair in zip(both, (1, -1), strict=True)] for key, both in scores.items()}
    assert_terms(terms, d_patch_real=expected[joint][0], d_patch_fake=expected[joint][1])
    assert (expected[True][0] - expected[False][0]).abs() > 1e-3


def test_patch_loss_as_released_is_a_plain_number():
    case = Case("dpgan", lambda_patch=0.1, patch_generator_form="hinge", patch_loss_as_released=True).still()
    terms, (real, fake) = case.terms(), (output.patch_logits for output in case.judged())
    g_patch = -0.1 * (fake[0].mean() + fake[1].mean()) / 2
    assert_terms(terms, d_patch_real=hinge(real, 1, 0.1), d_patch_fake=hinge(fake, -1, 0.1), g_patch=g_patch)
    plain = {name for name, term in terms.items() if not term.requires_grad}
    assert plain == {"d_patch_real", "d_patch_fake", "g_patch"}
    torch.stack(list(terms.values())).sum().backward()
    assert case.moved() == {"generator", "discriminator"}
    for name, parameter in case.discriminator.named_parameters():
        trained = not name.startswith("patch_heads")
        assert parameter.requires_grad is trained and (parameter.grad is not None) is trained


# -- noise ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["image", "region", "pixel"])
def test_noise_sampling(sampling: str):
    case = Case("oasis", noise_sampling=sampling)
    vectors, regions = case.noise.vectors, case.noise.regions
    if sampling == "image":
        assert vectors.shape == (2, 8) and regions is None
    else:
        assert vectors.shape == (2, 5 if sampling == "region" else 32 * 64, 8) and regions.shape == (2, 32, 64)
        spread = noise_map(vectors, regions).permute(0, 2, 3, 1)
        assert len(spread.flatten(0, 2).unique(dim=0)) == vectors[..., 0].numel()  # none is shared between images
        if sampling == "region":
            of_class = [spread[1][case.labels[1] == label].unique(dim=0) for label in range(5)]
            assert [len(found) for found in of_class] == [1] * 5
    again = case.objective.sample_noise(case.generator, case.labels, torch.Generator().manual_seed(2))
    assert torch.equal(vectors, again.vectors)
    assert all(torch.isfinite(term) for term in case.terms().values())


def test_mixed_noise_is_of_the_image_or_of_the_region_by_a_coin():
    case = Case("oasis", noise_sampling="mix")
    rngs = [torch.Generator().manual_seed(seed) for seed in range(60)]
    draws = [case.objective.sample_noise(case.generator, case.labels, rng) for rng in rngs]
    by_region = [draw for draw in draws if draw.regions is not None]
    assert 15 < len(by_region) < 45
    assert all(draw.vectors.shape == (2, 5, 8) and draw.regions is case.labels for draw in by_region)
    assert all(draw.vectors.shape == (2, 8) for draw in draws if draw.regions is None)


# -- swaps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "generator", "discriminator"), SWAPS)
def test_every_objective_trains_every_pair(family: str, generator: str, discriminator: str):
    """Finite terms, and a gradient for every trainable parameter: DistributedDataParallel stops without."""
    without_heads = family == "dpgan" and discriminator != "dpgan"
    case = Case(family, generator, discriminator, **({"lambda_patch": 0.0} if without_heads else {}))
    terms, draw = case.discriminator_terms()
    assert all(torch.isfinite(term) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    assert_all_learn(case.discriminator)
    terms, log = case.generator_terms(draw)
    assert all(torch.isfinite(term) for term in (*terms.values(), *log.values()))
    torch.stack(list(terms.values())).sum().backward()
    assert_all_learn(case.generator)
    assert not any(p.requires_grad or p.grad is not None for p in case.features.parameters())


def assert_all_learn(network: nn.Module) -> None:
    """Every trainable parameter has a gradient, and no kernel's is 0."""
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []
    assert [name for name, parameter in trained.items() if parameter.ndim > 1 and not parameter.grad.any()] == []


@pytest.mark.parametrize(("family", "weights"), [("dpgan", {}), ("dpgan", {"lambda_patch": 0.0}), ("oasis", {})])
def test_patch_heads_learn_only_where_a_term_asks(family: str, weights: dict):
    case = Case(family, discriminator="dpgan", **weights)
    torch.stack(list(case.discriminator_terms()[0].values())).sum().backward()
    assert_all_learn(case.discriminator)
    learn = family == "dpgan" and not weights
    heads = list(case.discriminator.patch_heads.parameters())
    assert all(p.requires_grad is learn and (p.grad is not None) is learn for p in heads)


ENCODER = {"lambda_patch": 0.0, "feature_matching_levels": "encoder"}


@pytest.mark.parametrize(
    ("discriminator", "config", "weights", "message"),
    [
        ("oasis", {}, {}, "lambda_patch=1.0 needs patch logits.*oasis-discriminator.*loss.lambda_patch=0"),
        ("dpsims", {}, {}, "lambda_patch=1.0 needs patch logits.*dpsims-discriminator.*loss.lambda_patch=0"),
        ("dpgan", {"patch_encoder_blocks": ()}, {}, "needs patch logits.*patch_encoder_blocks"),
        ("dpsims", {}, ENCODER, "levels='encoder'.*dpsims-discriminator.*'decoder'.*loss.lambda_feature_matching=0"),
        ("dpsims", {}, {**ENCODER, "feature_matching_levels": "both"}, "feature_matching_levels='both'"),
    ],
)
def test_a_discriminator_that_lacks_what_a_term_needs(discriminator: str, config: dict, weights: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Case("dpgan", discriminator=discriminator, config=config, **weights)


@pytest.mark.parametrize(
    ("family", "discriminator", "message"),
    [
        *((family, "spade", "d_real needs a class for each pixel.*spade-disc.*recipe of SPADE") for family in TERMS),
        ("dpsims", "spade", "d_real needs a class for each pixel"),
        ("spade", "oasis", "d_real needs verdicts on images together with label maps.*oasis-disc.*SPADE's disc"),
        ("spade", "dpgan", "d_real needs verdicts on images together with label maps.*dpgan-disc"),
        ("spade", "dpsims", "d_real needs verdicts on images together with label maps.*dpsims-disc"),
    ],
)
def test_patches_with_label_maps_and_pixels_do_not_mix(family: str, discriminator: str, message: str):
    with pytest.raises(ValueError, match=message) as refusal:
        Case(family, discriminator=discriminator)
    assert "\n" not in str(refusal.value)


def test_missing_and_unfitting_feature_networks_are_named():
    for row in (FAMILIES["oasis"], FAMILIES["dpgan"]):
        with pytest.raises(ValueError, match="lambda_vgg is not 0 but there is no feature network"):
            row.objective(row.loss_weights(lambda_vgg=10.0), 5)
    with pytest.raises(ValueError, match="level_weights has 3 numbers for 2 feature levels"):
        PerceptualLoss(FeatureNetworks([SPEC]), (1.0, 1.0, 1.0))

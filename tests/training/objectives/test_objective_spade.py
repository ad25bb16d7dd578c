# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The objective of SPADE+ against its formulas, computed by hand, and the style encoder in training."""

import copy

import pytest
import torch

from dpsims_hf import OASISDiscriminator, SPADEDiscriminator, SPADEGenerator
from dpsims_hf.training.ema import refresh_batch_norm
from dpsims_hf.training.objectives.adaptive_augmentation import AdaptiveAugmentation
from dpsims_hf.training.objectives.feature_networks import FeatureNetworks, FeatureNetworkSpec, PerceptualLoss
from dpsims_hf.training.objectives.oasis import OASISLossWeights, OASISObjective
from dpsims_hf.training.objectives.spade import SPADELossWeights, SPADEObjective, kl_loss, scale_matching_loss
from dpsims_hf.training.step import frozen


class Case:
    """SPADE's objective and tiny networks, prepared, with one batch; all from fixed seeds."""

    def __init__(self, generator: dict | None = None, **weights: object) -> None:
        torch.manual_seed(0)
        config = SPADEGenerator.config_class.from_preset("tiny", init_gain=0.5, **(generator or {}))
        self.generator = SPADEGenerator(config).train()
        judge = SPADEDiscriminator.config_class.from_preset("tiny", init_gain=0.5, spectral_norm=False)
        self.discriminator = SPADEDiscriminator(judge).train()
        self.features = FeatureNetworks([FeatureNetworkSpec("test_resnet", (1, 2), "random")])
        perceptual = PerceptualLoss(self.features, (0.5, 2.0))
        self.objective = SPADEObjective(SPADELossWeights(**weights), 5, 4, perceptual)
        self.objective.prepare(self.discriminator, self.generator)
        self.labels = torch.randint(0, 5, (2, 32, 64))
        self.photos = torch.randn(2, 3, 32, 64).tanh()
        self.batch = {"pixel_values": self.photos, "label_map": self.labels}
        self.noise = self.objective.sample_noise(self.generator, self.labels, torch.Generator().manual_seed(2))

    def still(self) -> "Case":
        refresh_batch_norm(self.generator, [{"label_map": self.labels, "noise": self.noise.vectors}])
        return self

    def discriminator_terms(self) -> dict[str, torch.Tensor]:
        given = (self.generator, self.discriminator, self.batch, self.noise, torch.Generator().manual_seed(3))
        return self.objective.discriminator_terms(*given)[0]

    def generator_terms(self) -> dict[str, torch.Tensor]:
        with frozen(self.discriminator, running_statistics=True):
            given = (self.generator, self.discriminator, None, self.batch, self.noise, None, torch.Generator())
            return self.objective.generator_terms(*given)[0]

    def judged(self) -> tuple:
        fake = self.generator(self.labels, noise=self.noise.vectors).images
        return tuple(self.discriminator(images, self.labels, output_features=True) for images in (self.photos, fake))

    def learning(self) -> set[str]:
        networks = {name: getattr(self, name) for name in ("generator", "discriminator", "features")}
        return {name for name, network in networks.items() if any(p.grad is not None for p in network.parameters())}


def close(term: torch.Tensor, expected: float) -> bool:
    return term.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def mean_of(values: list[float]) -> float:
    return sum(values) / len(values)


# -- values by hand ---------------------------------------------------------------------------------------------------


def test_kl_of_normal_laws_by_numerical_integration():
    mean, deviation = 0.7, 1.5
    points = torch.linspace(-20, 20, 40001, dtype=torch.float64)
    law, standard = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    density = law.log_prob(points).exp()
    integral = torch.trapezoid(density * (law.log_prob(points) - standard.log_prob(points)), points).item()
    log_variance = 2 * torch.tensor(deviation).log()
    alone = kl_loss(torch.tensor([[mean]]), log_variance[None, None])
    assert alone.item() == pytest.approx(integral, rel=1e-4)
    three = kl_loss(torch.full((2, 3), mean), log_variance.expand(2, 3))  # a sum over the vector, not over the batch
    assert three.item() == pytest.approx(3 * integral, rel=1e-4)
    assert kl_loss(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0


def test_feature_matching_by_hand():
    fake = [torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0]]), torch.tensor([[0.0]]), torch.tensor([[5.0]])]
    real = [torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0]]), torch.tensor([[1.0]]), torch.tensor([[5.0]])]
    for each in (*fake, *real):
        each.requires_grad_()
    loss = scale_matching_loss(fake, real, 2)
    assert loss.item() == pytest.approx((2 + 2 + 1 + 0) / 2)
    loss.backward()
    assert fake[0].grad is not None and all(each.grad is None for each in real)


def test_the_adversarial_terms_are_the_hinge_of_each_scale():
    case = Case(lambda_gan=2.0).still()
    real, fake = ([score.flatten().tolist() for score in output.patch_logits] for output in case.judged())
    assert len(real) == 2 and any(abs(value) > 1e-3 for value in fake[0])
    terms = case.discriminator_terms() | case.generator_terms()
    assert close(terms["d_real"], mean_of([mean_of([max(0, 1 - v) for v in scale]) for scale in real]))
    assert close(terms["d_fake"], mean_of([mean_of([max(0, 1 + v) for v in scale]) for scale in fake]))
    assert close(terms["g_gan"], -2 * mean_of([mean_of(scale) for scale in fake]))


def test_feature_matching_and_vgg_terms():
    case = Case(lambda_feature_matching=10.0, lambda_vgg=3.0).still()
    (real, fake), terms = case.judged(), case.generator_terms()
    pairs = list(zip(real.encoder_features, fake.encoder_features, strict=True))
    assert len(pairs) == 6  # three layers at two scales
    assert close(terms["g_feature_matching"], 10 * sum((a - b).abs().mean().item() for a, b in pairs) / 2)
    images = case.generator(case.labels, noise=case.noise.vectors).images
    levels = zip(case.features(images), case.features(case.photos), strict=True)
    first, second = ((a - b).abs().mean().item() for a, b in levels)
    assert close(terms["g_vgg"], 3 * (0.5 * first + 2 * second))


@pytest.mark.parametrize("joint", [True, False])
def test_judging_both_at_once_is_judging_one_by_one(joint: bool):
    """Instance norms have no statistics of a batch."""
    terms = Case(joint_batch_norm=joint).still().discriminator_terms()
    again = Case(joint_batch_norm=not joint).still().discriminator_terms()
    assert all(close(terms[name], again[name].item()) for name in ("d_real", "d_fake"))


# -- who learns -------------------------------------------------------------------------------------------------------


def test_spade_plus_has_no_feature_matching():
    case = Case()
    assert set(case.discriminator_terms()) == {"d_real", "d_fake"}
    assert set(case.generator_terms()) == {"g_gan", "g_vgg"}
    assert (case.objective.weights.lambda_vgg, case.objective.weights.lambda_kl) == (10.0, 0.05)


@pytest.mark.parametrize("term", ["d_real", "d_fake", "g_gan", "g_vgg", "g_feature_matching"])
def test_each_term_moves_its_network_alone(term: str):
    case = Case(lambda_feature_matching=1.0)
    (case.discriminator_terms() | case.generator_terms())[term].backward()
    assert case.learning() == {"discriminator" if term.startswith("d_") else "generator"}


def test_the_style_encoder_learns_from_all_terms():
    case = Case({"use_style_encoder": True}, lambda_kl=2.0)
    with torch.no_grad():
        twin = copy.deepcopy(case.generator)
        style = twin(case.labels, noise=case.noise.vectors, style_images=case.photos)
    assert set(case.discriminator_terms()) == {"d_real", "d_fake"}
    terms = case.generator_terms()
    assert set(terms) == {"g_gan", "g_vgg", "g_kl"}
    variance, mean = style.style_log_variance.exp(), style.style_mean
    by_hand = 0.5 * (variance + mean**2 - 1 - variance.log()).sum() / 2
    assert terms["g_kl"].item() == pytest.approx(2 * by_hand.item(), rel=0.02)  # one power iteration apart
    (terms["g_gan"] + terms["g_vgg"]).backward(retain_graph=True)
    kernels = {name: p for name, p in case.generator.style_encoder.named_parameters() if p.ndim > 1}
    assert all(p.grad is not None and p.grad.any() for p in kernels.values())
    before = {name: p.grad.clone() for name, p in kernels.items()}
    terms["g_kl"].backward()
    assert all((p.grad - before[name]).any() for name, p in kernels.items())


def test_without_an_encoder_the_kl_term_is_left_out():
    assert "g_kl" not in Case(lambda_kl=1.0).generator_terms()


def test_who_cannot_train_a_style_encoder_says_so():
    with pytest.raises(ValueError, match="use_style_encoder=true needs loss.lambda_kl above 0"):
        Case({"use_style_encoder": True}, lambda_kl=0.0)
    with pytest.raises(ValueError, match="photo_noise=0.5 and generator.use_style_encoder=true both make noise"):
        Case({"use_style_encoder": True}, photo_noise=0.5)
    case = Case({"use_style_encoder": True})
    other = OASISDiscriminator(OASISDiscriminator.config_class.from_preset("tiny"))
    with pytest.raises(ValueError, match="use_style_encoder=true needs .*an objective that has it"):
        OASISObjective(OASISLossWeights(), 5, 4).prepare(other, case.generator)


def test_labelmix_of_classes_is_refused():
    with pytest.raises(ValueError, match=r"loss.lambda_labelmix=5.0 needs a class for each pixel"):
        Case(lambda_labelmix=5.0)


def test_the_adaptive_augmentation_asks_the_patches():
    """r_t of Karras et al.: the mean sign of D on real images."""
    augmentation = AdaptiveAugmentation(target=0.6)
    augmentation.observe_patches([torch.tensor([1.0, -1, 1, 1]).view(1, 1, 2, 2), torch.ones(1, 1, 1, 1)])
    assert augmentation._step.tolist() == [pytest.approx((0.5 + 1) / 2), 1]
    case = Case()
    case.objective.augmentation = AdaptiveAugmentation(target=0.6, void_label_id=4)
    case.discriminator_terms()
    assert case.objective.augmentation._step[1] == 2

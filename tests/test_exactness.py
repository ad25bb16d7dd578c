# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Ways to the same image: every pair that README, docstrings and the page call equal, to the last bit of the floats.

`python .ci/instruction_sets.py` runs this file as other processors would. What is only nearly equal stands at the end.
Longer than 350 lines: one list of pairs stands in one place.
"""

import copy
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from float_images import assert_same_bits, float_images
from tiny_pipelines import NAMES, learned_generator, tiny_discriminator, tiny_processor, two_cars
from transformers import AutoModel

from dpsims_hf import SemanticImageSynthesisPipeline
from dpsims_hf.demo.drawing.scenes import Deadline, Reroll, Scene, Variant, render, walk
from dpsims_hf.demo.models.library import load_model
from dpsims_hf.layers_noise import canonical_noise, noise_map
from dpsims_hf.pipeline_noise import slerp


EMBEDDED = Path(__file__).parents[1] / "checkpoints" / "dpsims-camvid-small"
CAR, LEFT_CAR = 2, (24, 12)
DTYPE = torch.float32  # where none is said, the machine chooses


@dataclass(frozen=True)
class Case:
    """A model and a street for it: sky, road, two cars, no tree.

    Args:
        pipe: loaded from `folder`.
        folder: with the code of this working copy.
        label_map: (height, width) uint8.
        names: of sky, road, car, tree.
    """

    pipe: SemanticImageSynthesisPipeline
    folder: Path
    label_map: np.ndarray
    names: tuple[str, ...]

    @property
    def size(self) -> dict[str, int]:
        return dict(zip(("height", "width"), self.label_map.shape, strict=True))

    def draw(self, label_map: Any = None, pipe: Any = None, **options: Any) -> list[torch.Tensor]:
        """Images of the pipeline; one of seed 3 unless told otherwise."""
        options = {"seed": 3, "num_images_per_label_map": 1, "size": self.size, "autocast_dtype": DTYPE} | options
        with float_images() as images:
            (pipe or self.pipe)(self.label_map if label_map is None else label_map, **options)
        return images

    def walk(self, **options: Any) -> list[torch.Tensor]:
        with float_images() as images:
            options |= {"seed_from": 3, "seed_to": 9, "size": self.size, "autocast_dtype": DTYPE}
            self.pipe.interpolate(self.label_map, **options)
        return images

    def network(self, noise: torch.Tensor, regions: Any = None, model: Any = None) -> list[torch.Tensor]:
        """Images of the network itself, one forward pass of the form that pipeline and page compute with."""
        labels = torch.from_numpy(self.label_map).long().expand(len(noise), -1, -1)
        with torch.no_grad():
            model = model or self.pipe.generator_model.for_inference("float32")
            return list(model(labels, noise=noise, noise_regions=regions).images)

    def noise(self, *seeds: int) -> torch.Tensor:
        """(len(seeds), noise_dim): what images of these seeds have."""
        sample = self.pipe.generator_model.sample_noise
        return torch.cat([sample(1, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    def where(self, name: int) -> torch.Tensor:
        """(1, height, width) int64: 1 on a class of `names`."""
        return torch.from_numpy(self.label_map == self.number(name)).long()[None]

    def number(self, name: int) -> int:
        """The model's id of a class of `names`."""
        return next(key for key, value in self.pipe.processor.id2label.items() if value == self.names[name])


FAMILIES = ["dpsims", *(pytest.param(name, marks=pytest.mark.integration) for name in ("oasis", "dpgan", "spade"))]
TRAINED = pytest.param("embedded", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[*FAMILIES, TRAINED])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("models") / request.param
    if request.param == "embedded":
        pipe = SemanticImageSynthesisPipeline.from_pretrained(EMBEDDED)
        names = ("sky", "road", "car", "tree")
        ids = {name: number for number, name in pipe.processor.id2label.items()}
        label_map = np.array([ids[name] for name in names], dtype=np.uint8)[np.kron(two_cars(), np.ones((2, 2), int))]
    else:
        pipe = SemanticImageSynthesisPipeline(learned_generator(request.param), tiny_processor(), tiny_discriminator())
        names, label_map = tuple(NAMES.values())[:4], two_cars()
    pipe.save_pretrained(folder, include_backbone=True)
    return Case(SemanticImageSynthesisPipeline.from_pretrained(folder), folder, label_map, names)


# -- one image, however many are made ---------------------------------------------------------------------------------


def test_the_same_call_twice(case):
    options = {"resample_labels": [case.names[CAR]]}
    assert_same_bits(case.draw(**options), case.draw(**options))


def test_several_images_and_label_maps_or_one_by_one(case):
    together = case.draw([case.label_map, case.label_map[:, ::-1].copy()], num_images_per_label_map=2)
    assert_same_bits(together[:2], [*case.draw(), *case.draw(seed=4)])
    assert_same_bits(together[2:], case.draw(case.label_map[:, ::-1].copy(), seed=[3, 4]))


def test_seeds_noise_and_the_network_itself(case):
    given = case.draw(noise=case.noise(3, 4))
    assert_same_bits(case.draw(num_images_per_label_map=2), given)
    assert_same_bits(given, [*case.network(case.noise(3)), *case.network(case.noise(4))])


def test_other_threads_and_gradients(case):
    noise, images = case.noise(3), []
    plain = case.network(noise)
    thread = threading.Thread(target=lambda: images.extend(case.network(noise)))  # as the page's server draws
    thread.start()
    thread.join()
    labels = torch.from_numpy(case.label_map).long()[None]
    with torch.inference_mode():
        images += list(case.pipe.generator_model.for_inference("float32")(labels, noise=noise).images)
    with torch.enable_grad():
        images += list(case.pipe.generator_model.kept_for_inference("float32")(labels, noise=noise).images)
    assert_same_bits(images, plain * 3)


# -- noise and regions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["labels", "no labels", "regions", "points", "several"])
def test_choosing_no_pixel(case, name):
    nothing = {
        "labels": {"resample_labels": [case.names[3]]},
        "no labels": {"resample_labels": []},
        "regions": {"resample_regions": np.zeros((4, 8), dtype=int)},
        "points": {"resample_points": []},
        "several": {"noise": case.noise(3, 5, 6)[None], "resample_regions": np.zeros((4, 8), dtype=int)},
    }[name]
    assert_same_bits(case.draw(**nothing), case.draw())


def test_choosing_all_pixels(case):
    everywhere = np.ones(case.label_map.shape, dtype=bool)
    for chosen in (
        {"resample_regions": everywhere},
        {"resample_labels": everywhere},
        {"resample_labels": list(case.names)},
        {"resample_points": [(0, 0), (8, 0)], "resample_regions": everywhere},
        {"noise": case.noise(3, 5)[None], "resample_regions": everywhere.astype(int)},
    ):
        assert_same_bits(case.draw(resample_seed=5, **chosen), case.draw(seed=5))


def test_new_noise_that_equals_the_old(case):
    assert_same_bits(case.draw(resample_labels=[case.names[CAR]], resample_seed=3), case.draw())


def test_classes_masks_regions_and_points_that_mean_the_same_pixels(case):
    cars = case.where(CAR)[0].numpy()
    wanted = case.draw(resample_labels=[case.names[CAR]], resample_seed=5)
    for chosen in (
        {"resample_labels": [case.number(CAR), case.names[3]]},
        {"resample_labels": cars > 0},
        {"resample_regions": cars * 1},
        {"noise": case.noise(3, 5)[None], "resample_regions": cars},
        {"noise": case.noise(5, 3)[None], "resample_regions": 1 - cars},
        {"noise": case.noise(3, 7, 7, 5)[None], "resample_regions": cars * 3},
    ):
        assert_same_bits(case.draw(resample_seed=5, **chosen), wanted)
    left = np.zeros_like(cars)
    left[:, : left.shape[1] // 2] = cars[:, : left.shape[1] // 2]
    scale = left.shape[0] // 32
    point = case.draw(resample_points=[scale * place for place in LEFT_CAR], resample_seed=5)
    assert_same_bits(point, case.draw(resample_regions=left > 0, resample_seed=5))


def test_the_network_is_told_in_any_words(case):
    cars, sky = case.where(CAR), case.where(0)
    wanted = case.network(case.noise(3, 4, 5)[None], cars + 2 * sky)
    odd = torch.empty(3 * case.noise(3).numel() + 1)[1:].view(1, 3, -1).copy_(case.noise(3, 4, 5)[None])
    for noise, regions in (
        (odd, cars + 2 * sky),
        (case.noise(5, 4, 3)[None], 2 - cars - 2 * sky),
        (case.noise(3, 7, 8, 4, 5)[None], (3 * cars + 4 * sky).int()),
        (case.noise(3, 3, 4, 4, 5)[None], torch.where(sky > 0, 4, 2 * cars + (torch.arange(cars.shape[-1]) % 2))),
    ):
        assert_same_bits(case.network(noise, regions), wanted)
    one = case.network(case.noise(3))
    assert_same_bits(case.network(case.noise(3), torch.zeros_like(cars)), one)
    assert_same_bits(case.network(case.noise(3)[None]), one)
    assert_same_bits(case.network(case.noise(4, 3)[None], torch.ones_like(cars)), one)
    assert_same_bits(
        case.network(case.noise(3).expand(400, -1)[None], torch.arange(cars.numel()).view_as(cars) % 400), one
    )


def test_a_batch_is_told_in_any_words(case):
    """Every image of a batch has its own regions; one of them has a single one."""
    noise = torch.stack([case.noise(3, 4), case.noise(5, 6), case.noise(7, 8)])
    regions = torch.cat([case.where(CAR), case.where(0), torch.zeros_like(case.where(0))])
    more = torch.cat([case.noise(9, 9, 9)[:, None], noise.flip(1)], dim=1)
    assert_same_bits(case.network(more, 2 - regions), case.network(noise, regions))


# -- walks ------------------------------------------------------------------------------------------------------------


def test_the_ends_of_walks_and_their_images(case):
    ends = [*case.draw(), *case.draw(seed=9)]
    whole = case.walk(steps=3)
    assert_same_bits([whole[0], whole[-1]], ends)
    assert_same_bits(whole[1:2], case.draw(noise=slerp(case.noise(3), case.noise(9), 0.5)))
    local = case.walk(steps=3, resample_labels=[case.names[CAR]])
    assert_same_bits([local[0], local[-1]], [ends[0], *case.draw(resample_labels=[case.names[CAR]], resample_seed=9)])
    everywhere = np.ones(case.label_map.shape, dtype=bool)
    assert_same_bits(case.walk(steps=3, resample_regions=everywhere), whole)
    assert_same_bits(case.walk(steps=2, resample_labels=[case.names[3]]), ends[:1] * 2)


# -- weights from files and in memory ---------------------------------------------------------------------------------


def test_loaded_weights_lie_where_torch_puts_them(case):
    discriminator = case.pipe.load_discriminator()
    for model in (case.pipe.generator_model, discriminator, AutoModel.from_pretrained(case.folder)):
        assert not [name for name, tensor in model.state_dict().items() if tensor.data_ptr() % 64]


def test_saved_loaded_and_copied_models(case, tmp_path):
    case.pipe.save_pretrained(tmp_path / "again")
    options = {"resample_labels": [case.names[CAR]], "resample_seed": 5}
    wanted = case.draw(**options)
    fresh = type(case.pipe.generator_model)(copy.deepcopy(case.pipe.generator_model.config)).eval()
    fresh.load_state_dict(case.pipe.generator_model.state_dict())
    for pipe in (
        SemanticImageSynthesisPipeline.from_pretrained(tmp_path / "again"),
        DiffusionPipeline.from_pretrained(tmp_path / "again", trust_remote_code=True),
        SemanticImageSynthesisPipeline(AutoModel.from_pretrained(case.folder), case.pipe.processor),
        SemanticImageSynthesisPipeline(fresh, case.pipe.processor),
    ):
        assert_same_bits(case.draw(pipe=pipe, **options), wanted)


def test_a_discriminator_loaded_or_built_and_photos_together_or_alone(case):
    photos = case.pipe(case.label_map, num_images_per_label_map=2, size=case.size).images
    labels = case.pipe.segment(photos, size=case.size)
    assert torch.equal(labels, torch.stack([case.pipe.segment(photo, size=case.size) for photo in photos]))
    pixel_values = case.pipe.processor(images=photos[0], size=case.size)["pixel_values"]
    with torch.no_grad():
        wanted = case.pipe.discriminator(pixel_values).segmentation_logits
        assert torch.equal(copy.deepcopy(case.pipe.discriminator)(pixel_values).segmentation_logits, wanted)
        loaded = AutoModel.from_pretrained(case.folder, subfolder="discriminator")
        assert torch.equal(loaded(pixel_values).segmentation_logits, wanted)


WITHOUT_THE_PACKAGE = """
import sys, torch
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dpsims_hf", "timm"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from transformers import AutoModel
torch.set_num_threads(int(sys.argv[4]))
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).for_inference("float32")
with torch.no_grad():
    torch.save([model(**inputs).images for inputs in torch.load(sys.argv[2], weights_only=True)], sys.argv[3])
"""


@pytest.mark.integration
@pytest.mark.parametrize("case", ["dpsims", TRAINED], indirect=True)  # the others: test_remote_code_families.py
def test_the_checkpoints_own_code_without_the_package(case, tmp_path):
    labels = torch.from_numpy(case.label_map).long()[None]
    forms = [(case.noise(3), None), (case.noise(4, 3)[None], torch.ones_like(labels))]
    forms += [(case.noise(3, 7, 5)[None], 2 * case.where(CAR)), (case.noise(5, 3)[None], 1 - case.where(CAR))]
    inputs = [{"label_map": labels, "noise": noise, "noise_regions": regions} for noise, regions in forms]
    torch.save(inputs, tmp_path / "inputs.pt")
    files = [str(case.folder), str(tmp_path / "inputs.pt"), str(tmp_path / "out.pt"), str(torch.get_num_threads())]
    subprocess.run([sys.executable, "-c", WITHOUT_THE_PACKAGE, *files], cwd=tmp_path, check=True, timeout=250)
    made = [images[0] for images in torch.load(tmp_path / "out.pt", weights_only=True)]
    cars = case.draw(resample_labels=[case.names[CAR]], resample_seed=5)
    assert_same_bits(made, [*case.draw(), *case.draw(), *cars, *cars])


# -- the page (its programs: test_demo_snippets.py) -------------------------------------------------------------------


def test_the_page_draws_what_the_pipeline_draws(case):
    model = load_model("street", str(case.folder))
    scene = Scene("street", case.label_map.astype(np.int64), model.labels)
    cars = Reroll(5, label=case.names[CAR])
    nowhere, sky = Reroll(6, label=case.names[3]), Reroll(7, label=case.names[0])
    variants = [Variant(3), Variant(3, (nowhere,)), Variant(3, (cars,)), Variant(3, (sky, nowhere, cars))]
    variants += [Variant(3, (Reroll(8, label=case.names[CAR]), cars))]
    with float_images() as images:
        render(model, scene, variants, dtype="float32")
    rerolled = case.draw(resample_labels=[case.names[CAR]], resample_seed=5)
    several = {"noise": case.noise(5, 7, 3)[None], "resample_regions": (2 - 2 * case.where(CAR) - case.where(0))[0]}
    assert_same_bits(images, [*case.draw(), *case.draw(), *rerolled, *case.draw(**several), *rerolled])


@pytest.mark.parametrize("chosen", [None, CAR, 3], ids=["everything", "cars", "an absent class"])
def test_the_server_walks_as_the_pipeline_does(case, chosen):
    model = load_model("street", str(case.folder))
    labels = None if chosen is None else [case.names[chosen]]
    scene = Scene("street", case.label_map, model.labels)
    model.dtype = "float32"
    with float_images() as images:
        walk(model, scene, (3, 9), 3, labels, Deadline())
    assert_same_bits(images, case.walk(steps=3, resample_labels=labels))


# -- what is only nearly equal ----------------------------------------------------------------------------------------


def assert_rounds_alike(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    """The last bits differ at most; in 8 bit that is a grey level here and there."""
    torch.testing.assert_close(torch.stack(first), torch.stack(second), atol=1e-4, rtol=0)


def test_batches_and_other_computations_round_alike(case):
    one_by_one = case.draw(num_images_per_label_map=3)
    assert_rounds_alike(case.draw(num_images_per_label_map=3, batch_size=3), one_by_one)
    plain = case.pipe.generator_model
    assert_rounds_alike(case.network(case.noise(3), model=plain), one_by_one[:1])
    assert_rounds_alike(
        case.network(case.noise(3, 4)[None], case.where(CAR), plain),
        case.draw(**{"noise": case.noise(3, 4)[None], "resample_regions": case.where(CAR)[0]}),
    )
    model = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    assert_rounds_alike(case.network(case.noise(3), model=model), one_by_one[:1])
    if case.pipe.generator_model.config.spectral_norm:
        folded = AutoModel.from_pretrained(case.folder).fold_spectral_norm()
        assert_rounds_alike(case.network(case.noise(3), model=folded), one_by_one[:1])


def test_another_number_of_threads_rounds_alike(case):
    images, threads = case.draw(), torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert_rounds_alike(case.draw(), images)
    finally:
        torch.set_num_threads(threads)


# -- the form itself --------------------------------------------------------------------------------------------------


def test_the_canonical_form_by_hand():
    red, green, blue = torch.eye(3)
    noise = torch.stack([torch.stack([red, green, blue, green]), torch.stack([blue, blue, red, green])])
    regions = torch.tensor([[[3, 3], [1, 2]], [[1, 0], [0, 1]]])
    vectors, numbers = canonical_noise(noise, regions)
    assert torch.equal(vectors[0], torch.stack([green, blue])) and torch.equal(vectors[1, 0], blue)
    assert torch.equal(numbers, torch.tensor([[[0, 0], [0, 1]], [[0, 0], [0, 0]]]))
    assert torch.equal(noise_map(vectors, numbers), noise_map(noise, regions))
    vectors, numbers = canonical_noise(noise[1:], regions[1:])
    assert numbers is None and torch.equal(vectors, blue[None, None])
    assert canonical_noise(torch.zeros(2, 5, 0), regions)[0].shape == (2, 1, 0)


def test_gradients_training_and_graphs_see_noise_as_it_is_given(case):
    model = case.pipe.generator_model
    noise = case.noise(3, 3)[None].requires_grad_()
    labels = torch.from_numpy(case.label_map).long()[None]
    model(labels, noise=noise, noise_regions=case.where(CAR)).images.sum().backward()
    assert noise.grad.abs().sum(dim=-1).gt(0).all(), "equal vectors, each with its own gradient"
    program = torch.export.export(
        model, (labels,), {"noise": noise.detach(), "noise_regions": case.where(CAR)}, strict=False
    )
    other = {"noise": case.noise(4, 5)[None], "noise_regions": case.where(0)}
    with torch.no_grad():
        exported = program.module()(labels, **other)
        assert_rounds_alike([exported.images[0]], [model(labels, **other).images[0]])

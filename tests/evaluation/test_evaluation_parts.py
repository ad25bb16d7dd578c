# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Parts of the evaluation that other programs call: protocols, validation during training, pairs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_runs import NAMES, channels_first, command, load, run
from PIL import Image

from dpsims_hf import OASISDiscriminator, OASISDiscriminatorConfig, SemanticImageSynthesisPipeline
from dpsims_hf.data import DatasetSpec, JointTransform, SemanticImageDataset
from dpsims_hf.evaluation import build
from dpsims_hf.evaluation.pairs import evaluate_pairs
from dpsims_hf.evaluation.runner import Evaluation, choose_rows
from dpsims_hf.evaluation.sources import noise_seed
from dpsims_hf.evaluation.validation import prepare_validation, validate


pytestmark = pytest.mark.integration


# -- parts ------------------------------------------------------------------------------------------------------------


def test_protocols_follow_from_what_is_given():
    def names(*arguments: Any, **more: Any) -> list[str]:
        return [protocol.name for protocol in build.choose_protocols(*arguments, **more)]

    assert names(["fid", "kid"]) == ["fid_legacy", "kid_legacy"]
    assert names(["fid", "kid"], features="timm:resnet50") == ["fid_backbone", "kid_backbone"]
    assert names(["fid"], features="inception_clean") == ["fid_clean"]
    assert names(["fid", "lpips"], ["fid_clean", "fid_legacy"]) == ["fid_clean", "fid_legacy", "lpips_vgg"]
    with pytest.raises(ValueError, match="no protocol for kid with features 'inception_clean'"):
        names(["kid"], features="inception_clean")


def test_lpips_is_the_mean_over_pairs_then_over_label_maps(
    tiny_dataset_dir: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    """With the distance |mean a - mean b| in place of the network."""

    def distances(images: torch.Tensor, network: Any) -> torch.Tensor:
        means = images.mean(dim=(1, 2, 3)).double()
        first, second = torch.triu_indices(len(means), len(means), 1)
        return (means[first] - means[second]).abs()

    monkeypatch.setattr(build, "load_lpips", lambda device: None)
    monkeypatch.setattr(build, "lpips_distances", distances)
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    evaluation = prepare_validation(dataset, ["lpips"], batch_size=1, images_per_label_map=3)
    values = validate(evaluation, pipe.generator_model, seed=5)
    expected = []
    for index in range(len(dataset)):
        seeds = [noise_seed(5, index, copy) for copy in range(3)]
        made = pipe(dataset.label_map(index), seed=seeds, output_type="np_uint8").images
        means = made.reshape(3, -1).mean(axis=1) / 127.5
        expected.append(np.mean([abs(means[a] - means[b]) for a, b in ((0, 1), (0, 2), (1, 2))]))
    assert values == {"lpips_vgg_3_images/lpips": pytest.approx(np.mean(expected), rel=1e-3)}


def test_validation_gives_the_commands_values_and_leaves_the_random_state(
    evaluated: Path, tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str]
):
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    evaluation = prepare_validation(dataset, ["fid", "mean_iou"], batch_size=1, **networks)
    generator = SemanticImageSynthesisPipeline.from_pretrained(model_dir).generator_model
    state = torch.random.get_rng_state()
    first = validate(evaluation, generator, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert validate(evaluation, generator, seed=1) == first
    protocols = load(evaluated)["protocols"]
    assert first["fid_backbone/fid"] == protocols["fid_backbone"]["values"]["fid"]["per_seed"][1]
    assert first["miou_own/mean_iou"] == protocols["miou_own"]["values"]["mean_iou"]["per_seed"][1]


def test_a_handful_of_pairs(
    evaluated: Path, tiny_dataset_dir: Path, model_dir: Path, networks: dict[str, str], tmp_path: Path
):
    pipe = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    folder = tiny_dataset_dir / "val"
    pairs = [(folder / "images" / f"{name}.png", Image.open(folder / "labels" / f"{name}.png")) for name in NAMES]
    seen = []

    def progress(iterable: Any, desc: str, total: int) -> Any:
        seen.append((desc, total))
        return iterable

    results = evaluate_pairs(pipe, pairs, ["mean_iou"], progress=progress, segmenter=networks["segmenter"])
    expected = load(evaluated)["protocols"]["miou_own"]
    ceiling = results["protocols"]["miou_own"]["real_photos"]
    assert ceiling["mean_iou"] == expected["real_photos"]["mean_iou"]
    mean_iou = results["protocols"]["miou_own"]["values"]["mean_iou"]["per_seed"][0]
    assert mean_iou == pytest.approx(expected["values"]["mean_iou"]["per_seed"][0], abs=0.01)  # other batch size
    assert ("real photos", 1) in seen and ("seed 0", 1) in seen
    assert len(results["examples"]) == 4
    for example in results["examples"]:
        for column in ("label", "real", "generated", "predicted label"):
            assert example[column].shape == (32, 64, 3) and example[column].dtype == np.uint8
        assert "pixel accuracy" in example["caption"]
    with pytest.raises(ValueError, match="no pairs"):
        evaluate_pairs(pipe, [], ["mean_iou"])
    with pytest.raises(ValueError, match="has no discriminator"):
        evaluate_pairs(pipe, pairs, ["mean_iou"])


def test_pairs_can_be_judged_by_the_models_own_discriminator(tiny_dataset_dir: Path, model_dir: Path):
    spec = DatasetSpec.from_folder(tiny_dataset_dir)
    config = OASISDiscriminatorConfig.from_preset(
        "tiny", num_labels=None, id2label=spec.id2label, void_label_id=spec.void_label_id
    )
    source = SemanticImageSynthesisPipeline.from_pretrained(model_dir)
    discriminator = OASISDiscriminator(config).eval()
    pipe = SemanticImageSynthesisPipeline(source.generator_model, source.processor, discriminator)
    photo = np.asarray(Image.open(tiny_dataset_dir / "val" / "images" / "scene_0008.png"))
    label_map = np.asarray(Image.open(tiny_dataset_dir / "val" / "labels" / "scene_0008.png"))
    results = evaluate_pairs(pipe, [(photo, label_map)], ["mean_iou"])
    [(name, result)] = results["protocols"].items()
    assert name == "miou_discriminator"
    with torch.no_grad():
        values = channels_first(photo[None]).float() / 127.5 - 1
        seen = discriminator(values).segmentation_logits[:, :-1].argmax(dim=1)[0].numpy()
    known = label_map != 255
    assert result["real_photos"]["pixel_accuracy"] == pytest.approx((seen == label_map)[known].mean())


def test_rows_are_spread_evenly():
    assert choose_rows(10, None) == choose_rows(10, 12) == list(range(10))
    assert choose_rows(10, 4) == [0, 2, 5, 7]


def test_noise_depends_on_seed_image_and_copy():
    seeds = {noise_seed(*key) for key in [(0, 0), (0, 1), (1, 0), (0, 0, 1), (0, 1, 1)]}
    assert len(seeds) == 5 and all(0 <= seed < 2**31 for seed in seeds)


def test_a_subset_is_said_to_be_one(tiny_dataset_dir: Path, model_dir: Path, tmp_path: Path):
    arguments = ["--model", str(model_dir), "--metrics", "color_texture", "--max_images", "2"]
    assert run(command(tiny_dataset_dir, {}, tmp_path, *arguments)) == 0
    results = load(tmp_path)
    assert results["dataset"]["num_images"] == 2 and results["dataset"]["split_images"] == 4
    assert "2 of 4 label maps: values do not compare" in results["warnings"][0]
    assert (tmp_path / "examples.png").is_file()  # without a segmenter there is no worst and best


def test_evaluation_without_measures_of_real_photos_reads_none(tiny_dataset_dir: Path):
    dataset = SemanticImageDataset.from_folder(tiny_dataset_dir, "val", JointTransform((32, 64)))
    protocols = build.choose_protocols(["ms_ssim"])
    evaluation = Evaluation(dataset, build.build_measures(protocols, dataset.spec, (32, 64)), range(4))
    assert evaluation.real == {}

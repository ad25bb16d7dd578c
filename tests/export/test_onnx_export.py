# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Exported networks compute what torch computes; what cannot be exported or run is refused in one line."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import dpsims_hf
from dpsims_hf.export import OnnxGenerator, export_model, files, onnx_generator, onnx_generator_for
from dpsims_hf.export.__main__ import main
from dpsims_hf.export.onnx_generator import _check_graph, _check_images
from dpsims_hf.hub.hashing import tensors_sha256


onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lively(family: str, part: str = "Generator", **overrides: object) -> torch.nn.Module:
    """A tiny network whose batch norms have seen its own numbers, as a trained one's have."""
    model_class = getattr(dpsims_hf, f"{family}{part}")
    torch.manual_seed(0)
    model = model_class(model_class.config_class.from_preset("tiny", **overrides)).train()
    with torch.no_grad():
        for seed in range(8):
            if part == "Generator":
                labels = torch.randint(0, model.config.num_labels, (2, 32, 64))
                noise = random(2, model.config.noise_dim, seed=seed)
                model(labels, noise=noise, instance_offsets=random(2, 2, 32, 64, seed=seed))
            else:
                model(random(2, 3, 32, 64, seed=seed).tanh())
    return model.eval()


@pytest.fixture(scope="module")
def dpgan(tmp_path_factory: pytest.TempPathFactory):
    """A generator, and its file for one noise vector per image and one size: what exports fastest."""
    model = lively("DPGAN")
    path = tmp_path_factory.mktemp("exported") / "generator.onnx"
    written = export_model(model, path, size=(16, 24), with_regions=False)
    return model, written


@pytest.mark.integration
def test_an_onnx_generator_has_a_generators_call(dpgan):
    model, written = dpgan
    assert written.error <= 1e-5
    generator = OnnxGenerator.from_file(written.path)
    assert generator.config.to_dict() == {**model.config.to_dict(), "spectral_norm": False}
    label_map = torch.randint(0, model.config.num_labels, (1, 16, 24)).to(torch.int32)
    noise = generator.sample_noise(1, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = model(label_map, noise=noise).images
    assert (generator(label_map, noise=noise).images - expected).abs().max() <= 1e-5
    [images] = generator(label_map, noise=noise[:, None], return_dict=False)
    assert torch.equal(images, generator(label_map, noise=noise).images)
    assert generator.eval().device.type == "cpu" and generator.dtype == torch.float32


@pytest.mark.integration
def test_what_a_file_was_not_exported_for_is_refused(dpgan):
    model, written = dpgan
    generator = OnnxGenerator.from_file(written.path)
    labels, noise = torch.zeros(1, 16, 24, dtype=torch.int64), random(1, model.config.noise_dim)
    with pytest.raises(ValueError, match="export it with --dynamic"):
        generator(labels[:, :8], noise=noise)
    regions = torch.zeros_like(labels)
    regions[:, 8:] = 1
    with pytest.raises(ValueError, match="--global_noise"):
        generator(labels, noise=random(1, 2, model.config.noise_dim), noise_regions=regions)
    with pytest.raises(ValueError, match="label_map holds 99"):
        generator(labels + 99, noise=noise)
    with pytest.raises(ValueError, match="images alone"):
        generator(labels, noise=noise, output_features=True)
    with pytest.raises(ValueError, match="no weights to save"):
        generator.save_pretrained("anywhere")


@pytest.mark.integration
def test_the_file_beside_a_checkpoint_is_taken_only_for_its_weights(dpgan):
    model, written = dpgan
    pipe = SimpleNamespace(generator_model=model)
    with pytest.raises(ValueError, match="without noise regions; export it again"):
        onnx_generator_for(pipe, written.path.parent)
    generator = OnnxGenerator.from_file(written.path)
    assert tensors_sha256(generator) == generator.weights_sha256 != tensors_sha256(model)


@pytest.mark.integration
def test_a_file_beside_a_checkpoint_that_is_not_what_it_says_is_refused(dpgan, tmp_path: Path, monkeypatch):
    """A stranger's file names the weights, and holds a loop without end, or other weights."""
    model, written = dpgan
    pipe, path = SimpleNamespace(generator_model=model), tmp_path / "generator.onnx"
    monkeypatch.setattr(model.config, "image_size", (16, 24))
    content = onnx.load(written.path)
    for weights in content.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT:
            weights.raw_data = bytes(len(weights.raw_data))
    onnx.save(content, path)
    with pytest.raises(ValueError, match="does not compute what these weights do"):
        _check_images(OnnxGenerator.from_file(path), model, path)
    _check_images(OnnxGenerator.from_file(written.path), model, path)
    _check_graph(written.path)
    branch = onnx.helper.make_graph([], "body", [], [])
    content.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["z"], body=branch))
    onnx.save(content, path)
    with pytest.raises(ValueError, match="has a Loop, which no exported generator has"):
        onnx_generator_for(pipe, tmp_path)
    path.write_bytes(b"none")
    with pytest.raises(ValueError, match="is no ONNX file"):
        onnx_generator_for(pipe, tmp_path)


def test_files_that_are_none_of_ours_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        OnnxGenerator.from_file(tmp_path / "no.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ValueError, match="no ONNX file that can be run"):
        OnnxGenerator.from_file(tmp_path / "text.onnx")
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    sides = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "other", sides[:1], sides[1:]), ir_version=10)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="was not written by dpsims_hf.export"):
        OnnxGenerator.from_file(tmp_path / "other.onnx")
    onnx.helper.set_model_props(model, {"dpsims_hf": json.dumps({"config": {"model_type": "bert"}})})
    onnx.save(model, tmp_path / "bert.onnx")
    with pytest.raises(ValueError, match="holds a bert, not a generator"):
        OnnxGenerator.from_file(tmp_path / "bert.onnx")


def test_names_and_sizes_are_checked_before_anything_is_traced(tmp_path: Path):
    model = lively("OASIS")
    with pytest.raises(ValueError, match="must end in .onnx or .pt2"):
        export_model(model, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="nearest legal size is 16x24"):
        export_model(model, tmp_path / "model.pt2", size=(17, 24))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_network_that_enlarges_rounding_is_compared_with_torchs_own(tmp_path: Path, monkeypatch):
    """As after the first steps of a run: float32 itself is off by more than the tolerance."""
    model = lively("DPGAN")
    with torch.no_grad():
        model.to_image.weight.mul_(1e6)
    written = export_model(model, tmp_path / "generator.onnx", size=(64, 96), with_regions=False)
    assert written.rounding is not None and 1e-4 < written.error <= files.ROUNDINGS * written.rounding
    # ... also where a file beside the weights is asked whether it computes what they do.
    monkeypatch.setattr(onnx_generator, "MOST_DIFFERENCE", 0.0)
    monkeypatch.setattr(onnx_generator, "TOLERANCE", 0.0)
    model.config.image_size = (64, 96)
    _check_images(OnnxGenerator.from_file(written.path), model, written.path)
    model.to_image.weight.data.mul_(-1)
    with pytest.raises(ValueError, match="does not compute what these weights do"):
        _check_images(OnnxGenerator.from_file(written.path), model, written.path)


@pytest.mark.integration
def test_a_file_that_computes_something_else_is_not_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(files, "TOLERANCE", -1.0)
    monkeypatch.setattr(files, "ROUNDINGS", -1.0)
    with pytest.raises(ValueError, match="was not kept: it differs from torch by"):
        export_model(lively("OASIS"), tmp_path / "model.pt2", size=(16, 24), with_regions=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.integration
def test_the_command_writes_a_program_of_torch(tmp_path: Path, tiny_checkpoint_dir: Path, capsys):
    path = tmp_path / "generator.pt2"
    assert main([str(tiny_checkpoint_dir), str(path), "--size", "32", "64"]) == 0
    assert "largest difference from torch" in capsys.readouterr().out
    program = torch.export.load(path)
    assert program.module() is not None
    assert main([str(tiny_checkpoint_dir), str(path), "--size", "32", "64", "--dynamic"]) == 1
    assert "leave them out" in capsys.readouterr().err


CASES = [
    ("DPSIMS", {"use_instance_offsets": True, "texture_noise": True}),
    ("DPGAN", {"texture_noise": True}),
    ("OASIS", {"upsample_mode": "bilinear"}),
    ("SPADE", {}),
]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("family", "overrides"), CASES, ids=[family for family, _ in CASES])
def test_generators_of_all_families_for_any_batch_size_and_regions(family: str, overrides: dict, tmp_path: Path):
    model = lively(family, **overrides)
    written = export_model(model, tmp_path / "generator.onnx", dynamic=True)
    assert written.error <= 1e-5 and len({shape.regions for shape in written.shapes}) == 3
    generator = OnnxGenerator.from_file(written.path)
    labels = torch.randint(0, model.config.num_labels, (4, 24, 16))
    inputs = {"instance_offsets": random(4, 2, 24, 16)} if "use_instance_offsets" in overrides else {}
    inputs["noise"] = random(4, 3, model.config.noise_dim)
    inputs["noise_regions"] = torch.randint(0, 3, (4, 24, 16))
    with torch.no_grad():
        expected = model(labels, texture_seed=7, **inputs).images
        alone = model(labels, noise=inputs["noise"][:, 0], instance_offsets=inputs.get("instance_offsets")).images
    assert (generator(labels, texture_seed=7, **inputs).images - expected).abs().max() <= 1e-5
    inputs |= {"noise": inputs["noise"][:, 0], "noise_regions": None}
    assert (generator(labels, **inputs).images - alone).abs().max() <= 1e-5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("family", ["DPSIMS", "DPGAN", "OASIS"])
def test_discriminators_of_all_families(family: str, tmp_path: Path):
    path = tmp_path / "discriminator.onnx"
    written = export_model(lively(family, "Discriminator"), path, dynamic=True)
    assert written.error <= 1e-4
    names = [one.name for one in onnx.load(path).graph.output]
    assert names[0] == "segmentation_logits" and (len(names) > 1) == (family == "DPGAN")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_pipeline_page_and_evaluation_take_it(tmp_path: Path, tiny_checkpoint_dir: Path, tiny_dataset_dir: Path):
    from dpsims_hf.demo.command import load_library
    from dpsims_hf.evaluation.__main__ import main as evaluate
    from dpsims_hf.pipeline_semantic_image_synthesis import SemanticImageSynthesisPipeline

    pipe = SemanticImageSynthesisPipeline.from_pretrained(tiny_checkpoint_dir)
    library = load_library(str(tiny_checkpoint_dir), backend="onnx")
    other = library.default.pipe
    assert isinstance(other.generator_model, OnnxGenerator)
    labels = torch.zeros(32, 64, dtype=torch.uint8)
    labels[16:] = 1
    for options in ({}, {"resample_labels": [1]}, {"num_images_per_label_map": 2}):
        found, expected = other(labels, seed=3, **options).images, pipe(labels, seed=3, **options).images
        for one, two in zip(found, expected, strict=True):
            difference = torch.frombuffer(bytearray(one.tobytes()), dtype=torch.uint8).int() - torch.frombuffer(
                bytearray(two.tobytes()), dtype=torch.uint8
            )
            assert difference.abs().max() <= 1
    arguments = ["--model", str(tiny_checkpoint_dir), "--dataset_dir", str(tiny_dataset_dir), "--cpu"]
    arguments += ["--metrics", "grid_artifacts", "--backend", "onnx", "--output_dir", str(tmp_path / "measured")]
    assert evaluate(arguments) == 0
    assert "OnnxGenerator" in (tmp_path / "measured" / "results.json").read_text()

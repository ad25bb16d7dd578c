# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A checkpoint folder is enough: a process with neither this package nor timm gives the same images, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModel

from dpsims_hf import (
    DPSIMSDiscriminator,
    DPSIMSDiscriminatorConfig,
    DPSIMSGenerator,
    DPSIMSGeneratorConfig,
    SemanticImageProcessor,
    SemanticImageSynthesisPipeline,
)
from dpsims_hf.hub import save_model_folder


pytestmark = pytest.mark.integration


SIZE = (32, 64)
SEEDS = (0, 1, 2)

# Runs under `python -I`: no current directory, no PYTHONPATH, no user site on the path.
BARE_PROCESS = '''
import json, sys
from pathlib import Path

class Hiding:
    """A finder that does not see some packages, installed or not: as if they were absent."""
    names = {"dpsims_hf", "timm"}
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in self.names else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
for name in Hiding.names:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} is importable")
import numpy as np, torch
from transformers import AutoConfig, AutoImageProcessor, AutoModel
from transformers.dynamic_module_utils import get_class_from_dynamic_module

folder, out = sys.argv[1], Path(sys.argv[2])
inputs = np.load(out / "inputs.npz")
label_map, noise = torch.from_numpy(inputs["label_map"]), torch.from_numpy(inputs["noise"])
regions = torch.from_numpy(inputs["regions"])
facts, arrays = {}, {}

def generate(model, processor):
    with torch.no_grad():
        images = [model(label_map, noise=z[None, None], noise_regions=regions).images for z in noise]
    return processor.postprocess(torch.cat(images), "np_uint8")

try:
    AutoModel.from_pretrained(folder, trust_remote_code=False)
except ValueError as error:
    facts["untrusted"] = str(error)
generator = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
facts["modules"] = [type(part).__module__ for part in (generator, processor, generator.config)]
facts["config"] = type(AutoConfig.from_pretrained(folder, trust_remote_code=True)).__name__
facts["dtypes"] = sorted({str(t.dtype) for t in generator.state_dict().values() if t.is_floating_point()})
arrays["auto"] = generate(generator, processor)

generator.save_pretrained(out / "again")
arrays["again"] = generate(AutoModel.from_pretrained(out / "again", trust_remote_code=True), processor)

from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
arrays["diffusers"] = pipe(label_map, seed=SEEDS, output_type="np_uint8").images
facts["pipeline"] = type(pipe).__module__
name = "pipeline_semantic_image_synthesis.SemanticImageSynthesisPipeline"
pipeline_class = get_class_from_dynamic_module(name, folder)
own = pipeline_class.from_pretrained(folder, trust_remote_code=True)
arrays["own"] = own(label_map, seed=SEEDS, output_type="np_uint8").images
photo = (np.arange(label_map[0].numel() * 3) % 251).astype(np.uint8).reshape(*label_map[0].shape, 3)
try:
    own.segment(photo)
except ImportError as error:
    facts["without_timm"] = str(error)
facts["timm_was_imported"] = any(name.split(".")[0] == "timm" for name in sys.modules)
Hiding.names = {"dpsims_hf"}
arrays["segmented"] = own.segment(photo).numpy()

pipe.save_pretrained(out / "whole")
reloaded = DiffusionPipeline.from_pretrained(str(out / "whole"), trust_remote_code=True)
arrays["whole"] = reloaded(label_map, seed=SEEDS, output_type="np_uint8").images
arrays["whole_segmented"] = reloaded.segment(photo).numpy()
facts["package_was_imported"] = any(name.split(".")[0] == "dpsims_hf" for name in sys.modules)
np.savez(out / "arrays.npz", **arrays)
(out / "facts.json").write_text(json.dumps(facts))
'''.replace("SEEDS", repr(list(SEEDS)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    generator = DPSIMSGenerator(DPSIMSGeneratorConfig.from_preset("tiny", attention_gate_init=1.0))
    with torch.no_grad():
        for _ in range(10):
            generator(torch.randint(0, 5, (4, *SIZE)), noise=generator.sample_noise(4))
        generator.to_image.weight.mul_(0.5)
    processor = SemanticImageProcessor(
        id2label=generator.config.id2label, size={"height": SIZE[0], "width": SIZE[1]}, size_divisor=8
    )
    discriminator = DPSIMSDiscriminator(DPSIMSDiscriminatorConfig.from_preset("tiny"))
    return save_model_folder(
        tmp_path_factory.mktemp("checkpoints") / "tiny",
        generator.eval(),
        processor,
        discriminator,
        include_backbone=True,
        dtype=torch.float16,
        fold_spectral_norm=True,
    )


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    label_map = torch.zeros(1, *SIZE, dtype=torch.int64)
    label_map[:, 16:] = 1
    label_map[:, 20:28, 10:30] = 2
    noise = torch.cat(
        [torch.randn(1, 8, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
    )  # what sample_noise draws for these seeds
    return {"label_map": label_map, "noise": noise, "regions": torch.zeros_like(label_map)}


@pytest.fixture(scope="module")
def bare(folder, inputs, tmp_path_factory) -> tuple[dict, dict]:
    """(arrays, facts) that the bare process left behind."""
    out = tmp_path_factory.mktemp("bare")
    np.savez(out / "inputs.npz", **{name: tensor.numpy() for name, tensor in inputs.items()})
    (out / "script.py").write_text(BARE_PROCESS)
    environment = os.environ | {
        "HF_HOME": str(out / "hf_home"),
        "HF_MODULES_CACHE": str(out / "modules"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),  # sums in another order would round differently
    }
    command = [sys.executable, "-I", str(out / "script.py"), str(folder), str(out)]
    run = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    with np.load(out / "arrays.npz") as arrays:
        return dict(arrays), json.loads((out / "facts.json").read_text())


@pytest.fixture(scope="module")
def expected(folder, inputs) -> np.ndarray:
    """(seeds, height, width, 3) uint8 by this package's classes."""
    generator = AutoModel.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    assert type(generator) is DPSIMSGenerator and type(processor) is SemanticImageProcessor
    with torch.no_grad():
        images = [
            generator(inputs["label_map"], noise=noise[None, None], noise_regions=inputs["regions"]).images
            for noise in inputs["noise"]
        ]
    return processor.postprocess(torch.cat(images), "np_uint8")


def test_the_process_had_neither_the_package_nor_timm(bare):
    _, facts = bare
    assert all(module.startswith("transformers_modules.") for module in facts["modules"])
    assert facts["pipeline"].startswith("diffusers_modules.")
    assert facts["config"] == "DPSIMSGeneratorConfig"
    assert not facts["timm_was_imported"] and not facts["package_was_imported"]
    assert "trust_remote_code=True" in facts["untrusted"]


@pytest.mark.parametrize("way", ["auto", "again", "diffusers", "own", "whole"])
def test_the_images_are_the_same_bit_for_bit(bare, expected, way):
    arrays, _ = bare
    assert expected.std() > 5 and not np.array_equal(expected[0], expected[1]), "images to tell apart"
    assert np.array_equal(arrays[way], expected)


def test_float16_weights_load_as_float32_by_default(bare):
    assert bare[1]["dtypes"] == ["torch.float32"]


def test_the_discriminator_asks_for_timm_and_works_with_it(bare, folder):
    arrays, facts = bare
    assert "timm" in facts["without_timm"]
    photo = (np.arange(SIZE[0] * SIZE[1] * 3) % 251).astype(np.uint8).reshape(*SIZE, 3)
    labels = SemanticImageSynthesisPipeline.from_pretrained(folder).segment(photo).numpy()
    assert np.array_equal(arrays["segmented"], labels)
    assert np.array_equal(arrays["whole_segmented"], labels)


@pytest.mark.slow
def test_the_card_runs_in_the_folder(folder, tmp_path):
    """Every python block of README.md, run as it stands, without this package on the path."""
    blocks = [part.split("```")[0] for part in (folder / "README.md").read_text().split("```python\n")[1:]]
    assert len(blocks) == 2
    blocked = "import sys\nsys.modules.update(dict.fromkeys(['dpsims_hf', 'timm']))\n"
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    before = set(folder.iterdir())
    command = [sys.executable, "-I", "-c", blocked + "\n".join(blocks)]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    made = set(folder.iterdir()) - before
    assert {path.name for path in made} == {"image.png", "label_map.png", *(f"image_{i}.png" for i in range(4))}
    assert (folder / "image.png").read_bytes() == (folder / "image_0.png").read_bytes(), "seed 0 both times"
    for path in made:
        path.unlink()

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""OASIS and DP-GAN checkpoints in a process without this package and timm (all ways: test_remote_code.py)."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from dpsims_hf import (
    DPGANDiscriminator,
    DPGANGenerator,
    OASISDiscriminator,
    OASISGenerator,
    SemanticImageProcessor,
    SemanticImageSynthesisPipeline,
    SPADEGenerator,
)
from dpsims_hf.hub import save_model_folder


pytestmark = pytest.mark.slow


SIZE = (32, 64)
BARE_PROCESS = """
import os, re, sys
sys.modules.update(dict.fromkeys(["dpsims_hf", "timm"]))  # importing either fails
import numpy as np
from diffusers import DiffusionPipeline
from transformers import AutoModel

folder, out = sys.argv[1:]
inputs = np.load(out + "/inputs.npz")
pipe = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
options = {"seed": 0, "num_images_per_label_map": 2, "output_type": "np_uint8"}
images = pipe(inputs["label_map"], resample_labels=[2], **options).images
discriminator = AutoModel.from_pretrained(folder, subfolder="discriminator", trust_remote_code=True)
assert type(discriminator).__module__.startswith("transformers_modules."), type(discriminator).__module__
card = open(folder + "/README.md").read().replace('path = "."', f"path = {folder!r}")
blocks = re.findall(r"```python\\n(.*?)```", card, flags=re.DOTALL)
assert len(blocks) == 2
exec("\\n".join(blocks), {})  # the card's snippets, literally
assert {"image.png", "image_0.png", "image_3.png", "label_map.png"} <= set(os.listdir())
np.savez(out + "/outputs.npz", images=images, segmented=pipe.segment(inputs["photo"]).numpy())
"""


@pytest.mark.parametrize(
    ("generator_class", "discriminator_class"),
    [
        (OASISGenerator, OASISDiscriminator),
        (DPGANGenerator, DPGANDiscriminator),
        (SPADEGenerator, OASISDiscriminator),  # SPADE's own labels no pixels
    ],
)
def test_same_images_and_labels_without_the_package(tmp_path, generator_class, discriminator_class):
    torch.manual_seed(0)
    generator = generator_class(generator_class.config_class.from_preset("tiny", init_gain=1.0))
    with torch.no_grad():
        for _ in range(5):
            generator(torch.randint(0, 5, (4, *SIZE)))
    discriminator = discriminator_class(discriminator_class.config_class.from_preset("tiny", init_gain=1.0))
    processor = SemanticImageProcessor(
        id2label=generator.config.id2label, size={"height": SIZE[0], "width": SIZE[1]}, size_divisor=8
    )
    folder = save_model_folder(tmp_path / "model", generator.eval(), processor, discriminator.eval())
    label_map = np.zeros(SIZE, dtype=np.uint8)
    label_map[16:], label_map[20:28, 10:30] = 1, 2
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    np.savez(tmp_path / "inputs.npz", label_map=label_map, photo=photo)

    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())  # sums in another order would round differently
    command = [sys.executable, "-I", "-c", BARE_PROCESS, str(folder), str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]

    pipe = SemanticImageSynthesisPipeline.from_pretrained(folder)
    images = pipe(label_map, seed=0, num_images_per_label_map=2, resample_labels=[2], output_type="np_uint8").images
    assert images.std() > 5 and not np.array_equal(images[0], images[1]), "images to tell apart"
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert np.array_equal(outputs["images"], images)
        assert np.array_equal(outputs["segmented"], pipe.segment(photo).numpy())

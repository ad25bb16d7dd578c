# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Shared fixtures. The environment is set before any library reads it: no network, few threads, no caches at home."""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


_CACHE = tempfile.TemporaryDirectory(prefix="dpsims_tests_")  # remote code and datasets that tests load; goes at exit
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HOME", str(Path(_CACHE.name) / "huggingface"))
os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(_CACHE.name) / "gradio"))
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Two threads for one process, one for each of several: more than there are cores wait for each other. Workers inherit
# what the first process chose, which is no user's choice.
if "OMP_NUM_THREADS" not in os.environ or "TESTS_CHOSE_THREADS" in os.environ:
    os.environ["TESTS_CHOSE_THREADS"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
# Two workers that look for a free port at the same moment must not find the same one.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ.setdefault("GRADIO_SERVER_PORT", str(7860 + 100 * WORKER))

import torch  # noqa: E402


MAX_THREADS = int(os.environ["OMP_NUM_THREADS"])
torch.set_num_threads(min(MAX_THREADS, torch.get_num_threads()))


LONGER_THAN_QUICK = ("browser", "gpu", "hub", "integration", "slow")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked as nothing longer is part of `-m quick`."""
    for item in items:
        if not any(item.get_closest_marker(name) for name in LONGER_THAN_QUICK):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def no_log_handler_outlives_its_test() -> Iterator[None]:
    """A command that is called in this process sends its log to the output of its test, which is closed afterwards."""
    before = list(logging.root.handlers)
    yield
    for handler in set(logging.root.handlers) - set(before):
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


@pytest.fixture(scope="session")
def tiny_dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn dataset in the local layout: 32x64 pixels, 5 labels, void included. Read only: it is shared."""
    from dpsims_hf.data.synthetic import write_synthetic_dataset

    return write_synthetic_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def tiny_generator():
    """A random generator for 32x64 pixels and 5 labels, whose noise matters (a fresh network's gates are closed)."""
    from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = DPSIMSGeneratorConfig.from_preset("tiny", void_label_id=4, attention_gate_init=1.0)
        return DPSIMSGenerator(config).eval()


@pytest.fixture(scope="session")
def tiny_checkpoint_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with a random generator for 32x64 pixels in the synthetic dataset's label space."""
    from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig
    from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
    from dpsims_hf.hub import save_model_folder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = DPSIMSGeneratorConfig.from_preset(
            "tiny",
            num_labels=None,
            id2label=SYNTHETIC_SPEC.id2label,
            void_label_id=SYNTHETIC_SPEC.void_label_id,
            attention_gate_init=1.0,
        )
        generator = DPSIMSGenerator(config).eval()
    processor = SYNTHETIC_SPEC.image_processor(size=config.image_size, size_divisor=config.size_divisor)
    return save_model_folder(tmp_path_factory.mktemp("checkpoints") / "tiny", generator, processor)

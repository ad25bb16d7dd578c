# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A config is data: every field has its legal values, and the rest is refused in one line before anything is built."""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from dpsims_hf import (
    DPGANDiscriminatorConfig,
    DPGANGeneratorConfig,
    DPSIMSDiscriminatorConfig,
    DPSIMSGeneratorConfig,
    OASISDiscriminatorConfig,
    OASISGeneratorConfig,
    SemanticImageProcessor,
    SemanticImageSynthesisPipeline,
)
from dpsims_hf.configuration_limits import (
    CONFIG_FIELDS,
    PROCESSOR_FIELDS,
    TRANSFORMERS_FIELDS,
    TRANSFORMERS_PROCESSOR_FIELDS,
    own_fields,
)
from dpsims_hf.demo.model_library import load_model


ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "checkpoints" / "dpsims-camvid-small"
OLD_WEIGHTS = ROOT.parent / "shared" / "weights" / "dpsims_labelme_start"
CONFIGS = (
    DPSIMSGeneratorConfig,
    DPSIMSDiscriminatorConfig,
    DPGANGeneratorConfig,
    DPGANDiscriminatorConfig,
    OASISGeneratorConfig,
    OASISDiscriminatorConfig,
)
SECONDS = 1.0
NAN = float("nan")

# What is wrong with a generator's config: (field, value, what the error says besides the field).
GENERATOR_FAULTS = [
    ("num_labels", 10**9, ("1000000000", "1..4096")),
    ("num_labels", 5.0, ("5.0", "1..4096")),
    ("num_labels", 0, ("=0", "1..4096")),
    ("num_labels", -3, ("-3", "1..4096")),
    ("num_labels", True, ("True", "1..4096")),
    ("num_labels", "5", ("'5'", "1..4096")),
    ("id2label", ["sky", "road"], ("list of 2", "a table of up to 4096")),
    ("id2label", {"0": "sky", "2": "road"}, ("keys 0..1", "no 1")),
    ("id2label", {"0": 7}, ("7", "a line of text")),
    ("id2label", {"0": "sky\nroad"}, ("a line of text",)),
    ("void_label_id", 10**6, ("1000000", "0..4095")),
    ("void_label_id", -1, ("-1", "0..4095")),
    ("image_size", None, ("None", "a list of")),
    ("image_size", [2048, 2048], ("2048, 2048", "2,097,152 pixels")),
    ("image_size", [10**9, 32], ("1000000000", "1..2048")),
    ("image_size", ["32", "64"], ("'32'", "1..2048")),
    ("image_size", [32.0, 64], ("32.0", "1..2048")),
    ("image_size", "32x64", ("'32x64'", "a list of")),
    ("image_size", [0, 0], ("=0", "1..2048")),
    ("image_size", [-32, 64], ("-32", "1..2048")),
    ("image_size", {"height": 32}, ("table of 1", "a list of")),
    ("position_waves", 1e9, ("1000000000.0", "0..1024")),
    ("position_waves", 10**9, ("1000000000", "0..1024")),
    ("position_waves", -1, ("-1", "0..1024")),
    ("noise_dim", 10**12, ("1000000000000", "0..4096")),
    ("noise_dim", 10**400, ("bits", "0..4096")),
    ("noise_tokens", 0, ("=0", "1..1024")),
    ("base_channels", 10**7, ("10000000", "1..8192")),
    ("base_channels", 8192, ("billion parameters", "2 billion")),
    ("base_channels", None, ("None", "1..8192")),
    ("channel_multipliers", [1] * 1000, ("list of 1000", "1..12")),
    ("channel_multipliers", 4, ("=4", "a list of")),
    ("pyramid_channels", [8, 8.5, 8], ("8.5", "1..8192")),
    ("attention_strides", [0], ("=0", "1..2048")),
    ("normalization_eps", NAN, ("nan", "1e-12..1")),
    ("normalization_eps", float("inf"), ("inf", "1e-12..1")),
    ("attention_gate_init", "1", ("'1'", "-100..100")),
    ("spectral_norm", 1, ("=1", "true or false")),
    ("padding_mode", "circular", ("'circular'", "zeros, reflect, replicate")),
    ("padding_mode", ["zeros"], ("list of 1", "zeros, reflect, replicate")),
    ("model_type", "bert", ("'bert'",)),
    ("auto_map", {"AutoModel": "../x.py"}, ("'../x.py'", "module.Class")),
    ("dtype", "int8", ("'int8'", "float32")),
    ("architectures", "X" * 9999, ("9999", "a list of")),
    ("quantization_config", {"quant_method": "bitsandbytes"}, ("unknown field",)),
    ("something", 1, ("unknown field",)),
]
PROCESSOR_FAULTS = [
    ("size_divisor", 0, ("=0", "1..2048")),
    ("size_divisor", 8.0, ("8.0", "1..2048")),
    ("size_divisor", None, ("None", "1..2048")),
    ("size", {"height": 10**9, "width": 64}, ("1000000000", "1..2048")),
    ("size", {"height": 32}, ("width is missing",)),
    ("size", "32", ("'32'",)),
    ("id2label", ["sky"], ("list of 1", "a table of up to 4096")),
    ("id2label", None, ("None", "a table of up to 4096")),
    ("palette", [[0, 0, 300]], ("300", "0..255")),
    ("palette", "red", ("'red'", "a list of")),
    ("void_values", [10**9], ("1000000000",)),
    ("void_label_id", 4.0, ("4.0", "0..4095")),
    ("color_tolerance", NAN, ("nan", "0..442")),
    ("max_unmatched_share", -1, ("-1", "0..1")),
    ("do_resize", "yes", ("'yes'", "true or false")),
    ("stuff_ids", 3, ("=3", "a list of")),
]


def fault_id(fault: Any) -> str:
    return f"{fault[0]}={str(fault[1])[:30]}"


def refused(call: Callable[[], Any]) -> str:
    """The one line of the ValueError that a call raises within a second."""
    before = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        call()
    assert time.perf_counter() - before < SECONDS
    message = str(caught.value)
    assert message and "\n" not in message and len(message) < 700, message
    return message


def assert_says(message: str, field: str, words: tuple[str, ...]) -> None:
    assert field in message or words == ("billion parameters", "2 billion"), message
    for word in words:
        assert word in message, message


def write_fault(folder: Path, file: str, field: str, value: Any) -> None:
    content = json.loads((folder / file).read_text())
    if field == "num_labels" and file == "config.json":  # transformers writes names instead of their number
        content = {key: entry for key, entry in content.items() if key not in ("id2label", "label2id")}
    content[field] = value
    if field == "id2label":
        content.pop("label2id", None)
    (folder / file).write_text(json.dumps(content))


@pytest.fixture
def folder(tiny_checkpoint_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint_dir, tmp_path / "tiny"))


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config_class", CONFIGS)
def test_every_field_of_a_config_has_a_row(config_class: type) -> None:
    assert set(own_fields(config_class)) <= set(CONFIG_FIELDS)
    written = set(config_class.from_preset("tiny").to_dict()) - set(own_fields(config_class))
    assert written <= set(TRANSFORMERS_FIELDS), "a field that transformers writes must be legal to read"


def test_no_row_is_without_a_field() -> None:
    assert set(CONFIG_FIELDS) == set().union(*map(own_fields, CONFIGS))
    assert set(PROCESSOR_FIELDS) == set(own_fields(SemanticImageProcessor))


def test_every_field_that_a_processor_writes_has_a_row() -> None:
    written = set(SemanticImageProcessor(id2label={0: "sky"}).to_dict())
    assert written <= set(PROCESSOR_FIELDS) | set(TRANSFORMERS_PROCESSOR_FIELDS)


def test_a_field_without_a_row_is_refused() -> None:
    class Wider(OASISDiscriminatorConfig):
        def __init__(self, width: int = 1, num_labels: int | None = None, **kwargs: Any) -> None:
            super().__init__(num_labels=num_labels, **kwargs)

    assert "width=2 is an unknown field" in refused(lambda: Wider(width=2))


@pytest.mark.parametrize("config_class", CONFIGS)
@pytest.mark.parametrize("preset", ["paper", "small", "tiny"])
def test_presets_are_legal(config_class: type, preset: str) -> None:
    config = config_class.from_preset(preset)
    assert config_class.from_dict(json.loads(config.to_json_string(use_diff=False))).to_dict() == config.to_dict()


# -- faults, by every way in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", GENERATOR_FAULTS, ids=fault_id)
def test_a_generator_config_is_refused(fault: tuple, folder: Path) -> None:
    field, value, words = fault
    preset = DPSIMSGeneratorConfig.presets["tiny"]
    names = {"num_labels": None} if field == "id2label" else {}
    stored = DPSIMSGeneratorConfig.from_preset("tiny").to_dict()
    stored = {key: entry for key, entry in stored.items() if key not in ("id2label", "label2id")}
    write_fault(folder, "config.json", field, value)
    ways = [
        lambda: DPSIMSGeneratorConfig(**{**preset, **names, field: value}),
        lambda: DPSIMSGeneratorConfig.from_dict({**stored, **names, field: value}),
        lambda: AutoConfig.from_pretrained(folder),
        lambda: AutoModel.from_pretrained(folder),
        lambda: SemanticImageSynthesisPipeline.from_pretrained(folder),
        lambda: load_model("tiny", str(folder)),
    ]
    for way in ways if field != "model_type" else ways[:1]:
        assert_says(refused(way), field, words)


@pytest.mark.parametrize("fault", PROCESSOR_FAULTS, ids=fault_id)
def test_a_processor_is_refused(fault: tuple, folder: Path) -> None:
    field, value, words = fault
    write_fault(folder, "preprocessor_config.json", field, value)
    stored = json.loads((folder / "preprocessor_config.json").read_text())
    ways = [
        lambda: SemanticImageProcessor(**{"id2label": {0: "sky"}, field: value}),
        lambda: SemanticImageProcessor.from_dict(stored),
        lambda: AutoImageProcessor.from_pretrained(folder),
        lambda: SemanticImageSynthesisPipeline.from_pretrained(folder),
        lambda: load_model("tiny", str(folder)),
    ]
    for way in ways:
        assert_says(refused(way), field, words)


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("decoder_channels", [0], ("1..8192",)),
        ("encoder_channels", [10**8] * 3, ("1..8192",)),
        ("encoder_channels", None, ("a list of",)),
        ("patch_encoder_blocks", ["0"], ("'0'",)),
        ("init_gain", NAN, ("nan", "0..100")),
    ],
)
def test_a_discriminator_config_is_refused(field: str, value: Any, words: tuple[str, ...]) -> None:
    preset = DPGANDiscriminatorConfig.presets["tiny"]
    assert_says(refused(lambda: DPGANDiscriminatorConfig(**{**preset, field: value})), field, words)


@pytest.mark.parametrize("content", ["", "[]", "null", "{", '{"a": 1' + "0" * 5000 + "}", "[" * 100_000, "\xff"])
@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_a_file_that_is_no_json_object_is_refused(file: str, content: str, folder: Path) -> None:
    (folder / file).write_bytes(content.encode("latin-1"))
    assert "config.json" in refused(lambda: SemanticImageSynthesisPipeline.from_pretrained(folder))
    assert "tiny" in refused(lambda: load_model("tiny", str(folder)))


def test_a_long_file_is_refused(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"a": "' + b"x" * 2**23 + b'"}')
    assert "longer than 4 MB" in refused(lambda: load_model("tiny", str(folder)))


def test_a_network_far_beyond_its_weights_is_refused(folder: Path) -> None:
    write_fault(folder, "config.json", "base_channels", 512)
    assert "its weights are" in refused(lambda: AutoModel.from_pretrained(folder))
    assert "its weights are" in refused(lambda: load_model("tiny", str(folder)))


def test_overrides_are_checked(folder: Path) -> None:
    assert "1..4096" in refused(lambda: AutoConfig.from_pretrained(folder, num_labels=10**9))
    assert "1..4096" in refused(lambda: AutoModel.from_pretrained(folder, num_labels=10**9))


def test_a_field_that_was_changed_later_is_checked_before_a_model_is_built() -> None:
    config = OASISGeneratorConfig.from_preset("tiny")
    config.base_channels = 10**9
    assert "base_channels" in refused(lambda: AutoModel.from_config(config))


# -- what exists still loads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [EMBEDDED, OLD_WEIGHTS], ids=lambda path: path.name)
def test_old_checkpoints_load(source: Path) -> None:
    if not (source / "config.json").is_file():
        assert source == OLD_WEIGHTS  # it lies beside the repository, not in it
        return
    model = AutoModel.from_pretrained(source)
    assert model.config.num_labels == len(model.config.id2label)


def test_fewer_classes_can_still_be_fine_tuned(folder: Path) -> None:
    model = AutoModel.from_pretrained(folder, num_labels=3, ignore_mismatched_sizes=True)
    assert model.config.num_labels == 3


# -- fuzz -------------------------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 64, 255, 4096, 10**6, 10**9, 2**63, 10**300, -(10**18), 0.0, 0.5, -0.5, 1e9,
    1e308, float("nan"), float("inf"), "", "0", "x", "x" * 10**6, "a\nb", "../../x", "http://127.0.0.1:9/x", "hf-hub:a/b",
    [], [0], [1, 1], [-1], [2048, 2048], [10**9, 10**9], [1] * 10**5, ["a"], [None], [[]], [NAN], [1.5, 2],
    {}, {"0": "a"}, {"a": 0}, {"0": None}, {"pretrained": True}, {"url": "http://127.0.0.1:9/x"}, [{"a": [{}]}],
]  # fmt: skip


def fuzz(seed: int, count: int) -> tuple[int, int]:
    """Change one to three fields of every config and of a processor, `count` times; (accepted, refused)."""
    random_state, accepted, refusals = random.Random(seed), 0, 0
    makers: list[tuple[Callable[[dict], Any], dict, list[str]]] = [
        (cls.from_dict, cls.from_preset("tiny").to_dict(), [*own_fields(cls), *TRANSFORMERS_FIELDS]) for cls in CONFIGS
    ]
    processor = SemanticImageProcessor(id2label={0: "sky", 1: "road"}).to_dict()
    makers.append((SemanticImageProcessor.from_dict, processor, list(PROCESSOR_FIELDS)))
    for _ in range(count):
        make, stored, fields = random_state.choice(makers)
        changed = {
            random_state.choice(fields): random_state.choice(VALUES) for _ in range(random_state.choice((1, 1, 3)))
        }
        before = time.perf_counter()
        try:
            config = make({**stored, **changed})
            if hasattr(config, "parameter_estimate") and random_state.random() < 0.2:
                AutoModel.from_config(config)
            accepted += 1
        except ValueError as error:
            refusals += 1
            assert str(error) and "\n" not in str(error) and len(str(error)) < 1500, (changed, str(error)[:300])
        except Exception as error:
            raise AssertionError(f"{make.__qualname__} {str(changed)[:300]}: {error!r}"[:1500]) from error
        seconds = time.perf_counter() - before
        assert seconds < (SECONDS if hasattr(error_free := changed, "keys") else 0), (
            f"{str(error_free)[:300]}: {seconds} s"
        )
    return accepted, refusals

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Names and terms from a stranger's classes.json, in the cards that are published with what was made of the set."""

from dataclasses import replace

import pytest
from huggingface_hub import DatasetCard, ModelCard

from dpsims_hf import DPSIMSGenerator
from dpsims_hf.configuration_rules import inert
from dpsims_hf.data.sources.layouts import SourceFolder
from dpsims_hf.data.sources.parquet_shards import WrittenSplit
from dpsims_hf.data.sources.prepared_card import dataset_card
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC
from dpsims_hf.hub.card import fill_model_card


EVIL = "![x](http://evil/p.png)<img src=x onerror=alert(1)>"
SPEC = replace(SYNTHETIC_SPEC, name=EVIL, labels=(*SYNTHETIC_SPEC.labels[:-1], EVIL), license_note=f"{EVIL} # terms")


def no_markup(text: str) -> None:
    assert "evil" in text and "![x" not in text and "<img" not in text


def test_a_models_card_has_no_markup_of_its_data(tiny_generator: DPSIMSGenerator):
    card = fill_model_card(tiny_generator, SPEC.image_processor(size=(32, 64), size_divisor=8))
    no_markup(ModelCard(card).text)


def test_a_datasets_card_has_no_markup_of_its_source():
    written = [WrittenSplit("train", 1, 10, 10)]
    card = dataset_card(SPEC, SourceFolder("paired", SPEC, {}), written, ["image", "label_map"], ["read as ids"])
    text = DatasetCard(card).text
    no_markup(text[: text.index("```json")] + text[text.rindex("```") :])  # between the two it is code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <b> ![c](d)", "a &lt;b> !&#91;c](d)"),
        ("a\n\n# b\x1b", "a\\n\\n# b\\x1b"),
        ("[terms](https://a.org), 5 < 6 & Straße", "[terms](https://a.org), 5 &lt; 6 & Straße"),
    ],
)
def test_text_in_a_card(text: str, shown: str):
    assert inert(text) == shown

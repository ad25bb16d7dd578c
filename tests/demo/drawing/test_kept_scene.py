# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a browser tab keeps of a scene and gives back: it may have been tampered with."""

import json

import pytest
import torch

from dpsims_hf.demo.drawing.found_noise import found_noise
from dpsims_hf.demo.drawing.kept_scene import look_content, read_look
from dpsims_hf.demo.drawing.named_looks import NamedLook
from dpsims_hf.demo.drawing.scenes import Reroll, Variant
from dpsims_hf.demo.drawing.variants import Grid, Planned


LOOK = Variant(7, (Reroll(1, label="car"), Reroll(2, point=(3, 4))))
PLAN = (Planned((Variant(1), LOOK), True), Planned((Variant(2),)))


FOUND = Variant(3, (Reroll(1, label="car"),), found_noise(torch.ones(2, 8), ("sky",), "dusk"))
LOOKS = (NamedLook("evening", "checkpoints/x", FOUND), NamedLook("seven", "checkpoints/y", Variant(7)))


def content(look: Variant = LOOK) -> dict:
    return json.loads(json.dumps(look_content("checkpoints/x", "my street", look, Grid("key", plan=PLAN), LOOKS)))


def test_a_look_survives_the_way_there_and_back():
    look = read_look(content())
    assert (look.model, look.name, look.variant, look.plan) == ("checkpoints/x", "my_street", LOOK, PLAN)
    assert look.looks == LOOKS and read_look(content() | {"looks": []}).looks == ()


def test_found_noise_stands_in_it_once():
    told = content(FOUND)
    assert len(told["noises"]) == 1 and told["variant"]["look"] == told["looks"][0]["variant"]["look"] == 0
    assert read_look(told).variant == FOUND


@pytest.mark.parametrize(
    "change",
    [
        {"model": 3},
        {"model": "x" * 10_000},
        {"name": None},
        {"variant": {"seed": -1, "rerolls": []}},
        {"variant": {"seed": 0, "rerolls": [{"seed": 1}]}},
        {"variant": {"seed": 0, "rerolls": "abc"}},
        {"plan": [{"locked": True, "variants": []}]},
        {"plan": [{"locked": True, "variants": [{"seed": 0, "rerolls": []}]}] * 17},
        {"plan": {"a": 1}},
        {"variant": {"seed": 0, "rerolls": [], "look": 1}},
        {"variant": {"seed": 0, "rerolls": [], "look": -1}},
        {"variant": {"seed": 0, "rerolls": [], "look": True}},
        {"noises": [{"noise": "x", "labels": []}]},
        {"noises": []},
        {"looks": [{"name": "a", "model": "m", "variant": {"seed": 0, "rerolls": []}}] * 2},
        {"looks": [{"name": "", "model": "m", "variant": {"seed": 0, "rerolls": []}}]},
        {"looks": {}},
    ],
)
def test_what_was_tampered_with_is_no_look(change):
    assert read_look(content() | change) is None


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"model": ""}])
def test_what_is_no_look_is_none(value):
    assert read_look(value) is None

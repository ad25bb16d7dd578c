# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the label canvas accepts from outside and sends to the browser."""

import json
import tracemalloc
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from dpsims_hf.demo.canvas import label_canvas
from dpsims_hf.demo.canvas.label_canvas import MAX_PIXELS, LabelCanvas, decode_runs, encode_runs


CLASSES = [{"id": i, "name": f"class {i}", "color": [i, 0, 255 - i]} for i in range(5)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (13, 29), (64, 64)])
@pytest.mark.parametrize("num_labels", [1, 2, 5, 1000])
def test_a_map_survives_the_way_there_and_back(shape, num_labels):
    label_map = np.random.default_rng(0).integers(0, num_labels, shape)
    payload = json.loads(json.dumps(encode_runs(label_map)))
    decoded = decode_runs(payload, num_labels)
    assert decoded.dtype == np.int64 and np.array_equal(decoded, label_map)


def test_runs_are_as_long_as_they_can_be_and_cross_rows():
    label_map = np.array([[3, 3, 3], [3, 300, 300]], dtype=np.uint16)
    assert encode_runs(label_map) == {"width": 3, "height": 2, "runs": [3, 4, 300, 2]}


@pytest.mark.parametrize(
    "label_map",
    [
        np.zeros(4, int),
        np.zeros((0, 4), int),
        np.zeros((2, 2)),
        np.full((2, 2), -1),
        np.zeros((1, MAX_PIXELS + 1), "u1"),
    ],
    ids=["1-D", "empty", "floats", "negative", "too large"],
)
def test_what_is_no_label_map_is_not_encoded(label_map):
    with pytest.raises(ValueError):
        encode_runs(label_map)


HOSTILE = {
    "a string": "sky",
    "a list": [0, 4],
    "no runs": {"width": 2, "height": 2},
    "text as width": {"width": "2", "height": 2, "runs": [0, 4]},
    "true as width": {"width": True, "height": 4, "runs": [0, 4]},
    "float as height": {"width": 2, "height": 2.0, "runs": [0, 4]},
    "no width": {"width": 0, "height": 2, "runs": [0, 4]},
    "negative size": {"width": -2, "height": -2, "runs": [0, 4]},
    "too large": {"width": 10**9, "height": 10**9, "runs": [0, 10**18]},
    "a little too large": {"width": MAX_PIXELS + 1, "height": 1, "runs": [0, MAX_PIXELS + 1]},
    "runs is a word": {"width": 2, "height": 2, "runs": "sky road"},
    "text with too few pixels": {"width": 2, "height": 2, "runs": "0 3"},
    "text with a negative count": {"width": 2, "height": 2, "runs": "0 5 1 -1"},
    "text with foreign digits": {"width": 2, "height": 2, "runs": "٠ ٤"},
    "text with a huge number": {"width": 2, "height": 2, "runs": "0 " + "9" * 5000},
    "long text": {"width": 2, "height": 2, "runs": "0 1 " * 10**6},
    "no pixels": {"width": 2, "height": 2, "runs": []},
    "a count is missing": {"width": 2, "height": 2, "runs": [0, 4, 1]},
    "more runs than pixels": {"width": 2, "height": 2, "runs": [0, 1] * 5},
    "too few pixels": {"width": 2, "height": 2, "runs": [0, 3]},
    "too many pixels": {"width": 2, "height": 2, "runs": [0, 3, 1, 2]},
    "no count": {"width": 2, "height": 2, "runs": [0, 4, 1, 0]},
    "negative count": {"width": 2, "height": 2, "runs": [0, 5, 1, -1]},
    "negative label": {"width": 2, "height": 2, "runs": [-1, 4]},
    "unknown label": {"width": 4, "height": 4, "runs": [5, 16]},
    "huge label": {"width": 2, "height": 2, "runs": [10**30, 4]},
    "huge counts": {"width": 2, "height": 2, "runs": [0, 2**63, 1, 2**63]},
    "float label": {"width": 2, "height": 2, "runs": [0.5, 4]},
    "true as label": {"width": 2, "height": 2, "runs": [True, 4]},
    "null as label": {"width": 2, "height": 2, "runs": [None, 4]},
    "a list as label": {"width": 2, "height": 2, "runs": [[0], 4]},
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_payload_is_refused_in_one_line(payload):
    canvas = LabelCanvas(classes=CLASSES, render=False)
    with pytest.raises(ValueError) as refusal:
        decode_runs(payload, len(CLASSES))
    message = str(refusal.value)
    assert message.startswith("label") and "\n" not in message and len(message) < 200
    with pytest.raises(gr.Error) as shown:
        canvas.preprocess(payload)
    assert shown.value.message == message and not shown.value.print_exception


def test_a_small_payload_cannot_take_much_memory():
    tracemalloc.start()
    with pytest.raises(ValueError, match="runs cover 4 pixels"):
        decode_runs({"width": 2000, "height": 2000, "runs": [0, 4]}, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_the_largest_map_is_accepted():
    payload = {"width": 2000, "height": 2000, "runs": [4, MAX_PIXELS - 1, 0, 1]}
    label_map = decode_runs(payload, 5)
    assert label_map.shape == (2000, 2000) and label_map[0, 0] == 4 and label_map[-1, -1] == 0
    assert encode_runs(label_map) == payload


def test_the_component_takes_and_gives_arrays():
    label_map = np.array([[0, 1], [4, 4]])
    canvas = LabelCanvas(label_map, classes=CLASSES, eraser_label=4, render=False)
    assert canvas.value == {"width": 2, "height": 2, "runs": "0 1 1 1 4 2"}
    assert np.array_equal(canvas.preprocess(canvas.value), label_map)
    assert canvas.preprocess(None) is None and canvas.postprocess(None) is None
    assert canvas.get_config()["props"] == {
        "classes": CLASSES,
        "eraser_label": 4,
        "underlay": "",
        "first_label": 0,
        "owner": "",
        "fit": None,
        "keep": "",
        "doubts": None,
        "guide": "",
        "live_interval_ms": 150,
    }
    json.dumps(canvas.get_config())


def test_a_map_with_other_classes_is_refused():
    with pytest.raises(ValueError, match="label id 5 out of range: there are 5 classes, 0..4"):
        LabelCanvas(np.full((2, 2), 5), classes=CLASSES, render=False)


def test_classes_are_numbered_in_order():
    with pytest.raises(ValueError, match="number 0 has id 1"):
        LabelCanvas(classes=CLASSES[1:], render=False)


def test_paint_keeps_the_last_event_and_hides_the_progress():
    with gr.Blocks() as demo:
        canvas = LabelCanvas(classes=CLASSES)
        canvas.paint(lambda label_map: None, canvas, None)
        gr.on([canvas.paint], lambda label_map: None, canvas, None, trigger_mode="always_last")
    dependencies = demo.get_config_file()["dependencies"]
    assert [dependency["targets"] for dependency in dependencies] == [[(canvas._id, "paint")]] * 2
    assert [dependency["trigger_mode"] for dependency in dependencies] == ["always_last"] * 2
    assert dependencies[0]["show_progress"] == "hidden"


def test_the_page_of_the_canvas_survives_the_templates_of_gradio():
    """gradio reads the HTML and the CSS as Handlebars and as a JavaScript template string."""
    canvas = LabelCanvas(classes=CLASSES, render=False)
    for text in (canvas.html_template, canvas.css_template):
        assert not any(mark in text for mark in ("`", "${", "{{", "\\"))
    assert "http" not in canvas.html_template + canvas.css_template + canvas.js_on_load


def test_no_stub_is_written_beside_the_source():
    assert not Path(label_canvas.__file__).with_suffix(".pyi").exists()

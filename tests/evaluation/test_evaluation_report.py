# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Tables, page and card of an evaluation, from results written by hand."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from dpsims_hf.evaluation.measures import Outcome
from dpsims_hf.evaluation.report import draw_grid, log_lines, markdown_table, write_report
from dpsims_hf.evaluation.report.card import insert_section, write_card
from dpsims_hf.evaluation.runner import summarize


RESULTS: dict[str, Any] = {
    "source": {"kind": "generator", "model": "tiny"},
    "dataset": {
        "name": "two <classes>",
        "repository": None,
        "split": "val",
        "num_images": 4,
        "split_images": 8,
        "classes": ["sky & air", "road"],
    },
    "image_size": [32, 64],
    "photos": "photos resized somehow",
    "label_maps": "labels by nearest",
    "seeds": [0, 1],
    "warnings": ["a <warning>"],
    "protocols": {
        "fid_legacy": {
            "facts": {
                "title": "FID",
                "features": "inception",
                "weights_sha256": "6726825d" * 8,
                "resize": "299x299",
                "images": "1 per map",
                "void": "void counts",
                "source": "somewhere",
            },
            "values": {"fid": {"mean": 44.6, "std": 0.18, "per_seed": [44.5, 44.7]}},
            "per_class": {},
            "warnings": [],
            "random_weights": {"fid": 400.0},
        },
        "miou_own": {
            "facts": {
                "title": "mIoU",
                "segmenter": "own:x",
                "weights_sha256": "ab" * 32,
                "resize": "none",
                "images": "1 per map",
                "void": "void is left out",
                "source": "ours",
            },
            "values": {
                "mean_iou": {"mean": 0.25, "std": None, "per_seed": [0.25]},
                "object_mean_iou": {"mean": None, "std": None, "per_seed": [None]},
                "num_classes_counted": {"mean": 2.0, "std": None, "per_seed": [2]},
            },
            "per_class": {"iou": [0.5, None]},
            "warnings": [],
            "real_photos": {"mean_iou": 0.75, "object_mean_iou": None},
        },
    },
    "throughput": {"seconds": 2.0, "images": 8, "images_per_second": 4.0, "shares": {"generation": 0.75}},
}
CARD = "---\nlicense: mit\ntags:\n- gan\n---\n\n# Name\n\n## Results\n\nNot measured.\n\n## Limits\n\nMany.\n"


def test_every_line_of_the_log_has_its_protocol_and_its_ceiling():
    lines = log_lines(RESULTS)
    assert lines[0] == "FID 44.6 ± 0.18 (random weights 400)  [fid_legacy, lower is better]"
    assert lines[1] == "mean IoU 0.25 (real photos 0.75)  [miou_own, higher is better]"
    assert lines[2] == "2 classes counted  [miou_own]"
    assert lines[3] == "8 images in 2.0 s, 4.00/s: generation 75 %"


def test_markdown_has_a_column_per_reference():
    assert markdown_table(RESULTS).splitlines() == [
        "| value | protocol | this model | real photos | random weights | better |",
        "| --- | --- | --- | --- | --- | --- |",
        "| FID | `fid_legacy` | 44.6 ± 0.18 |  | 400 | lower |",
        "| mean IoU | `miou_own` | 0.25 | 0.75 |  | higher |",
    ]


def test_page_escapes_names_and_shows_pictures(tmp_path: Path):
    picture = np.zeros((32, 64, 3), dtype=np.uint8)
    example = {"label": picture, "real": picture, "generated": picture + 255, "caption": "a < b"}
    write_report(RESULTS, tmp_path, {"examples": [example]})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "two &lt;classes&gt;" in page and "sky &amp; air" in page and "a &lt;warning&gt;" in page
    assert 'src="examples.png" alt="a &lt; b"' in page
    assert (tmp_path / "per_class.csv").read_text().splitlines() == [
        "id,class,iou (miou_own)",
        "0,sky & air,0.5",
        "1,road,",
    ]


EVIL = "![x](http://evil/p.png)<img src=x onerror=alert(1)><!-- evaluation: end -->|\x1b[2J"


def test_names_of_strangers_are_text_in_cards_and_tables(tmp_path: Path):
    """Whoever reads a card on the Hub asks no other server; spreadsheets compute nothing."""
    results = copy.deepcopy(RESULTS)
    results["dataset"] |= {"name": EVIL, "classes": ['=HYPERLINK("http://evil")', f"@{EVIL}"]}
    results["protocols"]["miou_own"]["facts"]["segmenter"] = EVIL
    (tmp_path / "README.md").write_text(CARD, encoding="utf-8")
    write_card(tmp_path, results)
    first = (tmp_path / "README.md").read_text(encoding="utf-8")
    write_card(tmp_path, results)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == first
    write_report(results, tmp_path, {})
    table = (tmp_path / "per_class.md").read_text(encoding="utf-8")
    for text in (ModelCard.load(tmp_path / "README.md").text, table):
        assert "evil" in text and "![" not in text and "<img" not in text and "\x1b" not in text
    rows = (tmp_path / "per_class.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1].startswith("0,\"'=HYPER") and rows[2].startswith("1,'@!")


def test_grid_shows_each_picture_in_its_column():
    colors = {"label": (255, 0, 0), "real": (0, 255, 0), "generated": (0, 0, 255)}
    example = {name: np.full((32, 64, 3), color, dtype=np.uint8) for name, color in colors.items()}
    grid = np.asarray(draw_grid([example | {"caption": ""}]))
    for column, color in enumerate(colors.values()):
        found = np.argwhere((grid == color).all(axis=-1))
        assert len(found) == (3 * 32) * (3 * 64)  # narrow pictures are enlarged three times
        assert found[:, 1].min() == 6 + column * (3 * 64 + 6)


def test_card_is_filled_once(tmp_path: Path):
    (tmp_path / "README.md").write_text(CARD)
    write_card(tmp_path, RESULTS)
    once = (tmp_path / "README.md").read_text(encoding="utf-8")
    write_card(tmp_path, RESULTS)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == once
    assert "Not measured." not in once and once.endswith("## Limits\n\nMany.\n")
    assert "`fid_legacy`: inception (weights SHA-256 6726825d6726825d...)" in once
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.tags) == ("mit", ["gan"])
    [fid, mean_iou] = card.data.eval_results
    assert (fid.metric_type, fid.metric_value, fid.metric_args["std"]) == ("fid_legacy", 44.6, 0.18)
    assert (fid.dataset_type, fid.dataset_name) == ("two-classes", "two <classes>")
    assert (mean_iou.metric_value, mean_iou.metric_args["real_photos"]) == (0.25, 0.75)


def test_card_keeps_values_of_other_protocols(tmp_path: Path):
    (tmp_path / "README.md").write_text(CARD)
    write_card(tmp_path, RESULTS)
    later = copy.deepcopy(RESULTS)
    del later["protocols"]["miou_own"]
    later["protocols"]["fid_legacy"]["values"]["fid"]["mean"] = 40.0
    write_card(tmp_path, later)
    values = {r.metric_type: r.metric_value for r in ModelCard.load(tmp_path / "README.md").data.eval_results}
    assert values == {"fid_legacy": 40.0, "miou_own": 0.25}


def test_a_card_without_a_place_gets_one():
    text = insert_section("# Name\n\nWords.\n", "table")
    assert text == "# Name\n\nWords.\n\n## Evaluation\n\n<!-- evaluation: start -->\ntable\n<!-- evaluation: end -->\n"
    assert insert_section(text, "other") == text.replace("table", "other")


def test_an_unreadable_card_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="README.md is missing"):
        write_card(tmp_path, RESULTS)
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n\n# Name\n")
    with pytest.raises(ValueError, match="its front matter cannot be read"):
        write_card(tmp_path, RESULTS)


def test_spread_over_seeds():
    outcomes = [Outcome({"fid": 1.0, "other": None}, {"iou": [0.5, None]}, ["w"]), Outcome({"fid": 3.0, "other": 2.0})]
    outcomes[1].per_class, outcomes[1].warnings = {"iou": [1.0, None]}, ["w"]
    summary = summarize(outcomes)
    assert summary["values"]["fid"] == {"mean": 2.0, "std": pytest.approx(2**0.5), "per_seed": [1.0, 3.0]}
    assert summary["values"]["other"] == {"mean": 2.0, "std": None, "per_seed": [None, 2.0]}
    assert summary["per_class"] == {"iou": [0.75, None]} and summary["warnings"] == ["w"]

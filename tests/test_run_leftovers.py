# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a killed run leaves behind: pieces of lines, links and files in a checkpoint's place."""

import json
from pathlib import Path

import pytest

from dpsims_hf.data.reading.bad_samples import BadSamples
from dpsims_hf.training.run.reporting import JSONLTracker, draw_curves
from dpsims_hf.training.run.run_folder import remove


@pytest.mark.parametrize("rest", [b'{"step": 3, "a', b"\0" * 100, b'[1]\n{}\n5\n{"step": "x"}', b"[[" * 100_000])
def test_pieces_of_a_line_spoil_no_curves(tmp_path, rest):
    pytest.importorskip("matplotlib")
    tracker = JSONLTracker("run", tmp_path)
    tracker.log({"loss": 1.0}, step=1)
    tracker.path.write_bytes(tracker.path.read_bytes() + rest)
    tracker.log({"loss": 2.0}, step=2)
    assert json.loads(tracker.path.read_bytes().splitlines()[-1]) == {"step": 2, "loss": 2.0}
    draw_curves(tracker.path, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()


def test_pieces_of_a_line_among_bad_samples(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"sample": "a", "reason": "x"}\n[1]\n{"sampl')
    samples = BadSamples(3, tmp_path / "bad.jsonl")
    samples.report("b", ValueError("x"))
    assert samples.known == {"a", "b"}


def test_links_and_files_in_the_way_are_removed_and_what_they_point_to_stays(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "file").touch()
    for name in ("link", "file", "absent"):
        remove(tmp_path / name)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["there"]

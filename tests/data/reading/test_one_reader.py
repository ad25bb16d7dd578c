# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""One table of files: processor, training, page and zip give the same right answer, or refuse in the same words."""

import re

import numpy as np
import pytest
from label_file_cases import CASES, COLORS, LABELS, SPEC, WAYS, by_processor, encoded


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_is_read_right_or_refused(name, way, tmp_path):
    case = CASES[name]
    path = tmp_path / "map.png"
    path.write_bytes(case.content)
    if isinstance(case.expected, str):
        with pytest.raises(ValueError, match=case.expected) as error:
            WAYS[way](path, case.reading)
        assert "\n" not in str(error.value) and "map.png" in str(error.value) or "a.png" in str(error.value)
        return
    if way in ("zip", "training") and (case.expected == SPEC.void_label_id).all():
        with pytest.raises(ValueError, match="no labelled pixel in"):
            WAYS[way](path, case.reading)
        return
    assert np.array_equal(WAYS[way](path, case.reading), case.expected)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not isinstance(case.expected, str)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_result_tells_the_reading(name, tmp_path):
    case = CASES[name]
    path = tmp_path / "map.png"
    path.write_bytes(case.content)
    reading = by_processor(path, case.reading).reading
    assert reading.name == case.decided
    assert re.search(r"\d\.\d % of the pixels exactly", reading.why)
    assert 0 <= reading.exact_pixels <= reading.pixels <= case.expected.size


def test_ids_that_may_start_at_1(tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(CASES["ids from 1"].content)  # with 0, so no doubt
    assert by_processor(path, None).reading.notes == ()
    path.write_bytes(encoded(np.where(LABELS % 4 == 0, 1, LABELS).astype(np.uint8)))  # no 0, and no 4 either
    assert "no sky (0) in it; if ids start at 1" in by_processor(path, None).reading.notes[0]


def test_a_tiff_that_loses_values_is_refused(tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(encoded(COLORS[np.kron(LABELS, np.ones((2, 2), int))], "TIFF", compression="jpeg"))
    with pytest.raises(ValueError, match="a TIFF with inverted greys or JPEG inside"):
        by_processor(path, None)

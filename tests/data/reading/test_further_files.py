# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Further tools' files: processor, training, page and zip give the same right answer, or refuse with the reason."""

import numpy as np
import pytest
from further_files import FILES
from label_file_cases import WAYS

from dpsims_hf.data.reading.rows import RowDecoder
from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.demo.uploads.limits import check_photo
from dpsims_hf.image_processing_files import read_photo


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_four_ways_to_one_answer(name, tmp_path):
    file = FILES[name]
    for way, read in WAYS.items():
        path = tmp_path / way / "map.png"
        path.parent.mkdir()
        path.write_bytes(file.content)
        if isinstance(file.expected, str):
            with pytest.raises(ValueError, match=file.expected) as error:
                read(path, file.reading, file.spec)
            assert "\n" not in str(error.value), way
        else:
            assert np.array_equal(read(path, file.reading, file.spec), file.expected), way


@pytest.mark.parametrize("name", ["APNG", "TIFF of two pages", "animated GIF", "animated WebP"])
def test_a_photo_of_several_pages_is_refused_everywhere(name, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(FILES[name].content)
    decoder, row = RowDecoder(load_label_preset("camvid"), "set"), {"image": {"path": str(path), "bytes": None}}
    reads = (read_photo, check_photo, lambda _: decoder.photo(row, 0), lambda _: decoder.photo_size(row, 0))
    for read in reads:
        with pytest.raises(ValueError, match=r"photo.png: an? (APNG|TIFF|GIF|WEBP) file, (animated|of several pages)"):
            read(path)

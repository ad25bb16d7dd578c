# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Sets without a labelled pixel, and tables with empty cells: told before the first step."""

import io
import zipfile

import datasets
import numpy as np
import pytest
from label_file_cases import LABELS, SPEC, STORED, encoded

from dpsims_hf.data import SemanticImageDataset
from dpsims_hf.data.inspect import main as inspect
from dpsims_hf.data.reading.bad_samples import BadSamples
from dpsims_hf.data.reading.cache_folder import content_fingerprint
from dpsims_hf.data.streaming import StreamingSemanticDataset
from dpsims_hf.data.transforms import JointTransform
from dpsims_hf.demo.uploads.label_files import read_label_file
from dpsims_hf.demo.uploads.pair_archives import read_pairs


TRANSFORM = JointTransform((16, 32))
ALL_VOID = encoded(np.full(LABELS.shape, 255, np.uint8))
LABELLED = encoded(STORED.astype(np.uint8))
PHOTO = encoded(np.zeros((*LABELS.shape, 3), np.uint8))


def table(*label_maps: bytes | None, photo: bytes | None = PHOTO) -> datasets.Dataset:
    features = datasets.Features(dict.fromkeys(("image", "label_map"), datasets.Image(decode=False)))
    cells = [None if data is None else {"bytes": data, "path": None} for data in label_maps]
    photos = [None if photo is None else {"bytes": photo, "path": None}] * len(cells)
    return datasets.Dataset.from_dict({"image": photos, "label_map": cells}, features)


def dataset(*label_maps: bytes | None, **kwargs) -> SemanticImageDataset:
    return SemanticImageDataset(table(*label_maps), SPEC, TRANSFORM, name="streets", **kwargs)


def test_a_set_without_a_labelled_pixel_is_refused_before_training():
    with pytest.raises(ValueError, match=r"streets: no labelled pixel in 2 label maps, all are void; .*inspect"):
        dataset(ALL_VOID, ALL_VOID).validate(progress=False)


def test_a_set_that_is_mostly_void_is_warned_of_with_the_share():
    with pytest.warns(UserWarning, match=r"70\.8 % of the pixels are void, 2 of 3 label maps have no labelled pixel"):
        dataset(ALL_VOID, ALL_VOID, LABELLED).validate(progress=False)


def test_a_stream_without_a_labelled_pixel_is_refused():
    def stream(*maps):
        return StreamingSemanticDataset(table(*maps).to_iterable_dataset(), SPEC, TRANSFORM, name="streets")

    with pytest.raises(ValueError, match="streets, its first rows: no labelled pixel in 3 label maps"):
        stream(ALL_VOID, ALL_VOID, ALL_VOID).validate()
    stream(ALL_VOID, LABELLED).validate()


def test_inspect_calls_an_empty_label_map_a_problem(tmp_path, capsys):
    for name, data in {"a": ALL_VOID, "b": LABELLED}.items():
        for folder, content in {"images": PHOTO, "labels": data}.items():
            (tmp_path / "train" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "train" / folder / f"{name}.png").write_bytes(content)
    SPEC.to_json(tmp_path / "classes.json")
    assert inspect([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "1 problem\n" in out and "a.png: no labelled pixel, all of it is void" in out


def test_the_page_says_it_and_a_zip_file_of_such_maps_is_refused():
    processor = SPEC.image_processor()
    notes = read_label_file(io.BytesIO(ALL_VOID), processor, name="a.png").notes
    assert "no labelled pixel: all of it is void" in notes
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("images/a.png", PHOTO)
        archive.writestr("labels/a.png", ALL_VOID)
    stream.seek(0)
    with pytest.raises(ValueError, match="no labelled pixel in any label map"):
        read_pairs(stream, processor)


# -- empty cells ------------------------------------------------------------------------------------------------------


def test_an_empty_cell_is_one_bad_sample_by_row_and_column():
    found = dataset(LABELLED, LABELLED, LABELLED, None)
    with pytest.raises(ValueError, match="streets, row 3, column label_map: empty"):
        found.validate(progress=False)
    with pytest.raises(ValueError, match="streets, row 3, column label_map: empty"):
        found.arrays(3)
    allowed = dataset(LABELLED, LABELLED, LABELLED, None, bad_samples=BadSamples(1))
    allowed.validate(progress=False)
    assert len(allowed.bad_samples.known) == 1 and allowed[3, 0]["label_map"].shape == (16, 32)


def test_an_empty_photo_is_named_too():
    found = SemanticImageDataset(table(LABELLED, photo=None), SPEC, TRANSFORM, name="streets")
    with pytest.raises(ValueError, match="streets, row 0, column image: empty"):
        found.validate(progress=False)
    assert content_fingerprint(found.table, SPEC)


def test_inspect_names_empty_cells(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    table(LABELLED, None).to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    SPEC.to_json(tmp_path / "classes.json")
    assert inspect([str(tmp_path)]) == 1
    assert "row 1, column label_map: empty; fill the cell, or remove the row" in capsys.readouterr().out

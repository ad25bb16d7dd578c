# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Streams: every row once in an epoch over processes and workers, exact resume, rare classes, bad rows, training."""

import io
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from parquet_folders import SHARD_ROWS, write_parquet
from PIL import Image
from scipy.stats import chisquare
from torch.utils.data import DataLoader

from dpsims_hf.data import DatasetSpec, JointTransform, SemanticImageDataset, class_frequencies, rare_class_weights
from dpsims_hf.data.reading.bad_samples import BadSampleError, BadSamples
from dpsims_hf.data.samplers import ClassFrequencies
from dpsims_hf.data.sources.hub_loading import resolve_hub_dataset
from dpsims_hf.data.streaming import STATE, StreamingSemanticDataset, collate_stream, open_stream, resplit
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC, draw_scene
from dpsims_hf.training.batches import TrainingBatches
from dpsims_hf.training.options import resolve_options


pytestmark = pytest.mark.integration


SIZE = (16, 32)
ROWS = sum(SHARD_ROWS)


def stream_of(folder: Path, **settings) -> StreamingSemanticDataset:
    found = resolve_hub_dataset(folder)
    settings = {"shuffle_buffer": 5, "name": "stream", "seed": 3, **settings}
    return StreamingSemanticDataset(open_stream(found, "train"), found.spec, JointTransform(SIZE), **settings)


def first_samples(dataset: StreamingSemanticDataset, count: int) -> list[dict]:
    return list(islice(dataset, count))


# --- split and shuffle -------------------------------------------------------------------------------------------


def test_an_epoch_has_every_row_once_and_the_next_another_order(folder):
    indices = [sample["index"] for sample in first_samples(stream_of(folder), 2 * ROWS)]
    epochs = [indices[:ROWS], indices[ROWS:]]
    assert len(set(epochs[0])) == ROWS and set(epochs[0]) == set(epochs[1]) and epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])
    other = [sample["index"] for sample in first_samples(stream_of(folder, seed=4), ROWS)]
    assert set(other) == set(epochs[0]) and other != epochs[0]
    again = [sample["index"] for sample in first_samples(stream_of(folder), ROWS)]
    assert again == epochs[0]


@pytest.mark.parametrize(("processes", "workers"), [(1, 2), (2, 2), (3, 1), (5, 2)])
def test_processes_and_workers_share_an_epoch_out(folder, processes, workers):
    """Ten lanes have fewer shards than lanes (eight): then rows are dealt."""
    seen: Counter[int] = Counter()
    for process in range(processes):
        dataset = stream_of(folder, process_index=process, num_processes=processes)
        loader = DataLoader(dataset, 1, num_workers=workers, collate_fn=collate_stream)
        done = set()
        for batch in loader:
            if batch[STATE]["epoch"] == 0:
                seen.update(batch["index"].tolist())
            else:
                done.add(batch[STATE]["lane"])
            if len(done) == workers:
                break
    assert len(seen) == ROWS and set(seen.values()) == {1}


def test_samples_are_those_of_the_map_style_set(folder):
    """Without crop and flip, every sample of a stream is a row of the set, whatever the order."""
    rows = SemanticImageDataset.from_hub(folder, "train", JointTransform((32, 64), horizontal_flip=0.0))
    found = resolve_hub_dataset(folder)
    stream = StreamingSemanticDataset(
        open_stream(found, "train"), found.spec, JointTransform((32, 64), horizontal_flip=0.0)
    )
    samples = first_samples(stream, ROWS)
    expected = {rows[index]["label_map"].numpy().tobytes(): rows[index] for index in range(ROWS)}
    for sample in samples:
        row = expected.pop(sample["label_map"].numpy().tobytes())
        assert torch.equal(row["pixel_values"], sample["pixel_values"])
    assert not expected


def test_bytes_arrive_as_they_are_stored_under_any_column_name(tmp_path):
    """A JPEG that is encoded again differs; a palette's indices may become colours."""
    import datasets

    photo, labels, _ = draw_scene((32, 64), 0)
    files = {"photo": io.BytesIO(), "mask": io.BytesIO()}
    Image.fromarray(photo).save(files["photo"], "JPEG", quality=60)
    palette = Image.fromarray(labels, "L").convert("P")
    palette.putdata(labels.ravel().tolist())
    palette.putpalette([255 - i // 3 for i in range(768)])
    palette.save(files["mask"], "PNG")
    rows = {column: [{"bytes": file.getvalue(), "path": column}] for column, file in files.items()}
    features = datasets.Features(dict.fromkeys(rows, datasets.Image()))
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "rows.parquet"))
    kwargs = {"data_files": str(tmp_path / "*.parquet")}
    found = resolve_hub_dataset("parquet", SYNTHETIC_SPEC, "photo", "mask", load_kwargs=kwargs)
    [row] = open_stream(found, "train")
    assert [row["image"]["bytes"], row["label_map"]["bytes"]] == [file.getvalue() for file in files.values()]


def test_more_lanes_than_rows_is_a_clear_error(folder, tmp_path):
    write_parquet(tmp_path / "tiny.parquet", [draw_scene((32, 64), 0)[:2]], 4)
    found = resolve_hub_dataset("parquet", SYNTHETIC_SPEC, load_kwargs={"data_files": str(tmp_path / "*.parquet")})
    table = open_stream(found, "train")
    streams = [
        StreamingSemanticDataset(table, found.spec, JointTransform(SIZE), process_index=rank, num_processes=2)
        for rank in range(2)
    ]
    with pytest.raises(ValueError, match=r"more workers in all processes \(2\) than rows"):
        for stream in streams:
            first_samples(stream, 2)


# --- resume ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rare", [False, True])
def test_a_lane_goes_on_exactly_at_any_position(folder, rare):
    """Also within a block, across epochs, and with estimated class frequencies."""
    whole = first_samples(stream_of(folder, rare_classes=rare), 80)
    for stop in (0, 1, 4, 5, 17, 33, 50, 71):
        stream = stream_of(folder, rare_classes=rare)
        if stop:
            state = json.loads(json.dumps(whole[stop - 1][STATE]))
            state.pop("lane")
            stream.start_from([state])
        rest = first_samples(stream, 80 - stop)
        for expected, sample in zip(whole[stop:], rest, strict=True):
            assert expected["index"] == sample["index"] and expected[STATE] == sample[STATE]
            assert torch.equal(expected["pixel_values"], sample["pixel_values"])


def test_another_number_of_lanes_begins_the_next_epoch(folder):
    states = [sample[STATE] for sample in first_samples(stream_of(folder, rare_classes=True), 45)[-1:]]
    new = resplit(states, 3)
    assert len(new) == 3 and all(state["epoch"] == states[0]["epoch"] + 1 for state in new)
    assert all(state["seen"] == states[0]["seen"] > 0 for state in new)
    assert min(state["draws"] for state in new) * 3 > states[0]["draws"] + states[0]["offset"]
    seen = []
    for lane in range(3):
        stream = stream_of(folder, process_index=lane, num_processes=3)
        stream.start_from(new[lane : lane + 1])
        for sample in stream:
            if sample[STATE]["epoch"] != new[0]["epoch"]:
                break
            seen.append(sample["index"])
    assert len(seen) == len(set(seen)) == ROWS


@pytest.fixture
def accelerator():
    AcceleratorState._reset_state(True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(True)


def batches_of(folder: Path, accelerator: Accelerator, workers: int) -> TrainingBatches:
    overrides = {"data.workers": workers, "training.batch_size": 3, "data.streaming": True}
    options = resolve_options("tiny", [(*name.split("."), value, "test") for name, value in overrides.items()])
    return TrainingBatches(options, stream_of(folder, rare_classes=True), accelerator)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_stream_go_on_exactly(folder, accelerator, workers, caplog):
    first = batches_of(folder, accelerator, workers)
    whole = []
    for number, batch in enumerate(islice(first, 21)):
        assert STATE not in batch
        whole.append(batch)
        if number == 12:
            first.mark()
    second = batches_of(folder, accelerator, workers)
    second.resume(json.loads(json.dumps(first.position())), 13)
    for expected, batch in zip(whole[13:], islice(second, 8), strict=True):
        assert all(torch.equal(expected[key], batch[key]) for key in expected)
    assert not caplog.records
    other = batches_of(folder, accelerator, 3)
    other.resume(first.position(), 13)
    assert "the rest of its epoch is left out" in caplog.text and next(iter(other))["index"].shape == (3,)


# --- rare classes ------------------------------------------------------------------------------------------------

RARE_SPEC = DatasetSpec("rare", ("a", "b", "c", "d", "void"), tuple((i, 0, 0) for i in range(5)), 4, (255,))
RARE_ROWS = 180


@pytest.fixture(scope="module")
def rare_folder(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """Images of 4x4 pixels; classes b, c, d occur in about 40, 12 and 3 percent of them. Returns the presence too."""
    root = tmp_path_factory.mktemp("rare")
    RARE_SPEC.to_json(root / "classes.json")
    rng = np.random.default_rng(1)
    presence = rng.random((RARE_ROWS, 5)) < np.array([1.0, 0.4, 0.12, 0.03, 0.5])
    presence[0, 1:4] = True
    rows = []
    for row in presence:
        labels = np.zeros((4, 4), dtype=np.uint8)
        labels[1, np.flatnonzero(row[1:4])] = np.flatnonzero(row[1:4]) + 1
        labels[3] = 255 if row[4] else 0
        rows.append((np.zeros((4, 4, 3), dtype=np.uint8), labels))
    write_parquet(root / "train-00000-of-00001.parquet", rows, 60)
    return root, presence


def rare_counts(folder: Path, epochs: int, **settings) -> np.ndarray:
    """How often each row was delivered; `index` holds the shard (60 rows) in its upper bits."""
    found = resolve_hub_dataset(folder)
    stream = StreamingSemanticDataset(
        open_stream(found, "train"),
        found.spec,
        JointTransform((4, 4)),
        shuffle_buffer=100,
        rare_classes=True,
        **settings,
    )
    counts = np.zeros(RARE_ROWS)
    for sample in stream:
        if sample[STATE]["epoch"] == epochs:
            return counts
        counts[(sample["index"] >> 32) * 60 + (sample["index"] & 0xFFFFFFFF)] += 1
    raise AssertionError("a stream has no end")


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_a_stream_follows_the_inverse_root_of_the_rarest_class(rare_folder, known):
    folder, presence = rare_folder
    frequencies = ClassFrequencies.from_presence(presence, 4) if known else None
    epochs = 20
    counts = rare_counts(folder, epochs, frequencies=frequencies, seed=2)
    expected = rare_class_weights(presence, 4).numpy()
    # Once on average, so that no more is read than delivered.
    assert counts.sum() / (epochs * RARE_ROWS) == pytest.approx(1.0, abs=0.02)
    kinds = {weight: np.isclose(expected, weight) for weight in np.unique(expected.round(12))}
    shares = [(counts[rows].sum() / counts.sum(), expected[rows].sum()) for rows in kinds.values()]
    assert len(kinds) == 4
    for share, wanted in shares:
        assert share == pytest.approx(wanted, rel=0.04)
    # Drawing copies by rounding varies less than drawing with replacement: the statistic must be small, not just fit.
    assert chisquare(counts, expected * counts.sum()).pvalue > 0.01
    plain = np.full(RARE_ROWS, counts.sum() / RARE_ROWS)
    assert chisquare(counts, plain).pvalue < 1e-12


def test_the_first_pass_writes_what_the_map_style_set_counts(rare_folder, tmp_path, capsys):
    folder, presence = rare_folder
    output = tmp_path / "frequencies.json"
    assert class_frequencies.main([str(folder), "--output", str(output)]) == 0
    assert f"{RARE_ROWS} images, 5 labels occur" in capsys.readouterr().out
    written = ClassFrequencies.from_json(output, 5)
    dataset = SemanticImageDataset.from_hub(folder, "train", JointTransform((4, 4)))
    counted = dataset.class_presence(progress=False)
    assert np.array_equal(counted[:, :4], presence[:, :4])
    assert written == ClassFrequencies.from_presence(counted, 4)
    assert class_frequencies.main([str(tmp_path / "absent"), "--output", str(output)]) == 1
    assert "error:" in capsys.readouterr().err


# --- bad rows ----------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Six rows, of which one has a cut photo and one a label out of range."""
    import datasets

    scenes = [draw_scene((32, 64), seed)[:2] for seed in range(6)]
    scenes[4] = (scenes[4][0], np.full((32, 64), 99, dtype=np.uint8))
    write_parquet(tmp_path / "rows.parquet", scenes, 4)
    table = datasets.load_dataset("parquet", data_files=str(tmp_path / "rows.parquet"), split="train")
    table = table.cast_column("image", datasets.Image(decode=False))
    table = table.cast_column("label_map", datasets.Image(decode=False))
    rows = table.to_list()
    rows[1]["image"]["bytes"] = rows[1]["image"]["bytes"][:300]
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "train.parquet"
    datasets.Dataset.from_list(rows, features=table.features).to_parquet(str(path))
    SYNTHETIC_SPEC.to_json(tmp_path / "data" / "classes.json")
    return tmp_path / "data"


@pytest.mark.parametrize("rare", [False, True])
def test_bad_rows_are_named_or_passed_over(broken, tmp_path, rare):
    with pytest.raises(BadSampleError, match=r"rows_(image_1|label_map_4)\.png"):
        first_samples(stream_of(broken, rare_classes=rare), 12)
    register = tmp_path / "bad.jsonl"
    stream = stream_of(broken, rare_classes=rare, bad_samples=BadSamples(2, register))
    samples = first_samples(stream, 40)
    assert {sample["index"] for sample in samples} == {0, 2, 3, 5}
    assert len(register.read_text().splitlines()) == 2
    with pytest.raises(BadSampleError, match="one more than --max_bad_samples 1"):
        first_samples(stream_of(broken, rare_classes=rare, bad_samples=BadSamples(1)), 12)

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Streams: every row once in an epoch over processes and workers, exact resume, rare classes, bad rows, training."""

import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from scipy.stats import chisquare
from torch.utils.data import DataLoader
from training_runs import run_here

import train_accelerate
from dpsims_hf.data import DatasetSpec, JointTransform, SemanticImageDataset, class_frequencies, rare_class_weights
from dpsims_hf.data.bad_samples import BadSampleError, BadSamples
from dpsims_hf.data.class_frequencies import ClassFrequencies
from dpsims_hf.data.hub_loading import resolve_hub_dataset
from dpsims_hf.data.streaming import STATE, StreamingSemanticDataset, collate_stream, new_state, open_stream, resplit
from dpsims_hf.data.synthetic import SYNTHETIC_SPEC, draw_scene
from dpsims_hf.training.batches import TrainingBatches
from dpsims_hf.training.options import resolve_options


pytestmark = pytest.mark.integration


ROOT = Path(__file__).parents[1]
SIZE = (16, 32)
SHARD_ROWS = (12, 9, 11)  # three files, the rows in groups of 4: eight shards
ROWS = sum(SHARD_ROWS)


def png(array: np.ndarray) -> dict[str, bytes | str]:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": ""}


def write_parquet(file: Path, rows: list[tuple[np.ndarray, np.ndarray]], group: int) -> None:
    """One file of (photo, label map) rows with embedded images."""
    import datasets

    cells = {"image": [png(photo) for photo, _ in rows], "label_map": [png(labels) for _, labels in rows]}
    for column in cells:
        for number, cell in enumerate(cells[column]):
            cell["path"] = f"{file.stem}_{column}_{number}.png"
    features = datasets.Features(dict.fromkeys(cells, datasets.Image()))
    datasets.Dataset.from_dict(cells, features=features).to_parquet(str(file), batch_size=group)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder as a Hub repository has it: data/*.parquet, train and validation, and classes.json."""
    root = tmp_path_factory.mktemp("repository")
    (root / "data").mkdir()
    SYNTHETIC_SPEC.to_json(root / "classes.json")
    first = 0
    for number, count in enumerate(SHARD_ROWS):
        scenes = [draw_scene((32, 64), seed)[:2] for seed in range(first, first + count)]
        write_parquet(root / "data" / f"train-{number:05d}-of-00003.parquet", scenes, 4)
        first += count
    scenes = [draw_scene((32, 64), 1000 + seed)[:2] for seed in range(5)]
    write_parquet(root / "data" / "validation-00000-of-00001.parquet", scenes, 4)
    return root


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


# --- training ----------------------------------------------------------------------------------------------------


run = partial(run_here, data_flag="--dataset_name", with_samples=False)


def test_training_from_a_stream_resumes_bit_for_bit(folder, tmp_path):
    """And the sample grid comes from the validation split."""
    options = ["--set", "data.streaming=true", "--set", "data.shuffle_buffer=6", "--set", "data.workers=1"]
    assert run(folder, tmp_path / "a", *options, "--max_train_steps", "4", "--sample_steps", "4") == 0
    assert run(folder, tmp_path / "b", *options, "--max_train_steps", "2") == 0
    resume = ["--resume_from_checkpoint", "latest", "--max_train_steps", "4"]
    assert run(folder, tmp_path / "b", *options, *resume) == 0
    for name in ("model.safetensors", "discriminator/model.safetensors"):
        first, second = (load_file(tmp_path / run_name / "checkpoint-4" / name) for run_name in "ab")
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert (tmp_path / "a" / "samples" / "step-000004.png").is_file()


@pytest.mark.slow
def test_two_processes_stream_and_one_goes_on(folder, tmp_path, capsys):
    """Resumed by one process, the run begins a new epoch and says so."""
    options = ["--recipe", "tiny", "--backbone_weights", "random", "--cpu", "--report_to", "jsonl"]
    options += ["--dataset_name", str(folder), "--output_dir", str(tmp_path), "--set", "data.streaming=true"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["train_accelerate.py", *options, "--max_train_steps", "1", "--sample_steps", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    position = json.loads((tmp_path / "checkpoint-1" / "training_state" / "progress.json").read_text())["data"]
    assert [lane["offset"] for lane in position["lanes"]] == [2, 2]  # a batch of two each
    assert run(folder, tmp_path, *options, "--max_train_steps", "2", "--resume_from_checkpoint", "latest") == 0
    assert "read by 2 workers in all and now is by 1" in capsys.readouterr().out
    progress = json.loads((tmp_path / "checkpoint-2" / "training_state" / "progress.json").read_text())
    assert [lane["epoch"] for lane in progress["data"]["lanes"]] == [1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"streaming": True, "cache": "disk"}, "data.cache='disk' does not go with data.streaming=true"),
        ({"class_frequencies": "f.json"}, "data.class_frequencies is for streams"),
        ({"cache": "ram"}, "choose one of auto, none, memory, disk"),
        ({"shuffle_buffer": 0}, "data.shuffle_buffer=0 must be at least 1"),
    ],
)
def test_options_that_do_not_go_together(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve_options("tiny", [("data", key, value, "test") for key, value in values.items()])


def test_a_folder_of_images_is_not_streamed(tiny_dataset_dir, tmp_path, capsys):
    arguments = ["--recipe", "tiny", "--cpu", "--train_dir", str(tiny_dataset_dir), "--output_dir", str(tmp_path)]
    assert train_accelerate.main([*arguments, "--set", "data.streaming=true"]) == 2
    assert f"not --train_dir {tiny_dataset_dir}" in capsys.readouterr().err
    AcceleratorState._reset_state(True)


def test_training_from_a_folder_of_parquet_files_map_style(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "a", "--max_train_steps", "1") == 0
    options = ["--set", "data.streaming=true", "--set", f"data.class_frequencies={tmp_path}/f.json"]
    assert run(folder, tmp_path / "b", *options) == 2
    assert "f.json: no file of class frequencies" in capsys.readouterr().err


def test_states_are_small_and_serialisable():
    assert len(json.dumps(new_state(183))) < 1000

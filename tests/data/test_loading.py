# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The decode cache, checks that are kept on disk, bad samples, rare-class draws, and where a run stands in them."""

import json
import multiprocessing
import os
import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from scipy.stats import chisquare
from torch.utils.data import DataLoader
from training_runs import run_here

from dpsims_hf.data import (
    DrawSampler,
    JointTransform,
    SemanticImageDataset,
    collate,
    rare_class_weights,
    write_synthetic_dataset,
)
from dpsims_hf.data.picture_cache import DecodedRows, decode
from dpsims_hf.data.reading.bad_samples import BadSampleError, BadSamples
from dpsims_hf.data.reading.cache_folder import computed_once, content_fingerprint
from dpsims_hf.data.samplers import ClassFrequencies
from dpsims_hf.training.batches import TrainingBatches
from dpsims_hf.training.options import resolve_options


pytestmark = pytest.mark.integration


SIZE = (32, 64)
TRANSFORM = JointTransform(SIZE, (1.1, 1.1))


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_synthetic_dataset(tmp_path / "scenes", num_train=7, num_val=1, size=(45, 70))


def open_train(folder: Path, transform: JointTransform = TRANSFORM, **settings) -> SemanticImageDataset:
    return SemanticImageDataset.from_folder(folder, "train", transform, **settings)


def equal(first: dict, second: dict) -> bool:
    pairs = [(torch.as_tensor(first[key]), torch.as_tensor(second[key])) for key in first]
    return first.keys() == second.keys() and all(torch.equal(*pair) for pair in pairs)


# --- decode cache ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "disk", "auto"])
@pytest.mark.parametrize(
    "transform",
    [
        TRANSFORM,
        JointTransform(SIZE, (1.0, 1.5)),
        JointTransform(SIZE, (1.117, 1.117), keep_aspect=True, label_perturbation=1.0),
        JointTransform((60, 80)),
    ],
)
def test_samples_with_and_without_cache_are_equal_to_the_bit(scenes, tmp_path, kind, transform):
    plain = open_train(scenes, transform, use_instance_offsets=True)
    cached = open_train(scenes, transform, use_instance_offsets=True)
    cached.use_decoded(decode(cached, kind, tmp_path / "cache", progress=False))
    shutil.rmtree(scenes / "train" / "images")  # from here on only the cache has the photos
    for key in [(0, 0), (3, 17), (6, 5)]:
        sample = cached[key]
        assert sample["pixel_values"].shape == (3, *transform.size)
        with pytest.raises(ValueError, match="no such file"):
            plain[key]
    write_synthetic_dataset(scenes, num_train=7, num_val=1, size=(45, 70))
    for key in [(0, 0), (3, 17), (6, 5), (6, 6), 2]:
        assert equal(cached[key], plain[key])
    assert decode(plain, "none", tmp_path) is None


def test_mapped_pictures_are_shared_with_workers(scenes, tmp_path):
    dataset = open_train(scenes)
    dataset.use_decoded(decode(dataset, "disk", tmp_path, progress=False))
    copy = pickle.loads(pickle.dumps(dataset))
    assert isinstance(copy._decoded.buffers["photo"], np.memmap) and len(pickle.dumps(dataset._decoded)) < 1000
    sampler = DrawSampler(7, 7, seed=3)
    batches = [list(DataLoader(dataset, 2, sampler=sampler, collate_fn=collate, num_workers=n)) for n in (0, 2)]
    assert all(equal(*pair) for pair in zip(*batches, strict=True))


def test_the_key_follows_content_size_and_labels(scenes, tmp_path):
    def folders() -> int:
        return len(list(tmp_path.glob("cache/pictures-*[!k]")))

    decode(open_train(scenes), "disk", tmp_path / "cache", progress=False)
    decode(open_train(scenes, JointTransform(SIZE, (1.1, 1.1), 0.0)), "disk", tmp_path / "cache", progress=False)
    assert folders() == 1  # the flip comes after
    decode(open_train(scenes, JointTransform((16, 32))), "disk", tmp_path / "cache", progress=False)
    assert folders() == 2
    photo = scenes / "train" / "images" / "scene_0001.png"
    Image.new("RGB", (70, 45), (9, 9, 9)).save(photo)
    os.utime(photo, (1, 1))
    edited = open_train(scenes)
    edited.use_decoded(decode(edited, "disk", tmp_path / "cache", progress=False))
    assert folders() == 3 and torch.allclose(edited[1, 0]["pixel_values"], torch.tensor(9 / 127.5 - 1))


def _decode_in_process(scenes: Path, cache: Path, queue: multiprocessing.Queue) -> None:
    decoded = decode(open_train(scenes), "disk", cache, progress=False)
    queue.put((os.stat(decoded.folder / "photo.bin").st_ino, float(decoded[3][0].mean())))


def test_several_processes_write_once_and_a_killed_one_does_no_harm(scenes, tmp_path):
    reference = decode(open_train(scenes), "memory", tmp_path, progress=False)
    key = decode(open_train(scenes), "disk", tmp_path / "other", progress=False).folder.name
    half = tmp_path / "cache" / f".incomplete-{key}"
    half.mkdir(parents=True)
    (half / "photo.bin").write_bytes(b"half of it")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [
        context.Process(target=_decode_in_process, args=(scenes, tmp_path / "cache", queue)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    results = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(results)) == 1  # all three map the same file
    assert results[0][1] == pytest.approx(float(reference[3][0].mean())) and not half.exists()


def test_a_failed_write_leaves_nothing_and_is_tried_again(tmp_path):
    target = tmp_path / "result"

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        computed_once(target, fail)
    assert not target.exists()
    assert computed_once(target, lambda path: path.write_text("whole") and None).read_text() == "whole"


# --- checks, kept on disk ----------------------------------------------------------------------------------------


def test_checks_and_class_presence_are_read_from_disk_the_second_time(scenes, tmp_path):
    first = open_train(scenes, cache_dir=tmp_path)
    presence = first.class_presence(progress=False)
    assert np.array_equal(presence, open_train(scenes).class_presence(progress=False))
    label = scenes / "train" / "labels" / "scene_0002.png"
    state, length = label.stat(), label.stat().st_size
    label.write_bytes(b"x" * length)  # the same size and time: only who reads the file again will notice
    os.utime(label, ns=(state.st_atime_ns, state.st_mtime_ns))
    second = open_train(scenes, cache_dir=tmp_path)
    assert np.array_equal(second.class_presence(progress=False), presence)
    assert second.scan_labels(progress=False).sizes == [(45, 70)] * 7
    os.utime(label)
    with pytest.raises(ValueError, match=r"scene_0002\.png"):
        open_train(scenes, cache_dir=tmp_path).validate(progress=False)
    with pytest.raises(ValueError, match=r"scene_0002\.png"):  # a bad outcome is kept as well
        open_train(scenes, cache_dir=tmp_path).validate(progress=False)


def test_fingerprints_of_embedded_images(scenes, tmp_path):
    import datasets

    def table(names: list[str]) -> datasets.Dataset:
        files = {"image": "images", "label_map": "labels"}
        rows = {
            key: [{"path": n, "bytes": (scenes / "train" / f / n).read_bytes()} for n in names]
            for key, f in files.items()
        }
        return datasets.Dataset.from_dict(
            rows, features=datasets.Features(dict.fromkeys(files, datasets.Image(decode=False)))
        )

    names = [f"scene_{n:04d}.png" for n in range(3)]
    spec = open_train(scenes).spec
    assert content_fingerprint(table(names), spec) == content_fingerprint(table(names), spec)
    assert content_fingerprint(table(names), spec) != content_fingerprint(table(names[::-1]), spec)


def test_class_frequencies_by_hand_and_by_file(tmp_path):
    """Classes 0, 1, void 2 in four images: f = (1, 1/4), so the weights are 1, 1, 1, 2 and their mean 5/4."""
    presence = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0]], dtype=bool)
    frequencies = ClassFrequencies.from_presence(presence, void_label_id=2)
    assert frequencies == ClassFrequencies(4, (4, 1, 0), 1.25)
    assert frequencies.copies(presence & [True, True, False]) == pytest.approx([0.8, 0.8, 0.8, 1.6])
    frequencies.to_json(tmp_path / "f.json")
    assert ClassFrequencies.from_json(tmp_path / "f.json", 3) == frequencies
    with pytest.raises(ValueError, match="counts of 3 labels, but the set has 5"):
        ClassFrequencies.from_json(tmp_path / "f.json", 5)
    (tmp_path / "g.json").write_text("[]")
    with pytest.raises(ValueError, match=r"g\.json: no file of class frequencies"):
        ClassFrequencies.from_json(tmp_path / "g.json", 3)


# --- bad samples -------------------------------------------------------------------------------------------------


def corrupt(folder: Path, *numbers: int) -> None:
    """Photos, now JPEGs, whose header is whole: found at load time only."""
    for number in numbers:
        path = folder / "train" / "images" / f"scene_{number:04d}.png"
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
        path = path.with_suffix(".jpg")
        path.write_bytes(path.read_bytes()[:-300])


def loaded(dataset: SemanticImageDataset, workers: int) -> list[dict[str, torch.Tensor]]:
    sampler = DrawSampler(28, len(dataset), seed=1)
    return list(DataLoader(dataset, 2, sampler=sampler, collate_fn=collate, num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_is_one_line_and_ends_the_loading(scenes, workers):
    corrupt(scenes, 4)
    with pytest.raises(BadSampleError) as error:
        loaded(open_train(scenes), workers)
    text = str(error.value)
    assert "scene_0004.jpg" in text and "truncated" in text and "--max_bad_samples" in text and "\n" not in text


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_samples_within_the_limit_are_replaced_and_named_once(scenes, tmp_path, workers, capfd):
    corrupt(scenes, 2, 4)
    register = tmp_path / "out" / "bad_samples.jsonl"
    batches = loaded(open_train(scenes, bad_samples=BadSamples(2, register)), workers)
    indices = torch.cat([batch["index"] for batch in batches]).tolist()
    wanted = [index for index, _ in DrawSampler(28, 7, seed=1)]
    assert len(indices) == 28 and not {2, 4} & set(indices)
    assert all(got == want for got, want in zip(indices, wanted, strict=True) if want not in (2, 4))
    lines = [json.loads(line) for line in register.read_text().splitlines()]
    assert sorted(Path(line["sample"]).name for line in lines) == ["scene_0002.jpg", "scene_0004.jpg"]
    assert all("truncated" in line["reason"] for line in lines)
    again = loaded(open_train(scenes, bad_samples=BadSamples(2, register)), 1)
    assert all(equal(*pair) for pair in zip(batches, again, strict=True))  # replacements depend on the draw alone
    assert len(register.read_text().splitlines()) == 2


def test_one_bad_sample_more_than_the_limit_ends_the_loading(scenes, tmp_path):
    corrupt(scenes, 1, 2, 4)
    with pytest.raises(BadSampleError, match=r"scene_000\d\.jpg.*one more than --max_bad_samples 2 allows"):
        loaded(open_train(scenes, bad_samples=BadSamples(2, tmp_path / "bad.jsonl")), 2)
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_the_cache_passes_over_what_the_limit_allows(scenes, tmp_path, kind):
    corrupt(scenes, 3)
    with pytest.raises(BadSampleError, match=r"scene_0003\.jpg"):
        decode(open_train(scenes), kind, tmp_path, progress=False)
    dataset = open_train(scenes, bad_samples=BadSamples(1))
    dataset.use_decoded(decode(dataset, kind, tmp_path, progress=False))
    reference = open_train(scenes, bad_samples=BadSamples(1))
    for key in [(3, 0), (3, 9), (4, 1)]:
        assert equal(dataset[key], reference[key]) and dataset[key]["index"] != 3


def test_bad_labels_count_in_the_check_before_training(scenes, tmp_path):
    for number in (1, 5):
        Image.new("L", (70, 45), 77).save(scenes / "train" / "labels" / f"scene_{number:04d}.png")
    with pytest.raises(ValueError, match=r"scene_0001\.png.*1 more"):
        open_train(scenes, bad_samples=BadSamples(1)).validate(progress=False)
    allowed = BadSamples(2)
    dataset = open_train(scenes, bad_samples=allowed)
    presence = dataset.class_presence(progress=False)
    assert not presence[[1, 5]].any() and presence[[0, 2, 3, 4, 6]].any(axis=1).all()
    assert {Path(name).name for name in allowed.known} == {"scene_0001.png", "scene_0005.png"}


run = partial(run_here, with_samples=False)


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_training_names_a_bad_sample_or_passes_over_it(tmp_path, capsys, workers):
    data = write_synthetic_dataset(tmp_path / "data", num_train=4, num_val=1, size=(64, 128))
    corrupt(data, 2)
    options = ["--set", f"data.workers={workers}", "--set", "data.cache=none", "--max_train_steps", "4"]
    options += ["--set", "data.rare_class_sampling=false"]  # every image comes
    options += ["--set", f"data.cache_dir={json.dumps(str(tmp_path / 'cache'))}"]
    assert run(data, tmp_path / "a", *options) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "scene_0002.jpg" in errors[0] and "truncated" in errors[0]
    assert run(data, tmp_path / "b", *options, "--max_bad_samples", "1") == 0
    [line] = (tmp_path / "b" / "bad_samples.jsonl").read_text().splitlines()
    assert "scene_0002.jpg" in line
    assert (tmp_path / "b" / "checkpoint-4").is_dir()


# --- draws and position ------------------------------------------------------------------------------------------


def test_draws_follow_the_inverse_root_of_the_rarest_class():
    """Chi-square against p ~ f_k^(-1/2), from a presence table with classes in 100, 50, 10 and 2 % of the images."""
    rng = np.random.default_rng(0)
    presence = rng.random((300, 4)) < np.array([1.0, 0.5, 0.1, 0.02])
    presence[:, 0], presence[0, 3] = True, True
    weights = rare_class_weights(presence)
    rarest = np.array([min(presence.mean(axis=0)[row]) for row in presence])
    expected = rarest**-0.5 / (rarest**-0.5).sum()
    draws = 60_000
    counts = np.bincount([index for index, _ in DrawSampler(draws, 300, weights, seed=5)], minlength=300)
    assert chisquare(counts, draws * expected).pvalue > 0.001
    assert chisquare(counts, np.full(300, draws / 300)).pvalue < 1e-12


@pytest.mark.parametrize("weights", [None, torch.tensor([0.1, 0.2, 0.7])])
def test_a_sampler_that_begins_later_skips_exactly(weights):
    whole = list(DrawSampler(20, 3, weights, seed=2))
    for first in (0, 1, 3, 7, 19, 20):
        later = DrawSampler(20, 3, weights, seed=2, first_draw=first)
        assert list(later) == whole[first:] and len(later) == 20 - first
    with pytest.raises(ValueError, match="first_draw -1"):
        DrawSampler(20, 3, first_draw=-1)


@pytest.fixture
def accelerator():
    AcceleratorState._reset_state(True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(True)


def batches_of(scenes: Path, accelerator: Accelerator, **settings) -> TrainingBatches:
    overrides = {"data.image_size": [32, 64], "training.max_train_steps": 9, "training.batch_size": 2, **settings}
    options = resolve_options("tiny", [(*name.split("."), value, "test") for name, value in overrides.items()])
    return TrainingBatches(options, open_train(scenes), accelerator)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_go_on_where_the_last_mark_was(scenes, accelerator, workers):
    settings = {"data.workers": workers, "data.cache": "none"}
    first = batches_of(scenes, accelerator, **settings)
    assert first.position() == {"draws": 0}
    whole = []
    for number, batch in enumerate(first):
        whole.append(batch)
        if number < 4:
            first.mark()
        assert first.position() == {"draws": 2 * min(number + 1, 4)}
    assert len(whole) == 9 and first.waited > 0
    second = batches_of(scenes, accelerator, **settings)
    second.resume(json.loads(json.dumps(first.position())), 4)
    assert second.position() == {"draws": 8}
    assert all(equal(*pair) for pair in zip(whole[4:], second, strict=True))
    third = batches_of(scenes, accelerator, **settings)
    third.resume(None, 7)  # a checkpoint of before
    assert all(equal(*pair) for pair in zip(whole[7:], third, strict=True))


def test_another_batch_size_goes_on_at_the_same_draw(scenes, accelerator):
    small = torch.cat([batch["index"] for batch in batches_of(scenes, accelerator)])
    larger = batches_of(scenes, accelerator, **{"training.batch_size": 4})
    larger.resume({"draws": 6}, 3)
    rest = torch.cat([batch["index"] for batch in larger])
    assert len(rest) == 6 * 4 and torch.equal(rest[:12], small[6:])


def test_decoded_rows_of_one_picture():
    rows = DecodedRows({"photo": np.arange(6, dtype=np.uint8), "label_map": np.arange(2)}, np.array([[0, 0], [1, 2]]))
    assert rows[0] is None and rows[1][0].tolist() == [[[0, 1, 2], [3, 4, 5]]] and rows[1][1].tolist() == [[0, 1]]

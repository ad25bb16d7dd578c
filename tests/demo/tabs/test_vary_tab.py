# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The logic of the Vary tab: what stays in a grid, what a re-roll changes, classes by name, animations."""

import time
from pathlib import Path

import av
import gradio as gr
import numpy as np
import pytest
from PIL import Image

from dpsims_hf.demo.drawing.animations import there_and_back, write_gif, write_mp4
from dpsims_hf.demo.drawing.carried_scenes import carried_scene, map_labels, scene_for
from dpsims_hf.demo.drawing.scenes import MAX_IMAGES, MAX_SEED, Deadline, Reroll, Scene, Variant, render, walk
from dpsims_hf.demo.drawing.settings import read_settings, save_images
from dpsims_hf.demo.drawing.variants import (
    Entry,
    Grid,
    Part,
    Planned,
    Shot,
    caption,
    continued,
    filled,
    highlight,
    history,
    part_at,
    part_mask,
    planned,
    replanned,
    rerolled,
    scene_key,
)
from dpsims_hf.demo.image_settings import recreate
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, load_model
from dpsims_hf.demo.tabs.vary_handlers import Handlers
from dpsims_hf.demo.tabs.vary_layout import vary_layout
from dpsims_hf.demo.widgets.session import new_session


@pytest.fixture(scope="module")
def model(tiny_checkpoint_dir) -> LoadedModel:
    return load_model("tiny", str(tiny_checkpoint_dir))


@pytest.fixture(scope="module")
def scene(model) -> Scene:
    """Class 0, with two separate blocks of class 1 and a strip of class 2."""
    label_map = np.zeros((32, 64), dtype=np.int64)
    label_map[4:12, 4:20] = 1
    label_map[4:12, 40:60] = 1
    label_map[24:] = 2
    return Scene("yard", label_map, model.labels)


def entry(seed: int, *rerolls: Reroll, locked: bool = False) -> Entry:
    return Entry((Shot(Variant(seed, rerolls), f"{seed}.png"),), locked)


# -- the grid ---------------------------------------------------------------------------------------------------------


def test_a_new_grid_counts_up_and_goes_round_at_the_end():
    assert planned([], 5, 3) == [Variant(5), Variant(6), Variant(7)]
    assert planned([], MAX_SEED, 2) == [Variant(MAX_SEED), Variant(0)]


def test_locked_images_stay_and_are_not_drawn_twice():
    old = (entry(0), entry(1, locked=True), entry(2, Reroll(9, label="sky"), locked=True))
    plan = planned(old, 1, 4)
    # seed 1 is there already; seed 2 is not: the locked one was re-rolled
    assert plan == [old[1], old[2], Variant(2), Variant(3)]
    grid = filled(plan, ["a.png", "b.png"])
    assert [item.file for item in grid] == ["1.png", "2.png", "a.png", "b.png"]
    assert [item.locked for item in grid] == [True, True, False, False]


@pytest.mark.parametrize(
    ("seed", "count", "message"),
    [(-1, 4, "seed -1"), (0, 0, "num_images=0"), (0, MAX_IMAGES + 1, "num_images=17"), (0, 1, "2 images are locked")],
)
def test_a_grid_that_cannot_be(seed, count, message):
    with pytest.raises(ValueError, match=message):
        planned([entry(8, locked=True), entry(9, locked=True)], seed, count)


def test_new_seeds_for_the_rest_keep_places_and_repeat_nothing():
    old = [entry(3), entry(4, locked=True), entry(5)]
    seeds = iter([4, 3, 70, 70, 71])  # 4 and 3 stand in the grid, the second 70 was just given
    assert replanned(old, lambda: next(seeds)) == [Variant(70), old[1], Variant(71)]
    with pytest.raises(ValueError, match="all images are locked"):
        replanned([entry(0, locked=True)], lambda: 1)
    with pytest.raises(ValueError, match="no images yet"):
        replanned([], lambda: 1)
    with pytest.raises(ValueError, match="no images yet"):
        _ = Grid().entry


def test_a_scene_is_known_by_its_content(scene):
    same = Scene("yard", scene.label_map.astype(np.uint8), scene.labels)
    other = Scene("yard", np.where(scene.label_map == 2, 1, scene.label_map), scene.labels)
    assert scene_key("tiny", same) == scene_key("tiny", scene)
    assert len({scene_key("tiny", scene), scene_key("tiny", other), scene_key("big", scene), ""}) == 4
    assert scene_key("tiny", None) == ""


# -- parts and re-rolls -----------------------------------------------------------------------------------------------


def test_a_click_takes_one_region_and_a_class_all_of_them(scene):
    part = part_at(scene, column=41, row=5)
    assert part == Part(scene.labels[1], (5, 41))
    expected = np.zeros((32, 64), dtype=bool)
    expected[4:12, 40:60] = True
    assert np.array_equal(part_mask(scene, part), expected)
    assert np.array_equal(part_mask(scene, Part(scene.labels[1])), scene.label_map == 1)
    with pytest.raises(ValueError, match="row 32, column 0 lies outside"):
        part_at(scene, column=0, row=32)


def test_a_re_roll_replaces_what_lies_inside_of_it(scene):
    left, right, both = part_at(scene, 5, 5), part_at(scene, 41, 5), Part(scene.labels[1])
    variant = rerolled(Variant(0), scene, left, 1)
    assert variant.rerolls == (Reroll(1, point=(5, 5)),)
    variant = rerolled(variant, scene, right, 2)
    assert variant.rerolls == (Reroll(1, point=(5, 5)), Reroll(2, point=(5, 41)))
    variant = rerolled(variant, scene, part_at(scene, 19, 11), 3)  # another pixel of the left block
    assert variant.rerolls == (Reroll(2, point=(5, 41)), Reroll(3, point=(11, 19)))
    assert rerolled(variant, scene, both, 4).rerolls == (Reroll(4, label=scene.labels[1]),)
    kept = rerolled(rerolled(Variant(0), scene, both, 4), scene, left, 5)
    assert len(kept.rerolls) == 2  # the right block still shows the older one


def test_dropping_a_covered_re_roll_does_not_change_the_image(model, scene):
    left, both = part_at(scene, 5, 5), Part(scene.labels[1])
    everything = Variant(0, (Reroll(1, point=left.point), Reroll(7, label=both.label)))
    short = rerolled(rerolled(Variant(0), scene, left, 1), scene, both, 7)
    images = [np.asarray(image, dtype=int) for image in render(model, scene, [everything, short, Variant(0)])]
    assert len(short.rerolls) == 1
    assert np.abs(images[0] - images[1]).max() <= 1  # the same picture
    assert np.abs(images[0] - images[2]).max() > 8  # and another one than before


def test_undo_goes_back_step_by_step(scene):
    start = entry(0)
    first = start.changed(rerolled(start.variant, scene, Part(scene.labels[1]), 5), "b.png")
    second = first.changed(rerolled(first.variant, scene, Part(scene.labels[1]), 6), "c.png")
    assert second.before_and_after == ("b.png", "c.png") and start.before_and_after is None
    assert second.undone() == first and first.undone() == start
    with pytest.raises(ValueError, match="seed 0 has no re-roll"):
        start.undone()


def test_captions_and_histories_tell_every_step(scene):
    labels = scene.labels
    item = entry(12, Reroll(5, label=labels[2]), Reroll(6, point=(5, 41)), Reroll(7, point=(5, 5)), locked=True)
    assert caption(item, scene) == f"🔒 locked · seed 12 · {labels[2]} · {labels[1]}"
    assert caption(entry(3), scene) == "seed 3"
    assert history(item.variant, scene) == (
        f"seed 12, then {labels[2]} with seed 5, then {labels[1]} at row 5, column 41 with seed 6, "
        f"then {labels[1]} at row 5, column 5 with seed 7"
    )


def test_highlight_leaves_the_part_as_it_is(scene):
    image = Image.new("RGB", (64, 32), (200, 100, 50))
    mask = part_mask(scene, part_at(scene, 5, 5))
    pixels = np.asarray(highlight(image, mask))
    assert (pixels[mask] == (200, 100, 50)).all()
    assert (pixels[~mask] == (56, 28, 14)).all()


def test_a_re_rolled_image_can_be_made_again_from_its_settings(model, scene, tmp_path):
    variant = rerolled(rerolled(Variant(3), scene, part_at(scene, 41, 5), 8), scene, Part(scene.labels[2]), 9)
    images = render(model, scene, [variant])
    saved = save_images(tmp_path, model, scene, [variant], images)
    assert read_settings(saved.settings)[1] == [variant]
    assert np.array_equal(np.asarray(recreate(saved.settings, model)[0]), np.asarray(images[0]))


# -- classes by name --------------------------------------------------------------------------------------------------


def test_labels_are_mapped_by_name():
    label_map = np.array([[0, 1], [2, 0]])
    mapped = map_labels(label_map, ("sky", "road", "car"), ("car", "tree", "sky", "road"), "other")
    assert mapped.tolist() == [[2, 3], [0, 2]]
    # a class that the map does not use may be missing
    assert map_labels(label_map % 2, ("sky", "road", "car"), ("road", "sky"), "other").tolist() == [[1, 0], [1, 1]]


def test_equal_class_lists_keep_their_numbers_even_if_a_name_stands_twice():
    label_map = np.array([[0, 1, 2]])
    assert map_labels(label_map, ("screen", "road", "screen"), ("screen", "road", "screen"), "x") is label_map
    assert map_labels(label_map, ("a", "b", "c"), ("b", "a", "c", "a"), "x").tolist() == [[1, 0, 2]]


def test_classes_that_the_other_model_lacks_are_named(model, scene):
    with pytest.raises(ValueError, match="model 'other' has no class 'road', 'car': choose"):
        map_labels(np.array([[0, 1, 2]]), ("sky", "road", "car"), ("sky",), "other")
    with pytest.raises(ValueError, match="model 'tiny' has no class 'moon'"):
        scene_for(model, Scene("night", np.zeros((32, 64), dtype=np.int64), ("moon",)))
    assert np.array_equal(scene_for(model, scene).label_map, scene.label_map)


# -- what the server refuses ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handlers(model) -> Handlers:
    with gr.Blocks(analytics_enabled=False):
        view = vary_layout(["tiny"], lambda: None, lambda: None)
        return Handlers(ModelLibrary(model), new_session(), gr.State(Grid()), view)


def test_images_of_another_map_are_never_continued(handlers, model, scene):
    shown = Grid(scene_key(model.name, scene))
    grid = handlers.make("", scene, shown, 2, 0)[handlers.grid]
    assert [item.variant for item in grid.entries] == [Variant(0), Variant(1)]
    other = Scene("yard", scene.label_map[::-1].copy(), scene.labels)
    for call in (handlers.fresh, handlers.undo, handlers.lock):
        with pytest.raises(ValueError, match="label map or the model has changed"):
            call("", other, grid)
    Path(grid.entries[1].file).unlink()
    with pytest.raises(ValueError, match="were deleted"):
        handlers.fresh("", scene, grid)


@pytest.mark.parametrize(
    ("start", "end", "steps", "message"),
    [(3, 3, 8, "both ends are seed 3"), (0, 1, 33, "frames=33"), (0, 1, 1, "at least 2"), (-1, 1, 8, "seed -1")],
)
def test_walks_that_cannot_be(handlers, model, scene, start, end, steps, message):
    with pytest.raises(ValueError, match=message):
        handlers.walk("", scene, Grid(scene_key(model.name, scene)), start, end, steps, "")


def test_a_walk_that_would_take_too_long_is_refused(model, scene):
    model.cost.check(scene.label_map.shape, 2, "frames")
    start = time.process_time()
    with pytest.raises(ValueError, match="1000000000 frames of 64 × 32 pixels would take about .* ask for fewer"):
        model.cost.check(scene.label_map.shape, 1_000_000_000, "frames")
    assert time.process_time() - start < 1


def test_a_scene_for_other_classes_is_not_shown(handlers):
    foreign = Scene("night", np.zeros((32, 64), dtype=np.int64), ("moon",))
    updates = handlers.refresh("", foreign, Variant(0), Grid("old"))
    assert updates[handlers.grid] == Grid() and "other classes" in updates[handlers.view.map.note]


# -- seeds, re-rolls and locks outlive an edit ------------------------------------------------------------------------


def test_another_map_keeps_seeds_locks_and_the_re_rolls_that_it_can_have(model, scene):
    road, car = scene.labels[1], scene.labels[2]
    old = Grid("old", (entry(3, Reroll(1, label=road), locked=True), entry(4, Reroll(2, label=car))), chosen=1)
    without_car = Scene("yard", np.where(scene.label_map == 2, 1, scene.label_map), scene.labels)
    grid = old.for_scene("new", without_car, Variant(4))
    assert (grid.key, grid.entries, grid.chosen) == ("new", (), 1)
    assert grid.plan == (Planned((Variant(3, (Reroll(1, label=road),)),), True), Planned((Variant(4),)))
    assert continued(grid.plan, 9, 4) == list(grid.plan)
    assert continued((), 9, 2) == [Planned((Variant(9),)), Planned((Variant(10),))]
    looked_at = Variant(7, (Reroll(5, label=road),))
    assert Grid().for_scene("new", scene, looked_at).plan == (Planned((looked_at,)),)
    entries = filled([Planned((Variant(1), looked_at), True)], ["a.png"])
    assert entries[0].file == "a.png" and entries[0].locked and entries[0].undone().file == ""


def test_images_are_drawn_again_for_another_map(handlers, model, scene):
    grid = handlers.make("", scene, Grid(scene_key(model.name, scene)), 2, 0)[handlers.grid]
    grid = handlers.lock("", scene, grid)[handlers.grid]
    edited = Scene("yard", scene.label_map[::-1].copy(), scene.labels)
    grid = handlers.refresh("", edited, Variant(0), grid)[handlers.grid]
    grid = handlers.make_first("", edited, grid, 4, 0)[handlers.grid]
    assert [(item.variant, item.locked) for item in grid.entries] == [(Variant(0), True), (Variant(1), False)]
    expected = render(model, edited, [Variant(0)])[0]
    with Image.open(grid.entries[0].file) as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_a_walk_keeps_what_was_re_rolled(model, scene):
    reroll, whole = Reroll(5, label=scene.labels[1]), Deadline()
    frames = walk(model, scene, (0, 3), 3, None, whole, (reroll,))
    ends = render(model, scene, [Variant(0, (reroll,)), Variant(3, (reroll,))])
    for frame, end in zip((frames[0], frames[-1]), ends, strict=True):
        assert np.abs(np.asarray(frame, dtype=int) - np.asarray(end, dtype=int)).max() <= 1
    counts = []
    plain = walk(model, scene, (0, 3), 2, None, whole, each=lambda done, total: counts.append((done, total)))
    assert counts == [(1, 2), (2, 2)]
    assert not np.array_equal(np.asarray(plain[0]), np.asarray(frames[0]))


def test_a_scene_is_carried_to_another_model_with_a_note(model):
    foreign = Scene("night", np.array([[0, 1]]).repeat(32, 0).repeat(32, 1), (model.labels[0], "moon"))
    carried, missing = carried_scene(model, foreign)
    void = model.processor.void_label_id
    assert missing == ["moon"] and carried.labels == model.labels
    assert np.unique(carried.label_map).tolist() == sorted({0, 0 if void is None else void})
    with pytest.raises(ValueError, match="has no class 'moon'"):
        carried_scene(model, Scene("night", np.zeros((32, 64), dtype=np.int64), ("moon",)))


# -- animations -------------------------------------------------------------------------------------------------------


FRAMES = [Image.new("RGB", (64, 32), color) for color in ((200, 30, 40), (20, 180, 60), (30, 60, 220))]


def test_an_animation_goes_there_and_back():
    assert there_and_back("abcd") == list("abcdcb")
    assert there_and_back("ab") == ["a", "b"]


def test_a_gif_is_endless_and_keeps_its_colours(tmp_path):
    write_gif(tmp_path / "walk.gif", FRAMES, frames_per_second=8)
    with Image.open(tmp_path / "walk.gif") as gif:
        assert (gif.n_frames, gif.info["loop"]) == (4, 0)
        for number, frame in enumerate(there_and_back(FRAMES)):
            gif.seek(number)
            assert gif.info["duration"] == 120
            assert gif.convert("RGB").getpixel((20, 10)) == frame.getpixel((0, 0))


def test_an_mp4_is_what_browsers_play_and_keeps_its_colours(tmp_path):
    write_mp4(tmp_path / "walk.mp4", FRAMES, frames_per_second=8)
    with av.open(tmp_path / "walk.mp4") as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.duration * stream.time_base) == pytest.approx(4 / 8)
        decoded = [frame.to_ndarray(format="rgb24")[16, 32].astype(int) for frame in video.decode(stream)]
    expected = [frame.getpixel((0, 0)) for frame in there_and_back(FRAMES)]
    assert len(decoded) == 4 and np.abs(np.array(decoded) - expected).max() <= 4


def test_animations_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="1 frames: it needs at least 2"):
        write_gif(tmp_path / "a.gif", FRAMES[:1])
    with pytest.raises(ValueError, match="63 x 32 pixels: H.264 needs even sides"):
        write_mp4(tmp_path / "a.mp4", [frame.crop((0, 0, 63, 32)) for frame in FRAMES])
    assert not list(tmp_path.iterdir())

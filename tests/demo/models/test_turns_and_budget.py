# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Nobody starves anybody: the model changes hands between images, and requests that cost too much do not start."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from drawn_model import drawn_model

from dpsims_hf.demo.drawing import scenes
from dpsims_hf.demo.drawing.evaluation_request import run_evaluation
from dpsims_hf.demo.drawing.photo_segmentation import propose
from dpsims_hf.demo.drawing.scenes import Deadline, Scene, Variant, render, walk
from dpsims_hf.demo.models import budget as budgets
from dpsims_hf.demo.models.budget import Budget, Cost, budget_from_environment
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary, check_image_size, load_model
from dpsims_hf.demo.models.turns import (
    FairTurns,
    Gone,
    Request,
    Visitor,
    image_turn,
    in_turns,
    pass_on,
    requested,
    stand_back,
)
from dpsims_hf.demo.server.events import on_gpu


@pytest.fixture
def turns() -> FairTurns:
    return FairTurns()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


class Crowd:
    """Threads that queue one after the other while the model is taken, and the order in which they got it."""

    def __init__(self, turns: FairTurns) -> None:
        self.turns, self.order, self.threads = turns, [], []

    def add(self, name: str, *, address: str = "", further: bool = False, spare: bool = False) -> None:
        request = Request(Visitor(address, name), turns=self.turns, images=int(further))

        def run() -> None:
            with requested(request):
                if spare:
                    stand_back()
                with image_turn():
                    self.order.append(name)

        before = self.turns.waiting
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)
        until(lambda: self.turns.waiting == before + 1)

    def join(self) -> list[str]:
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        return self.order


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_visitors_take_turns_however_many_requests_each_has(turns):
    crowd = Crowd(turns)
    with turns.turn(Visitor("", "holder")):
        for name in ("a", "a", "a", "b", "c", "b"):
            crowd.add(name)
    assert crowd.join() == ["a", "b", "c", "a", "b", "a"]
    assert not turns.is_busy and turns.waiting == 0


def test_sessions_of_one_address_share_its_turns(turns):
    crowd = Crowd(turns)
    with turns.turn(Visitor("", "holder")):
        for name in ("a1", "a2", "a3", "b1"):
            crowd.add(name, address=name[0])
    assert crowd.join() == ["a1", "b1", "a2", "a3"]


def test_a_first_image_waits_for_one_further_image_at_most(turns):
    crowd = Crowd(turns)
    with turns.turn(Visitor("", "holder"), is_further=True):
        for number in range(5):
            crowd.add(f"walk {number}", further=True)
        crowd.add("stroke")
    assert crowd.join()[0] == "stroke"


def test_long_requests_are_not_starved_by_short_ones(turns):
    crowd = Crowd(turns)
    with turns.turn(Visitor("", "holder")):
        crowd.add("walk", further=True)
        for number in range(4):
            crowd.add(f"stroke {number}")
    assert crowd.join().index("walk") <= 1


def test_what_nobody_asked_for_waits_for_everybody(turns):
    crowd = Crowd(turns)
    with turns.turn(Visitor("", "holder")):
        for number in range(3):
            crowd.add(f"thumbnail {number}", spare=True)
        for number in range(3):
            crowd.add(f"stroke {number}")
            crowd.add(f"walk {number}", further=True)
    order = crowd.join()
    assert [name.split()[0] for name in order[6:]] == ["thumbnail"] * 3 and not turns.is_busy


def test_an_exception_hands_the_model_on(turns):
    crowd = Crowd(turns)
    with pytest.raises(ZeroDivisionError), turns.turn(Visitor()):
        crowd.add("next")
        raise ZeroDivisionError
    assert crowd.join() == ["next"] and not turns.is_busy


def test_who_left_gives_up_the_place_and_the_rest_of_the_request(turns):
    left, seen = threading.Event(), []

    def wait() -> None:
        try:
            with requested(Request(Visitor("", "gone"), left.is_set, turns)), image_turn():
                seen.append("drawn")
        except Gone:
            seen.append("gone")

    with turns.turn(Visitor("", "holder")):
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: turns.waiting == 1)
        left.set()
        thread.join(20)
        assert seen == ["gone"] and turns.waiting == 0 and turns.is_busy
    wait()
    assert seen == ["gone", "gone"] and not turns.is_busy


def test_an_iterator_that_breaks_off_gives_the_model_back(turns):
    with pytest.raises(KeyError), requested(Request(turns=turns)):
        for number in in_turns(range(3)):
            assert turns.is_busy
            if number == 1:
                raise KeyError
    assert not turns.is_busy
    with requested(Request(turns=turns)):
        assert list(in_turns("abc")) == ["a", "b", "c"]
    assert not turns.is_busy


def test_turns_inside_of_a_turn_do_not_wait(turns):
    with requested(Request(turns=turns)), image_turn(), image_turn():
        assert turns.is_busy
    assert not turns.is_busy


def test_a_walk_whose_visitor_left_ends_between_two_images(turns):
    left = threading.Event()
    with pytest.raises(Gone), requested(Request(Visitor(), left.is_set, turns)), image_turn():
        pass_on()
        assert turns.is_busy
        left.set()
        pass_on()
    assert not turns.is_busy
    pass_on()  # outside of a request there is nobody to pass it on to


def test_a_visitor_gets_an_image_between_two_of_a_walk(turns, model, scene):
    crowd, busy = Crowd(turns), []

    class Watched(Deadline):
        """Whoever comes while the first image is drawn is served before the second."""

        def check(self) -> None:
            busy.append(list(crowd.order))
            if len(busy) == 1:
                crowd.add("stroke")
            super().check()

    with requested(Request(Visitor("", "walk"), turns=turns)):
        images = walk(model, scene, (3, 4), 3, None, Watched())
    assert len(images) == 3 and busy == [[], ["stroke"], ["stroke"]]


def test_waiting_for_others_does_not_count_as_computing(turns, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    request = Request(turns=turns)
    with requested(request):
        deadline = Deadline(10)
        request.waited, clock[0] = 100.0, 105.0
        deadline.check()
        clock[0] = 111.0
        with pytest.raises(ValueError, match="stopped after 10 seconds"):
            deadline.check()


# -- a stroke beside five walks, with a model whose images take as long as the test says ------------------------------


def separately(images: int) -> Iterator[int]:
    """As `render` draws: a turn for each image."""
    for number in range(images):
        with image_turn():
            yield number


def in_one_call(images: int) -> Iterator[int]:
    """As `walk` draws: one call of the pipeline that passes the model on between two images."""
    with image_turn():
        for number in range(images):
            if number:
                pass_on()
            yield number


@pytest.mark.parametrize("drawing", [separately, in_one_call])
def test_a_stroke_beside_five_walks_waits_for_two_images_at_most(turns, drawing):
    left, drawn, announced = {f"walk {number}": 32 for number in range(5)}, [], threading.Event()

    def image(name: str) -> None:
        """Takes until all others wait that are to wait: what counts is the order, however fast threads are."""
        drawn.append(name)
        if name not in list(left)[:5]:
            announced.clear()
        left[name] = left.get(name, 1) - 1
        walks = [other for other, count in left.items() if count > 0 and other != name]
        until(lambda: turns.waiting >= len(walks) + announced.is_set())

    def draw(name: str, images: int) -> None:
        with requested(Request(Visitor("", name), turns=turns)):
            for _ in drawing(images):
                image(name)

    with turns.turn(Visitor()):
        threads = [threading.Thread(target=draw, args=(name, 32), daemon=True) for name in list(left)]
        for thread in threads:
            thread.start()
        until(lambda: turns.waiting == 5)
    until(lambda: len(drawn) > 10)
    waits = []
    for number in range(8):
        announced.set()
        before = len(drawn)
        draw(f"stroke {number}", 1)
        waits.append(drawn.index(f"stroke {number}") - before)
    for thread in threads:
        thread.join(20)
    assert max(waits) <= 2  # an image that ended as the stroke was announced, and the next one
    assert all(drawn.count(f"walk {number}") == 32 for number in range(5))


# -- budgets ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return drawn_model()


@pytest.fixture(scope="module")
def scene(model) -> Scene:
    return Scene("flat", np.zeros((32, 64), dtype=np.int64), model.labels)


@pytest.fixture
def expensive(model, monkeypatch) -> Iterator[list[str]]:
    """Images that would take 9 seconds each, and a list of the forward passes that were made all the same."""
    calls: list[str] = []
    monkeypatch.setattr(model, "cost", Cost(lambda height, width: None, (32, 64), 8, Budget()))
    monkeypatch.setattr(Cost, "seconds", lambda self, size: 9.0)
    monkeypatch.setattr(type(model.pipe), "__call__", lambda *_, **__: calls.append("draw"))
    yield calls
    vars(model).pop("segmenting_cost", None)


def test_a_cost_grows_with_the_pixels_and_faster_where_attention_does():
    clock = {"now": 0.0}

    def run(height: int, width: int) -> None:
        clock["now"] += 1e-3 * (height * width / 4096) ** 1.5

    cost = Cost(run, (64, 128), 8, Budget())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets.time, "perf_counter", lambda: clock["now"])
        assert cost.seconds((256, 512)) == pytest.approx(1e-3 * 32**1.5, rel=0.1)
        clock["now"] = 1e9  # measured once
        assert cost.seconds((512, 1024)) == pytest.approx(1e-3 * 128**1.5, rel=0.1)
    with pytest.raises(ValueError, match="2048 × 2048 pixels are too many for this page: an image may have 2,097,152"):
        cost.check((2048, 2048))


def test_a_model_too_slow_for_a_small_image_is_refused_after_it(monkeypatch):
    runs = []
    monkeypatch.setattr(Cost, "_time", lambda self, height, width: runs.append((height, width)) or 50.0)
    with pytest.raises(ValueError, match="even 64 × 64 pixels took 50.0 seconds, and this page allows 20"):
        Cost(lambda *_: None, (64, 64), 8, Budget()).check((64, 64))
    assert runs == [(64, 64)]


def test_requests_are_refused_before_they_start(model, scene, expensive):
    requests = {
        "16 images": lambda: render(model, scene, [Variant(seed) for seed in range(16)]),
        "32 frames": lambda: walk(model, scene, (0, 1), 32, None, Deadline()),
    }
    for words, request in requests.items():
        with pytest.raises(ValueError, match=f"{words} of 64 × 32 pixels would take about .* ask for fewer"):
            on_gpu(request)()
    with pytest.raises(ValueError, match="pictures of .* would take about"):
        on_gpu(lambda: run_evaluation(model, seeds=(0, 1, 2, 3, 4)))()
    assert not expensive
    on_gpu(lambda: model.check_cost((32, 64), 13))()  # 117 of 120 seconds
    model.check_cost((32, 64), 10**9)  # a program of one's own may wait as long as it likes


def test_a_photo_is_not_labelled_if_the_network_is_too_slow(model, monkeypatch):
    from PIL import Image

    monkeypatch.setattr(Cost, "_time", lambda *_: 50.0)
    with pytest.raises(ValueError, match="even .* pixels took 50.0 seconds"):
        on_gpu(lambda: propose(model, Image.new("RGB", (64, 32))))()
    vars(model).pop("segmenting_cost", None)


def test_every_network_is_measured_on_small_images_and_fits(model, scene):
    def ask() -> None:
        from PIL import Image

        render(model, scene, [Variant(0)])
        propose(model, Image.new("RGB", (64, 32)))

    on_gpu(ask)()
    assert 0 < model.cost.seconds((32, 64)) < 20 and 0 < model.segmenting_cost.seconds((32, 64)) < 20


def test_a_model_for_huge_images_is_refused_when_it_is_named(tiny_checkpoint_dir, model, monkeypatch):
    loaded = load_model("small", str(tiny_checkpoint_dir))
    check_image_size(loaded)
    loaded.pipe.generator_model.config.image_size = (2048, 2048)
    monkeypatch.setattr("dpsims_hf.demo.models.library.load_model", lambda *_: loaded)
    with pytest.raises(ValueError, match="image_size 2048 x 2048 .* beyond the 2,097,152 pixels") as caught:
        ModelLibrary(model).get(str(tiny_checkpoint_dir))
    assert "\n" not in str(caught.value)


def test_the_owner_sets_the_budget(monkeypatch):
    assert budget_from_environment() == Budget()
    monkeypatch.setenv("DPSIMS_MAX_REQUEST_SECONDS", "7.5")
    monkeypatch.setenv("DPSIMS_MAX_IMAGE_PIXELS", "1e6")
    assert budget_from_environment() == Budget(request_seconds=7.5, image_pixels=1_000_000)
    for wrong in ("many", "nan", "-1", "0", "inf"):
        monkeypatch.setenv("DPSIMS_MAX_IMAGE_PIXELS", wrong)
        with pytest.raises(ValueError, match="(?i)image_pixels") as caught:
            budget_from_environment()
        assert "\n" not in str(caught.value)


def test_walks_are_the_pipelines_own_bit_for_bit(model, scene):
    images = walk(model, scene, (3, 4), 3, None, Deadline())
    wanted = model.pipe.interpolate(
        scene.label_map, seed_from=3, seed_to=4, steps=3, size={"height": 32, "width": 64}
    ).images
    assert all(np.array_equal(a, b) for a, b in zip(images, wanted, strict=True))
    assert scenes.SECONDS == Budget().request_seconds

# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Looks that come with a model, and a newcomer's first minutes: all of it by mouse, all of it by touch."""

import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from drawn_model import drawn_model
from newcomer import Finger, Mouse, Newcomer
from page_browser import PATIENCE, assert_no_errors, fetch, find, loaded_images, open_page, open_tab, wait
from selenium import webdriver
from space_page import captions, launch, rectangle, shows

from dpsims_hf.demo.drawing import styles
from dpsims_hf.demo.drawing.look_previews import draw_previews
from dpsims_hf.demo.drawing.saved_files import read_saved
from dpsims_hf.demo.drawing.scenes import Scene, Variant, render
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary
from dpsims_hf.demo.models.model_looks import ModelLook
from dpsims_hf.demo.models.turns import Gone, image_turn, stand_back
from dpsims_hf.demo.tabs.sketch import _Handlers
from dpsims_hf.demo.widgets import look_strip
from dpsims_hf.demo.widgets.look_strip import strip_value


pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOOKS = (ModelLook("day", 3), ModelLook("dusk", 70))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    model = drawn_model()
    model.looks = LOOKS
    return model


@pytest.fixture(scope="module")
def url(model: LoadedModel) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(styles, "SEEDS", 2)
        patch.setattr(styles, "STEPS", 3)
        demo, address = launch(ModelLibrary(model))
        yield address
        demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str) -> Iterator[webdriver.Chrome]:
    open_page(driver, url)
    wait(driver, lambda: loaded_images(driver, "#sketch-image"))
    yield driver
    assert_no_errors(driver)


@pytest.fixture(scope="module")
def scene(model: LoadedModel) -> Scene:
    """That the page opens with."""
    return Scene(*_Handlers.start(model), model.labels)


def sources(driver: webdriver.Chrome, tab: str) -> list[str]:
    return [image["src"] for image in loaded_images(driver, f"#{tab}-looks")]


def pressed(driver: webdriver.Chrome, tab: str) -> list[str]:
    return [e.text for e in driver.find_elements("css selector", f"#{tab}-looks .look[aria-pressed=true]")]


def thumbnails(model: LoadedModel, scene: Scene, variant: Variant) -> list[str]:
    return [row["image"] for row in strip_value(LOOKS, draw_previews(model, scene, variant))]


def image(model: LoadedModel, scene: Scene, variant: Variant) -> np.ndarray:
    return np.asarray(render(model, scene, [variant])[0])


def test_looks_are_shown_on_the_present_scene_and_taken_by_a_click(page, model, scene):
    wait(page, lambda: sources(page, "sketch") == thumbnails(model, scene, Variant(0)))
    rectangle(page, "car", (20, 18), (39, 26))
    edited = scene.label_map.copy()
    edited[18:27, 20:40] = model.labels.index("car")
    painted = Scene(scene.name, edited, model.labels)
    wait(page, lambda: sources(page, "sketch") == thumbnails(model, painted, Variant(0)))
    assert pressed(page, "sketch") == []
    find(page, "#sketch-looks .look:last-child").click()
    wait(page, lambda: shows(page, "#sketch-image", image(model, painted, Variant(70))))
    wait(page, lambda: pressed(page, "sketch") == ["dusk"])
    assert find(page, "#sketch-seed input").get_attribute("value") == "70"
    find(page, "#looks-keep").click()
    wait(page, lambda: find(page, "#looks-choice input").get_attribute("value") == "dusk")
    page.refresh()
    wait(page, lambda: shows(page, "#sketch-image", image(model, painted, Variant(70))))
    wait(page, lambda: pressed(page, "sketch") == ["dusk"])
    find(page, "#sketch-random-seed").click()
    wait(page, lambda: pressed(page, "sketch") == [])


def test_a_look_taken_in_vary_is_the_first_image_and_goes_to_sketch(page, model, scene, downloads):
    find(page, "#looks-name input, #looks-name textarea").send_keys("mine")
    find(page, "#looks-keep").click()
    wait(page, lambda: find(page, "#looks-choice input").get_attribute("value") == "mine")
    open_tab(page, "Vary")
    wait(page, lambda: len(loaded_images(page, "#vary-gallery")) == 4)
    wait(page, lambda: sources(page, "vary") == thumbnails(model, scene, Variant(0)))
    find(page, "#vary-looks .look:last-child").click()
    wait(page, lambda: captions(page) == [f"seed {seed}" for seed in (70, 0, 1, 2, 3)])
    wait(page, lambda: shows(page, "#vary-picture", image(model, scene, Variant(70))))
    find(page, "#vary-looks .look:first-child").click()  # its seed is there: it is chosen
    wait(page, lambda: shows(page, "#vary-picture", image(model, scene, Variant(3))))
    assert len(captions(page)) == 5
    for file in downloads.glob("*.json"):
        file.unlink()
    find(page, "#vary-download-settings").click()
    path = wait(page, lambda: next(downloads.glob("*.json"), None))
    saved = read_saved(path)
    assert [look.name for look in saved.looks] == ["mine"] and saved.variants == [Variant(3)]
    assert saved.content["images"][0]["look_name"] == "day"
    open_tab(page, "Sketch")
    wait(page, lambda: shows(page, "#sketch-image", image(model, scene, Variant(3))))


def test_who_paints_does_not_wait_for_thumbnails(driver, url, model, scene, monkeypatch):
    started, given_up = threading.Event(), threading.Event()

    def endless(*_: object) -> list:
        stand_back()
        try:
            while True:
                with image_turn():
                    started.set()
                    time.sleep(0.02)
        except Gone:
            given_up.set()
            raise

    monkeypatch.setattr(look_strip, "draw_previews", endless)
    open_page(driver, url)
    assert started.wait(PATIENCE)
    rectangle(driver, "car", (20, 18), (39, 26))
    edited = scene.label_map.copy()
    edited[18:27, 20:40] = model.labels.index("car")
    wanted = image(model, Scene(scene.name, edited, model.labels), Variant(0))
    wait(driver, lambda: shows(driver, "#sketch-image", wanted))
    assert given_up.wait(PATIENCE), "the stroke cancels them"


@pytest.mark.parametrize("kind", [Mouse, Finger], ids=["mouse", "touch"])
def test_a_newcomers_script(driver, url, model, downloads, kind):
    hand, folder = kind(driver), os.environ.get("SCREENSHOTS")  # of each step, for who wants to look

    def seen(name: str) -> None:
        if folder:
            driver.save_screenshot(f"{folder}/{kind.__name__.lower()}_{name.replace(' ', '_')}.png")

    person = Newcomer(hand, url, downloads, seen)
    try:
        opened = person.open_page()
        painted = person.paint_a_car(opened)
        dusk = person.choose_look("dusk", painted)
        styled = person.take_a_photos_style(dusk)
        final = person.re_roll_the_car(styled, (0.48, 0.81))
        path = person.save_and_open_again(final)
        saved = read_saved(path)
        assert np.array_equal(image(model, saved.scene, saved.variants[0]), final)
        assert [reroll.point is not None for reroll in saved.variants[0].rerolls] == [True]
        assert saved.variants[0].noise.photo == "evening" and hand.taps <= 20
        with_car = saved.scene.label_map == model.labels.index("car")
        assert with_car[int(0.8 * with_car.shape[0]), int(0.45 * with_car.shape[1])]
        assert np.array_equal(fetch(loaded_images(driver, "#sketch-image")[0]["src"]), final)
        assert_no_errors(driver)
    finally:
        hand.stop()

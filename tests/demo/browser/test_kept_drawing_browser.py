# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""No drawing is lost: not by the model picker, a reload, a lost connection, a new server, or another tab."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from page_browser import fetch, find, loaded_images, open_page, open_tab, wait
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from space_page import avenue, captions, choose_model, drawn, launch, rectangle, shows, street_library

from dpsims_hf.demo.drawing.example_maps import CAMVID_CLASSES, FACADE_CLASSES
from dpsims_hf.demo.drawing.scenes import Reroll, Scene, Variant, render
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary


pytestmark = pytest.mark.browser

CAR, TREE = (list(CAMVID_CLASSES).index(name) for name in ("car", "tree"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    return street_library(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def url(library: ModelLibrary) -> Iterator[str]:
    demo, address = launch(library)
    yield address
    demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str) -> webdriver.Chrome:
    open_page(driver, url)
    wait(driver, lambda: loaded_images(driver, "#sketch-image"))
    return driver


def undo_steps(driver: webdriver.Chrome) -> int:
    return int(find(driver, "#sketch-canvas .label-canvas").get_attribute("data-undo") or 0)


def painted(model: LoadedModel) -> np.ndarray:
    label_map = avenue(model)
    label_map[60:85, 40:80] = CAR
    return label_map


def paint(driver: webdriver.Chrome, model: LoadedModel) -> np.ndarray:
    """A car on the avenue; the map, once it is drawn."""
    rectangle(driver, "car", (40, 60), (79, 84))
    wait(driver, lambda: shows(driver, "#sketch-image", drawn(model, painted(model))))
    return painted(model)


@pytest.mark.slow
def test_touching_the_model_picker_changes_nothing(page, library):
    with_car = paint(page, library.default)
    choice = find(page, "#model input")
    choice.click()
    choice.send_keys(Keys.TAB)
    choice.click()
    find(page, "#title").click()
    time.sleep(1)  # what it did before came after a moment
    assert choice.get_attribute("value") == "drawn" and undo_steps(page) == 1
    assert shows(page, "#sketch-image", drawn(library.default, with_car))


@pytest.mark.slow
def test_a_drawing_goes_on_with_another_model_and_comes_back_with_all_steps(page, library):
    model = library.default
    with_car = paint(page, model)
    second, facade = library.get("checkpoints/second"), library.get("checkpoints/facade")
    choose_model(page, "checkpoints/second")
    wait(page, lambda: shows(page, "#sketch-image", drawn(second, with_car)))
    assert not find(page, "#sketch-canvas .foreign").is_displayed()

    choose_model(page, "checkpoints/facade")
    table = [
        [*FACADE_CLASSES].index(name) if name in FACADE_CLASSES else len(FACADE_CLASSES) for name in CAMVID_CLASSES
    ]
    wait(page, lambda: shows(page, "#sketch-image", drawn(facade, np.array(table)[with_car])))
    note = find(page, "#sketch-canvas .foreign").text
    assert "tree" in note and "pole" in note and "car" not in note and "drawn as void" in note

    choose_model(page, "drawn")
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, with_car)))
    find(page, "#sketch-canvas [data-action=undo]").click()
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, avenue(model))))


def test_a_reload_and_back_bring_everything_to_the_pixel(page, library, url):
    choose_model(page, "checkpoints/second")
    second = library.get("checkpoints/second")
    wait(page, lambda: shows(page, "#sketch-image", drawn(second, avenue(library.default))))
    with_car = paint(page, second)
    seed = find(page, "#sketch-seed input")
    seed.send_keys(Keys.CONTROL + "a")
    seed.send_keys("5", Keys.ENTER)
    wanted = drawn(second, with_car, 5)
    wait(page, lambda: shows(page, "#sketch-image", wanted))
    page.refresh()
    wait(page, lambda: shows(page, "#sketch-image", wanted))
    assert find(page, "#model input").get_attribute("value") == "checkpoints/second" and undo_steps(page) == 1
    page.get(f"{url}/robots.txt")
    page.back()
    wait(page, lambda: shows(page, "#sketch-image", wanted))
    find(page, "#sketch-canvas [data-action=undo]").click()
    wait(page, lambda: shows(page, "#sketch-image", drawn(second, avenue(library.default), 5)))


@pytest.mark.slow
def test_three_seconds_offline_lose_nothing(page, library):
    with_car = paint(page, library.default)
    page.execute_cdp_cmd("Network.enable", {})
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **network})
    rectangle(page, "tree", (2, 2), (20, 10))
    with_car[2:11, 2:21] = TREE
    time.sleep(3)
    page.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **network})
    page.refresh()  # gradio does it by itself once it notices that the server answers
    wait(page, lambda: shows(page, "#sketch-image", drawn(library.default, with_car)))
    assert undo_steps(page) == 2


@pytest.mark.slow
def test_a_new_server_at_the_same_address_gets_the_drawing(driver, library, tmp_path):
    demo, address = launch(library)
    open_page(driver, address)
    wait(driver, lambda: loaded_images(driver, "#sketch-image"))
    with_car = paint(driver, library.default)
    demo.close()
    time.sleep(2)
    demo, _ = launch(library, int(address.rstrip("/").rsplit(":", 1)[1]))
    try:
        rectangle(driver, "tree", (2, 2), (20, 10))
        with_car[2:11, 2:21] = TREE
        driver.refresh()
        wait(driver, lambda: shows(driver, "#sketch-image", drawn(library.default, with_car)))
        assert undo_steps(driver) == 2
    finally:
        demo.close()


@pytest.mark.slow
def test_vary_takes_the_map_of_the_canvas_right_after_a_stroke(page, library):
    model = library.default
    label_map = avenue(model)
    for row in (60, 70, 80):
        rectangle(page, "car", (40, row), (79, row + 4))
        page.execute_script("document.querySelector('#sketch-vary').click()")
        label_map[row : row + 5, 40:80] = CAR
        wanted = model.processor.colorize(label_map)
        wait(page, lambda wanted=wanted: shows(page, "#vary-map", np.asarray(wanted)))
        wait(page, lambda: len(loaded_images(page, "#vary-gallery")) == 4)
        assert fetch(loaded_images(page, "#vary-gallery")[0]["src"]).shape == (96, 128, 3)
        assert not page.find_elements("css selector", ".toast-message-text")
        open_tab(page, "Sketch")


@pytest.mark.slow
def test_locks_and_re_rolls_outlive_an_edit_and_reach_the_sketch(page, library):
    model = library.default
    open_tab(page, "Vary")  # by a click on the tab: its images are made
    wait(page, lambda: len(loaded_images(page, "#vary-gallery")) == 4)
    page.find_elements("css selector", "#vary-gallery button.thumbnail-item")[2].click()
    wait(page, lambda: find(page, "#vary-history").text == "seed 2")
    find(page, "#vary-lock").click()
    wait(page, lambda: captions(page)[2] == "🔒 locked · seed 2")
    label = find(page, "#vary-class input")
    label.click()
    label.send_keys("car", Keys.ENTER)
    wait(page, lambda: find(page, "#vary-reroll").is_enabled())
    find(page, "#vary-reroll-seed textarea, #vary-reroll-seed input").send_keys("42")
    find(page, "#vary-reroll").click()
    wait(page, lambda: find(page, "#vary-history").text == "seed 2, then car with seed 42")

    variant = Variant(2, (Reroll(42, label="car"),))
    look = lambda label_map: np.asarray(render(model, Scene("x", label_map, model.labels), [variant])[0])  # noqa: E731
    open_tab(page, "Sketch")
    wait(page, lambda: shows(page, "#sketch-image", look(avenue(model))))
    assert find(page, "#sketch-rerolls").text == "Re-rolled: car with seed 42"
    rectangle(page, "tree", (2, 2), (20, 10))
    edited = avenue(model)
    edited[2:11, 2:21] = TREE
    wait(page, lambda: shows(page, "#sketch-image", look(edited)))

    open_tab(page, "Vary")
    wait(page, lambda: len(loaded_images(page, "#vary-gallery")) == 4 and len(captions(page)) == 4)
    wait(page, lambda: captions(page)[2] == "🔒 locked · seed 2 · car")
    wait(page, lambda: np.array_equal(fetch(loaded_images(page, "#vary-gallery")[2]["src"]), look(edited)))
    page.refresh()
    wait(page, lambda: len(captions(page)) == 4 and captions(page)[2] == "🔒 locked · seed 2 · car")


@pytest.mark.slow
def test_the_address_names_the_tab(page, url):
    open_tab(page, "Palette")
    wait(page, lambda: page.current_url.endswith("?tab=palette"))
    page.get(f"{url}?tab=vary")
    wait(page, lambda: len(loaded_images(page, "#vary-gallery")) == 4)
    assert page.current_url.endswith("?tab=vary")
    page.get(f"{url}?tab=nowhere")
    wait(page, lambda: loaded_images(page, "#sketch-image"))


@pytest.mark.slow
def test_two_models_are_compared_across_classes(page, library):
    open_tab(page, "Vary")
    wait(page, lambda: len(loaded_images(page, "#vary-gallery")) == 4)
    next(
        b for b in page.find_elements("css selector", "#vary-tools button[role=tab]") if b.text == "Two models"
    ).click()
    other = find(page, "#vary-other input")
    other.click()
    options = lambda: [o.text for o in page.find_elements("css selector", "#vary-other [role=option]")]  # noqa: E731
    wait(page, lambda: options() == ["checkpoints/facade", "checkpoints/second"])  # they have no text at first
    other.send_keys("checkpoints/facade", Keys.ENTER)
    find(page, "#vary-compare").click()
    wait(page, lambda: len(loaded_images(page, "#vary-compare-slider")) == 2)
    assert "no match for pole, tree" in wait(page, lambda: find(page, "#vary-compare-note").text)

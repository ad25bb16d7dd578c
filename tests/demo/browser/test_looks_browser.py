# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Looks are kept, saved files are opened, photos outlive a reload, and a new server goes on where the old one was."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from drawn_model import drawn_model
from page_browser import (
    assert_no_errors,
    downloaded,
    fetch,
    find,
    loaded_images,
    message,
    open_page,
    open_tab,
    set_width,
    wait,
)
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from space_page import captions, choose_model, launch, rectangle, shows, street_model, upload

from dpsims_hf.data.synthetic import draw_scene
from dpsims_hf.demo.drawing import styles
from dpsims_hf.demo.drawing.named_looks import read_looks
from dpsims_hf.demo.drawing.saved_files import read_saved
from dpsims_hf.demo.drawing.scenes import render
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary
from dpsims_hf.hub import save_model_folder


pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[3]
EVENING = "evening"  # the first of the painted pictures


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return drawn_model()


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


def picture(driver: webdriver.Chrome, selector: str = "#sketch-image") -> np.ndarray:
    return fetch(wait(driver, lambda: loaded_images(driver, selector))[0]["src"])


def take_style(driver: webdriver.Chrome) -> np.ndarray:
    """Click a painted picture; the scene in its colours."""
    open_tab(driver, "Style")
    wait(driver, lambda: driver.find_elements(By.CSS_SELECTOR, "#style-examples button.thumbnail-item"))[0].click()
    return picture(driver, "#style-picture")


def chosen_look(driver: webdriver.Chrome) -> str:
    return find(driver, "#looks-choice input").get_attribute("value")


def keep(driver: webdriver.Chrome, name: str, button: str = "keep") -> None:
    field = find(driver, "#looks-name input, #looks-name textarea")
    field.send_keys(Keys.CONTROL + "a")
    field.send_keys(name)
    find(driver, f"#looks-{button}").click()
    wait(driver, lambda: chosen_look(driver) == name)


def choose_look(driver: webdriver.Chrome, name: str) -> None:
    choice = find(driver, "#looks-choice input")
    choice.click()
    offered = (By.CSS_SELECTOR, "#looks-choice [role=option]")
    wait(driver, lambda: name in [option.text for option in driver.find_elements(*offered)])
    choice.send_keys(name, Keys.ENTER)


def open_file(driver: webdriver.Chrome, path: Path) -> None:
    """Through the button of the Sketch tab, whose field for files is not shown."""
    script = "return document.querySelector('#sketch-file').parentElement.querySelector('input[type=file]')"
    wait(driver, lambda: driver.execute_script(script)).send_keys(str(path))


def test_a_look_is_taken_kept_and_there_after_a_reload(page):
    styled = take_style(page)
    find(page, "#style-sketch").click()
    wait(page, lambda: shows(page, "#sketch-image", styled))
    assert find(page, "#sketch-rerolls").text == f"Look of {EVENING}"
    keep(page, "late")
    page.refresh()
    wait(page, lambda: shows(page, "#sketch-image", styled))  # it is the scene's, kept or not
    find(page, "#sketch-random-seed").click()
    wait(page, lambda: not shows(page, "#sketch-image", styled))
    wait(page, lambda: not find(page, "#sketch-rerolls, body").text.startswith("Look of"))
    page.refresh()
    wait(page, lambda: loaded_images(page, "#sketch-image"))
    choose_look(page, "late")
    wait(page, lambda: shows(page, "#sketch-image", styled))

    keep(page, "very late", "rename")
    open_tab(page, "Vary")
    wait(page, lambda: captions(page) and captions(page)[0] == f"look of {EVENING}")
    wait(page, lambda: np.array_equal(fetch(loaded_images(page, "#vary-gallery")[0]["src"]), styled))
    open_tab(page, "Sketch")
    find(page, "#looks-delete").click()
    wait(page, lambda: chosen_look(page) == "")
    assert shows(page, "#sketch-image", styled)
    page.refresh()
    wait(page, lambda: shows(page, "#sketch-image", styled))
    assert find(page, "#looks-choice").text.endswith("keep what you see")


@pytest.mark.slow
def test_what_was_saved_is_opened_again(page, url, model, downloads, tmp_path):
    rectangle(page, "car", (20, 18), (39, 26))
    styled = take_style(page)
    find(page, "#style-sketch").click()
    wait(page, lambda: shows(page, "#sketch-image", styled))
    keep(page, "late")
    for file in downloads.glob("*.zip"):
        file.unlink()
    find(page, "#sketch-download-all").click()
    path = downloaded(page, wait(page, lambda: next(downloads.glob("*.zip"), None)))
    saved = read_saved(path)
    assert [look.name for look in read_looks(saved.content["looks"])] == ["late"]
    assert np.array_equal(np.asarray(render(model, saved.scene, saved.variants)[0]), styled)

    open_page(page, url)  # a stranger's browser
    wait(page, lambda: loaded_images(page, "#sketch-image"))
    before = picture(page)
    open_file(page, path)
    wait(page, lambda: shows(page, "#sketch-image", styled))
    assert message(page) == "Opened avenue."
    find(page, "#sketch-canvas [data-action=undo]").click()  # the map of before is there
    wait(page, lambda: not shows(page, "#sketch-image", styled) and not shows(page, "#sketch-image", before))
    choose_look(page, "late")

    (tmp_path / "bad.json").write_text("[" * 5000)
    page.refresh()
    wait(page, lambda: loaded_images(page, "#sketch-image"))
    open_file(page, tmp_path / "bad.json")
    assert message(page).startswith("bad.json: no settings of an image; choose a JSON or zip file")


def results(driver: webdriver.Chrome) -> list[np.ndarray]:
    """Photo and picture of the Photo tab."""
    images = wait(driver, lambda: len(found := loaded_images(driver, "#photo-result")) == 2 and found)
    return [fetch(image["src"]) for image in images]


def equal(images: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(*pair) for pair in zip(images, others, strict=True))


@pytest.mark.slow
def test_a_photo_and_the_map_drawn_over_it_outlive_a_reload(page, tmp_path):
    Image.fromarray(draw_scene((64, 128), 0)[0]).save(tmp_path / "My street.png")
    open_tab(page, "Photo")
    upload(page, "#photo-input", tmp_path / "My street.png")
    proposed = results(page)
    wait(page, lambda: page.execute_script("return sessionStorage['dpsims.photo.photo']"))
    page.refresh()
    assert equal(results(page), proposed)
    assert find(page, "#photo-note").text.endswith("It is back from this browser tab, with your map.")
    assert find(page, "#photo-canvas img.photo").get_attribute("src").startswith("data:image/png;base64,")

    find(page, "#photo-canvas .search").send_keys("car", Keys.ENTER)
    find(page, "#photo-canvas button[data-tool=rectangle]").click()
    canvas = find(page, "#photo-canvas canvas")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    chain = webdriver.ActionChains(page).move_to_element(canvas).click_and_hold().move_by_offset(60, 40)
    chain.release().perform()
    wait(page, lambda: not equal(results(page), proposed))
    painted = results(page)
    page.refresh()
    assert equal(results(page), painted)
    find(page, "#photo-canvas [data-action=undo]").click()
    wait(page, lambda: equal(results(page), proposed))
    find(page, "#photo-input button[aria-label='Remove Image']").click()
    wait(page, lambda: not page.execute_script("return sessionStorage['dpsims.photo.photo']"))
    page.refresh()
    find(page, "#photo-input input[type=file]")
    wait(page, lambda: page.execute_script("return document.documentElement.dataset.kept"))
    assert not loaded_images(page, "#photo-result") and not loaded_images(page, "#photo-input")


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page(page, width):
    set_width(page, width)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.execute_script(wide) <= 0
    take_style(page)
    assert page.execute_script(wide) <= 0


# -- a server that is started anew ------------------------------------------------------------------------------------


def serve(folder: Path, port: int) -> subprocess.Popen:
    """app.py as a person starts it, once it answers."""
    command = [sys.executable, str(ROOT / "app.py"), "--model", str(folder), "--server-port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return process
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise AssertionError("app.py did not start")


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.slow
def test_a_server_that_is_started_again_goes_on_with_the_drawing(driver, tmp_path):
    for number, name in enumerate(("first", "second")):
        model = street_model(seed=number)
        save_model_folder(tmp_path / name, model.pipe.generator_model, model.processor)
    port, other = free_port(), str(tmp_path / "second")
    process = serve(tmp_path / "first", port)
    try:
        open_page(driver, f"http://127.0.0.1:{port}/")
        first = picture(driver)
        choose_model(driver, other)
        wait(driver, lambda: not shows(driver, "#sketch-image", first))
        second = picture(driver)
        rectangle(driver, "car", (40, 60), (79, 84))
        wait(driver, lambda: not shows(driver, "#sketch-image", second))
        before = picture(driver)
        wait(driver, lambda: other in driver.execute_script("return sessionStorage['dpsims.look']"))
        driver.execute_script("window.isOld = true")
        process.kill()
        process.wait()
        away = wait(driver, lambda: find(driver, ".server-away:not([hidden])").text)
        assert away.startswith("The server does not answer. Your drawing is safe")
        process = serve(tmp_path / "first", port)
        wait(driver, lambda: not driver.execute_script("return window.isOld ?? false"))
        told = message(driver)
        assert told.startswith("The server was started anew. Your drawing, model, seed and looks are as they were")
        wait(driver, lambda: shows(driver, "#sketch-image", before))
        assert find(driver, "#model input").get_attribute("value") == other
    finally:
        process.kill()
        process.wait()

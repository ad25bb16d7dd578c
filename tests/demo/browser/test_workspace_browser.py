# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The canvas comes first, on a desk and on a phone; errors leave; numbers are readable; a program finds no barrier."""

import os
from collections.abc import Iterator
from pathlib import Path

import axe_core_python
import numpy as np
import pytest
from page_browser import find, loaded_images, message, open_page, open_tab, set_width, wait
from PIL import Image
from selenium import webdriver
from space_page import box, classes_shown, launch, street_library, upload

from dpsims_hf.demo.drawing.example_maps import CAMVID_CLASSES


pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[3]
TABS = ("Sketch", "Upload", "Vary", "Style", "Photo", "Evaluate", "Python", "Palette", "Card")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    demo, address = launch(street_library(tmp_path_factory.mktemp("models")))
    yield address
    demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str) -> webdriver.Chrome:
    open_page(driver, url)
    wait(driver, lambda: loaded_images(driver, "#sketch-image"))
    return driver


def test_ten_seconds_at_a_desk(page):
    """All classes, the whole canvas and the picture in sight, as large as each other, and a brush for an object."""
    set_width(page, 1280, 800)
    canvas, picture = box(page, "#sketch-canvas .stage"), box(page, "#sketch-image img")
    assert canvas["bottom"] < 800 and canvas["width"] > 480
    assert abs(canvas["width"] - picture["width"]) < 2 and abs(canvas["top"] - picture["top"]) < 2
    assert box(page, "#head")["height"] < 60
    assert sorted(classes_shown(page)) == sorted([*CAMVID_CLASSES, "void"])
    assert find(page, "#sketch-canvas .chosen").text == "car"
    assert find(page, "#sketch-canvas .where").text == "Pick a class and draw: the picture follows."
    set_width(page, 1920, 1080)
    large = box(page, "#sketch-canvas .stage")
    assert large["width"] > 780 and large["bottom"] < 1080
    assert abs(large["width"] - box(page, "#sketch-image img")["width"]) < 2


def test_a_phone_has_canvas_classes_and_picture_at_once(page):
    set_width(page, 390, 844)
    canvas = box(page, "#sketch-canvas .stage")
    assert canvas["top"] < 422 and canvas["bottom"] < 844
    script = (
        "return [...document.querySelectorAll('#sketch-canvas button, #sketch-canvas [role=option]')]"
        ".filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect())"
        ".filter(b => b.height < 44 || b.width < 44).length"
    )
    assert page.execute_script(script) == 0
    assert box(page, "#sketch-canvas .palette")["top"] >= canvas["bottom"]
    page.execute_script("window.scrollTo(0, 300)")
    wait(page, lambda: page.execute_script("return scrollY") > 250)
    assert box(page, ".picture-area")["top"] == pytest.approx(0, abs=1)  # it sticks
    hidden = page.execute_script("return document.querySelectorAll('#tabs .overflow-dropdown button').length")
    assert hidden <= 4


@pytest.mark.slow
def test_a_file_that_is_no_photo_is_told_without_the_servers_paths(page, tmp_path):
    open_tab(page, "Photo")
    (tmp_path / "letter.png").write_text("hello")
    upload(page, "#photo-input", tmp_path / "letter.png")
    text = message(page)
    assert text.startswith("a file or value cannot be read") and "letter.png" in text
    assert "/" not in text and "component" not in text.lower()
    script = "return getComputedStyle(document.querySelector('.toast-wrap')).bottom"
    assert page.execute_script(script) == "16px"  # not over the results
    wait(page, lambda: not page.find_elements("css selector", ".toast-message-text"))  # it leaves by itself


def test_a_line_of_pixels_is_shown_at_a_sane_height(page, tmp_path):
    Image.fromarray(np.zeros((192, 1), dtype=np.uint8)).save(tmp_path / "line.png")
    open_tab(page, "Upload")
    upload(page, "#upload-file", tmp_path / "line.png")
    wait(page, lambda: loaded_images(page, "#upload-label-map") and loaded_images(page, "#upload-image"))
    assert box(page, "#upload-label-map img")["height"] <= 1400 and box(page, "#upload-image img")["height"] <= 1400


def axe() -> str:
    """The program of Deque's axe-core (MPL-2.0), which a package of the tests holds; AXE_CORE names a newer one."""
    path = os.environ.get("AXE_CORE") or Path(axe_core_python.__file__).with_name("axe.min.js")
    return Path(path).read_text(encoding="utf-8")


AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => done(violations
  .filter(({impact}) => ["serious", "critical"].includes(impact))
  .flatMap(({id, nodes}) => nodes.map(({html, any}) => `${id}: ${html.slice(0, 120)} ${any[0]?.message ?? ""}`))));
"""


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_tab(page, url, theme):
    program = axe()
    page.set_script_timeout(120)
    page.get(f"{url}?__theme={theme}")
    wait(page, lambda: loaded_images(page, "#sketch-image"))
    page.execute_script(program)
    for name in TABS:
        open_tab(page, name)
        if name == "Vary":
            wait(page, lambda: len(loaded_images(page, "#vary-gallery")) == 4)
        # names are given a moment after the parts are there
        found = wait(page, lambda: (found := page.execute_async_script(AXE)) is not None and [found])
        if found[0]:
            found = wait(page, lambda: [page.execute_async_script(AXE)])
        assert found[0] == [], name
